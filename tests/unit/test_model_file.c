/* test: rooms=train label=fast */
/* Model files: what is saved comes back and computes the same; what does not fit is refused by name. */
#include "fixture_model.h"

#include <stdio.h>

#include "core/file.h"
#include "data/dataset.h"
#include "model/safetensors.h"
#include "scratch_folder.h"
#include "train/checkpoint.h"
#include "train/data_request.h"
#include "train/device_fit.h"
#include "train/evaluate.h"
#include "train/model_file.h"
#include "train/trainer.h"

#define ALL_LOGITS (FIXTURE_SEQ * 31)

static void tokens_of(int32_t tokens[FIXTURE_SEQ]) {
    for (int32_t i = 0; i < FIXTURE_SEQ; i++)
        tokens[i] = (7 * i + 3) % 31;
}

static void logits_of(struct decoder *d, float logits[ALL_LOGITS]) {
    moe_err err = {0};
    int32_t tokens[FIXTURE_SEQ];
    tokens_of(tokens);
    if (decoder_logits(d, tokens, 1, FIXTURE_SEQ, logits, &err) != MOE_OK) fail_msg("%s", err.message);
}

/* A decoder with these weights. */
struct subject {
    struct experiment *e;
    struct device *dev;
    struct decoder *d;
};

static void subject_open(struct subject *s, const struct weights *w, bool training) {
    moe_err err = {0};
    s->e = fixture_experiment(&w->model, &w->moe, NULL);
    const struct device_options options = device_fit(&w->model, &w->moe, 1, 1, FIXTURE_SEQ);
    const struct decoder_limits limits = {.max_batch = 1, .max_seq = FIXTURE_SEQ, .training = training};
    if (device_open("cpu", &options, &s->dev, &err) != MOE_OK ||
        decoder_create(&w->model, &w->moe, &limits, s->dev, &s->d, &err) != MOE_OK ||
        weights_to_decoder(w, s->d, &err) != MOE_OK)
        fail_msg("%s", err.message);
}

static void subject_close(struct subject *s) {
    decoder_destroy(s->d);
    device_close(s->dev);
    experiment_free(s->e);
}

/* Logits of a file, opened as `moe generate` does. */
static void logits_of_file(const char *path, float logits[ALL_LOGITS], int64_t want_step) {
    moe_err err = {0};
    struct subject s = {0};
    int64_t step = -1;
    if (model_file_config(path, &s.e, &step, &err) != MOE_OK ||
        model_file_open(path, s.e, "cpu", 1, 1, FIXTURE_SEQ, &s.dev, &s.d, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(step, want_step);
    logits_of(s.d, logits);
    subject_close(&s);
}

static struct weights *sigmoid_weights(void) {
    const struct model_config model = fixture_dense();
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 1, 1);
    return fixture_weights(&model, &moe);
}

/* Selection bias and temperature are part of it: without them the logits are others. */
static void a_decoder_comes_back(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct subject s = {0};
    struct weights *w = sigmoid_weights();
    float want[ALL_LOGITS], got[ALL_LOGITS];
    char path[128];
    scratch_open(&scratch);
    w->temperature = 0.75f;
    subject_open(&s, w, false);
    logits_of(s.d, want);
    if (model_file_save(scratch_path(&scratch, "m.safetensors", path), s.e, s.d, 42, &err) != MOE_OK)
        fail_msg("%s", err.message);
    logits_of_file(path, got, 42);
    assert_memory_equal(got, want, sizeof want);
    weights_set_routing(s.d, 1.0f, false);
    logits_of(s.d, got);
    assert_memory_not_equal(got, want, sizeof want);
    memset(w->bias, 0, 2 * 5 * sizeof *w->bias);
    assert_int_equal(weights_to_decoder(w, s.d, &err), MOE_OK);
    logits_of(s.d, got);
    assert_memory_not_equal(got, want, sizeof want);
    subject_close(&s);
    weights_free(w);
    scratch_close(&scratch);
}

/* Checkpoints are model files too. Their epoch says which temperature the last step had. */
static void a_checkpoint_is_a_model_file(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct subject s = {0};
    const struct model_config model = fixture_dense();
    struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 1, 0);
    moe.temperature_end = 0.5, moe.temperature_epochs = 4;
    struct weights *w = fixture_weights(&model, &moe);
    float want[ALL_LOGITS], got[ALL_LOGITS];
    char path[128];
    scratch_open(&scratch);
    scratch_path(&scratch, "run.h5.ckpt", path);
    subject_open(&s, w, true);
    int64_t *counts = calloc(2 * 2 * 5, sizeof *counts);
    const struct checkpoint_counts all = {.expert_updates = counts, .metered_load = counts + 10};
    const struct train_progress progress = {.step = 9, .epoch = 3, .epoch_step = 0};
    const struct learner learner = learner_of_decoder(s.e, s.d);
    if (checkpoint_save(path, &learner, &progress, &all, &err) != MOE_OK) fail_msg("%s", err.message);
    weights_set_routing(s.d, 0.75f, false); /* of epoch 2 */
    logits_of(s.d, want);
    logits_of_file(path, got, 9);
    assert_memory_equal(got, want, sizeof want);
    free(counts);
    subject_close(&s);
    weights_free(w);
    scratch_close(&scratch);
}

