/* huggingface_reader.c - what a folder's config.json says in our options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "model/huggingface_internal.h"

enum { CONFIG_BYTES_MAX = 1 << 20, WIDTH_MAX = 1 << 20, ATTENTION_MAX = 1 << 24 };

/* config.json while it is read. The first failure stays in status; later questions get 0. */
struct reader {
    const char *path;
    json_t *root;
    moe_status status;
    moe_err *err;
};

#define refuse_if(r, condition, ...)                                                                         \
    do {                                                                                                     \
        if ((r)->status == MOE_OK && (condition))                                                            \
            (r)->status = moe_fail((r)->err, MOE_ENOTSUP, __VA_ARGS__);                                      \
    } while (0)

/* The value of a key; a null counts as absent. */
static const json_t *value_of(const struct reader *r, const char *key) {
    const json_t *value = json_object_get(r->root, key);
    return value != NULL && !json_is_null(value) ? value : NULL;
}

static void fail_type(struct reader *r, const char *key, const char *what) {
    if (r->status == MOE_OK)
        r->status = moe_fail(r->err, MOE_EFORMAT, "%s: %s is not %s", r->path, key, what);
}

/* A whole number in [least, most]; `otherwise` where it is absent, unless that is below `least`. */
static int32_t integer(struct reader *r, const char *key, int32_t least, int32_t most, int32_t otherwise) {
    const json_t *value = value_of(r, key);
    char what[80];
    if (r->status != MOE_OK || (value == NULL && otherwise >= least)) return otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most)
        return (int32_t)json_integer_value(value);
    snprintf(what, sizeof what, "%sa whole number from %d to %d", value == NULL ? "there, but needed: " : "",
             least, most);
    fail_type(r, key, what);
    return otherwise;
}

static double number_in(struct reader *r, const json_t *value, const char *key, double otherwise) {
    if (r->status != MOE_OK || value == NULL) return otherwise;
    if (!json_is_number(value)) {
        fail_type(r, key, "a number");
        return otherwise;
    }
    return json_number_value(value);
}

static double number(struct reader *r, const char *key, double otherwise) {
    return number_in(r, value_of(r, key), key, otherwise);
}

static bool truth(struct reader *r, const char *key, bool otherwise) {
    const json_t *value = value_of(r, key);
    if (r->status != MOE_OK || value == NULL) return otherwise;
    if (!json_is_boolean(value)) fail_type(r, key, "true or false");
    return json_is_true(value);
}

