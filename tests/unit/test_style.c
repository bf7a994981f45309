/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "analysis/style.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

static void test_style(void **state) {
    (void)state;
    static const char *const names[] = {"dense", "baseline", "top2", "strong_reg", "throughput_opt"};
    struct plot_pen pens[COUNT(names)];
    moe_err err = {0};
    for (int32_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(style_of_experiment("moe-vs-dense", names[i], &pens[i], &err), MOE_OK);
        for (int32_t j = 0; j < i; j++) {
            assert_memory_not_equal(&pens[i].colour, &pens[j].colour, sizeof pens[i].colour);
            assert_int_not_equal(pens[i].marker, pens[j].marker);
        }
    }
    struct plot_pen pen;
    assert_int_equal(style_of_experiment("moe-vs-dense", "unheard_of", &pen, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "unheard_of"));
    /* lightness rises along the sequential map, so that it also works in grey */
    double before = -1.0;
    for (int i = 0; i <= 100; i++) {
        const struct plot_colour c = style_sequential(i / 100.0);
        const double luminance =
            0.2126 * pow(c.red, 2.2) + 0.7152 * pow(c.green, 2.2) + 0.0722 * pow(c.blue, 2.2);
        assert_true(luminance > before);
        before = luminance;
    }
}

/* Lab of a colour as seen without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1). */
static void seen(struct plot_colour c, const double matrix[3][3], double lab[3]) {
    static const double to_xyz[3][3] = {{0.4124 / 0.95047, 0.3576 / 0.95047, 0.1805 / 0.95047},
                                        {0.2126, 0.7152, 0.0722},
                                        {0.0193 / 1.08883, 0.1192 / 1.08883, 0.9505 / 1.08883}};
    const double in[3] = {c.red, c.green, c.blue};
    double linear[3];
    double out[3];
    double f[3];
    for (int i = 0; i < 3; i++)
        linear[i] = in[i] <= 0.04045 ? in[i] / 12.92 : pow((in[i] + 0.055) / 1.055, 2.4);
    for (int i = 0; i < 3; i++) {
        out[i] = matrix[i][0] * linear[0] + matrix[i][1] * linear[1] + matrix[i][2] * linear[2];
        out[i] = fmin(1.0, fmax(0.0, out[i]));
    }
    for (int i = 0; i < 3; i++) {
        const double t = to_xyz[i][0] * out[0] + to_xyz[i][1] * out[1] + to_xyz[i][2] * out[2];
        f[i] = t > 0.008856 ? cbrt(t) : 7.787 * t + 16.0 / 116.0;
    }
    lab[0] = 116.0 * f[1] - 16.0;
    lab[1] = 500.0 * (f[0] - f[1]);
    lab[2] = 200.0 * (f[1] - f[2]);
}

/* Up to eight experts differ from each other and from paper for every kind of colour vision; of more, each
 * has a colour of its own. */
static void test_expert_colours(void **state) {
    (void)state;
    static const double eyes[4][3][3] = {
        {{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}},
        {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
        {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
        {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}};
    for (int eye = 0; eye < 4; eye++) {
        double lab[9][3];
        for (int32_t e = 0; e < 9; e++)
            seen(e < 8 ? style_expert(e, 8) : (struct plot_colour){1.0, 1.0, 1.0}, eyes[eye], lab[e]);
        for (int32_t i = 0; i < 9; i++)
            for (int32_t j = 0; j < i; j++)
                assert_true(
                    hypot(hypot(lab[i][0] - lab[j][0], lab[i][1] - lab[j][1]), lab[i][2] - lab[j][2]) > 15.0);
    }
    for (int32_t e = 1; e < 64; e++) {
        const struct plot_colour a = style_expert(e - 1, 64);
        const struct plot_colour b = style_expert(e, 64);
        assert_memory_not_equal(&a, &b, sizeof a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_style),
        cmocka_unit_test(test_expert_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
