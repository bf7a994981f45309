#!/usr/bin/env bash
# test: label=fast
# A model that another program has trained generates exactly that program's text at temperature 0, on every device and with
# any number of threads.
set -euo pipefail
moe=$1/bin/moe
models=${MOE_DATA_DIR:-data}/models
for file in stories260K.bin tok512.bin stories260K_expected_t0_n200.txt; do
    [ -r "$models/$file" ] || { echo "skipped: no $models/$file (MOE_DATA_DIR names the folder above models/)"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$moe" import "$models/stories260K.bin" --tokenizer "$models/tok512.bin" --out "$work/stories.safetensors" >/dev/null
greedy=("$work/stories.safetensors" --temperature 0 --tokens 200)
for how in "--threads 1" "--threads 2" "--device reference" "--top-k 7 --top-p 0.5 --seed 9"; do
    # shellcheck disable=SC2086
    "$moe" generate "${greedy[@]}" $how >"$work/text"
    cmp "$work/text" "$models/stories260K_expected_t0_n200.txt" || { echo "FAILED: $how"; exit 1; }
    echo "ok: 200 tokens as expected with $how"
done
