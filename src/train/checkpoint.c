#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "model/safetensors.h"

enum { TENSORS_PER_PARAM = 3, METADATA_MAX = 24, VALUE_MAX = 64 };

static const char *const prefixes[TENSORS_PER_PARAM] = {"", "adamw.m/", "adamw.v/"};

/* The device array behind a prefix. */
static float *array_of(const struct params *params, int which) {
    float *const arrays[TENSORS_PER_PARAM] = {params->values, params->m, params->v};
    return arrays[which];
}

/* Doubles are stored as hexadecimal floats: exact. */
static void format_progress(const struct train_progress *p, struct safetensors_entry *entries,
                            char values[][VALUE_MAX], int64_t *count) {
    const struct {
        const char *key;
        int64_t value;
    } integers[] = {
        {"step", p->step},
        {"epoch", p->epoch},
        {"epoch_step", p->epoch_step},
        {"tokens", p->tokens},
        {"best_step", p->best_step},
        {"bad", p->bad},
        {"finished", p->finished},
        {"course_images", p->course.images},
        {"course_correct", p->course.correct},
    };
    const struct {
        const char *key;
        double value;
    } reals[] = {
        {"best", p->best},
        {"balance", p->balance},
        {"course_ce", p->course.ce},
        {"course_aux", p->course.aux},
        {"epoch_train_seconds", p->epoch_train_seconds},
        {"epoch_eval_seconds", p->epoch_eval_seconds},
        {"epoch_checkpoint_seconds", p->epoch_checkpoint_seconds},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        snprintf(values[*count], VALUE_MAX, "%lld", (long long)integers[i].value);
        entries[*count] = (struct safetensors_entry){integers[i].key, values[*count]};
        (*count)++;
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        snprintf(values[*count], VALUE_MAX, "%a", reals[i].value);
        entries[*count] = (struct safetensors_entry){reals[i].key, values[*count]};
        (*count)++;
    }
}

/* Host copies of what a checkpoint holds; on a device whose memory the host can read, no copy is made. */
struct snapshot {
    float *copies[TENSORS_PER_PARAM]; /* owned, or NULL */
    const float *arrays[TENSORS_PER_PARAM];
};

static moe_status snapshot_take(struct snapshot *s, const struct params *params, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = params->dev->ops;
    const size_t bytes = (size_t)params->total * sizeof(float);
    for (int w = 0; w < TENSORS_PER_PARAM; w++) {
        s->arrays[w] = array_of(params, w);
        if (be->host_memory) continue;
        s->copies[w] = malloc(bytes);
        moe_check(s->copies[w] != NULL, err, MOE_ENOMEM, "no memory for a checkpoint of %zu MiB",
                  bytes >> 20);
        be->download(params->dev, s->copies[w], s->arrays[w], bytes);
        s->arrays[w] = s->copies[w];
    }
    moe_try(be->synchronize(params->dev, err));
out:
    return status;
}

static void snapshot_free(struct snapshot *s) {
    for (int w = 0; w < TENSORS_PER_PARAM; w++)
        free(s->copies[w]);
}

/* Describes every parameter and its moments; names [3 * count][.] is the caller's memory. */
static int64_t list_tensors(const struct params *params, const struct snapshot *snapshot,
                            struct safetensors_source *tensors, char (*names)[PARAM_NAME_MAX + 16]) {
    int64_t n = 0;
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        for (int w = 0; w < TENSORS_PER_PARAM; w++, n++) {
            snprintf(names[n], sizeof names[n], "%s%s", prefixes[w], p->name);
            tensors[n] = (struct safetensors_source){.name = names[n],
                                                     .dtype = SAFETENSORS_F32,
                                                     .rank = p->rank,
                                                     .data = snapshot->arrays[w] + p->offset};
            memcpy(tensors[n].shape, p->shape, sizeof p->shape);
        }
    }
    return n;
}

static struct safetensors_source routing_tensor(const struct routing *routing, const char *name,
                                                enum safetensors_dtype dtype, const void *data) {
    return (struct safetensors_source){
        .name = name, .dtype = dtype, .rank = 2, .shape = {routing->layers, routing->experts}, .data = data};
}