static void expect_config(const char *path, moe_status want, const char *words) {
    moe_err err = {0};
    struct experiment *e = NULL;
    fixture_failed(model_file_config(path, &e, NULL, &err), &err, want, words);
    experiment_free(e);
}

static void expect_load(const char *path, const struct subject *s, moe_status want, const char *words) {
    moe_err err = {0};
    fixture_failed(model_file_load(path, s->e, s->d, &err), &err, want, words);
}

/* A file with other metadata than model_file_write() gives it; values may be NULL. */
static void write_with(const char *path, const struct weights *w, const char *config, const char *temperature,
                       const char *dense) {
    moe_err err = {0};
    struct safetensors_source tensors[64] = {{0}};
    const struct safetensors_entry all[] = {
        {"config", config}, {"temperature", temperature}, {"dense", dense}};
    struct safetensors_entry entries[3];
    int64_t count = 0, kept = 0;
    for (; count < w->params.count; count++) {
        const struct param *p = &w->params.items[count];
        tensors[count] = (struct safetensors_source){
            .name = p->name, .dtype = SAFETENSORS_F32, .rank = p->rank, .data = w->values + p->offset};
        memcpy(tensors[count].shape, p->shape, sizeof p->shape);
    }
    tensors[count++] = (struct safetensors_source){.name = "routing.bias",
                                                   .dtype = SAFETENSORS_F32,
                                                   .rank = 2,
                                                   .shape = {w->moe.num_layers, w->moe.num_experts},
                                                   .data = w->bias};
    for (size_t i = 0; i < 3; i++)
        if (all[i].value != NULL) entries[kept++] = all[i];
    if (safetensors_write(path, tensors, count, entries, kept, SAFETENSORS_CHECKSUM, &err) != MOE_OK)
        fail_msg("%s", err.message);
}

static void what_is_no_model_file(void **state) {
    (void)state;
    struct scratch scratch;
    struct subject s = {0};
    struct weights *w = sigmoid_weights();
    char path[128];
    scratch_open(&scratch);
    subject_open(&s, w, false);
    scratch_path(&scratch, "m.safetensors", path);
    expect_config(path, MOE_ENOTFOUND, "m.safetensors");
    expect_config("runs/x.h5", MOE_ENOTSUP, "--keep-model");
    scratch_write(path, "nonsense", 8);
    expect_config(path, MOE_EFORMAT, "m.safetensors");
    write_with(path, w, NULL, NULL, NULL);
    expect_config(path, MOE_EFORMAT, "moe import");
    write_with(path, w, "[]", NULL, NULL);
    expect_config(path, MOE_EFORMAT, "not a JSON object");
    write_with(path, w, "{\"model\": {\"hidden_size\": -3}}", NULL, NULL);
    expect_config(path, MOE_ECONFIG, "hidden_size");
    write_with(path, w, s.e->json, "nan", NULL);
    expect_load(path, &s, MOE_EFORMAT, "temperature");
    write_with(path, w, s.e->json, "0x1p+0", "1");
    expect_load(path, &s, MOE_EFORMAT, "dense");
    write_with(path, w, s.e->json, "0x1p+0", "0");
    moe_err err = {0};
    assert_int_equal(model_file_load(path, s.e, s.d, &err), MOE_OK);
    subject_close(&s);
    weights_free(w);
    scratch_close(&scratch);
}

