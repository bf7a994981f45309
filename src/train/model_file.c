#include "train/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "train/device_fit.h"
#include "train/model_file_weights.h"
#include "train/schedule.h"

static const char bias_name[] = "routing.bias";

/* ---- what a file says ------------------------------------------------------------------------------- */

static moe_status open_file(const char *path, unsigned flags, struct safetensors **out_file, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    moe_check(!path_ends_with(path, ".h5"), err, MOE_ENOTSUP,
              "%s: a run file records a training, but holds no weights; name its checkpoint (%s.ckpt, there "
              "while the run is not complete), or train with --keep-model",
              path, path);
    moe_try(safetensors_open(path, flags, &file, err));
    moe_check(safetensors_metadata(file, "config") != NULL, err, MOE_EFORMAT,
              "%s: a safetensors file without a configuration is no model file of moe; a folder with "
              "config.json beside it is read by `moe import`",
              path);
    *out_file = file;
    file = NULL;
out:
    safetensors_close(file);
    return status;
}

/* A whole number of the metadata, or `otherwise` where there is none. */
static moe_status read_integer(const struct safetensors *file, const char *path, const char *key,
                               int64_t otherwise, int64_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = safetensors_metadata(file, key);
    long long value = otherwise;
    moe_check(text == NULL || sscanf(text, "%lld", &value) == 1, err, MOE_EFORMAT,
              "%s: metadata key %s is not a number", path, key);
    *out = value;
out:
    return status;
}

moe_status model_file_config(const char *path, struct experiment **out_experiment, int64_t *out_step,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    moe_err inner = {0};
    int64_t step = 0;
    moe_try(open_file(path, 0, &file, err));
    moe_try(read_integer(file, path, "step", 0, &step, err));
    status = experiment_from_json(safetensors_metadata(file, "config"), out_experiment, &inner);
    moe_check(status == MOE_OK, err, inner.status, "%s: %s", path, inner.message);
    if (experiment_is_classifier(*out_experiment)) {
        experiment_free(*out_experiment);
        *out_experiment = NULL;
        moe_check(false, err, MOE_ENOTSUP, "%s: an image classifier; only decoders are read as model files",
                  path);
    }
    if (out_step != NULL) *out_step = step;
out:
    safetensors_close(file);
    return status;
}

/* Temperature and dense of the step before (epoch, epoch_step). */
static void routing_before(const struct experiment *e, int64_t epoch, int64_t epoch_step, float *temperature,
                           bool *dense) {
    const int64_t last = epoch_step == 0 && epoch > 0 ? epoch - 1 : epoch;
    *temperature = (float)schedule_temperature(&e->moe, last);
    *dense = last < e->moe.dense_epochs;
}

void model_file_set_routing(const struct experiment *e, int64_t epoch, int64_t epoch_step,
                            struct decoder *d) {
    float temperature;
    bool dense;
    routing_before(e, epoch, epoch_step, &temperature, &dense);
    weights_set_routing(d, temperature, dense);
}

/* Temperature and dense of the model's last step. A checkpoint says where the next one falls. */
static moe_status read_routing(const struct safetensors *file, const char *path, const struct experiment *e,
                               float *temperature, bool *dense, moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = safetensors_metadata(file, "temperature");
    int64_t epoch = 0, epoch_step = 0, flag = 0;
    double value = 1;
    if (text == NULL) {
        moe_try(read_integer(file, path, "epoch", 0, &epoch, err));
        moe_try(read_integer(file, path, "epoch_step", 0, &epoch_step, err));
        routing_before(e, epoch, epoch_step, temperature, dense);
        goto out;
    }
    moe_check(sscanf(text, "%la", &value) == 1 && value > 0 && value < 1e6, err, MOE_EFORMAT,
              "%s: metadata key temperature is '%.40s', not a positive number", path, text);
    moe_try(read_integer(file, path, "dense", 0, &flag, err));
    moe_check(flag == 0 || e->moe.dense_epochs > 0, err, MOE_EFORMAT,
              "%s: metadata key dense is set, but the configuration has no dense epochs", path);
    *temperature = (float)value;
    *dense = flag != 0;
out:
    return status;
}

