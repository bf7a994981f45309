/* cpu_fixture.h - an opened "cpu" device, random arrays and comparisons, for the tests of its operations. */
#ifndef TESTS_CPU_FIXTURE_H
#define TESTS_CPU_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "device/backend.h"

static inline struct device *open_cpu_vocab(int threads, int32_t max_vocab) {
    const struct device_options options = {
        .threads = threads, .max_rows = 8192, .max_vocab = max_vocab, .max_seq = 512, .max_width = 1100};
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    return dev;
}

static inline struct device *open_cpu(int threads) {
    return open_cpu_vocab(threads, 512);
}

/* n floats uniform in [-1, 1), a different set for each id; freed by the caller */
static inline float *random_floats(int64_t n, uint32_t id) {
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = 2.0f * rng_uniform((struct rng_key){1234, RNG_TEST, id}, (uint64_t)i) - 1.0f;
    }
    return x;
}

static inline void *zeroed(int64_t n, size_t size) {
    void *x = calloc((size_t)(n > 0 ? n : 1), size);
    assert_non_null(x);
    return x;
}

#define zeroed_floats(n)  ((float *)zeroed((n), sizeof(float)))
#define zeroed_doubles(n) ((double *)zeroed((n), sizeof(double)))
#define zeroed_ints(n)    ((int32_t *)zeroed((n), sizeof(int32_t)))

static inline float *copy_floats(const float *x, int64_t n) {
    float *y = zeroed_floats(n);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static inline double *as_double(const float *x, int64_t n) {
    double *y = zeroed_doubles(n);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

#define UNTOUCHED 1e30f

/* [rows, stride] floats: the first `used` of a row NaN, which must be overwritten, the gap behind UNTOUCHED.
 */
static inline float *strided_output(int64_t rows, int64_t stride, int64_t used) {
    float *x = malloc((size_t)(rows * stride) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < rows * stride; i++) {
        x[i] = i % stride < used ? NAN : UNTOUCHED;
    }
    return x;
}

/* |got - want| <= tolerance * max(1, |want|) */
static inline void assert_close(double got, double want, double tolerance, const char *what, int64_t at) {
    const double scale = fabs(want) > 1.0 ? fabs(want) : 1.0;
    if (!(fabs(got - want) <= tolerance * scale)) {
        fail_msg("%s[%lld]: got %.9g, want %.9g", what, (long long)at, got, want);
    }
}

/* Every |got - want| <= tolerance * the largest magnitude expected: for sums of products. */
static inline void assert_close_to_largest(const char *what, const float *got, const double *want, int64_t n,
                                           double tolerance) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= tolerance * largest))
            fail_msg("%s[%lld] is %.9g, expected %.9g", what, (long long)i, (double)got[i], want[i]);
    }
}

static inline void assert_same_bits(const void *a, const void *b, size_t bytes, const char *what) {
    if (memcmp(a, b, bytes) != 0) fail_msg("%s: bits differ", what);
}

#endif
