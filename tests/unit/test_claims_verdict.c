/* test: rooms=analysis,record,core label=fast */
/* The rules that turn an interval into a verdict, at their borders. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/verdict.h"

#define assert_near(a, b, tolerance)                                                                         \
    assert_true(fabs((a) - (b)) <= (tolerance)) /* cmocka compares floats                                    \
                                                 */

/* t(0.975, 2) = 4.3026...: the interval of {-1, 0, 1} + m is m +- 4.3026.../sqrt(3). */
#define HALF (4.302652729911275 / 1.7320508075688772)

static const struct verdict_region above_zero = {0.0, INFINITY, false};
static const struct verdict_region below_zero = {-INFINITY, 0.0, false};

static struct verdict_part around(double mean, int32_t parts, struct verdict_region region) {
    const double values[] = {mean - 1.0, mean, mean + 1.0};
    return verdict_of_runs(values, 3, parts, region);
}

static void test_half_line(void **state) {
    (void)state;
    assert_int_equal(around(HALF + 1e-9, 1, above_zero).verdict, VERDICT_REPRODUCED);
    assert_int_equal(around(HALF - 1e-9, 1, above_zero).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(around(-HALF + 1e-9, 1, above_zero).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(around(-HALF - 1e-9, 1, above_zero).verdict, VERDICT_CONTRADICTED);
    assert_int_equal(around(-HALF - 1e-9, 1, below_zero).verdict, VERDICT_REPRODUCED);
    assert_int_equal(around(HALF + 1e-9, 1, below_zero).verdict, VERDICT_CONTRADICTED);
}

/* No difference: only an interval inside the margin shows it. */
static void test_equivalence(void **state) {
    (void)state;
    const struct verdict_region none = {-3.0, 3.0, true};
    assert_int_equal(around(0.0, 1, none).verdict, VERDICT_REPRODUCED);
    assert_int_equal(around(3.0 - HALF - 1e-9, 1, none).verdict, VERDICT_REPRODUCED);
    assert_int_equal(around(3.0 - HALF + 1e-9, 1, none).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(around(3.0 + HALF - 1e-9, 1, none).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(around(3.0 + HALF + 1e-9, 1, none).verdict, VERDICT_CONTRADICTED);
    /* a wide interval around zero is no evidence of no difference */
    const struct verdict_region narrow = {-1.0, 1.0, true};
    assert_int_equal(around(0.0, 1, narrow).verdict, VERDICT_INCONCLUSIVE);
}

static void test_few_seeds(void **state) {
    (void)state;
    const double clear[] = {100.0, 100.1, 99.9};
    assert_int_equal(verdict_of_runs(clear, 1, 1, above_zero).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict_of_runs(clear, 2, 1, above_zero).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict_of_runs(clear, 3, 1, above_zero).verdict, VERDICT_REPRODUCED);
    const double undefined[] = {1.0, NAN, 1.0};
    assert_int_equal(verdict_of_runs(undefined, 3, 1, above_zero).verdict, VERDICT_INCONCLUSIVE);
}

/* Equal values have an interval of no width; zero is not above zero, but it is no difference. */
static void test_no_spread(void **state) {
    (void)state;
    const double zero[] = {0.0, 0.0, 0.0};
    const struct verdict_region none = {0.0, 0.0, true};
    assert_int_equal(verdict_of_runs(zero, 3, 1, above_zero).verdict, VERDICT_CONTRADICTED);
    assert_int_equal(verdict_of_runs(zero, 3, 1, none).verdict, VERDICT_REPRODUCED);
}

static void test_p(void **state) {
    (void)state;
    /* mean 2, sd 1, n 3: t = 2 sqrt 3, two-sided p of Student's t with 2 degrees of freedom: 1 - t / sqrt(t^2
     * + 2) */
    const double t = 2.0 * sqrt(3.0);
    const double p = 1.0 - t / sqrt(t * t + 2.0);
    assert_near(around(2.0, 1, above_zero).p, p, 1e-9);
    assert_near(around(2.0, 1, below_zero).p, p, 1e-9);
    /* two ends: the larger one-sided p, here against the upper end, which the mean lies on */
    const struct verdict_region both = {-10.0, 2.0, true};
    assert_near(around(2.0, 1, both).p, 0.5, 1e-9);
    const double one[] = {1.0};
    assert_true(isnan(verdict_of_runs(one, 1, 1, above_zero).p));
}

static void test_exact_and_printed(void **state) {
    (void)state;
    const struct verdict_region seven = {7.0, 7.0, true};
    const double all[] = {7.0, 7.0}, one_off[] = {7.0, 8.0, 7.0};
    assert_int_equal(verdict_of_exact(all, 2, seven).verdict, VERDICT_REPRODUCED);
    assert_int_equal(verdict_of_exact(one_off, 3, seven).verdict, VERDICT_CONTRADICTED);
    assert_int_equal(verdict_of_exact(NULL, 0, seven).verdict, VERDICT_NOT_TESTED);
    assert_int_equal(verdict_of_printed(7.0, seven, VERDICT_IMPOSSIBLE).verdict, VERDICT_REPRODUCED);
    assert_int_equal(verdict_of_printed(7.5, seven, VERDICT_IMPOSSIBLE).verdict, VERDICT_IMPOSSIBLE);
    assert_int_equal(verdict_of_printed(7.5, seven, VERDICT_CONTRADICTED).verdict, VERDICT_CONTRADICTED);
    int32_t decisive = -1;
    const struct verdict_part off = verdict_of_exact(one_off, 3, seven);
    assert_int_equal(verdict_combine(&off, 1, &decisive), VERDICT_CONTRADICTED);
}

/* All parts must hold; one that is excluded even at the corrected level is enough against. */
static void test_combination(void **state) {
    (void)state;
    int32_t decisive = -1;
    /* at 1 - 0.05 / 2 the half-width is t(0.9875, 2) / sqrt(3) = 6.2053.../sqrt(3) */
    const double wide = 6.205346817 / 1.7320508075688772;
    struct verdict_part parts[2];
    parts[0] = around(HALF + 1.0, 2, above_zero);
    parts[1] = around(HALF + 0.5, 2, above_zero);
    assert_int_equal(verdict_combine(parts, 2, &decisive), VERDICT_REPRODUCED);
    assert_int_equal(decisive, 1); /* the one that holds by the least */
    parts[1] = around(0.0, 2, above_zero);
    assert_int_equal(verdict_combine(parts, 2, &decisive), VERDICT_INCONCLUSIVE);
    assert_int_equal(decisive, 1);
    parts[1] = around(-HALF - 0.01, 2, above_zero); /* contradicted alone, not at the level of two */
    assert_int_equal(parts[1].verdict, VERDICT_CONTRADICTED);
    assert_int_equal(verdict_combine(parts, 2, &decisive), VERDICT_INCONCLUSIVE);
    parts[1] = around(-wide - 0.01, 2, above_zero);
    assert_int_equal(verdict_combine(parts, 2, &decisive), VERDICT_CONTRADICTED);
    assert_int_equal(decisive, 1);
    parts[0] = around(-wide - 5.0, 2, above_zero);
    assert_int_equal(verdict_combine(parts, 2, &decisive), VERDICT_CONTRADICTED);
    assert_int_equal(decisive, 0); /* the clearer one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_line),   cmocka_unit_test(test_equivalence),
        cmocka_unit_test(test_few_seeds),   cmocka_unit_test(test_no_spread),
        cmocka_unit_test(test_p),           cmocka_unit_test(test_exact_and_printed),
        cmocka_unit_test(test_combination),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
