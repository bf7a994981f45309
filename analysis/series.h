/* series.h - what a run says epoch by epoch or step by step, and over seeds.
 *
 * By epoch (one value per epoch unless said otherwise):
 *   train_loss train_ce train_aux        mean over the epoch's training tokens (/train)
 *   eval_loss eval_ce eval_aux eval_accuracy eval_perplexity    after each evaluation, domain "all" (/eval)
 *   eval_answers                         accuracy in the domain of questions, after each evaluation
 *   usage_entropy token_entropy gini cv2 max_over_mean          on the validation split after each evaluation
 *                                                               (/routing_eval)
 *   forward_seconds backward_seconds optimizer_seconds step_seconds    sums over the epoch's steps (/timing)
 *   tokens_per_second                    training tokens of the epoch / its step_seconds
 * Positions are epochs done: 1 after the first. Evaluations inside an epoch lie in between.
 *
 * By step (at most 100 values, each the mean of neighbouring rows; positions are optimizer steps):
 *   step_train_loss step_train_ce step_grad_norm                (/train)
 *   step_router_grad_norm                all routers together, before clipping; step_router_grad_share: over
 *                                        step_grad_norm
 *   step_eval_loss step_eval_ce step_eval_accuracy    after each evaluation
 *   step_course_ce step_course_aux step_course_accuracy    of an image classifier: mean over the images that
 *                                        it trained on since the evaluation before
 *   step_wall_seconds                    a step without evaluation and checkpoint (/timing)
 *   step_usage_entropy step_token_entropy step_gini step_cv2 step_max_over_mean    on training batches, where
 *                                        recorded (/routing)
 *   step_dropped_share                   slots dropped for lack of capacity over all slots
 *
 * Those of routing are of one decoder layer L with ".L" behind the name (gini.2), without it the mean over
 * all layers that route.
 */
#ifndef ANALYSIS_SERIES_H
#define ANALYSIS_SERIES_H

#include "analysis/select.h"

/* Of one run. */
struct series {
    int32_t n;
    double *x, *y; /* [n] */
};

/* Of the runs of a group. A mean is given only for positions that every seed reached: runs that stop early
 * would bias it otherwise. */
struct series_group {
    int32_t seeds;
    struct series *runs;       /* [seeds], by ascending seed */
    int32_t common;            /* leading positions that all runs share */
    double *x;                 /* [common] */
    double *mean, *low, *high; /* [common]; the interval (95 %, Student) is NaN for one seed */
};

/* MOE_ENOTFOUND: no such series, or no such layer in this run, or it does not route. Free with series_free().
 */
moe_status series_of_run(struct run_list *list, const struct run_file *file, const char *name,
                         struct series *out, moe_err *err);
void series_free(struct series *s);

/* The same for each run of a group, and the mean. MOE_ENOTFOUND if the group is empty. */
moe_status series_of_group(struct run_list *list, const struct run_group *group, const char *name,
                           struct series_group *out, moe_err *err);
void series_group_free(struct series_group *s);

/* The same with at most max_bins values of a series by step; 0: every row as it is. */
moe_status series_of_group_binned(struct run_list *list, const struct run_group *group, const char *name,
                                  int32_t max_bins, struct series_group *out, moe_err *err);

/* a - b, seed by seed over the seeds that both have, at the positions that both runs of a seed have.
 * MOE_ENOTFOUND if they share no seed. */
moe_status series_of_difference(struct run_list *list, const struct run_group *a, const struct run_group *b,
                                const char *name, struct series_group *out, moe_err *err);

/* Makes the mean of runs that are there, without one yet. */
moe_status series_group_begin(struct series_group *g, moe_err *err);

/* Computes mean, low and high again after the runs' values were changed (logarithms, differences). */
moe_status series_group_average(struct series_group *g, moe_err *err);

/* Shares of the slots that each expert of a decoder layer was given on the validation split, after each
 * evaluation. */
struct usage {
    int32_t n, experts;
    double *x;      /* [n] epochs done */
    double *shares; /* [n, experts], rows sum to 1 (or are 0) */
};

moe_status usage_of_run(struct run_list *list, const struct run_file *file, int32_t layer, struct usage *out,
                        moe_err *err);
void usage_free(struct usage *u);

/* Row of the layer axis of a decoder layer (0-based). MOE_ENOTFOUND names the layers that route. */
moe_status series_layer_row(struct run_list *list, const struct run_file *file, int32_t layer,
                            int32_t *out_row, moe_err *err);

#endif