/* Weights of one model for the configuration of another. */
static void tensors_that_do_not_fit(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct subject s = {0};
    struct weights *w = sigmoid_weights(), *other = NULL;
    struct model_config wider = w->model;
    char path[128];
    scratch_open(&scratch);
    subject_open(&s, w, false);
    wider.vocab_size++;
    other = fixture_weights(&wider, &w->moe);
    scratch_path(&scratch, "m.safetensors", path);
    assert_int_equal(model_file_write(path, s.e, other, 0, &err), MOE_OK);
    expect_load(path, &s, MOE_EMISMATCH, "token_embedding.weight");
    weights_free(other);
    wider = w->model;
    struct moe_config dense = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    other = fixture_weights(&wider, &dense);
    assert_int_equal(model_file_write(path, s.e, other, 0, &err), MOE_OK);
    expect_load(path, &s, MOE_ENOTFOUND, "blocks.1.moe.router.weight");
    weights_free(other);
    subject_close(&s);
    weights_free(w);
    scratch_close(&scratch);
}

/* Any flipped byte is found: by the checksum, if by nothing else. */
static void damage(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct subject s = {0};
    struct weights *w = sigmoid_weights();
    unsigned char *bytes = NULL;
    size_t size = 0;
    char path[128];
    scratch_open(&scratch);
    subject_open(&s, w, false);
    scratch_path(&scratch, "m.safetensors", path);
    assert_int_equal(model_file_write(path, s.e, w, 0, &err), MOE_OK);
    assert_int_equal(file_read_all(path, 1 << 24, &bytes, &size, &err), MOE_OK);
    for (size_t at = 0; at < size; at += 1 + size / 60) {
        struct experiment *e = NULL;
        bytes[at] ^= 0x20;
        scratch_write(path, bytes, size);
        bytes[at] ^= 0x20;
        if (model_file_config(path, &e, NULL, NULL) == MOE_OK) {
            moe_err why = {0};
            if (model_file_load(path, s.e, s.d, &why) == MOE_OK) fail_msg("byte %zu of %zu", at, size);
            assert_non_null(strstr(why.message, "m.safetensors"));
        }
        experiment_free(e);
    }
    free(bytes);
    subject_close(&s);
    weights_free(w);
    scratch_close(&scratch);
}

static void touch(const struct scratch *scratch, const char *name) {
    char path[128];
    assert_int_equal(file_make_parents(scratch_path(scratch, name, path), NULL), MOE_OK);
    scratch_write(path, "x", 1);
}

