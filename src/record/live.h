/* live.h - the file of a run in progress: HDF5 in SWMR mode, unfiltered, so that readers may follow it and a
 * kill at any moment leaves every flushed row readable. */
#ifndef RECORD_LIVE_H
#define RECORD_LIVE_H

#include "record/columns.h"

struct live;

/* Writes a new live file with the rows of table (temporary file, fsync, rename) and opens it for appending.
 */
moe_status live_create(const char *path, const struct run_table *table, struct live **out_live, moe_err *err);

/* Appends count[series] rows to every dataset of each series, columns[i] holding those of run_columns[i], and
 * hands all to the operating system: when it returns MOE_OK, a kill loses none of them; when not, a reader
 * finds none of them, and the file can only be closed. MOE_EIO, MOE_ENOMEM. */
moe_status live_commit(struct live *live, const int64_t count[RUN_SERIES_COUNT], const void *const *columns,
                       moe_err *err);

/* Frees it (NULL is allowed). The file stays as the last flush left it. */
void live_close(struct live *live);

/* Rows so far. */
int64_t live_rows(const struct live *live, enum run_series series);

#endif
