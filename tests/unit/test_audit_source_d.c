/* test: rooms=analysis,record,core label=fast */
/* Source D's own arithmetic: every finding of its audit, recomputed here from the printed numbers by other
 * means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOURCE "D"
enum { AUDIT_ENTRIES = 80 };
#include "fixture_audit.h"

/* Models of different shape, and what their rows in the file of results are called. */
static const char *const models[] = {"01_moedl_dense",      "b1_moedl_e2_k1",    "b2_moedl_e4_k1",
                                     "a2_moedl_lb_biasing", "b4_moedl_e16_k1",   "c2_moedl_e16_k2",
                                     "c3_moedl_e32_k4",     "c4_moedl_e64_k8",   "d2_moedl_s1_k3_e31",
                                     "d3_moedl_s2_k2_e30",  "d4_moedl_s3_k1_e29"};
#define MODELS (sizeof models / sizeof models[0])

static double number(const char *group, const char *row, const char *key) {
    char name[160];
    snprintf(name, sizeof name, "%s%s%s.%s", group, row[0] != '\0' ? "." : "", row, key);
    return printed_number(name);
}

static double setup(const char *key) {
    return number("setup", "", key);
}

static double loss(const char *row) {
    return number("results", row, "eval_loss");
}

static double found_of(const char *group, const char *row) {
    char name[160];
    snprintf(name, sizeof name, "%s.%s", group, row);
    return found(name);
}

/* Parameters, layer by layer and matrix by matrix. `routed` experts of a layer are counted. */
static double parameters(const char *model, double head_dim, double routed) {
    const double d = setup("hidden_size"), width = number("shape", model, "width");
    const double heads = setup("num_attention_heads") * head_dim;
    const double kv_heads = setup("num_key_value_heads") * head_dim;
    const double experts = number("shape", model, "e"), shared = number("shape", model, "es");
    double total = setup("vocabulary") * d;
    for (int layer = 0; layer < (int)setup("num_hidden_layers"); layer++) {
        total += d * heads + d * kv_heads + d * kv_heads + heads * d;
        for (int norm = 0; norm < 2; norm++)
            total += d;
        for (int e = 0; e < (int)(routed + shared); e++)
            total += d * width + d * width + width * d;
        if (experts > 1) total += experts * d;
    }
    return total + d + d * setup("vocabulary");
}

/* Finding: only heads of one width give the eleven totals, and it is not the usual one. */
static void test_parameters(void **state) {
    (void)state;
    const double head_dim = setup("head_dim");
    for (size_t m = 0; m < MODELS; m++) {
        const double total = number("results", models[m], "parameters");
        near(parameters(models[m], head_dim, number("shape", models[m], "e")), total, 0);
        near(found_of("parameters", models[m]), total, 0);
        if (m > 0)
            near(found_of("active", models[m]),
                 parameters(models[m], head_dim, number("shape", models[m], "k")), 0);
        int fitting = 0;
        for (int width = 1; width <= 512; width++)
            fitting += parameters(models[m], width, number("shape", models[m], "e")) == total;
        assert_int_equal(fitting, 1);
    }
    near(found("head_dim.implied"), head_dim, 0);
    assert_true(head_dim * setup("num_attention_heads") > setup("hidden_size"));
    near(found("head_dim.dense_parameters_then"),
         parameters("01_moedl_dense", setup("hidden_size") / setup("num_attention_heads"), 1), 0);
    near(found("vocabulary.implied"), setup("vocabulary"), 0);
    assert_true(found("active.largest_over_dense") > 1.0 && found("active.largest_over_dense") < 1.01);
    assert_true(found("parameters.spread_of_c") < 0.001);
    assert_true(found("parameters.share_near_typical") > 0.8);
}

static void test_tokens(void **state) {
    (void)state;
    const double run = setup("steps") * setup("batch_size") * setup("sequence_length");
    near(found("tokens.run"), run, 0);
    near(2.0 * found("tokens.training_set"), run, 0);
    near(found("tokens.per_expert_two") / found("tokens.per_expert_sixteen"), 8.0, 1e-12);
    assert_true(found("tokens.per_parameter_eight") < 3.0); /* far below twenty tokens per parameter */
    near(found("sweep.rates"), 12, 0);
    near(found("sweep.holds_the_one_used"), 1, 1e-12);
}

