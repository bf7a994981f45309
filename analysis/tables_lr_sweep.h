/* tables_lr_sweep.h - the table of source D's learning-rate sweeps. */
#ifndef ANALYSIS_TABLES_LR_SWEEP_H
#define ANALYSIS_TABLES_LR_SWEEP_H

#include "analysis/tables.h"

#define LR_SWEEP_COLUMNS 8
extern const struct table_column lr_sweep_columns[LR_SWEEP_COLUMNS];

/* A row for each experiment, protocol and rate. */
moe_status build_lr_sweep(struct report *report, struct sheet *sheet, moe_err *err);

#endif
