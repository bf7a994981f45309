#include "data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/dataset.h"
#include "data/spm_shim.h"
#include "data/words.h"

enum { BYTE_IDS = 256, BYTE_BOUNDARY = 0, PART_BYTES = 1 << 20 };

struct tokenizer {
    enum tokenizer_kind kind;
    struct word_table words; /* TOKENIZE_WORD: word i has id TOKENIZER_FIRST_WORD + i */
    struct spm *spm;         /* TOKENIZE_SENTENCEPIECE */
    char sha256[HASH_SHA256_HEX];
};

static moe_status tokenizer_new(enum tokenizer_kind kind, struct tokenizer **out_tokenizer, moe_err *err) {
    struct tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return moe_fail(err, MOE_ENOMEM, "no memory for a tokenizer");
    t->kind = kind;
    *out_tokenizer = t;
    return MOE_OK;
}

void tokenizer_free(struct tokenizer *t) {
    if (t == NULL) return;
    word_table_free(&t->words);
    spm_free(t->spm);
    free(t);
}

moe_status tokenizer_bytes(struct tokenizer **out_tokenizer, moe_err *err) {
    return tokenizer_new(TOKENIZE_BYTE, out_tokenizer, err);
}

moe_status tokenizer_find(const char *name, const char *const *folders, int32_t count, char **out_path,
                          moe_err *err) {
    moe_status status = MOE_OK;
    char *path = NULL, places[1024] = "";
    size_t used = 0;
    for (int32_t i = 0; i < count; i++) {
        path = path_join(folders[i], name);
        moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", name);
        if (file_exists(path)) {
            *out_path = path;
            path = NULL;
            goto out;
        }
        if (i == 0 || name[0] != '/')
            used += (size_t)snprintf(places + used, sizeof places - used, "%s%s", i == 0 ? "" : " or ", path);
        if (used >= sizeof places) used = sizeof places - 1;
        free(path);
        path = NULL;
    }
    moe_check(false, err, MOE_ENOTFOUND,
              "%s: no such tokenizer model; point --data-dir at the folder that has it, learn one with `moe "
              "data tokenizer train`, or change data.tokenizer_file",
              places);
out:
    free(path);
    return status;
}

moe_status tokenizer_sentencepiece(const char *path, struct tokenizer **out_tokenizer, moe_err *err) {
    moe_status status = MOE_OK;
    struct tokenizer *t = NULL;
    unsigned char *bytes = NULL;
    size_t size = 0;
    char sha256[HASH_SHA256_HEX];
    moe_check(
        file_exists(path), err, MOE_ENOTFOUND,
        "%s: no such tokenizer model; point --data-dir at the folder that has it or change tokenizer_file",
        path);
    moe_try(file_read_all(path, (size_t)1 << 30, &bytes, &size, err));
    moe_try(hash_sha256(bytes, size, sha256, err));
    moe_try(tokenizer_new(TOKENIZE_SENTENCEPIECE, &t, err));
    memcpy(t->sha256, sha256, sizeof sha256);
    moe_try(spm_load(bytes, size, path, &t->spm, err));
    *out_tokenizer = t;
    t = NULL;
out:
    free(bytes);
    tokenizer_free(t);
    return status;
}

/* Words that have an id of their own whether or not they are learned; -1 for all others. */
static int32_t reserved_word(const char *word, int64_t length) {
    if (word_is(word, length, "<unk>")) return TOKENIZER_UNK;
    if (length == 0 || word_is(word, length, "<eos>")) return TOKENIZER_EOS;
    return -1;
}

static moe_status count_words(const struct text_file *texts, int32_t count, int64_t max_tokens,
                              struct word_table *counts, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t tokens = 0;
    for (int32_t i = 0; i < count; i++) {
        struct word_cursor cursor = word_cursor_over(texts[i].bytes, texts[i].size);
        const char *word = NULL;
        int64_t length = 0;
        while ((max_tokens == 0 || tokens < max_tokens) && word_next(&cursor, &word, &length)) {
            int32_t number = 0;
            if (reserved_word(word, length) < 0) moe_try(word_table_add(counts, word, length, &number, err));
            tokens++;
        }
    }
out:
    return status;
}

/* Adds the most frequent words of `counts` until there are vocab_size - 2. */
static moe_status add_frequent_words(struct tokenizer *t, const struct word_table *counts, int32_t vocab_size,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    int32_t *order = NULL;
    moe_try(word_table_rank(counts, &order, err));
    for (int32_t i = 0; i < counts->size && t->words.size < vocab_size - TOKENIZER_FIRST_WORD; i++) {
        const struct word *w = &counts->words[order[i]];
        int32_t number = 0;
        moe_try(word_table_add(&t->words, counts->bytes + w->offset, w->length, &number, err));
    }
out:
    free(order);
    return status;
}

