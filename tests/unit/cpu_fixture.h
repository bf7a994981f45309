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

#include "device/backend.h"

static inline struct device *open_cpu(int threads) {
    const struct device_options options = {
        .threads = threads, .max_rows = 8192, .max_vocab = 512, .max_seq = 512, .max_width = 1024};
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    return dev;
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

#define zeroed_floats(n) ((float *)zeroed((n), sizeof(float)))
#define zeroed_ints(n)   ((int32_t *)zeroed((n), sizeof(int32_t)))

/* |got - want| <= tolerance * max(1, |want|) */
static inline void assert_close(double got, double want, double tolerance, const char *what, int64_t at) {
    const double scale = fabs(want) > 1.0 ? fabs(want) : 1.0;
    if (!(fabs(got - want) <= tolerance * scale)) {
        fail_msg("%s[%lld]: got %.9g, want %.9g", what, (long long)at, got, want);
    }
}

static inline void assert_same_bits(const void *a, const void *b, size_t bytes, const char *what) {
    if (memcmp(a, b, bytes) != 0) fail_msg("%s: bits differ", what);
}

#endif
