/* test: rooms=core,data,model,train label=fast */
/* The suite of source D: published sizes, and what its tiers and protocols may and may not change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/registry.h"
#include "model/decoder.h"
#include "train/experiment.h"

#define SUITE "moedl"
#include "fixture_suite.h"

/* Every row of the published table of results: its size, E, K, shared experts. */
static const struct row {
    const char *name;
    int64_t parameters;
    int32_t experts, active, shared;
} rows[] = {
    {"00_llama2_ref", 137245440, 0, 0, 0},       {"01_moedl_dense", 137245440, 0, 0, 0},
    {"a0_moedl_no_lb", 401535744, 8, 1, 0},      {"a1_moedl_lb_penalty", 401535744, 8, 1, 0},
    {"a2_moedl_lb_biasing", 401535744, 8, 1, 0}, {"b1_moedl_e2_k1", 175006464, 2, 1, 0},
    {"b2_moedl_e4_k1", 250516224, 4, 1, 0},      {"b3_moedl_e8_k1", 401535744, 8, 1, 0},
    {"b4_moedl_e16_k1", 703574784, 16, 1, 0},    {"b20_moedl_e4_k1_4ep", 250516224, 4, 1, 0},
    {"c1_moedl_e8_k1", 401535744, 8, 1, 0},      {"c2_moedl_e16_k2", 401584896, 16, 2, 0},
    {"c3_moedl_e32_k4", 401683200, 32, 4, 0},    {"c4_moedl_e64_k8", 401879808, 64, 8, 0},
    {"d1_moedl_s0_k4_e32", 401683200, 32, 4, 0}, {"d2_moedl_s1_k3_e31", 401677056, 31, 3, 1},
    {"d3_moedl_s2_k2_e30", 401670912, 30, 2, 2}, {"d4_moedl_s3_k1_e29", 401664768, 29, 1, 3},
    {"e1_moedl_cf_1_0", 401535744, 8, 1, 0},     {"e2_moedl_cf_1_5", 401535744, 8, 1, 0},
    {"e3_moedl_cf_2_0", 401535744, 8, 1, 0},     {"e4_moedl_cf_2_5", 401535744, 8, 1, 0},
};
#define ROWS (sizeof rows / sizeof rows[0])

static void published_sizes_come_out(void **state) {
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        moe_err err = {0};
        struct decoder_counts counts;
        struct experiment *e = load(rows[i].name, "as-published", "full");
        assert_int_equal(decoder_count(&e->model, &e->moe, 1, 512, &counts, &err), MOE_OK);
        if (counts.total != rows[i].parameters)
            fail_msg("%s: %lld parameters, published %lld", rows[i].name, (long long)counts.total,
                     (long long)rows[i].parameters);
        assert_int_equal(e->model.expected_parameters, rows[i].parameters);
        experiment_free(e);
    }
}

/* A tier changes width, depth, vocabulary, data and steps; never the experts or their share of the width. */
static void tiers_keep_the_design(void **state) {
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t t = 0; t < sizeof tiers / sizeof tiers[0]; t++) {
            struct experiment *e = load(rows[i].name, "as-published", tiers[t]);
            assert_int_equal(e->moe.num_layers, rows[i].experts > 0 ? e->model.num_hidden_layers : 0);
            assert_int_equal(3 * e->model.intermediate_size, 8 * e->model.hidden_size);
            if (rows[i].experts > 0) {
                assert_int_equal(e->moe.num_experts, rows[i].experts);
                assert_int_equal(e->moe.num_active_experts, rows[i].active);
                assert_int_equal(e->moe.num_shared_experts, rows[i].shared);
                const int32_t always = rows[i].active + rows[i].shared;
                const bool fine = rows[i].name[0] == 'c' || rows[i].name[0] == 'd';
                const int32_t parts = fine ? always : 1;
                assert_int_equal(parts * e->moe.intermediate_size, e->model.intermediate_size);
            }
            experiment_free(e);
        }
    }
}

static void protocols_differ_in_the_defects_alone(void **state) {
    (void)state;
    for (size_t i = 1; i < ROWS; i++) {
        struct experiment *a = load(rows[i].name, "as-published", "desk");
        struct experiment *b = load(rows[i].name, "corrected", "desk");
        assert_true(a->moe.renormalize_top1 && !b->moe.renormalize_top1);
        assert_true(a->moe.bias_counts_eval && !b->moe.bias_counts_eval);
        assert_int_equal(a->moe.drop_policy, CONFIG_DROP_PUBLISHED_SLOT);
        assert_int_equal(b->moe.drop_policy, CONFIG_DROP_WEIGHT);
        b->moe.renormalize_top1 = true;
        b->moe.bias_counts_eval = true;
        b->moe.drop_policy = CONFIG_DROP_PUBLISHED_SLOT;
        assert_memory_equal(&a->model, &b->model, sizeof a->model);
        assert_memory_equal(&a->moe, &b->moe, sizeof a->moe);
        assert_memory_equal(&a->train, &b->train, sizeof a->train);
        experiment_free(a);
        experiment_free(b);
    }
}

