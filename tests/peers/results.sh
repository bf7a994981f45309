#!/usr/bin/env bash
# Measures everything that tests/peers/RESULTS.md reports, on a quiet machine, and prints that page.
#
#     tests/peers/results.sh [arguments of compare.sh] > tests/peers/RESULTS.md
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
moe=$here/../../build/bin/moe
for ((i = 1; i <= $#; i++)); do
    if [ "${!i}" = --moe ]; then
        i=$((i + 1))
        moe=${!i}
    fi
done

block() { printf '\n```\n'; "$@"; printf '```\n'; }

printf '# Figures reached\n\nWritten by `tests/peers/results.sh`; a machine shared with others is noisy, so read the ratios, each taken within one run.\n'
block "$moe" info
printf '\n## Training steps\n\nDense and MoE models of source A at the published size, all threads, then one.\n'
block "$moe" bench step --rounds 5
block "$moe" bench step --rounds 3 --threads 1
printf '\n## Matrix products of a dense step\n'
block "$moe" bench gemm --rounds 5
printf '\n## Against PyTorch\n\nEager mode on the CPU, the same models, alternating with ours.\n'
block "$here/compare.sh" "$@"
