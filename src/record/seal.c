#include "record/seal.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "record/envelope.h"
#include "record/hdf.h"
#include "record/scales.h"

/* HDF5's core driver builds the file in memory that these callbacks own; what it gives back on closing is the
 * file. So HDF5 never meets a full disk here. */
struct image {
    unsigned char *bytes;
    size_t capacity;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *data) {
    (void)op;
    (void)data;
    return malloc(size);
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *data) {
    (void)op;
    (void)data;
    return memcpy(to, from, size);
}

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *data) {
    struct image *image = data;
    unsigned char *larger = realloc(bytes, size);
    (void)op;
    if (larger == NULL) return NULL;
    if (size > image->capacity) memset(larger + image->capacity, 0, size - image->capacity);
    image->capacity = size;
    return larger;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *data) {
    struct image *image = data;
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        image->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *same_data(void *data) {
    return data;
}

static herr_t keep_data(void *data) {
    (void)data;
    return 0;
}

static hid_t memory_access(struct image *image) {
    enum { INCREMENT = 1 << 20 };
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             same_data,    keep_data,    image};
    const hid_t access = hdf_access();
    if (H5Pset_fapl_core(access, INCREMENT, false) < 0 ||
        H5Pset_file_image_callbacks(access, &callbacks) < 0) {
        hdf_close(access);
        return H5I_INVALID_HID;
    }
    return access;
}

/* One chunk where it fits into a mebibyte, else as many rows as do. */
static hsize_t chunk_rows(int64_t rows, size_t row_bytes) {
    const int64_t most = (1 << 20) / (int64_t)row_bytes;
    return (hsize_t)(rows <= most ? rows : most < 1 ? 1 : most);
}

static herr_t set_filters(hid_t properties, int rank, const hsize_t chunk[4]) {
    enum { DEFLATE_LEVEL = 9 };
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

/* The end of the file as its superblock (version 3, behind the user block) tells it. */
static uint64_t end_of_file(const struct image *image) {
    enum { END_OFFSET = 28 };
    uint64_t end = 0;
    if (image->bytes != NULL && image->capacity >= ENVELOPE_SIZE + END_OFFSET + sizeof end)
        memcpy(&end, image->bytes + ENVELOPE_SIZE + END_OFFSET, sizeof end);
    return end;
}

moe_status seal_image(const struct run_table *table, unsigned char **out_bytes, size_t *out_size,
                      moe_err *err) {
    moe_status status = MOE_OK;
    struct image image = {0};
    hid_t access, creation, file;
    const char *path = table->begin.path;
    uint64_t size;
    hdf_quiet();
    access = memory_access(&image);
    creation = hdf_file_creation(ENVELOPE_SIZE);
    file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    hdf_check(file, err, MOE_ENOMEM, path, "seal");
    moe_try(write_all(file, table, path, err));
out:
    if (file >= 0 && H5Fclose(file) < 0 && status == MOE_OK) status = hdf_fail(err, MOE_ENOMEM, path, "seal");
    hdf_close(creation);
    hdf_close(access);
    size = end_of_file(&image);
    if (status == MOE_OK && (size <= ENVELOPE_SIZE || size > image.capacity))
        status = moe_fail(err, MOE_EFORMAT, "%s: cannot seal: HDF5 gives a file of %llu bytes", path,
                          (unsigned long long)size);
    if (status == MOE_OK) {
        envelope_fill(image.bytes, size);
        *out_bytes = image.bytes;
        *out_size = size;
    } else {
        free(image.bytes);
    }
    return status;
}

moe_status seal_write(const char *path, const struct run_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size;
    moe_try(seal_image(table, &bytes, &size, err));
    moe_try(file_write_atomic(path, bytes, size, err));
out:
    free(bytes);
    return status;
}
