/* test: rooms=core,record label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "record/routing_stats.h"

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void test_balanced(void **state) {
    (void)state;
    for (int32_t n = 1; n <= 64; n++) {
        int32_t load[64];
        for (int32_t i = 0; i < n; i++)
            load[i] = 12345;
        const struct routing_stats s = routing_stats_of_load(load, n);
        assert_near(s.entropy, log(n), 1e-14);
        assert_near(s.gini, 0, 1e-14);
        assert_true(s.cv2 == 0);
        assert_true(s.max_over_mean == 1);
    }
}

static void test_one_hot(void **state) {
    (void)state;
    for (int32_t n = 2; n <= 64; n++) {
        int32_t load[64] = {0};
        load[n / 2] = 77;
        const struct routing_stats s = routing_stats_of_load(load, n);
        assert_true(s.entropy == 0);
        assert_near(s.gini, (n - 1.0) / n, 1e-14);
        assert_near(s.cv2, n - 1.0, 1e-12);
        assert_near(s.max_over_mean, n, 1e-12);
    }
}

/* m of n experts carry weight a, the others b: all four have closed forms. */
static void test_two_levels(void **state) {
    enum { N = 16 };
    (void)state;
    for (int32_t m = 1; m < N; m++) {
        const double a = 9, b = 2, total = m * a + (N - m) * b, mean = total / N;
        const double f = (double)m / N, gini = f * (1 - f) * (a - b) / mean;
        int32_t load[N];
        for (int32_t i = 0; i < N; i++)
            load[i] = i < m ? 9 : 2;
        const struct routing_stats s = routing_stats_of_load(load, N);
        assert_near(s.entropy, -m * a / total * log(a / total) - (N - m) * b / total * log(b / total), 1e-14);
        assert_near(s.gini, gini, 1e-14);
        assert_near(s.cv2, f * (1 - f) * (a - b) * (a - b) / (mean * mean), 1e-14);
        assert_near(s.max_over_mean, a / mean, 1e-14);
    }
}

static void test_order_of_experts_changes_no_bit(void **state) {
    enum { N = 96 };
    const struct rng_key key = {1, RNG_TEST, 0};
    double x[N];
    (void)state;
    for (int32_t i = 0; i < N; i++)
        x[i] = rng_uniform_double(key, (uint64_t)i);
    const struct routing_stats before = routing_stats_of_shares(x, N);
    for (int32_t i = N - 1; i > 0; i--) {
        const int32_t j = (int32_t)rng_below(key, (uint64_t)(1000 + i), (uint64_t)i + 1);
        const double t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
    const struct routing_stats after = routing_stats_of_shares(x, N);
    assert_memory_equal(&before, &after, sizeof before);
}

static void test_scale_changes_nothing(void **state) {
    const double x[] = {3, 1, 4, 1, 5, 9, 2, 6}, y[] = {24, 8, 32, 8, 40, 72, 16, 48};
    (void)state;
    const struct routing_stats a = routing_stats_of_shares(x, 8), b = routing_stats_of_shares(y, 8);
    assert_near(a.entropy, b.entropy, 1e-15);
    assert_near(a.gini, b.gini, 1e-15);
    assert_near(a.cv2, b.cv2, 1e-15);
    assert_near(a.max_over_mean, b.max_over_mean, 1e-15);
}

/* The published usage list of source B and the measures that follow from it. */
static void test_published_usage_list(void **state) {
    const double x[] = {55.97, 23.44, 7.81, 5.47, 3.91, 1.56, 0.78, 0.78, 0.16, 0.12};
    (void)state;
    const struct routing_stats s = routing_stats_of_shares(x, 10);
    assert_near(s.cv2, 2.792, 5e-4);
    assert_near(routing_cv2_unbiased(x, 10), 3.102, 5e-4);
    assert_near(s.gini, 0.717, 5e-4);
    assert_near(routing_gini_unbiased(x, 10), 0.797, 5e-4);
    assert_near(s.max_over_mean, 5.597, 1e-12);
}

static void test_nothing_and_nonsense(void **state) {
    const int32_t none[4] = {0, 0, 0, 0};
    const double one = 5;
    const struct routing_stats zero = {0};
    (void)state;
    struct routing_stats s = routing_stats_of_load(none, 4);
    assert_memory_equal(&s, &zero, sizeof s);
    s = routing_stats_of_load(none, 0);
    assert_memory_equal(&s, &zero, sizeof s);
    s = routing_stats_of_load(none, ROUTING_STATS_MAX_EXPERTS + 1);
    assert_memory_equal(&s, &zero, sizeof s);
    assert_true(routing_cv2_unbiased(&one, 1) == 0);
    assert_true(routing_gini_unbiased(&one, 1) == 0);
}

/* The logarithm inside is our own, for equal bits everywhere: two experts with shares p and 1 - p show its
 * error. */
static void test_entropy_agrees_with_libm(void **state) {
    const struct rng_key key = {2, RNG_TEST, 0};
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        const double tiny = pow(10, -12 * rng_uniform_double(key, 2 * i));
        const double p = tiny * rng_uniform_double(key, 2 * i + 1) + 1e-300, x[2] = {p, 1 - p};
        const double expected = -(p / (x[0] + x[1]) * log(p / (x[0] + x[1])) + x[1] * log(x[1]));
        assert_near(routing_stats_of_shares(x, 2).entropy, expected, 4e-16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balanced),
        cmocka_unit_test(test_one_hot),
        cmocka_unit_test(test_two_levels),
        cmocka_unit_test(test_order_of_experts_changes_no_bit),
        cmocka_unit_test(test_scale_changes_nothing),
        cmocka_unit_test(test_published_usage_list),
        cmocka_unit_test(test_nothing_and_nonsense),
        cmocka_unit_test(test_entropy_agrees_with_libm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
