#!/usr/bin/env bash
# test: label=slow
# An interrupted run whose checkpoint or live file was damaged is refused with a message that says what to do; the program
# never crashes on it, and never goes on from it.
set -euo pipefail
moe=$1/bin/moe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
small=(--set train.max_epochs=3 --set data.train_tokens=1281 --set model.num_hidden_layers=3 --set 'moe.layers=[1]')
run=(train moe-vs-dense/baseline --threads 1 --out "$work/run.h5" "${small[@]}")
train() { "$moe" "${run[@]}" "$@"; }

# an interrupted run to damage again and again
mkfifo "$work/progress"
"$moe" "${run[@]}" --progress-fd 3 3>"$work/progress" >/dev/null 2>&1 &
pid=$!
while read -r step _; do
    [ "$step" -ne 6 ] || kill -TERM "$pid"
done <"$work/progress"
wait "$pid" || true
[ -f "$work/run.h5.ckpt" ] && [ -f "$work/run.h5.live" ] || { echo "FAILED: no interrupted run to damage" >&2; exit 1; }
cp "$work/run.h5.ckpt" "$work/good.ckpt"
cp "$work/run.h5.live" "$work/good.live"

damage() { # file, what
    local size offset byte
    size=$(stat -c %s "$1")
    case $2 in
    truncate) offset=$((RANDOM * RANDOM % size)); truncate -s "$offset" "$1" ;;
    flip)
        offset=$((RANDOM * RANDOM % size))
        byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
        printf "\\x$(printf %02x $((byte ^ (1 << RANDOM % 8))))" | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
        ;;
    empty) : >"$1" ;;
    esac
}
try() { # which file, what damage, whether it must be refused
    cp "$work/good.ckpt" "$work/run.h5.ckpt"
    cp "$work/good.live" "$work/run.h5.live"
    rm -f "$work/run.h5"
    damage "$work/run.h5.$1" "$2"
    local code=0
    train >"$work/out" 2>&1 || code=$?
    if [ "$code" -gt 3 ]; then
        echo "FAILED: $2 of .$1: exit code $code (a crash?)" && tail -n 3 "$work/out" && bad=1
    elif [ "$code" -eq 1 ] && ! grep -q "run.h5" "$work/out"; then
        echo "FAILED: $2 of .$1: the message names no file" && cat "$work/out" && bad=1
    elif [ "$1" = ckpt ] && [ "$code" -eq 1 ] && ! grep -q "delete" "$work/out"; then
        echo "FAILED: $2 of .$1: the message does not say what to do" && cat "$work/out" && bad=1
    elif [ "$3" = refused ] && [ "$code" -ne 1 ]; then
        echo "FAILED: $2 of .$1 was not noticed (exit code $code)" && bad=1
    fi
}
RANDOM=2
for i in 1 2 3 4 5 6; do
    try ckpt flip refused
    try ckpt truncate refused
    try live truncate any
    try live flip any
done
try ckpt empty refused
try live empty refused
[ "$bad" -eq 0 ] && echo "ok: every damage was refused or harmless"
exit "$bad"
