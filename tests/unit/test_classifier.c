/* test: rooms=model label=fast */
/* Properties of image classifiers that hold whatever their weights are. */
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
#include "model/classifier.h"

enum { INPUT = 40, HIDDEN = 12, CLASSES = 5, BATCH = 48 };

#define SIZES .input = INPUT, .hidden = HIDDEN, .classes = CLASSES, .w_importance = 0.1, .w_load = 0.1
#define FLAT  .kind = CLASSIFIER_FLAT, .experts = 8, .top_k = 3
#define TWO   .experts = 10, .groups = 5, .top_k_groups = 2, .top_k = 2

static const struct classifier_config flat = {SIZES, FLAT, .noise = 1, .gate_std = 0.1};
static const struct classifier_config levels = {SIZES, TWO, .kind = CLASSIFIER_HIERARCHICAL, .noise = 1,
                                                .gate_std = 0.1};
static const struct classifier_config gshard = {SIZES, TWO, .kind = CLASSIFIER_HIERARCHICAL_GSHARD,
                                                .noise = 1, .gate_std = 0.1};
static const struct classifier_config dense = {SIZES, .kind = CLASSIFIER_DENSE};

static const struct classifier_config published = {.kind = CLASSIFIER_FLAT,
                                                   .input = 3072,
                                                   .hidden = 128,
                                                   .classes = 10,
                                                   .experts = 10,
                                                   .top_k = 4,
                                                   .gating = GATING_PUBLISHED_CODE,
                                                   .w_importance = 0.01,
                                                   .w_load = 0.01,
                                                   .noise = 1,
                                                   .double_softmax = true};

/* A model and a batch in which a label shows in the image. */
struct subject {
    struct device *dev;
    struct classifier *c;
    float images[BATCH * INPUT];
    int32_t labels[BATCH];
};

static void subject_open(struct subject *s, struct classifier_config config, int threads) {
    moe_err err = {0};
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST};
    const struct device_options options = classifier_device(&config, threads, BATCH);
    const struct classifier_limits limits = {.max_batch = BATCH, .training = true};
    if (device_open("cpu", &options, &s->dev, &err) != MOE_OK ||
        classifier_create(&config, &limits, s->dev, &s->c, &err) != MOE_OK ||
        classifier_initialize(s->c, 3, &err) != MOE_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < BATCH; i++) {
        s->labels[i] = (int32_t)rng_below(key, (uint64_t)i, CLASSES);
        for (int d = 0; d < INPUT; d++) {
            s->images[i * INPUT + d] = 2 * rng_uniform(key, (uint64_t)(1000 + i * INPUT + d)) - 1;
            if (d % CLASSES == s->labels[i]) s->images[i * INPUT + d] += 0.5f;
        }
    }
}

static void subject_close(struct subject *s) {
    classifier_destroy(s->c);
    device_close(s->dev);
}

static struct classifier_batch batch_of(const struct subject *s, int64_t first, int64_t count) {
    return (struct classifier_batch){.images = s->images + first * INPUT,
                                     .labels = s->labels + first,
                                     .batch = count,
                                     .seed = 1,
                                     .step = 1,
                                     .step_rows = BATCH};
}

