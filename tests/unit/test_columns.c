/* test: rooms=core label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/columns.h"
#include "core/text.h"

static struct columns *open_columns(int32_t count, int32_t width, int32_t gap) {
    struct columns *c = NULL;
    assert_int_equal(columns_create(count, width, gap, &c, NULL), MOE_OK);
    return c;
}

static void add(struct columns *c, int32_t column, const char *text) {
    assert_int_equal(columns_add(c, column, text, strlen(text), NULL), MOE_OK);
}

/* The rows that are certain now, each with a | behind it. */
static void assert_rows(struct columns *c, const char *want) {
    struct text all = {0};
    const char *row = NULL;
    char *got = NULL;
    do {
        assert_int_equal(columns_next(c, &row, NULL), MOE_OK);
        if (row != NULL) text_append(&all, "%s|", row);
    } while (row != NULL);
    assert_int_equal(text_take(&all, &got, NULL), MOE_OK);
    assert_string_equal(got, want);
    free(got);
}

static void assert_wrapped(const char *text, int32_t width, const char *want) {
    struct columns *c = open_columns(1, width, 0);
    add(c, 0, text);
    columns_end(c, 0);
    assert_rows(c, want);
    columns_destroy(c);
    /* the same in any pieces */
    for (size_t piece = 1; piece <= 3; piece++) {
        struct text all = {0};
        const char *row = NULL;
        char *got = NULL;
        c = open_columns(1, width, 0);
        for (size_t at = 0; at <= strlen(text);) {
            size_t n = strlen(text + at) < piece ? strlen(text + at) : piece;
            while (((unsigned char)text[at + n] & 0xc0) == 0x80)
                n++;
            assert_int_equal(columns_add(c, 0, text + at, n, NULL), MOE_OK);
            at += n > 0 ? n : 1;
            if (at > strlen(text)) columns_end(c, 0);
            while (columns_next(c, &row, NULL) == MOE_OK && row != NULL)
                text_append(&all, "%s|", row);
        }
        assert_int_equal(text_take(&all, &got, NULL), MOE_OK);
        assert_string_equal(got, want);
        free(got);
        columns_destroy(c);
    }
}

static void lines_are_broken_between_words(void **state) {
    (void)state;
    assert_wrapped("the cat sat on the mat", 7, "the cat|sat on|the mat|");
    assert_wrapped("the cat", 7, "the cat|");
    assert_wrapped("the cat \nsat", 7, "the cat|sat|");
    assert_wrapped("the cat\n\nsat", 7, "the cat||sat|");
    assert_wrapped("the cat  \n\nsat", 7, "the cat||sat|");
    assert_wrapped("the    cat     sat", 7, "the|cat|sat|");
    assert_wrapped("unbelievable words", 5, "unbel|ievab|le|words|");
    assert_wrapped("a unbelievable", 5, "a|unbel|ievab|le|");
    assert_wrapped("  two in front", 8, "  two in|front|");
    assert_wrapped(" unbelievable", 5, " unbe|lieva|ble|");
    assert_wrapped("", 5, "");
    assert_wrapped("\n", 5, "|");
    assert_wrapped("abc", 3, "abc|");
    assert_wrapped("abcd\n", 3, "abc|d|");
}

static void width_is_what_a_terminal_shows(void **state) {
    (void)state;
    assert_wrapped("caf\xc3\xa9 na\xc3\xafve", 5, "caf\xc3\xa9|na\xc3\xafve|");
    assert_wrapped("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0", 5,
                   "\xe4\xbd\xa0\xe5\xa5\xbd|\xe4\xbd\xa0|"); /* 2 each */
}

static void rows_wait_for_every_column(void **state) {
    (void)state;
    struct columns *c = open_columns(2, 9, 2);
    assert_rows(c, "");
    add(c, 0, "the cat sat");
    assert_rows(c, "");
    add(c, 1, "a dog");
    assert_rows(c, "");
    add(c, 1, " ran away");
    assert_rows(c, "the cat    a dog ran|");
    columns_end(c, 1);
    assert_rows(c, "");
    columns_end(c, 0);
    assert_rows(c, "sat        away|");
    assert_rows(c, "");
    columns_destroy(c);
}

static void a_column_that_is_over_leaves_room(void **state) {
    (void)state;
    struct columns *c = open_columns(3, 4, 1);
    add(c, 0, "one\n");
    add(c, 1, "1\n2\n\n4");
    add(c, 2, "x y z zz\nend");
    for (int32_t i = 0; i < 3; i++)
        columns_end(c, i);
    assert_rows(c, "one  1    x y|     2    z zz|          end|     4|");
    columns_destroy(c);
}

static void control_characters_stay_out(void **state) {
    (void)state;
    assert_wrapped("a\x1b[31mb\tc\x07\x7f\xc2\x9b"
                   "d\r\ne",
                   20, "a[31mb cd|e|");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_broken_between_words), cmocka_unit_test(width_is_what_a_terminal_shows),
        cmocka_unit_test(rows_wait_for_every_column),     cmocka_unit_test(a_column_that_is_over_leaves_room),
        cmocka_unit_test(control_characters_stay_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