static void expect_tokenizer(const struct scratch *scratch, const char *model, const struct experiment *e,
                             const char *want) {
    moe_err err = {0};
    char path[128], data[128], suites[128], expected[128], *found = NULL;
    if (model_file_tokenizer(scratch_path(scratch, model, path), e, scratch_path(scratch, "data", data),
                             scratch_path(scratch, "suites", suites), &found, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_string_equal(found, scratch_path(scratch, want, expected));
    free(found);
}

/* Beside the model under its name, beside it under its own, in the data, in the suite: in this order. */
static void where_the_tokenizer_lies(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    const struct model_config model = fixture_dense();
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    struct experiment *e = fixture_experiment(&model, &moe, "sub/t.model");
    char path[128], data[128], *found = NULL;
    scratch_open(&scratch);
    scratch_path(&scratch, "run/m.safetensors", path);
    fixture_failed(
        model_file_tokenizer(path, e, scratch_path(&scratch, "data", data), "suites", &found, &err), &err,
        MOE_ENOTFOUND, "run/m.tokenizer.model");
    touch(&scratch, "suites/imported/sub/t.model");
    expect_tokenizer(&scratch, "run/m.safetensors", e, "suites/imported/sub/t.model");
    touch(&scratch, "data/sub/t.model");
    expect_tokenizer(&scratch, "run/m.safetensors", e, "data/sub/t.model");
    touch(&scratch, "run/sub/t.model");
    expect_tokenizer(&scratch, "run/m.safetensors", e, "run/sub/t.model");
    touch(&scratch, "run/m.tokenizer.model");
    expect_tokenizer(&scratch, "run/m.safetensors", e, "run/m.tokenizer.model");
    expect_tokenizer(&scratch, "run/m.h5.ckpt", e, "run/m.tokenizer.model");
    e->data.source = DATA_STORIES;
    assert_int_equal(model_file_tokenizer(path, e, NULL, "suites", &found, &err), MOE_OK);
    assert_null(found);
    experiment_free(e);
    scratch_close(&scratch);
}

static struct experiment *small_run(void) {
    moe_err err = {0};
    struct experiment *e = NULL;
    static const char *const sets[] = {"model.hidden_size=16",        "model.intermediate_size=16",
                                       "model.num_attention_heads=2", "model.head_dim=8",
                                       "model.num_hidden_layers=2",   "moe.intermediate_size=16",
                                       "model.expected_parameters=0", "data.train_tokens=1537",
                                       "data.validation_tokens=257",  "data.sequence_length=32",
                                       "train.batch_size=8",          "train.micro_batch_size=8",
                                       "train.max_epochs=1",          "train.eval_steps=0"};
    const struct experiment_choice choice = {.suites_dir = MOE_SOURCE_DIR "/runs/suites",
                                             .suite = "moedl",
                                             .experiment = "a2_moedl_lb_biasing",
                                             .protocol = "corrected",
                                             .tier = "smoke",
                                             .seed = 1,
                                             .sets = sets,
                                             .set_count = sizeof sets / sizeof sets[0]};
    if (experiment_load(&choice, &e, &err) != MOE_OK) fail_msg("%s", err.message);
    return e;
}

/* The validation loss of a model file. */
static double loss_of_file(const char *path, int64_t want_step, const char *want_sha256) {
    moe_err err = {0};
    struct subject s = {0};
    struct corpus corpus = {0};
    struct corpus_batch batch = {0};
    struct routing_sums sums = {0};
    struct evaluation evaluation;
    int64_t step = 0;
    if (model_file_config(path, &s.e, &step, &err) != MOE_OK ||
        model_file_open(path, s.e, "cpu", 1, 8, 32, &s.dev, &s.d, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(step, want_step);
    assert_string_equal(s.e->sha256, want_sha256);
    assert_true(decoder_routing(s.d)->with_select);
    struct learner learner = learner_of_decoder(s.e, s.d);
    if (corpus_open(s.e, NULL, NULL, NULL, &corpus, &err) != MOE_OK ||
        corpus_batch_create(&batch, &corpus, 8, &err) != MOE_OK ||
        routing_sums_create(&sums, s.e->moe.num_layers, s.e->moe.num_experts, &err) != MOE_OK ||
        evaluate(&learner, &corpus, step, 0, &batch, &sums, &evaluation, &err) != MOE_OK)
        fail_msg("%s", err.message);
    routing_sums_free(&sums);
    corpus_batch_free(&batch);
    corpus_close(&corpus);
    subject_close(&s);
    return evaluation.criterion;
}

/* A run leaves its weights beside it if it is asked to, and they have the loss that the run recorded. */
static void a_run_keeps_its_model(void **state) {
    (void)state;
    moe_err err = {0};
    struct scratch scratch;
    struct experiment *e = small_run();
    struct trainer_result result;
    char run[128], path[128];
    scratch_open(&scratch);
    scratch_path(&scratch, "x.safetensors", path);
    struct trainer_options options = {
        .path = scratch_path(&scratch, "x.h5", run), .device = "cpu", .threads = 1};
    if (trainer_run(e, &options, &result, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_false(file_exists(path));
    assert_int_equal(file_remove(run, NULL), MOE_OK);
    options.keep_model = true;
    if (trainer_run(e, &options, &result, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_true(loss_of_file(path, result.steps, e->sha256) == result.best);
    experiment_free(e);
    scratch_close(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoder_comes_back),
        cmocka_unit_test(a_checkpoint_is_a_model_file),
        cmocka_unit_test(what_is_no_model_file),
        cmocka_unit_test(tensors_that_do_not_fit),
        cmocka_unit_test(damage),
        cmocka_unit_test(where_the_tokenizer_lies),
        cmocka_unit_test(a_run_keeps_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
