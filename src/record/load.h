/* load.h - a run file into memory, safely.
 *
 * HDF5 1.10 can crash, hang or ask for absurd amounts of memory on a damaged file. So a forked child with
 * limits on time and memory reads the file, checks everything against the schema and hands over plain arrays;
 * whatever happens to it is an error message here. A file is read once and whole: runs are small. Each file
 * has a child of its own, and several may be at work at a time.
 */
#ifndef RECORD_LOAD_H
#define RECORD_LOAD_H

#include <stdio.h>

#include "record/columns.h"

enum run_file_kind { RUN_FILE_SEALED = 0, RUN_FILE_LIVE = 1 };

struct run_snapshot {
    struct run_table table;
    void *mapping; /* what the table points into */
    size_t size;
    char *path;
    const char **domain_names;
    struct run_fact *facts;
};

/* A file that a child is reading. */
struct run_loading;

/* Begins to read a run file. A live file may be written meanwhile (by another process: HDF5 refuses to open a
 * file twice in one) and is read as of its last commit. MOE_ENOTFOUND, MOE_EFORMAT, MOE_EIO, MOE_ENOMEM. */
moe_status run_loading_start(const char *path, enum run_file_kind kind, struct run_loading **out_loading,
                             moe_err *err);

/* Waits for the child and takes what it read; the loading is over, whatever comes of it. MOE_EFORMAT (names
 * the dataset), MOE_EIO, MOE_ENOMEM. */
moe_status run_loading_finish(struct run_loading *loading, struct run_snapshot **out_snapshot, moe_err *err);

/* Ends a child that nobody waits for any more; NULL is allowed. */
void run_loading_abandon(struct run_loading *loading);

/* Start and finish. */
moe_status run_snapshot_load(const char *path, enum run_file_kind kind, struct run_snapshot **out_snapshot,
                             moe_err *err);
void run_snapshot_free(struct run_snapshot *snapshot); /* NULL is allowed */

/* ---- between the child (load.c) and its parent (snapshot.c) ---- */

/* Begins the stream; then come items, each a uint64 size, that many bytes and padding to 8: suite, source,
 * experiment, protocol, tier, status, outcome, digest, config JSON, TOML and counts (each with its
 * terminating 0), the domains' names, the layers' numbers, name and value of each fact, and each column of
 * the table that the run has. */
struct stream_head {
    struct run_axes axes;
    int32_t fact_count;
    int32_t reserved;
    uint64_t seed;
    uint64_t head_check; /* live files only */
    int64_t rows[RUN_SERIES_COUNT];
};

/* What the child reads: a live file at its path, the bytes of a sealed one, which have been checked. */
struct load_source {
    const char *path;
    enum run_file_kind kind;
    unsigned char *bytes; /* NULL for a live file */
    size_t size;
};

/* Reads the file with HDF5 and writes the stream. max_bytes bounds all arrays together. Runs in the child. */
moe_status load_stream(const struct load_source *source, uint64_t max_bytes, FILE *out, moe_err *err);

#endif
