/* gradient_check.h - backward operations of the reference backend, in double, against finite differences.
 *
 * A problem's loss is a fixed random linear form of what forward writes, so that its gradient with respect to
 * an input is what backward makes of that form. The five-point central difference is exact to about 1e-11
 * here. Includers have included cmocka.
 */
#ifndef TESTS_GRADIENT_CHECK_H
#define TESTS_GRADIENT_CHECK_H

#define REAL double
#include "device/ref/kernels.inc"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define MOST         512 /* elements of the largest array of a problem */

static struct device *device;

static int open_device(void **state) {
    (void)state;
    return device_open_reference(&(struct device_options){0}, &device, NULL) == MOE_OK ? 0 : -1;
}

static int close_device(void **state) {
    (void)state;
    device_close_reference(device);
    return 0;
}

/* Uniform in (-1, 1), another sequence for every stream. */
static void fill(double *x, int64_t n, uint32_t stream) {
    const struct rng_key key = {.seed = 31, .stream = RNG_TEST, .step = stream};
    for (int64_t i = 0; i < n; i++)
        x[i] = 2.0 * rng_uniform_double(key, (uint64_t)i) - 1.0;
}

typedef double (*loss_function)(const void *problem);

static double slope(loss_function loss, const void *problem, double *at, double h) {
    const double kept = *at;
    double value[4];
    static const double steps[4] = {-2.0, -1.0, 1.0, 2.0};
    for (int i = 0; i < 4; i++) {
        *at = kept + steps[i] * h;
        value[i] = loss(problem);
    }
    *at = kept;
    return (value[0] - 8.0 * value[1] + 8.0 * value[2] - value[3]) / (12.0 * h);
}

/* Asserts that gradient [n] is d loss / d x, with an error of at most `limit` of its largest element. */
static void check(const char *what, loss_function loss, const void *problem, double *x,
                  const double *gradient, int64_t n, double limit) {
    double worst = 0.0, scale = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double numeric = slope(loss, problem, &x[i], 1e-4);
        worst = fmax(worst, fabs(numeric - gradient[i]));
        scale = fmax(scale, fabs(numeric));
    }
    print_message("%-34s error %.1e of the largest\n", what, worst / scale);
    assert_true(scale > 0.0);
    assert_true(worst <= limit * scale);
}

#endif
