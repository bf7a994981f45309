#include "core/columns.h"

#include <stdlib.h>
#include <string.h>

#include "core/text.h"

struct column {
    struct text text;
    size_t at;    /* bytes that stand in rows already */
    bool wrapped; /* the line before goes on in this one */
    bool ended;
};

struct columns {
    int32_t count, width, gap;
    struct column *column; /* [count] */
    struct text row;
};

/* A line of a column: bytes [begin, end) of its text, the next one begins at `next`. */
struct line {
    size_t begin, end, next;
    bool wrapped; /* ended for want of room */
};

enum line_state { LINE_READY, LINE_OPEN, LINE_NONE }; /* OPEN: more text may change it; NONE: no more come */

moe_status columns_create(int32_t count, int32_t width, int32_t gap, struct columns **out_columns,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct columns *c = calloc(1, sizeof *c);
    moe_check(c != NULL, err, MOE_ENOMEM, "no memory for columns");
    moe_check(count >= 1 && width >= 2 && gap >= 0, err, MOE_EARG, "%d columns of %d with gaps of %d", count,
              width, gap);
    c->count = count, c->width = width, c->gap = gap;
    c->column = calloc((size_t)count, sizeof *c->column);
    moe_check(c->column != NULL, err, MOE_ENOMEM, "no memory for %d columns", count);
    *out_columns = c;
    c = NULL;
out:
    columns_destroy(c);
    return status;
}

void columns_destroy(struct columns *c) {
    if (c == NULL) return;
    for (int32_t i = 0; c->column != NULL && i < c->count; i++)
        text_free(&c->column[i].text);
    free(c->column);
    text_free(&c->row);
    free(c);
}

moe_status columns_add(struct columns *c, int32_t column, const char *text, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    struct text *to = &c->column[column].text;
    text_append_printable(to, text, size);
    moe_check(!to->failed, err, MOE_ENOMEM, "no memory for a column of text");
out:
    return status;
}

void columns_end(struct columns *c, int32_t column) {
    c->column[column].ended = true;
}

/* Bytes of the character at s, and the terminal columns it takes. */
static size_t character(const char *s, size_t *out_width) {
    char one[5] = {0};
    size_t n = 1;
    while (n < 4 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    memcpy(one, s, n);
    *out_width = text_columns(one);
    return n;
}

/* Where a column's next line begins: spaces at which it was broken, and an end of line behind them, belong to
 * the line before. */
static size_t line_begin(const struct column *column) {
    const char *text = column->text.data;
    size_t at = column->at;
    while (column->wrapped && at < column->text.length && text[at] == ' ')
        at++;
    if (column->wrapped && at < column->text.length && text[at] == '\n') at++;
    return at;
}

/* A line is broken at the last space that fits, within a word only if the word is wider than the column. */
static enum line_state next_line(const struct column *column, size_t width, struct line *line) {
    const char *text = column->text.data;
    const size_t length = column->text.length, begin = line_begin(column);
    size_t used = 0, space = 0, bytes = 0, character_width = 0;
    bool has_word = false, has_space = false;
    *line = (struct line){.begin = begin, .end = length, .next = length};
    for (size_t i = begin; i < length; i += bytes) {
        bytes = character(text + i, &character_width);
        if (text[i] == '\n') {
            line->end = i, line->next = i + 1;
            return LINE_READY;
        }
        if (text[i] == ' ' && has_word) space = i, has_space = true;
        has_word = has_word || text[i] != ' ';
        if (used + character_width > width) {
            line->end = line->next = has_space ? space : i;
            line->wrapped = true;
            return LINE_READY;
        }
        used += character_width;
    }
    if (!column->ended) return LINE_OPEN;
    return begin < length ? LINE_READY : LINE_NONE;
}

/* Adds a line as a cell that begins in terminal column `from` of the row; rows end with their last letter. */
static void put_cell(struct text *row, const char *text, size_t size, size_t from) {
    while (size > 0 && text[size - 1] == ' ')
        size--;
    if (size == 0) return;
    for (size_t used = row->length > 0 ? text_columns(row->data) : 0; used < from; used++)
        text_append_bytes(row, " ", 1);
    text_append_bytes(row, text, size);
}

moe_status columns_next(struct columns *c, const char **out_row, moe_err *err) {
    moe_status status = MOE_OK;
    struct line line;
    bool any = false;
    *out_row = NULL;
    for (int32_t i = 0; i < c->count; i++) {
        const enum line_state state = next_line(&c->column[i], (size_t)c->width, &line);
        if (state == LINE_OPEN) goto out;
        any = any || state == LINE_READY;
    }
    if (!any) goto out;
    c->row.length = 0;
    text_append_bytes(&c->row, "", 0);
    for (int32_t i = 0; i < c->count; i++) {
        struct column *column = &c->column[i];
        if (next_line(column, (size_t)c->width, &line) != LINE_READY) continue;
        put_cell(&c->row, column->text.data + line.begin, line.end - line.begin,
                 (size_t)i * (size_t)(c->width + c->gap));
        column->at = line.next;
        column->wrapped = line.wrapped;
    }
    moe_check(!c->row.failed, err, MOE_ENOMEM, "no memory for a row of text");
    *out_row = c->row.data;
out:
    return status;
}