/* A string; `otherwise` where it is absent. */
static const char *string(struct reader *r, const char *key, const char *otherwise) {
    const json_t *value = value_of(r, key);
    if (r->status != MOE_OK || value == NULL) return otherwise;
    if (!json_is_string(value)) fail_type(r, key, "a string");
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

/* ---- the class -------------------------------------------------------------------------------------- */

/* Folders that people will try, and why they cannot be read. */
static const struct {
    const char *model_type, *why;
} foreign[] = {
    {"qwen3_moe", "every head of its queries and keys is normalised by itself"},
    {"qwen3", "every head of its queries and keys is normalised by itself"},
    {"dots1", "every head of its queries and keys is normalised by itself"},
    {"olmo", "its norms have no weights"},
    {"olmo3", "its attention sees a window"},
    {"deepseek_v2", "its attention compresses keys and values (MLA)"},
    {"deepseek_v3", "its attention compresses keys and values (MLA)"},
    {"gpt2", "it has learned positions and LayerNorm"},
};

static enum huggingface_class read_class(struct reader *r) {
    const char *type = string(r, "model_type", "");
    const char *why = "no model here is built like it";
    for (int kind = 0; kind < HF_CLASS_COUNT; kind++)
        if (strcmp(type, hf_model_type(kind)) == 0) return kind;
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (strcmp(type, foreign[i].model_type) == 0) why = foreign[i].why;
    refuse_if(r, true,
              "%s: model_type '%.60s' cannot be imported: %s; llama, mixtral, qwen2_moe, glm4_moe, olmo2, "
              "flex_olmo and olmoe can",
              r->path, type, why);
    return HF_LLAMA;
}

/* ---- the decoder ------------------------------------------------------------------------------------ */

/* Releases before 5 write rope_theta and rope_scaling, later ones rope_parameters. */
static double read_rope(struct reader *r, double partial_otherwise) {
    const json_t *parameters = value_of(r, "rope_parameters");
    const json_t *scaling = value_of(r, "rope_scaling");
    const json_t *type = json_object_get(parameters, "rope_type");
    const json_t *theta = json_object_get(parameters, "rope_theta");
    const json_t *share = json_object_get(parameters, "partial_rotary_factor");
    if (theta == NULL) theta = value_of(r, "rope_theta");
    if (share == NULL) share = value_of(r, "partial_rotary_factor");
    refuse_if(r, type != NULL && (!json_is_string(type) || strcmp(json_string_value(type), "default") != 0),
              "%s: rope_parameters.rope_type is not 'default': scaled rotations are not available", r->path);
    refuse_if(r, parameters == NULL && scaling != NULL,
              "%s: rope_scaling is set: scaled rotations are not available", r->path);
    const double part = number_in(r, share, "partial_rotary_factor", partial_otherwise);
    refuse_if(r, part != 1.0,
              "%s: partial_rotary_factor = %g: rotating a part of each head only is not available", r->path,
              part);
    return number_in(r, theta, "rope_theta", 10000.0);
}

static void read_model(struct reader *r, enum huggingface_class kind, struct model_config *m) {
    *m = (struct model_config){
        .norm = CONFIG_NORM_RMSNORM,
        .norm_placement = hf_norms_outputs(kind) ? NORM_SUBLAYER_OUTPUT : NORM_PRE,
        .qk_norm = hf_qk_norm(kind),
        .positions = POSITIONS_ROPE,
        .ffn = FFN_SWIGLU,
        .init = INIT_NORMAL,
        .vocab_size = integer(r, "vocab_size", 2, 1 << 24, 0),
        .hidden_size = integer(r, "hidden_size", 1, WIDTH_MAX, 0),
        .intermediate_size = integer(r, "intermediate_size", 1, WIDTH_MAX, 0),
        .num_hidden_layers = integer(r, "num_hidden_layers", 1, MODEL_MAX_LAYERS, 0),
        .num_attention_heads = integer(r, "num_attention_heads", 1, 1 << 16, 0),
        .max_position_embeddings = integer(r, "max_position_embeddings", 1, WIDTH_MAX, 2048),
        .norm_eps = number(r, "rms_norm_eps", 1e-6),
        .init_std = number(r, "initializer_range", 0.02),
        .rope_theta = read_rope(r, kind == HF_GLM4_MOE ? 0.5 : 1.0),
    };
    if (r->status != MOE_OK) return;
    const int32_t heads = m->num_attention_heads;
    m->num_key_value_heads = integer(r, "num_key_value_heads", 1, 1 << 16, heads);
    m->head_dim = integer(r, "head_dim", 1, 1 << 16, m->hidden_size / heads);
    m->attention_bias = truth(r, kind == HF_QWEN2_MOE ? "qkv_bias" : "attention_bias", kind == HF_QWEN2_MOE);
    m->mlp_bias = kind == HF_LLAMA && truth(r, "mlp_bias", false);
    const char *activation = string(r, "hidden_act", "silu");
    refuse_if(r, strcmp(activation, "silu") != 0, "%s: hidden_act = '%.40s': only silu is available", r->path,
              activation);
    refuse_if(r, kind == HF_MIXTRAL && m->attention_bias, "%s: attention_bias: Mixtral has none", r->path);
    refuse_if(r, kind == HF_OLMOE && value_of(r, "clip_qkv") != NULL,
              "%s: clip_qkv is set: clipped queries, keys and values are not available", r->path);
    refuse_if(
        r, heads % m->num_key_value_heads != 0 || (int64_t)heads * m->head_dim > ATTENTION_MAX,
        "%s: %d heads of %d, %d for keys and values: they must divide, and be no wider than %d together",
        r->path, heads, m->head_dim, m->num_key_value_heads, ATTENTION_MAX);
    refuse_if(r, m->head_dim % 2 != 0, "%s: head_dim = %d: rotation works on pairs", r->path, m->head_dim);
    refuse_if(r, value_of(r, "quantization_config") != NULL,
              "%s: quantization_config is set: only folders of floating-point weights can be imported",
              r->path);
}

/* Attention of all models here sees everything before a token. */
static void check_window(struct reader *r, enum huggingface_class kind, const struct model_config *m) {
    const bool used = kind == HF_QWEN2_MOE ? truth(r, "use_sliding_window", false) : kind == HF_MIXTRAL;
    const int32_t window = used ? integer(r, "sliding_window", 0, INT32_MAX, 0) : 0;
    refuse_if(r, window > 0 && window < m->max_position_embeddings,
              "%s: sliding_window = %d is less than max_position_embeddings = %d: windowed attention is not "
              "available",
              r->path, window, m->max_position_embeddings);
}

/* ---- mixture of experts ----------------------------------------------------------------------------- */

static void set_all_layers(struct moe_config *moe, int32_t first, int32_t layers) {
    for (int32_t l = first; l < layers; l++)
        moe->layers[moe->num_layers++] = l;
}

static bool lists(const json_t *list, int32_t number) {
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item) {
        if (json_is_integer(item) && json_integer_value(item) == number) return true;
    }
    return false;
}

