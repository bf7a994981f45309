/* test: rooms=train label=gpu */
/* Whole models on a GPU against the CPU: the loss of 100 optimizer steps, or of a few, from the same
 * parameters on the same batches, the same bits when a run is made again, and results of batches in flight
 * kept apart. Backends: cuda:fp32 and cuda, or the one that MOE_TEST_BACKEND names. MOE_TEST_STEPS makes
 * fewer steps, and MOE_TEST_MODELS (a part of names) fewer models. Exit code 77 where this machine cannot
 * open a backend. */
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
    AGAIN = 20, /* steps of a run that is made twice */
    FEW = 8,    /* before choices differ; see the models */
    BATCHES = 4 /* that a run goes through again and again, so that its loss falls */
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
    double loss[STEPS];
    float *values; /* parameters at the end; malloc'ed */
    int64_t total;
};

struct model {
    const char *suite, *experiment, *protocol;
    bool few_choices; /* see LIMIT_CHOICES */
    const char *set;  /* SECTION.KEY=VALUE, or NULL */
    int most;         /* steps that are compared, if not all */
};

/* Every operation of training, with every value of the enums of device/backend.h that a suite uses, stands in
 * one of these; what a line is for is what those before it lack. */
static const struct model models[] = {
    /* layer norm, learned positions, GELU, dropout */
    {"moe-vs-dense", "dense", "corrected", false, NULL, 0},
    /* softmax router, raw weight, a balance loss for each layer; smoothed labels */
    {"moe-vs-dense", "strong_reg", "as-published", false, NULL, 0},
    /* weights renormalised; a selection that keeps experts out */
    {"moe-vs-dense", "top2", "corrected", false, "moe.expert_dropout=0.1", 0},
    /* RMS norm, rotation, SwiGLU */
    {"moedl", "01_moedl_dense", "corrected", false, NULL, 0},
    /* a balance loss over a pool of layers */
    {"moedl", "a1_moedl_lb_penalty", "corrected", false, NULL, 0},
    /* sigmoid router, bias in proportion; slots dropped by the wrong score, by weight. The published weight
     * of a single expert, p / (p + 1e-6), is left out: it gives the router a gradient of rounding errors, of
     * which Adam makes whole steps. */
    {"moedl", "e1_moedl_cf_1_0", "as-published", false, "moe.renormalize_top1=false", 0},
    {"moedl", "e1_moedl_cf_1_0", "corrected", false, NULL, 0},
    /* shared experts; many experts */
    {"moedl", "d2_moedl_s1_k3_e31", "corrected", false, NULL, 0},
    {"moedl", "c4_moedl_e64_k8", "corrected", false, NULL, 0},
    /* Norms of heads and of outputs, losses of logits; two routers a layer, bias by sign, drops by position.
     * At the rate of this source, among so many experts, the first choice that rounding decides otherwise
     * grows to a hundredth of the loss in a few dozen steps: a few are compared, before that. */
    {"slicing", "pairs@size=10M,pair=1_4-1_8,s=4,gamma=0.001", "as-published", false, NULL, FEW},
    /* an expert for all, and routed ones that read what attention reads */
    {"slicing", "generalist@size=10M,g=1_8,s=4,gen=1_4", "as-published", false, NULL, FEW},
    /* gates and output of the published code, of the printed formulas; a loss for both levels; by chance */
    {"cifar-hierarchy", "flat", "as-published", true, NULL, 0},
    {"cifar-hierarchy", "flat", "corrected", true, NULL, 0},
    {"cifar-hierarchy", "hierarchical", "corrected", true, NULL, 0},
    {"cifar-hierarchy", "hierarchical_gshard", "corrected", true, NULL, 0},
    /* ReLU and softmax without experts */
    {"cifar-hierarchy", "dense_active", "corrected", false, NULL, 0},
};

/* Steps of a run, at most `most`. */
static int steps_of(int most) {
    const char *wish = getenv("MOE_TEST_STEPS");
    const int steps = wish != NULL ? atoi(wish) : most;
    return steps < 1 ? 1 : steps < most ? steps : most;
}

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
    r->with_select = moe->num_layers > 0 && (moe->lb_gamma > 0 || moe->expert_dropout > 0);
    r->with_hist = moe->num_layers > 0;
    if (r->with_select) routing_select(r, dev, (float)moe->expert_dropout, 1, step);
}