moe_status tokenizer_learn_words(const struct text_file *texts, int32_t count, int64_t max_tokens,
                                 int32_t vocab_size, struct tokenizer **out_tokenizer, moe_err *err) {
    moe_status status = MOE_OK;
    struct tokenizer *t = NULL;
    struct word_table counts = {0};
    moe_check(vocab_size > TOKENIZER_FIRST_WORD, err, MOE_ECONFIG,
              "vocab_size %d leaves no room for words: <unk> and <eos> take two ids; use at least 3",
              vocab_size);
    moe_try(tokenizer_new(TOKENIZE_WORD, &t, err));
    moe_try(count_words(texts, count, max_tokens, &counts, err));
    moe_try(add_frequent_words(t, &counts, vocab_size, err));
    *out_tokenizer = t;
    t = NULL;
out:
    word_table_free(&counts);
    tokenizer_free(t);
    return status;
}

moe_status tokenizer_extend_words(const struct word_table *given, const struct text_file *texts,
                                  const int64_t *max_tokens, int32_t count, int32_t vocab_size,
                                  struct tokenizer **out_tokenizer, moe_err *err) {
    moe_status status = MOE_OK;
    struct tokenizer *t = NULL;
    struct word_table counts = {0};
    moe_check(vocab_size >= TOKENIZER_FIRST_WORD + given->size, err, MOE_ECONFIG,
              "vocab_size %d leaves no room for the %d words given; set model.vocab_size to at least %d",
              vocab_size, given->size, TOKENIZER_FIRST_WORD + given->size);
    for (int32_t i = 0; i < count; i++) {
        if (max_tokens[i] > 0) moe_try(count_words(&texts[i], 1, max_tokens[i], &counts, err));
    }
    moe_try(tokenizer_from_words(given, &t, err));
    moe_try(add_frequent_words(t, &counts, vocab_size, err));
    *out_tokenizer = t;
    t = NULL;
out:
    word_table_free(&counts);
    tokenizer_free(t);
    return status;
}

moe_status tokenizer_from_words(const struct word_table *words, struct tokenizer **out_tokenizer,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct tokenizer *t = NULL;
    moe_try(tokenizer_new(TOKENIZE_WORD, &t, err));
    for (int32_t i = 0; i < words->size; i++) {
        const struct word *w = &words->words[i];
        int32_t number = 0;
        moe_try(word_table_add(&t->words, words->bytes + w->offset, w->length, &number, err));
    }
    *out_tokenizer = t;
    t = NULL;
out:
    tokenizer_free(t);
    return status;
}

const char *tokenizer_sha256(const struct tokenizer *t) {
    return t->sha256;
}

int32_t tokenizer_size(const struct tokenizer *t) {
    switch (t->kind) {
    case TOKENIZE_WORD:
        return TOKENIZER_FIRST_WORD + t->words.size;
    case TOKENIZE_BYTE:
        return BYTE_IDS;
    default:
        return spm_size(t->spm);
    }
}

int32_t tokenizer_unk(const struct tokenizer *t) {
    switch (t->kind) {
    case TOKENIZE_WORD:
        return TOKENIZER_UNK;
    case TOKENIZE_BYTE:
        return -1;
    default:
        return spm_unk(t->spm);
    }
}

int32_t tokenizer_boundary(const struct tokenizer *t) {
    switch (t->kind) {
    case TOKENIZE_WORD:
        return TOKENIZER_EOS;
    case TOKENIZE_BYTE:
        return BYTE_BOUNDARY;
    default:
        return spm_bos(t->spm) >= 0 ? spm_bos(t->spm) : spm_eos(t->spm);
    }
}

int32_t tokenizer_eos(const struct tokenizer *t) {
    return t->kind == TOKENIZE_SENTENCEPIECE ? spm_eos(t->spm) : -1;
}

int64_t tokenizer_count_words(const char *text, int64_t size) {
    struct word_cursor cursor = word_cursor_over(text, size);
    const char *word = NULL;
    int64_t length = 0, tokens = 0;
    while (word_next(&cursor, &word, &length)) {
        tokens++;
    }
    return tokens;
}

static moe_status encode_words(const struct tokenizer *t, const char *text, int64_t size, int64_t limit,
                               struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct word_cursor cursor = word_cursor_over(text, size);
    const char *word = NULL;
    int64_t length = 0;
    while (out->count < limit && word_next(&cursor, &word, &length)) {
        int32_t id = reserved_word(word, length);
        if (id < 0) {
            const int32_t number = word_table_find(&t->words, word, length);
            id = number < 0 ? TOKENIZER_UNK : TOKENIZER_FIRST_WORD + number;
        }
        moe_try(token_buffer_add(out, id, err));
    }
out:
    return status;
}

static moe_status encode_bytes(const char *text, int64_t size, int64_t limit, struct token_buffer *out,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const char *at = text, *document = NULL;
    int64_t length = 0;
    bool closed = false;
    while (out->count < limit && document_next(&at, text + size, &document, &length, &closed)) {
        moe_try(token_buffer_reserve(out, length + 1, err));
        for (int64_t i = 0; i < length; i++) {
            out->ids[out->count++] = (unsigned char)document[i];
        }
        if (closed) out->ids[out->count++] = BYTE_BOUNDARY;
    }
out:
    return status;
}

