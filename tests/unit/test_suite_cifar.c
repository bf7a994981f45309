/* test: rooms=train label=fast */
/* Image classifiers as experiments: the suite of source B with its published sizes, the identity of their
 * configurations, and what a user who mixes up the two kinds of model is told. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/learner.h"
#include "train/schedule.h"

#define SUITE "cifar-hierarchy"
#include "fixture_suite.h"

static struct learner_counts count(const struct experiment *e) {
    moe_err err = {0};
    struct learner_counts counts;
    if (learner_count(e, &counts, &err) != MOE_OK) fail_msg("%s", err.message);
    return counts;
}

/* Every run of every tier and protocol, as moe suite would plan it. */
static void every_run_of_the_suite_loads(void **state) {
    static const char *const protocols[] = {"as-published", "corrected"};
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    (void)state;
    for (int i = 0; i < 8; i++) {
        moe_err err = {0};
        char **names = NULL;
        int32_t names_count = 0;
        const struct experiment_choice choice = choose(NULL, protocols[i / 4], tiers[i % 4]);
        assert_int_equal(experiment_list(&choice, &names, &names_count, &err), MOE_OK);
        assert_true(names_count >= 5);
        for (int32_t n = 0; n < names_count; n++) {
            struct experiment *e = load(names[n], protocols[i / 4], tiers[i % 4]);
            const struct learner_counts counts = count(e);
            const int64_t stated = e->classifier.net.expected_parameters;
            if (stated != 0 && stated != counts.total)
                fail_msg("%s: %lld parameters, stated %lld", names[n], (long long)counts.total,
                         (long long)stated);
            assert_true(experiment_planned_steps(e) > 0);
            experiment_free(e);
        }
        experiment_list_free(names, names_count);
    }
}

static void the_published_models_are_as_published(void **state) {
    static const struct {
        const char *name;
        int64_t parameters;
        enum classifier_kind kind;
        int32_t top_k;
    } rows[] = {{"flat", 4007780, CLASSIFIER_FLAT, 4}, {"hierarchical", 4038500, CLASSIFIER_HIERARCHICAL, 2}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct experiment *e = load(rows[i].name, "as-published", "full");
        const struct classifier_config *net = &e->classifier.net;
        assert_int_equal(count(e).total, rows[i].parameters);
        assert_int_equal(net->expected_parameters, rows[i].parameters);
        assert_int_equal(net->kind, rows[i].kind);
        assert_int_equal(net->experts, 10);
        assert_int_equal(net->top_k, rows[i].top_k);
        assert_int_equal(net->hidden, 128);
        assert_int_equal(net->gating, GATING_PUBLISHED_CODE);
        assert_true(net->double_softmax);
        assert_int_equal(e->train.batch_size, 32);
        assert_int_equal(experiment_planned_steps(e), 1563); /* batches of the one epoch */
        assert_true(e->train.lr == 1e-3 && e->train.weight_decay == 0 && e->train.clip == 0);
        experiment_free(e);
        e = load(rows[i].name, "corrected", "desk");
        assert_int_equal(e->classifier.net.gating, GATING_PRINTED);
        assert_false(e->classifier.net.double_softmax);
        assert_int_equal(experiment_planned_steps(e), 12500);
        experiment_free(e);
    }
}

static void dense_networks_have_the_size_of_the_flat_one(void **state) {
    (void)state;
    struct experiment *flat = load("flat", "corrected", "full");
    struct experiment *active = load("dense_active", "corrected", "full");
    struct experiment *total = load("dense_total", "corrected", "full");
    const struct learner_counts want = count(flat);
    const int64_t unit = IMAGE_VALUES + 1 + IMAGE_CLASSES; /* parameters of one hidden unit */
    assert_true(2 * llabs(count(active).total - want.active) <= unit);
    assert_true(2 * llabs(count(total).total - want.total) <= unit);
    assert_int_equal(count(total).active, count(total).total);
    experiment_free(flat);
    experiment_free(active);
    experiment_free(total);
}

/* A run file's configuration is the experiment again, the matched width included. */
static void a_stored_configuration_comes_back_equal(void **state) {
    static const char *const names[] = {"flat", "hierarchical_gshard", "dense_active", "dense_total"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        moe_err err = {0};
        struct experiment *e = load(names[i], "corrected", "desk"), *back = NULL;
        assert_int_equal(experiment_from_json(e->json, &back, &err), MOE_OK);
        assert_string_equal(back->json, e->json);
        assert_string_equal(back->sha256, e->sha256);
        assert_memory_equal(&back->classifier, &e->classifier, sizeof e->classifier);
        assert_memory_equal(&back->data, &e->data, sizeof e->data);
        experiment_free(back);
        experiment_free(e);
    }
}

