/* plan.h - which runs a suite asks for, and what each would cost, without allocating a model. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "record/writer.h"
#include "train/learner.h"

struct plan_request {
    const char *suites_dir, *suite, *tier;
    const char *protocol;     /* NULL: all that the suite declares */
    const char *only;         /* globs over experiment names, separated by commas; NULL: all */
    const char *const *names; /* [name_count] these runs, by exact name, instead; NULL: what `only` says */
    int32_t name_count;
    const char *runs_dir; /* "runs" */
    uint64_t first_seed;
    int32_t seeds;         /* seeds first_seed .. first_seed + seeds - 1 */
    int32_t shard, shards; /* of N shards, every N-th run from number I (1-based); shards 1: all */
    const char *const *sets;
    int32_t set_count;
};

struct planned_run {
    struct experiment *experiment;
    char *path;
    enum run_state state;
    struct learner_counts counts;
    double tokens;  /* training tokens if no early stop comes */
    double flops;   /* of all its training steps */
    int64_t memory; /* bytes: parameters, gradients, moments, activations */
};

struct plan {
    struct planned_run *runs; /* ordered by seed, then protocol, then as in the suite file */
    int32_t count;
};

/* Errors as experiment_load()'s; MOE_ENOTFOUND if nothing matches. */
moe_status plan_make(const struct plan_request *request, struct plan *out_plan, moe_err *err);
void plan_free(struct plan *plan);

/* Tokens of training of one run, from the configuration alone: the corpus at its stated size. 0 if the size
 * is that of a file which has not been read. */
double plan_tokens(const struct experiment *e);

#endif