/* Bytes of the part of a document that starts at `document`: all of it, or up to a line's end, or, in a line
 * that is itself too long, up to a character's end. */
static int64_t part_length(const char *document, int64_t length) {
    if (length <= PART_BYTES) return length;
    int64_t n = PART_BYTES;
    while (n > 0 && document[n - 1] != '\n') {
        n--;
    }
    if (n > 0) return n;
    for (n = PART_BYTES; n > PART_BYTES - 4 && ((unsigned char)document[n] & 0xc0) == 0x80;) {
        n--;
    }
    return n;
}

static moe_status encode_pieces(const struct tokenizer *t, const char *text, int64_t size, int64_t limit,
                                struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *at = text, *document = NULL;
    int64_t length = 0;
    bool closed = false;
    while (out->count < limit && document_next(&at, text + size, &document, &length, &closed)) {
        while (length > 0 && is_white_space(document[0])) {
            document++;
            length--;
        }
        while (length > 0 && is_white_space(document[length - 1])) {
            length--;
        }
        if (length > 0 && spm_bos(t->spm) >= 0) moe_try(token_buffer_add(out, spm_bos(t->spm), err));
        while (length > 0 && out->count < limit) {
            const int64_t part = part_length(document, length);
            moe_try(spm_encode(t->spm, document, (size_t)part, out, err));
            document += part;
            length -= part;
        }
        if (closed && spm_bos(t->spm) < 0 && spm_eos(t->spm) >= 0)
            moe_try(token_buffer_add(out, spm_eos(t->spm), err));
    }
out:
    return status;
}

moe_status tokenizer_encode(const struct tokenizer *t, const char *text, int64_t size, int64_t max_tokens,
                            struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t limit = max_tokens > 0 ? out->count + max_tokens : INT64_MAX;
    switch (t->kind) {
    case TOKENIZE_WORD:
        moe_try(encode_words(t, text, size, limit, out, err));
        break;
    case TOKENIZE_BYTE:
        moe_try(encode_bytes(text, size, limit, out, err));
        break;
    default:
        moe_try(encode_pieces(t, text, size, limit, out, err));
        break;
    }
    if (out->count > limit) out->count = limit;
out:
    return status;
}

/* Bytes of one id of a word or byte tokenizer. */
static const char *id_bytes(const struct tokenizer *t, int32_t id, char *byte, int64_t *length) {
    if (t->kind == TOKENIZE_WORD && id >= TOKENIZER_FIRST_WORD) {
        const struct word *w = &t->words.words[id - TOKENIZER_FIRST_WORD];
        *length = w->length;
        return t->words.bytes + w->offset;
    }
    const bool boundary = t->kind == TOKENIZE_BYTE && id == BYTE_BOUNDARY;
    const char *fixed = boundary ? DOCUMENT_END "\n" : id == TOKENIZER_UNK ? "<unk>" : "\n";
    if (t->kind == TOKENIZE_BYTE && !boundary) {
        *byte = (char)id;
        *length = 1;
        return byte;
    }
    *length = (int64_t)strlen(fixed);
    return fixed;
}

/* Writes the text of ids if `text` is given; returns its length. */
static int64_t decode_into(const struct tokenizer *t, const int32_t *ids, int64_t count, char *text) {
    int64_t used = 0;
    bool spaced = false; /* a space is due before the next word */
    for (int64_t i = 0; i < count; i++) {
        char byte = 0;
        int64_t length = 0;
        const char *bytes = id_bytes(t, ids[i], &byte, &length);
        const bool word = t->kind == TOKENIZE_WORD && ids[i] != TOKENIZER_EOS;
        if (spaced && word) {
            if (text != NULL) text[used] = ' ';
            used++;
        }
        if (text != NULL) memcpy(text + used, bytes, (size_t)length);
        used += length;
        spaced = word;
    }
    return used;
}

moe_status tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, char **out_text,
                            moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t i = 0; i < count; i++) {
        moe_check(ids[i] >= 0 && ids[i] < tokenizer_size(t), err, MOE_EARG,
                  "token %lld is id %d, but the tokenizer's ids lie in [0, %d)", (long long)i, ids[i],
                  tokenizer_size(t));
    }
    if (t->kind == TOKENIZE_SENTENCEPIECE) return spm_decode(t->spm, ids, count, out_text, err);
    const int64_t size = decode_into(t, ids, count, NULL);
    char *text = malloc((size_t)size + 1);
    moe_check(text != NULL, err, MOE_ENOMEM, "no memory for %lld bytes of text", (long long)size);
    decode_into(t, ids, count, text);
    text[size] = '\0';
    *out_text = text;
out:
    return status;
}
