#include "record/load_impl.h"

#include <stdlib.h>
#include <string.h>

/* Reads rows [first, first + count) of a dataset into its place in values. */
static bool read_rows(hid_t dataset, hid_t memory_type, int rank, const hsize_t dims[4], int64_t first,
                      int64_t count, size_t row_bytes, unsigned char *values) {
    hsize_t start[4] = {(hsize_t)first, 0, 0, 0}, slab[4];
    memcpy(slab, dims, sizeof slab);
    slab[0] = (hsize_t)count;
    const hid_t file_space = H5Dget_space(dataset), memory_space = H5Screate_simple(rank, slab, NULL);
    const bool read = file_space >= 0 && memory_space >= 0 &&
                      H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, slab, NULL) >= 0 &&
                      H5Dread(dataset, memory_type, memory_space, file_space, H5P_DEFAULT,
                              values + (size_t)first * row_bytes) >= 0;
    hdf_close(memory_space);
    hdf_close(file_space);
    return read;
}

/* The rows at the beginning that can be read. In a live file whose disk was full, the last chunks were never
 * written. */
static int64_t readable_rows(hid_t dataset, hid_t memory_type, int rank, const hsize_t dims[4], int64_t rows,
                             size_t row_bytes, unsigned char *values) {
    int64_t first = 0;
    while (first < rows && read_rows(dataset, memory_type, rank, dims, first, 1, row_bytes, values))
        first++;
    return first;
}

/* Reads a column; *rows is the number of rows got. In a live file no more than `most` rows are wanted: those
 * that the columns of the series before it have. */
static moe_status gather_column(struct gathered *g, int32_t index, int64_t most, int64_t *rows,
                                moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    const struct run_column *column = &run_columns[index];
    const size_t row_bytes = run_row_bytes(column, &g->head.axes);
    int64_t row_dims[3];
    hsize_t dims[4] = {0};
    char path[RUN_MAX_PATH];
    const int rank = 1 + run_row_dims(column, &g->head.axes, row_dims);
    run_column_path(column, path);
    moe_try(load_open_dataset(g, path, &dataset, err));
    type = H5Dget_type(dataset);
    if (type < 0 || H5Tequal(type, hdf_file_type(column->type)) <= 0) {
        status = load_damaged(g, err, path, "the type that the schema gives it");
        goto out;
    }
    moe_try(load_dims(g, dataset, path, rank, dims, err));
    for (int i = 1; i < rank; i++)
        moe_check(dims[i] == (hsize_t)row_dims[i - 1], err, MOE_EFORMAT,
                  "%s: %s: dimension %d is %llu, expected %lld; the file is damaged", g->path, path, i,
                  (unsigned long long)dims[i], (long long)row_dims[i - 1]);
    moe_check(dims[0] <= g->bytes_left / row_bytes, err, MOE_EFORMAT,
              "%s: %s: claims %llu rows, more than a file of this size can hold; the file is damaged",
              g->path, path, (unsigned long long)dims[0]);
    g->bytes_left -= dims[0] * row_bytes;
    *rows = (int64_t)dims[0];
    if (g->kind == RUN_FILE_LIVE && *rows > most) *rows = most;
    if (*rows == 0) goto out;
    g->columns[index] = malloc((size_t)*rows * row_bytes);
    moe_check(g->columns[index] != NULL, err, MOE_ENOMEM, "%s: %s: no memory for %lld rows", g->path, path,
              (long long)*rows);
    if (!read_rows(dataset, hdf_memory_type(column->type), rank, dims, 0, *rows, row_bytes,
                   g->columns[index])) {
        if (g->kind == RUN_FILE_SEALED) {
            char what[RUN_MAX_PATH + 8];
            snprintf(what, sizeof what, "read %s", path);
            status = hdf_fail(err, MOE_EFORMAT, g->path, what);
            goto out;
        }
        *rows = readable_rows(dataset, hdf_memory_type(column->type), rank, dims, *rows, row_bytes,
                              g->columns[index]);
    }
out:
    hdf_close(type);
    hdf_close(dataset);
    return status;
}