/* ---- weights ---------------------------------------------------------------------------------------- */

static moe_status read_tensor(const struct safetensors *file, const char *name, int32_t rank,
                              const int64_t *shape, float *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct safetensors_tensor *tensor = NULL;
    moe_try(safetensors_require(file, name, rank, shape, &tensor, err));
    moe_try(safetensors_read_float(file, tensor, out, err));
out:
    return status;
}

/* Fails before memory is taken for tensors that the file does not have. */
static moe_status check_tensors(const struct safetensors *file, const struct params *params, moe_err *err) {
    moe_status status = MOE_OK;
    const struct safetensors_tensor *tensor = NULL;
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        moe_try(safetensors_require(file, p->name, p->rank, p->shape, &tensor, err));
    }
out:
    return status;
}

moe_status model_file_load(const char *path, const struct experiment *e, struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    struct params *params = decoder_params(d);
    struct routing *routing = decoder_routing(d);
    float *buffer = NULL, temperature = 1;
    int64_t largest = 1;
    bool dense = false;
    moe_try(open_file(path, SAFETENSORS_CHECKSUM, &file, err));
    moe_try(read_routing(file, path, e, &temperature, &dense, err));
    moe_try(check_tensors(file, params, err));
    for (int32_t i = 0; i < params->count; i++)
        if (params->items[i].count > largest) largest = params->items[i].count;
    buffer = malloc((size_t)largest * sizeof *buffer);
    moe_check(buffer != NULL, err, MOE_ENOMEM, "no memory to read a tensor of %lld elements",
              (long long)largest);
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        moe_try(read_tensor(file, p->name, p->rank, p->shape, buffer, err));
        params_set(params, i, buffer);
    }
    const int64_t cells[2] = {routing->layers, routing->experts};
    if (routing->layers > 0) moe_try(read_tensor(file, bias_name, 2, cells, routing->host.bias, err));
    weights_set_routing(d, temperature, dense);
    moe_try(params->dev->ops->synchronize(params->dev, err));
out:
    safetensors_close(file);
    free(buffer);
    return status;
}

moe_status model_file_read(const char *path, const struct experiment *e, struct weights *w, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    moe_try(open_file(path, SAFETENSORS_CHECKSUM, &file, err));
    moe_try(read_routing(file, path, e, &w->temperature, &w->dense, err));
    moe_try(check_tensors(file, &w->params, err));
    moe_try(weights_allocate(w, err));
    for (int32_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.items[i];
        moe_try(read_tensor(file, p->name, p->rank, p->shape, w->values + p->offset, err));
    }
    const int64_t cells[2] = {moe_config_routers(&w->moe), moe_config_most_experts(&w->moe)};
    if (w->bias != NULL) moe_try(read_tensor(file, bias_name, 2, cells, w->bias, err));
out:
    safetensors_close(file);
    return status;
}

moe_status model_file_write(const char *path, const struct experiment *e, const struct weights *w,
                            int64_t step, moe_err *err) {
    moe_status status = MOE_OK;
    char step_text[32], temperature[32];
    int64_t count = 0;
    struct safetensors_source *tensors = calloc((size_t)w->params.count + 1, sizeof *tensors);
    moe_check(tensors != NULL, err, MOE_ENOMEM, "%s: no memory for its list of tensors", path);
    for (; count < w->params.count; count++) {
        const struct param *p = &w->params.items[count];
        tensors[count] = (struct safetensors_source){
            .name = p->name, .dtype = SAFETENSORS_F32, .rank = p->rank, .data = w->values + p->offset};
        memcpy(tensors[count].shape, p->shape, sizeof p->shape);
    }
    if (w->bias != NULL) {
        tensors[count++] = (struct safetensors_source){
            .name = bias_name,
            .dtype = SAFETENSORS_F32,
            .rank = 2,
            .shape = {moe_config_routers(&w->moe), moe_config_most_experts(&w->moe)},
            .data = w->bias};
    }
    snprintf(step_text, sizeof step_text, "%lld", (long long)step);
    snprintf(temperature, sizeof temperature, "%a", (double)w->temperature);
    const struct safetensors_entry entries[] = {
        {"config", e->json},          {"config_sha256", e->sha256},    {"step", step_text},
        {"temperature", temperature}, {"dense", w->dense ? "1" : "0"},
    };
    moe_try(file_make_parents(path, err));
    moe_try(safetensors_write(path, tensors, count, entries, sizeof entries / sizeof entries[0],
                              SAFETENSORS_CHECKSUM, err));
out:
    free(tensors);
    return status;
}

