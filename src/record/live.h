/* live.h - the file of a run in progress: HDF5 in SWMR mode, unfiltered, so that readers may follow it and a
 * kill at any moment leaves every flushed row readable. */
#ifndef RECORD_LIVE_H
#define RECORD_LIVE_H

#include "record/columns.h"

struct live;

/* Writes a new live file with the rows of table (temporary file, fsync, rename) and opens it for appending.
 */
moe_status live_create(const char *path, const struct run_table *table, struct live **out_live, moe_err *err);

/* Appends `count` rows to every dataset of a series; columns[i] holds the rows of run_columns[i]. After a
 * failure the file can only be closed. MOE_EIO. */
moe_status live_append(struct live *live, enum run_series series, int64_t count, const void *const *columns,
                       moe_err *err);

/* After it returns MOE_OK, every row appended is with the operating system: a kill loses none. */
moe_status live_flush(struct live *live, moe_err *err);

/* Frees it (NULL is allowed). MOE_EIO if HDF5 could not write its last words; the rows flushed before are
 * safe then too. */
moe_status live_close(struct live *live, moe_err *err);

/* Rows so far. */
int64_t live_rows(const struct live *live, enum run_series series);

#endif
