/* domain_losses.h - what the last evaluation of a run says in each of its domains. */
#ifndef ANALYSIS_DOMAIN_LOSSES_H
#define ANALYSIS_DOMAIN_LOSSES_H

#include "analysis/select.h"

/* A column of /eval ("/eval/loss_ce") at the last evaluation, in the row of a domain (run_list_domain()).
 * MOE_ENOTFOUND: the run was never evaluated in it. */
moe_status domain_last(struct run_list *list, const struct run_file *file, const char *column, int32_t domain,
                       double *out, moe_err *err);

/* Cross-entropy (nats per token) at the last evaluation in each domain of text: without the whole ("all") and
 * without questions. *out_values is malloc'ed [*out_count], in the order of the run file. MOE_ENOTFOUND: the
 * evaluation knows no domains. */
moe_status domain_losses(struct run_list *list, const struct run_file *file, double **out_values,
                         int32_t *out_count, moe_err *err);

#endif
