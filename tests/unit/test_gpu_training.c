/* test: rooms=train label=gpu */
/* Whole models on a GPU against the CPU: the loss of 100 optimizer steps from the same parameters on the same
 * batches, and the same bits when a run is made again. Backends: cuda:fp32 and cuda, or the one that
 * MOE_TEST_BACKEND names. Exit code 77 where this machine cannot open one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "data/images.h"
#include "train/learner.h"
#include "train/optimizer.h"
#include "train/schedule.h"

enum {
    STEPS = 100,
    AGAIN = 20,  /* steps of a run that is made twice */
    BATCHES = 4, /* that a run goes through again and again, so that its loss falls */
    MOST_STEPS = STEPS
};

/* Largest difference of a step's loss, over the loss: activations of 24 and of 8 bits. Rounding differs and
 * grows from step to step, so that this is a bound on drift; test_backend_parity bounds the operations. */
#define LIMIT_FP32 1e-4
#define LIMIT_BF16 2e-2

/* The same over the loss of the first step, for mixtures of experts over 32 images in bf16. Where rounding
 * turns a choice of experts the loss of a whole image jumps, and they learn their images by heart, so that
 * the loss itself falls to a tenth. On the CPU, in fp32, parameters and images that are off by bf16's
 * rounding once, in the beginning, move it by up to 3e-2; gates that do not learn, by 5e-1. */
#define LIMIT_CHOICES 6e-2

struct run {
    double loss[MOST_STEPS];
    float *values; /* parameters at the end; malloc'ed */
    int64_t total;
};

struct model {
    const char *suite, *experiment;
    bool few_choices; /* see LIMIT_CHOICES */
};

static const struct model models[] = {
    {"moe-vs-dense", "dense", false},        {"moe-vs-dense", "baseline", false},
    {"moe-vs-dense", "top2", false},         {"moedl", "01_moedl_dense", false},
    {"moedl", "a1_moedl_lb_penalty", false}, {"moedl", "c4_moedl_e64_k8", false},
    {"cifar-hierarchy", "flat", true},       {"cifar-hierarchy", "hierarchical", true},
};

/* ---- batches
 * ------------------------------------------------------------------------------------------------ */

/* Tokens that mostly follow from the one before, so that there is something to learn; images of noise. */
static void fill_batch(struct corpus_batch *b, const struct experiment *e, int number) {
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST, .step = (uint32_t)number};
    const int64_t seq = e->data.sequence_length, rows = e->train.micro_batch_size * seq;
    const bool images = experiment_is_classifier(e);
    const uint64_t range = (uint64_t)(images ? e->classifier.net.classes : e->model.vocab_size);
    for (int64_t i = 0; i < rows; i++) {
        const bool follows = i % seq > 0 && rng_uniform(key, (uint64_t)(2 * i)) < 0.8f;
        const uint64_t drawn = rng_below(key, (uint64_t)(2 * i + 1), range);
        if (images) {
            b->targets[i] = (int32_t)drawn;
            continue;
        }
        b->tokens[i] = follows ? b->targets[i - 1] : (int32_t)drawn;
        b->targets[i] = (int32_t)(((uint64_t)b->tokens[i] * 7 + 3) % range);
        if (rng_uniform(key, (uint64_t)(2 * (rows + i))) < 0.2f)
            b->targets[i] = (int32_t)rng_below(key, (uint64_t)(2 * (rows + i) + 1), range);
    }
    for (int64_t i = 0; images && i < rows * IMAGE_VALUES; i++)
        b->images[i] = 2.0f * rng_uniform(key, (uint64_t)(4 * rows + i)) - 1.0f;
}

static void *need(size_t count, size_t size) {
    void *p = calloc(count + 1, size);
    if (p == NULL) abort();
    return p;
}

static void make_batches(struct corpus_batch *b, const struct experiment *e) {
    const size_t rows = (size_t)e->train.micro_batch_size * (size_t)e->data.sequence_length;
    for (int i = 0; i < BATCHES; i++) {
        b[i].tokens = need(rows, sizeof *b[i].tokens);
        b[i].targets = need(rows, sizeof *b[i].targets);
        if (experiment_is_classifier(e)) b[i].images = need(rows * IMAGE_VALUES, sizeof *b[i].images);
        fill_batch(&b[i], e, i);
    }
}

