#include "record/hdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hdf_quiet(void) {
    H5dont_atexit(); /* fails once the library is awake, which is as good */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *data) {
    char *reason = data;
    if (n == 0 && entry->desc != NULL) snprintf(reason, 512, "%s", entry->desc);
    return 0;
}

moe_status hdf_fail(moe_err *err, moe_status code, const char *file, const char *what) {
    char reason[512] = "no reason given by HDF5";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    if (strstr(reason, "No space left") != NULL || strstr(reason, "quota exceeded") != NULL)
        return moe_fail(err, MOE_EIO,
                        "%s: cannot %s: no space left on device; what was written before is unchanged: free "
                        "some space and run the same command again",
                        file, what);
    return moe_fail(err, code, "%s: cannot %s: %s", file, what, reason);
}

hid_t hdf_file_type(enum run_type type) {
    switch (type) {
    case RUN_I64:
        return H5T_STD_I64LE;
    case RUN_I32:
        return H5T_STD_I32LE;
    case RUN_U16:
        return H5T_STD_U16LE;
    case RUN_F64:
        return H5T_IEEE_F64LE;
    case RUN_F32:
        return H5T_IEEE_F32LE;
    default:
        return H5I_INVALID_HID;
    }
}

hid_t hdf_memory_type(enum run_type type) {
    switch (type) {
    case RUN_I64:
        return H5T_NATIVE_INT64;
    case RUN_I32:
        return H5T_NATIVE_INT32;
    case RUN_U16:
        return H5T_NATIVE_UINT16;
    case RUN_F64:
        return H5T_NATIVE_DOUBLE;
    case RUN_F32:
        return H5T_NATIVE_FLOAT;
    default:
        return H5I_INVALID_HID;
    }
}

void hdf_close(hid_t id) {
    if (id >= 0 && H5Iis_valid(id) > 0) H5Idec_ref(id);
}

/* Gives back the list, or closes it when a property could not be set. */
static hid_t if_all_set(hid_t list, herr_t worst) {
    if (worst >= 0) return list;
    hdf_close(list);
    return H5I_INVALID_HID;
}

static herr_t worse(herr_t a, herr_t b) {
    return a < b ? a : b;
}

hid_t hdf_access(void) {
    const hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    herr_t worst = H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110);
    worst = worse(worst, H5Pset_fclose_degree(list, H5F_CLOSE_STRONG));
    worst = worse(worst, H5Pset_file_locking(list, false, true));
    return if_all_set(list, worst);
}

/* Attributes and links stay in the object's header up to these numbers; beyond them HDF5 starts a heap and an
 * index. */
static herr_t set_compact(hid_t list) {
    enum { ATTRIBUTES = 64, LINKS = 32 };
    return worse(H5Pset_attr_phase_change(list, ATTRIBUTES, ATTRIBUTES / 2),
                 H5Pset_link_phase_change(list, LINKS, LINKS / 2));
}

hid_t hdf_file_creation(hsize_t userblock) {
    const hid_t list = H5Pcreate(H5P_FILE_CREATE);
    herr_t worst = H5Pset_userblock(list, userblock);
    worst = worse(worst, H5Pset_obj_track_times(list, false));
    worst = worse(worst, set_compact(list));
    return if_all_set(list, worst);
}

hid_t hdf_group_creation(void) {
    const hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    return if_all_set(list, worse(H5Pset_obj_track_times(list, false), set_compact(list)));
}

hid_t hdf_dataset_creation(void) {
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    return if_all_set(list, H5Pset_obj_track_times(list, false));
}

/* A fixed-length string; marked as UTF-8 only where it is more than ASCII, as dimension scales may not be. */
static hid_t string_type(const char *text, size_t size) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    herr_t worst = H5Tset_size(type, size);
    bool ascii = true;
    for (size_t i = 0; i < size; i++)
        ascii &= (text[i] & 0x80) == 0;
    if (!ascii) worst = worse(worst, H5Tset_cset(type, H5T_CSET_UTF8));
    return if_all_set(type, worst);
}

