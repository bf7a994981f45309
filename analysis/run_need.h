/* run_need.h - the runs that a figure or a table needs, and which of them are missing. */
#ifndef ANALYSIS_RUN_NEED_H
#define ANALYSIS_RUN_NEED_H

#include "analysis/select.h"

/* What a figure or a table needs before it begins. */
struct run_need {
    const char *suite;
    const char *const *experiments; /* [num_experiments]; a pattern, such as "lr_sweep.*", needs one match
                                       under one of the protocols */
    int32_t num_experiments;
    const char *const *protocols; /* [num_protocols] */
    int32_t num_protocols;
    const struct run_need *also; /* of the same suite: what runs under other protocols; NULL = no more */
    const char *domain;          /* of the evaluation, which a run of the suite must have; NULL = any */
};

/* Whether a report of these runs speaks of what needs this: there are runs of the suite with the domain,
 * or runs of its learning-rate sweeps for what needs those. Otherwise it leaves the figure or table out. */
bool run_list_concerns(const struct run_list *list, const struct run_need *need);

/* Calls `tell` for each group of the need that has no run. protocol NULL: a pattern that nothing fits. The
 * strings are those of the need. */
typedef void run_missing_fn(void *user, const char *suite, const char *experiment, const char *protocol);
void run_need_missing(const struct run_list *list, const struct run_need *need, run_missing_fn *tell,
                      void *user);

/* MOE_ENOTFOUND names the groups that have no run (the first twelve), the tier, the folders, and the command
 * that trains them. `what` is the figure or table: "figure a-entropy". */
moe_status run_list_require(const struct run_list *list, const struct run_need *need, const char *what,
                            moe_err *err);

#endif
