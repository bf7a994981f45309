/* words.h - walks through a text word by word, by the rules of word tokenizers (tokenizer.h). */
#ifndef DATA_WORDS_H
#define DATA_WORDS_H

#include "core/status.h"

struct word_cursor {
    const char *at, *end;
    bool line_has_word;
};

/* The line that ends a document. */
#define DOCUMENT_END "<|endoftext|>"

struct word_cursor word_cursor_over(const char *text, int64_t size);

/* The next token: a word (length > 0) or an end of line (length 0). False when the text is over. */
bool word_next(struct word_cursor *cursor, const char **out_word, int64_t *out_length);

/* True when the bytes [length] are exactly this word. */
bool word_is(const char *word, int64_t length, const char *expected);

/* The next document of a text: advances *at and gives the document's bytes, without the marker line. False
 * when the text is over. closed tells whether a marker followed. */
bool document_next(const char **at, const char *end, const char **out_document, int64_t *out_size,
                   bool *out_closed);

/* True for the six bytes that separate words. */
bool is_white_space(char c);

#endif
