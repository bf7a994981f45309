/* test: rooms=data label=fast */
/* SentencePiece models learned from text: the same bytes every time, Llama's ids, no piece of the marker. */
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
#include "data/data_command.h"
#include "data/spm_shim.h"
#include "data/stories.h"
#include "data/tokenizer_train.h"

struct folder {
    char path[64], text[128], first[128], second[128];
    FILE *out;
};

static void put(const char *path, const char *text) {
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), MOE_OK);
}

/* Forty generated stories in mixed case, with the marker behind each; one holds what is not ASCII. */
static void put_stories(const char *path) {
    const struct rng_key key = {.seed = 3, .stream = RNG_DATA, .step = 0};
    struct stories *s = NULL;
    struct tokenizer *t = NULL;
    assert_int_equal(stories_open(&s, NULL), MOE_OK);
    assert_int_equal(stories_tokenizer(s, &t, NULL), MOE_OK);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int domain = 0; domain < stories_domains(s); domain++) {
        struct story_stream stream = story_stream_at(key, domain);
        for (int i = 0; i < 40; i++) {
            struct token_buffer ids = {0};
            char *text = NULL;
            assert_int_equal(stories_write(s, &stream, &ids, NULL, NULL), MOE_OK);
            assert_int_equal(tokenizer_decode(t, ids.ids, ids.count, &text, NULL), MOE_OK);
            fprintf(file, "Once %s<|endoftext|>\n", text);
            free(text);
            token_buffer_free(&ids);
        }
    }
    fprintf(file, "caf\xc3\xa9 at 12 o'clock\n\n<|endoftext|>\n");
    fclose(file);
    tokenizer_free(t);
    stories_close(s);
}

static int set_up(void **state) {
    struct folder *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    snprintf(f->path, sizeof f->path, "/tmp/moe-tokenizer-train-XXXXXX");
    if (mkdtemp(f->path) == NULL) return -1;
    snprintf(f->text, sizeof f->text, "%s/t.txt", f->path);
    snprintf(f->first, sizeof f->first, "%s/below/1.model", f->path);
    snprintf(f->second, sizeof f->second, "%s/2.model", f->path);
    f->out = fopen("/dev/null", "w");
    put_stories(f->text);
    *state = f;
    return f->out == NULL;
}

static int tear_down(void **state) {
    struct folder *f = *state;
    char command[128];
    fclose(f->out);
    snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    const int failed = system(command);
    free(f);
    return failed;
}

static struct tokenizer_training training_of(const struct folder *f) {
    return (struct tokenizer_training){
        .files = {f->text}, .num_files = 1, .out = f->first, .vocab_size = 400};
}

static unsigned char *bytes_of(const char *path, size_t *size) {
    unsigned char *bytes = NULL;
    assert_int_equal(file_read_all(path, 1 << 24, &bytes, size, NULL), MOE_OK);
    return bytes;
}

static struct spm *model_of(const char *path) {
    size_t size = 0;
    unsigned char *bytes = bytes_of(path, &size);
    struct spm *spm = NULL;
    assert_int_equal(spm_load(bytes, size, path, &spm, NULL), MOE_OK);
    free(bytes);
    return spm;
}

static void assert_trains(const struct tokenizer_training *what, FILE *out) {
    moe_err err = {0};
    if (tokenizer_train(what, out, &err) != MOE_OK) fail_msg("%s", err.message);
}

static void same_text_same_bytes(void **state) {
    const struct folder *f = *state;
    for (int unigram = 0; unigram < 2; unigram++) {
        struct tokenizer_training what = training_of(f);
        size_t first = 0, second = 0;
        what.unigram = unigram == 1;
        what.force = true;
        assert_trains(&what, f->out);
        what.out = f->second;
        assert_trains(&what, f->out);
        unsigned char *a = bytes_of(f->first, &first), *b = bytes_of(f->second, &second);
        assert_int_equal(first, second);
        assert_memory_equal(a, b, first);
        free(a);
        free(b);
    }
}

static void ids_are_llamas_and_text_comes_back(void **state) {
    const struct folder *f = *state;
    static const char *const texts[] = {"Once upon a time", "  two  spaces\n\n\tand a tab \n",
                                        "caf\xc3\xa9 1234",
                                        "\xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80 <unk> <s> $^~", ""};
    for (int unigram = 0; unigram < 2; unigram++) {
        struct tokenizer_training what = training_of(f);
        what.unigram = unigram == 1;
        what.force = true;
        assert_trains(&what, f->out);
        struct spm *spm = model_of(f->first);
        assert_int_equal(spm_size(spm), 400);
        assert_int_equal(spm_unk(spm), 0);
        assert_int_equal(spm_bos(spm), 1);
        assert_int_equal(spm_eos(spm), 2);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            struct token_buffer ids = {0};
            char *back = NULL;
            assert_int_equal(spm_encode(spm, texts[i], strlen(texts[i]), &ids, NULL), MOE_OK);
            for (int64_t j = 0; j < ids.count; j++)
                assert_true(ids.ids[j] > 2); /* bytes spell what is unknown */
            assert_int_equal(spm_decode(spm, ids.ids, ids.count, &back, NULL), MOE_OK);
            assert_string_equal(back, texts[i]);
            free(back);
            token_buffer_free(&ids);
        }
        /* a digit is a piece of its own, and a line's end is byte 0x0A: id 3 + 10 */
        struct token_buffer ids = {0};
        assert_int_equal(spm_encode(spm, "12\n", 3, &ids, NULL), MOE_OK);
        assert_int_equal(ids.count, 4);
        assert_int_equal(ids.ids[3], 13);
        token_buffer_free(&ids);
        spm_free(spm);
    }
}

