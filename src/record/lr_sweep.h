/* lr_sweep.h - the short runs of a learning-rate sweep: their names, their result, and the rate they suggest.
 *
 * A sweep trains one experiment at several learning rates for the same few steps. Its runs are called
 * lr_sweep.EXPERIMENT@train.lr=RATE (or ...,train.lr=RATE where EXPERIMENT has axis values already). No
 * experiment's own name has a dot, so they cannot be taken for runs of a suite.
 *
 * The result of a run is the mean loss, as minimised, of its last LR_SWEEP_LAST_STEPS steps. A run has
 * diverged if a loss or gradient was not finite, or if its result is above the loss of its first step, which
 * no update has touched. A rate at which any seed diverged is no candidate. Of the candidates,
 *   suggested: the rate with the smallest mean result (what source D's sweep looks for);
 *   largest:   the largest rate whose excess over the suggested one, paired by seed, is at most twice the
 *              excess's standard error. It needs two seeds.
 *
 * It stands in this room because both programs need it, and no other room is seen by both.
 */
#ifndef RECORD_LR_SWEEP_H
#define RECORD_LR_SWEEP_H

#include "record/reader.h"

#define LR_SWEEP_PREFIX     "lr_sweep."
#define LR_SWEEP_LAST_STEPS 10
#define LR_SWEEP_NAME_MAX   128
#define LR_SWEEP_RATES_MAX  64
#define LR_SWEEP_SEEDS_MAX  1000       /* of one rate */
#define LR_SWEEP_DIVERGED   "diverged" /* outcome of a run that was sealed at a number that was not finite */

/* MOE_ECONFIG if the name would be too long. */
moe_status lr_sweep_format_name(const char *experiment, double rate, char out[LR_SWEEP_NAME_MAX],
                                moe_err *err);

/* True if this is the name of a sweep's run; then its experiment and rate (> 0, finite). */
bool lr_sweep_parse_name(const char *name, char out_experiment[LR_SWEEP_NAME_MAX], double *out_rate);

/* One run. */
struct lr_sweep_run {
    double rate;
    uint64_t seed;
    int64_t max_steps, warmup_steps; /* as configured */
    int64_t steps;                   /* made */
    double first_loss;               /* of step 1, nats per token */
    double train_loss;               /* the result; that of the last steps there are if the run diverged */
    double validation_loss;          /* of the last evaluation; NaN if there was none */
    bool diverged, finite;           /* finite: it made all its steps */
};

/* MOE_EFORMAT if the run is none of a sweep, or has no step. */
moe_status lr_sweep_run_of(struct run_reader *reader, struct lr_sweep_run *out_run, moe_err *err);

/* All seeds of one rate. Means are over those that did not diverge, NaN if there is none. */
struct lr_sweep_rate {
    double rate;
    int32_t first, seeds; /* runs[first .. first + seeds - 1] of the sorted array */
    int32_t diverged;     /* how many of them */
    double train_loss, validation_loss;
    double excess, excess_error; /* over the suggested rate, paired by seed, and its standard error; NaN:
                                    none in common, less than two */
};

struct lr_sweep_summary {
    struct lr_sweep_rate rates[LR_SWEEP_RATES_MAX]; /* ascending */
    int32_t count;
    int32_t seeds;     /* most seeds of a rate: one with fewer is no candidate */
    int32_t suggested; /* index of a rate; -1 if there is no candidate */
    int32_t largest;   /* index; -1 if no rate has two seeds */
};

/* Sorts the runs by rate and seed, and sums them up. MOE_EMISMATCH: they were not all to make the same steps.
 * MOE_EARG: more rates, or seeds of one, than there is room for. */
moe_status lr_sweep_summarize(struct lr_sweep_run *runs, int32_t count, struct lr_sweep_summary *out_summary,
                              moe_err *err);

#endif
