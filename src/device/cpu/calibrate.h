/* calibrate.h - what this machine can do at most, measured in the same minute as what is compared with it. */
#ifndef DEVICE_CPU_CALIBRATE_H
#define DEVICE_CPU_CALIBRATE_H

#include <stdint.h>

/* GFLOP/s of fused multiply-adds on registers, all `threads` at once, over about `seconds`: the arithmetic
 * peak. */
double calibrate_fma(int threads, double seconds);

/* A matrix product as the layers call it: C [m, n] = op(A) op(B) over k. */
struct calibrate_gemm {
    int64_t m, n, k;
    int transpose_a, transpose_b;
};

/* Seconds of one such product done by plain cblas_sgemm, each of `threads` threads taking an equal share of
 * the larger of m and n, best of `repeats`. Negative if memory is out. */
double calibrate_sgemm(const struct calibrate_gemm *gemm, int threads, int repeats);

#endif
