/* golden.h - reading vectors of tests/golden/data and comparing device results with them.
 *
 * A tensor agrees if ||got - want|| <= limit * ||want|| (L2 norms), and if no element is off by more than
 * GOLDEN_ELEMENT * limit * max(|want|, rms of the tensor): an element that is the rest of a cancelled sum is
 * held to the size of the others. The largest error of every test is printed beside its limit.
 */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/backend.h"
#include "model/safetensors.h"

#define GOLDEN_BUFFERS 64
#define GOLDEN_ELEMENT 10

struct golden {
    struct safetensors *file;
    struct device *dev;
    const struct backend *ops;
    void *buffers[GOLDEN_BUFFERS]; /* device memory, released by golden_close() */
    int buffer_count;
    double worst; /* largest error so far, in units of its own limit */
    double worst_error;
    char worst_name[96];
};

static inline void golden_open(struct golden *g, const char *file, const char *device) {
    const struct device_options options = {
        .threads = 2, .max_rows = 512, .max_vocab = 64, .max_seq = 128, .max_width = 256};
    char path[512];
    moe_err err = {0};
    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path, "%s/tests/golden/data/%s.safetensors", MOE_SOURCE_DIR, file);
    if (safetensors_open(path, 0, &g->file, &err) != MOE_OK ||
        device_open(device, &options, &g->dev, &err) != MOE_OK)
        fail_msg("%s", err.message);
    g->ops = g->dev->ops;
}

static inline void golden_close(struct golden *g, const char *title) {
    print_message("             %-20s %-10s largest error %.1e (%.0f %% of its limit) in %s\n", title,
                  g->ops->name, g->worst_error, 100 * g->worst, g->worst_name);
    for (int i = 0; i < g->buffer_count; i++)
        g->ops->release(g->dev, g->buffers[i]);
    device_close(g->dev);
    safetensors_close(g->file);
}

/* The tensor "first.second" (second may be NULL: "first"). */
static inline const struct safetensors_tensor *golden_find(const struct golden *g, const char *first,
                                                           const char *second) {
    char name[128];
    snprintf(name, sizeof name, second != NULL ? "%s.%s" : "%s", first, second);
    const struct safetensors_tensor *tensor = safetensors_find(g->file, name);
    if (tensor == NULL) fail_msg("the golden file has no tensor %s", name);
    return tensor;
}

/* Dimension i of a tensor. */
static inline int64_t golden_dim(const struct golden *g, const char *first, const char *second, int i) {
    return golden_find(g, first, second)->shape[i];
}

/* A float tensor's elements; malloc'ed. */
static inline float *golden_floats(const struct golden *g, const char *first, const char *second) {
    const struct safetensors_tensor *tensor = golden_find(g, first, second);
    float *host = malloc((size_t)tensor->count * sizeof *host);
    assert_int_equal(safetensors_read_float(g->file, tensor, host, NULL), MOE_OK);
    return host;
}

static inline int32_t *golden_ints(const struct golden *g, const char *first, const char *second) {
    const struct safetensors_tensor *tensor = golden_find(g, first, second);
    int32_t *host = malloc((size_t)tensor->count * sizeof *host);
    assert_int_equal(safetensors_read(g->file, tensor, SAFETENSORS_I32, host, NULL), MOE_OK);
    return host;
}

static inline double golden_double(const struct golden *g, const char *first, const char *second) {
    double value = 0;
    assert_int_equal(safetensors_read(g->file, golden_find(g, first, second), SAFETENSORS_F64, &value, NULL),
                     MOE_OK);
    return value;
}

/* Zeroed device memory for count 4-byte elements. */
static inline void *golden_zeros(struct golden *g, int64_t count) {
    void *p = NULL;
    moe_err err = {0};
    assert_true(g->buffer_count < GOLDEN_BUFFERS);
    if (g->ops->alloc(g->dev, (size_t)count * 4, &p, &err) != MOE_OK) fail_msg("%s", err.message);
    g->buffers[g->buffer_count++] = p;
    return p;
}

/* A tensor on the device: floats, or ints as they are. */
static inline void *golden_upload(struct golden *g, const char *first, const char *second) {
    const struct safetensors_tensor *tensor = golden_find(g, first, second);
    void *p = golden_zeros(g, tensor->count), *host = NULL;
    if (tensor->dtype == SAFETENSORS_I32)
        host = golden_ints(g, first, second);
    else
        host = golden_floats(g, first, second);
    g->ops->upload(g->dev, p, host, (size_t)tensor->count * 4);
    free(host);
    return p;
}

static inline double golden_rms(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return n > 0 ? sqrt(sum / (double)n) : 0;
}

static inline void golden_note(struct golden *g, const char *name, double error, double limit) {
    if (error / limit < g->worst) return;
    g->worst = error / limit;
    g->worst_error = error;
    snprintf(g->worst_name, sizeof g->worst_name, "%s", name);
}

/* Compares host values with a tensor; elements where skip (may be NULL) is set are left out. */
static inline void golden_compare(struct golden *g, const char *first, const char *second, const float *got,
                                  const bool *skip, double limit) {
    const struct safetensors_tensor *tensor = golden_find(g, first, second);
    float *want = golden_floats(g, first, second);
    const double rms = golden_rms(want, tensor->count);
    double squares = 0;
    for (int64_t i = 0; i < tensor->count; i++) {
        if (skip != NULL && skip[i]) continue;
        const double gap = fabs((double)got[i] - (double)want[i]);
        if (!(gap <= GOLDEN_ELEMENT * limit * fmax(fabs((double)want[i]), rms)))
            fail_msg("%s on %s: element %lld is %.9g, PyTorch has %.9g (rms %.2g, limit %.1e)", tensor->name,
                     g->ops->name, (long long)i, (double)got[i], (double)want[i], rms,
                     GOLDEN_ELEMENT * limit);
        squares += gap * gap;
    }
    const double error = squares > 0 ? sqrt(squares / (double)tensor->count) / rms : 0;
    if (!(error <= limit))
        fail_msg("%s on %s: relative error %.2e, limit %.1e", tensor->name, g->ops->name, error, limit);
    golden_note(g, tensor->name, error, limit);
    free(want);
}

/* The same for device memory. */
static inline void golden_expect(struct golden *g, const char *first, const char *second,
                                 const void *device_ptr, double limit) {
    const int64_t count = golden_find(g, first, second)->count;
    float *got = malloc((size_t)count * sizeof *got);
    g->ops->download(g->dev, got, device_ptr, (size_t)count * sizeof *got);
    golden_compare(g, first, second, got, NULL, limit);
    free(got);
}

static inline void golden_expect_ints(struct golden *g, const char *first, const char *second,
                                      const void *device_ptr) {
    const int64_t count = golden_find(g, first, second)->count;
    int32_t *got = malloc((size_t)count * sizeof *got), *want = golden_ints(g, first, second);
    g->ops->download(g->dev, got, device_ptr, (size_t)count * sizeof *got);
    for (int64_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("%s.%s on %s: element %lld is %d, PyTorch has %d", first, second, g->ops->name,
                     (long long)i, got[i], want[i]);
    free(got);
    free(want);
}

static inline void golden_expect_double(struct golden *g, const char *first, const char *second, double got,
                                        double limit) {
    const double want = golden_double(g, first, second);
    const double error = got == want ? 0 : fabs(got - want) / fmax(fabs(want), 1e-30);
    if (!(error <= limit))
        fail_msg("%s.%s on %s: %.12g, PyTorch has %.12g (error %.2e, limit %.1e)", first, second,
                 g->ops->name, got, want, error, limit);
    golden_note(g, first, error, limit);
}

#endif