/* ---- one run
 * ------------------------------------------------------------------------------------------------ */

static void set_controls(struct learner *l, struct device *dev, uint32_t step) {
    const struct moe_config *moe = &l->e->moe;
    struct routing *r = l->routing;
    learner_set_gates(l, schedule_noise(&l->e->classifier, 0), 1.0);
    if (experiment_is_classifier(l->e)) return;
    r->temperature = (float)schedule_temperature(moe, 0);
    r->with_select = moe->num_layers > 0 && moe->lb_gamma > 0;
    r->with_hist = moe->num_layers > 0;
    if (r->with_select) routing_select(r, dev, 0.0f, 1, step);
}

static void move_bias(struct learner *l) {
    const struct moe_config *moe = &l->e->moe;
    const int64_t cells = (int64_t)l->routing->layers * l->routing->experts;
    if (experiment_is_classifier(l->e) || cells == 0 || moe->lb_gamma <= 0) return;
    int64_t *load = need((size_t)cells, sizeof *load);
    for (int64_t c = 0; c < cells; c++)
        load[c] = l->routing->host.load[c];
    routing_update_bias(l->routing, load, (float)moe->lb_gamma, BIAS_PROPORTIONAL_E);
    free(load);
}

static moe_status step(struct learner *l, struct device *dev, struct optimizer *o,
                       const struct corpus_batch *data, uint32_t number, double *out_loss, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = l->e;
    const struct learner_batch batch = {
        .data = data,
        .batch = e->train.micro_batch_size,
        .seq = e->data.sequence_length,
        .step = number,
        .step_rows = (int64_t)e->train.micro_batch_size * e->data.sequence_length,
    };
    struct learner_loss loss;
    struct gradient_norms norms = {.expert = NULL};
    set_controls(l, dev, number);
    moe_try(learner_give_batch(l, &batch, 0, err));
    optimizer_give(o, number, 0.5 * e->train.lr);
    moe_try(dev->ops->synchronize(dev, err));
    learner_read_batch(l, 0, &loss);
    moe_try(optimizer_finish(o, number, &norms, err));
    move_bias(l);
    *out_loss = (loss.smoothed + loss.head_z) / (double)loss.targets + loss.aux + loss.router_z;
out:
    return status;
}

