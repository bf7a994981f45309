/* text.h - building text, numbers that read back exactly, and the nearest word to a mistyped one. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include "core/status.h"

/* A growing buffer, always ending in a 0 byte once something was appended. Start with {0}. An append that
 * finds no memory marks the text as failed and further ones do nothing, so that only text_take() needs a
 * check. */
struct text {
    char *data;
    size_t length, capacity; /* bytes, the final 0 not counted in length */
    bool failed;
};

void text_append(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_append_bytes(struct text *t, const char *bytes, size_t size);

/* Appends UTF-8 text without its control characters, which a terminal might obey; newlines stay, a tab
 * becomes a space. */
void text_append_printable(struct text *t, const char *utf8, size_t size);

/* Appends a string in double quotes, escaped as JSON and TOML both read it. */
void text_append_quoted(struct text *t, const char *string);

/* Hands the buffer to the caller, who frees it; "" if nothing was appended. MOE_ENOMEM if an append failed.
 */
moe_status text_take(struct text *t, char **out_string, moe_err *err);
void text_free(struct text *t);

#define TEXT_NUMBER_MAX 32

/* The shortest decimal number that strtod() reads back as exactly this value: 0.1, 1e-05, 3. Not for NaN and
 * Inf. */
void text_number(double value, char out[TEXT_NUMBER_MAX]);

/* Edit distance (Levenshtein, with a swap of neighbours as one edit) of two words; words beyond 127 bytes are
 * cut. */
size_t text_distance(const char *a, const char *b);

/* The candidate with the smallest distance to word, or NULL if none is close enough to be what was meant
 * (more than a third of the letters differ, but two always may). Of equals the first. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* Columns that UTF-8 text takes on a terminal: combining marks 0, wide East Asian letters and emoji 2,
 * invalid bytes and control characters 1 (text_append_clipped() shows them as '?'). */
size_t text_columns(const char *utf8);

/* Appends text in exactly `columns` columns: cut with an ellipsis if longer, filled with spaces if shorter.
 * Never cuts inside a character; control characters and invalid bytes become '?'. */
void text_append_clipped(struct text *t, const char *utf8, size_t columns);

#endif
