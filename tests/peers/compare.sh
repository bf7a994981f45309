#!/usr/bin/env bash
# Training steps of source A's models here and in PyTorch, alternately in one run on one machine.
#
#     tests/peers/compare.sh [--rounds N] [--threads N] [--moe build/bin/moe] [--python PYTHON] [--plain-adamw]
#
# PYTHON (default: python3) must have tests/golden/requirements.txt installed. Each round runs `moe bench step` and
# pytorch_bench.py once, the order changing from round to round; a ratio is the median of the rounds' ratios, because
# neighbours in time share whatever else the machine is doing. Without PyTorch it says so and exits with 77.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
moe=$here/../../build/bin/moe
python=${PYTHON:-python3}
rounds=5
threads=$(nproc)
peer_options=()
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2 && shift 2 ;;
    --threads) threads=$2 && shift 2 ;;
    --moe) moe=$2 && shift 2 ;;
    --python) python=$2 && shift 2 ;;
    --plain-adamw) peer_options+=("$1") && shift ;;
    *) echo "compare.sh: unknown argument $1" >&2 && exit 2 ;;
    esac
done
if [ ! -x "$moe" ]; then
    echo "compare.sh: $moe is not there: build first, or name it with --moe" >&2
    exit 1
fi
if ! "$python" -c 'import torch' 2> /dev/null; then
    echo "compare.sh: $python has no PyTorch: install tests/golden/requirements.txt, or set PYTHON" >&2
    exit 77
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

ours() {
    "$moe" bench step --threads "$threads" --rounds 1 --format json > "$results/ours.$1"
}
peer() {
    "$python" "$here/pytorch_bench.py" --threads "$threads" --steps 1 --warmup 1 ${peer_options[@]+"${peer_options[@]}"} \
        > "$results/peer.$1"
}
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    if [ $((round % 2)) -eq 1 ]; then
        ours "$round" && peer "$round"
    else
        peer "$round" && ours "$round"
    fi
done
"$python" "$here/compare_table.py" "$results" "$rounds"