moe_status hdf_put_string(hid_t object, const char *name, const char *value, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t attribute = H5I_INVALID_HID;
    const hid_t type = string_type(value, strlen(value) + 1), space = H5Screate(H5S_SCALAR);
    hdf_check(type, err, MOE_ENOMEM, file, "describe a string");
    attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    hdf_check(attribute, err, MOE_EIO, file, "create an attribute");
    hdf_check(H5Awrite(attribute, type, value), err, MOE_EIO, file, "write an attribute");
out:
    hdf_close(attribute);
    hdf_close(space);
    hdf_close(type);
    return status;
}

moe_status hdf_put_int(hid_t object, const char *name, hid_t file_type, const void *value, hid_t memory_type,
                       const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    hdf_check(attribute, err, MOE_EIO, file, "create an attribute");
    hdf_check(H5Awrite(attribute, memory_type, value), err, MOE_EIO, file, "write an attribute");
out:
    hdf_close(attribute);
    hdf_close(space);
    return status;
}

moe_status hdf_put_meaning(hid_t dataset, const char *units, const char *description, const char *file,
                           moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(hdf_put_string(dataset, "units", units, file, err));
    moe_try(hdf_put_string(dataset, "description", description, file, err));
out:
    return status;
}

static moe_status put_group(hid_t h5, const char *path, const char *description, const char *file,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t properties = hdf_group_creation();
    const hid_t group = H5Gcreate2(h5, path, H5P_DEFAULT, properties, H5P_DEFAULT);
    hdf_check(group, err, MOE_EIO, file, "create a group");
    moe_try(hdf_put_string(group, "description", description, file, err));
out:
    hdf_close(group);
    hdf_close(properties);
    return status;
}

/* A small dataset written once: scalar when count < 0, else [count]. */
static moe_status put_small(hid_t h5, const char *path, hid_t file_type, hid_t memory_type, int64_t count,
                            const void *values, const char *units, const char *description, const char *file,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const hsize_t dims[1] = {(hsize_t)(count < 0 ? 1 : count)};
    const hid_t properties = hdf_dataset_creation();
    const hid_t space = count < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);
    const hid_t dataset = H5Dcreate2(h5, path, file_type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    hdf_check(dataset, err, MOE_EIO, file, "create a dataset");
    hdf_check(H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), err, MOE_EIO, file,
              "write a dataset");
    moe_try(hdf_put_meaning(dataset, units, description, file, err));
out:
    hdf_close(dataset);
    hdf_close(space);
    hdf_close(properties);
    return status;
}

static moe_status put_text(hid_t h5, const char *path, const char *text, const char *description,
                           const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t type = string_type(text, strlen(text) + 1);
    hdf_check(type, err, MOE_ENOMEM, file, "describe a string");
    moe_try(put_small(h5, path, type, type, -1, text, "text", description, file, err));
out:
    hdf_close(type);
    return status;
}

static moe_status put_domains(hid_t h5, const struct run_begin *begin, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    hid_t type = H5I_INVALID_HID;
    char *names = NULL;
    size_t width = 1;
    const size_t count = begin->axes.domains > 0 ? (size_t)begin->axes.domains : 1;
    for (int32_t i = 0; i < begin->axes.domains; i++)
        if (strlen(begin->domain_names[i]) + 1 > width) width = strlen(begin->domain_names[i]) + 1;
    names = calloc(count, width);
    moe_check(names != NULL, err, MOE_ENOMEM, "%s: no memory for the names of domains", file);
    for (int32_t i = 0; i < begin->axes.domains; i++)
        memcpy(names + (size_t)i * width, begin->domain_names[i], strlen(begin->domain_names[i]));
    type = string_type(names, count * width);
    hdf_check(H5Tset_size(type, width), err, MOE_ENOMEM, file, "describe a string");
    moe_try(put_small(h5, "/axes/domain", type, type, begin->axes.domains, names, "text",
                      "evaluation domains, in the order of /eval/domain", file, err));
out:
    hdf_close(type);
    free(names);
    return status;
}

/* What the numbers on the layer axis are. */
static const char *describe_layers(const struct run_begin *begin) {
    for (int32_t i = 0; i < begin->axes.moe_layers; i++) {
        if (begin->moe_layer_numbers[i] >= RUN_SECOND_ROUTER)
            return "decoder layer, counted from 0, of each router; + 1000 for a layer's second router";
    }
    return "decoder layer, counted from 0, of each MoE layer";
}

