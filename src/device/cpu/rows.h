/* rows.h - vectorised reductions over one row of floats, for softmax. */
#ifndef DEVICE_CPU_ROWS_H
#define DEVICE_CPU_ROWS_H

#include <stdint.h>

#include "core/mathf.h"

#define ROW_LANES 16

/* Largest of n > 0 floats; a NaN may be passed over. */
static inline float row_max(const float *x, int64_t n) {
    float lane[ROW_LANES];
    for (int l = 0; l < ROW_LANES; l++) {
        lane[l] = x[0];
    }
    int64_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        for (int l = 0; l < ROW_LANES; l++) {
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        }
    }
    for (; i < n; i++) {
        lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    }
    float max = lane[0];
    for (int l = 1; l < ROW_LANES; l++) {
        max = lane[l] > max ? lane[l] : max;
    }
    return max;
}

/* x = exp(scale x - shift) in place; returns the sum. */
static inline float row_exp(float *x, int64_t n, float scale, float shift) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        x[i] = mathf_exp(scale * x[i] - shift);
        sum += x[i];
    }
    return sum;
}

/* Sum of exp(x - shift). */
static inline float row_sum_exp(const float *x, int64_t n, float shift) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += mathf_exp(x[i] - shift);
    }
    return sum;
}

static inline float row_sum(const float *x, int64_t n) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum;
}

static inline float row_dot(const float *a, const float *b, int64_t n) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

#endif