/* The marker stands behind every story of the text: learned from, it would be one piece. */
static void the_marker_is_not_learned(void **state) {
    const struct folder *f = *state;
    struct tokenizer_training what = training_of(f);
    struct tokenizer *t = NULL;
    struct token_buffer ids = {0};
    assert_trains(&what, f->out);
    struct spm *spm = model_of(f->first);
    assert_int_equal(spm_encode(spm, "<|endoftext|>", 13, &ids, NULL), MOE_OK);
    assert_true(ids.count > 5);
    spm_free(spm);
    /* and it separates documents: <s> before each, nothing of it in between */
    ids.count = 0;
    assert_int_equal(tokenizer_sentencepiece(f->first, &t, NULL), MOE_OK);
    static const char text[] = "once\n<|endoftext|>\nonce\n<|endoftext|>\n";
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, 0, &ids, NULL), MOE_OK);
    assert_int_equal(ids.count % 2, 0);
    assert_int_equal(ids.ids[0], 1);
    assert_memory_equal(ids.ids, ids.ids + ids.count / 2, (size_t)ids.count / 2 * sizeof(int32_t));
    token_buffer_free(&ids);
    tokenizer_free(t);
}

static void lower_learns_from_lower_case(void **state) {
    const struct folder *f = *state;
    struct tokenizer_training what = training_of(f);
    char lower[128];
    size_t first = 0, second = 0;
    snprintf(lower, sizeof lower, "%s/lower.txt", f->path);
    unsigned char *text = bytes_of(f->text, &first);
    for (size_t i = 0; i < first; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') text[i] = (unsigned char)(text[i] + 32);
    }
    assert_int_equal(file_write_atomic(lower, text, first, NULL), MOE_OK);
    free(text);
    what.lower = true;
    assert_trains(&what, f->out);
    what = (struct tokenizer_training){
        .files = {lower}, .num_files = 1, .out = f->second, .vocab_size = what.vocab_size};
    assert_trains(&what, f->out);
    unsigned char *a = bytes_of(f->first, &first), *b = bytes_of(f->second, &second);
    assert_int_equal(first, second);
    assert_memory_equal(a, b, first);
    free(a);
    free(b);
}

static void refused(const struct tokenizer_training *what, moe_status code, const char *part, FILE *out) {
    moe_err err = {0};
    assert_int_equal(tokenizer_train(what, out, &err), code);
    if (strstr(err.message, part) == NULL) fail_msg("'%s' lacks '%s'", err.message, part);
}

static void mistakes_are_explained(void **state) {
    const struct folder *f = *state;
    char path[128];
    struct tokenizer_training what = training_of(f);
    what.vocab_size = 100000;
    refused(&what, MOE_ECONFIG, "100000 is too large for", f->out);
    what.unigram = true;
    refused(&what, MOE_ECONFIG, "100000 is too large for", f->out);
    what.vocab_size = 262;
    refused(&what, MOE_ECONFIG, "262 is too small for the characters of", f->out);
    what.vocab_size = 259;
    refused(&what, MOE_EUSAGE, "at least 260", f->out);
    assert_false(file_exists(f->first));
    what = training_of(f);
    snprintf(path, sizeof path, "%s/none.txt", f->path);
    what.files[0] = path;
    refused(&what, MOE_ENOTFOUND, "none.txt", f->out);
    what.files[0] = f->path;
    refused(&what, MOE_EIO, "is a folder", f->out);
    put(path, "not \xff UTF-8");
    what.files[0] = path;
    refused(&what, MOE_EFORMAT, "offset 4", f->out);
    put(path, " \n<|endoftext|>\n");
    refused(&what, MOE_EFORMAT, "no text", f->out);
    what = training_of(f);
    put(f->second, "mine");
    what.out = f->second;
    refused(&what, MOE_EEXIST, "--force", f->out);
    what.force = true;
    assert_trains(&what, f->out);
}

static moe_status command(const char *line, const struct folder *f, moe_err *err) {
    char copy[512], *argv[16];
    int argc = 0;
    snprintf(copy, sizeof copy, line, f->text, f->first);
    for (char *word = strtok(copy, " "); word != NULL && argc < 16; word = strtok(NULL, " "))
        argv[argc++] = word;
    return data_command(argc, argv, f->out, err);
}

static void the_command_line(void **state) {
    const struct folder *f = *state;
    static const char *const wrong[][2] = {
        {"data tokenizer", "tokenizer train FILE"},
        {"data tokenizer learn", "tokenizer train FILE"},
        {"data tokenizer train %s --out=%s", "--vocab is missing"},
        {"data tokenizer train %s --vocab 300", "--out is missing"},
        {"data tokenizer train --vocab 300 --out x", "name the text files"},
        {"data tokenizer train %s --out %s --vocab 300 --type word", "bpe or unigram"},
    };
    moe_err err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(command(wrong[i][0], f, &err), MOE_EUSAGE);
        if (strstr(err.message, wrong[i][1]) == NULL) fail_msg("'%s' lacks '%s'", err.message, wrong[i][1]);
    }
    assert_int_equal(command("data tokenizer train %s --lower --out %s --vocab=320", f, &err), MOE_OK);
    assert_int_equal(command("data tokenizer train %s --out %s --vocab=320", f, &err), MOE_EEXIST);
    assert_int_equal(command("data tokenizer train %s --out %s --vocab 330 --type unigram --force", f, &err),
                     MOE_OK);
    struct spm *spm = model_of(f->first);
    assert_int_equal(spm_size(spm), 330);
    spm_free(spm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_text_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_are_llamas_and_text_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_marker_is_not_learned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lower_learns_from_lower_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_command_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
