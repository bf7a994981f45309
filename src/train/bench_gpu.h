/* bench_gpu.h - training steps of the suites' models on a GPU, as shares of what the GPU's matrix units reach
 * and of the dense model of the same suite, in one run.
 *
 * Any device will do (a test runs it on the CPU); the default list is what a GPU is for.
 */
#ifndef TRAIN_BENCH_GPU_H
#define TRAIN_BENCH_GPU_H

#include "train/experiment.h"

#define BENCH_GPU_MODELS 16
#define BENCH_GPU_ROUNDS 64

struct bench_gpu_options {
    const char *suites_dir, *device; /* device: as device_open() takes it */
    const char *tier;
    const char *const
        *experiments;         /* "SUITE/EXPERIMENT", a suite's dense model before its others; NULL with */
    int32_t experiment_count; /* 0: sources A's and D's, dense, then E:K = 8:1, 16:2, 32:4, 64:8 */
    const char *const *sets;  /* as in experiment_choice */
    int32_t set_count;
    int threads;    /* of the CPU device */
    int rounds;     /* optimizer steps of every model, after two of warming up */
    int32_t matrix; /* edge of the square products that are the yardstick */
};

struct bench_gpu_model {
    char name[2 * EXPERIMENT_NAME_MAX]; /* "moedl/c3_moedl_e32_k4" */
    int32_t experts, top_k;             /* 0 and 0: dense */
    int64_t parameters, active, tokens; /* tokens of a step */
    double flops_per_token;
    double tokens_per_second; /* median over rounds */
    double tflops, of_matrix; /* of tokens_per_second; share of matrix_tflops */
    double of_dense;          /* tokens/s over those of the suite's dense model; NAN if there was none */
    double flops_ratio; /* that model's FLOPs per token over this one's: of_dense if only FLOPs counted */
    double forward, backward, optimizer; /* seconds of a step, medians */
    double waits;                        /* of the host for the device, per step */
    int64_t passes, plans;               /* struct device_counts, since the device was opened */
};

struct bench_gpu {
    struct bench_gpu_model models[BENCH_GPU_MODELS];
    int count, rounds;
    int32_t matrix;
    double matrix_tflops; /* median of measurements before each model and after the last */
};

/* A step is one of training: micro-batches of random tokens forward and backward, routing statistics read,
 * gradient norms, clipping, AdamW. Errors: as device_open(), experiment_load(), learner_open(). */
moe_status bench_gpu_run(const struct bench_gpu_options *options, struct bench_gpu *out_bench, moe_err *err);

#endif