/* The document's rows that are one run are one experiment here; its two dense models are two draws of one. */
static void rows_that_are_one_run_are_trained_once(void **state) {
    (void)state;
    moe_err err = {0};
    char **names = NULL;
    int32_t count = 0;
    const struct experiment_choice choice = choose(NULL, "as-published", "desk");
    assert_int_equal(experiment_list(&choice, &names, &count, &err), MOE_OK);
    assert_int_equal(count, ROWS - 3);
    experiment_list_free(names, count);
    struct experiment *b3 = load("b3_moedl_e8_k1", "corrected", "desk");
    struct experiment *d1 = load("d1_moedl_s0_k4_e32", "corrected", "desk");
    assert_string_equal(b3->name, "a2_moedl_lb_biasing");
    assert_string_equal(d1->name, "c3_moedl_e32_k4");
    struct experiment *reference = load("00_llama2_ref", "as-published", "desk");
    struct experiment *dense = load("01_moedl_dense", "as-published", "desk");
    assert_memory_equal(&reference->model, &dense->model, sizeof dense->model);
    assert_true(experiment_random_seed(reference) != experiment_random_seed(dense));
    experiment_free(b3);
    experiment_free(d1);
    experiment_free(reference);
    experiment_free(dense);
}

/* Keys that came later do not stand in configurations that leave them alone, so those keep their identity. */
static void silent_keys_stand_only_where_they_matter(void **state) {
    (void)state;
    struct experiment *plain = load("a0_moedl_no_lb", "corrected", "desk");
    struct experiment *biased = load("a2_moedl_lb_biasing", "as-published", "desk"), *again = NULL;
    assert_null(strstr(plain->json, "bias_rule"));
    assert_null(strstr(plain->json, "bias_counts_eval"));
    assert_null(strstr(plain->json, "replica"));
    assert_non_null(strstr(biased->json, "\"bias_rule\":\"proportional_e\""));
    assert_non_null(strstr(biased->json, "\"bias_counts_eval\":true"));
    assert_int_equal(experiment_from_json(biased->json, &again, NULL), MOE_OK);
    assert_string_equal(again->sha256, biased->sha256);
    experiment_free(plain);
    experiment_free(biased);
    experiment_free(again);
}

/* Losses of layers are summed and a pool's is a mean: with equal coefficients the first would press harder by
 * the number of layers, and the two experiments would differ in more than the scope. */
static void penalties_are_equally_strong(void **state) {
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    (void)state;
    for (size_t t = 0; t < sizeof tiers / sizeof tiers[0]; t++) {
        struct experiment *pooled = load("a1_moedl_lb_penalty", "corrected", tiers[t]);
        struct experiment *layers = load("a1_per_layer", "corrected", tiers[t]);
        assert_int_equal(pooled->moe.lb_scope, LB_POOLED);
        assert_int_equal(layers->moe.lb_scope, LB_PER_LAYER);
        assert_true(layers->moe.lb_coeff * layers->moe.num_layers == pooled->moe.lb_coeff);
        experiment_free(pooled);
        experiment_free(layers);
    }
}

/* At the published size the corpus and its tokenizer are ones that `moe data fetch` brings. */
static void the_published_data_can_be_fetched(void **state) {
    (void)state;
    struct experiment *e = load("a2_moedl_lb_biasing", "as-published", "full");
    assert_int_equal(e->data.num_train_files, 1);
    assert_int_equal(e->data.num_validation_files, 1);
    assert_non_null(registry_holding(e->data.train_files[0]));
    assert_non_null(registry_holding(e->data.validation_files[0]));
    assert_non_null(registry_holding(e->data.tokenizer_file));
    experiment_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes_come_out),
        cmocka_unit_test(tiers_keep_the_design),
        cmocka_unit_test(protocols_differ_in_the_defects_alone),
        cmocka_unit_test(rows_that_are_one_run_are_trained_once),
        cmocka_unit_test(silent_keys_stand_only_where_they_matter),
        cmocka_unit_test(penalties_are_equally_strong),
        cmocka_unit_test(the_published_data_can_be_fetched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
