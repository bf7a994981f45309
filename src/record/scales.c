#include "record/scales.h"

#include <stdlib.h>
#include <string.h>

/* Who refers to one scale. */
struct user {
    hobj_ref_t dataset;
    int32_t dimension;
};

static void row_axis_path(enum run_series series, char path[RUN_MAX_PATH]) {
    snprintf(path, RUN_MAX_PATH, "%s/%s", run_series_infos[series].group, run_series_infos[series].row_axis);
}

/* The scale of dimension d of a column. */
static void scale_path(const struct run_column *column, int dimension, char path[RUN_MAX_PATH]) {
    static const char *const fixed[] = {"/axes/layer", "/axes/expert", "/axes/share"};
    if (dimension == 0)
        row_axis_path(column->series, path);
    else
        snprintf(path, RUN_MAX_PATH, "%s", fixed[dimension - 1]);
}

static bool is_scale(const struct run_column *column) {
    return strcmp(column->name, run_series_infos[column->series].row_axis) == 0;
}

static moe_status put_dimension_list(hid_t h5, const struct run_column *column, const char *file,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID, attribute = H5I_INVALID_HID;
    hobj_ref_t scales[4];
    hvl_t lists[4];
    char path[RUN_MAX_PATH];
    const hsize_t rank = 1 + (hsize_t)column->shape;
    const hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ), space = H5Screate_simple(1, &rank, NULL);
    for (hsize_t i = 0; i < rank; i++) {
        scale_path(column, (int)i, path);
        hdf_check(H5Rcreate(&scales[i], h5, path, H5R_OBJECT, -1), err, MOE_EIO, file, "refer to a scale");
        lists[i] = (hvl_t){1, &scales[i]};
    }
    run_column_path(column, path);
    dataset = H5Dopen2(h5, path, H5P_DEFAULT);
    attribute = H5Acreate2(dataset, "DIMENSION_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT);
    hdf_check(attribute, err, MOE_EIO, file, "create DIMENSION_LIST");
    hdf_check(H5Awrite(attribute, type, lists), err, MOE_EIO, file, "write DIMENSION_LIST");
out:
    hdf_close(attribute);
    hdf_close(dataset);
    hdf_close(space);
    hdf_close(type);
    return status;
}

static hid_t user_type(bool packed) {
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(struct user));
    H5Tinsert(type, "dataset", offsetof(struct user, dataset), H5T_STD_REF_OBJ);
    H5Tinsert(type, "dimension", offsetof(struct user, dimension), H5T_NATIVE_INT32);
    if (packed) H5Tpack(type); /* no padding, whose bytes would be anything */
    return type;
}

static moe_status put_reference_list(hid_t scale, const struct user *users, hsize_t count, const char *file,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t file_type = user_type(true), memory_type = user_type(false);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    const hid_t attribute = H5Acreate2(scale, "REFERENCE_LIST", file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    hdf_check(attribute, err, MOE_EIO, file, "create REFERENCE_LIST");
    hdf_check(H5Awrite(attribute, memory_type, users), err, MOE_EIO, file, "write REFERENCE_LIST");
out:
    hdf_close(attribute);
    hdf_close(space);
    hdf_close(memory_type);
    hdf_close(file_type);
    return status;
}

/* Marks the dataset at path as a scale and lists every dimension that it measures. */
static moe_status put_scale(hid_t h5, const struct run_axes *axes, const char *path, const char *name,
                            const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    struct user users[4 * RUN_COLUMN_COUNT];
    hsize_t count = 0;
    const hid_t dataset = H5Dopen2(h5, path, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, file, "open a scale");
    moe_try(hdf_put_string(dataset, "CLASS", "DIMENSION_SCALE", file, err));
    moe_try(hdf_put_string(dataset, "NAME", name, file, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        const struct run_column *column = &run_columns[i];
        char used[RUN_MAX_PATH], column_path[RUN_MAX_PATH];
        if (!run_has_series(axes, column->series) || is_scale(column)) continue;
        run_column_path(column, column_path);
        for (int d = 0; d <= (int)column->shape; d++) {
            scale_path(column, d, used);
            if (strcmp(used, path) != 0) continue;
            hdf_check(H5Rcreate(&users[count].dataset, h5, column_path, H5R_OBJECT, -1), err, MOE_EIO, file,
                      "refer to a dataset");
            users[count++].dimension = d;
        }
    }
    if (count > 0) moe_try(put_reference_list(dataset, users, count, file, err));
out:
    hdf_close(dataset);
    return status;
}

moe_status scales_attach(hid_t h5, const struct run_axes *axes, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    char path[RUN_MAX_PATH];
    moe_try(put_scale(h5, axes, "/axes/domain", "domain", file, err));
    if (axes->moe_layers > 0) {
        moe_try(put_scale(h5, axes, "/axes/layer", "layer", file, err));
        moe_try(put_scale(h5, axes, "/axes/expert", "expert", file, err));
        moe_try(put_scale(h5, axes, "/axes/share", "share", file, err));
    }
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++) {
        if (!run_has_series(axes, i)) continue;
        row_axis_path(i, path);
        moe_try(put_scale(h5, axes, path, run_series_infos[i].row_axis, file, err));
    }
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_has_series(axes, run_columns[i].series) && !is_scale(&run_columns[i]))
            moe_try(put_dimension_list(h5, &run_columns[i], file, err));
out:
    return status;
}
