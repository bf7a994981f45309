/* series_steps.h - series by optimizer step, part of analysis/series.h: what happens within an epoch. */
#ifndef ANALYSIS_SERIES_STEPS_H
#define ANALYSIS_SERIES_STEPS_H

#include "analysis/series.h"

/* Positions of such a series at most, for a figure. */
#define SERIES_STEP_BINS 100

/* Whether a name without its layer ("step_gini") is that of a series by step. */
bool series_steps_has(const char *stem);

/* A series by step. More than max_bins rows are averaged in max_bins runs of neighbours, positions too;
 * max_bins = 0: every row as it is. row: that of the layer axis, -1 = mean over all layers that route; of no
 * meaning for what has no layers. MOE_ENOTFOUND: no such series, or a routing series of a dense run. */
moe_status series_steps_of_run(struct run_list *list, const struct run_file *file, const char *stem,
                               int32_t row, int32_t max_bins, struct series *out, moe_err *err);

/* Whether the series has layers. */
bool series_steps_is_layered(const char *stem);

#endif
