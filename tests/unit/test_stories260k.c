/* test: rooms=train label=fast */
/* A published model of llama2.c, imported, tells the story that llama2.c tells. Needs
 * $MOE_DATA_DIR/models/stories260K.bin, its tokenizer tok512.bin and the text; skipped without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "data/llama2c_tokenizer.h"
#include "data/tokenizer.h"
#include "model/llama2c.h"
#include "scratch_folder.h"
#include "train/model_file.h"
#include "train/model_file_weights.h"

enum { POSITIONS = 200, BOS = 1 };

static char *in_models(const char *name) {
    char *folder = path_join(getenv("MOE_DATA_DIR"), "models");
    char *path = path_join(folder, name);
    free(folder);
    return path;
}

/* The model as `moe import` leaves it: a model file. */
static struct experiment *import(const char *out) {
    moe_err err = {0};
    struct model_config model;
    struct moe_config moe;
    struct weights *w = NULL;
    struct experiment *e = NULL;
    char *path = in_models("stories260K.bin");
    if (llama2c_config(path, &model, &moe, &err) != MOE_OK ||
        experiment_imported("stories260K", &model, &moe, NULL, &e, &err) != MOE_OK ||
        weights_create(&model, &moe, &w, &err) != MOE_OK || llama2c_import(path, w, &err) != MOE_OK ||
        model_file_write(out, e, w, 0, &err) != MOE_OK)
        fail_msg("%s", err.message);
    weights_free(w);
    free(path);
    return e;
}

static int32_t largest(const float *logits, int32_t count) {
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* The likeliest token after each prefix, from BOS on. */
static void continue_greedily(struct decoder *d, int32_t vocab, int32_t tokens[POSITIONS + 1]) {
    moe_err err = {0};
    float *logits = malloc((size_t)POSITIONS * (size_t)vocab * sizeof *logits);
    tokens[0] = BOS;
    for (int64_t n = 1; n <= POSITIONS; n++) {
        if (decoder_logits(d, tokens, 1, n, logits, &err) != MOE_OK) fail_msg("%s", err.message);
        tokens[n] = largest(logits + (n - 1) * vocab, vocab);
    }
    free(logits);
}

static struct tokenizer *open_tokenizer(const struct scratch *scratch) {
    moe_err err = {0};
    unsigned char *model = NULL;
    size_t size = 0;
    struct tokenizer *t = NULL;
    char path[128], *from = in_models("tok512.bin");
    scratch_path(scratch, "tokenizer.model", path);
    if (llama2c_tokenizer_read(from, &model, &size, &err) != MOE_OK ||
        file_write_atomic(path, model, size, &err) != MOE_OK ||
        tokenizer_sentencepiece(path, &t, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(tokenizer_size(t), 512);
    free(model);
    free(from);
    return t;
}

static void the_story_at_temperature_0(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct device *dev = NULL;
    struct decoder *d = NULL;
    int32_t tokens[POSITIONS + 1];
    char path[128], *text = NULL, *want_path = in_models("stories260K_expected_t0_n200.txt");
    unsigned char *want = NULL;
    size_t size = 0;
    scratch_open(&scratch);
    struct experiment *e = import(scratch_path(&scratch, "stories.safetensors", path));
    if (model_file_open(path, e, "cpu", 1, 1, POSITIONS, &dev, &d, &err) != MOE_OK)
        fail_msg("%s", err.message);
    continue_greedily(d, e->model.vocab_size, tokens);
    struct tokenizer *t = open_tokenizer(&scratch);
    if (tokenizer_decode(t, tokens + 1, POSITIONS, &text, &err) != MOE_OK ||
        file_read_all(want_path, 1 << 16, &want, &size, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_true(size > 0 && want[size - 1] == '\n');
    want[size - 1] = 0;
    assert_string_equal(text, (char *)want);
    tokenizer_free(t);
    decoder_destroy(d);
    device_close(dev);
    experiment_free(e);
    scratch_close(&scratch);
    free(text);
    free(want);
    free(want_path);
}

/* Text through the tokenizer and back, with bytes that no piece spells. */
static void text_comes_back(void **state) {
    (void)state;
    static const char *const texts[] = {"Once upon a time", "  two spaces", "na\xc3\xafve \xe2\x82\xac 5",
                                        "a\nb"};
    struct scratch scratch;
    scratch_open(&scratch);
    struct tokenizer *t = open_tokenizer(&scratch);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct token_buffer ids = {0};
        char *back = NULL;
        assert_int_equal(tokenizer_encode(t, texts[i], (int64_t)strlen(texts[i]), 0, &ids, NULL), MOE_OK);
        assert_int_equal(ids.ids[0], BOS);
        assert_int_equal(tokenizer_decode(t, ids.ids, ids.count, &back, NULL), MOE_OK);
        assert_non_null(strstr(back, texts[i] + strspn(texts[i], " ")));
        free(back);
        token_buffer_free(&ids);
    }
    tokenizer_free(t);
    scratch_close(&scratch);
}

int main(void) {
    const char *folder = getenv("MOE_DATA_DIR");
    char *model = folder != NULL ? in_models("stories260K.bin") : NULL;
    const bool there = model != NULL && file_exists(model);
    free(model);
    if (!there) {
        printf("skipped: MOE_DATA_DIR names no folder with models/stories260K.bin\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_story_at_temperature_0),
        cmocka_unit_test(text_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
