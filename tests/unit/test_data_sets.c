/* test: rooms=data label=fast */
#include <math.h>
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
#include "data/dataset.h"
#include "data/tokenizer.h"

struct folder {
    char path[64];
};

static int make_folder(void **state) {
    struct folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL) return -1;
    snprintf(folder->path, sizeof folder->path, "/tmp/moe-data-XXXXXX");
    *state = folder;
    return mkdtemp(folder->path) == NULL ? -1 : 0;
}

static int remove_folder(void **state) {
    struct folder *folder = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder->path);
    const int failed = system(command);
    free(folder);
    return failed;
}

static void put(const struct folder *folder, const char *name, const void *bytes, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    assert_int_equal(file_write_atomic(path, bytes, size, NULL), MOE_OK);
}

static void put_text(const struct folder *folder, const char *name, const char *text) {
    put(folder, name, text, strlen(text));
}

static struct dataset_request text_request(const struct folder *folder, const char *train,
                                           const char *validation) {
    return (struct dataset_request){
        .kind = DATASET_TEXT,
        .data_dir = folder->path,
        .train_files = {train},
        .num_train_files = 1,
        .validation_files = {validation},
        .num_validation_files = validation == NULL ? 0 : 1,
        .tokenizer = TOKENIZE_WORD,
        .vocab_size = 100,
        .sequence_length = 2,
    };
}

static void assert_ids(const int32_t *got, const int32_t *want, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got[i], want[i]);
    }
}

static void refused(const struct dataset_request *request, moe_status code, const char *part,
                    const char *other) {
    moe_err err = {0};
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(request, &d, &err), code);
    if (strstr(err.message, part) == NULL || strstr(err.message, other) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\" and \"%s\"", err.message, part, other);
    }
    assert_null(d);
}

/* 100,000 tokens in sequences of 256 are 390 sequences: one more would need 100,097 tokens. */
static void uniform_tokens_are_reproducible_and_uniform(void **state) {
    (void)state;
    const struct dataset_request request = {.kind = DATASET_UNIFORM,
                                            .vocab_size = 10000,
                                            .train_tokens = 100000,
                                            .validation_tokens = 10000,
                                            .sequence_length = 256,
                                            .seed = 7};
    struct dataset *a = NULL, *b = NULL, *c = NULL;
    assert_int_equal(dataset_open(&request, &a, NULL), MOE_OK);
    assert_int_equal(dataset_open(&request, &b, NULL), MOE_OK);
    struct dataset_request other = request;
    other.seed = 8;
    assert_int_equal(dataset_open(&other, &c, NULL), MOE_OK);
    assert_int_equal(a->train.sequences, 390);
    assert_int_equal(a->validation.sequences, 39);
    assert_memory_equal(a->train.tokens, b->train.tokens, (390 * 256 + 1) * sizeof(int32_t));
    assert_memory_not_equal(a->train.tokens, c->train.tokens, 256 * sizeof(int32_t));
    assert_memory_not_equal(a->train.tokens, a->validation.tokens, 256 * sizeof(int32_t));
    assert_string_equal(a->origins[0].sha256, b->origins[0].sha256);
    assert_string_not_equal(a->origins[0].sha256, c->origins[0].sha256);
    assert_true(fabs(a->entropy_floor[0] - 9.210340371976184) < 1e-12);
    double sum = 0;
    for (int i = 0; i < 390 * 256 + 1; i++) {
        assert_in_range(a->train.tokens[i], 0, 9999);
        sum += a->train.tokens[i];
    }
    /* sd of the mean: 10000 / sqrt(12 * 99841) = 9.1 */
    assert_true(fabs(sum / (390 * 256 + 1) - 4999.5) < 40);
    dataset_close(a);
    dataset_close(b);
    dataset_close(c);
}

