#!/usr/bin/env bash
# test: label=slow
# `moe suite`: trains what is missing, goes on when one run fails, resumes after a signal or a SIGKILL of itself, splits into
# shards without overlap, and never repeats a finished run.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
small=(--seeds 2 --set train.max_epochs=2 --set data.train_tokens=1281)
suite() { "$moe" suite moe-vs-dense --runs-dir "$work/runs" --only dense,top2 --jobs 2 "${small[@]}" "$@" >"$work/log" 2>&1; }
runs=$work/runs/smoke/moe-vs-dense

# shards cover the plan once
total=$("$moe" suite moe-vs-dense --runs-dir "$work/runs" "${small[@]}" --plan | grep -c missing)
parts=0
for shard in 1 2 3; do
    part=$("$moe" suite moe-vs-dense --runs-dir "$work/runs" "${small[@]}" --plan --shard $shard/3 | awk '/missing/ && !/core hours/ {print $1}' | tee -a "$work/names" | wc -l)
    parts=$((parts + part))
done
whole=$("$moe" suite moe-vs-dense --runs-dir "$work/runs" "${small[@]}" --plan | awk '/missing/ && !/core hours/' | wc -l)
[ "$parts" -eq "$whole" ] && [ "$(sort -u "$work/names" | wc -l)" -eq "$whole" ] || fail "shards overlap or leave runs out: $parts of $whole"
[ "$total" -gt "$whole" ] || fail "the plan has no summary"
echo "ok: shards cover the plan once"

# what would be trained, in the order of the plan, and nothing is
"$moe" suite moe-vs-dense --runs-dir "$work/runs" "${small[@]}" --plan | awk '/missing/ && !/core hours/ {print $1}' >"$work/planned"
"$moe" suite moe-vs-dense --runs-dir "$work/runs" "${small[@]}" --dry-run >"$work/log"
awk '$1 == "train" {print $2}' "$work/log" | cmp -s - "$work/planned" || fail "--dry-run has another order than --plan"
grep -q "^$whole runs: $whole would be trained, 0 are complete, 0 would be skipped" "$work/log" || fail "--dry-run has no summary"
[ ! -e "$work/runs" ] || fail "--dry-run has trained"
echo "ok: --dry-run says what would be trained"

# an experiment is chosen by its other names too
chosen=$("$moe" suite moedl --runs-dir "$work/runs" --seeds 1 --protocol corrected --only 'b3*,d1*' --plan | awk '/missing/ && !/core hours/ {print $1}' | xargs)
[ "$chosen" = "a2_moedl_lb_biasing.corrected.s1 c3_moedl_e32_k4.corrected.s1" ] || fail "b3 and d1 mean $chosen"
echo "ok: other names choose"

# one run fails (its interrupted files are garbage), the others are trained
mkdir -p "$runs"
head -c 5000 /dev/urandom >"$runs/top2.corrected.s1.h5.live"
head -c 5000 /dev/urandom >"$runs/top2.corrected.s1.h5.ckpt"
code=0
suite || code=$?
[ "$code" -eq 1 ] || fail "exit code $code with one failed run, expected 1"
[ "$(find "$runs" -name '*.h5' | wc -l)" -eq 7 ] || fail "not all other runs were trained"
grep -q "top2.corrected.s1.*FAILED" "$work/log" || fail "the failed run is not named"
grep -q "7 trained now.*1 failed" "$work/log" || fail "no summary"
grep -q "^failed: top2.corrected.s1: " "$work/log" || fail "the summary does not say why the run failed"
echo "ok: one failed run does not stop the rest"

# once the garbage is gone only the missing run is trained
rm "$runs"/top2.corrected.s1.h5.*
before=$(sha256sum "$runs/dense.corrected.s1.h5")
suite || fail "exit code $?"
grep -q "1 trained now, 7 complete before" "$work/log" || fail "finished runs were not left alone"
[ "$before" = "$(sha256sum "$runs/dense.corrected.s1.h5")" ] || fail "a finished run was touched"
echo "ok: only what is missing is trained"

# SIGTERM: children checkpoint, the suite says so and exits with 3; the same command goes on
rm -rf "$work/runs"
small=(--seeds 1 --set train.max_epochs=200 --set train.patience=0)
"$moe" suite moe-vs-dense --runs-dir "$work/runs" --only dense,top2 --jobs 2 "${small[@]}" >"$work/log" 2>&1 &
pid=$!
until [ "$(find "$runs" -name '*.live' 2>/dev/null | wc -l)" -eq 2 ]; do kill -0 "$pid" || fail "the suite ended by itself"; done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ "$code" -eq 3 ] || fail "exit code $code after SIGTERM, expected 3"
# both protocols of two experiments: two were running, two had not begun; every run is counted once
grep -q "^4 runs: 0 trained now, 0 complete before, 0 failed, 2 interrupted and resumable, 2 not started, 0 skipped" "$work/log" ||
    fail "the summary does not count every run"