static void move_bias(struct learner *l) {
    static const enum bias_rule rules[] = {
        [CONFIG_BIAS_SIGN] = BIAS_SIGN,
        [CONFIG_BIAS_PROPORTIONAL] = BIAS_PROPORTIONAL,
        [CONFIG_BIAS_PROPORTIONAL_E] = BIAS_PROPORTIONAL_E,
    };
    const struct moe_config *moe = &l->e->moe;
    const int64_t cells = (int64_t)l->routing->layers * l->routing->experts;
    if (experiment_is_classifier(l->e) || cells == 0 || moe->lb_gamma <= 0) return;
    int64_t *load = need((size_t)cells, sizeof *load);
    for (int64_t c = 0; c < cells; c++)
        load[c] = l->routing->host.load[c];
    routing_update_bias(l->routing, load, (float)moe->lb_gamma, rules[moe->bias_rule]);
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

/* Half of a batch makes a micro-batch if `halves`. */
static struct experiment *load_with(const struct model *m, bool halves) {
    const char *sets[3] = {"train.batch_size=4", "train.micro_batch_size=2"};
    const int32_t first = halves ? 0 : 2, end = 2 + (m->set != NULL);
    sets[2] = m->set;
    struct experiment *e = NULL;
    moe_err err = {0};
    const char *suites = getenv("MOE_SUITES");
    const struct experiment_choice choice = {
        .suites_dir = suites != NULL ? suites : MOE_SOURCE_DIR "/runs/suites",
        .suite = m->suite,
        .experiment = m->experiment,
        .protocol = m->protocol,
        .tier = "smoke",
        .seed = 3,
        .sets = sets + first,
        .set_count = end - first,
    };
    if (experiment_load(&choice, &e, &err) != MOE_OK) fail_msg("%s", err.message);
    return e;
}

static struct experiment *load(const struct model *m) {
    return load_with(m, false);
}

/* ---- the tests
 * ---------------------------------------------------------------------------------------------- */

static bool is_bf16(const char *device) {
    return strcmp(device, "cuda") == 0;
}

/* A model that is not asked for. */
static bool is_left_out(const struct model *m) {
    const char *wish = getenv("MOE_TEST_MODELS");
    return wish != NULL && strstr(m->experiment, wish) == NULL;
}

/* The loss on the CPU, which both types are compared with. */
static const struct run *run_on_cpu(size_t m, const struct experiment *e, int steps) {
    static struct run runs[sizeof models / sizeof models[0]];
    if (runs[m].values == NULL) train(e, "cpu", steps, &runs[m]);
    return &runs[m];
}

static void losses_follow_those_of_the_cpu(void **state) {
    const char *device = *state;
    int failures = 0;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        if (is_left_out(&models[m])) continue;
        const bool few = is_bf16(device) && models[m].few_choices;
        const double limit = few ? LIMIT_CHOICES : is_bf16(device) ? LIMIT_BF16 : LIMIT_FP32;
        struct experiment *e = load(&models[m]);
        const int steps = steps_of(models[m].most > 0 ? models[m].most : STEPS);
        const struct run *want = run_on_cpu(m, e, steps);
        struct run got;
        double worst = 0;
        int at = 0;
        train(e, device, steps, &got);
        for (int i = 0; i < steps; i++) {
            const double difference = fabs(got.loss[i] - want->loss[i]) / fabs(want->loss[few ? 0 : i]);
            const double error = isfinite(difference) ? difference : INFINITY;
            if (error <= worst) continue;
            worst = error;
            at = i;
        }
        const bool agrees = worst <= limit;
        print_message("%-10s %-32.32s %-12s loss %.4f to %.4f, on the CPU %.4f to %.4f; worst %.2e at step "
                      "%d, limit %.0e  %s\n",
                      device, e->name, models[m].protocol, got.loss[0], got.loss[steps - 1], want->loss[0],
                      want->loss[steps - 1], worst, at + 1, limit, agrees ? "agrees" : "DISAGREES");
        failures += !agrees;
        free(got.values);
        experiment_free(e);
    }
    assert_int_equal(failures, 0);
}

