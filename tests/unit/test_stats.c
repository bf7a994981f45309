/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "../golden/stats_reference.h"
#include "analysis/stats.h"
#include "core/rng.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

static void near(double got, double want, double relative) {
    const double scale = fmax(fabs(want), 1e-300);
    if (!(fabs(got - want) <= relative * scale)) {
        fail_msg("got %.17g, want %.17g, relative error %.2e", got, want, fabs(got - want) / scale);
    }
}

static void test_beta(void **state) {
    (void)state;
    for (int32_t i = 0; i < COUNT(ref_beta); i++) {
        const double *r = ref_beta[i];
        near(stats_beta_inc(r[0], r[1], r[2]), r[3], r[3] < 1e-290 ? 1e-6 : 1e-11);
    }
    assert_true(isnan(stats_beta_inc(0.0, 1.0, 0.5)));
    assert_true(isnan(stats_beta_inc(1.0, 1.0, 1.5)));
    assert_true(isnan(stats_beta_inc(1.0, 1.0, NAN)));
}

static void test_t_distribution(void **state) {
    (void)state;
    for (int32_t i = 0; i < COUNT(ref_t_cdf); i++)
        near(stats_t_cdf(ref_t_cdf[i][0], ref_t_cdf[i][1]), ref_t_cdf[i][2], 1e-11);
    for (int32_t i = 0; i < COUNT(ref_t_quantile); i++)
        near(stats_t_quantile(ref_t_quantile[i][0], ref_t_quantile[i][1]), ref_t_quantile[i][2], 1e-10);
    assert_true(stats_t_cdf(INFINITY, 3.0) == 1.0);
    assert_true(isnan(stats_t_quantile(1.0, 3.0)));
    assert_true(isnan(stats_t_cdf(1.0, 0.0)));
}

static void test_mean_interval(void **state) {
    (void)state;
    const struct stats_estimate e = stats_mean_interval(ref_a, COUNT(ref_a), 0.95);
    near(e.low, ref_mean_low, 1e-12);
    near(e.high, ref_mean_high, 1e-12);
    assert_int_equal(e.n, 5);
    const struct stats_estimate one = stats_mean_interval(ref_a, 1, 0.95);
    assert_true(one.value == ref_a[0] && isnan(one.sd) && isnan(one.low) && isnan(one.high));
    assert_true(isnan(stats_mean_interval(ref_a, 0, 0.95).value));
}

static void check_difference(struct stats_difference d, const double *want) {
    const double got[] = {d.value, d.low, d.high, d.t, d.df, d.p};
    for (int i = 0; i < 6; i++)
        near(got[i], want[i], 1e-9);
}

static void test_differences(void **state) {
    (void)state;
    check_difference(stats_welch(ref_a, COUNT(ref_a), ref_b, COUNT(ref_b), 0.95), ref_welch[0]);
    check_difference(stats_paired(ref_a, ref_pair, COUNT(ref_a), 0.95), ref_paired[0]);

    const double same[] = {2.0, 2.0, 2.0};
    const double less[] = {1.0, 1.0, 1.0};
    assert_true(stats_paired(same, same, 3, 0.95).p == 1.0);
    const struct stats_difference exact = stats_welch(same, 3, less, 3, 0.95);
    assert_true(exact.p == 0.0 && exact.low == 1.0 && exact.high == 1.0);
    assert_true(isnan(stats_welch(same, 1, less, 3, 0.95).p));
    assert_true(isnan(stats_paired(same, less, 1, 0.95).low));
    assert_true(stats_paired(same, less, 1, 0.95).value == 1.0);
}

static void test_nonparametric(void **state) {
    (void)state;
    double difference[COUNT(ref_a)];
    for (int32_t i = 0; i < COUNT(ref_a); i++)
        difference[i] = ref_a[i] - ref_pair[i];
    near(stats_sign_test(difference, COUNT(ref_a)), ref_sign_p, 1e-12);
    double p = -1.0;
    assert_int_equal(stats_sign_permutation(difference, COUNT(ref_a), &p, NULL), MOE_OK);
    near(p, ref_permutation_p, 1e-12);

    const double zeros[] = {0.0, 0.0};
    assert_true(stats_sign_test(zeros, 2) == 1.0);
    const double five[] = {1.0, 2.0, 3.0, 4.0, 5.0};
    assert_int_equal(stats_sign_permutation(five, 5, &p, NULL), MOE_OK);
    near(p, 2.0 / 32.0, 1e-15); /* all of one sign: the smallest p that five pairs can give */
    moe_err err;
    assert_int_equal(stats_sign_permutation(five, 21, &p, &err), MOE_EARG);
}

