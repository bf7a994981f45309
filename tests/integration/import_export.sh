#!/usr/bin/env bash
# test: label=fast
# `moe train --keep-model`, `moe export`, `moe import`: a trained model goes out as a folder and comes back with the same
# weights; what cannot be done says why and leaves nothing behind.
set -euo pipefail
moe=$1/bin/moe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
small=(--tier smoke --threads 1 --set data.train_tokens=1281 --set data.validation_tokens=257)
train() { "$moe" train "$1" "${small[@]}" --set train.max_steps=2 --out "$2" "${@:3}" >"$work/log" 2>&1 || fail "training $1"; }
refused() { # words, then the command
    local words=$1 code=0
    shift
    "$moe" "$@" >"$work/log" 2>&1 || code=$?
    [ "$code" -ne 0 ] && [ "$code" -lt 4 ] || fail "exit code $code of: $*"
    grep -q -e "$words" "$work/log" || fail "no word of '$words' from: $*"
}

# weights are left where they are asked for, and nowhere else
train moedl/a2_moedl_lb_biasing "$work/plain.h5"
[ ! -e "$work/plain.safetensors" ] || fail "weights without --keep-model"
train moedl/a2_moedl_lb_biasing "$work/a2.h5" --keep-model
[ -s "$work/a2.safetensors" ] || fail "--keep-model left no weights"
echo "ok: --keep-model"

# out and back, twice: the second folder is the first, byte for byte
"$moe" export "$work/a2.safetensors" --out "$work/folder" >"$work/log" 2>&1 || fail "export"
grep -q Glm4MoeForCausalLM "$work/log" || fail "another class"
"$moe" import "$work/folder" --out "$work/back.safetensors" >"$work/log" 2>&1 || fail "import"
"$moe" export "$work/back.safetensors" --out "$work/again" >"$work/log" 2>&1 || fail "export of the import"
cmp "$work/folder/model.safetensors" "$work/again/model.safetensors" || fail "the weights changed on the way"
echo "ok: out and back"

"$moe" export "$work/back.safetensors" --no-tokenizer --out "$work/bare" >"$work/log" 2>&1 || fail "export without a tokenizer"
[ -e "$work/bare/model.safetensors" ] && [ ! -e "$work/bare/tokenizer.model" ] || fail "an export without a tokenizer has one, or no model"

# a checkpoint of an unfinished run can be exported
"$moe" train moedl/00_llama2_ref --protocol as-published "${small[@]}" --out "$work/run.h5" \
    --set train.checkpoint_steps=1 --set train.max_epochs=100000 >"$work/training" 2>&1 &
pid=$!
until [ -e "$work/run.h5.ckpt" ]; do kill -0 "$pid" 2>/dev/null || fail "the run ended by itself"; sleep 0.1; done
"$moe" export "$work/run.h5.ckpt" --out "$work/live" >"$work/log" 2>&1 || fail "export of a live run's checkpoint"
kill "$pid" && wait "$pid" || true
grep -q LlamaForCausalLM "$work/log" || fail "another class"
echo "ok: checkpoint of a live run"

# refusals
train moe-vs-dense/dense "$work/gpt.h5" --keep-model
refused "model.norm = layernorm" export "$work/gpt.safetensors" --out "$work/gpt"
[ ! -e "$work/gpt" ] || fail "a refused export left a folder"
refused "is there already" export "$work/a2.safetensors" --out "$work/folder"
refused "is there already" import "$work/folder" --out "$work/a2.safetensors"
refused "--keep-model" export "$work/a2.h5" --out "$work/x"
refused "moe import" export "$work/folder/model.safetensors" --out "$work/x"
refused "config.json" import "$work" --out "$work/x.safetensors"
refused "llama2.c" import "$work/a2.h5" --out "$work/x.safetensors"
refused "which model" export --out "$work/x"
refused "--out" import "$work/folder"
[ ! -e "$work/x" ] && [ ! -e "$work/x.safetensors" ] || fail "a refused command left something"
echo "ok: refusals"