/* Trains for `steps` from the initial parameters. */
static void train(const struct experiment *e, const char *device, int steps, struct run *out) {
    struct corpus_batch batches[BATCHES] = {{0}};
    struct device *dev = NULL;
    struct learner learner;
    struct optimizer optimizer;
    moe_err err = {0};
    const struct device_options room = learner_device(e, 4); /* bits do not depend on it */
    make_batches(batches, e);
    if (device_open(device, &room, &dev, &err) != MOE_OK) fail_msg("%s", err.message);
    if (learner_open(&learner, e, dev, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(learner_initialize(&learner, &err), MOE_OK);
    assert_int_equal(optimizer_create(&optimizer, e, learner.params, learner_layers(&learner),
                                      learner_experts(&learner), &err),
                     MOE_OK);
    for (int i = 0; i < steps; i++) {
        const moe_status status =
            step(&learner, dev, &optimizer, &batches[i % BATCHES], (uint32_t)i + 1, &out->loss[i], &err);
        if (status != MOE_OK) fail_msg("%s/%s on %s: %s", e->suite, e->name, device, err.message);
    }
    out->total = learner.params->total;
    out->values = need((size_t)out->total, sizeof *out->values);
    for (int32_t i = 0; i < learner.params->count; i++)
        params_get(learner.params, i, out->values + learner.params->items[i].offset);
    assert_int_equal(dev->ops->synchronize(dev, &err), MOE_OK);
    optimizer_free(&optimizer);
    learner_close(&learner);
    device_close(dev);
    for (int i = 0; i < BATCHES; i++)
        corpus_batch_free(&batches[i]);
}

static struct experiment *load(const struct model *m) {
    struct experiment *e = NULL;
    moe_err err = {0};
    const char *suites = getenv("MOE_SUITES");
    const struct experiment_choice choice = {
        .suites_dir = suites != NULL ? suites : MOE_SOURCE_DIR "/runs/suites",
        .suite = m->suite,
        .experiment = m->experiment,
        .protocol = "corrected",
        .tier = "smoke",
        .seed = 3,
    };
    if (experiment_load(&choice, &e, &err) != MOE_OK) fail_msg("%s", err.message);
    return e;
}

/* ---- the tests
 * ---------------------------------------------------------------------------------------------- */

static bool is_bf16(const char *device) {
    return strcmp(device, "cuda") == 0;
}

static void losses_follow_those_of_the_cpu(void **state) {
    const char *device = *state;
    int failures = 0;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        const bool few = is_bf16(device) && models[m].few_choices;
        const double limit = few ? LIMIT_CHOICES : is_bf16(device) ? LIMIT_BF16 : LIMIT_FP32;
        struct experiment *e = load(&models[m]);
        struct run want, got;
        double worst = 0;
        int at = 0;
        train(e, "cpu", STEPS, &want);
        train(e, device, STEPS, &got);
        for (int i = 0; i < STEPS; i++) {
            const double difference = fabs(got.loss[i] - want.loss[i]) / fabs(want.loss[few ? 0 : i]);
            const double error = isfinite(difference) ? difference : INFINITY;
            if (error <= worst) continue;
            worst = error;
            at = i;
        }
        const bool agrees = worst <= limit;
        print_message("%-10s %-32s loss %.4f to %.4f, on the CPU %.4f to %.4f; worst %.2e at step %d, limit "
                      "%.0e  %s\n",
                      device, e->name, got.loss[0], got.loss[STEPS - 1], want.loss[0], want.loss[STEPS - 1],
                      worst, at + 1, limit, agrees ? "agrees" : "DISAGREES");
        failures += !agrees;
        free(want.values);
        free(got.values);
        experiment_free(e);
    }
    assert_int_equal(failures, 0);
}

static void a_run_repeats_to_the_bit(void **state) {
    const char *device = *state;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        struct experiment *e = load(&models[m]);
        struct run first, second;
        train(e, device, AGAIN, &first);
        train(e, device, AGAIN, &second);
        assert_memory_equal(first.loss, second.loss, AGAIN * sizeof first.loss[0]);
        assert_memory_equal(first.values, second.values, (size_t)first.total * sizeof *first.values);
        print_message("%-10s %-32s %d steps twice: the same %lld parameters to the bit\n", device, e->name,
                      AGAIN, (long long)first.total);
        free(first.values);
        free(second.values);
        experiment_free(e);
    }
}

int main(void) {
    const char *named = getenv("MOE_TEST_BACKEND");
    const char *devices[] = {named != NULL ? named : "cuda:fp32", named != NULL ? NULL : "cuda"};
    const struct device_options small = {.max_rows = 16, .max_vocab = 16, .max_seq = 16, .max_width = 16};
    int result = 0;
    for (int i = 0; i < 2 && devices[i] != NULL; i++) {
        struct device *dev = NULL;
        moe_err err = {0};
        const moe_status status = device_open(devices[i], &small, &dev, &err);
        device_close(dev);
        if (status != MOE_OK) {
            fprintf(stderr, "skipped: %s\n", err.message);
            return status == MOE_ENOTSUP ? 77 : 1;
        }
        struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate(losses_follow_those_of_the_cpu, NULL),
            cmocka_unit_test_prestate(a_run_repeats_to_the_bit, NULL),
        };
        for (size_t t = 0; t < sizeof tests / sizeof tests[0]; t++)
            tests[t].initial_state = (void *)(uintptr_t)devices[i];
        result += cmocka_run_group_tests_name(devices[i], tests, NULL, NULL);
    }
    return result;
}
