/* domain_losses.h - the validation loss of a run in each domain of its evaluation. */
#ifndef ANALYSIS_DOMAIN_LOSSES_H
#define ANALYSIS_DOMAIN_LOSSES_H

#include "analysis/select.h"

/* Cross-entropy (nats per token) at the last evaluation, in each domain of text: without the whole ("all")
 * and without questions. *out_values is malloc'ed [*out_count], in the order of the run file. MOE_ENOTFOUND:
 * the evaluation knows no domains. */
moe_status domain_losses(struct run_list *list, const struct run_file *file, double **out_values,
                         int32_t *out_count, moe_err *err);

#endif
