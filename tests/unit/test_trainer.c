/* test: rooms=train label=fast */
/* Runs of a few steps, end to end: sizes at their limits, what is left of an older run, and what a failed run
 * says. */
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
#include "model/decoder.h"
#include "record/reader.h"
#include "train/device_fit.h"
#include "train/optimizer.h"
#include "train/trainer.h"

#define SUITE "moe-vs-dense"
#include "fixture_suite.h"

struct folder {
    char path[64], run[96], live[112], checkpoint[112];
    volatile sig_atomic_t stop;
    int64_t stop_at;               /* step after which the run is interrupted; 0 = never */
    int threads;                   /* 0 = 1 */
    bool checkpoint_seen_at_start; /* beside the run after its first step */
};

static int set_up(void **state) {
    struct folder *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    snprintf(f->path, sizeof f->path, "/tmp/moe-trainer-XXXXXX");
    if (mkdtemp(f->path) == NULL) return -1;
    snprintf(f->run, sizeof f->run, "%s/x.h5", f->path);
    snprintf(f->live, sizeof f->live, "%s.live", f->run);
    snprintf(f->checkpoint, sizeof f->checkpoint, "%s.ckpt", f->run);
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

/* Six steps of a narrow model. */
#define SMALL                                                                                                \
    "model.hidden_size=16", "model.intermediate_size=16", "model.num_attention_heads=2",                     \
        "model.num_key_value_heads=2", "model.head_dim=8", "model.num_hidden_layers=2", "moe.layers=[1]",    \
        "moe.intermediate_size=16", "data.train_tokens=1537", "data.sequence_length=32",                     \
        "data.validation_tokens=257", "train.batch_size=8", "train.max_epochs=1", "train.max_steps=6",       \
        "train.eval_steps=0", "train.patience=0"

static void watch(void *user, const struct trainer_report *report) {
    struct folder *f = user;
    if (report->step == 1) f->checkpoint_seen_at_start = file_exists(f->checkpoint);
    if (f->stop_at > 0 && report->step >= f->stop_at) f->stop = 1;
}

static moe_status train(struct folder *f, const struct experiment *e, struct trainer_result *result,
                        moe_err *err) {
    const struct trainer_options options = {.path = f->run,
                                            .device = "cpu",
                                            .threads = f->threads > 0 ? f->threads : 1,
                                            .stop = &f->stop,
                                            .report = watch,
                                            .user = f};
    f->stop = 0;
    return trainer_run(e, &options, result, err);
}

/* A router wider than every layer of the model: the device's scratch must hold its logits. The sanitizers see
 * it if it does not. */
static void more_experts_than_any_layer_is_wide(void **state) {
    struct folder *f = *state;
    const char *const sets[] = {SMALL, "moe.num_experts=1024", "moe.intermediate_size=2", "moe.layers=[0, 1]",
                                "train.max_steps=1"};
    struct experiment *e = load_with("top2", "corrected", "smoke", sets, sizeof sets / sizeof sets[0]);
    struct trainer_result result;
    moe_err err = {0};
    assert_true(device_fit(&e->model, &e->moe, 1, 8, 32).max_width >= 1024);
    if (train(f, e, &result, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(result.steps, 1);
    assert_true(isfinite(result.best));
    experiment_free(e);
}

/* X.h5.live and X.h5.saved are gone, X.h5.ckpt of the same run is still there: it begins anew, and the old
 * checkpoint is removed at once, for a run that is killed before its own first one would go on from it. */
static void a_checkpoint_without_its_run_is_not_used(void **state) {
    struct folder *f = *state;
    const char *const sets[] = {SMALL, "train.checkpoint_steps=1000"};
    struct experiment *e = load_with("top2", "corrected", "smoke", sets, sizeof sets / sizeof sets[0]);
    char command[128];
    struct trainer_result whole, anew;
    moe_err err = {0};
    if (train(f, e, &whole, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(whole.steps, 6);
    assert_int_equal(unlink(f->run), 0);
    f->stop_at = 3;
    assert_int_equal(train(f, e, &anew, &err), MOE_EINTERRUPTED);
    assert_true(file_exists(f->live) && file_exists(f->checkpoint));
    snprintf(command, sizeof command, "cd %s && rm x.h5.live x.h5.saved", f->path);
    assert_int_equal(system(command), 0);
    f->stop_at = 0;
    if (train(f, e, &anew, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_false(f->checkpoint_seen_at_start);
    assert_int_equal(anew.resumed_at, 0);
    assert_string_equal(anew.digest, whole.digest);
    experiment_free(e);
}

/* What the record says of the routers of two groups: a row for each, and no load for experts that one lacks.
 */
static void check_rows(const char *path) {
    static const int32_t numbers[] = {0, 1, 1000, 1001}, experts[] = {8, 8, 4, 4};
    enum { MOST = 8 };
    struct run_reader *r = NULL;
    moe_err err = {0};
    double *load = NULL, *bias = NULL;
    int64_t dims[4];
    int32_t rank;
    if (run_reader_open(path, &r, &err) != MOE_OK ||
        run_reader_array(r, "/routing/load", &load, dims, &rank, &err) != MOE_OK ||
        run_reader_array(r, "/routing/bias", &bias, dims, &rank, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(rank, 3);
    assert_int_equal(dims[1], 4);
    assert_int_equal(dims[2], MOST);
    const int64_t last = (dims[0] - 1) * 4 * MOST;
    for (int l = 0; l < 4; l++) {
        double moved = 0;
        assert_int_equal(run_reader_layer_number(r, l), numbers[l]);
        for (int e = 0; e < MOST; e++) {
            assert_true((load[last + l * MOST + e] < 0) == (e >= experts[l]));
            moved += fabs(bias[last + l * MOST + e]);
        }
        assert_true((moved > 0) == (l < 2)); /* the second group's bias rests */
    }
    free(load);
    free(bias);
    run_reader_close(r);
}

/* Source C's layers with all of its switches: one thread, two, and cut off on one and resumed on two. */
static void groups_of_experts_have_one_digest(void **state) {
    struct folder *f = *state;
    const char *const sets[] = {SMALL,
                                "moe.layers=[0, 1]",
                                "model.intermediate_size=32",
                                "moe.intermediate_size=0",
                                "model.qk_norm=true",
                                "model.norm_placement=sublayer_output",
                                "moe.granularity=0.25",
                                "moe.granularity_2=0.5",
                                "moe.sparsity=4.0",
                                "moe.capacity_factor=1.2",
                                "moe.drop_in_evaluation=true",
                                "moe.lb_coeff=0.01",
                                "moe.z_coeff=0.001",
                                "moe.lb_gamma=0.001",
                                "moe.aux_mean_over_layers=true",
                                "moe.published_bias_first_group_only=true"};
    const int32_t count = sizeof sets / sizeof sets[0];
    struct experiment *e = load_with("top2", "corrected", "smoke", sets, count);
    struct trainer_result one, two, resumed;
    moe_err err = {0};
    if (train(f, e, &one, &err) != MOE_OK) fail_msg("%s", err.message);
    check_rows(f->run);
    assert_int_equal(unlink(f->run), 0);
    f->threads = 2;
    if (train(f, e, &two, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_string_equal(two.digest, one.digest);
    assert_int_equal(unlink(f->run), 0);
    f->threads = 1;
    f->stop_at = 3;
    assert_int_equal(train(f, e, &resumed, &err), MOE_EINTERRUPTED);
    f->threads = 2;
    f->stop_at = 0;
    if (train(f, e, &resumed, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(resumed.resumed_at, 3);
    assert_string_equal(resumed.digest, one.digest);
    experiment_free(e);
}

/* Bad gradients in both blocks: the one nearer to the loss made the other, so it is the one to look at. */
static void a_bad_gradient_is_traced_to_its_origin(void **state) {
    (void)state;
    const char *const sets[] = {SMALL};
    struct experiment *e = load_with("top2", "corrected", "smoke", sets, sizeof sets / sizeof sets[0]);
    const struct decoder_limits limits = {.max_batch = 1, .max_seq = 32, .training = true};
    const struct device_options options = device_fit(&e->model, &e->moe, 1, 1, 32);
    static const char *const bad[] = {"token_embedding.weight", "blocks.0.attention.qkv.weight",
                                      "blocks.1.norm1.weight"};
    struct device *dev = NULL;
    struct decoder *d = NULL;
    struct optimizer o;
    struct gradient_norms norms = {0};
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    assert_int_equal(decoder_create(&e->model, &e->moe, &limits, dev, &d, &err), MOE_OK);
    struct params *params = decoder_params(d);
    assert_int_equal(optimizer_create(&o, e, params, e->moe.num_layers, e->moe.num_experts, &err), MOE_OK);
    optimizer_give(&o, 1, 0.1);
    assert_int_equal(optimizer_finish(&o, 1, &norms, &err), MOE_OK);
    for (int i = 0; i < 3; i++) {
        const int32_t index = params_find(params, bad[i]);
        if (index < 0) fail_msg("no parameter %s", bad[i]);
        params_grad(params, index)[1] = NAN;
        params->values[0] = 1.0f;
        optimizer_give(&o, 7, 0.1);
        assert_int_equal(optimizer_finish(&o, 7, &norms, &err), MOE_ENUMERIC);
        assert_true(params->values[0] == 1.0f); /* nothing has moved */
        assert_non_null(strstr(err.message, "step 7"));
        if (strstr(err.message, bad[i]) == NULL) fail_msg("'%s' lacks %s", err.message, bad[i]);
    }
    optimizer_free(&o);
    decoder_destroy(d);
    device_close(dev);
    experiment_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_experts_than_any_layer_is_wide, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_without_its_run_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(groups_of_experts_have_one_digest, set_up, tear_down),
        cmocka_unit_test(a_bad_gradient_is_traced_to_its_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
