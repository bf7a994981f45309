#include "record/live.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "record/hdf.h"

struct live {
    char *path;
    struct run_axes axes;
    hid_t file;
    hid_t datasets[RUN_COLUMN_COUNT];
    int64_t rows[RUN_SERIES_COUNT];
};

/* Chunks are small, for HDF5 writes a chunk as a whole whenever one of its rows is flushed. */
static hsize_t chunk_rows(size_t row_bytes) {
    enum { CHUNK_BYTES = 4096, MOST_ROWS = 128 };
    const size_t rows = CHUNK_BYTES / row_bytes;
    return rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* A row whose values never reached the disk reads as what no run can contain. */
static herr_t set_fill(hid_t properties, enum run_type type) {
    const int64_t i64 = -1;
    const int32_t i32 = -1;
    const uint16_t u16 = UINT16_MAX;
    const double f64 = NAN;
    const float f32 = NAN;
    const void *const fills[RUN_TYPE_COUNT] = {
        [RUN_I64] = &i64, [RUN_I32] = &i32, [RUN_U16] = &u16, [RUN_F64] = &f64, [RUN_F32] = &f32};
    return H5Pset_fill_value(properties, hdf_memory_type(type), fills[type]);
}

/* dims[0] = rows, then the axes of a row; returns the rank. */
static int table_dims(const struct run_column *column, const struct run_axes *axes, hsize_t rows,
                      hsize_t dims[4]) {
    int64_t row_dims[3];
    const int32_t rank = run_row_dims(column, axes, row_dims);
    dims[0] = rows;
    for (int32_t i = 0; i < rank; i++)
        dims[i + 1] = (hsize_t)row_dims[i];
    return rank + 1;
}

static moe_status create_dataset(hid_t file, const struct run_column *column, const struct run_axes *axes,
                                 int64_t rows, const void *values, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t space = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    char name[RUN_MAX_PATH];
    hsize_t dims[4], most[4], chunk[4];
    const int rank = table_dims(column, axes, (hsize_t)rows, dims);
    const hid_t properties = hdf_dataset_creation();
    memcpy(most, dims, sizeof most);
    memcpy(chunk, dims, sizeof chunk);
    most[0] = H5S_UNLIMITED;
    chunk[0] = chunk_rows(run_row_bytes(column, axes));
    run_column_path(column, name);
    hdf_check(H5Pset_chunk(properties, rank, chunk), err, MOE_EIO, path, "lay out a dataset");
    hdf_check(set_fill(properties, column->type), err, MOE_EIO, path, "lay out a dataset");
    space = H5Screate_simple(rank, dims, most);
    dataset =
        H5Dcreate2(file, name, hdf_file_type(column->type), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, path, "create a dataset");
    moe_try(hdf_put_meaning(dataset, column->units, column->description, path, err));
    if (rows > 0)
        hdf_check(H5Dwrite(dataset, hdf_memory_type(column->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values),
                  err, MOE_EIO, path, "write a dataset");
out:
    hdf_close(dataset);
    hdf_close(space);
    hdf_close(properties);
    return status;
}

/* No dataset may be created once SWMR has started, so the file is made whole and closed first. */
static moe_status write_start(const char *path, const struct run_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t access = hdf_access(), creation = hdf_file_creation(0);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    hdf_check(file, err, MOE_EIO, path, "create the file");
    moe_try(hdf_put_head(file, table, path, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        const struct run_column *column = &run_columns[i];
        if (run_has_series(&table->begin.axes, column->series))
            moe_try(create_dataset(file, column, &table->begin.axes, table->rows[column->series],
                                   table->columns[i], path, err));
    }
    moe_try(hdf_put_facts(file, table, path, err));
out:
    if (file >= 0 && H5Fclose(file) < 0 && status == MOE_OK)
        status = hdf_fail(err, MOE_EIO, path, "write the file");
    hdf_close(creation);
    hdf_close(access);
    return status;
}

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

moe_status live_create(const char *path, const struct run_table *table, struct live **out_live,
                       moe_err *err) {
    moe_status status = MOE_OK;
    const size_t size = strlen(path) + sizeof ".tmp";
    char *temp = malloc(size);
    struct live *live = calloc(1, sizeof *live);
    moe_check(temp != NULL && live != NULL, err, MOE_ENOMEM, "%s: no memory for a run file", path);
    live->file = H5I_INVALID_HID;
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        live->datasets[i] = H5I_INVALID_HID;
    live->axes = table->begin.axes;
    memcpy(live->rows, table->rows, sizeof live->rows);
    live->path = strdup(path);
    moe_check(live->path != NULL, err, MOE_ENOMEM, "%s: no memory for a run file", path);
    snprintf(temp, size, "%s.tmp", path);
    hdf_quiet();
    moe_try(write_start(temp, table, err));
    moe_try(file_publish(temp, path, err));
    moe_try(open_swmr(live, err));
    *out_live = live;
    live = NULL;
out:
    if (status != MOE_OK && temp != NULL) file_remove(temp, NULL);
    live_close(live, NULL);
    free(temp);
    return status;
}

static moe_status append_column(struct live *live, int32_t index, int64_t count, const void *values,
                                moe_err *err) {
    moe_status status = MOE_OK;
    hid_t file_space = H5I_INVALID_HID, memory_space = H5I_INVALID_HID;
    const struct run_column *column = &run_columns[index];
    const hid_t dataset = live->datasets[index];
    const int64_t before = live->rows[column->series];
    hsize_t start[4] = {(hsize_t)before, 0, 0, 0}, dims[4], slab[4];
    const int rank = table_dims(column, &live->axes, (hsize_t)(before + count), dims);
    memcpy(slab, dims, sizeof slab);
    slab[0] = (hsize_t)count;
    hdf_check(H5Dset_extent(dataset, dims), err, MOE_EIO, live->path, "append rows");
    file_space = H5Dget_space(dataset);
    memory_space = H5Screate_simple(rank, slab, NULL);
    hdf_check(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, slab, NULL), err, MOE_EIO,
              live->path, "append rows");
    hdf_check(H5Dwrite(dataset, hdf_memory_type(column->type), memory_space, file_space, H5P_DEFAULT, values),
              err, MOE_EIO, live->path, "append rows");
out:
    hdf_close(memory_space);
    hdf_close(file_space);
    return status;
}

moe_status live_append(struct live *live, enum run_series series, int64_t count, const void *const *columns,
                       moe_err *err) {
    moe_status status = MOE_OK;
    hdf_quiet();
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_columns[i].series == series) moe_try(append_column(live, i, count, columns[i], err));
    live->rows[series] += count;
out:
    return status;
}

moe_status live_flush(struct live *live, moe_err *err) {
    moe_status status = MOE_OK;
    hdf_quiet();
    hdf_check(H5Fflush(live->file, H5F_SCOPE_LOCAL), err, MOE_EIO, live->path, "flush the step's rows");
out:
    return status;
}

int64_t live_rows(const struct live *live, enum run_series series) {
    return live->rows[series];
}

moe_status live_close(struct live *live, moe_err *err) {
    moe_status status = MOE_OK;
    if (live == NULL) return status;
    hdf_quiet();
    if (live->file >= 0 && H5Fclose(live->file) < 0)
        status = hdf_fail(err, MOE_EIO, live->path, "write the end of the file");
    free(live->path);
    free(live);
    return status;
}
