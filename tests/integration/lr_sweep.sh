#!/usr/bin/env bash
# test: label=slow
# `moe lr-sweep`: suggests the rate with the smallest loss, takes divergence as a result, repeats nothing, resumes after SIGKILL to the
# same bits, and refuses to compare runs of different length.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/out" "$work/log" >&2; exit 1; }
sweep() { "$moe" lr-sweep moe-vs-dense/dense --jobs 2 --steps 24 --warmup 6 --set train.checkpoint_steps=3 "$@" >"$work/out" 2>"$work/log"; }
digests() { for file in "$1"/smoke/moe-vs-dense/lr-sweep/*.h5; do echo "$(basename "$file") $("$report" runs digest "$file" | cut -d' ' -f1)"; done; }

# the suggestion is the rate with the smallest loss of the table; 1000 diverges to what is not finite, 1 to above the first step
sweep --runs-dir "$work/runs" --lr 1e-4,1e-2,1,1e3 || fail "exit code $?"
runs=$work/runs/smoke/moe-vs-dense/lr-sweep
[ "$(find "$work/runs" -name '*.h5' | wc -l)" -eq 4 ] && [ "$(find "$runs" -name 'lr_sweep.dense@train.lr=*.corrected.s1.h5' | wc -l)" -eq 4 ] ||
    fail "not one run a rate in $runs"
grep -Eq '^ +1000 .*1 diverged \(step [0-9]+\)' "$work/out" || fail "a rate of 1000 is not shown as not finite"
grep -Eq '^ +1 .*1 diverged  ' "$work/out" || fail "a rate of 1 is not shown as diverged"
smallest=$(awk '/^ *[0-9.e+-]+ +[0-9]+ +[0-9.]+ /{print $3, $1}' "$work/out" | sort -g | head -1 | cut -d' ' -f2)
[ -n "$smallest" ] && grep -q "^suggested: train.lr = $smallest," "$work/out" || fail "the suggestion is not the smallest loss, $smallest"
grep -q "diverged: step" "$work/log" || fail "the log does not say what was not finite"
"$report" runs verify "$runs"/*.h5 >/dev/null || fail "a run of the sweep does not verify"
[ "$("$report" runs ls "$work/runs" | grep -c lr_sweep.dense@)" -eq 4 ] || fail "moe-report does not find the runs"
digests "$work/runs" >"$work/want"
echo "ok: the smallest loss is suggested, divergence is a result"

# a finished run is not repeated, a new rate is added to those there, and the report alone is the same
cp "$work/out" "$work/first"
sha256sum "$runs"/*.h5 >"$work/before"
sweep --runs-dir "$work/runs" --lr 1e-4,1e-2,1e3,1e-3 || fail "exit code $?"
grep -q "4 runs: 1 trained now, 3 complete before, 0 failed" "$work/out" || fail "not only the new rate was trained"
sha256sum --quiet -c "$work/before" || fail "a finished run was touched"
[ "$(grep -Ec '^ +[0-9.e+-]+ +1 ' "$work/out")" -eq 5 ] || fail "the report leaves a rate out"
tail -n +2 "$work/out" >"$work/full"
sweep --runs-dir "$work/runs" --report-only || fail "exit code $?"
cmp -s "$work/out" "$work/full" || fail "--report-only says something else"
[ -z "$(ls "$runs" | grep -v '\.h5$')" ] || fail "something was left beside the runs"
echo "ok: finished runs are not repeated"

# other steps cannot be compared with these
code=0
"$moe" lr-sweep moe-vs-dense/dense --runs-dir "$work/runs" --steps 30 --warmup 6 --lr 1e-3 >"$work/out" 2>"$work/log" || code=$?
[ "$code" -eq 1 ] && grep -q "24 steps, 6 of them warm-up, not 30 and 6" "$work/log" || fail "runs of another length were accepted"
echo "ok: other steps are refused"

# SIGKILL while the first runs are under way: the same command goes on, to the same bits
"$moe" lr-sweep moe-vs-dense/dense --jobs 2 --steps 24 --warmup 6 --set train.checkpoint_steps=3 --runs-dir "$work/killed" --lr 1e-4,1e-2,1,1e3 \
    >"$work/out" 2>"$work/log" &
pid=$!
until ls "$work"/killed/smoke/moe-vs-dense/lr-sweep/*.ckpt >/dev/null 2>&1; do kill -0 "$pid" || fail "the sweep ended by itself"; done
kill -KILL "$pid"
{ wait "$pid"; } 2>/dev/null || true
while grep -qs "$work/kille[d]" /proc/[0-9]*/cmdline; do sleep 0.1; done # its children checkpoint and end
[ "$(find "$work/killed" -name '*.h5' | wc -l)" -lt 4 ] || fail "nothing was left to do"
sweep --runs-dir "$work/killed" --lr 1e-4,1e-2,1,1e3 || fail "exit code $?"
digests "$work/killed" >"$work/got"
cmp "$work/want" "$work/got" || fail "the runs differ from those of an uninterrupted sweep"
tail -n +2 "$work/first" | cmp - <(tail -n +2 "$work/out") || fail "the report differs from that of an uninterrupted sweep"
echo "ok: SIGKILL and resume give the same bits"

# a run that failed for another reason fails the sweep, which still reports the others
head -c 5000 /dev/urandom >"$work/killed/smoke/moe-vs-dense/lr-sweep/lr_sweep.dense@train.lr=0.5.corrected.s1.h5.live"
head -c 5000 /dev/urandom >"$work/killed/smoke/moe-vs-dense/lr-sweep/lr_sweep.dense@train.lr=0.5.corrected.s1.h5.ckpt"
code=0
sweep --runs-dir "$work/killed" --lr 1e-2,0.5 || code=$?
[ "$code" -eq 1 ] && grep -q "1 failed" "$work/out" && grep -q "^suggested" "$work/out" || fail "exit code $code after a failure"
echo "ok: a failure is not taken for divergence"

# what an alias stands for is swept
"$moe" lr-sweep moedl/b3_moedl_e8_k1 --runs-dir "$work/runs" --plan >"$work/out" 2>"$work/log" || fail "exit code $?"
[ "$(grep -c '^lr_sweep.a2_moedl_lb_biasing@train.lr=.*missing' "$work/out")" -eq 12 ] || fail "the plan of an alias is not that of 12 rates"
echo "ok: aliases"
