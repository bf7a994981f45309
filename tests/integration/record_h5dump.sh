#!/bin/bash
# test: label=fast
# HDF5's own tools open what the writer seals: h5dump reads every dataset, h5ls names every group, h5diff sees no difference.
set -euo pipefail
build=$1
for tool in h5dump h5ls h5diff; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
MOE_TEST_FOLDER=$folder "$build/bin/test_record_bytes" >/dev/null

dump=$(h5dump "$folder/first-moe.h5")
for name in loss_ce grad_norm load batch_hist entropy_usage tokens_per_second perplexity; do
    grep -q "DATASET \"$name\"" <<<"$dump" || { echo "h5dump shows no dataset $name"; exit 1; }
done
groups=$(h5ls -r "$folder/first-moe.h5" | awk '$2 == "Group" {print $1}' | LC_ALL=C sort | tr '\n' ' ')
expected='/ /axes /config /eval /provenance /routing /routing_eval /timing /timing/epoch /train '
[ "$groups" = "$expected" ] || { echo "groups: $groups, expected: $expected"; exit 1; }
h5diff "$folder/first-moe.h5" "$folder/second-moe.h5"
if h5diff -q "$folder/first-moe.h5" "$folder/meaning.h5"; then
    echo "h5diff sees no difference between different runs"
    exit 1
fi
echo "h5dump, h5ls and h5diff read the sealed file"
