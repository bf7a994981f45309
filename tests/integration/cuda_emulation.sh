#!/usr/bin/env bash
# test: label=fast
# The CUDA backend from end to end without a GPU: its kernels, run on the host (tests/cuda_emulation), train whole models
# for a few steps like the CPU, with the same digest twice, without graphs, and interrupted and resumed.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report module=$1/tests/cuda_emulation/moe_cuda_emulation.so
[ -e "$module" ] || { echo "skipped: no $module (a sanitizer's build has none)"; exit 77; }
command -v h5dump >/dev/null || { echo "skipped: no h5dump"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 5 "$work/log" >&2; exit 1; }
digest() { "$report" runs digest "$1" | cut -d' ' -f1; }

MOE_CUDA_MODULE=$work/none.so "$moe" info >"$work/info"
grep -q "^cuda  *cuda: no module .*none.so" "$work/info" || fail "moe info does not say why there is no CUDA: $(cat "$work/info")"
MOE_CUDA_MODULE=$module "$moe" info >"$work/info"
grep -q "^cuda  *emulation" "$work/info" || fail "moe info does not say what was found: $(cat "$work/info")"
echo "ok: moe info says what was found, or why nothing was"
export MOE_CUDA_MODULE=$module

tiny=(--tier smoke --threads 1 --set train.max_steps=3 --set train.batch_size=2 --set train.routing_steps=2)
tokens=(--set data.sequence_length=40 --set data.validation_tokens=41 --set data.train_tokens=1601 --set train.checkpoint_steps=2)
train() { # device, file, arguments of train
    "$moe" train --device "$1" --out "$2" "${@:3}" "${tiny[@]}" >/dev/null 2>>"$work/log"
}
losses() { h5dump -y -d /train/loss "$1" | sed -n '/DATA {/,/}/p' | head -n 3 | grep -oE '[0-9.]+(e[-+][0-9]+)?' | head -n 3 | tr '\n' ' '; }
follows() { # name, device, limit, arguments of train
    local name=$1 device=$2 limit=$3
    shift 3
    [ -e "$work/$name.cpu.h5" ] || train cpu "$work/$name.cpu.h5" "$@" || fail "$name on the CPU"
    train "$device" "$work/$name.$device.h5" "$@" || fail "$name on $device"
    echo "$(losses "$work/$name.cpu.h5") $(losses "$work/$name.$device.h5")" | awk -v limit="$limit" '{
        if (NF != 6) exit 1
        for (i = 1; i <= 3; i++) { d = ($i - $(i + 3)) / $i; if (d < 0) d = -d; if (d > limit) exit 1 }
    }' || fail "$name on $device: losses $(losses "$work/$name.$device.h5"), on the CPU $(losses "$work/$name.cpu.h5")"
    echo "ok: $name on $device has the losses of the CPU"
}

top2=(moe-vs-dense/top2 "${tokens[@]}" --set model.vocab_size=440 --set model.hidden_size=32 --set model.intermediate_size=64
      --set model.num_hidden_layers=2 --set "moe.layers=[1]" --set model.expected_parameters=0)
sigmoid=(moedl/c2_moedl_e16_k2 "${tokens[@]}" --set train.micro_batch_size=1)
images=(cifar-hierarchy/hierarchical --set data.train_images=32 --set data.test_images=8 --set train.micro_batch_size=2)
follows top2 cuda:fp32 1e-4 "${top2[@]}"
follows top2 cuda 1e-2 "${top2[@]}"
follows sigmoid cuda:fp32 1e-4 "${sigmoid[@]}"
follows sigmoid cuda 1e-2 "${sigmoid[@]}"
follows images cuda:fp32 1e-4 "${images[@]}"
follows images cuda 1e-2 "${images[@]}"

if train cuda "$work/refused.h5" "${top2[@]}" --set model.head_dim=136; then fail "heads of 136 elements"; fi
grep -q "at most 128 elements, the model's have 136" "$work/log" || fail "no word of heads that are too wide"
echo "ok: what the backend cannot do is refused"

same() { # what was done, file, the run before
    [ "$(digest "$2")" = "$(digest "$work/${3:-top2}.cuda.h5")" ] || fail "$1: another digest"
    echo "ok: $1: the same digest"
}
train cuda "$work/again.h5" "${top2[@]}" || fail "run twice"
same "run twice" "$work/again.h5"
train cuda "$work/images_again.h5" "${images[@]}" || fail "images twice"
same "images twice" "$work/images_again.h5" images
MOE_CUDA_GRAPHS=0 train cuda "$work/plain.h5" "${top2[@]}" || fail "without graphs"
same "without graphs" "$work/plain.h5"
train cuda "$work/host.h5" "${top2[@]}" --set train.timers=host || fail "timers of the host"
echo "ok: timers of the host"

# Two micro-batches a step: the host waits once for both and the optimizer, and all passes but the first, which is not
# recorded, are one graph.
"$moe" bench gpu --device cuda --tier smoke --rounds 2 --matrix 64 --format json --experiment "${top2[0]}" "${top2[@]:1}" \
    --set train.batch_size=2 --set train.micro_batch_size=1 >"$work/bench" 2>>"$work/log" || fail "bench gpu"
grep -q '"waits":1,"passes":7,"plans":1[,}]' "$work/bench" || fail "waits and plans of bench gpu: $(cat "$work/bench")"
echo "ok: one wait a step, one graph for all passes"

# the update was on its way before the host saw a number: the step is still named, and the gradient still there to look at
if train cuda "$work/diverged.h5" "${top2[@]}" --set train.lr=1000 --set train.weight_decay=100 --set train.clip=0; then
    fail "a run that diverges"
fi
tail -n 1 "$work/log" | grep -q "step 2: the gradient is not finite; .* first such tensor is blocks" ||
    fail "step 2 and its tensor are not named"
echo "ok: the step whose gradient is not finite is named"

# interrupted as soon as it has reported a step: no clock decides the outcome
mkfifo "$work/progress"
"$moe" train --device cuda --out "$work/int.h5" "${top2[@]}" "${tiny[@]}" --progress-fd 3 3>"$work/progress" >/dev/null 2>>"$work/log" &
pid=$! left=1 sent=
while read -r _; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || [ -n "$sent" ] || { kill -INT "$pid" 2>/dev/null || true; sent=1; }
done <"$work/progress"
code=0
wait "$pid" || code=$?
[ "$code" -eq 3 ] || fail "SIGINT: exit code $code, expected 3"
train cuda "$work/int.h5" "${top2[@]}" || fail "resumed"
same "interrupted and resumed" "$work/int.h5"
