#!/usr/bin/env bash
# Packs what a GPU machine needs to check and measure the CUDA backend without a network or a compiler:
#
#     tests/gpu/bundle.sh [--build BUILD] OUT.tar.gz
#
# programs, the CUDA module, tests, suites, and the libraries beside them that such machines lack (HDF5, OpenBLAS, ...).
# The C library, the driver and cuBLAS are the GPU machine's: run.sh looks for cuBLAS where toolkits and PyTorch put it.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build
out=
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 && shift 2 ;;
    -*) echo "bundle.sh: unknown option $1" >&2 && exit 2 ;;
    *) out=$1 && shift ;;
    esac
done
[ -n "$out" ] || { echo "bundle.sh: name the archive to write" >&2 && exit 2; }
programs=(moe moe-report test_backend_parity test_gpu_training grouped_bench)
for file in "${programs[@]}" moe_cuda.so; do
    [ -e "$build/bin/$file" ] || { echo "bundle.sh: $build/bin/$file is not there: build with nvcc first" >&2 && exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/moe-gpu
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/runs" "$bundle/tests/gpu" "$bundle/tests/peers"
for file in "${programs[@]}" moe_cuda.so; do
    strip --strip-unneeded -o "$bundle/bin/$file" "$build/bin/$file"
done
cp -r "$root/runs/suites" "$bundle/runs/suites"
cp "$root/tests/gpu/run.sh" "$bundle/tests/gpu/"
cp "$root"/tests/peers/{gpu_bench,pytorch_bench}.py "$bundle/tests/peers/"
git -C "$root" describe --always --dirty --abbrev=12 > "$bundle/revision" 2> /dev/null || echo unknown > "$bundle/revision"

# every library but those of the C library and of NVIDIA
for program in "${programs[@]}"; do
    ldd "$build/bin/$program"
done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(ld-linux[^/]*|libc|libm|libdl|librt|libpthread|libresolv|libcuda|libcublas|libcublasLt|libcudart)\.so' |
    while read -r library; do
        cp -L "$library" "$bundle/lib/"
    done
strip --strip-unneeded "$bundle"/lib/*.so* 2> /dev/null || true

mkdir -p "$(dirname "$out")"
tar -C "$work" -cf - moe-gpu | gzip -9 > "$out"
size=$(stat -c %s "$out")
echo "$out: $((size >> 20)) MiB; on the GPU machine: tar xzf $(basename "$out") && moe-gpu/tests/gpu/run.sh moe-gpu RESULTS"
if [ "$size" -gt $((64 << 20)) ]; then
    echo "bundle.sh: more than 64 MiB" >&2
    exit 1
fi
