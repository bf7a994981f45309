/* lanes.h - sums over one row, in eight-lane vectors with a fixed order.
 *
 * Four independent accumulators hide the latency of the addition; element i goes to lane i % 32, the tail to
 * lane 0's scalar, and lanes are added pairwise. The order is a function of n alone.
 */
#ifndef DEVICE_CPU_LANES_H
#define DEVICE_CPU_LANES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef float lanes_vec __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t lanes_mask __attribute__((vector_size(32)));

static inline float lanes_fold(lanes_vec a, lanes_vec b, lanes_vec c, lanes_vec d) {
    const lanes_vec s = (a + b) + (c + d);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* sum of x[i] */
static inline float lanes_sum(const float *x, int64_t n) {
    lanes_vec a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a += *(const lanes_vec *)(x + i);
        b += *(const lanes_vec *)(x + i + 8);
        c += *(const lanes_vec *)(x + i + 16);
        d += *(const lanes_vec *)(x + i + 24);
    }
    for (; i + 8 <= n; i += 8)
        a += *(const lanes_vec *)(x + i);
    float tail = 0.0f;
    for (; i < n; i++)
        tail += x[i];
    return lanes_fold(a, b, c, d) + tail;
}

/* sum of (x[i] - shift)^2 */
static inline float lanes_square_sum(const float *x, float shift, int64_t n) {
    lanes_vec a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const lanes_vec p = *(const lanes_vec *)(x + i) - shift, q = *(const lanes_vec *)(x + i + 8) - shift;
        const lanes_vec r = *(const lanes_vec *)(x + i + 16) - shift,
                        s = *(const lanes_vec *)(x + i + 24) - shift;
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    for (; i + 8 <= n; i += 8) {
        const lanes_vec p = *(const lanes_vec *)(x + i) - shift;
        a += p * p;
    }
    float tail = 0.0f;
    for (; i < n; i++)
        tail += (x[i] - shift) * (x[i] - shift);
    return lanes_fold(a, b, c, d) + tail;
}

/* sum of x[i] y[i] */
static inline float lanes_dot(const float *x, const float *y, int64_t n) {
    lanes_vec a = {0}, b = {0}, c = {0}, d = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a += *(const lanes_vec *)(x + i) * *(const lanes_vec *)(y + i);
        b += *(const lanes_vec *)(x + i + 8) * *(const lanes_vec *)(y + i + 8);
        c += *(const lanes_vec *)(x + i + 16) * *(const lanes_vec *)(y + i + 16);
        d += *(const lanes_vec *)(x + i + 24) * *(const lanes_vec *)(y + i + 24);
    }
    for (; i + 8 <= n; i += 8)
        a += *(const lanes_vec *)(x + i) * *(const lanes_vec *)(y + i);
    float tail = 0.0f;
    for (; i < n; i++)
        tail += x[i] * y[i];
    return lanes_fold(a, b, c, d) + tail;
}

static inline lanes_vec lanes_larger(lanes_vec a, lanes_vec b) {
    const lanes_mask above = (lanes_mask)(a > b);
    return (lanes_vec)(((lanes_mask)a & above) | ((lanes_mask)b & ~above));
}

/* largest x[i], -infinity if there is none; NaN is passed over */
static inline float lanes_max(const float *x, int64_t n) {
    const float lowest = -INFINITY;
    lanes_vec a = lowest - (lanes_vec){0}, b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = lanes_larger(*(const lanes_vec *)(x + i), a);
        b = lanes_larger(*(const lanes_vec *)(x + i + 8), b);
        c = lanes_larger(*(const lanes_vec *)(x + i + 16), c);
        d = lanes_larger(*(const lanes_vec *)(x + i + 24), d);
    }
    for (; i + 8 <= n; i += 8)
        a = lanes_larger(*(const lanes_vec *)(x + i), a);
    a = lanes_larger(lanes_larger(a, b), lanes_larger(c, d));
    float max = lowest;
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int l = 0; l < 8; l++)
        max = a[l] > max ? a[l] : max;
    return max;
}

static inline bool lanes_any(lanes_mask mask) {
    typedef int64_t wide __attribute__((vector_size(32)));
    const wide w = (wide)mask;
    return ((w[0] | w[1]) | (w[2] | w[3])) != 0;
}

/* first i with x[i] == value; there must be one */
static inline int64_t lanes_find(const float *x, float value, int64_t n) {
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const lanes_mask hit =
            (*(const lanes_vec *)(x + i) == value) | (*(const lanes_vec *)(x + i + 8) == value) |
            (*(const lanes_vec *)(x + i + 16) == value) | (*(const lanes_vec *)(x + i + 24) == value);
        if (lanes_any(hit)) break;
    }
    while (x[i] != value)
        i++;
    return i;
}

/* y[i] += a x[i] */
static inline void lanes_add_scaled(float *restrict y, const float *restrict x, float a, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

/* y[i] = a x[i] */
static inline void lanes_set_scaled(float *restrict y, const float *restrict x, float a, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

#endif
