#include "data/detokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "data/tokenizer.h"
#include "data/words.h"

/* A tokenizer's text of some ids is not the texts of the single ids one after the other: a piece begins with
 * a space or not, several ids spell one character. So the last few ids are decoded again with each new one,
 * and what is behind the text shown so far is new. */
enum {
    MOST_IDS = 64, /* of a window */
    LEAST_IDS = 8  /* kept when it is cut: more than the 4 bytes of a character */
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT_SIZE = sizeof replacement - 1, HELD_REPLACEMENTS = 3 };

struct detokenizer {
    const struct tokenizer *tokenizer;
    int32_t ids[MOST_IDS];
    int32_t count;
    size_t shown; /* bytes of the window's text that were given out */
    struct text out;
};

moe_status detokenizer_create(const struct tokenizer *t, struct detokenizer **out_detokenizer, moe_err *err) {
    moe_status status = MOE_OK;
    struct detokenizer *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory to turn tokens into text");
    d->tokenizer = t;
    *out_detokenizer = d;
out:
    return status;
}

void detokenizer_destroy(struct detokenizer *d) {
    if (d == NULL) return;
    text_free(&d->out);
    free(d);
}

/* Bytes of the character that begins at s [n], n > 0 (RFC 3629); 0: none does, -1: its end is missing. */
static int character_length(const unsigned char *s, size_t n) {
    const unsigned char c = s[0];
    const int length = c < 0x80                ? 1
                       : c >= 0xc2 && c < 0xe0 ? 2
                       : c >= 0xe0 && c < 0xf0 ? 3
                       : c >= 0xf0 && c < 0xf5 ? 4
                                               : 0;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n) return -1;
        const unsigned char least = i > 1 ? 0x80 : c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        const unsigned char most = i > 1 ? 0xbf : c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        if (s[i] < least || s[i] > most) return 0;
    }
    return length;
}

/* Bytes at the start of text [size] that further ids cannot change: all but a character's first bytes at its
 * end, or the U+FFFD that a SentencePiece model shows for each of them. */
static size_t certain_length(const char *text, size_t size) {
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        if (character_length((const unsigned char *)text + size - back, back) < 0) return size - back;
    }
    for (int i = 0; i < HELD_REPLACEMENTS && size >= REPLACEMENT_SIZE; i++) {
        if (memcmp(text + size - REPLACEMENT_SIZE, replacement, REPLACEMENT_SIZE) != 0) break;
        size -= REPLACEMENT_SIZE;
    }
    return size;
}

static void append_valid(struct text *out, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        const int length = character_length((const unsigned char *)text + at, size - at);
        if (length > 0) {
            text_append_bytes(out, text + at, (size_t)length);
            at += (size_t)length;
        } else {
            text_append_bytes(out, replacement, REPLACEMENT_SIZE);
            at++;
        }
    }
}

static bool has_word(const char *text) {
    while (*text != '\0' && is_white_space(*text))
        text++;
    return *text != '\0';
}

/* Leaves the last ids only. A window whose text is white space could swallow the space behind it, so such a
 * cut is made only where it must be. */
static moe_status cut_window(struct detokenizer *d, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    const int32_t *last = d->ids + d->count - LEAST_IDS;
    moe_try(tokenizer_decode(d->tokenizer, last, LEAST_IDS, &text, err));
    if (d->count < MOST_IDS && !has_word(text)) goto out;
    memmove(d->ids, last, LEAST_IDS * sizeof *last);
    d->count = LEAST_IDS;
    d->shown = strlen(text);
out:
    free(text);
    return status;
}

static moe_status give_out(struct detokenizer *d, const char **out_text, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(!d->out.failed, err, MOE_ENOMEM, "no memory for text");
    *out_text = d->out.length > 0 ? d->out.data : "";
    *out_size = d->out.length;
out:
    return status;
}

moe_status detokenizer_push(struct detokenizer *d, int32_t id, const char **out_text, size_t *out_size,
                            moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    d->out.length = 0;
    if (d->count == MOST_IDS) moe_try(cut_window(d, err));
    d->ids[d->count] = id;
    moe_try(tokenizer_decode(d->tokenizer, d->ids, d->count + 1, &text, err));
    d->count++;
    const size_t size = strlen(text), certain = certain_length(text, size);
    if (certain > d->shown) {
        append_valid(&d->out, text + d->shown, certain - d->shown);
        d->shown = certain;
    }
    if (d->count >= 2 * LEAST_IDS && d->shown == size) moe_try(cut_window(d, err));
    moe_try(give_out(d, out_text, out_size, err));
out:
    free(text);
    return status;
}

moe_status detokenizer_end(struct detokenizer *d, const char **out_text, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    d->out.length = 0;
    moe_try(tokenizer_decode(d->tokenizer, d->ids, d->count, &text, err));
    const size_t size = strlen(text);
    if (size > d->shown) append_valid(&d->out, text + d->shown, size - d->shown);
    d->count = 0;
    d->shown = 0;
    moe_try(give_out(d, out_text, out_size, err));
out:
    free(text);
    return status;
}
