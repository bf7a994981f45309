#!/usr/bin/env bash
# test: label=fast
# `moe generate` with models trained for moments on every kind of token: seeds, threads, ends, prompts, columns, and what it
# refuses.
set -euo pipefail
moe=$1/bin/moe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
ok() { echo "ok: $*"; }
fail() { echo "FAILED: $*"; bad=1; }
check() { # what, then a command that must succeed
    local what=$1
    shift
    if "$@"; then ok "$what"; else fail "$what"; fi
}
expect() { # what, exit code, pattern, arguments of moe generate...
    local what=$1 code=$2 pattern=$3 got=0
    shift 3
    "$moe" generate "$@" >"$work/out" 2>&1 || got=$?
    if [ "$got" -eq "$code" ] && grep -qE -- "$pattern" "$work/out"; then
        ok "$what"
    else
        fail "$what: exit code $got (expected $code), output:"
        cat "$work/out"
    fi
}

mkdir -p "$work/data" "$work/suites/small"
for i in $(seq 150); do
    printf 'Once there was a cat number %d.\nIt sat on mat %d and was glad. Caf\xc3\xa9!\n<|endoftext|>\n' "$i" "$((i * 7 % 13))"
done >"$work/data/t.txt"
cat >"$work/suites/small/suite.toml" <<'TOML'
title = "Small"
source = "D"
[base.model]
vocab_size = 1000
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 8
max_position_embeddings = 48
positions = "rope"
[base.data]
source = "stories"
train_tokens = 4097
validation_tokens = 257
sequence_length = 32
[base.train]
batch_size = 8
max_epochs = 2
lr = 0.01
[protocol.corrected]
[tier.smoke]
[experiment.dense]
[experiment.moe]
moe.layers = "all"
moe.num_experts = 4
moe.num_active_experts = 2
moe.lb_gamma = 0.01
[experiment.learned]
model.positions = "learned"
[experiment.words]
data.source = "text"
data.train_files = ["t.txt"]
data.tokenizer = "word"
data.train_tokens = 2049
[experiment.bytes]
data.source = "text"
data.train_files = ["t.txt"]
data.tokenizer = "byte"
[experiment.pieces]
data.source = "text"
data.train_files = ["t.txt"]
data.tokenizer = "sentencepiece"
data.tokenizer_file = "own.model"
[experiment.numbers]
data.source = "uniform"
TOML
export MOE_SUITES=$work/suites MOE_DATA_DIR=$work/data
unset COLUMNS
"$moe" data tokenizer train "$work/data/t.txt" --vocab 300 --out "$work/suites/small/own.model" >/dev/null
for name in dense moe learned words bytes pieces numbers; do
    "$moe" train "small/$name" --threads 1 --keep-model --out "$work/$name.h5" >/dev/null 2>"$work/log" ||
        { cat "$work/log"; echo "FAILED: training $name"; exit 1; }
    [ -e "$work/$name.safetensors" ] || { echo "FAILED: $name left no model"; exit 1; }
done
text() { local model=$1; shift; "$moe" generate "$work/$model.safetensors" "$@" 2>>"$work/log"; }

# the same text whatever the threads; another one with another seed
text moe --seed 4 --threads 1 --no-stop >"$work/a"
text moe --seed 4 --threads 2 --no-stop >"$work/b"
text moe --seed 5 --threads 1 --no-stop >"$work/c"
check "one thread and two: the same text" cmp "$work/a" "$work/b"
check "another seed: another text" test "$(cat "$work/a")" != "$(cat "$work/c")"
for name in dense moe learned; do
    check "$name: both devices take the same likeliest tokens" \
        test "$(text "$name" --temperature 0 --no-stop)" = "$(text "$name" --temperature 0 --no-stop --device reference)"
done

# how long a text is
# every word is a token and so is the end of a line, but perhaps for the last one
n=$(text moe --tokens 20 --no-stop | tee "$work/a" | wc -w)
n=$((n + $(wc -l <"$work/a")))
check "--tokens is how many come" test "$n" -eq 20 -o "$n" -eq 21
check "a story ends with its line" test "$(text moe | wc -l)" -eq 1
check "--no-stop goes on behind it" test "$(text moe --no-stop | wc -l)" -gt 1
check "lines of words go on up to an empty one" test "$(text words | wc -l)" -gt 1 -a "$(text words | grep -c '^$')" -eq 0
expect "a text ends with the positions, and says so" 0 "moe.safetensors: 48 tokens; the model has no positions" "$work/moe.safetensors" --tokens 500 --no-stop
expect "learned positions end with the training's sequences" 0 "learned.safetensors: 32 tokens; the model" "$work/learned.safetensors" --tokens 500 --no-stop