/* Steps count from 1 and never fall. */
static int64_t ordered_rows(const int64_t *steps, int64_t rows) {
    int64_t i = 0;
    while (i < rows && steps[i] >= 1 && (i == 0 || steps[i] >= steps[i - 1]))
        i++;
    return i;
}

/* Reads the columns of a series. A kill between two datasets leaves one longer than the other: the rows that
 * all have are the series. */
moe_status load_series(struct gathered *g, enum run_series series, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t shortest = INT64_MAX, longest = 0;
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        int64_t rows = 0;
        if (run_columns[i].series != series) continue;
        moe_try(gather_column(g, i, shortest, &rows, err));
        if (rows < shortest) shortest = rows;
        if (rows > longest) longest = rows;
    }
    g->head.rows[series] = shortest;
    if (g->kind == RUN_FILE_LIVE) goto out;
    moe_check(shortest == longest && ordered_rows(g->columns[run_step_column(series)], shortest) == shortest,
              err, MOE_EFORMAT,
              "%s: %s: its datasets have between %lld and %lld rows, or their steps do not rise; the file is "
              "damaged",
              g->path, run_series_infos[series].group, (long long)shortest, (long long)longest);
out:
    return status;
}

static moe_status gather_log(struct gathered *g, struct run_commit **out_log, int64_t *out_count,
                             moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    struct run_commit *log = NULL;
    hsize_t dims[4] = {0};
    moe_try(load_open_dataset(g, RUN_COMMITS, &dataset, err));
    type = H5Dget_type(dataset);
    moe_try(load_dims(g, dataset, RUN_COMMITS, 2, dims, err));
    if (type < 0 || H5Tequal(type, H5T_STD_I64LE) <= 0 || dims[1] != RUN_COMMIT_VALUES || dims[0] < 1 ||
        dims[0] > g->bytes_left / sizeof *log) {
        status = load_damaged(g, err, RUN_COMMITS, "a log of commits");
        goto out;
    }
    log = malloc(dims[0] * sizeof *log);
    moe_check(log != NULL, err, MOE_ENOMEM, "%s: %s: no memory", g->path, RUN_COMMITS);
    *out_count = (int64_t)dims[0];
    if (!read_rows(dataset, H5T_NATIVE_INT64, 2, dims, 0, *out_count, sizeof *log, (unsigned char *)log))
        *out_count =
            readable_rows(dataset, H5T_NATIVE_INT64, 2, dims, *out_count, sizeof *log, (unsigned char *)log);
    *out_log = log;
    log = NULL;
out:
    free(log);
    hdf_close(type);
    hdf_close(dataset);
    return status;
}

/* True if what commit `number` added is there and is what it was. */
static bool holds(const struct gathered *g, int64_t number, const struct run_commit *commit,
                  const int64_t before[RUN_SERIES_COUNT]) {
    int64_t count[RUN_SERIES_COUNT];
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++) {
        if (commit->rows[i] < before[i] || commit->rows[i] > g->head.rows[i]) return false;
        count[i] = commit->rows[i] - before[i];
    }
    return run_commit_check(&g->head.axes, number, count, before, (const void *const *)g->columns) ==
           commit->check;
}

/* Cuts a live run to its last commit that holds, as all before it do. */
moe_status load_cut_to_commits(struct gathered *g, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_commit *log = NULL;
    int64_t count = 0, good = 0, rows[RUN_SERIES_COUNT] = {0};
    moe_try(gather_log(g, &log, &count, err));
    while (good < count && holds(g, good, &log[good], rows))
        memcpy(rows, log[good++].rows, sizeof rows);
    moe_check(good > 0, err, MOE_EFORMAT,
              "%s: its first rows are not those that were written; the file is damaged", g->path);
    memcpy(g->head.rows, rows, sizeof rows);
out:
    free(log);
    return status;
}
