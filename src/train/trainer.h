/* trainer.h - one run from its configuration to its sealed file. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include <signal.h>

#include "device/backend.h"
#include "record/schema.h"
#include "train/experiment.h"

/* What a running run says about itself after every step. */
struct trainer_report {
    int64_t step, total_steps; /* total_steps: as if no early stop comes */
    int64_t epoch, max_epochs;
    double loss;              /* of this step, as minimised */
    double validation;        /* latest criterion; NaN before the first evaluation */
    double tokens_per_second; /* smoothed */
    double seconds_left;      /* at this speed, evaluations included; NaN at first */
};

struct trainer_options {
    const char *path;       /* X.h5 */
    const char *data_dir;   /* for text corpora; may be NULL */
    const char *suites_dir; /* a tokenizer that data_dir has not may lie in SUITES/SUITE; may be NULL */
    const char *device;     /* "cpu" */
    int threads;            /* 0 = all cores */
    bool portable;          /* the BLAS kernel is pinned; recorded in /provenance */
    bool keep_model;        /* leave the weights beside the run file: X.safetensors (train/model_file.h) */
    bool seal_diverged;     /* where divergence is a result: a number that is not finite ends the run, outcome
                               "diverged", and does not fail it */
    const volatile sig_atomic_t
        *stop; /* set by a signal: checkpoint and return MOE_EINTERRUPTED; may be NULL */
    void (*report)(void *user, const struct trainer_report *report); /* may be NULL */
    void *user;
};

struct trainer_result {
    char digest[65], outcome[32];
    int64_t steps, resumed_at; /* resumed_at: step from which it went on; 0 = from the start */
    double best;               /* best criterion; INFINITY if nothing was evaluated */
    char divergence[256];      /* what was not finite, if the run was sealed for that; else "" */
};

/* Trains, or goes on where an interrupted run stood, and seals. MOE_EEXIST if the run is complete. */
moe_status trainer_run(const struct experiment *e, const struct trainer_options *options,
                       struct trainer_result *out_result, moe_err *err);

/* runs/<tier>/<suite>/<experiment>.<protocol>.s<seed>.h5 below `root` ("runs"); runs of a learning-rate sweep
 * lie one folder deeper, in lr-sweep. malloc'ed. */
char *trainer_default_path(const char *root, const struct experiment *e);

#endif
