/* rows.h - maximum and exponentials of one row, for softmax; the order of the sums is a function of n alone.
 */
#ifndef DEVICE_CPU_ROWS_H
#define DEVICE_CPU_ROWS_H

#include "core/mathf.h"
#include "device/cpu/lanes.h"

#define ROW_EXP_LEAST (-80.0f)

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

/* e^x for a softmax whose largest term is about 1; below ROW_EXP_LEAST, where a term cannot change the sum,
 * exactly 0: a subnormal number costs as much as many normal ones. */
static inline float row_exp_of(float x) {
    const float e = mathf_exp(x < ROW_EXP_LEAST ? ROW_EXP_LEAST : x);
    return x < ROW_EXP_LEAST ? 0.0f : e;
}

/* y = exp(scale x - shift); y may be x. */
static inline void row_exp(float *y, const float *x, int64_t n, float scale, float shift) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = row_exp_of(scale * x[i] - shift);
    }
}

#endif
