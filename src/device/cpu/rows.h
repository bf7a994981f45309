/* rows.h - maximum and exponentials of one row, for softmax; the order of the sums is a function of n alone.
 */
#ifndef DEVICE_CPU_ROWS_H
#define DEVICE_CPU_ROWS_H

#include "core/mathf.h"
#include "device/cpu/lanes.h"

#define ROW_BLOCK 256 /* exponentials that are held before they are added up */

typedef int32_t row_mask __attribute__((vector_size(32)));

/* Larger of each pair; b where a is NaN. */
static inline lanes_vec row_larger(lanes_vec a, lanes_vec b) {
    const row_mask take = a > b;
    return (lanes_vec)(((row_mask)a & take) | ((row_mask)b & ~take));
}

/* Largest of n > 0 floats; a NaN may be passed over. */
static inline float row_max(const float *x, int64_t n) {
    const float first = x[0];
    lanes_vec a = {first, first, first, first, first, first, first, first}, b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = row_larger(*(const lanes_vec *)(x + i), a);
        b = row_larger(*(const lanes_vec *)(x + i + 8), b);
        c = row_larger(*(const lanes_vec *)(x + i + 16), c);
        d = row_larger(*(const lanes_vec *)(x + i + 24), d);
    }
    for (; i + 8 <= n; i += 8) {
        a = row_larger(*(const lanes_vec *)(x + i), a);
    }
    float max = first;
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    const lanes_vec all = row_larger(row_larger(a, b), row_larger(c, d));
    for (int l = 0; l < 8; l++) {
        max = all[l] > max ? all[l] : max;
    }
    return max;
}

/* y = exp(scale x - shift); y may be x. */
static inline void row_exp(float *y, const float *x, int64_t n, float scale, float shift) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = mathf_exp(scale * x[i] - shift);
    }
}

/* Sum of exp(x - shift). */
static inline float row_sum_exp(const float *x, int64_t n, float shift) {
    float sum = 0.0f;
    for (int64_t at = 0; at < n; at += ROW_BLOCK) {
        const int64_t count = at + ROW_BLOCK < n ? ROW_BLOCK : n - at;
        float block[ROW_BLOCK];
        row_exp(block, x + at, count, 1.0f, shift);
        sum += lanes_sum(block, count);
    }
    return sum;
}

static inline float row_sum(const float *x, int64_t n) {
    return lanes_sum(x, n);
}

static inline float row_dot(const float *a, const float *b, int64_t n) {
    return lanes_dot(a, b, n);
}

#endif
