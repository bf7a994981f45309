/* bench.h - how fast training is, as fractions of what the machine can do and of each other, in one run.
 *
 * Machines are noisy: everything is measured in alternating rounds between short calibrations, and a ratio is
 * the median of the rounds' ratios.
 */
#ifndef TRAIN_BENCH_H
#define TRAIN_BENCH_H

#include "core/status.h"

#define BENCH_MAX_MODELS 8
#define BENCH_MAX_ROUNDS 64
#define BENCH_MAX_GEMMS  24

struct bench_options {
    int threads; /* 0 = all cores */
    int rounds;  /* of 1 step of every model each, after a warm-up round */
};

/* One model's steps. */
struct bench_model {
    const char *name; /* "dense", "top1", ... */
    const char *what; /* one line for people */
    int64_t parameters, active;
    double flops_per_token;
    double tokens_per_second;            /* median over rounds */
    double gflops;                       /* median */
    double of_dense;                     /* median over rounds of tokens/s / dense's tokens/s */
    double flops_ratio;                  /* dense's FLOPs per token / this one's */
    double forward, backward, optimizer; /* seconds, medians */
};

struct bench_steps {
    struct bench_model models[BENCH_MAX_MODELS];
    int model_count, rounds, threads;
    double fma_gflops;       /* median of the calibrations */
    double sgemm_gflops;     /* plain sgemm over the dense step's products, time-weighted, median of rounds */
    double dense_of_sgemm;   /* median over rounds of dense step's GFLOP/s / sgemm_gflops */
    double statistics_share; /* seconds of routing statistics / seconds of a top-1 step */
};

/* Source A's model at its published size (V 10000, D 256, 6 layers, T 256, batch 16, dropout 0.1, AdamW, clip
 * 1). */
moe_status bench_steps_run(const struct bench_options *options, struct bench_steps *out_steps, moe_err *err);

struct bench_gemm {
    const char *what;
    int64_t m, n, k;
    double gflops, of_fma; /* plain sgemm at full size, all threads; fraction of the FMA rate */
};

struct bench_gemms {
    struct bench_gemm items[BENCH_MAX_GEMMS];
    int count, threads;
    double fma_gflops, total_gflops; /* total: time-weighted over a dense step */
};

/* Every matrix product of a dense step of that model. */
moe_status bench_gemms_run(const struct bench_options *options, struct bench_gemms *out_gemms, moe_err *err);

#endif