static moe_status put_axes(hid_t h5, const struct run_begin *begin, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_axes *axes = &begin->axes;
    int32_t experts[RUN_MAX_EXPERTS];
    double edges[RUN_MAX_BINS];
    moe_try(put_group(h5, "/axes", "scales of the axes that do not grow", file, err));
    moe_try(put_domains(h5, begin, file, err));
    if (axes->moe_layers == 0) goto out;
    for (int32_t i = 0; i < axes->experts; i++)
        experts[i] = i;
    for (int32_t i = 0; i < axes->hist_bins; i++)
        edges[i] = (double)i / axes->hist_bins;
    moe_try(put_small(h5, "/axes/layer", H5T_STD_I32LE, H5T_NATIVE_INT32, axes->moe_layers,
                      begin->moe_layer_numbers, "1", describe_layers(begin), file, err));
    moe_try(put_small(h5, "/axes/expert", H5T_STD_I32LE, H5T_NATIVE_INT32, axes->experts, experts, "1",
                      "expert, counted from 0", file, err));
    moe_try(put_small(h5, "/axes/share", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, axes->hist_bins, edges, "1",
                      "lower edge of each bin of a sequence's share of slots; the last bin includes 1", file,
                      err));
out:
    return status;
}

static moe_status put_identity(hid_t h5, const struct run_table *table, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_identity *id = &table->begin.identity;
    const struct run_axes *axes = &table->begin.axes;
    const int32_t version = RUN_SCHEMA_VERSION;
    const struct run_fact texts[] = {
        {"suite", id->suite},        {"source", id->source},    {"experiment", id->experiment},
        {"protocol", id->protocol},  {"tier", id->tier},        {"status", table->status},
        {"outcome", table->outcome}, {"digest", table->digest},
    };
    const struct {
        const char *name;
        const int32_t *value;
    } numbers[] = {
        {"schema_version", &version}, {"moe_layers", &axes->moe_layers}, {"experts", &axes->experts},
        {"domains", &axes->domains},  {"hist_bins", &axes->hist_bins},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        moe_try(hdf_put_string(h5, texts[i].name, texts[i].value, file, err));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        moe_try(
            hdf_put_int(h5, numbers[i].name, H5T_STD_I32LE, numbers[i].value, H5T_NATIVE_INT32, file, err));
    moe_try(hdf_put_int(h5, "seed", H5T_STD_U64LE, &id->seed, H5T_NATIVE_UINT64, file, err));
out:
    return status;
}

moe_status hdf_put_head(hid_t h5, const struct run_table *table, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_begin *begin = &table->begin;
    const hid_t root = H5Gopen2(h5, "/", H5P_DEFAULT);
    hdf_check(root, err, MOE_EIO, file, "open the root group");
    moe_try(put_identity(root, table, file, err));
    moe_try(put_group(h5, "/config", "what was run", file, err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        if (run_has_series(&begin->axes, i))
            moe_try(put_group(h5, run_series_infos[i].group, run_series_infos[i].description, file, err));
    moe_try(put_axes(h5, begin, file, err));
    moe_try(put_group(h5, "/provenance", "by what, where and when the run was made", file, err));
    moe_try(put_text(h5, "/config/json", begin->config_json, "resolved configuration as JSON, keys sorted",
                     file, err));
    moe_try(put_text(h5, "/config/toml", begin->config_toml, "resolved configuration as TOML", file, err));
    moe_try(put_text(h5, "/config/counts", begin->counts_json, "parameter counts and data sets as JSON", file,
                     err));
out:
    hdf_close(root);
    return status;
}

moe_status hdf_put_facts(hid_t h5, const struct run_table *table, const char *file, moe_err *err) {
    moe_status status = MOE_OK;
    const hid_t group = H5Gopen2(h5, "/provenance", H5P_DEFAULT);
    hdf_check(group, err, MOE_EIO, file, "open /provenance");
    for (int32_t i = 0; i < table->begin.fact_count; i++)
        moe_try(hdf_put_string(group, table->begin.facts[i].name, table->begin.facts[i].value, file, err));
out:
    hdf_close(group);
    return status;
}
