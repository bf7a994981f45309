/* test: rooms=analysis,record,core label=fast */
/* Source B's own arithmetic: every finding of its audit, recomputed here from the printed numbers by other
 * means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "record/routing_stats.h"

#define SOURCE "B"
enum { AUDIT_ENTRIES = 43 };
#include "fixture_audit.h"

enum { EXPERTS = 10, LINES = 4, TOP_K = 4, BATCH = 32 };

static void array(const char *name, int32_t n, double *out) {
    double *values = NULL;
    int32_t count = 0;
    moe_err err = {0};
    if (published_array(printed, name, &values, &count, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(count, n);
    memcpy(out, values, (size_t)n * sizeof *out);
    free(values);
}

/* The sizes that this file counts with are the printed ones. */
static void test_setup(void **state) {
    (void)state;
    double batch[LINES];
    near(printed_number("setup.experts"), EXPERTS, 0);
    near(printed_number("setup.top_k"), TOP_K, 0);
    near(printed_number("setup.batch_size"), BATCH, 0);
    array("log.batch", LINES, batch);
    for (int i = 0; i < LINES; i++)
        near(batch[i], 100 * (i + 1), 0); /* claims name the steps of the log */
}

/* Matrix by matrix. */
static double parameters(int experts, int gates, int gate_width) {
    double total = 0;
    for (int e = 0; e < experts; e++)
        total += 3072 * 128 + 128 + 128 * 10 + 10;
    for (int g = 0; g < gates; g++)
        for (int noise = 0; noise < 2; noise++)
            total += 3072 * gate_width;
    return total;
}

static void test_parameters(void **state) {
    (void)state;
    near(found("parameters.flat"), parameters(10, 1, 10), 0);
    near(found("parameters.flat"), 4007780, 0);
    near(found("parameters.hierarchical"), parameters(10, 1, 5) + parameters(0, 5, 2), 0);
    near(found("parameters.hierarchical"), 4038500, 0);
    near(found("parameters.flat_active"), parameters(4, 1, 10), 0);
    near(found("parameters.hierarchical_active"), parameters(4, 1, 5) + parameters(0, 2, 2), 0);
    assert_true(found("parameters.hierarchical_active") < found("parameters.flat_active"));
}

/* Finding: the printed list has neither the printed CV^2 nor the printed Gini coefficient. By definition, as
 * mean squared deviation and as mean absolute difference, where the audit takes sums over ranks. */
static void test_usage(void **state) {
    (void)state;
    double x[EXPERTS], sum = 0, squares = 0, differences = 0;
    array("usage.percent", EXPERTS, x);
    for (int i = 0; i < EXPERTS; i++)
        sum += x[i];
    for (int i = 0; i < EXPERTS; i++) {
        squares += pow(x[i] - sum / EXPERTS, 2);
        for (int j = 0; j < EXPERTS; j++)
            differences += fabs(x[i] - x[j]);
    }
    const double mean = sum / EXPERTS;
    const double gini = differences / (2 * EXPERTS * EXPERTS * mean);
    near(found("usage.sum"), 100, 1e-9);
    near(found("usage.cv2"), squares / EXPERTS / (mean * mean), 1e-12);
    near(found("usage.cv2_unbiased"), squares / (EXPERTS - 1) / (mean * mean), 1e-12);
    near(found("usage.gini"), gini, 1e-12);
    near(found("usage.gini_unbiased"), gini * EXPERTS / (EXPERTS - 1), 1e-12);
    near(found("usage.cv2"), 2.792, 0.0005);
    near(found("usage.cv2_unbiased"), 3.102, 0.0005);
    near(found("usage.gini"), 0.717, 0.0005);
    near(found("usage.gini_unbiased"), 0.797, 0.0005);
    assert_true(found("usage.cv2_over_printed") > 50 && found("usage.gini_over_printed") > 6);
    near(found("usage.two_largest"), x[0] + x[1], 1e-9);
    near(found("usage.over_bound"), 1, 0);
    assert_true(found("usage.least_experts") < 2);
}

/* Finding: with four active experts of ten nothing like the list can be counted. The most uneven batch gives
 * every sample the same four. */
