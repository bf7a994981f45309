/* test: rooms=data label=fast */
#define _GNU_SOURCE /* memmem */
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
#include "data/dataset.h"
#include "data/tokenizer.h"

/* A SentencePiece model written by hand: the protocol buffer ModelProto with byte-pair merges, identity
 * normalisation and a dummy space in front. Ids: <unk> 0, <s> 1, </s> 2, the space mark 3, a 4, b 5, "ab" 6,
 * space mark and "ab" 7. */
struct model {
    unsigned char bytes[512];
    size_t size;
};

static void append(struct model *m, const void *bytes, size_t size) {
    assert_true(m->size + size <= sizeof m->bytes);
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void add_piece(struct model *m, const char *piece, float score, unsigned char type) {
    const unsigned char length = (unsigned char)strlen(piece);
    const unsigned char head[4] = {0x0a, (unsigned char)(2 + length + 5 + 2), 0x0a, length};
    append(m, head, sizeof head);
    append(m, piece, length);
    append(m, "\x15", 1);
    append(m, &score, sizeof score);
    append(m, "\x18", 1);
    append(m, &type, 1);
}

static void make_model(struct model *m) {
    enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3 };
    add_piece(m, "<unk>", 0, UNKNOWN);
    add_piece(m, "<s>", 0, CONTROL);
    add_piece(m, "</s>", 0, CONTROL);
    add_piece(m, "\xe2\x96\x81", -5, NORMAL);
    add_piece(m, "a", -4, NORMAL);
    add_piece(m, "b", -3, NORMAL);
    add_piece(m, "ab", -1, NORMAL);
    add_piece(m,
              "\xe2\x96\x81"
              "ab",
              -2, NORMAL);
    append(m, "\x12\x02\x18\x02", 4);                          /* trainer: model type BPE */
    append(m, "\x1a\x0e\x0a\x08identity\x18\x01\x20\x00", 16); /* normalizer: dummy prefix, keep spaces */
}

struct folder {
    char path[64], model_path[128];
    struct model model;
};

static void put(const struct folder *f, const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    assert_int_equal(file_write_atomic(path, bytes, size, NULL), MOE_OK);
}

static int set_up(void **state) {
    struct folder *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    snprintf(f->path, sizeof f->path, "/tmp/moe-tokenizer-XXXXXX");
    if (mkdtemp(f->path) == NULL) return -1;
    snprintf(f->model_path, sizeof f->model_path, "%s/small.model", f->path);
    make_model(&f->model);
    put(f, "small.model", f->model.bytes, f->model.size);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct folder *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    const int failed = system(command);
    free(f);
    return failed;
}

