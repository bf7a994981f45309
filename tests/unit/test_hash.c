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

#include "core/hash.h"

/* FIPS 180-4 examples. */
static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void sha256_matches_the_standard(void **state) {
    (void)state;
    char hex[HASH_SHA256_HEX];
    moe_err err = {0};
    assert_int_equal(hash_sha256("abc", 3, hex, &err), MOE_OK);
    assert_string_equal(hex, abc);
    assert_int_equal(hash_sha256(NULL, 0, hex, &err), MOE_OK);
    assert_string_equal(hex, empty);
}

static void pieces_and_files_give_the_same_as_one_buffer(void **state) {
    (void)state;
    enum { N = 1000000 };
    char hex[HASH_SHA256_HEX], path[] = "/tmp/moe_hash_XXXXXX";
    moe_err err = {0};
    struct hash_stream *stream = NULL;
    char *text = malloc(N);
    assert_non_null(text);
    memset(text, 'a', N);
    assert_int_equal(hash_sha256_new(&stream, &err), MOE_OK);
    for (size_t at = 0, size = 1; at < N; at += size, size = size * 3 + 1) {
        if (size > N - at) size = N - at;
        assert_int_equal(hash_sha256_update(stream, text + at, size, &err), MOE_OK);
    }
    assert_int_equal(hash_sha256_final(stream, hex, &err), MOE_OK);
    assert_string_equal(hex, million_a);

    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, N), N);
    close(fd);
    uint64_t size = 0;
    assert_int_equal(hash_sha256_file(path, hex, &size, &err), MOE_OK);
    assert_string_equal(hex, million_a);
    assert_int_equal(size, N);
    unlink(path);
    assert_int_equal(hash_sha256_file(path, hex, NULL, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(hash_sha256_file("/tmp", hex, NULL, &err), MOE_EIO);
    free(text);
}

static void xxh3_matches_its_published_values(void **state) {
    (void)state;
    char hex[HASH_XXH128_HEX];
    /* XXH3 of the empty input, seed 0 (the specification's sanity values). */
    assert_true(hash_xxh3_64("", 0) == 0x2d06800538d394c2ULL);
    hash_xxh3_128("", 0, hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_true(hash_xxh3_64("ab", 2) != hash_xxh3_64("ba", 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_the_standard),
        cmocka_unit_test(pieces_and_files_give_the_same_as_one_buffer),
        cmocka_unit_test(xxh3_matches_its_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
