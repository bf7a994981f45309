#include "data/words.h"

#include <string.h>

bool is_white_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct word_cursor word_cursor_over(const char *text, int64_t size) {
    return (struct word_cursor){.at = text, .end = text + size};
}

bool word_is(const char *word, int64_t length, const char *expected) {
    return (size_t)length == strlen(expected) && memcmp(word, expected, (size_t)length) == 0;
}

bool word_next(struct word_cursor *cursor, const char **out_word, int64_t *out_length) {
    bool line_over = false;
    while (cursor->at < cursor->end && is_white_space(*cursor->at) && !line_over) {
        line_over = *cursor->at == '\n' && cursor->line_has_word;
        cursor->at++;
    }
    if (line_over || (cursor->at == cursor->end && cursor->line_has_word)) {
        cursor->line_has_word = false;
        *out_word = "";
        *out_length = 0;
        return true;
    }
    if (cursor->at == cursor->end) return false;
    const char *begin = cursor->at;
    while (cursor->at < cursor->end && !is_white_space(*cursor->at)) {
        cursor->at++;
    }
    *out_word = begin;
    *out_length = cursor->at - begin;
    if (word_is(begin, *out_length, DOCUMENT_END)) {
        *out_word = "";
        *out_length = 0;
    } else {
        cursor->line_has_word = true;
    }
    return true;
}

/* First byte behind the line that starts at p. */
static const char *line_end(const char *p, const char *end) {
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline == NULL ? end : newline + 1;
}

static bool is_marker_line(const char *line, const char *end) {
    const char *stop = line_end(line, end);
    while (stop > line && is_white_space(stop[-1])) {
        stop--;
    }
    return word_is(line, stop - line, DOCUMENT_END);
}

bool document_next(const char **at, const char *end, const char **out_document, int64_t *out_size,
                   bool *out_closed) {
    if (*at >= end) return false;
    const char *line = *at;
    while (line < end && !is_marker_line(line, end)) {
        line = line_end(line, end);
    }
    *out_document = *at;
    *out_size = line - *at;
    *out_closed = line < end;
    *at = line < end ? line_end(line, end) : end;
    return true;
}
