/* huggingface.c - folders: writing one, and reading one file or many. */
#include "model/huggingface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "model/huggingface_internal.h"
#include "model/safetensors.h"

static const char single_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

/* ---- writing ---------------------------------------------------------------------------------------- */

static moe_status write_tensors(const char *path, enum huggingface_class kind, const struct weights *w,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct hf_tensors list = {0};
    struct safetensors_source *sources = NULL;
    float *zeros = calloc((size_t)w->model.hidden_size, sizeof *zeros);
    const struct safetensors_entry format = {"format", "pt"};
    moe_try(hf_tensors_of(kind, w, &list, err));
    sources = calloc((size_t)list.count, sizeof *sources);
    moe_check(sources != NULL && zeros != NULL, err, MOE_ENOMEM, "no memory for a list of tensors");
    for (int64_t i = 0; i < list.count; i++) {
        const struct hf_tensor *t = &list.items[i];
        sources[i] = (struct safetensors_source){.name = t->name,
                                                 .dtype = SAFETENSORS_F32,
                                                 .rank = t->rank,
                                                 .shape = {t->shape[0], t->shape[1]},
                                                 .data = t->place == HF_IN_VALUES ? w->values + t->at
                                                         : t->place == HF_IN_BIAS ? w->bias + t->at
                                                                                  : zeros};
    }
    moe_try(safetensors_write(path, sources, list.count, &format, 1, 0, err));
out:
    hf_tensors_free(&list);
    free(sources);
    free(zeros);
    return status;
}

static moe_status refuse_existing(const char *path, moe_err *err) {
    if (!file_exists(path)) return MOE_OK;
    return moe_fail(err, MOE_EEXIST, "%s: is there already; name another folder, or delete it", path);
}

