/* test: rooms=data label=fast */
/* Text that comes token by token is the text of all tokens, in whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "core/text.h"
#include "data/detokenizer.h"
#include "data/stories.h"

/* Strict UTF-8, by the table of RFC 3629. */
static bool is_utf8(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < size;) {
        const int n = s[i] < 0x80   ? 1
                      : s[i] < 0xc2 ? 0
                      : s[i] < 0xe0 ? 2
                      : s[i] < 0xf0 ? 3
                      : s[i] < 0xf5 ? 4
                                    : 0;
        if (n == 0 || i + (size_t)n > size) return false;
        for (int j = 1; j < n; j++)
            if (s[i + (size_t)j] >> 6 != 2) return false;
        if (n == 3 && ((s[i] == 0xe0 && s[i + 1] < 0xa0) || (s[i] == 0xed && s[i + 1] > 0x9f))) return false;
        if (n == 4 && ((s[i] == 0xf0 && s[i + 1] < 0x90) || (s[i] == 0xf4 && s[i + 1] > 0x8f))) return false;
        i += (size_t)n;
    }
    return true;
}

/* Pushes all ids and returns everything that came out. */
static char *stream(const struct tokenizer *t, const int32_t *ids, int64_t count, int64_t *out_chunks) {
    struct detokenizer *d = NULL;
    struct text all = {0};
    const char *chunk = NULL;
    char *text = NULL;
    size_t size = 0;
    *out_chunks = 0;
    assert_int_equal(detokenizer_create(t, &d, NULL), MOE_OK);
    for (int64_t i = 0; i <= count; i++) {
        if (i < count)
            assert_int_equal(detokenizer_push(d, ids[i], &chunk, &size, NULL), MOE_OK);
        else
            assert_int_equal(detokenizer_end(d, &chunk, &size, NULL), MOE_OK);
        assert_true(is_utf8(chunk, size));
        text_append_bytes(&all, chunk, size);
        *out_chunks += size > 0;
    }
    detokenizer_destroy(d);
    assert_int_equal(text_take(&all, &text, NULL), MOE_OK);
    return text;
}

static void assert_streams(const struct tokenizer *t, const int32_t *ids, int64_t count, const char *want,
                           int64_t least_chunks) {
    int64_t chunks = 0;
    char *got = stream(t, ids, count, &chunks);
    assert_string_equal(got, want);
    assert_true(chunks >= least_chunks);
    free(got);
}

static void bytes_wait_for_their_character(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"plain", "plain"},
        {"a\xc3\xa9z \xe2\x82\xac \xf0\x9f\x98\x80!", "a\xc3\xa9z \xe2\x82\xac \xf0\x9f\x98\x80!"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},     /* its end never comes */
        {"\x80x\xff\xc3(", "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd("}, /* no characters */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},     /* a surrogate */
        {"\xc0\xaf\xe0\x80\xaf",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
        {"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd."},
    };
    struct tokenizer *t = NULL;
    assert_int_equal(tokenizer_bytes(&t, NULL), MOE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t ids[64];
        const int64_t n = (int64_t)strlen(cases[i].bytes);
        for (int64_t j = 0; j < n; j++)
            ids[j] = (unsigned char)cases[i].bytes[j];
        assert_streams(t, ids, n, cases[i].text, 1);
    }
    tokenizer_free(t);
}

static void any_bytes_give_text(void **state) {
    (void)state;
    enum { MANY = 3000 };
    const struct rng_key key = {.seed = 4, .stream = RNG_TEST};
    int32_t *ids = malloc(MANY * sizeof *ids);
    struct tokenizer *t = NULL;
    int64_t chunks = 0;
    assert_non_null(ids);
    assert_int_equal(tokenizer_bytes(&t, NULL), MOE_OK);
    for (int i = 0; i < MANY; i++)
        ids[i] = 1 + (int32_t)rng_below(key, (uint64_t)i, 255);
    char *text = stream(t, ids, MANY, &chunks);
    assert_true(chunks > MANY / 4);
    free(text);
    free(ids);
    tokenizer_free(t);
}

static void words_come_with_their_spaces(void **state) {
    (void)state;
    struct stories *s = NULL;
    struct tokenizer *t = NULL;
    struct token_buffer ids = {0};
    char *want = NULL;
    assert_int_equal(stories_open(&s, NULL), MOE_OK);
    assert_int_equal(stories_tokenizer(s, &t, NULL), MOE_OK);
    struct story_stream story = story_stream_at((struct rng_key){.seed = 1, .stream = RNG_DATA}, 0);
    while (ids.count < 500)
        assert_int_equal(stories_write(s, &story, &ids, NULL, NULL), MOE_OK);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.count, &want, NULL), MOE_OK);
    assert_streams(t, ids.ids, ids.count, want, ids.count);
    free(want);
    token_buffer_free(&ids);
    tokenizer_free(t);
    stories_close(s);
}

static struct tokenizer *open_pieces(void) {
    struct tokenizer *t = NULL;
    moe_err err = {0};
    if (tokenizer_sentencepiece(MOE_SOURCE_DIR "/runs/suites/moedl/tinystories-2048.model", &t, &err) !=
        MOE_OK)
        fail_msg("%s", err.message);
    return t;
}

/* Long enough for many windows; accents, an emoji and Chinese are spelled in bytes by a small model. */
static void pieces_are_joined_as_the_model_joins_them(void **state) {
    (void)state;
    static const char text[] =
        "Once upon a time, there was a little girl named Lily. She said:  \"Look, two  spaces!\"\n\nThen a "
        "caf\xc3\xa9 \xf0\x9f\x98\x80\xf0\x9f\x90\xb6 opened \xe4\xbd\xa0\xe5\xa5\xbd, and zxqj 1234 came.   "
        "      "
        "                                                                                   The end";
    struct tokenizer *t = open_pieces();
    struct token_buffer ids = {0};
    char *want = NULL;
    assert_int_equal(tokenizer_encode(t, text, (int64_t)strlen(text), 0, &ids, NULL), MOE_OK);
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.count, &want, NULL), MOE_OK);
    assert_string_equal(want, text);
    assert_streams(t, ids.ids, ids.count, want, 40);
    free(want);
    token_buffer_free(&ids);
    tokenizer_free(t);
}

static void bad_ids_are_refused_and_change_nothing(void **state) {
    (void)state;
    struct tokenizer *t = NULL;
    struct detokenizer *d = NULL;
    const char *chunk = NULL;
    size_t size = 0;
    assert_int_equal(tokenizer_bytes(&t, NULL), MOE_OK);
    assert_int_equal(detokenizer_create(t, &d, NULL), MOE_OK);
    assert_int_equal(detokenizer_push(d, 256, &chunk, &size, NULL), MOE_EARG);
    assert_int_equal(detokenizer_push(d, 'x', &chunk, &size, NULL), MOE_OK);
    assert_int_equal(size, 1);
    assert_int_equal(chunk[0], 'x');
    detokenizer_destroy(d);
    tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_wait_for_their_character),
        cmocka_unit_test(any_bytes_give_text),
        cmocka_unit_test(words_come_with_their_spaces),
        cmocka_unit_test(pieces_are_joined_as_the_model_joins_them),
        cmocka_unit_test(bad_ids_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