static void words_follow_the_stated_rules(void **state) {
    const struct folder *folder = *state;
    /* Counts: b 3, a 2, c 2, d 1, zz 1. Ranks: b, a, c, d, zz. */
    put_text(folder, "t.txt", "b a  c\tb\r\n\n \nc <unk> a\nd zz b");
    put_text(folder, "v.txt", "zz new\n\n<|endoftext|>\nb\n");
    struct dataset_request request = text_request(folder, "t.txt", "v.txt");
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    /* b a c b <eos> c <unk> a <eos> d zz b <eos> */
    const int32_t train[13] = {2, 3, 4, 2, 1, 4, 0, 3, 1, 5, 6, 2, 1};
    assert_int_equal(d->train.sequences, 6);
    assert_ids(d->train.tokens, train, 13);
    const int32_t validation[5] = {6, 0, 1, 1, 2}; /* the sixth does not fill a sequence */
    assert_int_equal(d->validation.sequences, 2);
    assert_ids(d->validation.tokens, validation, 5);
    assert_true(fabs(d->train.unk_share - 1.0 / 13) < 1e-12);
    assert_true(fabs(d->validation.unk_share - 1.0 / 5) < 1e-12);
    assert_true(isnan(d->entropy_floor[0]));
    assert_int_equal(d->num_origins, 2);
    assert_int_equal(d->origins[0].tokens, 13);
    char *text = NULL;
    assert_int_equal(tokenizer_decode(d->tokenizer, train, 13, &text, NULL), MOE_OK);
    assert_string_equal(text, "b a c b\nc <unk> a\nd zz b\n");
    free(text);
    dataset_close(d);
}

static void small_vocabulary_keeps_the_most_frequent(void **state) {
    const struct folder *folder = *state;
    put_text(folder, "t.txt", "x y y z z ab ab a\n");
    put_text(folder, "v.txt", "a ab x y z\n");
    struct dataset_request request = text_request(folder, "t.txt", "v.txt");
    request.vocab_size = 5; /* <unk>, <eos> and three of ab, y, z (2 each), a, x (1 each) */
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    const int32_t validation[5] = {0, 2, 0, 3, 4};
    assert_ids(d->validation.tokens, validation, 5);
    dataset_close(d);
    /* Only the first four tokens are used: z (1 there) and ab (none) change places. */
    request.train_tokens = 4;
    request.sequence_length = 3;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    const int32_t fewer[4] = {0, 0, 3, 2}; /* y 2, x 1, z 1 */
    assert_ids(d->validation.tokens, fewer, 4);
    dataset_close(d);
    request.vocab_size = 2;
    refused(&request, MOE_ECONFIG, "vocab_size 2", "at least 3");
}

/* The tokenizer alone has the words of the whole dataset's. */
static void a_tokenizer_is_opened_without_its_data(void **state) {
    const struct folder *folder = *state;
    put_text(folder, "t.txt", "a b b c c c d d d d e e e e e f g\n");
    put_text(folder, "v.txt", "a b c d e\n");
    struct dataset_request with = text_request(folder, "t.txt", "v.txt"), cut = with, held_out = with;
    cut.train_tokens = 6;
    held_out.num_validation_files = 0;
    held_out.validation_tokens = 9;
    struct dataset_request stories = {.kind = DATASET_STORIES,
                                      .vocab_size = 5000,
                                      .train_tokens = 600,
                                      .validation_tokens = 600,
                                      .sequence_length = 20};
    const struct dataset_request *const requests[] = {&with, &cut, &held_out, &stories};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct dataset *d = NULL;
        struct tokenizer *t = NULL;
        char *want = NULL, *got = NULL;
        int32_t all[5000];
        assert_int_equal(dataset_open(requests[i], &d, NULL), MOE_OK);
        assert_int_equal(dataset_open_tokenizer(requests[i], &t, NULL), MOE_OK);
        const int32_t size = tokenizer_size(d->tokenizer);
        assert_int_equal(tokenizer_size(t), size);
        for (int32_t id = 0; id < size; id++)
            all[id] = id;
        assert_int_equal(tokenizer_decode(d->tokenizer, all, size, &want, NULL), MOE_OK);
        assert_int_equal(tokenizer_decode(t, all, size, &got, NULL), MOE_OK);
        assert_string_equal(got, want);
        free(want);
        free(got);
        tokenizer_free(t);
        dataset_close(d);
    }
    struct tokenizer *none = NULL;
    const struct dataset_request uniform = {.kind = DATASET_UNIFORM};
    assert_int_equal(dataset_open_tokenizer(&uniform, &none, NULL), MOE_ENOTFOUND);
    with.train_files[0] = "missing.txt";
    assert_int_equal(dataset_open_tokenizer(&with, &none, NULL), MOE_ENOTFOUND);
    with.train_files[0] = "t.txt";
    with.vocab_size = 200;
    with.tokenizer = TOKENIZE_BYTE;
    assert_int_equal(dataset_open_tokenizer(&with, &none, NULL), MOE_ECONFIG);
    assert_null(none);
}

