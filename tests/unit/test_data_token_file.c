/* test: rooms=data label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/rng.h"
#include "data/token_file.h"

enum { HEADER = 184, COUNT = 1000 };

static const char source[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char model[] = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

struct fixture {
    char path[64];
    int32_t ids[COUNT];
    struct token_file file;
    unsigned char *bytes; /* of the written file */
    size_t size;
};

static void fill(struct fixture *f, int32_t vocab_size) {
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = 0};
    for (int i = 0; i < COUNT; i++) {
        f->ids[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)vocab_size);
    }
    f->ids[0] = vocab_size - 1;
    f->file = (struct token_file){.vocab_size = vocab_size, .tokens = {.ids = f->ids, .count = COUNT}};
    memcpy(f->file.source_sha256, source, sizeof source);
    memcpy(f->file.tokenizer_sha256, model, sizeof model);
    assert_int_equal(token_file_write(f->path, &f->file, NULL), MOE_OK);
    free(f->bytes);
    assert_int_equal(file_read_all(f->path, 1 << 20, &f->bytes, &f->size, NULL), MOE_OK);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    snprintf(f->path, sizeof f->path, "/tmp/moe-tokens-XXXXXX");
    const int fd = mkstemp(f->path);
    if (fd < 0) return -1;
    close(fd);
    fill(f, 32000);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    free(f->bytes);
    free(f);
    return 0;
}

static void refused(const unsigned char *bytes, size_t size, const char *part) {
    struct token_file file = {0};
    moe_err err = {0};
    assert_int_equal(token_file_parse(bytes, size, "x.tok", &file, &err), MOE_EFORMAT);
    assert_ptr_equal(strstr(err.message, "x.tok: "), err.message);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" does not contain \"%s\"", err.message, part);
    assert_null(file.tokens.ids);
}

/* A change that the hashes do not give away: they are made right again. */
static void refused_rehashed(struct fixture *f, const char *part) {
    const uint64_t ids = hash_xxh3_64(f->bytes + HEADER, f->size - HEADER);
    memcpy(f->bytes + 168, &ids, 8);
    const uint64_t header = hash_xxh3_64(f->bytes, 176);
    memcpy(f->bytes + 176, &header, 8);
    refused(f->bytes, f->size, part);
}

static void what_is_written_comes_back(void **state) {
    struct fixture *f = *state;
    const int32_t sizes[4] = {2, 32000, 65536, 100000};
    for (int i = 0; i < 4; i++) {
        struct token_file back = {0};
        fill(f, sizes[i]);
        assert_int_equal(f->size, HEADER + COUNT * (sizes[i] <= 65536 ? 2 : 4));
        assert_int_equal(token_file_read(f->path, &back, NULL), MOE_OK);
        assert_int_equal(back.vocab_size, sizes[i]);
        assert_int_equal(back.tokens.count, COUNT);
        assert_memory_equal(back.tokens.ids, f->ids, sizeof f->ids);
        assert_string_equal(back.source_sha256, source);
        assert_string_equal(back.tokenizer_sha256, model);
        token_file_free(&back);
    }
}

static void every_truncation_is_refused(void **state) {
    struct fixture *f = *state;
    for (size_t size = 0; size < f->size; size++) {
        refused(f->bytes, size, size < 8 ? "not a token file" : "truncated");
    }
}

static void every_flipped_bit_is_refused(void **state) {
    struct fixture *f = *state;
    for (size_t at = 0; at < f->size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            f->bytes[at] ^= (unsigned char)(1 << bit);
            refused(f->bytes, f->size, "");
            f->bytes[at] ^= (unsigned char)(1 << bit);
        }
    }
}

static void messages_name_what_and_where(void **state) {
    struct fixture *f = *state;
    struct token_file back = {0};
    moe_err err = {0};
    assert_int_equal(token_file_read("/tmp/no-such-file.tok", &back, &err), MOE_ENOTFOUND);
    f->bytes[8] = 2;
    refused(f->bytes, f->size, "version 2 at offset 8");
    f->bytes[8] = 1;
    f->bytes[HEADER + 7] ^= 1;
    refused(f->bytes, f->size, "the ids (from offset 184) are damaged");
    f->bytes[HEADER + 7] ^= 1;
    f->bytes[40] ^= 1;
    refused(f->bytes, f->size, "the header");
    f->bytes[40] ^= 1;

    f->bytes[HEADER + 10] = f->bytes[HEADER + 11] = 0xff;
    refused_rehashed(f, "id 65535 at offset 194 is not in [0, 32000)");
    f->bytes[HEADER + 10] = f->bytes[HEADER + 11] = 0;
    memset(f->bytes + 24, 0xff, 8);
    refused_rehashed(f, "truncated: 18446744073709551615 ids promised, 1000 there");
    memset(f->bytes + 24, 0, 8);
    refused_rehashed(f, "its 0 ids end at offset 184");
    f->bytes[24] = 232, f->bytes[25] = 3;
    f->bytes[16] = f->bytes[17] = 0;
    refused_rehashed(f, "vocab_size 0 at offset 16");
    f->bytes[17] = 125;
    f->bytes[32] = 'g';
    refused_rehashed(f, "SHA-256 at offset 32");
}

static void ids_out_of_range_are_not_written(void **state) {
    struct fixture *f = *state;
    moe_err err = {0};
    f->ids[17] = 32000;
    assert_int_equal(token_file_write(f->path, &f->file, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "token 17 is id 32000"));
    f->ids[17] = -1;
    assert_int_equal(token_file_write(f->path, &f->file, &err), MOE_EARG);
    f->ids[17] = 1;
    f->file.source_sha256[0] = '\0';
    assert_int_equal(token_file_write(f->path, &f->file, &err), MOE_EARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_name_what_and_where, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_out_of_range_are_not_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
