#!/usr/bin/env bash
# Builds the libFuzzer targets of this folder with clang, ASan and UBSan, and runs each for SECONDS (default 20).
#   tests/fuzz/run.sh BUILD_DIR [SECONDS]
# Exit 77 where clang or its fuzzer runtime is absent. New inputs stay in BUILD_DIR/fuzz/corpus-NAME.
set -euo pipefail
build=$(mkdir -p "$1/fuzz" && cd "$1/fuzz" && pwd) seconds=${2:-20}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cc=$(command -v clang || true) cxx=$(command -v clang++ || true)
[ -n "$cc" ] && [ -n "$cxx" ] || { echo "skipped: no clang here"; exit 77; }
echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { (void)d; (void)n; return 0; }' >"$build/probe.c"
"$cc" -fsanitize=fuzzer,address,undefined "$build/probe.c" -o "$build/probe" 2>/dev/null || { echo "skipped: clang has no fuzzer runtime here"; exit 77; }

packages=$(pkg-config --cflags --libs jansson hdf5 libxxhash libcurl libcrypto zlib)
packages+=' -lsentencepiece -lsentencepiece_train'
flags=(-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
       -Isrc -I. -Itests)
[ "$(uname -m)" != x86_64 ] || flags+=(-march=x86-64-v3)
objects=()
compile() { # source
    local object="$build/$(echo "$1" | tr / _).o"
    objects+=("$object")
    case $1 in
    *.cc) "$cxx" -std=c++17 "${flags[@]}" ${packages} -c "$1" -o "$object" -Wno-unused-command-line-argument ;;
    *) "$cc" -std=c11 "${flags[@]}" ${packages} -c "$1" -o "$object" -Wno-unused-command-line-argument ;;
    esac
}
for source in src/core/*.c src/core/*.cc src/record/*.c src/data/*.c src/data/*.cc src/model/safetensors*.c src/model/classifier*.c src/nn/*.c src/train/experiment*.c src/train/lr_sweep.c; do compile "$source"; done

for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    "$cc" -std=c11 "${flags[@]}" ${packages} -c "$source" -o "$build/$name.o" -Wno-unused-command-line-argument
    "$cxx" -fsanitize=fuzzer,address,undefined "$build/$name.o" "${objects[@]}" ${packages} -lhdf5_serial_hl -lm -lpthread -o "$build/$name"
    mkdir -p "$build/corpus-$name"
    seeds=()
    [ ! -d "tests/fuzz/seeds/$name" ] || seeds=("tests/fuzz/seeds/$name")
    echo "== $name for $seconds s"
    "$build/$name" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=25 -print_final_stats=1 -artifact_prefix="$build/$name-" \
        "$build/corpus-$name" "${seeds[@]}" 2>"$build/$name.log" || { tail -n 40 "$build/$name.log"; exit 1; }
    grep -E 'stat::number_of_executed_units' "$build/$name.log" || true
done
