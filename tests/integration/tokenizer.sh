#!/usr/bin/env bash
# test: label=fast
# A tokenizer learned from a text, put beside a suite, trains a run; the ids of the text are kept beside the run file, and
# neither the cache nor a second process nor a place where nothing can be kept changes the run.
set -euo pipefail
moe=$1/bin/moe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}
mkdir -p "$work/data" "$work/suites/small"
for i in $(seq 120); do
    printf 'Once there was a cat number %d.\nIt sat on mat %d and was glad.\n<|endoftext|>\n' "$i" "$((i * 7 % 13))"
done >"$work/data/t.txt"
cat >"$work/suites/small/suite.toml" <<'TOML'
title = "Small"
source = "D"
[base.model]
vocab_size = 300
hidden_size = 16
intermediate_size = 16
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
head_dim = 8
max_position_embeddings = 32
[base.data]
source = "text"
train_files = ["t.txt"]
tokenizer = "sentencepiece"
tokenizer_file = "own.model"
train_tokens = 1025
validation_tokens = 257
sequence_length = 32
[base.train]
batch_size = 8
max_epochs = 1
[protocol.corrected]
[tier.smoke]
[experiment.x]
doc = "A dense model of text pieces."
TOML
train() { # run file
    MOE_SUITES=$work/suites "$moe" train small/x --threads 1 --data-dir "$work/data" --out "$1" | sed 's/^[^:]*: //'
}
train "$work/a/x.h5" >"$work/log" 2>&1 && fail "a run without its tokenizer"
grep -q "data/own.model or .*suites/small/own.model: no such tokenizer" "$work/log" || fail "$(cat "$work/log")"
learn() {
    "$moe" data tokenizer train "$work/data/t.txt" --vocab 300 --out "$work/suites/small/own.model" "$@"
}
learn >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -qE "t.txt: [0-9]+ bytes, [0-9]+ tokens, [0-9.]+ bytes per token" "$work/log" || fail "$(cat "$work/log")"
[ "$(grep -c . "$work/log")" -eq 2 ] || fail "the library talks: $(cat "$work/log")"
learn >"$work/log" 2>&1 && fail "a model that was there is gone"
learn --force >"$work/log" 2>&1 || fail "$(cat "$work/log")"

first=$(train "$work/a/x.h5")
ls "$work"/a/.tokens/*-1282.tok >/dev/null || fail "no ids kept: $(ls -a "$work/a")"
[ "$(train "$work/a/y.h5")" = "$first" ] || fail "other bits with kept ids"
truncate -s 200 "$work"/a/.tokens/*.tok
[ "$(train "$work/a/z.h5")" = "$first" ] || fail "other bits with damaged ids"
mkdir "$work/b" && touch "$work/b/.tokens" # nothing can be kept here
[ "$(train "$work/b/x.h5")" = "$first" ] || fail "other bits without kept ids"
for i in 1 2 3; do train "$work/c/$i.h5" >"$work/$i.log" & done
wait
for i in 1 2 3; do [ "$(cat "$work/$i.log")" = "$first" ] || fail "process $i: $(cat "$work/$i.log")"; done
[ "$(ls "$work/c/.tokens")" = "$(ls "$work/a/.tokens")" ] || fail "left behind: $(ls "$work/c/.tokens")"
plan() { MOE_SUITES=$work/suites "$moe" suite small --plan --seeds 1 "$@" >"$work/log" 2>&1 || fail "$(cat "$work/log")"; }
plan
grep -qF "?" "$work/log" && fail "a plan of known length: $(cat "$work/log")"
plan --set data.train_tokens=0
grep -qE "^x.* \? +[0-9]+ MiB +\?$" "$work/log" || fail "a text of unknown length: $(cat "$work/log")"
grep -q "and 1 runs over all of a text" "$work/log" || fail "$(cat "$work/log")"
echo "ok: $first"
