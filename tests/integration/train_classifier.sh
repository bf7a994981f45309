#!/usr/bin/env bash
# test: label=slow
# Image classifiers from end to end: same digest whatever the number of threads, killed and resumed, in micro-batches too.
# What a record holds of them, and what a user is told when images are missing or damaged.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

small=(--set data.train_images=320 --set data.test_images=50 --set train.eval_steps=4 --set train.checkpoint_steps=3
       --set train.record_steps=2)
digest() { "$report" runs digest "$1" | cut -d' ' -f1; }
fail() { echo "FAILED: $*" >&2; tail -n 5 "$work/log" >&2; exit 1; }
train() { "$moe" train "cifar-hierarchy/$1" --seed 3 "${small[@]}" "${@:2}" 2>>"$work/log"; }
says() { grep -qF -- "$1" "$work/said" || fail "no \"$1\" in: $(cat "$work/said")"; }

mkfifo "$work/progress"
kill_after() { # steps to wait for, then arguments of train: no clock decides the outcome
    "$moe" train "cifar-hierarchy/$2" --seed 3 "${small[@]}" "${@:3}" --progress-fd 3 3>"$work/progress" \
        >/dev/null 2>>"$work/log" &
    local pid=$! left=$1 sent=
    while read -r _; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || [ -n "$sent" ] || { kill -KILL "$pid" 2>/dev/null || true; sent=1; }
    done <"$work/progress"
    wait "$pid" 2>/dev/null && fail "the run was not killed" || true
}

# everything that a checkpoint must carry: chance, a fading noise, weights that move, losses between evaluations
hierarchical=(hierarchical_balance_target --set classifier.noise_epochs=1 --set train.micro_batch_size=16)
train "${hierarchical[@]}" --threads 1 --out "$work/one.h5" >/dev/null
train "${hierarchical[@]}" --threads 2 --out "$work/two.h5" >/dev/null
[ "$(digest "$work/one.h5")" = "$(digest "$work/two.h5")" ] || fail "one thread and two differ"
for steps in 5 4 6; do kill_after "$steps" "${hierarchical[@]}" --threads 1 --out "$work/killed.h5"; done
train "${hierarchical[@]}" --threads 2 --out "$work/killed.h5" >/dev/null
[ "$(digest "$work/one.h5")" = "$(digest "$work/killed.h5")" ] || fail "killed and resumed, it differs"
echo "ok: threads, kills"

for kind in flat hierarchical_gshard dense_active; do
    train "$kind" --protocol as-published --threads 2 --out "$work/$kind.h5" >/dev/null || fail "$kind"
done
[ "$("$moe" suite cifar-hierarchy --tier smoke --only flat --seeds 1 --plan --runs-dir "$work" | grep -c '^flat\.')" -eq 2 ] ||
    fail "no plan of two protocols"
echo "ok: every kind, a plan"

# the test set falls into classes; the training batches stand behind them
if command -v h5dump >/dev/null; then
    h5dump -d /eval/tokens -y -w 0 "$work/flat.h5" | tr -d ' \n' >"$work/said"
    says "50,5,5,5,5,5,5,5,5,5,5,128"
    h5dump -d /routing/load -y -w 0 "$work/one.h5" | tr -d ' \n' >"$work/said"
    says ",-1,-1,-1,-1,-1" # five groups under ten experts
    echo "ok: domains, levels"
fi

# images that are not there, or no images
real=(--set data.source=cifar10 --set 'data.train_files=["a.bin"]' --set 'data.validation_files=["b.bin"]')
"$moe" train cifar-hierarchy/flat "${real[@]}" --data-dir "$work" --out "$work/x.h5" 2>"$work/said" >/dev/null && fail "no files"
says "a.bin"
head -c 3074 /dev/zero >"$work/a.bin"
"$moe" train cifar-hierarchy/flat "${real[@]}" --data-dir "$work" --out "$work/x.h5" 2>"$work/said" >/dev/null && fail "a torn file"
says "a.bin"
train flat --keep-model --out "$work/x.h5" >/dev/null 2>&1 && fail "a model file of a classifier"
"$moe" train cifar-hierarchy/flat --keep-model --out "$work/x.h5" 2>"$work/said" >/dev/null || true
says "train without --keep-model"
echo "ok: messages"
