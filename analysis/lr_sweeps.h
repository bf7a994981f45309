/* lr_sweeps.h - the learning-rate sweeps among a report's runs (record/lr_sweep.h says what one is). */
#ifndef ANALYSIS_LR_SWEEPS_H
#define ANALYSIS_LR_SWEEPS_H

#include "analysis/select.h"
#include "analysis/stats.h"
#include "record/lr_sweep.h"

/* The sweep of one experiment under one protocol. */
struct lr_sweep_set {
    char experiment[LR_SWEEP_NAME_MAX];
    char protocol[32];
    struct lr_sweep_run *runs; /* [count], by rate and seed */
    int32_t count;
    struct lr_sweep_summary summary;
};

struct lr_sweeps {
    struct lr_sweep_set *sets; /* [count], in the order of the list */
    int32_t count;
};

/* All sweeps of a suite; there may be none. MOE_EMISMATCH: runs of one sweep differ in length. */
moe_status lr_sweeps_of(struct run_list *list, const char *suite, struct lr_sweeps *out, moe_err *err);
void lr_sweeps_free(struct lr_sweeps *sweeps);

/* Training or validation loss of the seeds of a rate that did not diverge, with a 95 % interval; n = 0 if
 * there is none. */
struct stats_estimate lr_sweep_estimate(const struct lr_sweep_set *set, int32_t rate, bool validation);

/* Training loss less that of the suggested rate, by seed, with its interval; NaN if none is suggested, or for
 * itself.
 */
struct stats_difference lr_sweep_excess(const struct lr_sweep_set *set, int32_t rate);

#endif
