#include "record/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record/hdf.h"

/* What the child gathers before it writes the stream. */
struct gathered {
    const char *path;
    enum run_file_kind kind;
    hid_t file;
    uint64_t bytes_left; /* of max_bytes */
    struct stream_head head;
    void *columns[RUN_COLUMN_COUNT];
};

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

static moe_status damaged(const struct gathered *g, moe_err *err, const char *object, const char *expected) {
    return moe_fail(err, MOE_EFORMAT,
                    "%s: %s: expected %s; the file is damaged or no run file of this version", g->path,
                    object, expected);
}

/* The one fixed-length string of an attribute or dataset, malloc'ed with a 0 behind it. */
static moe_status read_text(const struct gathered *g, hid_t object, bool attribute, const char *name,
                            size_t limit, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    size_t size;
    const hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object);
    const hid_t space = attribute ? H5Aget_space(object) : H5Dget_space(object);
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Sget_simple_extent_type(space) != H5S_SCALAR) {
        status = damaged(g, err, name, "a fixed-length string");
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

static moe_status put_text_attribute(const struct gathered *g, hid_t object, const char *name, size_t limit,
                                     FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *text = NULL;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0) {
        status = damaged(g, err, name, "an attribute of that name");
        goto out;
    }
    moe_try(read_text(g, attribute, true, name, limit, &text, err));
    moe_try(put_item(out, text, strlen(text) + 1, err));
out:
    free(text);
    hdf_close(attribute);
    return status;
}

static moe_status read_number(const struct gathered *g, hid_t object, const char *name, hid_t memory_type,
                              void *value, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    if (type < 0 || space < 0 || H5Tget_class(type) != H5T_INTEGER ||
        H5Sget_simple_extent_type(space) != H5S_SCALAR) {
        status = damaged(g, err, name, "an integer attribute");
        goto out;
    }
    hdf_check(H5Aread(attribute, memory_type, value), err, MOE_EFORMAT, g->path, "read an attribute");
out:
    hdf_close(space);
    hdf_close(type);
    hdf_close(attribute);
    return status;
}