/* Findings: three rows repeat others, and the later text's dense row is no run of this model. */
static void test_rows(void **state) {
    (void)state;
    static const char *const same[][2] = {{"b3_moedl_e8_k1", "a2_moedl_lb_biasing"},
                                          {"c1_moedl_e8_k1", "a2_moedl_lb_biasing"},
                                          {"d1_moedl_s0_k4_e32", "c3_moedl_e32_k4"}};
    for (size_t i = 0; i < 3; i++) {
        near(loss(same[i][0]), loss(same[i][1]), 0);
        near(number("results", same[i][0], "train_loss"), number("results", same[i][1], "train_loss"), 0);
    }
    near(found("one_run.b3_less_a2") + found("one_run.c1_less_a2") + found("one_run.d1_less_c3"), 0, 0);
    assert_true(found("one_run.others_least") > 0.0);
    near(found("one_run.distinct"), number("text", "scope", "experiments") - 3, 0);
    static const char *const text[] = {"a0_moedl_no_lb", "a1_moedl_lb_penalty", "a2_moedl_lb_biasing"};
    for (size_t i = 0; i < 3; i++) {
        near(found_of("rounding", text[i]), 0, 0.0005);
        near(number("text", text[i], "eval_loss"), floor(loss(text[i]) * 1000.0 + 0.5) / 1000.0, 1e-12);
    }
    assert_true(found("dense.text_less_file") > 0.08);
    double rest = number("results", "01_moedl_dense", "parameters");
    rest -= setup("num_hidden_layers") * 4 * setup("hidden_size") * setup("num_attention_heads") *
            setup("head_dim");
    near(found("dense.parameters_without_attention"), rest, 0);
    assert_true(rest > number("later", "scaling", "dense_parameters"));
}

/* Finding: in the file of results the dense model beats every run that routes one expert alone. */
static void test_dense_against_one_expert(void **state) {
    (void)state;
    static const char *const one[] = {"a0_moedl_no_lb",  "a1_moedl_lb_penalty", "a2_moedl_lb_biasing",
                                      "b1_moedl_e2_k1",  "b2_moedl_e4_k1",      "b4_moedl_e16_k1",
                                      "e1_moedl_cf_1_0", "e2_moedl_cf_1_5",     "e3_moedl_cf_2_0",
                                      "e4_moedl_cf_2_5"};
    static const char *const several[] = {"c2_moedl_e16_k2", "c3_moedl_e32_k4", "c4_moedl_e64_k8",
                                          "d2_moedl_s1_k3_e31", "d3_moedl_s2_k2_e30"};
    const double dense = loss("01_moedl_dense");
    double largest = 0.0;
    for (size_t i = 0; i < sizeof one / sizeof one[0]; i++)
        assert_true(loss(one[i]) > dense);
    for (size_t i = 0; i < sizeof several / sizeof several[0]; i++) {
        assert_true(loss(several[i]) < dense);
        largest = fmax(largest, loss(several[i]));
    }
    near(found("dense.experts_worse"), 4, 0);
    near(found("dense.top1_rows_worse"), 10, 0);
    near(found("dense.finer_rows_worse"), 0, 0);
    near(found("difference.others_largest"), largest, 0);
    near(found("difference.top1_least"), loss("d4_moedl_s3_k1_e29"), 0);
}

static double weight(double score, double others) {
    return score / (score + others + setup("renormalize_eps"));
}

/* Finding: divided by its own sum a single weight hardly depends on its score; central differences say so. */
static void test_router(void **state) {
    (void)state;
    const double h = 1e-4;
    const double one = (weight(0.5 + h, 0) - weight(0.5 - h, 0)) / (2 * h);
    const double two = (weight(0.5 + h, 0.5) - weight(0.5 - h, 0.5)) / (2 * h);
    near(found("router.top1_slope"), one, 1e-9);
    near(found("router.top2_slope"), two, 1e-6);
    near(found("router.top1_slope_softmax"), (weight(0.125 + h, 0) - weight(0.125 - h, 0)) / (2 * h), 1e-9);
    near(found("router.starvation") * one, two, 1e-4 * two);
    assert_true(found("router.starvation") > 1e5);
    assert_true(1.0 - found("router.top1_weight") < 1e-5);
}