static void test_spearman(void **state) {
    (void)state;
    struct stats_rank_correlation r;
    assert_int_equal(stats_spearman(ref_x, ref_y, COUNT(ref_x), &r, NULL), MOE_OK);
    near(r.rho, ref_rho, 1e-12);
    near(r.p, ref_rho_p, 1e-10);

    const double constant[] = {3.0, 3.0, 3.0};
    assert_int_equal(stats_spearman(ref_x, constant, 3, &r, NULL), MOE_OK);
    assert_true(isnan(r.rho) && isnan(r.p));
    const double falling[] = {9.0, 4.0, 1.0};
    assert_int_equal(stats_spearman(ref_x, falling, 3, &r, NULL), MOE_OK);
    near(r.rho, -1.0, 1e-15);
}

static void test_linear_fit(void **state) {
    (void)state;
    const struct stats_fit f = stats_linear_fit(ref_x, ref_y, COUNT(ref_x), 0.95);
    const double got[] = {f.slope,         f.slope_low,      f.slope_high, f.intercept,
                          f.intercept_low, f.intercept_high, f.r2,         f.p};
    for (int i = 0; i < 8; i++)
        near(got[i], ref_fit[0][i], 1e-9);
    const struct stats_fit two = stats_linear_fit(ref_x, ref_y, 2, 0.95);
    near(two.slope, ref_y[1] - ref_y[0], 1e-12);
    assert_true(isnan(two.slope_low) && isnan(two.p));
    const double constant[] = {3.0, 3.0, 3.0};
    assert_true(isnan(stats_linear_fit(constant, ref_y, 3, 0.95).slope));
}

static void test_quantiles(void **state) {
    (void)state;
    double sorted[COUNT(ref_y)];
    memcpy(sorted, ref_y, sizeof sorted);
    stats_sort(sorted, COUNT(ref_y));
    const double q[] = {0.0, 0.025, 0.5, 0.8, 1.0};
    for (int i = 0; i < 5; i++)
        near(stats_quantile_sorted(sorted, COUNT(ref_y), q[i]), ref_quantiles[i], 1e-12);
}

/* A bootstrap interval repeats to the bit, depends on the seed, and comes close to theory for a normal
 * sample: the resampled mean's spread is sd sqrt((n - 1) / n) / sqrt(n). */
static void test_bootstrap(void **state) {
    (void)state;
    enum { N = 200 };
    double x[N];
    const struct rng_key key = {11, RNG_TEST, 0};
    for (int32_t i = 0; i < N; i++) {
        x[i] = 0.0;
        for (uint64_t k = 0; k < 12; k++)
            x[i] += rng_uniform_double(key, (uint64_t)i * 12 + k) - 0.5;
    }
    struct stats_estimate first;
    struct stats_estimate again;
    struct stats_estimate other;
    assert_int_equal(stats_bootstrap(x, N, stats_statistic_mean, NULL, 2000, 5, 0.95, &first, NULL), MOE_OK);
    assert_int_equal(stats_bootstrap(x, N, stats_statistic_mean, NULL, 2000, 5, 0.95, &again, NULL), MOE_OK);
    assert_int_equal(stats_bootstrap(x, N, stats_statistic_mean, NULL, 2000, 6, 0.95, &other, NULL), MOE_OK);
    assert_true(first.value == again.value && first.sd == again.sd && first.n == again.n);
    assert_true(first.low == again.low && first.high == again.high);
    assert_true(first.low != other.low);
    const double theory = stats_sd(x, N) * sqrt((N - 1.0) / N) / sqrt(N);
    near(first.sd, theory, 0.06);
    near(first.high - first.low, 2.0 * 1.959964 * theory, 0.08);
    assert_true(first.low < first.value && first.value < first.high);

    assert_int_equal(stats_bootstrap(x, 1, stats_statistic_mean, NULL, 10, 5, 0.95, &first, NULL), MOE_OK);
    assert_true(isnan(first.low));
    assert_int_equal(stats_bootstrap(x, 0, stats_statistic_mean, NULL, 10, 5, 0.95, &first, NULL), MOE_EARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta),          cmocka_unit_test(test_t_distribution),
        cmocka_unit_test(test_mean_interval), cmocka_unit_test(test_differences),
        cmocka_unit_test(test_nonparametric), cmocka_unit_test(test_spearman),
        cmocka_unit_test(test_linear_fit),    cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_bootstrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
