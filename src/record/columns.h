/* columns.h - the one table of the datasets of a run file, and a run held in memory in its terms.
 *
 * Writer, sealer, loader, reader and digest all walk run_columns, in its order; nothing else names a dataset.
 */
#ifndef RECORD_COLUMNS_H
#define RECORD_COLUMNS_H

#include "record/reader.h"
#include "record/schema.h"
#include "record/writer.h"

enum run_type { RUN_I64 = 0, RUN_I32, RUN_U16, RUN_F64, RUN_F32, RUN_TYPE_COUNT };

/* Axes behind the row axis. */
enum run_shape {
    RUN_SCALAR = 0,             /* [row] */
    RUN_LAYER = 1,              /* [row, layer] */
    RUN_LAYER_EXPERT = 2,       /* [row, layer, expert] */
    RUN_LAYER_EXPERT_SHARE = 3, /* [row, layer, expert, share bin] */
};

/* Where a column's values come from when a row is appended. */
enum run_origin {
    RUN_FROM_FIELD = 0,   /* the row struct's field at `offset` */
    RUN_FROM_POINTER = 1, /* the array that the row struct's pointer at `offset` names */
    RUN_FROM_LOAD = 2,    /* derived from load, field `offset` of struct routing_stats */
    RUN_FROM_DROPPED = 3, /* the sum of dropped_load over the experts */
};

struct run_column {
    enum run_series series;
    const char *name; /* within the series' group */
    enum run_type type;
    enum run_shape shape;
    enum run_origin origin;
    size_t offset;
    const char *units, *description;
};

#define RUN_ROUTING_COLUMNS 14
#define RUN_COLUMN_COUNT    (12 + 9 + 8 + 7 + 2 * RUN_ROUTING_COLUMNS)

extern const struct run_column run_columns[RUN_COLUMN_COUNT];

/* The log of a live file: a row for each commit, which is whole or not there. Rows torn by a kill, never
 * written by a full disk or changed since do not agree with it, and the run is what it was at the last commit
 * that they agree with. */
#define RUN_COMMITS "/commits"
struct run_commit {
    int64_t rows[RUN_SERIES_COUNT]; /* of each series, after the commit */
    uint64_t check;                 /* over the rows that it added */
};
#define RUN_COMMIT_VALUES ((int)(sizeof(struct run_commit) / sizeof(int64_t)))

struct run_series_info {
    const char *group;    /* "/train" */
    const char *row_axis; /* the column that is the scale of the row axis: "step" or "epoch" */
    const char *description;
    bool content; /* covered by the content digest; timings are not */
    bool routing; /* absent in a run without MoE layers */
};

extern const struct run_series_info run_series_infos[RUN_SERIES_COUNT];

/* Limits on what a file may claim; a run beyond them is refused when it begins and when it is read. */
enum {
    RUN_MAX_LAYERS = 4096,
    RUN_MAX_EXPERTS = 4096,
    RUN_MAX_DOMAINS = 4096,
    RUN_MAX_BINS = 1024,
    RUN_MAX_FACTS = 4096,
    RUN_MAX_NAME = 256,     /* bytes of a domain's or a fact's name, terminating 0 included */
    RUN_MAX_FACT = 32768,   /* bytes of a fact's value, terminating 0 included */
    RUN_MAX_TEXT = 1 << 26, /* bytes of a configuration */
    RUN_MAX_PATH = RUN_DATASET_PATH_MAX,
};
#define RUN_MAX_ROW_BYTES ((size_t)1 << 28)

/* Bytes of one value. */
size_t run_type_size(enum run_type type);

/* True if a run with these axes has this series. */
bool run_has_series(const struct run_axes *axes, enum run_series series);

/* Shape of one row, dims[0..2], without the row axis; returns its rank (0..3). */
int32_t run_row_dims(const struct run_column *column, const struct run_axes *axes, int64_t dims[3]);

/* Values of one row. */
int64_t run_row_values(const struct run_column *column, const struct run_axes *axes);

/* Bytes of one row. */
size_t run_row_bytes(const struct run_column *column, const struct run_axes *axes);

/* "/train/loss_ce" into path. */
void run_column_path(const struct run_column *column, char path[RUN_MAX_PATH]);

/* Index of the column of a series that cuts it on resuming ("step"). */
int32_t run_step_column(enum run_series series);

/* A run in memory: what begin was told, and the rows of every column. Pointers lead into `storage` or to what
 * the maker of the table keeps alive. */
struct run_table {
    struct run_begin begin; /* path, identity, axes, names, config, facts */
    const char *status;     /* "live" or "complete" */
    const char *outcome;    /* "" while live */
    const char *digest;     /* "" while live */
    int64_t rows[RUN_SERIES_COUNT];
    const void *columns[RUN_COLUMN_COUNT]; /* NULL for an absent series or no rows */
};

/* Checks lengths and ranges of what a run says of itself. MOE_EARG names the field. */
moe_status run_begin_check(const struct run_begin *begin, moe_err *err);

/* Checks axes against the limits above. MOE_EARG names the axis. */
moe_status run_axes_check(const struct run_axes *axes, moe_err *err);

/* The check of commit `number` (check.c). Of each series it added count rows; in columns[i], which belong to
 * run_columns[i], they begin at row at[series]. */
uint64_t run_commit_check(const struct run_axes *axes, int64_t number, const int64_t count[RUN_SERIES_COUNT],
                          const int64_t at[RUN_SERIES_COUNT], const void *const *columns);

/* Check of what does not grow and HDF5 does not check itself: configuration, names of domains, numbers of
 * layers. */
uint64_t run_head_check(const struct run_begin *begin);

/* The content digest of a table (digest.c): SHA-256, 64 hex digits. */
moe_status run_table_digest(const struct run_table *table, char digest_hex[65], moe_err *err);

#endif
