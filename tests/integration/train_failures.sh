#!/usr/bin/env bash
# test: label=fast
# What can go wrong with `moe train` ends with a message that names it, and with the promised exit code.
set -euo pipefail
moe=$1/bin/moe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
expect() { # what, exit code, pattern, arguments...
    local what=$1 code=$2 pattern=$3 got=0
    shift 3
    "$moe" "$@" >"$work/out" 2>&1 || got=$?
    if [ "$got" -eq "$code" ] && grep -qE "$pattern" "$work/out"; then
        echo "ok: $what"
    else
        echo "FAILED: $what: exit code $got (expected $code), output:" && cat "$work/out" && bad=1
    fi
}
top2=(train moe-vs-dense/top2 --out "$work/x.h5")
expect "a loss that is not finite" 1 "step [0-9]+: .*not finite.*(lower|Lower) train.lr" "${top2[@]}" --set train.lr=1000 --set train.clip=0 --set train.weight_decay=0
rm -f "$work"/x.h5*
expect "an unknown key" 1 "no such key: train.lrr; did you mean train.lr" "${top2[@]}" --set train.lrr=1
expect "more active experts than experts" 1 "num_active_experts = 9 .*more than moe.num_experts = 8" "${top2[@]}" --set moe.num_active_experts=9
expect "heads that do not divide" 1 "num_attention_heads" "${top2[@]}" --set model.num_attention_heads=5
expect "an unknown experiment" 1 "no such experiment: top3; did you mean top2" train moe-vs-dense/top3
expect "an unknown suite" 1 "moe-vs-dnse" train moe-vs-dnse/top2
expect "an unknown protocol" 1 "as-published" train moe-vs-dense/top2 --protocol published
expect "a wrong parameter count" 1 "expected_parameters" "${top2[@]}" --set model.expected_parameters=7
expect "data that are not there" 1 "no such file; get it with .moe data fetch" "${top2[@]}" --tier desk --data-dir "$work/none"
expect "no experiment" 2 "SUITE/EXPERIMENT" train
expect "no such option" 2 "bogus" train --bogus
expect "no such command" 2 "no command 'trian'" trian
expect "a thread count that is none" 2 "threads wants a whole number" "${top2[@]}" --threads many
expect "a letter of another command" 2 "invalid option -- 'o'" suite moe-vs-dense -o dense --plan
expect "a shard that is none" 2 "shard wants I/N" suite moe-vs-dense --shard 3/2
expect "a device that is not in this build or machine" 1 "cuda" "${top2[@]}" --device cuda
expect "a device nobody knows" 1 "tpu" "${top2[@]}" --device tpu
exit "$bad"
