#!/usr/bin/env bash
# Checks and measures the CUDA backend on a machine with a GPU, from what bundle.sh packed. Needs no network.
#
#     tests/gpu/run.sh BUNDLE OUT [--quick] [--seed N] [--only PART[,PART]] [--peers SECONDS]
#
# BUNDLE is the unpacked folder. Under OUT every part leaves its log, and table.txt says what came out; it is written
# anew after each part, so that a run cut short leaves what it had. --only runs some parts and keeps what an earlier call
# under OUT found of the others. Every part has a limit of its own; all of them together take less than ten minutes, with
# --quick, which makes fewer rounds and no racecheck, less than six. The parts:
#   info           what answers here
#   parity_fp32    every operation against the reference, in double on the CPU: fresh inputs, poisoned outputs; 1e-5
#   parity_bf16    the same in bf16; 1e-2
#   training       whole models: losses of up to 100 steps against the CPU, and the same bits on repetition
#   repeat         a run file twice: the same digest
#   memcheck       compute-sanitizer over operations and over two steps of a run
#   racecheck      the same, for races in shared memory
#   bench          moe bench gpu
#   grouped        the products of experts against cublasGemmGroupedBatchedEx
#   peers          PyTorch and transformers on the same models, where they are installed, for SECONDS at most (80): compiled
#                  ones may want more
# Exit code: 0 all passed; 1 something failed; 77 no GPU answers.
set -uo pipefail

usage() { sed -n '2,4p' "$0" | sed 's/^# \?//' >&2; exit 2; }
[ $# -ge 2 ] || usage
bundle=$(cd "$1" && pwd) || exit 2
mkdir -p "$2" || exit 2
out=$(cd "$2" && pwd)
shift 2
quick=
rounds=10
peer_seconds=80
seed=$(($(date +%s) % 1000000000))
only=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 rounds=4 peer_seconds=40 && shift ;;
    --seed) seed=$2 && shift 2 ;;
    --only) only=,$2, && shift 2 ;;
    --peers) peer_seconds=$2 && shift 2 ;;
    *) usage ;;
    esac
done

# Folders with libcublasLt: of the loader, of toolkits, of PyTorch's packages.
cublas_folder() {
    local file
    ldconfig -p 2> /dev/null | grep -q 'libcublasLt\.so\.13' && return 0
    for file in /usr/local/cuda*/lib64/libcublasLt.so.13 /usr/local/cuda*/targets/*/lib/libcublasLt.so.13 \
        /opt/cuda*/lib64/libcublasLt.so.13; do
        [ -e "$file" ] && dirname "$file" && return 0
    done
    python3 - 2> /dev/null << 'PYTHON'
import glob, site, sys
for folder in site.getsitepackages() + [site.getusersitepackages()] + sys.path:
    found = glob.glob(folder + "/nvidia/**/libcublasLt.so.13", recursive=True)
    if found:
        print(found[0].rsplit("/", 1)[0])
        break
PYTHON
}

