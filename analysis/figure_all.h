/* figure_all.h - drawing all figures of a report, several at a time. */
#ifndef ANALYSIS_FIGURE_ALL_H
#define ANALYSIS_FIGURE_ALL_H

#include "analysis/figure.h"

/* Draws every figure that the report's runs concern (run_list_concerns()) into its file below folder, in a
 * process for each core, four at most. Whose process draws a figure changes nothing in it. Of several
 * failures the one that comes first in the registry is reported; what has been drawn stays. MOE_EIO: a
 * process was killed. */
moe_status figure_write_all(struct report *report, const char *folder, moe_err *err);

#endif
