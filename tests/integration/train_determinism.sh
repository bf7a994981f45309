#!/usr/bin/env bash
# test: label=slow
# Same digest whatever the number of threads, run twice, killed at 20 random steps and resumed, interrupted and resumed.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# small enough for 20 kills, large enough for several epochs, an evaluation, dropped slots, expert dropout and micro-batches
small=(--set train.max_epochs=8 --set train.patience=0 --set data.train_tokens=2561 --set train.micro_batch_size=2
       --set train.routing_steps=3 --set moe.capacity_factor=1.0 --set moe.expert_dropout=0.1 --set moe.lb_gamma=0.001
       --set train.checkpoint_steps=4)
run=(train moe-vs-dense/top2 --seed 7 "${small[@]}")
train() { "$moe" "${run[@]}" "$@" 2>>"$work/log"; }
digest() { "$report" runs digest "$1" | cut -d' ' -f1; }
fail() { echo "FAILED: $*" >&2; tail -n 5 "$work/log" >&2; exit 1; }
same() { [ "$(digest "$2")" = "$want" ] || fail "$1: digest $(digest "$2"), expected $want"; echo "ok: $1"; }

train --threads 1 --out "$work/one.h5" >/dev/null
want=$(digest "$work/one.h5")
[ ${#want} -eq 64 ] || fail "no digest"

train --threads 2 --out "$work/two.h5" >/dev/null
same "two threads" "$work/two.h5"
train --threads 1 --out "$work/again.h5" >/dev/null
same "run twice" "$work/again.h5"

# Starts the run and sends it a signal as soon as it has reported so many steps: no clock decides the outcome.
mkfifo "$work/progress"
signal_after() { # signal, steps to wait for, file; leaves the exit code in $code
    "$moe" "${run[@]}" --threads 1 --out "$3" --progress-fd 3 3>"$work/progress" >/dev/null 2>>"$work/log" &
    local pid=$! left=$2 sent=
    while read -r _; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || [ -n "$sent" ] || { kill "-$1" "$pid" 2>/dev/null || true; sent=1; }
    done <"$work/progress"
    code=0
    wait "$pid" 2>/dev/null || code=$?
}

# SIGKILL at 20 random steps of one run (a checkpoint stands every 4 steps, so it takes more than 20 tries to end)
RANDOM=1
for kill in $(seq 20); do
    signal_after KILL $((RANDOM % 5 + 2)) "$work/killed.h5"
    [ "$code" -eq 137 ] || fail "kill $kill: exit code $code, expected 137"
done
train --threads 2 --out "$work/killed.h5" >/dev/null
same "killed 20 times and resumed" "$work/killed.h5"
[ ! -e "$work/killed.h5.live" ] && [ ! -e "$work/killed.h5.ckpt" ] || fail "a finished run left its live file or checkpoint"

# SIGINT: checkpoint, exit code 3, a message that says how to go on
signal_after INT 6 "$work/int.h5"
[ "$code" -eq 3 ] || fail "SIGINT: exit code $code, expected 3"
grep -q "interrupted after step" "$work/log" || fail "SIGINT: no message"
train --threads 1 --out "$work/int.h5" >/dev/null
same "interrupted and resumed" "$work/int.h5"

# a complete run is not repeated
code=0
train --out "$work/one.h5" >/dev/null || code=$?
[ "$code" -eq 1 ] || fail "a complete run was trained again (exit code $code)"
echo "ok: a complete run is not repeated"
