#include "data/tokenizer_train.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/spm_shim.h"
#include "data/text_file.h"
#include "data/tokenizer.h"
#include "data/words.h"

enum { LEAST_PIECES = 3 + 256 + 1 }; /* <unk> <s> </s>, the bytes, and something to learn */

struct sentences {
    struct spm_sentence *items;
    size_t count, room;
};

static moe_status add_sentence(struct sentences *s, const char *text, int64_t size, moe_err *err) {
    moe_status status = MOE_OK;
    if (s->count == s->room) {
        const size_t room = s->room == 0 ? 1024 : 2 * s->room;
        struct spm_sentence *larger = realloc(s->items, room * sizeof *larger);
        moe_check(larger != NULL, err, MOE_ENOMEM, "no memory for %zu lines of text", room);
        s->items = larger;
        s->room = room;
    }
    s->items[s->count++] = (struct spm_sentence){.text = text, .size = (size_t)size};
out:
    return status;
}

/* The lines of a document, without the white space around them; empty ones are left out. */
static moe_status add_lines(struct sentences *s, const char *text, int64_t size, moe_err *err) {
    moe_status status = MOE_OK;
    const char *const end = text + size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end, *next = newline != NULL ? newline + 1 : end;
        while (text < stop && is_white_space(*text))
            text++;
        while (stop > text && is_white_space(stop[-1]))
            stop--;
        if (stop > text) moe_try(add_sentence(s, text, stop - text, err));
        text = next;
    }
out:
    return status;
}

static moe_status add_text(struct sentences *s, const struct text_file *text, moe_err *err) {
    moe_status status = MOE_OK;
    const char *at = text->bytes, *document = NULL;
    int64_t length = 0;
    bool closed = false;
    while (document_next(&at, text->bytes + text->size, &document, &length, &closed))
        moe_try(add_lines(s, document, length, err));
out:
    return status;
}

static void make_lower(struct text_file *text) {
    for (int64_t i = 0; i < text->size; i++) {
        if (text->bytes[i] >= 'A' && text->bytes[i] <= 'Z') text->bytes[i] += 'a' - 'A';
    }
}

static moe_status tell_tokens(const struct tokenizer *t, const struct text_file *text, FILE *out,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    moe_try(tokenizer_encode(t, text->bytes, text->size, 0, &ids, err));
    moe_check(ids.count > 0, err, MOE_EFORMAT, "%s: there is no text but document markers", text->path);
    fprintf(out, "%s: %lld bytes, %lld tokens, %.3f bytes per token\n", text->path, (long long)text->size,
            (long long)ids.count, (double)text->size / (double)ids.count);
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status check_settings(const struct tokenizer_training *what, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(what->num_files > 0, err, MOE_EUSAGE, "train on what? name the text files");
    moe_check(what->out != NULL && what->out[0] != '\0', err, MOE_EUSAGE,
              "--out is missing: the model to write");
    moe_check(what->vocab_size >= LEAST_PIECES, err, MOE_EUSAGE,
              "--vocab %d: at least %d are needed, 3 marks and 256 bytes are among them", what->vocab_size,
              LEAST_PIECES);
    moe_check(what->force || !file_exists(what->out), err, MOE_EEXIST,
              "%s: is there already; --force replaces it", what->out);
out:
    return status;
}

moe_status tokenizer_train(const struct tokenizer_training *what, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct text_file texts[TOKENIZER_TRAIN_MAX_FILES] = {0};
    struct sentences sentences = {0};
    struct tokenizer *t = NULL;
    unsigned char *model = NULL;
    size_t size = 0;
    moe_try(check_settings(what, err));
    for (int32_t i = 0; i < what->num_files; i++) {
        moe_try(text_file_read(NULL, what->files[i], true, &texts[i], err));
        if (what->lower) make_lower(&texts[i]);
        moe_try(add_text(&sentences, &texts[i], err));
    }
    moe_check(sentences.count > 0, err, MOE_EFORMAT, "%s: there is no text to learn from", what->files[0]);
    moe_try(spm_train(sentences.items, sentences.count, what->vocab_size, what->unigram, &model, &size, err));
    moe_try(file_make_parents(what->out, err));
    moe_try(file_write_atomic(what->out, model, size, err));
    moe_try(tokenizer_sentencepiece(what->out, &t, err));
    fprintf(out, "%s: %d pieces, %zu bytes, sha256 %s\n", what->out, tokenizer_size(t), size,
            tokenizer_sha256(t));
    for (int32_t i = 0; i < what->num_files; i++)
        moe_try(tell_tokens(t, &texts[i], out, err));
out:
    for (int32_t i = 0; i < what->num_files && i < TOKENIZER_TRAIN_MAX_FILES; i++)
        text_file_free(&texts[i]);
    free(sentences.items);
    free(model);
    tokenizer_free(t);
    return status;
}
