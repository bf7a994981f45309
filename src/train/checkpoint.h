/* checkpoint.h - X.h5.ckpt: everything needed to go on, in one safetensors file with a checksum.
 *
 * Tensors: every parameter under its name, its moments under "adamw.m/NAME" and "adamw.v/NAME",
 * "routing.bias", "routing.expert_updates" and "routing.metered_load" [L, E]. Metadata: the configuration
 * (JSON), its SHA-256 and the progress below.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/learner.h"

/* Training batches since the latest evaluation; of classifiers. */
struct train_course {
    double ce, aux; /* sums over images */
    int64_t images, correct;
};

/* Where a run stands between two optimizer steps. */
struct train_progress {
    int64_t step;       /* optimizer steps done */
    int64_t epoch;      /* epoch the next step belongs to */
    int64_t epoch_step; /* steps of that epoch done */
    int64_t tokens;     /* training tokens seen */
    double best;        /* best criterion so far; INFINITY before the first evaluation */
    int64_t best_step;
    int32_t bad;    /* evaluations since */
    double balance; /* multiple of the balance weights that classifier.balance_target has come to */
    struct train_course course;
    bool finished;    /* the run has ended and only needs sealing */
    char outcome[32]; /* why, when finished */
    double epoch_train_seconds, epoch_eval_seconds,
        epoch_checkpoint_seconds; /* of the current epoch; not part of the digest */
};

/* What the trainer counts per expert: [L, E], host. */
struct checkpoint_counts {
    int64_t *expert_updates; /* steps in which the expert had a token */
    int64_t *metered_load;   /* load since the selection bias last moved */
};

moe_status checkpoint_save(const char *path, const struct learner *l, const struct train_progress *progress,
                           const struct checkpoint_counts *counts, moe_err *err);

/* Reads the progress only. MOE_ENOTFOUND if there is none; MOE_EMISMATCH if it belongs to another
 * configuration. */
moe_status checkpoint_peek(const char *path, const struct experiment *e, struct train_progress *out_progress,
                           moe_err *err);

/* Restores everything. MOE_EFORMAT if damaged: the message says how to begin the run again. */
moe_status checkpoint_load(const char *path, struct learner *l, struct train_progress *out_progress,
                           const struct checkpoint_counts *out_counts, moe_err *err);

#endif
