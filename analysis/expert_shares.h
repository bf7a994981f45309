/* expert_shares.h - how one layer's work is divided between its experts, at one moment of a run. */
#ifndef ANALYSIS_EXPERT_SHARES_H
#define ANALYSIS_EXPERT_SHARES_H

#include "analysis/select.h"

enum share_of {
    SHARE_OF_SLOTS, /* choices of the expert over all choices */
    SHARE_OF_MASS   /* its mean router probability (a classifier's: its gate) over the sum of them */
};

/* On the validation split, at the evaluation after optimizer step `step` (-1: the last). *out_shares is
 * malloc'ed
 * [*out_count], one for each expert that the layer has (0-based number of the layer, or a classifier's
 * level); they add up to 1, or are NaN where nothing was routed. MOE_ENOTFOUND: the layer does not route, or
 * there was no such evaluation. */
moe_status expert_shares_at(struct run_list *list, const struct run_file *file, enum share_of what,
                            int32_t layer, int64_t step, double **out_shares, int32_t *out_count,
                            moe_err *err);

/* On the training batches recorded between two shares of the training, 0 <= from < to <= 1 (0.75 and 1: the
 * last quarter), all of them together. At least one record is taken. Else as above. */
moe_status expert_shares_trained(struct run_list *list, const struct run_file *file, enum share_of what,
                                 int32_t layer, double from, double to, double **out_shares,
                                 int32_t *out_count, moe_err *err);

#endif
