/* test: rooms=train label=fast */
/* Files of llama2.c: where each number goes, and that damaged ones are refused. */
#include "fixture_model.h"

#include <stdio.h>

#include "data/llama2c_tokenizer.h"
#include "data/spm_shim.h"
#include "model/llama2c.h"
#include "scratch_folder.h"

enum { DIM = 8, FFN = 6, LAYERS = 2, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 4, VOCAB = 5, SEQ = 3, KV = 4 };

/* A model file whose floats count up: number n is n. */
struct model_bytes {
    int32_t header[7];
    float floats[2048];
    int64_t count;
};

static void model_make(struct model_bytes *m, bool tied) {
    const int64_t layer = 2 * DIM + 2 * DIM * DIM + 2 * KV * DIM + 3 * FFN * DIM;
    *m = (struct model_bytes){
        .header = {DIM, FFN, LAYERS, HEADS, KV_HEADS, tied ? VOCAB : -VOCAB, SEQ},
        .count = VOCAB * DIM * (tied ? 1 : 2) + LAYERS * layer + DIM + SEQ * HEAD_DIM,
    };
    assert_true(m->count <= 2048);
    for (int64_t i = 0; i < m->count; i++)
        m->floats[i] = (float)i;
}

static void model_write(const struct model_bytes *m, const char *path, int64_t missing) {
    const size_t floats = (size_t)(m->count - missing) * sizeof(float);
    unsigned char *bytes = calloc(1, sizeof m->header + floats);
    memcpy(bytes, m->header, sizeof m->header);
    memcpy(bytes + sizeof m->header, m->floats, floats);
    scratch_write(path, bytes, sizeof m->header + floats);
    free(bytes);
}

static moe_status import(const char *path, struct weights **out, moe_err *err) {
    moe_status status = MOE_OK;
    struct model_config model;
    struct moe_config moe;
    *out = NULL;
    moe_try(llama2c_config(path, &model, &moe, err));
    moe_try(weights_create(&model, &moe, out, err));
    moe_try(llama2c_import(path, *out, err));
out:
    return status;
}

static const float *values_of(const struct weights *w, const char *name) {
    return w->values + w->params.items[params_find(&w->params, name)].offset;
}