static void assert_encodes(const struct tokenizer *t, const char *text, int64_t limit, const int32_t *want,
                           int64_t count) {
    struct token_buffer ids = {0};
    moe_err err = {0};
    if (tokenizer_encode(t, text, (int64_t)strlen(text), limit, &ids, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(ids.count, count);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(ids.ids[i], want[i]);
    }
    token_buffer_free(&ids);
}

static void assert_decodes(const struct tokenizer *t, const int32_t *ids, int64_t count, const char *want) {
    char *text = NULL;
    assert_int_equal(tokenizer_decode(t, ids, count, &text, NULL), MOE_OK);
    assert_string_equal(text, want);
    free(text);
}

static void sentencepiece_documents_begin_with_bos(void **state) {
    const struct folder *f = *state;
    struct tokenizer *t = NULL;
    assert_int_equal(tokenizer_sentencepiece(f->model_path, &t, NULL), MOE_OK);
    assert_int_equal(tokenizer_size(t), 8);
    assert_int_equal(tokenizer_unk(t), 0);
    assert_int_equal(tokenizer_boundary(t), 1);
    assert_int_equal(strlen(tokenizer_sha256(t)), 64);
    const int32_t one[5] = {1, 7, 3, 4, 6};
    assert_encodes(t, "ab aab", 0, one, 5);
    assert_encodes(t, "\n  ab aab \n\n", 0, one, 5);
    assert_encodes(t, "ab aab", 3, one, 3);
    assert_encodes(t, "", 0, one, 0);
    const int32_t two[6] = {1, 7, 1, 3, 5, 0};
    assert_encodes(t, "ab\n<|endoftext|>\n\n<|endoftext|>\nbz\n<|endoftext|>\n", 0, two, 6);
    assert_decodes(t, one, 5, "ab aab");
    const int32_t bad[1] = {8};
    char *text = NULL;
    moe_err err = {0};
    assert_int_equal(tokenizer_decode(t, bad, 1, &text, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "id 8"));
    tokenizer_free(t);
}

/* Without <s> among the pieces, </s> is what the marker becomes. */
static void without_bos_the_marker_is_eos(void **state) {
    const struct folder *f = *state;
    struct tokenizer *t = NULL;
    struct model m = f->model;
    unsigned char *piece = memmem(m.bytes, m.size, "<s>", 3);
    assert_non_null(piece);
    piece[1] = 'x';
    put(f, "small.model", m.bytes, m.size);
    assert_int_equal(tokenizer_sentencepiece(f->model_path, &t, NULL), MOE_OK);
    assert_int_equal(tokenizer_boundary(t), 2);
    const int32_t two[4] = {7, 2, 7, 2};
    assert_encodes(t, "ab\n<|endoftext|>\nab\n<|endoftext|>\n", 0, two, 4);
    const int32_t open[3] = {7, 2, 7};
    assert_encodes(t, "ab\n<|endoftext|>\nab\n", 0, open, 3);
    tokenizer_free(t);
}

/* 3 MiB in one document without and with line ends: cut into parts, nothing lost. */
static void long_documents_are_encoded_in_parts(void **state) {
    const struct folder *f = *state;
    struct tokenizer *t = NULL;
    assert_int_equal(tokenizer_sentencepiece(f->model_path, &t, NULL), MOE_OK);
    const int64_t size = 3 << 20;
    char *text = malloc((size_t)size);
    assert_non_null(text);
    for (int lines = 0; lines < 2; lines++) {
        struct token_buffer ids = {0};
        for (int64_t i = 0; i < size; i++) {
            text[i] = lines && i % 100 == 99 ? '\n' : "ab"[i % 2];
        }
        assert_int_equal(tokenizer_encode(t, text, size, 0, &ids, NULL), MOE_OK);
        int64_t as = 0, bs = 0, starts = 0;
        for (int64_t i = 0; i < ids.count; i++) {
            as += ids.ids[i] == 4 || ids.ids[i] == 6 || ids.ids[i] == 7;
            bs += ids.ids[i] == 5 || ids.ids[i] == 6 || ids.ids[i] == 7;
            starts += ids.ids[i] == 3 || ids.ids[i] == 7;
        }
        assert_int_equal(ids.ids[0], 1);
        assert_int_equal(as, size / 2);
        assert_int_equal(bs, lines ? size / 2 - size / 100 : size / 2);
        assert_int_equal(starts, lines ? 4 : 3); /* lines: parts are a little shorter than 1 MiB */
        token_buffer_free(&ids);
    }
    free(text);
    tokenizer_free(t);
}

static void damaged_models_are_errors(void **state) {
    const struct folder *f = *state;
    struct tokenizer *t = NULL;
    moe_err err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/none.model", f->path);
    assert_int_equal(tokenizer_sentencepiece(path, &t, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "tokenizer_file"));
    put(f, "bad.model", "", 0);
    snprintf(path, sizeof path, "%s/bad.model", f->path);
    assert_int_equal(tokenizer_sentencepiece(path, &t, &err), MOE_EFORMAT);
    put(f, "bad.model", "this is not a model", 19);
    assert_int_equal(tokenizer_sentencepiece(path, &t, &err), MOE_EFORMAT);
    assert_non_null(strstr(err.message, "bad.model"));
    /* Cut anywhere or with a byte changed: a model or an error, and what loads also works. */
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST, .step = 0};
    for (uint64_t i = 0; i < 2 * f->model.size; i++) {
        struct model m = f->model;
        if (i < m.size) {
            m.size = i;
        } else {
            m.bytes[i - m.size] ^= (unsigned char)(1 + rng_below(key, i, 255));
        }
        put(f, "bad.model", m.bytes, m.size);
        const moe_status status = tokenizer_sentencepiece(path, &t, &err);
        assert_true(status == MOE_OK || status == MOE_EFORMAT);
        if (status != MOE_OK) continue;
        struct token_buffer ids = {0};
        if (tokenizer_encode(t, "ab aab", 6, 0, &ids, &err) == MOE_OK) {
            for (int64_t j = 0; j < ids.count; j++) {
                assert_in_range(ids.ids[j], 0, tokenizer_size(t) - 1);
            }
        }
        token_buffer_free(&ids);
        tokenizer_free(t);
    }
}

static struct dataset_request piece_request(const struct folder *f) {
    return (struct dataset_request){.kind = DATASET_TEXT,
                                    .data_dir = f->path,
                                    .train_files = {"t.txt"},
                                    .num_train_files = 1,
                                    .validation_files = {"v.txt"},
                                    .num_validation_files = 1,
                                    .tokenizer = TOKENIZE_SENTENCEPIECE,
                                    .tokenizer_file = "small.model",
                                    .vocab_size = 8,
                                    .sequence_length = 2};
}

