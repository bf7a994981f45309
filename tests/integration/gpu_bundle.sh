#!/usr/bin/env bash
# test: label=slow
# The archive for GPU machines: complete, small enough, and honest where no GPU answers: every program in it starts from its own
# libraries, and run.sh leaves with 77 and a line that says why.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1
[ -e "$build/bin/moe_cuda.so" ] || { echo "skipped: this build has no CUDA module (no nvcc)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

"$root/tests/gpu/bundle.sh" --build "$build" "$work/moe-gpu.tar.gz" || fail "no archive"
tar -C "$work" -xzf "$work/moe-gpu.tar.gz"
bundle=$work/moe-gpu

# what a program takes from elsewhere is the C library's, or cuBLAS
for program in moe moe-report test_backend_parity test_gpu_training grouped_bench; do
    strangers=$(LD_LIBRARY_PATH=$bundle/lib ldd "$bundle/bin/$program" | awk -v own="$bundle/" '$2 == "=>" && index($3, own) != 1 { print $1 }' |
        grep -vE '^(linux-vdso|ld-linux[^ ]*|libc|libm|libdl|librt|libpthread|libresolv|libcublas|libcublasLt)\.so' || true)
    [ -z "$strangers" ] || fail "$program takes from this machine: $strangers"
done
LD_LIBRARY_PATH=$bundle/lib MOE_SUITES=$bundle/runs/suites "$bundle/bin/moe" suite moedl --plan --tier full > /dev/null || fail "moe does not run"
echo "ok: the archive is complete"

code=0
"$bundle/tests/gpu/run.sh" "$bundle" "$work/results" --only info > "$work/log" 2>&1 || code=$?
if [ "$code" -eq 77 ]; then
    grep -q 'no GPU answers here; nothing was checked' "$work/log" || fail "run.sh: no line that says why"
    grep -q '^cuda ' "$work/log" || fail "run.sh: no reason"
elif [ "$code" -ne 0 ]; then
    fail "run.sh left with $code: $(tail -3 "$work/log")"
fi
[ -s "$work/results/table.txt" ] || fail "run.sh: no table"
echo "ok: run.sh left with $code: $(tail -1 "$work/log")"

# where the C library is older, what wants a newer one stays in the archive
mkdir "$work/tools" "$work/old"
cp -r "$bundle" "$work/old/moe-gpu"
printf '#!/bin/sh\necho glibc 2.35\n' > "$work/tools/getconf"
printf '#!/bin/sh\nls "${LD_LIBRARY_PATH%%%%:*}"\nexit 1\n' > "$work/old/moe-gpu/bin/moe"
chmod +x "$work/tools/getconf"
PATH=$work/tools:$PATH "$work/old/moe-gpu/tests/gpu/run.sh" "$work/old/moe-gpu" "$work/old/results" --only info > "$work/log" 2>&1 || true
for library in "$bundle"/lib/*; do
    name=$(basename "$library") newer=$(grep -aoE 'GLIBC_2\.(3[6-9]|[4-9][0-9])' "$library" | head -1 || true)
    grep -qxF "$name" "$work/old/results/info.log" && used=yes || used=
    if [ -n "$newer" ] && [ -n "$used" ]; then fail "$name wants $newer where there is 2.35"; fi
    if [ -z "$newer" ] && [ -z "$used" ]; then fail "$name is not used where there is 2.35"; fi
done
echo "ok: an older C library meets no library that wants a newer one"
