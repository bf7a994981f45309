#!/usr/bin/env bash
# test: label=fast
# `moe --portable` gives the same bits on every x86-64 machine with AVX2: a short run of each suite has the digest that
# tests/golden/portable.tsv records for this BLAS and compiler, whatever the processor. A change of what a run computes or
# of its configuration changes them; with --update after the build folder the file is written anew for this BLAS and compiler.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report update=${2:-}
golden=tests/golden/portable.tsv
runs=('moe-vs-dense/top2' 'cifar-hierarchy/hierarchical' 'slicing/grid@size=10M,g=1_8,s=4' 'moedl/c3_moedl_e32_k4')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

info=$("$moe" --portable info)
fact() { awk -v name="$1" '$1 == name { $1 = ""; print substr($0, 2) }' <<<"$info"; }
[ "$(uname -m)" = x86_64 ] || { echo "skipped: not an x86-64 machine"; exit 77; }
[[ "$(fact build_flags)" == Release* ]] || { echo "skipped: digests are recorded for release builds"; exit 77; }
where="$(fact blas)	$(fact compiler)" # one line of the file: BLAS, compiler, run, digest
here="$where on $(fact processor)"

for run in "${runs[@]}"; do
    "$moe" --portable train "$run" --threads 1 --set train.max_steps=12 --out "$work/run.h5" >"$work/log" 2>&1 ||
        { echo "FAILED: $run" >&2; tail -n 5 "$work/log" >&2; exit 1; }
    printf '%s\t%s\t%s\n' "$where" "$run" "$("$report" runs digest "$work/run.h5" | cut -d' ' -f1)" >>"$work/digests"
    rm "$work/run.h5"
done

if [ "$update" = --update ]; then
    { grep -vF "$where	" "$golden" || true; cat "$work/digests"; } >"$work/golden"
    cp "$work/golden" "$golden"
    exit 0
fi
if ! grep -qF "$where	" "$golden"; then
    echo "skipped: $golden has no digests for $here; --update adds them"
    exit 77
fi
if ! diff <(grep -F "$where	" "$golden") "$work/digests"; then
    echo "FAILED: digests on $here (>) are not those of $golden (<)" >&2
    exit 1
fi
echo "ok: digests of four runs are those recorded, here on $(fact processor)"