moe_status checkpoint_save(const char *path, const struct learner *l, const struct train_progress *progress,
                           const struct checkpoint_counts *counts, moe_err *err) {
    moe_status status = MOE_OK;
    const struct params *params = l->params;
    const struct routing *routing = l->routing;
    const int64_t room = (int64_t)params->count * TENSORS_PER_PARAM + 3;
    struct snapshot snapshot = {{0}, {0}};
    struct safetensors_entry entries[METADATA_MAX];
    char values[METADATA_MAX][VALUE_MAX];
    int64_t entry_count = 0;
    struct safetensors_source *tensors = calloc((size_t)room, sizeof *tensors);
    char(*names)[PARAM_NAME_MAX + 16] = calloc((size_t)room, sizeof *names);
    moe_check(tensors != NULL && names != NULL, err, MOE_ENOMEM,
              "no memory for a checkpoint's list of tensors");
    moe_try(snapshot_take(&snapshot, params, err));
    int64_t count = list_tensors(params, &snapshot, tensors, names);
    if (routing->layers > 0) {
        tensors[count++] = routing_tensor(routing, "routing.bias", SAFETENSORS_F32, routing->host.bias);
        tensors[count++] =
            routing_tensor(routing, "routing.expert_updates", SAFETENSORS_I64, counts->expert_updates);
        tensors[count++] =
            routing_tensor(routing, "routing.metered_load", SAFETENSORS_I64, counts->metered_load);
    }
    format_progress(progress, entries, values, &entry_count);
    entries[entry_count++] = (struct safetensors_entry){"outcome", progress->outcome};
    entries[entry_count++] = (struct safetensors_entry){"config", l->e->json};
    entries[entry_count++] = (struct safetensors_entry){"config_sha256", l->e->sha256};
    moe_try(safetensors_write(path, tensors, count, entries, entry_count, SAFETENSORS_CHECKSUM, err));
out:
    snapshot_free(&snapshot);
    free(tensors);
    free(names);
    return status;
}

static moe_status read_integer(const struct safetensors *file, const char *path, const char *key,
                               int64_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = safetensors_metadata(file, key);
    long long value = 0;
    moe_check(text != NULL && sscanf(text, "%lld", &value) == 1, err, MOE_EFORMAT,
              "%s: metadata key %s is missing or not a number; delete the file to begin the run again", path,
              key);
    *out = value;
out:
    return status;
}

static moe_status read_real(const struct safetensors *file, const char *path, const char *key, double *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = safetensors_metadata(file, key);
    moe_check(text != NULL && sscanf(text, "%la", out) == 1, err, MOE_EFORMAT,
              "%s: metadata key %s is missing or not a number; delete the file to begin the run again", path,
              key);
out:
    return status;
}

/* Of decoders it means nothing, and their older checkpoints lack it. */
static moe_status read_classifier_progress(const struct safetensors *file, const char *path,
                                           struct train_progress *p, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(read_real(file, path, "balance", &p->balance, err));
    moe_try(read_real(file, path, "course_ce", &p->course.ce, err));
    moe_try(read_real(file, path, "course_aux", &p->course.aux, err));
    moe_try(read_integer(file, path, "course_images", &p->course.images, err));
    moe_try(read_integer(file, path, "course_correct", &p->course.correct, err));
out:
    return status;
}

static moe_status read_progress(const struct safetensors *file, const char *path, const struct experiment *e,
                                struct train_progress *p, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t bad = 0, finished = 0;
    const char *config = safetensors_metadata(file, "config_sha256");
    const char *outcome = safetensors_metadata(file, "outcome");
    *p = (struct train_progress){.balance = 1};
    moe_check(config != NULL && strcmp(config, e->sha256) == 0, err, MOE_EMISMATCH,
              "%s: the checkpoint belongs to another configuration (sha256 %.12s, this run has %.12s); "
              "delete it to begin "
              "again, or give the run another --out",
              path, config != NULL ? config : "none", e->sha256);
    moe_try(read_integer(file, path, "step", &p->step, err));
    moe_try(read_integer(file, path, "epoch", &p->epoch, err));
    moe_try(read_integer(file, path, "epoch_step", &p->epoch_step, err));
    moe_try(read_integer(file, path, "tokens", &p->tokens, err));
    moe_try(read_integer(file, path, "best_step", &p->best_step, err));
    moe_try(read_integer(file, path, "bad", &bad, err));
    moe_try(read_integer(file, path, "finished", &finished, err));
    moe_try(read_real(file, path, "best", &p->best, err));
    moe_try(read_real(file, path, "epoch_train_seconds", &p->epoch_train_seconds, err));
    moe_try(read_real(file, path, "epoch_eval_seconds", &p->epoch_eval_seconds, err));
    moe_try(read_real(file, path, "epoch_checkpoint_seconds", &p->epoch_checkpoint_seconds, err));
    if (experiment_is_classifier(e)) moe_try(read_classifier_progress(file, path, p, err));
    p->bad = (int32_t)bad;
    p->finished = finished != 0;
    snprintf(p->outcome, sizeof p->outcome, "%s", outcome != NULL ? outcome : "");
out:
    return status;
}

