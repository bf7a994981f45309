/* test: rooms=core label=fast */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/normal.h"

static const struct rng_key key = {.seed = 11, .stream = RNG_TEST, .step = 4};

static void the_formula_is_that_of_box_and_muller(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        const struct rng_block b = rng_block_at(key, i / 2);
        const double u = ((double)b.v[i % 2 * 2] + 0.5) / 4294967296.0;
        const double turn = (double)b.v[i % 2 * 2 + 1] / 4294967296.0;
        const double want = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * turn);
        assert_true(fabs(rng_normal(key, i) - want) < 2e-8);
    }
}

static void the_logarithm_is_right_over_its_whole_range(void **state) {
    (void)state;
    for (double x = 0x1p-34; x < 4.0; x *= 1.0001)
        assert_true(fabs(normal_log(x) - log(x)) <= 2e-15 * fabs(log(x)));
    for (int i = 1; i < 1000; i++) { /* the largest of the uniform numbers */
        const double x = 1.0 - (i - 0.5) * 0x1p-32;
        assert_true(fabs(normal_log(x) - log(x)) <= 2e-15 * fabs(log(x)));
    }
    assert_true(normal_log(1.0) == 0.0);
}

/* Moments and tails of a million, within five standard errors; neighbours are independent. */
static void numbers_are_standard_normal(void **state) {
    (void)state;
    enum { N = 1000000 };
    double sum = 0, squares = 0, fourth = 0, neighbours = 0, before = 0;
    int beyond_1 = 0, beyond_3 = 0;
    for (int i = 0; i < N; i++) {
        const double x = rng_normal(key, (uint64_t)i);
        sum += x, squares += x * x, fourth += x * x * x * x, neighbours += x * before;
        beyond_1 += fabs(x) > 1.0, beyond_3 += fabs(x) > 3.0;
        before = x;
    }
    assert_true(fabs(sum / N) < 5 * 1e-3);
    assert_true(fabs(squares / N - 1) < 5 * 1.4143e-3);
    assert_true(fabs(fourth / N - 3) < 5 * 9.8e-3);
    assert_true(fabs(neighbours / N) < 5 * 1e-3);
    assert_true(fabs(beyond_1 / (double)N - 0.3173105) < 5 * 4.7e-4);
    assert_true(fabs(beyond_3 / (double)N - 0.0026998) < 5 * 5.2e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formula_is_that_of_box_and_muller),
        cmocka_unit_test(the_logarithm_is_right_over_its_whole_range),
        cmocka_unit_test(numbers_are_standard_normal),
    };
    return cmocka_run_group_tests_name("normal", tests, NULL, NULL);
}
