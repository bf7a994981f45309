/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "analysis/plot_axis.h"
#include "core/rng.h"

static void format_is(double value, int32_t decimals, const char *want) {
    char text[AXIS_LABEL_MAX];
    axis_format(text, sizeof text, value, decimals);
    assert_string_equal(text, want);
}

static void test_format(void **state) {
    (void)state;
    format_is(0.0, 2, "0.00");
    format_is(-0.001, 2, "0.00"); /* never a negative zero */
    format_is(-1.5, 1,
              "\xe2\x88\x92"
              "1.5");
    format_is(9999.0, 0, "9,999");
    format_is(68825.0, 0, "68,825");
    format_is(1234567.25, 2, "1,234,567.25");
    format_is(-17286656.0, 0,
              "\xe2\x88\x92"
              "17,286,656");
    assert_int_equal(axis_decimals(20.0), 0);
    assert_int_equal(axis_decimals(0.25), 2);
    assert_int_equal(axis_decimals(0.005), 3);
    char tiny[4];
    axis_format(tiny, sizeof tiny, 123456.0, 0);
    assert_int_equal(tiny[3], '\0');
}

/* Whatever the range: ticks ascend by equal steps of a nice size, lie on the axis, and are about as many as
 * asked for. */
static void test_linear_ticks(void **state) {
    (void)state;
    const struct rng_key key = {3, RNG_TEST, 0};
    for (uint64_t i = 0; i < 2000; i++) {
        const double centre = 200.0 * (rng_uniform_double(key, 3 * i) - 0.5);
        const double span = pow(10.0, 8.0 * rng_uniform_double(key, 3 * i + 1) - 4.0);
        const int32_t target = 2 + (int32_t)(8.0 * rng_uniform_double(key, 3 * i + 2));
        struct axis_scale s;
        axis_linear(&s, centre, centre + span, NAN, NAN, false, target);
        assert_true(s.min <= centre && s.max >= centre + span);
        assert_true(s.num_ticks >= 1 && s.num_ticks <= target + 2);
        for (int32_t k = 0; k < s.num_ticks; k++) {
            assert_true(s.ticks[k].value >= s.min - 1e-9 * span && s.ticks[k].value <= s.max + 1e-9 * span);
            if (k == 0) continue;
            const double step = s.ticks[k].value - s.ticks[k - 1].value;
            const double mantissa = step / pow(10.0, floor(log10(step) + 1e-9));
            assert_true(fabs(mantissa - 1.0) < 1e-6 || fabs(mantissa - 2.0) < 1e-6 ||
                        fabs(mantissa - 2.5) < 1e-6 || fabs(mantissa - 5.0) < 1e-6);
            assert_string_not_equal(s.ticks[k].label, s.ticks[k - 1].label);
        }
    }
}

static void test_ranges(void **state) {
    (void)state;
    struct axis_scale s;
    axis_linear(&s, 0.0, 10.0, NAN, NAN, false, 5);
    assert_true(s.min == 0.0 && s.max > 10.0); /* bars stand on the axis */
    axis_linear(&s, 3.0, 3.0, NAN, NAN, false, 5);
    assert_true(s.min < 3.0 && s.max > 3.0); /* one value */
    axis_linear(&s, NAN, NAN, NAN, NAN, false, 5);
    assert_true(s.min < s.max && s.num_ticks > 0); /* no data */
    axis_linear(&s, 0.2, 7.7, 0.0, 8.0, false, 5);
    assert_true(s.min == 0.0 && s.max == 8.0);
    axis_linear(&s, 1.0, 3.0, NAN, NAN, true, 9);
    for (int32_t i = 0; i < s.num_ticks; i++)
        assert_true(s.ticks[i].value == round(s.ticks[i].value));
    assert_true(fabs(axis_fraction(&s, s.min)) < 1e-12 && fabs(axis_fraction(&s, s.max) - 1.0) < 1e-12);
}

static int32_t labels_of(const struct axis_scale *s) {
    int32_t labels = 0;
    for (int32_t i = 0; i < s->num_ticks; i++)
        labels += s->ticks[i].label[0] != '\0';
    return labels;
}

static void test_log_ticks(void **state) {
    (void)state;
    struct axis_scale s;
    axis_log(&s, 1e-5, 1e7, NAN, NAN, 6);
    assert_true(s.min < 1e-5 && s.max > 1e7);
    assert_in_range(labels_of(&s), 3, 7);
    assert_true(fabs(axis_fraction(&s, sqrt(s.min * s.max)) - 0.5) < 1e-12);

    axis_log(&s, 1.0, 30.0, NAN, NAN, 6); /* less than two powers: 1 2 5 10 20 */
    assert_int_equal(labels_of(&s), 5);
    axis_log(&s, 1.0, 30.0, NAN, NAN, 4); /* where that is too many: 1 3 10 30 */
    assert_int_equal(labels_of(&s), 4);
    axis_log(&s, 1e-9, 1e-9, NAN, NAN, 6);
    assert_true(s.min > 0.0 && s.min < s.max);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_linear_ticks),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_log_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
