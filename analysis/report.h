/* report.h - what everything in a report is made from: the runs of one tier, and the published numbers. */
#ifndef ANALYSIS_REPORT_H
#define ANALYSIS_REPORT_H

#include "analysis/published.h"
#include "analysis/select.h"

struct report {
    struct run_list *runs;
    const char *paper_dir;          /* "paper": published/, claims/, chapters */
    struct published *published[4]; /* of sources A, B, C, D; NULL until asked for */
};

/* Opens the runs. Published numbers are read when first asked for. Errors of run_list_open(). */
moe_status report_open(const struct run_selection *selection, const char *paper_dir,
                       struct report **out_report, moe_err *err);
void report_close(struct report *report); /* NULL is allowed */

/* Published numbers of a source ("A" to "D"), owned by the report. */
moe_status report_published(struct report *report, const char *source, struct published **out_published,
                            moe_err *err);

/* A number of a run's configuration by "section.key". MOE_ENOTFOUND. */
moe_status report_config_number(struct report *report, const struct run_file *file, const char *name,
                                double *out_value, moe_err *err);

/* Whether the configuration has this word ("true", "false" of a switch) there. It has not where a key is left
 * out, as younger keys are that stand at their default. */
moe_status report_config_is(struct report *report, const struct run_file *file, const char *name,
                            const char *word, bool *out_is, moe_err *err);

/* Exact entropy of the data generator in nats per token, the loss that no model can go below on fresh data;
 * NaN if it is not known (real text). */
moe_status report_entropy_floor(struct report *report, const struct run_file *file, double *out_value,
                                moe_err *err);

#endif