static void bytes_are_their_own_ids(void **state) {
    const struct folder *folder = *state;
    put(folder, "t.txt", "a\xff\nb\n<|endoftext|>\nc", 20);
    put_text(folder, "v.txt", "xyz");
    struct dataset_request request = text_request(folder, "t.txt", "v.txt");
    request.tokenizer = TOKENIZE_BYTE;
    request.vocab_size = 256;
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    const int32_t want[7] = {'a', 255, '\n', 'b', '\n', 0, 'c'};
    assert_int_equal(d->train.sequences, 3);
    assert_ids(d->train.tokens, want, 7);
    assert_true(isnan(d->train.unk_share));
    char *text = NULL;
    assert_int_equal(tokenizer_decode(d->tokenizer, want, 7, &text, NULL), MOE_OK);
    assert_memory_equal(text, "a\xff\nb\n<|endoftext|>\nc", 21);
    free(text);
    dataset_close(d);
    request.vocab_size = 255;
    refused(&request, MOE_ECONFIG, "256 ids", "vocab_size");
}

static void several_files_are_read_in_order_up_to_the_limit(void **state) {
    const struct folder *folder = *state;
    put_text(folder, "1.txt", "a b");
    put_text(folder, "2.txt", "c d\n");
    put_text(folder, "3.txt", "e f\n");
    put_text(folder, "v.txt", "a b c d e f\n");
    struct dataset_request request = text_request(folder, "1.txt", "v.txt");
    request.train_files[1] = "2.txt";
    request.train_files[2] = "3.txt";
    request.num_train_files = 3;
    request.train_tokens = 5;
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    const int32_t want[5] = {2, 3, 1, 4, 5};
    assert_int_equal(d->train.sequences, 2);
    assert_ids(d->train.tokens, want, 5);
    assert_int_equal(d->num_origins, 3); /* the third file was not reached */
    assert_string_equal(d->origins[1].name, "2.txt");
    assert_int_equal(d->origins[1].tokens, 2);
    dataset_close(d);
}

static void validation_is_held_out_when_no_file_is_named(void **state) {
    const struct folder *folder = *state;
    put_text(folder, "t.txt", "a b c d e f g h i j k l m n o p q r s\n"); /* 20 tokens */
    struct dataset_request request = text_request(folder, "t.txt", NULL);
    request.validation_tokens = 4;
    request.sequence_length = 3;
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    assert_int_equal(d->train.sequences, 5); /* 16 tokens */
    assert_int_equal(d->train.tokens[0], 2);
    assert_int_equal(d->validation.sequences, 1);
    const int32_t want[4] = {0, 0, 0, 1}; /* q r s stand in no training token */
    assert_ids(d->validation.tokens, want, 4);
    dataset_close(d);
    request.train_tokens = 17;
    refused(&request, MOE_ECONFIG, "20 tokens", "do not fit");
}

static void bad_requests_and_files_are_refused(void **state) {
    const struct folder *folder = *state;
    put_text(folder, "good.txt", "a b c d e f\n");
    put_text(folder, "same.txt", "a b c d e f\n");
    put_text(folder, "v.txt", "a b c\n");
    put(folder, "nul.txt", "abc\0def", 7);
    put_text(folder, "empty.txt", "");
    put(folder, "latin.txt", "caf\xe9 au lait\n", 13);
    put(folder, "cut.txt", "ab\xe2\x82", 4);
    struct dataset_request request = text_request(folder, "none.txt", "v.txt");
    refused(&request, MOE_ENOTFOUND, "none.txt", "in no data set");
    request.train_files[0] = "shakespeare/input.txt";
    refused(&request, MOE_ENOTFOUND, "input.txt", "`moe data fetch shakespeare`");
    request.train_files[0] = "nul.txt";
    refused(&request, MOE_EFORMAT, "nul.txt", "offset 3");
    request.train_files[0] = "empty.txt";
    refused(&request, MOE_EFORMAT, "empty.txt", "empty");
    request.train_files[0] = "latin.txt";
    refused(&request, MOE_EFORMAT, "0xe9 at offset 3", "UTF-8");
    request.train_files[0] = "cut.txt";
    refused(&request, MOE_EFORMAT, "offset 2", "UTF-8");
    request.train_files[0] = ".";
    refused(&request, MOE_EIO, "folder", "");
    request.train_files[0] = "same.txt";
    request.validation_files[0] = "good.txt";
    refused(&request, MOE_ECONFIG, "same content", "good.txt");
    request.validation_files[0] = "v.txt";
    request.train_tokens = 8;
    refused(&request, MOE_ECONFIG, "data.train_tokens is 8", "have 7 tokens");
    request.train_tokens = 0;
    request.sequence_length = 7;
    refused(&request, MOE_ECONFIG, "train split: 7 tokens", "it takes 8");
    request.sequence_length = 5;
    refused(&request, MOE_ECONFIG, "validation split", "data.validation_tokens");
    request.sequence_length = 0;
    refused(&request, MOE_ECONFIG, "data.sequence_length", "at least 1");
    request.sequence_length = 2;
    request.validation_tokens = -1;
    refused(&request, MOE_ECONFIG, "negative", "-1");
    request.validation_tokens = 0;
    request.num_train_files = 0;
    refused(&request, MOE_ECONFIG, "data.train_files", "");
    request.num_train_files = DATASET_MAX_FILES + 1;
    refused(&request, MOE_ECONFIG, "at most 8", "");
    request.kind = DATASET_UNIFORM;
    request.num_train_files = 0;
    refused(&request, MOE_ECONFIG, "no end", "data.train_tokens");
}

