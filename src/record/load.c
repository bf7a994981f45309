#include "record/load_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static moe_status put_item(FILE *out, const void *data, uint64_t size, moe_err *err) {
    moe_status status = MOE_OK;
    static const char zeros[8];
    const size_t padding = (size_t)(-size & 7);
    const bool written = fwrite(&size, sizeof size, 1, out) == 1 && fwrite(data, 1, size, out) == size &&
                         fwrite(zeros, 1, padding, out) == padding;
    moe_check(written, err, MOE_EIO, "no memory to hold the run: %s", strerror(errno));
out:
    return status;
}

static moe_status put_text_attribute(const struct gathered *g, hid_t object, const char *name, size_t limit,
                                     FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) {
        status = load_damaged(g, err, name, "an attribute of that name");
        goto out;
    }
    moe_try(load_text(g, attribute, true, name, limit, &text, err));
    moe_try(put_item(out, text, strlen(text) + 1, err));
out:
    free(text);
    hdf_close(attribute);
    return status;
}

static moe_status put_text_dataset(const struct gathered *g, const char *path, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID;
    char *text = NULL;
    moe_try(load_open_dataset(g, path, &dataset, err));
    moe_try(load_text(g, dataset, false, path, RUN_MAX_TEXT, &text, err));
    moe_try(put_item(out, text, strlen(text) + 1, err));
out:
    free(text);
    hdf_close(dataset);
    return status;
}

static moe_status put_domains(const struct gathered *g, FILE *out, moe_err *err) {
    static const char path[] = "/axes/domain";
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    char *names = NULL, name[RUN_MAX_NAME + 1];
    hsize_t dims[4];
    size_t width;
    const int32_t count = g->head.axes.domains;
    moe_try(load_open_dataset(g, path, &dataset, err));
    moe_try(load_dims(g, dataset, path, 1, dims, err));
    type = H5Dget_type(dataset);
    width = type < 0 ? 0 : H5Tget_size(type);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || width < 1 ||
        width > RUN_MAX_NAME || dims[0] != (hsize_t)count) {
        status = load_damaged(g, err, path, "one short name for each domain");
        goto out;
    }
    names = calloc((size_t)count, width);
    moe_check(names != NULL, err, MOE_ENOMEM, "%s: %s: no memory", g->path, path);
    hdf_check(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, names), err, MOE_EFORMAT, g->path,
              "read /axes/domain");
    for (int32_t i = 0; i < count; i++) {
        memcpy(name, names + (size_t)i * width, width);
        name[width] = 0;
        moe_try(put_item(out, name, strlen(name) + 1, err));
    }
out:
    free(names);
    hdf_close(type);
    hdf_close(dataset);
    return status;
}

static moe_status put_layers(const struct gathered *g, FILE *out, moe_err *err) {
    static const char path[] = "/axes/layer";
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID;
    hsize_t dims[4];
    int32_t numbers[RUN_MAX_LAYERS] = {0};
    const int32_t count = g->head.axes.moe_layers;
    if (count > 0) {
        moe_try(load_open_dataset(g, path, &dataset, err));
        moe_try(load_dims(g, dataset, path, 1, dims, err));
        if (dims[0] != (hsize_t)count) {
            status = load_damaged(g, err, path, "one number for each MoE layer");
            goto out;
        }
        hdf_check(H5Dread(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers), err,
                  MOE_EFORMAT, g->path, "read /axes/layer");
    }
    moe_try(put_item(out, numbers, (uint64_t)count * sizeof numbers[0], err));
out:
    hdf_close(dataset);
    return status;
}

static moe_status put_facts(const struct gathered *g, hid_t provenance, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t attribute = H5I_INVALID_HID;
    char *value = NULL;
    for (int32_t i = 0, written = 0; written < g->head.fact_count; i++) {
        char name[RUN_MAX_NAME];
        ssize_t length;
        attribute =
            H5Aopen_by_idx(provenance, ".", H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, H5P_DEFAULT, H5P_DEFAULT);
        hdf_check(attribute, err, MOE_EFORMAT, g->path, "read an attribute of /provenance");
        length = H5Aget_name(attribute, sizeof name, name);
        if (length < 1 || length >= (ssize_t)sizeof name) {
            status = load_damaged(g, err, "/provenance", "attributes with short names");
            goto out;
        }
        if (strcmp(name, "description") != 0) {
            moe_try(load_text(g, attribute, true, name, RUN_MAX_FACT, &value, err));
            moe_try(put_item(out, name, strlen(name) + 1, err));
            moe_try(put_item(out, value, strlen(value) + 1, err));
            free(value);
            value = NULL;
            written++;
        }
        hdf_close(attribute);
        attribute = H5I_INVALID_HID;
    }
out:
    free(value);
    hdf_close(attribute);
    return status;
}

/* A reader of a live file that meets metadata being written tries again, after 1, 2, 4, ... ns. HDF5 would do
 * so 100 times, which on damaged metadata is for ever; 20 times take some milliseconds. */
enum { READ_ATTEMPTS = 20 };