/* Finding: the code's step is the text's times the number of experts, whatever the load. */
static void test_bias(void **state) {
    (void)state;
    const double experts = number("shape", "a2_moedl_lb_biasing", "e"), gamma = setup("lb_gamma");
    for (double share = 0.0; share <= 1.0; share += 0.1) {
        const double text = gamma * (1 / experts - share), code = -gamma * (share * experts - 1);
        near(code, found("bias.code_over_text") * text, 1e-15);
    }
    near(found("bias.code_over_text"), experts, 1e-12);
    near(found("bias.code_over_text_64"), 64, 1e-12);
}

/* Finding: over the capacity factors the loss has no trend, and the rows lie as close as other rows do. */
static void test_capacity(void **state) {
    (void)state;
    static const char *const rows[] = {"e1_moedl_cf_1_0", "e2_moedl_cf_1_5", "e3_moedl_cf_2_0",
                                       "e4_moedl_cf_2_5"};
    double low = INFINITY, high = -INFINITY, sum = 0.0, slope = 0.0;
    for (int i = 0; i < 4; i++) {
        low = fmin(low, loss(rows[i]));
        high = fmax(high, loss(rows[i]));
        sum += loss(rows[i]);
        slope += (2 * i - 3) * loss(rows[i]) / 10.0;
    }
    near(found("capacity.spread"), high - low, 1e-12);
    near(found("capacity.mean_less_dropless"), sum / 4 - loss("a2_moedl_lb_biasing"), 1e-12);
    near(found("capacity.slope"), slope, 1e-12);
    assert_true(slope > 0.0);
    near(found("capacity.spread"), 0.002, 0.0005);
    near(found("capacity.slots_cf_1"), 8192, 0);
    near(found("capacity.dropped_share"), 0.0114, 0.0001);
}

static void test_differences(void **state) {
    (void)state;
    near(found("difference.a1_less_a0"), found("difference.a1_less_a2") + found("difference.a2_less_a0"),
         1e-12);
    assert_true(found("difference.dense_pair") < found("difference.a2_less_a0"));
    near(found("difference.b_per_doubling"),
         (3 * (loss("b4_moedl_e16_k1") - loss("b1_moedl_e2_k1")) + loss("b3_moedl_e8_k1") -
          loss("b2_moedl_e4_k1")) /
             10,
         1e-12);
    assert_true(found("difference.c_jump_share") > 0.8 && found("difference.c_jump_share") < 1.0);
    assert_true(found("difference.d4_jump") > 10 * found("difference.d_before"));
    near(exp(loss("a2_moedl_lb_biasing")), found("perplexity.a2_moedl_lb_biasing"), 1e-12);
    near(found("perplexity.a1_over_a0"), exp(found("difference.a1_less_a0")) - 1, 1e-12);
}

/* Ways to choose k of n by Pascal's triangle. */
static double choose(int n, int k) {
    double row[80] = {1};
    for (int i = 1; i <= n; i++)
        for (int j = i; j > 0; j--)
            row[j] += row[j - 1];
    return row[k];
}

static void test_combinations(void **state) {
    (void)state;
    static const struct {
        const char *row, *place;
        int n, k;
    } cases[] = {{"c1_moedl_e8_k1", "resolution", 8, 1},   {"c2_moedl_e16_k2", "resolution", 16, 2},
                 {"c3_moedl_e32_k4", "resolution", 32, 4}, {"c4_moedl_e64_k8", "resolution", 64, 8},
                 {"d1_moedl_s0_k4_e32", "shared", 32, 4},  {"d2_moedl_s1_k3_e31", "shared", 31, 3},
                 {"d3_moedl_s2_k2_e30", "shared", 30, 2},  {"d4_moedl_s3_k1_e29", "shared", 29, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[96];
        snprintf(name, sizeof name, "combinations.%s", cases[i].row);
        near(found(name), choose(cases[i].n, cases[i].k), 0);
        near(number("later", cases[i].place, name), choose(cases[i].n, cases[i].k), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),   cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_dense_against_one_expert),
        cmocka_unit_test(test_router),       cmocka_unit_test(test_bias),
        cmocka_unit_test(test_capacity),     cmocka_unit_test(test_differences),
        cmocka_unit_test(test_combinations), cmocka_unit_test(test_all_entries),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
