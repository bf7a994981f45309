/* test: rooms=core label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/text.h"
#include "core/toml_shim.h"

static moe_status parse(const char *text, json_t **root, json_t **lines, moe_err *err) {
    return toml_parse(text, strlen(text), "x.toml", root, lines, err);
}

static void values_keep_their_types_order_and_lines(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbfzeta = 1\n"
                               "alpha = 1.0 # a comment with \"quotes\" and '\n"
                               "\n"
                               "[b.z]\n"
                               "on = true\n"
                               "\"quoted.key\" = 'str \xce\xa6' # \xce\xa6\n"
                               "[b.a]\n"
                               "list = [\n"
                               "  1,\n"
                               "  2 ]\n"
                               "dotted.key = -3\n"
                               "[[claim]]\n"
                               "id = \"c1\"\n"
                               "[[claim]]\n"
                               "id = \"c2\"\n";
    moe_err err = {0};
    json_t *root = NULL, *lines = NULL;
    if (parse(text, &root, &lines, &err) != MOE_OK) fail_msg("%s", err.message);
    char *dump = json_dumps(root, JSON_COMPACT);
    assert_string_equal(dump, "{\"zeta\":1,\"alpha\":1.0,\"b\":{\"z\":{\"on\":true,\"quoted.key\":\"str "
                              "\xce\xa6\"},\"a\":{\"list\":"
                              "[1,2],\"dotted\":{\"key\":-3}}},\"claim\":[{\"id\":\"c1\"},{\"id\":\"c2\"}]}");
    assert_int_equal(toml_line(lines, "zeta"), 1);
    assert_int_equal(toml_line(lines, "b.z.on"), 5);
    assert_int_equal(toml_line(lines, "b.z.quoted.key"), 6);
    assert_int_equal(toml_line(lines, "b.a.list[1]"), 10);
    assert_int_equal(toml_line(lines, "b.a.dotted.key"), 11);
    assert_int_equal(toml_line(lines, "claim[1].id"), 15);
    assert_int_equal(toml_line(lines, "nothing"), 0);
    assert_int_equal(toml_line(NULL, "zeta"), 0);
    free(dump);
    json_decref(root);
    json_decref(lines);
}

static void bad_text_is_an_error_with_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *start;
    } cases[] = {
        {"a = 1\nb = \n", "x.toml:2: "},
        {"a = 1\na = 2\n", "x.toml:2: "},
        {"\n\n[a\n", "x.toml:3: "},
        {"a = \"unterminated\n", "x.toml:1: "},
        {"a = 2024-01-01\n", "x.toml:1: a: dates and times"},
        {"b = 1\na = nan\n", "x.toml:2: a: NaN"},
        {"a = [1, inf]\n", "x.toml:1: a[1]: NaN"},
        {"a = \"x\\u0000y\"\n", "x.toml:1: a NUL character"},
        {"\"a\\u0000b\" = 1\n", "x.toml:1: a NUL character"},
        {"a = 1\nb = [2, \xce\xa6\n", "x.toml:2: only ASCII"},
        {"\xce\xa6 = 2\n", "x.toml:1: only ASCII"},
        {"a = 1\n\x01 = 2\n", "x.toml:2: only ASCII"},
        {"[&", "x.toml:1: malformed"},
        {"a = 1\n[b]\n[[=]]\nc = 3\n", "x.toml:3: malformed"},
        {"[[[1]]]\n[$"
         "a]\n",
         "x.toml:1: malformed"},
        {"a = 99999999999999999999\n", "x.toml:1: "},
        {"a = \xff\xfe\n", "x.toml:1: "},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z = 1\n", "x.toml:1: a key of more than"},
        {"# \"\na = \"\"\"x\\\"\"\"\"\n[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z]\n",
         "x.toml:3: a key of more than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        json_t *root = NULL, *lines = NULL;
        assert_int_equal(parse(cases[i].text, &root, &lines, &err), MOE_ECONFIG);
        if (strncmp(err.message, cases[i].start, strlen(cases[i].start)) != 0)
            fail_msg("'%s' does not start with '%s'", err.message, cases[i].start);
        assert_null(root);
        assert_null(lines);
    }
}

/* Text that would make a recursive parser or destructor overflow its stack. */
static void depth_is_bounded(void **state) {
    (void)state;
    enum { N = 200000 };
    static const char *const pieces[] = {"a.", "[", "{a=", "[a.", "a={a.", "\"a\".", "'a' . ", "a=[{"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct text t = {0};
        moe_err err = {0};
        json_t *root = NULL;
        text_append(&t, "%s", i == 1 || i == 2 ? "x = " : "");
        while (t.length < N)
            text_append(&t, "%s", pieces[i]);
        assert_int_equal(parse(t.data, &root, NULL, &err), MOE_ECONFIG);
        text_free(&t);
    }
}