grep -q "interrupted; the same command goes on with 2 and starts the other 2" "$work/log" || fail "no word of how to go on"
echo "ok: SIGTERM leaves resumable runs"

# SIGKILL of the suite: its children checkpoint and end
"$moe" suite moe-vs-dense --runs-dir "$work/runs" --only dense,top2 --jobs 2 "${small[@]}" >"$work/log" 2>&1 &
pid=$!
until ls "$runs"/*.lock >/dev/null 2>&1; do kill -0 "$pid" || fail "the suite ended by itself"; done
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
while grep -qs "$work/run[s]" /proc/[0-9]*/cmdline; do sleep 0.1; done # the brackets keep grep from finding itself
ls "$runs"/*.ckpt >/dev/null || fail "no checkpoint was left"
[ -z "$(find "$runs" -name '*.tmp')" ] || fail "temporary files were left"
echo "ok: SIGKILL of the suite leaves resumable runs"

# memory: a run that needs more than there is does not start, and two that do not fit beside each other run one after the other
one=(moe-vs-dense --runs-dir "$work/memory" --only dense,top2 --protocol corrected --jobs 2 --seeds 1 --set train.max_epochs=1 --set data.train_tokens=1281)
code=0
"$moe" suite "${one[@]}" --memory 20M >"$work/log" 2>&1 || code=$?
[ "$code" -eq 1 ] && [ "$(grep -c '^skipped: .* needs .* MiB of memory' "$work/log")" -eq 2 ] || fail "exit code $code; runs of more than 20 MiB are to be skipped"
grep -q "0 trained now.*2 skipped" "$work/log" && [ ! -e "$work/memory/smoke/moe-vs-dense/dense.corrected.s1.h5" ] || fail "a run without memory was trained"
"$moe" suite "${one[@]}" --memory 200M >"$work/log" 2>&1 || fail "exit code $? with 200 MiB"
[ "$(grep -oE ': (started|done)' "$work/log" | tr -d ':' | xargs)" = "started done started done" ] ||
    fail "two runs that need more than 200 MiB together ran beside each other"
echo "ok: memory limits what runs"

# SIGKILL of a run: it is tried again in the same call and gives the same bits
kill_me=(moe-vs-dense --only top2 --protocol corrected --jobs 1 --threads 1 --seeds 1 --set train.max_epochs=3 --set train.patience=0 --set train.checkpoint_steps=5)
"$moe" suite "${kill_me[@]}" --runs-dir "$work/whole" >"$work/log" 2>&1 || fail "exit code $?"
run=$work/killed/smoke/moe-vs-dense/top2.corrected.s1.h5
"$moe" suite "${kill_me[@]}" --runs-dir "$work/killed" >"$work/log" 2>&1 &
pid=$!
until [ -e "$run.ckpt" ]; do kill -0 "$pid" || fail "the suite ended by itself"; done
child=$(grep -ls "${run%5}[5]" /proc/[0-9]*/cmdline | head -1 || true) # the brackets keep grep from finding itself
kill -KILL "${child//[^0-9]/}"
wait "$pid" || fail "exit code $? after a run was killed"
grep -q "put off.*killed by signal 9" "$work/log" || fail "no word of the death of a run"
same() { [ "$("$report" runs digest "$1" | cut -d' ' -f1)" = "$("$report" runs digest "$2" | cut -d' ' -f1)" ]; }
same "$run" "$work/whole/smoke/moe-vs-dense/top2.corrected.s1.h5" || fail "the run that was killed is another"
echo "ok: a run that is killed goes on"

# SIGKILL of the suite, and at once the same command: it waits for what the first one's runs still write, and gives the same bits
rm -rf "$work/killed"
"$moe" suite "${kill_me[@]}" --runs-dir "$work/killed" >"$work/log" 2>&1 &
pid=$!
until [ -e "$run.ckpt" ]; do kill -0 "$pid" || fail "the suite ended by itself"; done
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
"$moe" suite "${kill_me[@]}" --runs-dir "$work/killed" >"$work/log" 2>&1 || fail "exit code $? of the second suite"
same "$run" "$work/whole/smoke/moe-vs-dense/top2.corrected.s1.h5" || fail "the run that was resumed is another"
echo "ok: a suite that is killed goes on"