# Links in a folder to the bundle's libraries, but not to those that want a newer C library than this machine has: of these
# (the C++ library for one) it has its own.
usable_libraries() {
    local here file wanted
    here=$(getconf GNU_LIBC_VERSION 2> /dev/null | cut -d' ' -f2)
    for file in "$bundle"/lib/*; do
        wanted=$(grep -aoE 'GLIBC_2\.[0-9]+' "$file" | cut -d_ -f2 | sort -V | tail -1)
        [ -z "$here" ] || [ "$(printf '%s\n' "$here" "$wanted" | sort -V | tail -1)" = "$here" ] || continue
        ln -s "$file" "$1/"
    done
}
libraries=$(mktemp -d)
trap 'rm -rf "$libraries"' EXIT
usable_libraries "$libraries"
cublas=$(cublas_folder)
export LD_LIBRARY_PATH=$libraries${cublas:+:$cublas}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export MOE_SUITES=$bundle/runs/suites MOE_CUDA_MODULE=$bundle/bin/moe_cuda.so MOE_TEST_SEED=$seed
moe=$bundle/bin/moe
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2> /dev/null | head -1)

touch "$out/results.tsv"
for name in $(cut -f 1 "$out/results.tsv"); do
    case $only in '' | *",$name,"*) sed -i "/^$name\t/d" "$out/results.tsv" ;; esac
done
failed=0

# The table so far.
write_table() {
    {
        echo "moe-repro $(cat "$bundle/revision" 2> /dev/null), $(date -u '+%Y-%m-%d %H:%M') UTC, seed $seed${quick:+, quick}"
        grep -h '^cuda ' "$out/info.log" 2> /dev/null
        echo
        printf '%-14s %-10s %8s  %s\n' part result seconds detail
        awk -F '\t' '{ printf "%-14s %-10s %8s  %s\n", $1, $2, $3, $4 }' "$out/results.tsv"
        if [ -s "$out/bench.log" ]; then echo && cat "$out/bench.log"; fi
        if [ -s "$out/grouped.log" ]; then echo && cat "$out/grouped.log"; fi
        if [ -s "$out/peers.json" ]; then echo && cat "$out/peers.log"; fi
    } > "$out/table.txt"
}

# part LIMIT_SECONDS DETAIL_PATTERN COMMAND...: runs it with its log; the detail is the log's last line that matches.
part() {
    local name=$1 limit=$2 pattern=$3 start code result detail
    shift 3
    [ -z "$quick" ] || [ "$name" = peers ] || [ "$name" = info ] || limit=$((limit * 55 / 100))
    case $only in '' | *",$name,"*) ;; *) return 0 ;; esac
    start=$SECONDS
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1
    code=$?
    detail=$(grep -E "$pattern" "$out/$name.log" | tail -1 | tr '\t' ' ' | cut -c1-160)
    case $code in
    0) result=passed ;;
    77) result=skipped ;;
    124 | 137) result=unfinished && failed=1 && detail="stopped after $limit s; ${detail:-no result}" ;;
    *) result=FAILED && failed=1 ;;
    esac
    printf '%s\t%s\t%s\t%s\n' "$name" "$result" "$((SECONDS - start))" "$detail" >> "$out/results.tsv"
    write_table
    return $code
}

parity() { # backend; the detail line counts what agreed and names what did not
    local log
    log=$(MOE_TEST_BACKEND=$1 "$bundle/bin/test_backend_parity" 2>&1)
    local code=$?
    echo "$log"
    echo "summary: $(grep -c ' agrees$' <<< "$log") operations agree, $(grep -c ' DISAGREES$' <<< "$log") do not, $(grep -c 'not offered' <<< "$log") not offered: $(grep -E ' DISAGREES$|not offered' <<< "$log" | awk '{ print $1 }' | tr '\n' ' ')"
    ! grep -q 'not offered' <<< "$log" || code=1
    return $code
}

# Two runs of each protocol's model that uses the most operations; their digests must be equal.
repeat() {
    local experiment number digest=() work code=0
    work=$(mktemp -d)
    for experiment in moe-vs-dense/top2 moedl/c4_moedl_e64_k8; do
        digest=()
        for number in 1 2; do
            "$moe" train "$experiment" --tier smoke --device cuda --set train.max_steps=60 --out "$work/$number.h5" || code=1
            digest+=("$("$bundle/bin/moe-report" runs digest "$work/$number.h5" | cut -d' ' -f1)")
            rm -f "$work/$number.h5"
        done
        echo "summary: $experiment ${digest[0]:0:16} ${digest[1]:0:16}"
        [ -n "${digest[0]}" ] && [ "${digest[0]}" = "${digest[1]}" ] || code=1
    done
    rm -rf "$work"
    return $code
}

# A tool of compute-sanitizer over single operations and over a run; both must be free of errors.
sanitize() {
    local work code=0
    [ -n "$sanitizer" ] || { echo "summary: no compute-sanitizer here" && return 77; }
    # in some sandboxes it refuses every GPU
    if MOE_TEST_BACKEND=cuda MOE_TEST_CASES=1 MOE_TEST_FILTER='memory*' "$sanitizer" --tool "$1" \
        "$bundle/bin/test_backend_parity" 2>&1 | grep -q 'Device not supported'; then
        echo "summary: compute-sanitizer does not support this device here" && return 77
    fi
    work=$(mktemp -d)
    MOE_TEST_BACKEND=cuda MOE_TEST_CASES=4 "$sanitizer" --tool "$1" --error-exitcode 9 "$bundle/bin/test_backend_parity" || code=1
    "$sanitizer" --tool "$1" --error-exitcode 9 "$moe" train moe-vs-dense/top2 --tier smoke --device cuda \
        --set train.max_steps=2 --out "$work/run.h5" || code=1
    rm -rf "$work"
    [ $code -eq 0 ] && echo "summary: no error in four cases of each operation and two steps of a run"
    return $code
}

bench() {
    "$moe" bench gpu --rounds "$1" --format json > "$out/bench.json" || return 1
    python3 - "$out/bench.json" << 'PYTHON' 2> /dev/null || cat "$out/bench.json"
import json, sys
b = json.load(open(sys.argv[1]))
print(f"summary: square products of {b['matrix']}: {b['matrix_tflops']:.0f} TFLOP/s; {len(b['models'])} models, medians of {b['rounds']} steps")
print(f"{'model':26s} {'E:K':>6s} {'parameters':>11s} {'active':>11s} {'tokens/s':>10s} {'TFLOP/s':>8s} {'of matrix':>9s} {'of dense':>8s} {'FLOPs say':>9s} {'waits':>5s} {'plans/passes':>12s}")
for m in b["models"]:
    ratio = f"{m['experts']}:{m['top_k']}" if m["experts"] else "dense"
    print(f"{m['name']:26s} {ratio:>6s} {m['parameters']:11d} {m['active']:11d} {m['tokens_per_second']:10.0f} {m['tflops']:8.1f} "
          f"{100 * m['of_matrix']:8.1f}% {m.get('of_dense', float('nan')):8.3f} {m.get('flops_ratio', float('nan')):9.3f} "
          f"{m['waits']:5.3g} {m['plans']:5d}/{m['passes']:<6d}")
PYTHON
}

peers() {
    python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2> /dev/null ||
        { echo "summary: no PyTorch with transformers that sees the GPU" && return 77; }
    # without the bundle's libraries: PyTorch brings its own
    local ours=()
    [ ! -s "$out/bench.json" ] || ours=(--ours "$out/bench.json")
    LD_LIBRARY_PATH='' python3 "$bundle/tests/peers/gpu_bench.py" --rounds "$1" --seconds "$2" --json "$out/peers.json" "${ours[@]}"
}
export -f parity repeat sanitize bench peers
export bundle out moe sanitizer

# a driver that nothing holds awake takes seconds to answer, each time anew
part info 19 '^cuda ' bash -c 'found=$("$moe" info); echo "$found"; nvidia-smi 2> /dev/null; grep -q "^devices .*cuda," <<< "$found"'
if [ "$(awk -F '\t' '$1 == "info" { print $2 }' "$out/results.tsv")" = FAILED ]; then
    grep '^cuda ' "$out/info.log" || tail -3 "$out/info.log"
    echo "run.sh: no GPU answers here; nothing was checked"
    exit 77
fi
part parity_fp32 70 '^summary' bash -c 'parity cuda:fp32'
part parity_bf16 70 '^summary' bash -c 'parity cuda'
part training 70 'agrees|DISAGREES|FAILED|PASSED' "$bundle/bin/test_gpu_training"
part repeat 40 '^summary|error|FAILED' bash -c repeat
part bench 100 '^summary' bash -c "bench $rounds"
part grouped 30 '^summary|^skipped|differ' "$bundle/bin/grouped_bench" "$rounds"
part peers $((peer_seconds + 10)) '^summary' bash -c "peers $rounds $peer_seconds"
part memcheck 55 '^summary|ERROR SUMMARY' bash -c 'sanitize memcheck'
[ -n "$quick" ] || part racecheck 55 '^summary|ERROR SUMMARY|RACECHECK SUMMARY' bash -c 'sanitize racecheck'
cat "$out/table.txt"
exit $failed
