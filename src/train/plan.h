/* plan.h - which runs a suite asks for, and what each would cost, without allocating a model. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "record/writer.h"
#include "train/learner.h"

#define PLAN_SEEDS  3   /* of a run whose suite does not say how many */
#define PLAN_GFLOPS 100 /* of one core, where the tier does not say */

struct plan_request {
    const char *suites_dir, *suite, *tier;
    const char *protocol;     /* NULL: all that the suite declares */
    const char *only;         /* globs over run names, separated by commas (plan_selects()); NULL: all */
    const char *const *names; /* [name_count] these runs, by exact name, instead; NULL: what `only` says */
    int32_t name_count;
    const char *runs_dir; /* "runs" */
    uint64_t first_seed;
    int32_t seeds;         /* seeds first_seed .. first_seed + seeds - 1; 0: as many as the suite says */
    int32_t shard, shards; /* the I-th (1-based) of N parts of about equal cost; shards 1: all */
    const char *const *sets;
    int32_t set_count;
};

/* What the tier says of one core's speed with its models: products, the optimizer's parameters of each step,
 * and the experts of each layer and micro-batch, whose products are small. */
struct plan_speed {
    double gflops, ns_per_parameter, us_per_expert;
};

struct planned_run {
    struct experiment *experiment; /* without json, toml and sha256 */
    char *path;
    enum run_state state;
    char *damage; /* why its file cannot be used and what to do about it; NULL: it is no obstacle */
    struct learner_counts counts;
    double tokens;  /* training tokens if no early stop comes; 0 if only a file's length tells */
    double flops;   /* of all its training steps */
    double seconds; /* of one core, guessed from struct plan_speed; of 1e8 tokens where their number is not
                       known */
    int64_t memory; /* bytes: parameters, gradients, moments, activations */
};

struct plan {
    struct planned_run *runs; /* ordered by seed, then protocol, then as in the suite file */
    int32_t count;
    int32_t whole; /* runs of all shards */
    struct plan_speed speed;
};

/* Errors as experiment_load()'s; MOE_ENOTFOUND if nothing matches. A damaged run file is no error: its run
 * stands in the plan with `damage`, so that the others can be trained. Which runs a shard has depends on the
 * suite and the request alone, not on what is trained already. */
moe_status plan_make(const struct plan_request *request, struct plan *out_plan, moe_err *err);

/* Looks at a run's file again: sets state, or damage. Only its owner knows whether a damaged file can be
 * restored: it is noted and left, as is one that cannot be read. Errors: MOE_ENOMEM. */
moe_status plan_look(struct planned_run *run, moe_err *err);
void plan_free(struct plan *plan);

/* Tokens of training of one run, from the configuration alone: the corpus at its stated size. 0 if the size
 * is that of a file which has not been read. */
double plan_tokens(const struct experiment *e);

/* Whether one of the comma-separated globs fits a run's name. Behind '@' a comma before AXIS=VALUE or before
 * stars is part of the name: "grid@g=1_8,*,s=4,dense" are two globs. */
bool plan_selects(const char *globs, const char *name);

/* Deals `count` runs among shards 1 .. shards so that their costs are about equal: the costliest first, each
 * to the shard with the least so far, then with the fewest runs, then the lowest number. */
moe_status plan_deal(const double *costs, int32_t count, int32_t shards, int32_t *out_shards, moe_err *err);

#endif