static void every_tensor_in_its_place(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct model_bytes m;
    struct weights *w = NULL;
    char path[128];
    scratch_open(&scratch);
    model_make(&m, false);
    model_write(&m, scratch_path(&scratch, "m.bin", path), 0);
    if (import(path, &w, &err) != MOE_OK) fail_msg("%s", err.message);
    /* where the file has them, in floats */
    const int64_t att = VOCAB * DIM, wq = att + LAYERS * DIM, wk = wq + LAYERS * DIM * DIM;
    const int64_t wv = wk + LAYERS * KV * DIM, wo = wv + LAYERS * KV * DIM, ffn = wo + LAYERS * DIM * DIM;
    const int64_t w1 = ffn + LAYERS * DIM, w2 = w1 + LAYERS * FFN * DIM, w3 = w2 + LAYERS * FFN * DIM;
    const int64_t final = w3 + LAYERS * FFN * DIM, head = final + DIM + SEQ * HEAD_DIM;
    const float *qkv = values_of(w, "blocks.1.attention.qkv.weight");
    for (int32_t h = 0; h < HEADS + KV_HEADS; h++) { /* rows 0, 2 of a head before 1, 3 */
        const int64_t base = h < HEADS ? wq + DIM * DIM + h * HEAD_DIM * DIM : wk + KV * DIM;
        static const int64_t order[HEAD_DIM] = {0, 2, 1, 3};
        for (int64_t r = 0; r < HEAD_DIM; r++)
            assert_int_equal(qkv[(h * HEAD_DIM + r) * DIM + 5], base + order[r] * DIM + 5);
    }
    assert_int_equal(qkv[(HEADS + KV_HEADS) * HEAD_DIM * DIM], wv + KV * DIM);
    assert_int_equal(values_of(w, "blocks.1.norm1.weight")[2], att + DIM + 2);
    assert_int_equal(values_of(w, "blocks.1.attention.out.weight")[9], wo + DIM * DIM + 9);
    assert_int_equal(values_of(w, "blocks.1.norm2.weight")[0], ffn + DIM);
    assert_int_equal(values_of(w, "blocks.1.ffn.fc1.weight")[3], w1 + FFN * DIM + 3);
    assert_int_equal(values_of(w, "blocks.1.ffn.fc1.weight")[FFN * DIM + 3], w3 + FFN * DIM + 3);
    assert_int_equal(values_of(w, "blocks.1.ffn.fc2.weight")[7], w2 + FFN * DIM + 7);
    assert_int_equal(values_of(w, "norm.weight")[1], final + 1);
    assert_int_equal(values_of(w, "token_embedding.weight")[3], 3);
    assert_int_equal(values_of(w, "head.weight")[3], head + 3);
    weights_free(w);
    model_make(&m, true);
    model_write(&m, path, 0);
    if (import(path, &w, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_memory_equal(values_of(w, "head.weight"), values_of(w, "token_embedding.weight"),
                        VOCAB * DIM * sizeof(float));
    weights_free(w);
    scratch_close(&scratch);
}

static void damaged_models(void **state) {
    (void)state;
    struct scratch scratch;
    struct model_bytes m;
    struct weights *w = NULL;
    moe_err err = {0};
    char path[128];
    static const int32_t wrong[] = {0, -1, INT32_MIN, INT32_MAX, 0x616b3432, 1 << 20};
    scratch_open(&scratch);
    scratch_path(&scratch, "m.bin", path);
    fixture_failed(import(path, &w, &err), &err, MOE_ENOTFOUND, "m.bin");
    for (int field = 0; field < 7; field++) {
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            model_make(&m, true);
            m.header[field] = wrong[i];
            model_write(&m, path, 0);
            err = (moe_err){0};
            fixture_failed(import(path, &w, &err), &err, MOE_EFORMAT, "m.bin");
            weights_free(w);
        }
    }
    model_make(&m, true);
    model_write(&m, path, 1);
    err = (moe_err){0};
    fixture_failed(import(path, &w, &err), &err, MOE_EFORMAT, "cut short");
    scratch_write(path, "0123456789", 10);
    err = (moe_err){0};
    fixture_failed(import(path, &w, &err), &err, MOE_EFORMAT, "shorter than a header");
    scratch_close(&scratch);
}

/* ---- tokenizers -------------------------------------------------------------------------------------- */

struct tokenizer_bytes {
    unsigned char bytes[8192];
    size_t size;
};

static void tokenizer_add(struct tokenizer_bytes *t, const char *piece, float score, int32_t length) {
    memcpy(t->bytes + t->size, &score, 4);
    memcpy(t->bytes + t->size + 4, &length, 4);
    memcpy(t->bytes + t->size + 8, piece, strlen(piece));
    t->size += 8 + strlen(piece);
}

/* <unk>, <s>, </s>, the bytes and a few pieces that merge to "hello". */
static void tokenizer_make(struct tokenizer_bytes *t) {
    static const char *const pieces[] = {"he", "ll", "llo", "hello", " hello", " ", "h", "e", "l", "o"};
    char name[8];
    t->size = 4;
    memset(t->bytes, 0, 4);
    tokenizer_add(t, "<unk>", 0, 5);
    tokenizer_add(t, "\n<s>\n", 0, 5);
    tokenizer_add(t, "\n</s>\n", 0, 6);
    for (int i = 0; i < 256; i++) {
        snprintf(name, sizeof name, "<0x%02X>", i);
        tokenizer_add(t, name, 0, 6);
    }
    for (int i = 0; i < 10; i++)
        tokenizer_add(t, pieces[i], (float)-i, (int32_t)strlen(pieces[i]));
}

static moe_status tokenizer_read(const struct tokenizer_bytes *t, size_t size, const char *path,
                                 struct spm **out_spm, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *model = NULL;
    size_t model_size = 0;
    *out_spm = NULL;
    scratch_write(path, t->bytes, size);
    moe_try(llama2c_tokenizer_read(path, &model, &model_size, err));
    moe_try(spm_load(model, model_size, path, out_spm, err));
out:
    free(model);
    return status;
}

static void a_tokenizer_becomes_a_sentencepiece_model(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    static struct tokenizer_bytes t;
    struct spm *spm = NULL;
    struct token_buffer ids = {0};
    char path[128], *text = NULL;
    scratch_open(&scratch);
    tokenizer_make(&t);
    if (tokenizer_read(&t, t.size, scratch_path(&scratch, "t.bin", path), &spm, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(spm_size(spm), 3 + 256 + 10);
    assert_int_equal(spm_unk(spm), 0);
    assert_int_equal(spm_bos(spm), 1);
    assert_int_equal(spm_eos(spm), 2);
    assert_int_equal(spm_encode(spm, "hello!", 6, &ids, NULL), MOE_OK);
    assert_int_equal(ids.count, 2); /* " hello" as a whole, "!" as its byte */
    assert_int_equal(ids.ids[0], 259 + 4);
    assert_int_equal(ids.ids[1], 3 + '!');
    assert_int_equal(spm_decode(spm, ids.ids, ids.count, &text, NULL), MOE_OK);
    assert_string_equal(text, "hello!");
    free(text);
    token_buffer_free(&ids);
    spm_free(spm);
    scratch_close(&scratch);
}

/* Cut anywhere, or with lengths that cannot be. */
static void damaged_tokenizers(void **state) {
    (void)state;
    struct scratch scratch;
    static struct tokenizer_bytes t;
    static const int32_t lengths[] = {0, -1, INT32_MIN, INT32_MAX, 100000};
    struct spm *spm = NULL;
    moe_err err = {0};
    char path[128];
    scratch_open(&scratch);
    scratch_path(&scratch, "t.bin", path);
    tokenizer_make(&t);
    for (size_t n = 0; n < t.size; n += 23) {
        err = (moe_err){0};
        const moe_status status = tokenizer_read(&t, n, path, &spm, &err);
        if (status != MOE_OK) fixture_failed(status, &err, MOE_EFORMAT, "t.bin");
        spm_free(spm);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        tokenizer_make(&t);
        tokenizer_add(&t, "x", 0, lengths[i]);
        err = (moe_err){0};
        fixture_failed(tokenizer_read(&t, t.size, path, &spm, &err), &err, MOE_EFORMAT, "piece 269");
    }
    tokenizer_make(&t);
    tokenizer_add(&t, "he", 0, 2); /* twice the same piece */
    err = (moe_err){0};
    fixture_failed(tokenizer_read(&t, t.size, path, &spm, &err), &err, MOE_EFORMAT, "t.bin");
    scratch_close(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_in_its_place),
        cmocka_unit_test(damaged_models),
        cmocka_unit_test(a_tokenizer_becomes_a_sentencepiece_model),
        cmocka_unit_test(damaged_tokenizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
