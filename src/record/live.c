#define _GNU_SOURCE /* dup3, memfd_create */
#include "record/live.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/file.h"
#include "record/hdf.h"
#include "record/image.h"

struct live {
    char *path;
    struct run_axes axes;
    hid_t file;
    hid_t datasets[RUN_COLUMN_COUNT];
    hid_t log; /* RUN_COMMITS */
    int64_t rows[RUN_SERIES_COUNT];
    int64_t commits;
};

/* ---- the file before SWMR
 * ------------------------------------------------------------------------------------ */

/* Chunks are small, for HDF5 writes a chunk as a whole whenever one of its rows is flushed. */
static hsize_t chunk_rows(size_t row_bytes) {
    enum { CHUNK_BYTES = 4096, MOST_ROWS = 128 };
    const size_t rows = CHUNK_BYTES / row_bytes;
    return rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* dims[0] = rows, then the axes of a row; returns the rank. */
static int table_dims(const struct run_column *column, const struct run_axes *axes, int64_t rows,
                      hsize_t dims[4]) {
    int64_t row_dims[3];
    const int32_t rank = run_row_dims(column, axes, row_dims);
    dims[0] = (hsize_t)rows;
    for (int32_t i = 0; i < rank; i++)
        dims[i + 1] = (hsize_t)row_dims[i];
    return rank + 1;
}

/* What a dataset of a live file is made of. */
struct plan {
    const char *name, *units, *description;
    hid_t file_type, memory_type;
    int rank;
    hsize_t dims[4]; /* dims[0]: rows written at once */
    size_t row_bytes;
    const void *values;
};

static moe_status create_dataset(hid_t file, const struct plan *plan, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t space = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    hsize_t most[4], chunk[4];
    const hid_t properties = hdf_dataset_creation();
    memcpy(most, plan->dims, sizeof most);
    memcpy(chunk, plan->dims, sizeof chunk);
    most[0] = H5S_UNLIMITED;
    chunk[0] = chunk_rows(plan->row_bytes);
    hdf_check(H5Pset_chunk(properties, plan->rank, chunk), err, MOE_EIO, path, "lay out a dataset");
    space = H5Screate_simple(plan->rank, plan->dims, most);
    dataset = H5Dcreate2(file, plan->name, plan->file_type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, path, "create a dataset");
    moe_try(hdf_put_meaning(dataset, plan->units, plan->description, path, err));
    if (plan->dims[0] > 0)
        hdf_check(H5Dwrite(dataset, plan->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, plan->values), err,
                  MOE_EIO, path, "write a dataset");
out:
    hdf_close(dataset);
    hdf_close(space);
    hdf_close(properties);
    return status;
}

static moe_status create_column(hid_t file, const struct run_table *table, int32_t index, const char *path,
                                moe_err *err) {
    const struct run_column *column = &run_columns[index];
    const struct run_axes *axes = &table->begin.axes;
    char name[RUN_MAX_PATH];
    struct plan plan = {.name = name,
                        .units = column->units,
                        .description = column->description,
                        .file_type = hdf_file_type(column->type),
                        .memory_type = hdf_memory_type(column->type),
                        .row_bytes = run_row_bytes(column, axes),
                        .values = table->columns[index]};
    plan.rank = table_dims(column, axes, table->rows[column->series], plan.dims);
    run_column_path(column, name);
    return create_dataset(file, &plan, path, err);
}

/* The rows that a resumed run begins with are its commit 0. */
static moe_status create_log(hid_t file, const struct run_table *table, const char *path, moe_err *err) {
    static const int64_t at[RUN_SERIES_COUNT];
    struct run_commit first;
    const struct plan plan = {.name = RUN_COMMITS,
                              .units = "1",
                              .description =
                                  "rows of each series after each commit, and a check of those it added",
                              .file_type = H5T_STD_I64LE,
                              .memory_type = H5T_NATIVE_INT64,
                              .rank = 2,
                              .dims = {1, RUN_COMMIT_VALUES},
                              .row_bytes = sizeof first,
                              .values = &first};
    memcpy(first.rows, table->rows, sizeof first.rows);
    first.check = run_commit_check(&table->begin.axes, 0, table->rows, at, table->columns);
    return create_dataset(file, &plan, path, err);
}

/* Configuration, names and numbers are raw data, which HDF5 does not check without a filter. */
static moe_status put_head_check(hid_t file, const struct run_begin *begin, const char *path, moe_err *err) {
    const uint64_t check = run_head_check(begin);
    const hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    const moe_status status =
        hdf_put_int(root, "head_check", H5T_STD_U64LE, &check, H5T_NATIVE_UINT64, path, err);
    hdf_close(root);
    return status;
}

/* No dataset may be created once SWMR has started, so the file is made whole first. */
static moe_status write_start(hid_t file, const struct run_table *table, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(hdf_put_head(file, table, path, err));
    moe_try(put_head_check(file, &table->begin, path, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_has_series(&table->begin.axes, run_columns[i].series))
            moe_try(create_column(file, table, i, path, err));
    moe_try(create_log(file, table, path, err));
    moe_try(hdf_put_facts(file, table, path, err));
out:
    return status;
}

/* ---- appending
 * ----------------------------------------------------------------------------------------------- */

/* Rows go straight to the file: with a chunk cache, a flush would write each row's whole chunk. */
static hid_t dataset_access(void) {
    const hid_t list = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(list, 1, 0, 1.0);
    return list;
}

static moe_status open_swmr(struct live *live, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t access = hdf_access(), uncached = dataset_access();
    live->file = H5Fopen(live->path, H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE, access);
    hdf_check(live->file, err, MOE_EIO, live->path, "open the file for appending");
    live->log = H5Dopen2(live->file, RUN_COMMITS, uncached);
    hdf_check(live->log, err, MOE_EIO, live->path, "open a dataset for appending");
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        char name[RUN_MAX_PATH];
        if (!run_has_series(&live->axes, run_columns[i].series)) continue;
        run_column_path(&run_columns[i], name);
        live->datasets[i] = H5Dopen2(live->file, name, uncached);
        hdf_check(live->datasets[i], err, MOE_EIO, live->path, "open a dataset for appending");
    }
out:
    hdf_close(uncached);
    hdf_close(access);
    return status;
}

static struct live *new_live(const char *path, const struct run_table *table) {
    struct live *live = calloc(1, sizeof *live);
    if (live == NULL) return NULL;
    live->path = strdup(path);
    live->file = H5I_INVALID_HID;
    live->log = H5I_INVALID_HID;
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        live->datasets[i] = H5I_INVALID_HID;
    live->axes = table->begin.axes;
    live->commits = 1;
    memcpy(live->rows, table->rows, sizeof live->rows);
    return live;
}

moe_status live_create(const char *path, const struct run_table *table, struct live **out_live,
                       moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size;
    struct live *live = new_live(path, table);
    moe_check(live != NULL && live->path != NULL, err, MOE_ENOMEM, "%s: no memory for a run file", path);
    moe_try(image_build(table, 0, write_start, path, &bytes, &size, err));
    moe_try(file_write_atomic(path, bytes, size, err));
    moe_try(open_swmr(live, err));
    *out_live = live;
    live = NULL;
out:
    free(bytes);
    live_close(live);
    return status;
}

/* Appends dims[0] - before rows to a dataset, which then has dims[0]. */
static moe_status append_rows(hid_t dataset, int rank, const hsize_t dims[4], int64_t before,
                              hid_t memory_type, const void *values, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t file_space = H5I_INVALID_HID, memory_space = H5I_INVALID_HID;
    hsize_t start[4] = {(hsize_t)before, 0, 0, 0}, slab[4];
    memcpy(slab, dims, sizeof slab);
    slab[0] -= (hsize_t)before;
    hdf_check(H5Dset_extent(dataset, dims), err, MOE_EIO, path, "append rows");
    file_space = H5Dget_space(dataset);
    memory_space = H5Screate_simple(rank, slab, NULL);
    hdf_check(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, slab, NULL), err, MOE_EIO, path,
              "append rows");
    hdf_check(H5Dwrite(dataset, memory_type, memory_space, file_space, H5P_DEFAULT, values), err, MOE_EIO,
              path, "append rows");
out:
    hdf_close(memory_space);
    hdf_close(file_space);
    return status;
}