static void too_much_text_is_refused(void **state) {
    (void)state;
    moe_err err = {0};
    json_t *root = NULL;
    char *spaces = malloc(TOML_MAX_BYTES + 1);
    memset(spaces, '\n', TOML_MAX_BYTES + 1);
    assert_int_equal(toml_parse(spaces, TOML_MAX_BYTES + 1, "x.toml", &root, NULL, &err), MOE_ECONFIG);
    assert_int_equal(toml_parse(spaces, TOML_MAX_BYTES, "x.toml", &root, NULL, &err), MOE_OK);
    assert_int_equal(json_object_size(root), 0);
    json_decref(root);
    free(spaces);
    assert_int_equal(toml_parse_file("/tmp/moe no such file.toml", &root, NULL, &err), MOE_ENOTFOUND);
}

static void numbers_are_short_and_exact(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},      {1.0 / 3, "0.3333333333333333"},
                 {3e-4, "0.0003"},  {1e-5, "1e-05"},
                 {10000, "10000"},  {-2, "-2"},
                 {1e22, "1e+22"},   {0, "0"},
                 {0.5, "0.5"},      {123456.75, "123456.75"},
                 {5e-324, "5e-324"}};
    char text[TEXT_NUMBER_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_number(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    uint64_t bits = 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 20000; i++) {
        double value;
        bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
        const uint64_t finite = bits & ~(1ULL << 62); /* exponents that are not Inf or NaN */
        memcpy(&value, &finite, sizeof value);
        text_number(value, text);
        assert_true(strtod(text, NULL) == value);
    }
}

static void distances_count_edits(void **state) {
    (void)state;
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("abc", "acb"), 1);
    assert_int_equal(text_distance("same", "same"), 0);
    char *lengthy = malloc(1000);
    memset(lengthy, 'a', 999);
    lengthy[999] = 0;
    assert_int_equal(text_distance(lengthy, "a"), 126); /* only the first 127 bytes count */
    free(lengthy);
    static const char *const words[] = {"dense", "baseline", "top2"};
    assert_string_equal(text_nearest("basline", words, 3), "baseline");
    assert_string_equal(text_nearest("top1", words, 3), "top2");
    assert_string_equal(text_nearest("base", words, 3), "baseline");
    assert_null(text_nearest("xyz", words, 3));
    assert_null(text_nearest("", words, 3));
    assert_null(text_nearest("a", words, 0));
}

static void clipping_respects_columns_and_characters(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
        const char *clipped;
    } cases[] = {
        {"abc", 5, "abc  "},
        {"abcdef", 4, "abc\xe2\x80\xa6"},
        {"abc", 3, "abc"},
        {"abc", 0, ""},
        {"\xc3\xa4\xc3\xb6\xc3\xbc", 2, "\xc3\xa4\xe2\x80\xa6"},     /* two-byte letters */
        {"\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97"}, /* wide: two columns each */
        {"\xe6\xbc\xa2\xe5\xad\x97x", 4,
         "\xe6\xbc\xa2\xe2\x80\xa6 "},   /* a wide one does not fit into one column */
        {"e\xcc\x81x", 2, "e\xcc\x81x"}, /* a combining accent takes none */
        {"a\x1b[31mb", 7, "a?[31mb"},    /* no control sequences */
        {"\xff\xc3", 3, "?? "},          /* invalid bytes */
        {"\xed\xa0\x80", 3, "???"},      /* a surrogate is invalid */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = {0};
        text_append_bytes(&t, "", 0);
        text_append_clipped(&t, cases[i].text, cases[i].columns);
        assert_string_equal(t.data, cases[i].clipped);
        assert_int_equal(text_columns(t.data), cases[i].columns);
        text_free(&t);
    }
}

static void text_grows_and_is_handed_over(void **state) {
    (void)state;
    struct text t = {0};
    moe_err err = {0};
    char *taken = NULL;
    for (int i = 0; i < 1000; i++)
        text_append(&t, "%d,", i);
    assert_int_equal(t.length, strlen(t.data));
    assert_int_equal(text_take(&t, &taken, &err), MOE_OK);
    assert_non_null(strstr(taken, ",999,"));
    assert_null(t.data);
    free(taken);
    assert_int_equal(text_take(&t, &taken, &err), MOE_OK);
    assert_string_equal(taken, "");
    free(taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_types_order_and_lines),
        cmocka_unit_test(bad_text_is_an_error_with_its_line),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(too_much_text_is_refused),
        cmocka_unit_test(numbers_are_short_and_exact),
        cmocka_unit_test(distances_count_edits),
        cmocka_unit_test(clipping_respects_columns_and_characters),
        cmocka_unit_test(text_grows_and_is_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