# prompts come first, in every kind of token
check "a prompt of words" grep -q "^the cook " <<<"$(text moe --prompt 'the cook')"
check "a prompt of words that are learned again" grep -q "^Once there was" <<<"$(text words --prompt 'Once there was')"
check "a prompt of bytes" grep -q "^Once" <<<"$(text bytes --prompt 'Once')"
check "a prompt of pieces" grep -q "^Once there" <<<"$(text pieces --prompt 'Once there')"
for name in words bytes pieces; do
    text "$name" --no-stop --seed 3 --temperature 3 --top-p 1 >"$work/a"
    check "$name: without a prompt, and any draws are UTF-8" iconv -f UTF-8 -t UTF-8 -o /dev/null "$work/a"
done

# a checkpoint of a run that is not complete: stopped by the first report
mkfifo "$work/progress"
"$moe" train small/moe --threads 1 --set train.max_epochs=1000 --out "$work/live.h5" --progress-fd 3 3>"$work/progress" >/dev/null 2>&1 &
pid=$!
while read -r _; do kill -INT "$pid" 2>/dev/null || true; done <"$work/progress"
wait "$pid" 2>/dev/null || true
expect "a checkpoint" 0 "^[a-z]" "$work/live.h5.ckpt" --no-stop

# several models
COLUMNS=100 text moe "$work/dense.safetensors" --no-stop >"$work/beside"
check "side by side: both names in one line" grep -qE "^small/moe +small/dense$" "$work/beside"
check "side by side: no line is wider than the terminal" test "$(wc -L <"$work/beside")" -le 100
text moe "$work/dense.safetensors" --no-stop >"$work/below"
check "a pipe gets one below the other" test "$(grep -c '^== small/' "$work/below")" -eq 2
check "--plain does so too" test "$(COLUMNS=100 text moe "$work/dense.safetensors" --plain --no-stop)" = "$(cat "$work/below")"
check "and so does a narrow terminal" test "$(COLUMNS=50 text moe "$work/dense.safetensors" --no-stop)" = "$(cat "$work/below")"
# one's text is the other's column: the same words in the same order
words_of() { tr -s ' \n' '\n' | grep -v '^$' || true; }
check "columns hold the same words" cmp <(tail -n +5 "$work/beside" | cut -c1-48 | words_of) <(text moe --no-stop | words_of)

# what it refuses
expect "a word that the model does not know" 1 "the prompt's 'xylophone' is unknown to .*moe.safetensors" "$work/moe.safetensors" --prompt "the xylophone"
expect "a prompt that is too long" 2 "the prompt has 51 tokens, but .* has only 48 positions" "$work/moe.safetensors" --prompt "$(printf 'the %.0s' $(seq 50))"
expect "a prompt that is no text" 2 "not UTF-8: byte 3 of it is 0xff" "$work/moe.safetensors" --prompt $'the\xff'
expect "a model without text" 1 "numbers.safetensors: the model has no tokenizer" "$work/numbers.safetensors"
expect "words whose text is gone" 1 "words.safetensors: no tokenizer: .*t.txt" "$work/words.safetensors" --data-dir "$work/none"
expect "a run file" 1 "holds no weights" "$work/moe.h5"
expect "no model" 2 "which model" --tokens 5
expect "no such model" 1 "none.safetensors" "$work/none.safetensors"
expect "no such device" 1 "no-such: unknown" "$work/moe.safetensors" --device no-such
expect "a temperature below zero" 2 "--temperature wants a number from 0" "$work/moe.safetensors" --temperature -1
expect "a share of nothing" 2 "--top-p wants a number" "$work/moe.safetensors" --top-p 0
if [ -w /dev/full ]; then expect_full=0; "$moe" generate "$work/moe.safetensors" >/dev/full 2>"$work/out" || expect_full=$?; check "a full disk" test "$expect_full" -eq 1; fi
head -c 20000 "$work/moe.safetensors" >"$work/cut.safetensors"
expect "a model that is cut short" 1 "cut.safetensors" "$work/cut.safetensors"

exit "$bad"
