#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct text *t, size_t extra) {
    if (t->failed) return false;
    if (t->length + extra + 1 <= t->capacity) return true;
    size_t capacity = t->capacity == 0 ? 256 : t->capacity;
    while (capacity < t->length + extra + 1)
        capacity *= 2;
    char *data = realloc(t->data, capacity);
    if (data == NULL) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_append(struct text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const int needed = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (needed < 0 || !reserve(t, (size_t)needed)) return;
    va_start(ap, fmt);
    vsnprintf(t->data + t->length, (size_t)needed + 1, fmt, ap);
    va_end(ap);
    t->length += (size_t)needed;
}

void text_append_bytes(struct text *t, const char *bytes, size_t size) {
    if (!reserve(t, size)) return;
    if (size > 0) memcpy(t->data + t->length, bytes, size);
    t->length += size;
    t->data[t->length] = 0;
}

void text_append_printable(struct text *t, const char *utf8, size_t size) {
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)utf8[i];
        const unsigned char next = i + 1 < size ? (unsigned char)utf8[i + 1] : 0;
        if (c == '\t') {
            text_append_bytes(t, " ", 1);
        } else if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* U+0080 to U+009F */
            i++;
        } else if (c == '\n' || (c >= 0x20 && c != 0x7f)) {
            text_append_bytes(t, utf8 + i, 1);
        }
    }
}

void text_append_quoted(struct text *t, const char *string) {
    text_append_bytes(t, "\"", 1);
    for (const char *p = string; *p != 0; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            text_append(t, "\\%c", c);
        else if (c == '\n')
            text_append_bytes(t, "\\n", 2);
        else if (c == '\t')
            text_append_bytes(t, "\\t", 2);
        else if (c < 0x20 || c == 0x7f)
            text_append(t, "\\u%04x", c);
        else
            text_append_bytes(t, p, 1);
    }
    text_append_bytes(t, "\"", 1);
}

moe_status text_take(struct text *t, char **out_string, moe_err *err) {
    moe_status status = MOE_OK;
    text_append_bytes(t, "", 0);
    moe_check(!t->failed, err, MOE_ENOMEM, "no memory for %zu bytes of text", t->length);
    *out_string = t->data;
    *t = (struct text){0};
out:
    return status;
}

void text_free(struct text *t) {
    free(t->data);
    *t = (struct text){0};
}

void text_number(double value, char out[TEXT_NUMBER_MAX]) {
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) { /* 10000 rather than 1e+04 */
        snprintf(out, TEXT_NUMBER_MAX, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, TEXT_NUMBER_MAX, "%.*g", digits, value);
        if (strtod(out, NULL) == value) return;
    }
}

static size_t min3(size_t a, size_t b, size_t c) {
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t text_distance(const char *a, const char *b) {
    enum { MAX = 127 };
    unsigned char rows[3]
                      [MAX + 1]; /* the distances of prefixes of a: two rows back, one row back, this one */
    const size_t n = strnlen(a, MAX), m = strnlen(b, MAX);
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned char *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned char)i;
        for (size_t j = 1; j <= m; j++) {
            size_t d = min3(row[j - 1] + 1u, above[j] + 1u, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d = min3(d, above2[j - 2] + 1u, d);
            row[j] = (unsigned char)d;
        }
    }
    return rows[n % 3][m];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count) {
    const char *best = NULL;
    const size_t third = strlen(word) / 3;
    size_t best_distance = (third > 2 ? third : 2) + 1;
    for (size_t i = 0; i < count; i++) {
        const size_t d = text_distance(word, candidates[i]);
        if (d < best_distance && d < strlen(candidates[i])) {
            best = candidates[i];
            best_distance = d;
        }
    }
    for (size_t i = 0; i < count && best == NULL && strlen(word) >= 3; i++)
        if (strncmp(candidates[i], word, strlen(word)) == 0) best = candidates[i];
    return best;
}

/* Decodes one character; *bytes = its length, 1 for an invalid byte, for which -1 is returned. */
static int32_t decode(const char *s, size_t *bytes) {
    const unsigned char *p = (const unsigned char *)s;
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t length = p[0] < 0x80       ? 1
                          : p[0] >> 5 == 6  ? 2
                          : p[0] >> 4 == 14 ? 3
                          : p[0] >> 3 == 30 ? 4
                                            : 0;
    *bytes = 1;
    if (length == 0) return -1;
    if (length == 1) return p[0];
    int32_t c = p[0] & (0x7f >> length);
    for (size_t i = 1; i < length; i++) {
        if (p[i] >> 6 != 2) return -1;
        c = (c << 6) | (p[i] & 0x3f);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return -1;
    *bytes = length;
    return c;
}

static size_t width_of(int32_t c) {
    static const int32_t none[][2] = {{0x300, 0x36f},   {0x483, 0x489},    {0x591, 0x5bd},   {0x610, 0x61a},
                                      {0x64b, 0x65f},   {0x200b, 0x200f},  {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
                                      {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};
    static const int32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},  {0x3041, 0xa4cf},
                                      {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
                                      {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                                      {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (c >= none[i][0] && c <= none[i][1]) return 0;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (c >= wide[i][0] && c <= wide[i][1]) return 2;
    return 1;
}

static bool is_shown(int32_t c) {
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0);
}

size_t text_columns(const char *utf8) {
    size_t columns = 0, bytes;
    for (const char *p = utf8; *p != 0; p += bytes) {
        const int32_t c = decode(p, &bytes);
        columns += is_shown(c) ? width_of(c) : 1;
    }
    return columns;
}

void text_append_clipped(struct text *t, const char *utf8, size_t columns) {
    const bool cut = text_columns(utf8) > columns;
    const size_t room = cut && columns > 0 ? columns - 1 : columns;
    size_t used = 0, bytes;
    for (const char *p = utf8; *p != 0; p += bytes) {
        const int32_t c = decode(p, &bytes);
        const size_t width = is_shown(c) ? width_of(c) : 1;
        if (used + width > room) break;
        if (is_shown(c))
            text_append_bytes(t, p, bytes);
        else
            text_append_bytes(t, "?", 1);
        used += width;
    }
    if (cut && columns > 0) {
        text_append_bytes(t, "\xe2\x80\xa6", 3); /* U+2026, the ellipsis */
        used++;
    }
    for (; used < columns; used++)
        text_append_bytes(t, " ", 1);
}
