#!/usr/bin/env bash
# test: label=fast
# `moe suite` beside damaged run files: each is named and left as it is, every other run is looked after, and the end says that not
# all is well.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
suite() { # prints to the log; $code is what it ended with
    code=0
    "$moe" suite moe-vs-dense --runs-dir "$work/runs" --only dense --protocol corrected --seeds 5 --jobs 2 \
        --set train.max_epochs=1 --set data.train_tokens=1281 "$@" >"$work/log" 2>&1 || code=$?
}
runs=$work/runs/smoke/moe-vs-dense
run() { echo "$runs/dense.corrected.s$1.h5"; }

# one run is complete, one missing; of the others one file is cut short, one holds anything, one nothing
suite --first-seed 1 --seeds 1
[ "$code" -eq 0 ] || fail "exit code $code without damage"
head -c 5000 "$(run 1)" >"$(run 2)"
head -c 5000 /dev/urandom >"$(run 3)"
: >"$(run 4)"
sums=$(cat "$runs"/*.h5 | sha256sum)

each_is_named() { # $1: the word before its name
    for seed in 2 3 4; do
        grep -q "^$1: dense.corrected.s$seed: $(run $seed): .*delete it.*left as it is.*moe-report runs verify" "$work/log" ||
            fail "the damaged file of seed $seed is not named"
    done
}

for ask in --plan --dry-run; do
    suite "$ask"
    [ "$code" -eq 1 ] || fail "exit code $code of $ask, expected 1"
    each_is_named damaged
    grep -q "3 of 5 runs have a damaged file" "$work/log" || fail "$ask does not count the damaged files"
done
grep -q "^5 runs: 1 would be trained, 1 are complete, 3 would be skipped" "$work/log" || fail "--dry-run counts otherwise"
echo "ok: plans name damaged files"

suite
[ "$code" -eq 1 ] || fail "exit code $code, expected 1"
each_is_named skipped
grep -q "^5 runs: 1 trained now, 1 complete before, 0 failed, .* 3 skipped" "$work/log" || fail "the summary counts otherwise"
"$report" runs verify "$(run 5)" >"$work/log" 2>&1 || fail "the missing run was not trained"
[ "$sums" = "$(cat "$(run 1)" "$(run 2)" "$(run 3)" "$(run 4)" | sha256sum)" ] || fail "a file that was there has changed"
echo "ok: the others are trained, and no damaged file is touched"

# what the messages advise: one is restored (by any sealed file: a suite asks only whether it is one), the others deleted
rm "$(run 2)" "$(run 3)"
cp "$(run 1)" "$(run 4)"
suite --dry-run
[ "$code" -eq 0 ] || fail "exit code $code after the advice was followed"
grep -q "^5 runs: 2 would be trained, 3 are complete, 0 would be skipped" "$work/log" || fail "the advice does not help"
echo "ok: the advice helps"

# a file that breaks while the suite is at work on another run
suite --first-seed 6 --seeds 2 --jobs 1 --set train.max_epochs=10 &
until grep -q "dense.corrected.s6: started" "$work/log"; do
    kill -0 $! 2>/dev/null || fail "the suite ended at once"
    sleep 0.05
done
[ ! -e "$(run 7)" ] || fail "the second run ended before its file could be damaged"
head -c 5000 /dev/urandom >"$(run 7)"
wait
grep -q "^skipped: dense.corrected.s7: $(run 7): .*delete it.*left as it is.*moe-report runs verify" "$work/log" ||
    fail "a file damaged after the plan was made is not named in the same words"
grep -q "^2 runs: 1 trained now, 0 complete before, 0 failed, .* 1 skipped" "$work/log" || fail "the summary counts otherwise"
echo "ok: so is a file that breaks while the suite runs"
