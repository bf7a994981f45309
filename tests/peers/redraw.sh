#!/usr/bin/env bash
# What it takes to redraw everything from the committed runs: `moe-report all`, and within it reading the runs.
#
#     tests/peers/redraw.sh [--rounds N] [MOE_REPORT...]          (default: build/bin/moe-report, 3 rounds)
#
# Several builds take turns, and their processor times compare even where other programs take part of the machine.
# Exits with 1 where two redrawings differ in a byte.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=3
if [ "${1:-}" = --rounds ]; then
    rounds=$2
    shift 2
fi
[ $# -gt 0 ] || set -- "$root/build/bin/moe-report"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Seconds of one command, its children included: wall, processor in user mode, in the kernel.
TIMEFORMAT='%R %U %S'
measure() {
    local what=$1
    shift
    { time "$@" > "$results/said" 2>&1; } 2> "$results/time" || { cat "$results/said" >&2 && exit 1; }
    awk -v what="$what" '{printf "  %-8s wall %7.2f   processor %7.2f (kernel %.2f)\n", what, $1, $2 + $3, $3}' "$results/time"
}

cd "$root"
for ((round = 1; round <= rounds; round++)); do
    for report in "$@"; do
        echo "$report, round $round"
        rm -rf "$results/now" && mkdir -p "$results/now"
        measure reading "$report" table "$("$report" table --list | awk 'NR == 1 {print $1}')"
        measure all "$report" all --out "$results/now/figures" --report "$results/now"
        if [ -d "$results/first" ]; then
            diff -rq "$results/first" "$results/now"
        else
            mv "$results/now" "$results/first"
        fi
    done
done
echo "the same bytes each time"