static void test_bound(void **state) {
    (void)state;
    int32_t load[EXPERTS] = {0};
    for (int row = 0; row < BATCH; row++)
        for (int k = 0; k < TOP_K; k++)
            load[k]++;
    const struct routing_stats worst = routing_stats_of_load(load, EXPERTS);
    near(found("bound.cv2"), worst.cv2, 1e-12);
    near(found("bound.gini"), worst.gini, 1e-12);
    near(found("usage.bound"), 100.0 * load[0] / (BATCH * TOP_K), 1e-12);
    near(found("usage.two_bound"), 100.0 * (load[0] + load[1]) / (BATCH * TOP_K), 1e-12);
    assert_true(found("usage.cv2") > worst.cv2 && found("usage.gini") > worst.gini);
    assert_true(found("usage.two_largest") > found("usage.two_bound"));
    near(found("usage.sum_of_samples"), 400, 0);
}

/* Whether some whole number of parts, printed with two digits as a percentage, is this one. */
static bool is_printed_share(double percent, int parts) {
    for (int n = 0; n <= parts; n++)
        if (fabs(percent - 100.0 * n / parts) <= 0.005 + 1e-9) return true;
    return false;
}

/* Finding: seven shares are choices out of the 128 of one batch, and the other three add up to 72 of them. */
static void test_batch(void **state) {
    (void)state;
    const int choices = BATCH * TOP_K;
    double x[EXPERTS], accuracy[LINES], rest = 0;
    int fitting = 0, accuracies = 0;
    array("usage.percent", EXPERTS, x);
    array("log.accuracy_percent", LINES, accuracy);
    for (int i = 0; i < EXPERTS; i++) {
        fitting += is_printed_share(x[i], choices);
        rest += is_printed_share(x[i], choices) ? 0 : x[i];
    }
    for (int i = 0; i < LINES; i++)
        accuracies += is_printed_share(accuracy[i], choices);
    assert_int_equal(fitting, 7);
    assert_int_equal(accuracies, 3);
    near(found("batch.choices"), choices, 0);
    near(found("batch.multiples"), fitting, 0);
    near(found("batch.accuracies"), accuracies, 0);
    near(found("batch.rest"), rest, 1e-9);
    near(found("batch.rest_choices"), 72, 1e-6);
    near(found("batch.by_chance"), 0.128, 1e-12);
}

/* Probability that the loads of two experts in a batch differ by d - BATCH, by convolution over its samples.
 */
static void difference_of_loads(double p[2 * BATCH + 1]) {
    const double differ = (double)TOP_K / EXPERTS * (EXPERTS - TOP_K) / (EXPERTS - 1);
    for (int d = 0; d <= 2 * BATCH; d++)
        p[d] = d == BATCH;
    for (int row = 0; row < BATCH; row++) {
        double next[2 * BATCH + 1] = {0};
        for (int d = 1; d < 2 * BATCH; d++) {
            next[d] += p[d] * (1 - 2 * differ);
            next[d - 1] += p[d] * differ;
            next[d + 1] += p[d] * differ;
        }
        memcpy(p, next, sizeof next);
    }
}

/* Finding: the printed CV^2 and Gini are what chance gives. Exactly by counting, and by throwing dice. */
static void test_chance(void **state) {
    (void)state;
    double p[2 * BATCH + 1], distance = 0, sums[2] = {0}, squares[2] = {0};
    enum { DRAWS = 20000 };
    difference_of_loads(p);
    for (int d = 0; d <= 2 * BATCH; d++)
        distance += p[d] * abs(d - BATCH);
    near(found("chance.gini"), (EXPERTS - 1) * distance / (2.0 * BATCH * TOP_K), 1e-12);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        int32_t load[EXPERTS] = {0};
        for (uint64_t row = 0; row < BATCH; row++) {
            int order[EXPERTS];
            const struct rng_key key = {draw, RNG_TEST, (uint32_t)row};
            for (int e = 0; e < EXPERTS; e++)
                order[e] = e;
            for (int k = 0; k < TOP_K; k++) {
                const int pick = k + (int)(rng_uniform_double(key, (uint64_t)k) * (EXPERTS - k));
                const int chosen = order[pick];
                order[pick] = order[k];
                load[chosen]++;
            }
        }
        const struct routing_stats stats = routing_stats_of_load(load, EXPERTS);
        const double value[2] = {stats.cv2, stats.gini};
        for (int i = 0; i < 2; i++) {
            sums[i] += value[i] / DRAWS;
            squares[i] += value[i] * value[i] / DRAWS;
        }
    }
    near(found("chance.cv2"), 0.046875, 1e-12);
    near(found("chance.cv2"), sums[0], 0.001); /* six standard errors */
    near(found("chance.gini"), sums[1], 0.0015);
    near(found("chance.cv2_sd"), sqrt(squares[0] - sums[0] * sums[0]), 0.001);
    near(found("chance.gini_sd"), sqrt(squares[1] - sums[1] * sums[1]), 0.0015);
    near(found("chance.cv2_excess"), (printed_number("balance.cv2") - sums[0]) / found("chance.cv2_sd"),
         0.05);
    assert_true(fabs(found("chance.cv2_excess")) < 0.5 && fabs(found("chance.gini_excess")) < 0.5);
}