static void utf8_rules(void **state) {
    (void)state;
    const struct {
        const char *bytes;
        int64_t size, bad;
    } cases[] = {
        {"plain", 5, -1},           {"\xc3\xa9", 2, -1},        {"\xf0\x9f\xa6\x99", 4, -1},
        {"\xc0\x80", 2, 0},         {"a\xe0\x80\x80", 4, 1},    {"\xed\xa0\x80", 3, 0},
        {"\xf4\x90\x80\x80", 4, 0}, {"\xf5\x80\x80\x80", 4, 0}, {"ab\x80", 3, 2},
        {"\xe2\x82\xac\xe2", 4, 3}, {"\xf0\x9f\xa6", 3, 0},     {"\xef\xbb\xbfx", 4, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(utf8_first_bad(cases[i].bytes, cases[i].size), cases[i].bad);
    }
}

static void shuffles_are_permutations_that_depend_on_seed_and_epoch_only(void **state) {
    (void)state;
    enum { N = 1000 };
    int64_t a[N], b[N], c[N];
    dataset_shuffle(a, N, 5, 2);
    dataset_shuffle(b, N, 5, 2);
    dataset_shuffle(c, N, 5, 3);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    bool seen[N] = {false};
    int fixed = 0;
    for (int i = 0; i < N; i++) {
        assert_in_range(a[i], 0, N - 1);
        assert_false(seen[a[i]]);
        seen[a[i]] = true;
        fixed += a[i] == i;
    }
    assert_true(fixed < 10); /* expected: one */
    /* Of three, every order comes up about equally often. */
    int orders[27] = {0};
    for (uint32_t epoch = 0; epoch < 6000; epoch++) {
        dataset_shuffle(a, 3, 1, epoch);
        orders[a[0] * 9 + a[1] * 3 + a[2]]++;
    }
    const int legal[6] = {5, 7, 11, 15, 19, 21};
    for (int i = 0; i < 6; i++) {
        assert_in_range(orders[legal[i]], 880, 1120); /* 4 sd of 29 */
    }
}

static void batches_copy_inputs_and_shifted_targets(void **state) {
    (void)state;
    int32_t tokens[13];
    for (int32_t i = 0; i < 13; i++) {
        tokens[i] = 100 + i;
    }
    const struct dataset_split split = {.tokens = tokens, .sequences = 3};
    const int64_t numbers[2] = {2, 0};
    int32_t inputs[8], targets[8];
    dataset_batch(&split, 4, numbers, 2, inputs, targets);
    const int32_t want_inputs[8] = {108, 109, 110, 111, 100, 101, 102, 103};
    const int32_t want_targets[8] = {109, 110, 111, 112, 101, 102, 103, 104};
    assert_ids(inputs, want_inputs, 8);
    assert_ids(targets, want_targets, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_tokens_are_reproducible_and_uniform),
        cmocka_unit_test_setup_teardown(words_follow_the_stated_rules, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(small_vocabulary_keeps_the_most_frequent, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_tokenizer_is_opened_without_its_data, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(bytes_are_their_own_ids, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(several_files_are_read_in_order_up_to_the_limit, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(validation_is_held_out_when_no_file_is_named, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(bad_requests_and_files_are_refused, make_folder, remove_folder),
        cmocka_unit_test(utf8_rules),
        cmocka_unit_test(shuffles_are_permutations_that_depend_on_seed_and_epoch_only),
        cmocka_unit_test(batches_copy_inputs_and_shifted_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