/* What only the other kind of model reads is no part of a run's identity. */
static void configurations_say_what_the_model_reads(void **state) {
    (void)state;
    struct experiment *e = load("flat", "corrected", "desk");
    assert_non_null(strstr(e->json, "\"classifier\":{"));
    assert_null(strstr(e->json, "\"model\":{"));
    assert_null(strstr(e->json, "\"moe\":{"));
    assert_null(strstr(e->json, "sequence_length"));
    experiment_free(e);
    moe_err err = {0};
    struct experiment_choice choice = choose("dense", "corrected", "smoke");
    choice.suite = "moe-vs-dense";
    assert_int_equal(experiment_load(&choice, &e, &err), MOE_OK);
    assert_null(strstr(e->json, "classifier"));
    assert_null(strstr(e->json, "images"));
    experiment_free(e);
}

static void refuses(const char *suite, const char *name, const char *set, const char *const *words) {
    moe_err err = {0};
    struct experiment *e = NULL;
    struct experiment_choice choice = choose(name, "corrected", "smoke");
    choice.suite = suite;
    choice.sets = &set;
    choice.set_count = 1;
    if (experiment_load(&choice, &e, &err) != MOE_ECONFIG) fail_msg("%s: %s", set, err.message);
    for (int i = 0; words[i] != NULL; i++)
        if (strstr(err.message, words[i]) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", set, err.message, words[i]);
}

#define refuses_with(suite, name, set, ...)                                                                  \
    refuses(suite, name, set, (const char *const[]){__VA_ARGS__, NULL})

static void what_cannot_be_is_refused_with_advice(void **state) {
    static const char b[] = "cifar-hierarchy", a[] = "moe-vs-dense";
    (void)state;
    refuses_with(b, "flat", "model.hidden_size=64", "model.hidden_size = 64 (--set)", "classifier.kind",
                 "remove it");
    refuses_with(b, "flat", "moe.layers=all", "moe.layers", "classifier.kind");
    refuses_with(b, "flat", "data.train_tokens=100", "data.train_tokens = 100 (--set)", "data.train_images");
    refuses_with(b, "flat", "data.source=stories", "data.source", "has no images", "cifar10");
    refuses_with(b, "flat", "data.source=cifar10", "data.train_files", "is empty");
    refuses_with(b, "flat", "data.train_images=0", "data.train_images", "give a number");
    refuses_with(b, "flat", "classifier.top_k=11", "classifier.top_k = 11", "10 experts");
    refuses_with(b, "hierarchical", "classifier.groups=3", "classifier.groups = 3",
                 "classifier.experts = 10");
    refuses_with(b, "hierarchical_gshard", "classifier.gate_std=0", "classifier.gate_std", "0.01");
    refuses_with(b, "flat", "classifier.match=total", "classifier.match", "only kind dense");
    refuses_with(b, "flat", "classifier.noise_epochs=9", "classifier.noise_epochs", "train.max_epochs");
    refuses_with(b, "flat_aux_x0", "classifier.balance_target=0.1", "classifier.balance_target", "weights");
    refuses_with(b, "flat", "train.label_smoothing=0.1", "train.label_smoothing", "set 0");
    refuses_with(b, "flat", "classifier.kind=none", "classifier.hidden", "name the kind");
    refuses_with(a, "dense", "classifier.experts=4", "classifier.experts = 4 (--set)", "name the kind");
    refuses_with(a, "dense", "data.train_images=4", "data.train_images", "data.train_tokens");
    refuses_with(a, "dense", "data.source=images", "data.source", "the model is a decoder");
}

static void noise_fades_by_epoch(void **state) {
    (void)state;
    const struct classifier_section fading = {.net.noise = 1.0, .noise_end = 0.5, .noise_epochs = 2};
    assert_true(schedule_noise(&fading, 0) == 1.0 && schedule_noise(&fading, 1) == 0.75);
    assert_true(schedule_noise(&fading, 2) == 0.5 && schedule_noise(&fading, 9) == 0.5);
    const struct classifier_section constant = {.net.noise = 2.0, .noise_end = 0.5};
    assert_true(schedule_noise(&constant, 3) == 2.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_of_the_suite_loads),
        cmocka_unit_test(the_published_models_are_as_published),
        cmocka_unit_test(dense_networks_have_the_size_of_the_flat_one),
        cmocka_unit_test(a_stored_configuration_comes_back_equal),
        cmocka_unit_test(configurations_say_what_the_model_reads),
        cmocka_unit_test(what_cannot_be_is_refused_with_advice),
        cmocka_unit_test(noise_fades_by_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
