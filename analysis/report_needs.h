/* report_needs.h - what a whole report still lacks. */
#ifndef ANALYSIS_REPORT_NEEDS_H
#define ANALYSIS_REPORT_NEEDS_H

#include "analysis/report.h"
#include "core/text.h"

/* Appends a line for each suite and protocol of which figures or tables that the runs concern have too few
 * runs: the command that trains those that are missing. Nothing if none is. */
moe_status report_missing_runs(struct report *report, struct text *out, moe_err *err);

#endif
