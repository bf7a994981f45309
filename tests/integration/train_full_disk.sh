#!/usr/bin/env bash
# test: label=slow
# A disk that fills up ends a run with a clear error; with room made, the same command goes on to the same digest.
set -euo pipefail
moe=$1/bin/moe report=$1/bin/moe-report
work=$(mktemp -d)
cleanup() { umount "$work/disk" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
mkdir "$work/disk"
mount -t tmpfs -o size=4m none "$work/disk" 2>/dev/null || { echo "skipped: mounting a tmpfs needs root"; exit 77; }
small=(--set train.max_epochs=3 --set train.patience=0 --set data.train_tokens=2561 --set train.checkpoint_steps=4)
train() { "$moe" train moe-vs-dense/dense --seed 3 --threads 1 "${small[@]}" "$@"; }

train --out "$work/whole.h5" >/dev/null 2>&1
head -c 3900k /dev/zero >"$work/disk/filler"
code=0
train --out "$work/disk/run.h5" >/dev/null 2>"$work/log" || code=$?
[ "$code" -eq 1 ] || { echo "FAILED: exit code $code on a full disk, expected 1" >&2; cat "$work/log" >&2; exit 1; }
grep -qi "no space left\|disk is full\|full" "$work/log" || { echo "FAILED: the message does not name the full disk" >&2; cat "$work/log" >&2; exit 1; }
grep -q "run.h5" "$work/log" || { echo "FAILED: the message names no file" >&2; exit 1; }
rm "$work/disk/filler"
mount -o remount,size=64m "$work/disk"
train --out "$work/disk/run.h5" >/dev/null 2>>"$work/log"
[ "$("$report" runs digest "$work/disk/run.h5" | cut -d' ' -f1)" = "$("$report" runs digest "$work/whole.h5" | cut -d' ' -f1)" ] ||
    { echo "FAILED: the digest differs after the disk had been full" >&2; exit 1; }
echo "ok: clear error, then the same digest"
