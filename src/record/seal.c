#include "record/seal.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "record/envelope.h"
#include "record/hdf.h"
#include "record/image.h"
#include "record/scales.h"

/* One chunk where it fits into a mebibyte, else as many rows as do. */
static hsize_t chunk_rows(int64_t rows, size_t row_bytes) {
    const int64_t most = (1 << 20) / (int64_t)row_bytes;
    return (hsize_t)(rows <= most ? rows : most < 1 ? 1 : most);
}

static herr_t set_filters(hid_t properties, int rank, const hsize_t chunk[4]) {
    enum { DEFLATE_LEVEL = 6 };
    if (H5Pset_chunk(properties, rank, chunk) < 0 || H5Pset_shuffle(properties) < 0 ||
        H5Pset_deflate(properties, DEFLATE_LEVEL) < 0)
        return -1;
    return H5Pset_fletcher32(properties);
}

static moe_status create_column(hid_t h5, const struct run_table *table, int32_t index, const char *file,
                                moe_err *err) {
    moe_status status = MOE_OK;
    hid_t space = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    const struct run_column *column = &run_columns[index];
    const int64_t rows = table->rows[column->series];
    int64_t row_dims[3];
    hsize_t dims[4] = {(hsize_t)rows}, chunk[4];
    char path[RUN_MAX_PATH];
    const int rank = 1 + run_row_dims(column, &table->begin.axes, row_dims);
    const hid_t properties = hdf_dataset_creation();
    for (int i = 1; i < rank; i++)
        dims[i] = (hsize_t)row_dims[i - 1];
    memcpy(chunk, dims, sizeof chunk);
    chunk[0] = chunk_rows(rows, run_row_bytes(column, &table->begin.axes));
    run_column_path(column, path);
    if (rows > 0) hdf_check(set_filters(properties, rank, chunk), err, MOE_EIO, file, "lay out a dataset");
    space = H5Screate_simple(rank, dims, NULL);
    dataset = H5Dcreate2(h5, path, hdf_file_type(column->type), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, file, "create a dataset");
    moe_try(hdf_put_meaning(dataset, column->units, column->description, file, err));
out:
    hdf_close(dataset);
    hdf_close(space);
    hdf_close(properties);
    return status;
}

static moe_status write_column(hid_t h5, const struct run_table *table, int32_t index, const char *file,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_column *column = &run_columns[index];
    hid_t dataset = H5I_INVALID_HID;
    char path[RUN_MAX_PATH];
    if (table->rows[column->series] == 0) goto out;
    run_column_path(column, path);
    dataset = H5Dopen2(h5, path, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, file, "open a dataset");
    hdf_check(H5Dwrite(dataset, hdf_memory_type(column->type), H5S_ALL, H5S_ALL, H5P_DEFAULT,
                       table->columns[index]),
              err, MOE_EIO, file, "write a dataset");
out:
    hdf_close(dataset);
    return status;
}

/* All headers before all data, and what may differ in size last, so that equal content lies at equal places.
 */
static moe_status write_all(hid_t h5, const struct run_table *table, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_axes *axes = &table->begin.axes;
    moe_try(hdf_put_head(h5, table, file, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_has_series(axes, run_columns[i].series)) moe_try(create_column(h5, table, i, file, err));
    moe_try(scales_attach(h5, axes, file, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_has_series(axes, run_columns[i].series)) moe_try(write_column(h5, table, i, file, err));
    moe_try(hdf_put_facts(h5, table, file, err));
out:
    return status;
}

moe_status seal_write(const char *path, const struct run_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size;
    moe_try(image_build(table, ENVELOPE_SIZE, write_all, path, &bytes, &size, err));
    envelope_fill(bytes, size);
    moe_try(file_write_atomic(path, bytes, size, err));
out:
    free(bytes);
    return status;
}