static moe_status open_file(struct gathered *g, const struct load_source *source, moe_err *err) {
    enum { INCREMENT = 1 << 16 };
    moe_status status = MOE_OK;
    const hid_t access = hdf_access();
    /* A plain open refuses a file whose writer was killed. */
    const unsigned flags = H5F_ACC_RDONLY | (g->kind == RUN_FILE_LIVE ? H5F_ACC_SWMR_READ : 0);
    hdf_check(H5Pset_metadata_read_attempts(access, READ_ATTEMPTS), err, MOE_EFORMAT, g->path,
              "open as HDF5");
    if (g->kind == RUN_FILE_SEALED) {
        hdf_check(H5Pset_fapl_core(access, INCREMENT, false), err, MOE_ENOMEM, g->path, "open as HDF5");
        hdf_check(H5Pset_file_image(access, source->bytes, source->size), err, MOE_ENOMEM, g->path,
                  "open as HDF5");
    }
    g->file = H5Fopen(g->kind == RUN_FILE_SEALED ? HDF_NO_FILE : g->path, flags, access);
    hdf_check(g->file, err, MOE_EFORMAT, g->path, "open as HDF5");
out:
    hdf_close(access);
    return status;
}

static moe_status gather_head(struct gathered *g, hid_t root, hid_t provenance, moe_err *err) {
    moe_status status = MOE_OK;
    moe_err reason = {0};
    int32_t version = 0;
    H5O_info_t info;
    struct run_axes *axes = &g->head.axes;
    moe_try(load_number(g, root, "schema_version", H5T_NATIVE_INT32, &version, err));
    moe_check(version == RUN_SCHEMA_VERSION, err, MOE_EFORMAT,
              "%s: run file of schema version %d, this program reads version %d", g->path, version,
              RUN_SCHEMA_VERSION);
    moe_try(load_number(g, root, "moe_layers", H5T_NATIVE_INT32, &axes->moe_layers, err));
    moe_try(load_number(g, root, "experts", H5T_NATIVE_INT32, &axes->experts, err));
    moe_try(load_number(g, root, "domains", H5T_NATIVE_INT32, &axes->domains, err));
    moe_try(load_number(g, root, "hist_bins", H5T_NATIVE_INT32, &axes->hist_bins, err));
    moe_try(load_number(g, root, "seed", H5T_NATIVE_UINT64, &g->head.seed, err));
    if (g->kind == RUN_FILE_LIVE)
        moe_try(load_number(g, root, "head_check", H5T_NATIVE_UINT64, &g->head.head_check, err));
    if (run_axes_check(axes, &reason) != MOE_OK) {
        status = load_damaged(g, err, reason.message, "axes within the limits");
        goto out;
    }
    hdf_check(H5Oget_info2(provenance, &info, H5O_INFO_NUM_ATTRS), err, MOE_EFORMAT, g->path,
              "read /provenance");
    moe_check(info.num_attrs >= 1 && info.num_attrs <= RUN_MAX_FACTS + 1, err, MOE_EFORMAT,
              "%s: /provenance: %llu attributes, expected 1 to %d", g->path,
              (unsigned long long)info.num_attrs, RUN_MAX_FACTS + 1);
    g->head.fact_count = (int32_t)info.num_attrs - 1; /* its description is none */
out:
    return status;
}

static moe_status put_all(struct gathered *g, hid_t root, hid_t provenance, FILE *out, moe_err *err) {
    static const struct {
        const char *name;
        size_t limit;
    } texts[] = {{"suite", 64}, {"source", 8},  {"experiment", 128}, {"protocol", 32},
                 {"tier", 16},  {"status", 16}, {"outcome", 32},     {"digest", 65}};
    moe_status status = MOE_OK;
    moe_try(put_item(out, &g->head, sizeof g->head, err));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        moe_try(put_text_attribute(g, root, texts[i].name, texts[i].limit, out, err));
    moe_try(put_text_dataset(g, "/config/json", out, err));
    moe_try(put_text_dataset(g, "/config/toml", out, err));
    moe_try(put_text_dataset(g, "/config/counts", out, err));
    moe_try(put_domains(g, out, err));
    moe_try(put_layers(g, out, err));
    moe_try(put_facts(g, provenance, out, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_has_series(&g->head.axes, run_columns[i].series))
            moe_try(put_item(out, g->columns[i] == NULL ? "" : g->columns[i],
                             (uint64_t)g->head.rows[run_columns[i].series] *
                                 run_row_bytes(&run_columns[i], &g->head.axes),
                             err));
    moe_check(fflush(out) == 0, err, MOE_EIO, "%s: no memory to hold the run: %s", g->path, strerror(errno));
out:
    return status;
}

moe_status load_stream(const struct load_source *source, uint64_t max_bytes, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *path = source->path;
    struct gathered g = {
        .path = path, .kind = source->kind, .file = H5I_INVALID_HID, .bytes_left = max_bytes};
    hid_t root = H5I_INVALID_HID, provenance = H5I_INVALID_HID;
    hdf_quiet();
    H5PLset_loading_state(0);
    moe_try(open_file(&g, source, err));
    root = H5Gopen2(g.file, "/", H5P_DEFAULT);
    hdf_check(root, err, MOE_EFORMAT, path, "open the root group");
    moe_check(load_only_hard_links(g.file, "/provenance"), err, MOE_EFORMAT,
              "%s: /provenance is missing; the file is damaged or no run file", path);
    provenance = H5Gopen2(g.file, "/provenance", H5P_DEFAULT);
    hdf_check(provenance, err, MOE_EFORMAT, path, "open /provenance");
    moe_try(gather_head(&g, root, provenance, err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        if (run_has_series(&g.head.axes, i)) moe_try(load_series(&g, i, err));
    if (g.kind == RUN_FILE_LIVE) moe_try(load_cut_to_commits(&g, err));
    moe_try(put_all(&g, root, provenance, out, err));
out:
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        free(g.columns[i]);
    hdf_close(provenance);
    hdf_close(root);
    if (g.file >= 0) H5Fclose(g.file);
    return status;
}
