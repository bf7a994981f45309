/* load_change.h - how much of the load moves between experts from one recorded training step to the next. */
#ifndef ANALYSIS_LOAD_CHANGE_H
#define ANALYSIS_LOAD_CHANGE_H

#include "analysis/series.h"

/* The shares of the experts, averaged over all layers that route, of two consecutive rows of /routing: half
 * the sum of their absolute differences, which is the share of the tokens that another expert got. Positions
 * are the steps of the later rows. MOE_ENOTFOUND: a dense run. Free with series_free(). */
moe_status load_change_of_run(struct run_list *list, const struct run_file *file, struct series *out,
                              moe_err *err);

#endif