static moe_status append_column(struct live *live, int32_t index, int64_t count, const void *values,
                                moe_err *err) {
    const struct run_column *column = &run_columns[index];
    const int64_t before = live->rows[column->series];
    hsize_t dims[4] = {0};
    const int rank = table_dims(column, &live->axes, before + count, dims);
    return append_rows(live->datasets[index], rank, dims, before, hdf_memory_type(column->type), values,
                       live->path, err);
}

moe_status live_commit(struct live *live, const int64_t count[RUN_SERIES_COUNT], const void *const *columns,
                       moe_err *err) {
    static const int64_t at[RUN_SERIES_COUNT];
    moe_status status = MOE_OK;
    const hsize_t dims[4] = {(hsize_t)live->commits + 1, RUN_COMMIT_VALUES};
    struct run_commit commit;
    hdf_quiet();
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (count[run_columns[i].series] > 0)
            moe_try(append_column(live, i, count[run_columns[i].series], columns[i], err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        commit.rows[i] = live->rows[i] + count[i];
    commit.check = run_commit_check(&live->axes, live->commits, count, at, columns);
    moe_try(append_rows(live->log, 2, dims, live->commits, H5T_NATIVE_INT64, &commit, live->path, err));
    hdf_check(H5Fflush(live->file, H5F_SCOPE_LOCAL), err, MOE_EIO, live->path, "flush the step's rows");
    memcpy(live->rows, commit.rows, sizeof live->rows);
    live->commits++;
out:
    return status;
}

int64_t live_rows(const struct live *live, enum run_series series) {
    return live->rows[series];
}

/* HDF5's own close would mark the file as cleanly closed even where its last writes failed, and then nobody
 * can open it. So its descriptor is turned to memory first: the file stays as the last flush left it, as if
 * the process had been killed, which is what readers and resuming are made for. False where there is no
 * memory for it (or file sizes are limited): then HDF5's close would fail and leave the library unusable. */
static bool turn_away(hid_t file) {
    hsize_t size = 0;
    int *descriptor = NULL;
    const int memory = memfd_create("closed run", MFD_CLOEXEC);
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    const bool roomy =
        memory >= 0 && H5Fget_filesize(file, &size) >= 0 && ftruncate(memory, (off_t)size) == 0;
    const int target = roomy ? memory : nowhere;
    const bool turned = target >= 0 && H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&descriptor) >= 0 &&
                        descriptor != NULL && dup3(target, *descriptor, O_CLOEXEC) >= 0;
    if (memory >= 0) close(memory);
    if (nowhere >= 0) close(nowhere);
    return turned && roomy;
}

void live_close(struct live *live) {
    if (live == NULL) return;
    hdf_quiet();
    if (live->file >= 0 && turn_away(live->file)) H5Fclose(live->file); /* else it stays open, to no effect */
    H5Eclear2(H5E_DEFAULT);
    free(live->path);
    free(live);
}
