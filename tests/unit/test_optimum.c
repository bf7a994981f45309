/* test: rooms=analysis label=fast */
/* Fitted parabolas against NumPy and SciPy, and how their bootstrap behaves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../golden/stats_reference.h"
#include "analysis/optimum.h"
#include "analysis/stats.h"
#include "core/rng.h"

#define N 14
#define near(a, b, tolerance)                                                                                \
    do {                                                                                                     \
        if (!(fabs((a) - (b)) <= (tolerance))) fail_msg("%.17g is not %.17g", (double)(a), (double)(b));     \
    } while (0)

static struct optimum fit(const double *x, const double *y, int32_t n) {
    struct optimum o;
    moe_err err = {0};
    if (optimum_fit(x, y, n, 2000, 7, 0.95, &o, &err) != MOE_OK) fail_msg("%s", err.message);
    return o;
}

static void test_parabola(void **state) {
    (void)state;
    const struct optimum o = fit(ref_grid, ref_loss, N);
    near(o.a, ref_parabola[0][0], 1e-11);
    near(o.b, ref_parabola[0][1], 1e-11);
    near(o.c, ref_parabola[0][2], 1e-11);
    near(o.at, ref_parabola[0][3], 1e-9);
    near(o.value, ref_parabola[0][4], 1e-11);
    near(o.at, ref_parabola_minimum, 1e-6);
    assert_true(o.is_inside);
    assert_int_equal(o.points, N);
    assert_int_equal(o.places, 7);
}

/* Residuals drawn anew (one value at each place): as wide as the delta method's normal interval, within a
 * third. */
static void test_interval_of_residuals(void **state) {
    (void)state;
    double x[N];
    for (int i = 0; i < N; i++)
        x[i] = ref_grid[i] + (i < 7 ? 0.0 : 1e-7);
    const struct optimum o = fit(x, ref_loss, N);
    const double half = 1.96 * ref_parabola_error;
    near(o.low, ref_parabola_minimum - half, half / 3);
    near(o.high, ref_parabola_minimum + half, half / 3);
    near(o.inside, 1, 0);
}

/* Values drawn anew at each place, and the same again. */
static void test_interval_of_seeds(void **state) {
    (void)state;
    const struct optimum o = fit(ref_grid, ref_loss, N), again = fit(ref_grid, ref_loss, N);
    assert_true(o.low < o.at && o.at < o.high && o.high - o.low < 6 * ref_parabola_error);
    assert_memory_equal(&o.low, &again.low, sizeof o.low);
    assert_memory_equal(&o.high, &again.high, sizeof o.high);
    double exact[N];
    for (int i = 0; i < N; i++)
        exact[i] = 1 + (ref_grid[i] + 2) * (ref_grid[i] + 2);
    const struct optimum sharp = fit(ref_grid, exact, N);
    near(sharp.low, -2, 1e-9);
    near(sharp.high, -2, 1e-9);
}

/* Of a million samples with normal noise the interval should hold the truth in 95 %; of 300, in at least 88
 * %. */
static void test_coverage(void **state) {
    (void)state;
    int held = 0;
    for (uint32_t sample = 0; sample < 300; sample++) {
        double x[20], y[20];
        for (int i = 0; i < 20; i++) {
            double noise = -6;
            for (int j = 0; j < 12; j++) /* sum of twelve uniform numbers: normal enough */
                noise += rng_uniform_double((struct rng_key){sample, RNG_TEST, 0}, (uint64_t)(12 * i + j));
            x[i] = -4 + i % 5;
            y[i] = 5 + 0.02 * (x[i] + 2.2) * (x[i] + 2.2) + 0.01 * noise;
        }
        struct optimum o;
        assert_int_equal(optimum_fit(x, y, 20, 400, sample, 0.95, &o, NULL), MOE_OK);
        held += o.low <= -2.2 && o.high >= -2.2;
    }
    print_message("held %d of 300\n", held);
    assert_in_range(held, 270, 300);
}

static void test_minimum_beyond_the_range(void **state) {
    (void)state;
    static const double x[] = {-3, -2, -1, 0}, falls[] = {4, 3, 2.2, 1.6}, hill[] = {1, 2, 2.1, 0.5};
    struct optimum o = fit(x, falls, 4);
    assert_false(o.is_inside);
    near(o.at, 0, 0);
    assert_true(isnan(o.low) && isnan(o.high)); /* four values, one at each place */
    o = fit(x, hill, 4);
    assert_false(o.is_inside);
    near(o.at, 0, 0);
}

static void test_too_few(void **state) {
    (void)state;
    static const double x[] = {1, 1, 2, 2}, y[] = {1, 2, 3, 4};
    struct optimum o;
    moe_err err = {0};
    assert_int_equal(optimum_fit(x, y, 4, 10, 1, 0.95, &o, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "three different positions, got 2"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parabola),
        cmocka_unit_test(test_interval_of_residuals),
        cmocka_unit_test(test_interval_of_seeds),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_minimum_beyond_the_range),
        cmocka_unit_test(test_too_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