static void test_coincidence(void **state) {
    (void)state;
    double moe_loss[LINES];
    array("log.moe_loss", LINES, moe_loss);
    near(moe_loss[0], printed_number("balance.cv2"), 0);
    near(found("coincidence.cv2_less_moe_loss"), 0, 0);
    near(found("coincidence.cv2_sum") * printed_number("code.loss_weight"), moe_loss[0], 1e-12);
}

/* Cross-entropy of class 0 over a softmax of the probabilities. */
static double double_softmax(const double *p) {
    double sum = 0;
    for (int c = 0; c < 10; c++)
        sum += exp(p[c]);
    return log(sum) - p[0];
}

/* Finding: the last loss lies below what any classifier of that accuracy can have. The floor is searched for
 * over random probabilities, drawn towards the corners, and never undercut. */
static void test_floor(void **state) {
    (void)state;
    double right = INFINITY, wrong = INFINITY, accuracy[LINES], loss[LINES];
    const double one[10] = {1}, half[10] = {0.5, 0.5};
    for (uint64_t draw = 0; draw < 20000; draw++) {
        double p[10], sum = 0;
        int best = 0;
        const struct rng_key key = {draw, RNG_TEST, 1};
        for (int c = 0; c < 10; c++) {
            p[c] = exp(20 * rng_uniform_double(key, (uint64_t)c));
            sum += p[c];
        }
        for (int c = 0; c < 10; c++) {
            p[c] /= sum;
            if (p[c] > p[best]) best = c;
        }
        double *least = best == 0 ? &right : &wrong;
        *least = fmin(*least, double_softmax(p));
    }
    near(found("floor.right"), double_softmax(one), 1e-12);
    near(found("floor.wrong"), double_softmax(half), 1e-12);
    assert_true(right >= found("floor.right") && right < found("floor.right") + 0.01);
    assert_true(wrong >= found("floor.wrong") && wrong < found("floor.wrong") + 0.01);
    array("log.accuracy_percent", LINES, accuracy);
    array("log.loss", LINES, loss);
    static const char *const floors[] = {"floor.at_100", "floor.at_200", "floor.at_300", "floor.at_400"};
    for (int i = 0; i < LINES; i++) {
        const double share = accuracy[i] / 100;
        near(found(floors[i]), share * double_softmax(one) + (1 - share) * double_softmax(half), 1e-12);
        assert_int_equal(loss[i] < found(floors[i]), i == LINES - 1);
    }
    near(found("floor.at_400"), 1.7472, 0.00005);
    assert_true(accuracy[3] / 100 < found("floor.accuracy_needed"));
    near(found("floor.accuracy_if_cumulative"), (4 * accuracy[3] - 3 * accuracy[2]) / 100, 1e-12);
    assert_true(found("floor.margin_if_cumulative") > 0 && found("floor.margin_if_cumulative") < 0.02);
}

static void test_log(void **state) {
    (void)state;
    near(found("epoch.batches"), 1563, 0);
    near(found("epoch.logged"), 400.0 / 1563, 1e-12);
    near(found("epoch.lines"), 15, 0);
    near(found("log.moe_loss_ratio"), 0.0376 / 0.0507, 1e-12);
    near(found("log.least_gain"), 2.34, 1e-9);
    near(found("log.least_fall"), 0.0728, 1e-9);
    near(found("log.seconds_spread"), 0.0312 / 0.0305 - 1, 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setup),       cmocka_unit_test(test_parameters), cmocka_unit_test(test_usage),
        cmocka_unit_test(test_bound),       cmocka_unit_test(test_batch),      cmocka_unit_test(test_chance),
        cmocka_unit_test(test_coincidence), cmocka_unit_test(test_floor),      cmocka_unit_test(test_log),
        cmocka_unit_test(test_all_entries),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