moe_status model_file_save(const char *path, const struct experiment *e, struct decoder *d, int64_t step,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct weights *w = NULL;
    moe_try(weights_create(&e->model, &e->moe, &w, err));
    moe_try(weights_from_decoder(w, d, err));
    moe_try(model_file_write(path, e, w, step, err));
out:
    weights_free(w);
    return status;
}

moe_status model_file_open(const char *path, const struct experiment *e, const char *device, int threads,
                           int64_t max_batch, int64_t max_seq, struct device **out_dev,
                           struct decoder **out_decoder, moe_err *err) {
    moe_status status = MOE_OK;
    struct device *dev = NULL;
    struct decoder *decoder = NULL;
    const struct decoder_limits limits = {.max_batch = max_batch, .max_seq = max_seq};
    const struct device_options options = device_fit(&e->model, &e->moe, threads, max_batch, max_seq);
    moe_try(device_open(device, &options, &dev, err));
    moe_try(decoder_create(&e->model, &e->moe, &limits, dev, &decoder, err));
    moe_try(model_file_load(path, e, decoder, err));
    *out_dev = dev;
    *out_decoder = decoder;
    dev = NULL;
    decoder = NULL;
out:
    decoder_destroy(decoder);
    device_close(dev);
    return status;
}

/* ---- paths ------------------------------------------------------------------------------------------ */

/* A copy of path with the first of `ends` that it has (NULL-terminated list) cut off and `add` appended. */
static char *path_with(const char *path, const char *const *ends, const char *add) {
    size_t stem = strlen(path);
    for (; *ends != NULL; ends++) {
        if (!path_ends_with(path, *ends)) continue;
        stem -= strlen(*ends);
        break;
    }
    char *out = malloc(stem + strlen(add) + 1);
    if (out != NULL) {
        memcpy(out, path, stem);
        strcpy(out + stem, add);
    }
    return out;
}

char *model_file_of_run(const char *run_path) {
    static const char *const ends[] = {".h5", NULL};
    return path_with(run_path, ends, ".safetensors");
}

char *model_file_tokenizer_beside(const char *path) {
    static const char *const ends[] = {".safetensors", ".h5.ckpt", NULL};
    return path_with(path, ends, ".tokenizer.model");
}

moe_status model_file_tokenizer(const char *path, const struct experiment *e, const char *data_dir,
                                const char *suites_dir, char **out_path, moe_err *err) {
    moe_status status = MOE_OK;
    enum { PLACES = 4 };
    const char *name = e->data.tokenizer_file;
    char *folder = path_folder(path), *suite = path_join(suites_dir, e->suite);
    char *places[PLACES] = {model_file_tokenizer_beside(path), path_join(folder, name),
                            path_join(data_dir, name), path_join(suite, name)};
    bool ok = folder != NULL && suite != NULL;
    *out_path = NULL;
    if (e->data.tokenizer != TOKENIZER_SENTENCEPIECE || e->data.source == DATA_STORIES || name[0] == '\0')
        goto out;
    for (int i = 0; i < PLACES; i++)
        ok = ok && places[i] != NULL;
    moe_check(ok, err, MOE_ENOMEM, "no memory for a path");
    for (int i = 0; i < PLACES && *out_path == NULL; i++) {
        if (!file_exists(places[i]) || file_is_folder(places[i])) continue;
        *out_path = places[i];
        places[i] = NULL;
    }
    moe_check(
        *out_path != NULL, err, MOE_ENOTFOUND,
        "%s: its tokenizer is nowhere: there is no %s, %s, %s or %s; give --data-dir the folder where it "
        "lies, or copy it beside the model",
        path, places[0], places[1], places[2], places[3]);
out:
    for (int i = 0; i < PLACES; i++)
        free(places[i]);
    free(folder);
    free(suite);
    return status;
}