moe_status huggingface_export(const char *folder, struct weights *w, struct huggingface_tokens tokens,
                              moe_err *err) {
    moe_status status = MOE_OK;
    enum huggingface_class kind = HF_LLAMA;
    json_t *config = NULL;
    char *text = NULL, *config_path = path_join(folder, "config.json");
    char *weights_path = path_join(folder, single_name);
    moe_check(config_path != NULL && weights_path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(refuse_existing(config_path, err));
    moe_try(refuse_existing(weights_path, err));
    moe_try(huggingface_class_of(w, &kind, err));
    weights_fold_temperature(w);
    if (kind == HF_QWEN2_MOE) hf_scale_shared(w, 2.0f);
    config = hf_config_json(kind, w, tokens);
    text = config != NULL ? json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    moe_check(text != NULL, err, MOE_ENOMEM, "no memory for %s", config_path);
    moe_try(file_make_folders(folder, err));
    moe_try(write_tensors(weights_path, kind, w, err));
    moe_try(file_write_atomic(config_path, text, strlen(text), err));
out:
    json_decref(config);
    free(text);
    free(config_path);
    free(weights_path);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

enum { SHARDS_MAX = 512, INDEX_BYTES_MAX = 64 << 20 };

/* The files that hold a folder's tensors. */
struct shards {
    struct safetensors *files[SHARDS_MAX];
    char *paths[SHARDS_MAX];
    int32_t count;
};

static void shards_close(struct shards *s) {
    for (int32_t i = 0; i < s->count; i++) {
        safetensors_close(s->files[i]);
        free(s->paths[i]);
    }
}

static moe_status shards_add(struct shards *s, const char *folder, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    for (int32_t i = 0; i < s->count; i++)
        if (strcmp(s->paths[i], path) == 0) goto out;
    moe_check(s->count < SHARDS_MAX, err, MOE_ENOTSUP, "%s/%s: more than %d files", folder, index_name,
              SHARDS_MAX);
    moe_try(safetensors_open(path, 0, &s->files[s->count], err));
    s->paths[s->count++] = path;
    path = NULL;
out:
    free(path);
    return status;
}

/* The files that the index names. */
static moe_status shards_of_index(struct shards *s, const char *folder, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    json_t *root = NULL;
    json_error_t problem;
    const char *tensor;
    json_t *file;
    size_t size = 0;
    moe_try(file_read_all(path, INDEX_BYTES_MAX, &bytes, &size, err));
    root = json_loadb((const char *)bytes, size, 0, &problem);
    moe_check(root != NULL, err, MOE_EFORMAT, "%s:%d: not JSON: %s", path, problem.line, problem.text);
    json_t *map = json_object_get(root, "weight_map");
    moe_check(json_is_object(map), err, MOE_EFORMAT, "%s: weight_map is not an object", path);
    json_object_foreach(map, tensor, file) {
        const char *name = json_string_value(file);
        moe_check(name != NULL && name[0] != '\0' && strchr(name, '/') == NULL, err, MOE_EFORMAT,
                  "%s: weight_map gives no plain file name for %.100s", path, tensor);
        moe_try(shards_add(s, folder, name, err));
    }
    moe_check(s->count > 0, err, MOE_EFORMAT, "%s: weight_map is empty", path);
out:
    json_decref(root);
    free(bytes);
    return status;
}

static moe_status shards_open(struct shards *s, const char *folder, moe_err *err) {
    moe_status status = MOE_OK;
    char *path = path_join(folder, index_name);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    if (file_exists(path)) {
        moe_try(shards_of_index(s, folder, path, err));
    } else {
        moe_try(shards_add(s, folder, single_name, err));
    }
out:
    free(path);
    return status;
}

/* The file with a tensor of that name, else the first. */
static const struct safetensors *file_with(const struct shards *s, const char *name) {
    for (int32_t i = 0; i < s->count; i++)
        if (safetensors_find(s->files[i], name) != NULL) return s->files[i];
    return s->files[0];
}

/* Tensors that old folders have and no model needs: tables that can be computed, and layers behind the last
 * one, which predict further tokens. */
static bool is_superfluous(const char *name, const struct weights *w, bool tied) {
    static const char layers[] = "model.layers.";
    const size_t length = strlen(name), end = strlen("rotary_emb.inv_freq");
    if (length > end && strcmp(name + length - end, "rotary_emb.inv_freq") == 0) return true;
    if (tied && strcmp(name, "lm_head.weight") == 0) return true;
    return strncmp(name, layers, sizeof layers - 1) == 0 &&
           strtol(name + sizeof layers - 1, NULL, 10) >= w->model.num_hidden_layers;
}

static int by_name(const void *a, const void *b) {
    const struct hf_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Every tensor of the files has a place: one that has none (a bias, a norm of queries) would change the
 * model. list is sorted. */
static moe_status check_places(const struct shards *s, const struct hf_tensors *list, const struct weights *w,
                               bool tied, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < s->count; i++) {
        for (int64_t k = 0; k < safetensors_count(s->files[i]); k++) {
            struct hf_tensor key;
            const char *name = safetensors_at(s->files[i], k)->name;
            snprintf(key.name, sizeof key.name, "%s", name);
            const bool known = strlen(name) < sizeof key.name &&
                               bsearch(&key, list->items, (size_t)list->count, sizeof key, by_name) != NULL;
            moe_check(known || is_superfluous(name, w, tied), err, MOE_ENOTSUP,
                      "%s: tensor %.200s has no place in the model that config.json describes", s->paths[i],
                      name);
        }
    }
out:
    return status;
}

static moe_status find(const struct shards *s, const struct hf_tensor *t, const struct safetensors **out_file,
                       const struct safetensors_tensor **out_tensor, moe_err *err) {
    moe_status status = MOE_OK;
    *out_file = file_with(s, t->name);
    moe_try(safetensors_require(*out_file, t->name, t->rank, t->shape, out_tensor, err));
    const enum safetensors_dtype type = (*out_tensor)->dtype;
    moe_check(type == SAFETENSORS_F32 || type == SAFETENSORS_F64 || type == SAFETENSORS_BF16 ||
                  type == SAFETENSORS_F16,
              err, MOE_ENOTSUP, "tensor %s is of type %s: only floating-point weights can be imported",
              t->name, safetensors_dtype_name(type));
out:
    return status;
}

static moe_status read_one(const struct shards *s, const struct hf_tensor *t, struct weights *w,
                           moe_err *err) {
    moe_status status = MOE_OK;
    const struct safetensors *file = NULL;
    const struct safetensors_tensor *tensor = NULL;
    float *copy = NULL;
    moe_try(find(s, t, &file, &tensor, err));
    if (t->place == HF_IN_VALUES) moe_try(safetensors_read_float(file, tensor, w->values + t->at, err));
    if (t->place == HF_IN_BIAS) moe_try(safetensors_read_float(file, tensor, w->bias + t->at, err));
    if (t->place != HF_ALL_ZERO) goto out;
    copy = malloc((size_t)t->count * sizeof *copy + 1);
    moe_check(copy != NULL, err, MOE_ENOMEM, "no memory to read tensor %s", t->name);
    moe_try(safetensors_read_float(file, tensor, copy, err));
    for (int64_t i = 0; i < t->count; i++)
        moe_check(copy[i] == 0.0f, err, MOE_ENOTSUP,
                  "tensor %s is not 0: shared experts with a gate of their own are not available", t->name);
out:
    free(copy);
    return status;
}

/* The tied head is no tensor of its own: it leaves the list. */
static void drop_head(struct hf_tensors *list) {
    for (int64_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, "lm_head.weight") != 0) continue;
        list->items[i] = list->items[--list->count];
        return;
    }
}

static void copy_head(struct weights *w) {
    const struct param *from = &w->params.items[params_find(&w->params, "token_embedding.weight")];
    const struct param *to = &w->params.items[params_find(&w->params, "head.weight")];
    memcpy(w->values + to->offset, w->values + from->offset, (size_t)to->count * sizeof *w->values);
}

moe_status huggingface_import(const char *folder, const struct huggingface_model *from, struct weights *w,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct shards shards = {.count = 0};
    struct hf_tensors list = {0};
    const struct safetensors *file = NULL;
    const struct safetensors_tensor *tensor = NULL;
    moe_try(shards_open(&shards, folder, err));
    moe_try(hf_tensors_of(from->kind, w, &list, err));
    if (from->tied) drop_head(&list);
    qsort(list.items, (size_t)list.count, sizeof *list.items, by_name);
    moe_try(check_places(&shards, &list, w, from->tied, err));
    for (int64_t i = 0; i < list.count; i++)
        moe_try(find(&shards, &list.items[i], &file, &tensor, err));
    moe_try(weights_allocate(w, err));
    for (int64_t i = 0; i < list.count; i++)
        moe_try(read_one(&shards, &list.items[i], w, err));
    if (from->tied) copy_head(w);
    if (from->kind == HF_QWEN2_MOE) hf_scale_shared(w, 0.5f);
out:
    shards_close(&shards);
    hf_tensors_free(&list);
    return status;
}
