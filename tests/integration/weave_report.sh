#!/usr/bin/env bash
# test: label=slow
# From runs to the report by command line: `moe-report all`, `claims` and `weave --check`; a report that does not follow from its
# runs, a chapter with a number typed by hand and a missing run are refused by file and line. The committed report too must
# follow from the committed runs.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
refused() { # refused PATTERN COMMAND...
    local pattern=$1 code=0
    shift
    "$@" >"$work/log" 2>&1 || code=$?
    [ "$code" -eq 1 ] || fail "exit code $code, expected 1: $*"
    grep -q -- "$pattern" "$work/log" || fail "no word of \"$pattern\""
}

# the committed report
if [ -n "$(find runs/reference -name "*.h5" -print -quit)" ]; then
    "$report" weave --check >"$work/log" 2>&1 || fail "the committed report is stale"
    echo "ok: the committed report follows from the committed runs"
else
    echo "skipped: no committed runs"
fi

# a report of small runs
"$moe" suite moe-vs-dense --tier smoke --seeds 1 --runs-dir "$work/runs" --jobs 2 \
    --only dense,baseline,top2,strong_reg,throughput_opt --set train.max_epochs=4 --set data.train_tokens=1281 \
    >"$work/log" 2>&1 || fail "training"
cp -r paper "$work/paper"
weave=("$report" weave --runs-dir "$work/runs/smoke" --paper "$work/paper" --figures "$work/out/figures" --out "$work/out")
"$report" all --runs-dir "$work/runs/smoke" --paper "$work/paper" --out "$work/out/figures" --report "$work/out" >"$work/log" 2>&1 || fail "all"
[ -s "$work/out/report.md" ] && [ -s "$work/out/report.html" ] || fail "no report"
"${weave[@]}" --check >"$work/log" 2>&1 || fail "a fresh report is called stale"
grep -q 'src="data:image/png;base64,' "$work/out/report.html" || fail "no image inside the page"
! grep -E -q '<script|<link|src="[^d]|url\(' "$work/out/report.html" || fail "the page needs something from outside"
echo "ok: all, weave and weave --check"

# claims, as text and as JSON
"$report" claims --runs-dir "$work/runs/smoke" --paper "$work/paper" --protocol corrected >"$work/claims.txt" 2>"$work/log" || fail "claims"
grep -q "^A-01-dense-lowest-loss" "$work/claims.txt" || fail "no claim A-01"
for source in A B C D; do grep -q "^Source $source: " "$work/claims.txt" || fail "no source $source"; done
! grep -q "as-published  " "$work/claims.txt" || fail "another protocol"
"$report" claims --runs-dir "$work/runs/smoke" --paper "$work/paper" --format json >"$work/claims.json" 2>"$work/log" || fail "claims as JSON"
grep -q '"verdict": "impossible as printed"' "$work/claims.json" || fail "no verdict in the JSON"
[ "$(head -c 1 "$work/claims.json")$(grep -c '^}' "$work/claims.json")$(tail -n 1 "$work/claims.json")" = "[4]" ] ||
    fail "the sources are no array of four"
for wrong in "--format yaml" "--protocol other" "--source Z" "--nothing" "--tier"; do
    code=0
    # shellcheck disable=SC2086
    "$report" claims --runs-dir "$work/runs/smoke" $wrong >"$work/log" 2>&1 || code=$?
    [ "$code" -eq 2 ] || fail "exit code $code for claims $wrong, expected 2"
done
echo "ok: claims"

# what must not pass
sed -i '3s/.*/edited/' "$work/out/report.md"
refused "report.md:3: stale" "${weave[@]}" --check
printf '\nThe loss is 9.37.\n' >>"$work/paper/chapters/00-introduction.md"
last=$(wc -l <"$work/paper/chapters/00-introduction.md")
refused "00-introduction.md:$last: the number 9.37 is typed by hand" "${weave[@]}"
cp paper/chapters/00-introduction.md "$work/paper/chapters/"
rm "$work"/runs/smoke/moe-vs-dense/top2.corrected.*
refused "no runs of moe-vs-dense" "${weave[@]}"
partial() { # partial PATTERN...: `all` ends before it writes anything
    for pattern; do
        refused "$pattern" "$report" all --runs-dir "$work/runs/smoke" --paper "$work/paper" --out "$work/partial/figures" \
            --report "$work/partial"
    done
    [ ! -e "$work/partial" ] || fail "something is half written"
}
partial "moe suite moe-vs-dense --tier smoke --protocol corrected --only 'top2'" "nothing was written"
rm "$work"/runs/smoke/moe-vs-dense/*.corrected.*
partial "moe suite moe-vs-dense --tier smoke --protocol corrected --only 'dense,baseline,top2,strong_reg,throughput_opt'"
"$report" claims --runs-dir "$work/runs/smoke" --paper "$work/paper" >"$work/log" 2>&1 || fail "claims of one protocol"
grep -q "corrected.*not tested" "$work/log" || fail "a claim without runs is not called so"
for name in dense top2; do truncate -s 999 "$work/runs/smoke/moe-vs-dense/$name.as-published.s1.h5"; done
partial "2 of 5 run files are damaged" "dense.as-published.s1.h5" "top2.as-published.s1.h5"
refused "cannot look for runs" "$report" weave --runs-dir "$work/nowhere"
echo "ok: stale, typed by hand, missing and damaged runs"
