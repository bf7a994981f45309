#!/usr/bin/env bash
# test: label=slow
# The report follows from the runs that ./reproduce trains, which are fewer and smaller than the committed ones: every chapter, figure
# and table of all suites at the smoke tier, one seed each.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
for suite in moe-vs-dense cifar-hierarchy slicing moedl; do
    "$moe" suite "$suite" --tier smoke --seeds 1 --runs-dir "$work/runs" >"$work/log" 2>&1 || fail "suite $suite"
done
"$report" all --runs-dir "$work/runs/smoke" --tier smoke --out "$work/figures" --report "$work" >"$work/log" 2>&1 || fail "all"
for source in A B C D; do
    grep -q "^## Evidence: source $source" "$work/report.md" || fail "no evidence of source $source"
done
[ "$(find "$work/figures" -name '*.png' | wc -l)" -gt 40 ] || fail "hardly any figure"
echo "ok: the report follows from the smoke tier"
