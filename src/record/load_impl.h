/* load_impl.h - the inside of the loader, which runs in the forked child: load.c (what is read, and the
 * stream), load_object.c (single objects, checked), load_rows.c (series). */
#ifndef RECORD_LOAD_IMPL_H
#define RECORD_LOAD_IMPL_H

#include "record/hdf.h"
#include "record/load.h"

/* What the child gathers before it writes the stream. */
struct gathered {
    const char *path;
    enum run_file_kind kind;
    hid_t file;
    uint64_t bytes_left; /* of max_bytes */
    struct stream_head head;
    void *columns[RUN_COLUMN_COUNT];
};

/* ---- load_object.c ---- */

/* MOE_EFORMAT: what the object was expected to be. */
moe_status load_damaged(const struct gathered *g, moe_err *err, const char *object, const char *expected);

/* The one fixed-length string of an attribute or dataset, malloc'ed with a 0 behind it. */
moe_status load_text(const struct gathered *g, hid_t object, bool attribute, const char *name, size_t limit,
                     char **out_text, moe_err *err);

/* A scalar integer attribute. */
moe_status load_number(const struct gathered *g, hid_t object, const char *name, hid_t memory_type,
                       void *value, moe_err *err);

/* True if every step of a path is a hard link: soft and external links lead elsewhere. */
bool load_only_hard_links(hid_t file, const char *path);

/* Opens a dataset that is stored in this file and by plain means. */
moe_status load_open_dataset(const struct gathered *g, const char *path, hid_t *out_dataset, moe_err *err);

/* Rank and dimensions of a dataset, dims[0..rank-1]. */
moe_status load_dims(const struct gathered *g, hid_t dataset, const char *path, int rank, hsize_t dims[4],
                     moe_err *err);

/* ---- load_rows.c ---- */

/* Reads all columns of a series into g; its number of rows into the head. */
moe_status load_series(struct gathered *g, enum run_series series, moe_err *err);

/* Cuts a live run to its last commit that holds, as all before it do. */
moe_status load_cut_to_commits(struct gathered *g, moe_err *err);

#endif
