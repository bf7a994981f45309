#include "record/load_impl.h"

#include <stdlib.h>
#include <string.h>

moe_status load_damaged(const struct gathered *g, moe_err *err, const char *object, const char *expected) {
    return moe_fail(err, MOE_EFORMAT,
                    "%s: %s: expected %s; the file is damaged or no run file of this version", g->path,
                    object, expected);
}

moe_status load_text(const struct gathered *g, hid_t object, bool attribute, const char *name, size_t limit,
                     char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    size_t size;
    const hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object);
    const hid_t space = attribute ? H5Aget_space(object) : H5Dget_space(object);
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Sget_simple_extent_type(space) != H5S_SCALAR) {
        status = load_damaged(g, err, name, "a fixed-length string");
        goto out;
    }
    size = H5Tget_size(type);
    moe_check(size >= 1 && size <= limit, err, MOE_EFORMAT,
              "%s: %s: a string of %zu bytes, at most %zu are allowed", g->path, name, size, limit);
    text = calloc(1, size + 1);
    moe_check(text != NULL, err, MOE_ENOMEM, "%s: %s: no memory for %zu bytes", g->path, name, size);
    hdf_check(attribute ? H5Aread(object, type, text)
                        : H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text),
              err, MOE_EFORMAT, g->path, "read a string");
    *out_text = text;
    text = NULL;
out:
    free(text);
    hdf_close(space);
    hdf_close(type);
    return status;
}

moe_status load_number(const struct gathered *g, hid_t object, const char *name, hid_t memory_type,
                       void *value, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_INTEGER ||
        H5Sget_simple_extent_type(space) != H5S_SCALAR) {
        status = load_damaged(g, err, name, "an integer attribute");
        goto out;
    }
    hdf_check(H5Aread(attribute, memory_type, value), err, MOE_EFORMAT, g->path, "read an attribute");
out:
    hdf_close(space);
    hdf_close(type);
    hdf_close(attribute);
    return status;
}

bool load_only_hard_links(hid_t file, const char *path) {
    char part[RUN_MAX_PATH];
    for (const char *end = strchr(path + 1, '/');; end = strchr(end + 1, '/')) {
        H5L_info_t info;
        const size_t length = end == NULL ? strlen(path) : (size_t)(end - path);
        memcpy(part, path, length);
        part[length] = 0;
        if (H5Lget_info(file, part, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD) return false;
        if (end == NULL) return true;
    }
}

/* Only what run files use: no external or virtual storage, no filter that would be loaded from a plug-in. */
static bool plain_storage(hid_t dataset) {
    const hid_t list = H5Dget_create_plist(dataset);
    const H5D_layout_t layout = H5Pget_layout(list);
    const int filters = H5Pget_nfilters(list);
    bool plain = list >= 0 && filters >= 0 && H5Pget_external_count(list) == 0 &&
                 (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED);
    for (int i = 0; plain && i < filters; i++) {
        unsigned flags, values[8], configuration;
        size_t count = 8;
        const H5Z_filter_t filter =
            H5Pget_filter2(list, (unsigned)i, &flags, &count, values, 0, NULL, &configuration);
        plain =
            filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_FLETCHER32;
    }
    hdf_close(list);
    return plain;
}

moe_status load_open_dataset(const struct gathered *g, const char *path, hid_t *out_dataset, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID;
    if (!load_only_hard_links(g->file, path)) {
        status = load_damaged(g, err, path, "a dataset of that name");
        goto out;
    }
    dataset = H5Dopen2(g->file, path, H5P_DEFAULT);
    if (dataset < 0 || !plain_storage(dataset)) {
        status = load_damaged(g, err, path, "a dataset stored in this file");
        goto out;
    }
    *out_dataset = dataset;
    dataset = H5I_INVALID_HID;
out:
    hdf_close(dataset);
    return status;
}

moe_status load_dims(const struct gathered *g, hid_t dataset, const char *path, int rank, hsize_t dims[4],
                     moe_err *err) {
    moe_status status = MOE_OK;
    char expected[48];
    const hid_t space = H5Dget_space(dataset);
    if (space < 0 || H5Sget_simple_extent_type(space) != (rank == 0 ? H5S_SCALAR : H5S_SIMPLE) ||
        H5Sget_simple_extent_ndims(space) != rank || H5Sget_simple_extent_dims(space, dims, NULL) < 0) {
        snprintf(expected, sizeof expected, "%d dimensions", rank);
        status = load_damaged(g, err, path, expected);
        goto out;
    }
out:
    hdf_close(space);
    return status;
}