static void a_run_repeats_to_the_bit(void **state) {
    const char *device = *state;
    const int steps = steps_of(AGAIN);
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        if (is_left_out(&models[m])) continue;
        struct experiment *e = load(&models[m]);
        struct run first, second;
        train(e, device, steps, &first);
        train(e, device, steps, &second);
        assert_memory_equal(first.loss, second.loss, (size_t)steps * sizeof first.loss[0]);
        assert_memory_equal(first.values, second.values, (size_t)first.total * sizeof *first.values);
        print_message("%-10s %-32.32s %-12s %d steps twice: the same %lld parameters to the bit\n", device,
                      e->name, models[m].protocol, steps, (long long)first.total);
        free(first.values);
        free(second.values);
        experiment_free(e);
    }
}

static void give_half(struct learner *l, const struct corpus_batch *data, uint32_t micro) {
    const struct experiment *e = l->e;
    const struct learner_batch batch = {
        .data = data,
        .batch = e->train.micro_batch_size,
        .seq = e->data.sequence_length,
        .step = 1,
        .micro = micro,
        .step_rows = (int64_t)e->train.batch_size * e->data.sequence_length,
    };
    moe_err err = {0};
    if (learner_give_batch(l, &batch, (int32_t)micro, &err) != MOE_OK) fail_msg("%s", err.message);
}

/* Two batches before one wait have losses and times of their own; the first keeps them when the second is
 * given again. */
static void check_in_flight(const struct experiment *e, const char *device) {
    struct corpus_batch batches[BATCHES] = {{0}};
    struct device *dev = NULL;
    struct learner learner;
    struct learner_loss first, second, again;
    moe_err err = {0};
    const struct device_options room = learner_device(e, 4);
    make_batches(batches, e);
    if (device_open(device, &room, &dev, &err) != MOE_OK) fail_msg("%s", err.message);
    if (learner_open(&learner, e, dev, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(learner_initialize(&learner, &err), MOE_OK);
    set_controls(&learner, dev, 1);
    for (int round = 0; round < 3; round++) { /* the first pass of a device may be given in another way */
        give_half(&learner, &batches[0], 0);
        give_half(&learner, &batches[1], 1);
        if (dev->ops->synchronize(dev, &err) != MOE_OK) fail_msg("%s", err.message);
        learner_read_batch(&learner, 0, &first);
        learner_read_batch(&learner, 1, &second);
        assert_true(first.ce != second.ce && first.forward_seconds > 0 && first.backward_seconds > 0 &&
                    second.forward_seconds > 0 && second.backward_seconds > 0);
        give_half(&learner, &batches[2], 1);
        if (dev->ops->synchronize(dev, &err) != MOE_OK) fail_msg("%s", err.message);
        learner_read_batch(&learner, 0, &again);
        assert_true(again.ce == first.ce && again.forward_seconds == first.forward_seconds &&
                    again.backward_seconds == first.backward_seconds);
        learner_read_batch(&learner, 1, &again);
        assert_true(again.ce != second.ce);
    }
    learner_close(&learner);
    device_close(dev);
    for (int i = 0; i < BATCHES; i++)
        corpus_batch_free(&batches[i]);
}

static void batches_in_flight_are_kept_apart(void **state) {
    const char *device = *state;
    static const struct model some[] = {{"moe-vs-dense", "top2", "corrected", false, NULL, 0},
                                        {"cifar-hierarchy", "hierarchical", "corrected", true, NULL, 0}};
    for (size_t m = 0; m < sizeof some / sizeof some[0]; m++) {
        struct experiment *e = load_with(&some[m], true);
        check_in_flight(e, device);
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
            cmocka_unit_test_prestate(batches_in_flight_are_kept_apart, NULL),
        };
        for (size_t t = 0; t < sizeof tests / sizeof tests[0]; t++)
            tests[t].initial_state = (void *)(uintptr_t)devices[i];
        result += cmocka_run_group_tests_name(devices[i], tests, NULL, NULL);
    }
    return result;
}
