/* claims_names.h - what the names in an expression stand for.
 *
 * With an experiment behind '@', a number of the run of one seed:
 *     best_loss@dense, usage_entropy.2@top2     a measure (measures.h)
 *     eval_ce[]@dense, usage_entropy.2[]@top2   the values of a series (series.h)
 *     gini.deep[]@top2                          a series by layer over a group of layers: the mean of the
 *                                               first half (shallow) or last half (deep) of those that
 *                                               route, the least or the most of any
 *     load_change[]@top2                        load that moves from step to step (load_change.h)
 *     shares.2@top2                             each expert's share of layer 2's slots on the validation
 *                                               split at the end; shares.2.100: after step 100
 *     train_shares.2.75.100@top2                the same on training batches, from 75 % of them to 100 %
 *     mass.2@top2, train_mass.2.75.100@top2     the same of router probability (a classifier's: of gates)
 *     log.loss.100@flat                         a classifier's training loss, mean of the batches up to the
 *                                               evaluation at step 100; log.loss: up to the last. Also
 *                                               log.moe_loss, log.accuracy, log.seconds (train_log.h)
 *     domain_ce@dense                           validation loss in each domain of text, at the end
 *     config.train.batch_size@dense             a number of the configuration
 *     config_is.moe.router.sigmoid@top2         1 if the configuration has this word there, else
 *                                               0; true and false are words
 *     rows.routing.expert_updates@top2          rows of the dataset /routing/expert_updates
 *     entropy_floor@dense                       exact entropy of the data's generator; NaN for real text
 * "EXPERIMENT:PROTOCOL", in quotes, takes runs of that protocol instead of the one that is judged.
 * Without: margin.NAME (paper/claims/margins.toml), audit.GROUP.NAME (audit.h), else a published number or
 * array.
 */
#ifndef ANALYSIS_CLAIMS_NAMES_H
#define ANALYSIS_CLAIMS_NAMES_H

#include <jansson.h>

#include "analysis/audit.h"
#include "analysis/claims_expr.h"
#include "analysis/report.h"

/* Everything an expression of one source can speak of. */
struct claim_names {
    struct report *report;
    const char *suite;
    struct published *published; /* owned by the report */
    struct audit *audit;
    json_t *margins;
    char *margins_path;
};

/* Opens the published numbers, the audit and the margins of a source. suite must outlive it. */
moe_status claim_names_open(struct report *report, const char *source, const char *suite,
                            struct claim_names *out, moe_err *err);
void claim_names_close(struct claim_names *names);

/* An expression without runs. */
moe_status claim_number(const struct claim_names *names, const char *text, const char *place,
                        double *out_value, moe_err *err);

/* An expression for each seed that every experiment named in it has, by ascending seed. */
struct claim_sample {
    double *values;  /* [n], malloc'ed; may hold NaN */
    uint64_t *seeds; /* [n], malloc'ed */
    int32_t n;
};

/* MOE_ENOTFOUND names the experiments without runs under this protocol, or says that no seed is common. */
moe_status claim_sample(const struct claim_names *names, const char *text, const char *place,
                        const char *protocol, struct claim_sample *out, moe_err *err);
void claim_sample_free(struct claim_sample *sample);

#endif
