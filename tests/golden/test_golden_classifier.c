/* test: rooms=model label=fast */
#include "golden.h"

#include "core/normal.h"
#include "model/classifier.h"

/* Image classifiers on both CPU backends against what PyTorch computes in float64
 * (make_classifier_golden.py): noise, choices, losses, and the gradient of every parameter. */

#define LIMIT 1e-5

enum { SEED = 41, STEP = 6, INPUT = 23, HIDDEN = 9, CLASSES = 6 };

#define TWO_LEVELS .groups = 5, .top_k_groups = 2, .top_k = 2
#define CODE       .gating = GATING_PUBLISHED_CODE, .double_softmax = true
#define FLAT       .kind = CLASSIFIER_FLAT, .experts = 7, .top_k = 3
#define LEVELS     .kind = CLASSIFIER_HIERARCHICAL, TWO_LEVELS
#define GSHARD     .kind = CLASSIFIER_HIERARCHICAL_GSHARD, TWO_LEVELS, .experts = 10, .gate_std = 1

static const struct classifier_case {
    const char *name;
    struct classifier_config config;
} cases[] = {
    {"flat", {FLAT, .noise = 1}},
    {"flat_k1", {.kind = CLASSIFIER_FLAT, .experts = 7, .top_k = 1, .noise = 0.5}},
    {"flat_quiet", {FLAT, .noise = 0}},
    {"flat_code", {FLAT, .noise = 1, CODE}},
    {"flat_code_quiet", {FLAT, .noise = 0, CODE}},
    {"hierarchical", {LEVELS, .experts = 10, .noise = 1}},
    {"hierarchical_sparse", {LEVELS, .experts = 15, .noise = 1}},
    {"hierarchical_code", {LEVELS, .experts = 10, .noise = 1, CODE}},
    {"hierarchical_code_sparse", {LEVELS, .experts = 15, .noise = 1, CODE}},
    {"gshard", {GSHARD, .noise = 1}},
    {"gshard_quiet", {GSHARD, .noise = 0}},
    {"dense", {.kind = CLASSIFIER_DENSE}},
    {"dense_code", {.kind = CLASSIFIER_DENSE, .double_softmax = true}},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static struct classifier *classifier_of(struct golden *g, struct classifier_config config, int64_t batch) {
    const struct classifier_limits limits = {.max_batch = batch, .training = true};
    struct classifier *c = NULL;
    moe_err err = {0};
    config.input = INPUT, config.hidden = HIDDEN, config.classes = CLASSES;
    config.w_importance = 0.25, config.w_load = 0.5;
    if (classifier_create(&config, &limits, g->dev, &c, &err) != MOE_OK) fail_msg("%s", err.message);
    struct params *params = classifier_params(c);
    for (int32_t i = 0; i < params->count; i++) {
        float *values = golden_floats(g, "param", params->items[i].name);
        params_set(params, i, values);
        free(values);
    }
    return c;
}

/* The numbers that the gates draw are those of PyTorch's side, which has its own Philox. */
static void expect_noise(struct golden *g) {
    const struct rng_key key = {.seed = SEED, .stream = RNG_ROUTER_NOISE, .step = STEP};
    if (safetensors_find(g->file, "noise.0") == NULL) return;
    const int64_t count = golden_find(g, "noise.0", NULL)->count;
    float *got = malloc((size_t)count * sizeof *got);
    for (int64_t i = 0; i < count; i++)
        got[i] = (float)rng_normal(key, (uint64_t)i);
    golden_compare(g, "noise.0", NULL, got, NULL, 1e-7);
    free(got);
}

/* Dense gates [rows, experts] from the lists of choices, and the groups' gates, which are their sums. */
static void expect_gates(struct golden *g, struct classifier *c, int64_t rows,
                         const struct classifier_config *config) {
    const int32_t slots = classifier_slots(c);
    if (slots == 0) return;
    int32_t *index = malloc((size_t)(rows * slots) * sizeof *index);
    float *weight = malloc((size_t)(rows * slots) * sizeof *weight);
    float *gates = calloc((size_t)(rows * config->experts), sizeof *gates);
    float *groups = calloc((size_t)(rows * (config->groups + 1)), sizeof *groups);
    assert_int_equal(classifier_choices(c, index, weight, NULL), MOE_OK);
    for (int64_t i = 0; i < rows * slots; i++) {
        if (index[i] < 0) continue;
        gates[i / slots * config->experts + index[i]] += weight[i];
        if (config->groups > 0)
            groups[i / slots * config->groups + index[i] / (config->experts / config->groups)] += weight[i];
    }
    golden_compare(g, "gates", NULL, gates, NULL, LIMIT);
    /* inner gates add up to 1 only where none is left to chance, and no 1e-6 is under them */
    if (config->kind == CLASSIFIER_HIERARCHICAL && config->gating == GATING_PRINTED)
        golden_compare(g, "groups", NULL, groups, NULL, LIMIT);
    free(index);
    free(weight);
    free(gates);
    free(groups);
}

static void expect_losses(struct golden *g, const struct classifier_loss *loss) {
    golden_expect_double(g, "loss", "ce", loss->ce / (double)loss->images, LIMIT);
    golden_expect_double(g, "loss", "importance", loss->level[0].importance + loss->level[1].importance,
                         LIMIT);
    golden_expect_double(g, "loss", "load", loss->level[0].load + loss->level[1].load, LIMIT);
    golden_expect_double(g, "loss", "aux", loss->aux, LIMIT);
    golden_expect_double(g, "loss", "total", loss->ce / (double)loss->images + loss->aux, LIMIT);
}

static void classifier_agrees(const struct classifier_case *item, const char *device) {
    struct golden g;
    char file[64];
    struct classifier_loss loss;
    moe_err err = {0};
    snprintf(file, sizeof file, "classifier_%s", item->name);
    golden_open(&g, file, device);
    const int64_t rows = golden_dim(&g, "image", NULL, 0);
    struct classifier *c = classifier_of(&g, item->config, rows);
    float *images = golden_floats(&g, "image", NULL), *probabilities = malloc((size_t)rows * CLASSES * 4);
    int32_t *labels = golden_ints(&g, "label", NULL);
    const struct classifier_batch batch = {
        .images = images, .labels = labels, .batch = rows, .seed = SEED, .step = STEP, .step_rows = rows};
    expect_noise(&g);
    if (classifier_train_batch(c, &batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    expect_losses(&g, &loss);
    assert_int_equal(classifier_probabilities(c, probabilities, &err), MOE_OK);
    golden_compare(&g, "probabilities", NULL, probabilities, NULL, LIMIT);
    expect_gates(&g, c, rows, &item->config);
    const struct params *params = classifier_params(c);
    for (int32_t i = 0; i < params->count; i++)
        golden_expect(&g, "grad", params->items[i].name, params->grads + params->items[i].offset, LIMIT);
    classifier_destroy(c);
    free(images);
    free(labels);
    free(probabilities);
    golden_close(&g, item->name);
}

static void on_the_cpu(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        classifier_agrees(&cases[i], "cpu");
}

static void on_the_reference(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++)
        classifier_agrees(&cases[i], "reference");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_cpu),
        cmocka_unit_test(on_the_reference),
    };
    return cmocka_run_group_tests_name("golden classifiers", tests, NULL, NULL);
}