static struct classifier_loss train(struct subject *s, const struct classifier_batch *batch) {
    struct classifier_loss loss;
    moe_err err = {0};
    if (classifier_train_batch(s->c, batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    return loss;
}

static struct classifier_loss evaluate(struct subject *s, const struct classifier_batch *batch) {
    struct classifier_loss loss;
    moe_err err = {0};
    if (classifier_eval_batch(s->c, batch, &loss, NULL, NULL, &err) != MOE_OK) fail_msg("%s", err.message);
    return loss;
}

static float *grads_of(struct subject *s) {
    return classifier_params(s->c)->grads; /* a CPU device lets the host read them */
}

static size_t grad_bytes(struct subject *s) {
    return (size_t)classifier_params(s->c)->total * sizeof(float);
}

/* A parameter's values in a CPU model. */
static float *values_of(struct subject *s, const char *name) {
    struct params *p = classifier_params(s->c);
    const int32_t index = params_find(p, name);
    if (index < 0) fail_msg("no parameter %s", name);
    return p->values + p->items[index].offset;
}

/* ---- sizes
 * ------------------------------------------------------------------------------------------------------- */

static void published_sizes_come_out_exactly(void **state) {
    (void)state;
    struct classifier_config config = published;
    struct classifier_counts counts;
    assert_int_equal(classifier_count(&config, 32, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 4007780);
    assert_int_equal(counts.gates, 2 * 10 * 3072);
    assert_int_equal(counts.active, 4 * 394634 + 61440);
    const int64_t flat_active = counts.active, flat_total = counts.total;
    config.kind = CLASSIFIER_HIERARCHICAL;
    config.groups = 5, config.top_k_groups = 2, config.top_k = 2;
    assert_int_equal(classifier_count(&config, 32, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 4038500);
    assert_int_equal(counts.active, 4 * 394634 + 2 * 3072 * (5 + 2 * 2));
    config.kind = CLASSIFIER_HIERARCHICAL_GSHARD; /* no noise matrices */
    config.gate_std = 0.01;
    assert_int_equal(classifier_count(&config, 32, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 10 * 394634 + 3072 * 15);
    /* the dense network nearest to each size: 3083 parameters more for every hidden unit, and 10 */
    config.kind = CLASSIFIER_DENSE;
    config.hidden = classifier_dense_width(3072, 10, flat_active);
    assert_int_equal(config.hidden, 532);
    assert_int_equal(classifier_count(&config, 32, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 532 * 3083 + 10);
    assert_true(llabs(counts.total - flat_active) <= 3083 / 2 + 1);
    config.hidden = classifier_dense_width(3072, 10, flat_total);
    assert_int_equal(config.hidden, 1300);
    assert_int_equal(classifier_count(&config, 32, &counts, NULL), MOE_OK);
    assert_int_equal(counts.active, counts.total);
    assert_true(llabs(counts.total - flat_total) <= 3083 / 2 + 1);
}

static void a_size_that_is_not_the_stated_one_is_refused(void **state) {
    (void)state;
    struct classifier_config config = flat;
    const struct device_options options = classifier_device(&config, 1, 1);
    const struct classifier_limits limits = {.max_batch = 1};
    struct classifier *c = NULL;
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    config.expected_parameters = 4007780;
    assert_int_equal(classifier_create(&config, &limits, dev, &c, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "4007780"));
    device_close(dev);
}

static void impossible_configurations_are_named(void **state) {
    (void)state;
    static const struct {
        struct classifier_config config;
        const char *key;
    } cases[] = {
        {{SIZES, .kind = CLASSIFIER_FLAT, .experts = 0, .top_k = 1}, "classifier.experts"},
        {{SIZES, .kind = CLASSIFIER_FLAT, .experts = 4, .top_k = 5}, "classifier.top_k"},
        {{SIZES, .kind = CLASSIFIER_FLAT, .experts = 4, .top_k = 0}, "classifier.top_k"},
        {{SIZES, .kind = CLASSIFIER_FLAT, .experts = 4, .top_k = 1, .noise = -1}, "noise"},
        {{SIZES, .kind = CLASSIFIER_FLAT, .experts = 4, .top_k = 1, .gate_std = NAN}, "gate_std"},
        {{SIZES, .kind = CLASSIFIER_HIERARCHICAL, .experts = 10, .groups = 3, .top_k_groups = 1, .top_k = 1},
         "classifier.groups"},
        {{SIZES, .kind = CLASSIFIER_HIERARCHICAL, .experts = 10, .groups = 5, .top_k_groups = 6, .top_k = 1},
         "classifier.top_k_groups"},
        {{SIZES, .kind = CLASSIFIER_HIERARCHICAL, .experts = 10, .groups = 5, .top_k_groups = 2, .top_k = 3},
         "classifier.top_k"},
        {{SIZES, .kind = CLASSIFIER_HIERARCHICAL_GSHARD, .experts = 10, .groups = 5, .top_k_groups = 3,
          .top_k = 2},
         "hierarchical_gshard"},
        {{SIZES, TWO, .kind = CLASSIFIER_HIERARCHICAL_GSHARD}, "classifier.gate_std"},
        {{.kind = CLASSIFIER_DENSE, .input = 0, .hidden = 1, .classes = 2}, "classifier.input"},
        {{.kind = CLASSIFIER_DENSE, .input = 1, .hidden = 0, .classes = 2}, "classifier.hidden"},
        {{.kind = CLASSIFIER_DENSE, .input = 1, .hidden = 1, .classes = 1}, "classifier.classes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        moe_err err = {0};
        assert_int_equal(classifier_check(&cases[i].config, &err), MOE_ECONFIG);
        if (strstr(err.message, cases[i].key) == NULL) fail_msg("%s: %s", cases[i].key, err.message);
    }
}

static void batches_beyond_the_plan_or_the_classes_are_refused(void **state) {
    (void)state;
    struct subject s;
    struct classifier_loss loss;
    moe_err err = {0};
    subject_open(&s, flat, 1);
    struct classifier_batch batch = batch_of(&s, 0, BATCH + 1);
    assert_int_equal(classifier_train_batch(s.c, &batch, &loss, &err), MOE_EARG);
    batch.batch = BATCH;
    s.labels[7] = CLASSES;
    err = (moe_err){0};
    assert_int_equal(classifier_eval_batch(s.c, &batch, &loss, NULL, NULL, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "label 7"));
    subject_close(&s);
}

/* ---- determinism
 * ------------------------------------------------------------------------------------------------- */

static void threads_and_repetition_change_no_bit(void **state) {
    (void)state;
    const struct classifier_config configs[] = {flat, levels, gshard, dense};
    for (int i = 0; i < 4; i++) {
        struct subject one, three;
        subject_open(&one, configs[i], 1);
        subject_open(&three, configs[i], 3);
        const struct classifier_batch batch = batch_of(&one, 0, BATCH);
        const struct classifier_loss a = train(&one, &batch), b = train(&three, &batch);
        assert_true(a.ce == b.ce && a.aux == b.aux && a.correct == b.correct);
        assert_memory_equal(grads_of(&one), grads_of(&three), grad_bytes(&one));
        memset(grads_of(&three), 0, grad_bytes(&three));
        evaluate(&three, &batch); /* leaves nothing behind */
        train(&three, &batch);
        assert_memory_equal(grads_of(&one), grads_of(&three), grad_bytes(&one));
        subject_close(&one);
        subject_close(&three);
    }
}

static void noise_belongs_to_its_step_and_not_to_evaluation(void **state) {
    (void)state;
    struct subject s;
    struct classifier_config config = flat;
    subject_open(&s, config, 1);
    struct classifier_batch batch = batch_of(&s, 0, BATCH);
    const double first = train(&s, &batch).ce, quiet = evaluate(&s, &batch).ce;
    assert_true(train(&s, &batch).ce == first);
    batch.step = 2;
    assert_true(train(&s, &batch).ce != first && evaluate(&s, &batch).ce == quiet);
    batch.micro = 1;
    const double other = train(&s, &batch).ce;
    batch.micro = 0;
    assert_true(train(&s, &batch).ce != other);
    classifier_controls(s.c)->noise = 0;
    assert_true(train(&s, &batch).ce == quiet);
    subject_close(&s);
    config.noise_at_evaluation = true;
    subject_open(&s, config, 1);
    batch = batch_of(&s, 0, BATCH);
    assert_true(evaluate(&s, &batch).ce != quiet);
    assert_true(evaluate(&s, &batch).ce != train(&s, &batch).ce); /* numbers of its own */
    subject_close(&s);
}

/* ---- what the layers mean
 * ---------------------------------------------------------------------------------------- */

static void one_expert_is_the_dense_network(void **state) {
    (void)state;
    static const char *const tensors[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
    struct subject mixture, alone;
    struct classifier_config config = flat;
    config.experts = config.top_k = 1;
    subject_open(&mixture, config, 1);
    subject_open(&alone, dense, 1);
    for (int i = 0; i < 4; i++) {
        char from[64], to[64];
        snprintf(from, sizeof from, "moe.experts.%s", tensors[i]);
        snprintf(to, sizeof to, "dense.%s", tensors[i]);
        struct params *p = classifier_params(alone.c);
        memcpy(values_of(&alone, to), values_of(&mixture, from),
               (size_t)p->items[params_find(p, to)].count * sizeof(float));
    }
    const struct classifier_batch batch = batch_of(&alone, 0, BATCH);
    const struct classifier_loss a = train(&mixture, &batch), b = train(&alone, &batch);
    assert_true(fabs(a.ce - b.ce) < 1e-5 * b.ce);
    assert_int_equal(a.correct, b.correct);
    subject_close(&mixture);
    subject_close(&alone);
}

static void the_order_of_experts_does_not_matter(void **state) {
    (void)state;
    struct subject a, b;
    struct classifier_config config = flat;
    config.noise = 0; /* noise is drawn by place */
    subject_open(&a, config, 1);
    subject_open(&b, config, 1);
    struct params *p = classifier_params(b.c);
    for (int32_t i = 0; i < p->count; i++) { /* every tensor leads with the experts: turn by one */
        const size_t one = (size_t)(p->items[i].count / config.experts);
        float *to = p->values + p->items[i].offset,
              *from = classifier_params(a.c)->values + p->items[i].offset;
        for (size_t e = 0; e < (size_t)config.experts; e++)
            memcpy(to + (e + 1) % (size_t)config.experts * one, from + e * one, one * sizeof *to);
    }
    const struct classifier_batch batch = batch_of(&a, 0, BATCH);
    const struct classifier_loss x = train(&a, &batch), y = train(&b, &batch);
    assert_true(fabs(x.ce - y.ce) < 1e-5 * x.ce && fabs(x.aux - y.aux) < 1e-5 * x.aux);
    subject_close(&a);
    subject_close(&b);
}

static void micro_batches_add_up_to_the_batch(void **state) {
    (void)state;
    const struct classifier_config configs[] = {flat, levels, dense};
    for (int i = 0; i < 3; i++) {
        struct subject whole, parts;
        struct classifier_config config = configs[i];
        config.noise = config.w_importance = config.w_load = 0; /* balance is of a micro-batch, noise too */
        subject_open(&whole, config, 1);
        subject_open(&parts, config, 1);
        const struct classifier_batch all = batch_of(&whole, 0, BATCH), first = batch_of(&parts, 0, 20),
                                      rest = batch_of(&parts, 20, BATCH - 20);
        const double ce = train(&whole, &all).ce;
        assert_true(fabs(train(&parts, &first).ce + train(&parts, &rest).ce - ce) < 1e-5 * ce);
        double worst = 0, largest = 0;
        for (int64_t j = 0; j < classifier_params(whole.c)->total; j++) {
            worst = fmax(worst, fabs((double)grads_of(&whole)[j] - (double)grads_of(&parts)[j]));
            largest = fmax(largest, fabs((double)grads_of(&whole)[j]));
        }
        assert_true(worst < 2e-6 * largest);
        subject_close(&whole);
        subject_close(&parts);
    }
}

static int64_t total_of(const int32_t *counts, int32_t n) {
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++)
        total += counts[i];
    return total;
}

static double sum_of(const float *x, int32_t n) {
    double total = 0;
    for (int32_t i = 0; i < n; i++)
        total += (double)x[i];
    return total;
}

/* Choices, gates and loads are conserved at every level. */
static void statistics_add_up(void **state) {
    (void)state;
    struct subject s;
    struct classifier_level level;
    subject_open(&s, flat, 1);
    struct classifier_batch batch = batch_of(&s, 0, BATCH);
    train(&s, &batch);
    assert_int_equal(classifier_levels(s.c), 1);
    classifier_level_of(s.c, LEVEL_EXPERTS, &level);
    assert_int_equal(level.n, 8);
    assert_int_equal(total_of(level.chosen, 8), 3 * BATCH);
    assert_int_equal(total_of(level.first, 8), BATCH);
    assert_true(fabs(sum_of(level.importance, 8) - BATCH) < 1e-4 * BATCH);
    assert_true(fabs(sum_of(level.mass, 8) - BATCH) < 1e-4 * BATCH);
    for (int e = 0; e < 8; e++)
        assert_true(level.chosen[e] <= BATCH && level.load[e] >= 0 && level.load[e] <= BATCH);
    assert_true(level.gate_entropy > 0 && level.gate_entropy <= log(3) + 1e-6);
    assert_true(level.router_entropy > 0 && level.router_entropy <= log(8) + 1e-6);
    subject_close(&s);
    subject_open(&s, levels, 1);
    train(&s, &batch);
    assert_int_equal(classifier_levels(s.c), 2);
    classifier_level_of(s.c, LEVEL_GROUPS, &level);
    assert_int_equal(level.n, 5);
    assert_int_equal(total_of(level.chosen, 5), 2 * BATCH);
    int32_t visits[5];
    memcpy(visits, level.chosen, sizeof visits);
    classifier_level_of(s.c, LEVEL_EXPERTS, &level);
    assert_int_equal(level.n, 10);
    for (int e = 0; e < 10; e++) /* top-2 of 2: no sparsity inside a group */
        assert_int_equal(level.chosen[e], visits[e / 2]);
    assert_int_equal(total_of(level.first, 10), 2 * BATCH);
    assert_true(fabs(sum_of(level.mass, 10) - BATCH) < 1e-4 * BATCH);
    assert_true(fabs(sum_of(level.importance, 10) - 2 * BATCH) < 1e-4 * BATCH);
    const struct routing *routing = classifier_routing(s.c);
    assert_int_equal(routing->layers, 2);
    assert_int_equal(routing->experts, 10);
    assert_memory_equal(routing->host.load, level.chosen, 10 * sizeof(int32_t));
    assert_memory_equal(routing->host.load + 10, visits, sizeof visits);
    assert_int_equal(total_of(routing->host.load + 15, 5), 0);
    assert_true(fabs((double)routing->host.entropy[0] - level.router_entropy * BATCH) < 1e-4);
    subject_close(&s);
    subject_open(&s, gshard, 1);
    train(&s, &batch);
    classifier_level_of(s.c, LEVEL_EXPERTS, &level);
    assert_true(total_of(level.chosen, 10) < 4 * BATCH); /* chance leaves second choices out */
    evaluate(&s, &batch);
    classifier_level_of(s.c, LEVEL_EXPERTS, &level);
    assert_int_equal(total_of(level.chosen, 10), 4 * BATCH);
    subject_close(&s);
}

static void probabilities_are_mixtures_of_probabilities(void **state) {
    (void)state;
    const struct classifier_config configs[] = {flat, levels, dense};
    for (int i = 0; i < 3; i++) {
        struct subject s;
        float p[BATCH * CLASSES], ce[BATCH];
        int32_t correct[BATCH];
        struct classifier_loss loss;
        subject_open(&s, configs[i], 1);
        const struct classifier_batch batch = batch_of(&s, 0, BATCH);
        assert_int_equal(classifier_eval_batch(s.c, &batch, &loss, ce, correct, NULL), MOE_OK);
        assert_int_equal(classifier_probabilities(s.c, p, NULL), MOE_OK);
        double sum_ce = 0;
        for (int r = 0; r < BATCH; r++) {
            assert_true(fabs(sum_of(p + r * CLASSES, CLASSES) - 1) < 1e-5);
            assert_true(fabs((double)ce[r] + log((double)p[r * CLASSES + s.labels[r]])) < 1e-5);
            sum_ce += (double)ce[r];
        }
        assert_true(fabs(sum_ce - loss.ce) < 1e-4);
        assert_int_equal(total_of(correct, BATCH), loss.correct);
        subject_close(&s);
    }
}

static void identical_experts_start_alike(void **state) {
    (void)state;
    struct subject s;
    struct classifier_config config = flat;
    config.expert_init = EXPERT_IDENTICAL;
    subject_open(&s, config, 1);
    const float *w = values_of(&s, "moe.experts.fc1.weight");
    for (int e = 1; e < 8; e++)
        assert_memory_equal(w, w + e * INPUT * HIDDEN, INPUT * HIDDEN * sizeof *w);
    subject_close(&s);
    config.expert_init = EXPERT_HE;
    subject_open(&s, config, 1);
    double squares = 0;
    w = values_of(&s, "moe.experts.fc1.weight");
    for (int i = 0; i < 8 * INPUT * HIDDEN; i++)
        squares += (double)w[i] * (double)w[i] / (8 * INPUT * HIDDEN);
    assert_true(fabs(squares - 2.0 / INPUT) < 0.1 * 2.0 / INPUT);
    assert_true(sum_of(values_of(&s, "moe.experts.fc1.bias"), 8 * HIDDEN) == 0);
    subject_close(&s);
}

/* Adam on one batch; returns its loss without noise. */
static struct classifier_loss fit(struct subject *s, uint32_t steps) {
    struct params *p = classifier_params(s->c);
    struct classifier_batch batch = batch_of(s, 0, BATCH);
    const struct adamw_segment all = {.offset = 0, .count = p->total, .lr = 0.01f};
    for (uint32_t step = 1; step <= steps; step++) {
        const struct adamw_step adam = {.beta1 = 0.9f,
                                        .beta2 = 0.999f,
                                        .eps = 1e-8f,
                                        .bias_correction1 = 1 - powf(0.9f, (float)step),
                                        .bias_correction2 = 1 - powf(0.999f, (float)step)};
        batch.step = step;
        train(s, &batch);
        s->dev->ops->adamw(s->dev, p->values, p->compute, p->grads, p->m, p->v, &all, 1, &adam,
                           &(float){1.0f});
    }
    return evaluate(s, &batch);
}

static void training_finds_the_labels(void **state) {
    (void)state;
    struct classifier_config configs[] = {flat, flat, levels, levels, gshard, dense};
    configs[1].gating = configs[3].gating = GATING_PUBLISHED_CODE;
    configs[1].double_softmax = true;
    for (int i = 0; i < 6; i++) {
        struct subject s;
        if (configs[i].kind != CLASSIFIER_HIERARCHICAL_GSHARD) configs[i].gate_std = 0;
        subject_open(&s, configs[i], 1);
        const struct classifier_batch batch = batch_of(&s, 0, BATCH);
        const double before = evaluate(&s, &batch).ce;
        const struct classifier_loss after = fit(&s, 60);
        assert_true(after.ce < 0.75 * before);
        assert_true(after.correct > BATCH * 9 / 10);
        subject_close(&s);
    }
}

/* Squared coefficient of variation, of the population. */
static double cv_squared(const double *x, int n) {
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        mean += x[i] / n;
        squares += x[i] * x[i] / n;
    }
    return squares / (mean * mean) - 1;
}

/* From gates that prefer some experts: with the balance losses the importance evens out, without it does not.
 */
static void balance_losses_balance(void **state) {
    (void)state;
    struct classifier_config configs[] = {flat, flat, levels, gshard};
    configs[1].gating = GATING_PUBLISHED_CODE;
    for (int i = 0; i < 4; i++) {
        double variation[2];
        for (int with = 0; with < 2; with++) {
            struct subject s;
            configs[i].gate_std = 0.5;
            configs[i].w_importance = configs[i].w_load = with == 0 ? 0 : 10;
            subject_open(&s, configs[i], 1);
            fit(&s, 40);
            struct classifier_level level;
            double mass[10];
            classifier_level_of(s.c, LEVEL_EXPERTS, &level);
            for (int e = 0; e < level.n; e++)
                mass[e] = (double)level.mass[e];
            variation[with] = cv_squared(mass, level.n);
            subject_close(&s);
        }
        print_message("CV^2 of the gates without a balance loss %.3f, with one %.3f\n", variation[0],
                      variation[1]);
        assert_true(variation[1] < 0.5 * variation[0]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes_come_out_exactly),
        cmocka_unit_test(a_size_that_is_not_the_stated_one_is_refused),
        cmocka_unit_test(impossible_configurations_are_named),
        cmocka_unit_test(batches_beyond_the_plan_or_the_classes_are_refused),
        cmocka_unit_test(threads_and_repetition_change_no_bit),
        cmocka_unit_test(noise_belongs_to_its_step_and_not_to_evaluation),
        cmocka_unit_test(one_expert_is_the_dense_network),
        cmocka_unit_test(the_order_of_experts_does_not_matter),
        cmocka_unit_test(micro_batches_add_up_to_the_batch),
        cmocka_unit_test(statistics_add_up),
        cmocka_unit_test(probabilities_are_mixtures_of_probabilities),
        cmocka_unit_test(identical_experts_start_alike),
        cmocka_unit_test(training_finds_the_labels),
        cmocka_unit_test(balance_losses_balance),
    };
    return cmocka_run_group_tests_name("classifier", tests, NULL, NULL);
}