static void read_qwen2_moe(struct reader *r, int32_t layers, struct moe_config *moe) {
    const int32_t step = integer(r, "decoder_sparse_step", 1, WIDTH_MAX, 1);
    const json_t *dense = value_of(r, "mlp_only_layers");
    moe->num_experts = integer(r, "num_experts", 1, 1 << 12, 0);
    moe->intermediate_size = integer(r, "moe_intermediate_size", 1, WIDTH_MAX, 0);
    const int32_t shared = integer(r, "shared_expert_intermediate_size", 0, WIDTH_MAX, -1);
    if (dense != NULL && !json_is_array(dense)) fail_type(r, "mlp_only_layers", "a list");
    if (r->status != MOE_OK) return;
    refuse_if(r, shared % moe->intermediate_size != 0,
              "%s: shared_expert_intermediate_size = %d is no multiple of moe_intermediate_size = %d: shared "
              "experts here are as wide as routed ones",
              r->path, shared, moe->intermediate_size);
    moe->num_shared_experts = shared / moe->intermediate_size;
    for (int32_t l = 0; l < layers; l++)
        if ((l + 1) % step == 0 && !lists(dense, l)) moe->layers[moe->num_layers++] = l;
    moe->renormalize = truth(r, "norm_topk_prob", false);
}

static void read_glm4_moe(struct reader *r, int32_t layers, struct moe_config *moe) {
    const bool normalised = truth(r, "use_qk_norm", false);
    const int32_t groups = integer(r, "n_group", 1, 1 << 12, 1);
    refuse_if(r, normalised, "%s: use_qk_norm = true: normalised queries and keys are not available",
              r->path);
    refuse_if(r, integer(r, "topk_group", 1, 1 << 12, 1) < groups,
              "%s: topk_group < n_group: routing within groups is not available", r->path);
    moe->num_experts = integer(r, "n_routed_experts", 2, 1 << 12, 0);
    moe->intermediate_size = integer(r, "moe_intermediate_size", 1, WIDTH_MAX, 0);
    moe->num_shared_experts = integer(r, "n_shared_experts", 0, 1 << 12, 0);
    moe->router = CONFIG_ROUTER_SIGMOID;
    moe->routed_scaling_factor = number(r, "routed_scaling_factor", 1.0);
    if (!(moe->routed_scaling_factor > 0)) fail_type(r, "routed_scaling_factor", "above 0");
    moe->renormalize = truth(r, "norm_topk_prob", true);
    moe->renormalize_eps = 1e-20; /* as the class adds it */
    set_all_layers(moe, integer(r, "first_k_dense_replace", 0, MODEL_MAX_LAYERS, 1), layers);
}

static void read_moe(struct reader *r, enum huggingface_class kind, const struct model_config *m,
                     struct moe_config *moe) {
    *moe = (struct moe_config){.num_experts = 1,
                               .num_active_experts = 1,
                               .intermediate_size = m->intermediate_size,
                               .routed_scaling_factor = 1,
                               .temperature_start = 1,
                               .temperature_end = 1,
                               .expert_lr_scale = 1};
    if (kind == HF_LLAMA || kind == HF_OLMO2) return;
    moe->num_active_experts = integer(r, "num_experts_per_tok", 1, 1 << 12, 0);
    if (kind == HF_MIXTRAL) {
        moe->num_experts = integer(r, "num_local_experts", 1, 1 << 12, 0);
        moe->renormalize = true;
        set_all_layers(moe, 0, m->num_hidden_layers);
    } else if (kind == HF_FLEX_OLMO || kind == HF_OLMOE) {
        moe->num_experts = integer(r, "num_experts", 1, 1 << 12, 0);
        moe->renormalize = truth(r, "norm_topk_prob", false);
        set_all_layers(moe, 0, m->num_hidden_layers);
    } else if (kind == HF_QWEN2_MOE) {
        read_qwen2_moe(r, m->num_hidden_layers, moe);
    } else {
        read_glm4_moe(r, m->num_hidden_layers, moe);
    }
    moe->renormalize_top1 = moe->renormalize;
    if (r->status == MOE_OK && moe->num_active_experts > moe->num_experts)
        fail_type(r, "num_experts_per_tok", "at most the number of experts");
}

moe_status huggingface_config(const char *folder, struct huggingface_model *out, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size = 0;
    json_error_t problem;
    struct reader r = {.err = err};
    char *path = path_join(folder, "config.json");
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_read_all(path, CONFIG_BYTES_MAX, &bytes, &size, err));
    r.path = path;
    r.root = json_loadb((const char *)bytes, size, 0, &problem);
    moe_check(r.root != NULL, err, MOE_EFORMAT, "%s:%d: not JSON: %s", path, problem.line, problem.text);
    moe_check(json_is_object(r.root), err, MOE_EFORMAT, "%s: not a JSON object", path);
    out->kind = read_class(&r);
    out->tied = truth(&r, "tie_word_embeddings", false);
    read_model(&r, out->kind, &out->model);
    if (r.status == MOE_OK) check_window(&r, out->kind, &out->model);
    if (r.status == MOE_OK) read_moe(&r, out->kind, &out->model, &out->moe);
    status = r.status;
out:
    json_decref(r.root);
    free(bytes);
    free(path);
    return status;
}