/* Every step of a path must be a hard link: soft and external links lead elsewhere. */
static bool only_hard_links(hid_t file, const char *path) {
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

static moe_status open_dataset(const struct gathered *g, const char *path, hid_t *out_dataset, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID;
    if (!only_hard_links(g->file, path)) {
        status = damaged(g, err, path, "a dataset of that name");
        goto out;
    }
    dataset = H5Dopen2(g->file, path, H5P_DEFAULT);
    if (dataset < 0 || !plain_storage(dataset)) {
        status = damaged(g, err, path, "a dataset stored in this file");
        goto out;
    }
    *out_dataset = dataset;
    dataset = H5I_INVALID_HID;
out:
    hdf_close(dataset);
    return status;
}

static moe_status put_text_dataset(const struct gathered *g, const char *path, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t dataset = H5I_INVALID_HID;
    char *text = NULL;
    moe_try(open_dataset(g, path, &dataset, err));
    moe_try(read_text(g, dataset, false, path, RUN_MAX_TEXT, &text, err));
    moe_try(put_item(out, text, strlen(text) + 1, err));
out:
    free(text);
    hdf_close(dataset);
    return status;
}

/* Rank and dimensions of a dataset, dims[0..rank-1]. */
static moe_status read_dims(const struct gathered *g, hid_t dataset, const char *path, int rank,
                            hsize_t dims[4], moe_err *err) {
    moe_status status = MOE_OK;
    char expected[48];
    const hid_t space = H5Dget_space(dataset);
    if (space < 0 || H5Sget_simple_extent_type(space) != (rank == 0 ? H5S_SCALAR : H5S_SIMPLE) ||
        H5Sget_simple_extent_ndims(space) != rank || H5Sget_simple_extent_dims(space, dims, NULL) < 0) {
        snprintf(expected, sizeof expected, "%d dimensions", rank);
        status = damaged(g, err, path, expected);
        goto out;
    }
out:
    hdf_close(space);
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
    moe_try(open_dataset(g, path, &dataset, err));
    moe_try(read_dims(g, dataset, path, 1, dims, err));
    type = H5Dget_type(dataset);
    width = type < 0 ? 0 : H5Tget_size(type);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || width < 1 ||
        width > RUN_MAX_NAME || dims[0] != (hsize_t)count) {
        status = damaged(g, err, path, "one short name for each domain");
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
        moe_try(open_dataset(g, path, &dataset, err));
        moe_try(read_dims(g, dataset, path, 1, dims, err));
        if (dims[0] != (hsize_t)count) {
            status = damaged(g, err, path, "one number for each MoE layer");
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
            status = damaged(g, err, "/provenance", "attributes with short names");
            goto out;
        }
        if (strcmp(name, "description") != 0) {
            moe_try(read_text(g, attribute, true, name, RUN_MAX_FACT, &value, err));
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
    moe_try(open_dataset(g, path, &dataset, err));
    type = H5Dget_type(dataset);
    if (type < 0 || H5Tequal(type, hdf_file_type(column->type)) <= 0) {
        status = damaged(g, err, path, "the type that the schema gives it");
        goto out;
    }
    moe_try(read_dims(g, dataset, path, rank, dims, err));
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
static moe_status gather_series(struct gathered *g, enum run_series series, moe_err *err) {
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
    moe_try(open_dataset(g, RUN_COMMITS, &dataset, err));
    type = H5Dget_type(dataset);
    moe_try(read_dims(g, dataset, RUN_COMMITS, 2, dims, err));
    if (type < 0 || H5Tequal(type, H5T_STD_I64LE) <= 0 || dims[1] != RUN_COMMIT_VALUES || dims[0] < 1 ||
        dims[0] > g->bytes_left / sizeof *log) {
        status = damaged(g, err, RUN_COMMITS, "a log of commits");
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
static moe_status cut_to_commits(struct gathered *g, moe_err *err) {
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

/* A reader of a live file that meets metadata being written tries again, after 1, 2, 4, ... ns. HDF5 would do
 * so 100 times, which on damaged metadata is for ever; 20 times take some milliseconds. */
enum { READ_ATTEMPTS = 20 };

static moe_status open_file(struct gathered *g, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t access = hdf_access();
    /* A plain open refuses a file whose writer was killed. */
    const unsigned flags = H5F_ACC_RDONLY | (g->kind == RUN_FILE_LIVE ? H5F_ACC_SWMR_READ : 0);
    hdf_check(H5Pset_metadata_read_attempts(access, READ_ATTEMPTS), err, MOE_EFORMAT, g->path,
              "open as HDF5");
    g->file = H5Fopen(g->path, flags, access);
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
    moe_try(read_number(g, root, "schema_version", H5T_NATIVE_INT32, &version, err));
    moe_check(version == RUN_SCHEMA_VERSION, err, MOE_EFORMAT,
              "%s: run file of schema version %d, this program reads version %d", g->path, version,
              RUN_SCHEMA_VERSION);
    moe_try(read_number(g, root, "moe_layers", H5T_NATIVE_INT32, &axes->moe_layers, err));
    moe_try(read_number(g, root, "experts", H5T_NATIVE_INT32, &axes->experts, err));
    moe_try(read_number(g, root, "domains", H5T_NATIVE_INT32, &axes->domains, err));
    moe_try(read_number(g, root, "hist_bins", H5T_NATIVE_INT32, &axes->hist_bins, err));
    moe_try(read_number(g, root, "seed", H5T_NATIVE_UINT64, &g->head.seed, err));
    if (g->kind == RUN_FILE_LIVE)
        moe_try(read_number(g, root, "head_check", H5T_NATIVE_UINT64, &g->head.head_check, err));
    if (run_axes_check(axes, &reason) != MOE_OK) {
        status = damaged(g, err, reason.message, "axes within the limits");
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

moe_status load_stream(const char *path, enum run_file_kind kind, uint64_t max_bytes, FILE *out,
                       moe_err *err) {
    moe_status status = MOE_OK;
    struct gathered g = {.path = path, .kind = kind, .file = H5I_INVALID_HID, .bytes_left = max_bytes};
    hid_t root = H5I_INVALID_HID, provenance = H5I_INVALID_HID;
    hdf_quiet();
    H5PLset_loading_state(0);
    moe_try(open_file(&g, err));
    root = H5Gopen2(g.file, "/", H5P_DEFAULT);
    hdf_check(root, err, MOE_EFORMAT, path, "open the root group");
    moe_check(only_hard_links(g.file, "/provenance"), err, MOE_EFORMAT,
              "%s: /provenance is missing; the file is damaged or no run file", path);
    provenance = H5Gopen2(g.file, "/provenance", H5P_DEFAULT);
    hdf_check(provenance, err, MOE_EFORMAT, path, "open /provenance");
    moe_try(gather_head(&g, root, provenance, err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        if (run_has_series(&g.head.axes, i)) moe_try(gather_series(&g, i, err));
    if (kind == RUN_FILE_LIVE) moe_try(cut_to_commits(&g, err));
    moe_try(put_all(&g, root, provenance, out, err));
out:
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        free(g.columns[i]);
    hdf_close(provenance);
    hdf_close(root);
    if (g.file >= 0) H5Fclose(g.file);
    return status;
}