/* The cache is used when it is there and whole, and rebuilt when it is damaged. */
static void pieces_are_cached(void **state) {
    const struct folder *f = *state;
    char cache[80], command[256];
    snprintf(cache, sizeof cache, "%s/cache", f->path);
    put(f, "t.txt", "ab ab z\n", 8);
    put(f, "v.txt", "a b a b\n", 8);
    struct dataset_request request = piece_request(f);
    request.cache_dir = cache;
    struct dataset *first = NULL, *second = NULL;
    moe_err err = {0};
    for (int damage = 0; damage < 2; damage++) {
        if (dataset_open(&request, &first, &err) != MOE_OK) fail_msg("%s", err.message);
        snprintf(command, sizeof command, "test $(ls %s/*.tok | wc -l) = 2", cache);
        assert_int_equal(system(command), 0);
        assert_int_equal(dataset_open(&request, &second, NULL), MOE_OK);
        assert_int_equal(first->train.sequences, 2);
        assert_memory_equal(first->train.tokens, second->train.tokens, 5 * sizeof(int32_t));
        assert_true(first->train.unk_share == 0.2);
        assert_int_equal(first->num_origins, 3);
        assert_string_equal(first->origins[2].name, "small.model");
        dataset_close(first);
        dataset_close(second);
        snprintf(command, sizeof command, "for f in %s/*.tok; do truncate -s 190 $f; done", cache);
        assert_int_equal(system(command), 0);
    }
    request.vocab_size = 7;
    assert_int_equal(dataset_open(&request, &first, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "8 ids"));
    request.tokenizer_file = NULL;
    assert_int_equal(dataset_open(&request, &first, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "data.tokenizer_file"));
}

/* A limit makes a file of its own in the cache, with the first ids of the whole. */
static void limited_texts_are_cached_apart(void **state) {
    const struct folder *f = *state;
    char cache[80], command[256];
    snprintf(cache, sizeof cache, "%s/cache", f->path);
    put(f, "t.txt", "ab ab z ab ab\n", 14);
    put(f, "v.txt", "a b a b\n", 8);
    struct dataset_request request = piece_request(f);
    struct dataset *all = NULL, *some = NULL, *again = NULL;
    request.cache_dir = cache;
    assert_int_equal(dataset_open(&request, &all, NULL), MOE_OK);
    request.train_tokens = 5;
    assert_int_equal(dataset_open(&request, &some, NULL), MOE_OK);
    assert_int_equal(dataset_open(&request, &again, NULL), MOE_OK);
    assert_true(all->train.sequences > 2);
    assert_int_equal(some->train.sequences, 2);
    assert_int_equal(again->train.sequences, 2);
    assert_memory_equal(some->train.tokens, all->train.tokens, 5 * sizeof(int32_t));
    assert_memory_equal(again->train.tokens, all->train.tokens, 5 * sizeof(int32_t));
    snprintf(command, sizeof command, "test $(ls %s/*.tok | wc -l) = 3 -a $(ls %s/*-5.tok | wc -l) = 1",
             cache, cache);
    assert_int_equal(system(command), 0);
    dataset_close(all);
    dataset_close(some);
    dataset_close(again);
}

/* The folder of data comes first; the suite's is asked for what it has not. */
static void the_model_is_looked_for_in_two_places(void **state) {
    const struct folder *f = *state;
    char suite[80], path[128];
    snprintf(suite, sizeof suite, "%s/suite", f->path);
    snprintf(path, sizeof path, "%s/suite/own.model", f->path);
    put(f, "t.txt", "ab ab z\n", 8);
    put(f, "v.txt", "a b a b\n", 8);
    assert_int_equal(file_make_folders(suite, NULL), MOE_OK);
    struct dataset_request request = piece_request(f);
    struct dataset *d = NULL;
    moe_err err = {0};
    request.tokenizer_file = "own.model";
    assert_int_equal(dataset_open(&request, &d, &err), MOE_ENOTFOUND);
    assert_null(strstr(err.message, "suite/own.model"));
    request.suite_dir = suite;
    assert_int_equal(dataset_open(&request, &d, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "suite/own.model"));
    request.tokenizer_file = path;
    assert_int_equal(dataset_open(&request, &d, &err), MOE_ENOTFOUND);
    assert_null(strstr(err.message, " or /"));
    request.tokenizer_file = "own.model";
    put(f, "suite/own.model", f->model.bytes, f->model.size);
    assert_int_equal(dataset_open(&request, &d, &err), MOE_OK);
    assert_string_equal(d->origins[2].name, "own.model");
    dataset_close(d);
    put(f, "own.model", "damaged", 7);
    assert_int_equal(dataset_open(&request, &d, &err), MOE_EFORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sentencepiece_documents_begin_with_bos, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_bos_the_marker_is_eos, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_documents_are_encoded_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_models_are_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_are_cached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limited_texts_are_cached_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_model_is_looked_for_in_two_places, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