/* A run does not begin again by itself: its steps may have cost days, and a copy of the file may exist. */
static moe_status open_checked(const char *path, struct safetensors **out_file, moe_err *err) {
    moe_err inner = {0};
    const moe_status status = safetensors_open(path, SAFETENSORS_CHECKSUM, out_file, &inner);
    if (status == MOE_OK) return MOE_OK;
    const bool damaged = status == MOE_EFORMAT || status == MOE_ENOTSUP;
    return moe_fail(err, status, "%s%s", inner.message,
                    damaged ? "; delete the file to begin the run again" : "");
}

moe_status checkpoint_peek(const char *path, const struct experiment *e, struct train_progress *out_progress,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    moe_try(open_checked(path, &file, err));
    moe_try(read_progress(file, path, e, out_progress, err));
out:
    safetensors_close(file);
    return status;
}

/* One parameter and its moments, to the device. */
static moe_status load_param(const struct safetensors *file, struct params *params, int32_t index,
                             float *buffer, moe_err *err) {
    moe_status status = MOE_OK;
    const struct param *p = &params->items[index];
    for (int w = 0; w < TENSORS_PER_PARAM; w++) {
        char name[PARAM_NAME_MAX + 16];
        const struct safetensors_tensor *tensor = NULL;
        snprintf(name, sizeof name, "%s%s", prefixes[w], p->name);
        moe_try(safetensors_require(file, name, p->rank, p->shape, &tensor, err));
        moe_try(safetensors_read_float(file, tensor, buffer, err));
        params->dev->ops->upload(params->dev, array_of(params, w) + p->offset, buffer,
                                 (size_t)p->count * sizeof(float));
    }
    params_refresh(params, index);
out:
    return status;
}

static moe_status load_routing(const struct safetensors *file, struct routing *routing,
                               const struct checkpoint_counts *counts, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t shape[2] = {routing->layers, routing->experts};
    const struct safetensors_tensor *tensor = NULL;
    moe_try(safetensors_require(file, "routing.bias", 2, shape, &tensor, err));
    moe_try(safetensors_read_float(file, tensor, routing->host.bias, err));
    moe_try(safetensors_require(file, "routing.expert_updates", 2, shape, &tensor, err));
    moe_try(safetensors_read(file, tensor, SAFETENSORS_I64, counts->expert_updates, err));
    moe_try(safetensors_require(file, "routing.metered_load", 2, shape, &tensor, err));
    moe_try(safetensors_read(file, tensor, SAFETENSORS_I64, counts->metered_load, err));
out:
    return status;
}

moe_status checkpoint_load(const char *path, struct learner *l, struct train_progress *out_progress,
                           const struct checkpoint_counts *out_counts, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    struct params *params = l->params;
    int64_t largest = 1;
    for (int32_t i = 0; i < params->count; i++) {
        if (params->items[i].count > largest) largest = params->items[i].count;
    }
    float *buffer = malloc((size_t)largest * sizeof *buffer);
    moe_check(buffer != NULL, err, MOE_ENOMEM, "no memory to read a tensor of %lld elements",
              (long long)largest);
    moe_try(open_checked(path, &file, err));
    moe_try(read_progress(file, path, l->e, out_progress, err));
    for (int32_t i = 0; i < params->count; i++)
        moe_try(load_param(file, params, i, buffer, err));
    if (l->routing->layers > 0) moe_try(load_routing(file, l->routing, out_counts, err));
    moe_try(params->dev->ops->synchronize(params->dev, err));
out:
    safetensors_close(file);
    free(buffer);
    return status;
}
