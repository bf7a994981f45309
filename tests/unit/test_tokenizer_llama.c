/* test: rooms=data label=fast */
/* The Llama 2 model against ids that other programs published for it. Needs
 * $MOE_DATA_DIR/tokenizer/tokenizer.model and the vectors beside it; skipped without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/file.h"
#include "data/spm_shim.h"
#include "data/tokenizer.h"

static char *in_data_dir(const char *name) {
    char *path = path_join(getenv("MOE_DATA_DIR"), name);
    assert_non_null(path);
    return path;
}

static char *read_text(const char *name, size_t *size) {
    unsigned char *bytes = NULL;
    char *path = in_data_dir(name);
    assert_int_equal(file_read_all(path, 1 << 24, &bytes, size, NULL), MOE_OK);
    free(path);
    return (char *)bytes;
}

static struct spm *open_model(void) {
    size_t size = 0;
    char *bytes = read_text("tokenizer/tokenizer.model", &size);
    struct spm *spm = NULL;
    assert_int_equal(spm_load(bytes, size, "tokenizer.model", &spm, NULL), MOE_OK);
    free(bytes);
    return spm;
}

static void assert_line(const struct spm *spm, int number, const char *text, size_t size, char *line) {
    struct token_buffer ids = {0};
    int64_t i = 0;
    assert_int_equal(spm_encode(spm, text, size, &ids, NULL), MOE_OK);
    for (char *field = strtok(line, " "); field != NULL; field = strtok(NULL, " ")) {
        if (i >= ids.count || ids.ids[i] != atoi(field))
            fail_msg("text %d, token %lld", number, (long long)i);
        i++;
    }
    assert_int_equal(i, ids.count);
    char *back = NULL;
    assert_int_equal(spm_decode(spm, ids.ids, ids.count, &back, NULL), MOE_OK);
    if (strlen(back) != size || memcmp(back, text, size) != 0) fail_msg("text %d does not come back", number);
    free(back);
    token_buffer_free(&ids);
}

/* Texts separated by a marker line; one line of ids each. */
static void published_vectors(void **state) {
    (void)state;
    static const char separator[] = "\n__ggml_vocab_test__\n";
    struct spm *spm = open_model();
    assert_int_equal(spm_size(spm), 32000);
    assert_int_equal(spm_bos(spm), 1);
    size_t size = 0;
    char *texts = read_text("tokenizer/llama-spm-testvectors.inp", &size);
    char *lines = read_text("tokenizer/llama-spm-testvectors.out", &size);
    char *text = texts, *line = lines;
    int number = 0;
    for (char *end; (end = strstr(text, separator)) != NULL; text = end + sizeof separator - 1) {
        char *newline = strchr(line, '\n');
        assert_non_null(newline);
        *newline = '\0';
        assert_line(spm, number++, text, (size_t)(end - text), line);
        line = newline + 1;
    }
    print_message("%d texts\n", number);
    assert_true(number >= 40);
    free(texts);
    free(lines);
    spm_free(spm);
}

static void published_prompts(void **state) {
    (void)state;
    size_t size = 0;
    char *text = read_text("tokenizer/llama2_prompt_tokens.json", &size);
    json_t *prompts = json_loadb(text, size, 0, NULL), *prompt = NULL;
    struct spm *spm = open_model();
    size_t i = 0;
    assert_true(json_array_size(prompts) == 5);
    json_array_foreach(prompts, i, prompt) {
        const char *words = json_string_value(json_object_get(prompt, "text"));
        const json_t *want = json_object_get(prompt, "tokens_with_bos");
        struct token_buffer ids = {0};
        assert_int_equal(token_buffer_add(&ids, spm_bos(spm), NULL), MOE_OK);
        assert_int_equal(spm_encode(spm, words, strlen(words), &ids, NULL), MOE_OK);
        assert_int_equal(ids.count, json_array_size(want));
        for (int64_t j = 0; j < ids.count; j++) {
            assert_int_equal(ids.ids[j], json_integer_value(json_array_get(want, (size_t)j)));
        }
        token_buffer_free(&ids);
    }
    spm_free(spm);
    json_decref(prompts);
    free(text);
}

int main(void) {
    const char *folder = getenv("MOE_DATA_DIR");
    char *model = path_join(folder, "tokenizer/tokenizer.model");
    const bool there = folder != NULL && model != NULL && file_exists(model);
    free(model);
    if (!there) {
        printf("skipped: MOE_DATA_DIR names no folder with tokenizer/tokenizer.model\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(published_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
