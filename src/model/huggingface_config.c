/* huggingface_config.c - which class expresses a model, and its config.json. */
#include <string.h>

#include "model/huggingface_internal.h"

#define LARGEST_EPS                                                                                          \
    1e-6 /* of renormalisation: guards against a division by zero, which those classes omit                  \
          */

static const struct {
    const char *class_name, *model_type;
} classes[HF_CLASS_COUNT] = {
    [HF_LLAMA] = {"LlamaForCausalLM", "llama"},
    [HF_MIXTRAL] = {"MixtralForCausalLM", "mixtral"},
    [HF_QWEN2_MOE] = {"Qwen2MoeForCausalLM", "qwen2_moe"},
    [HF_GLM4_MOE] = {"Glm4MoeForCausalLM", "glm4_moe"},
    [HF_OLMO2] = {"Olmo2ForCausalLM", "olmo2"},
    [HF_FLEX_OLMO] = {"FlexOlmoForCausalLM", "flex_olmo"},
    [HF_OLMOE] = {"OlmoeForCausalLM", "olmoe"},
};

const char *huggingface_class_name(enum huggingface_class kind) {
    return classes[kind].class_name;
}

const char *hf_model_type(enum huggingface_class kind) {
    return classes[kind].model_type;
}

/* ---- which class expresses a model ------------------------------------------------------------------ */

static bool weights_renormalise(const struct moe_config *moe) {
    return moe->renormalize && (moe->num_active_experts > 1 || moe->renormalize_top1);
}

static bool has_selection_bias(const struct weights *w) {
    const size_t cells = (size_t)w->moe.num_layers * (size_t)w->moe.num_experts;
    bool any = false;
    for (size_t c = 0; w->bias != NULL && c < cells; c++)
        any = any || w->bias[c] != 0.0f;
    return any;
}

/* The MoE layers are the last ones. */
static bool dense_layers_lead(const struct weights *w) {
    const int32_t n = w->moe.num_layers;
    return n == 0 || w->moe.layers[0] == w->model.num_hidden_layers - n;
}

/* The first attention.out.bias with an element that is not 0, or NULL. */
static const char *output_bias(const struct weights *w) {
    for (int32_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.items[i];
        if (strstr(p->name, ".attention.out.bias") == NULL) continue;
        for (int64_t k = 0; w->values != NULL && k < p->count; k++)
            if (w->values[p->offset + k] != 0.0f) return p->name;
    }
    return NULL;
}

#define refuse_if(condition, ...)                                                                            \
    do {                                                                                                     \
        if (condition)                                                                                       \
            return moe_fail(err, MOE_ENOTSUP, "cannot be expressed in transformers: " __VA_ARGS__);          \
    } while (0)

static moe_status check_decoder(const struct weights *w, moe_err *err) {
    const struct model_config *m = &w->model;
    refuse_if(
        m->norm != CONFIG_NORM_RMSNORM,
        "model.norm = layernorm; its Llama-like classes (Llama, Mixtral, Qwen2Moe, Glm4Moe) have rmsnorm");
    refuse_if(m->norm_placement != NORM_PRE && !m->qk_norm,
              "model.norm_placement = sublayer_output without model.qk_norm; Olmo2 and FlexOlmo have both");
    refuse_if(
        m->norm_placement == NORM_PRE && m->qk_norm && w->moe.num_layers == 0,
        "model.qk_norm = true with model.norm_placement = pre in a dense model; Olmo2 has sublayer_output");
    refuse_if(m->positions != POSITIONS_ROPE, "model.positions = learned; its Llama-like classes have rope");
    refuse_if(m->ffn != FFN_SWIGLU, "model.ffn = gelu; its Llama-like classes have swiglu");
    return MOE_OK;
}

static moe_status check_moe(const struct weights *w, moe_err *err) {
    const struct moe_config *moe = &w->moe;
    const char *bias = output_bias(w);
    refuse_if(moe->num_experts_2 > 0, "moe.num_experts_2 = %d; its classes have one group of experts",
              moe->num_experts_2);
    refuse_if(moe->generalist_size > 0,
              "moe.generalist_size = %d; its classes weigh experts that every token uses otherwise",
              moe->generalist_size);
    refuse_if(w->model.mlp_bias,
              "model.mlp_bias = true with MoE layers; the experts of its classes have none");
    refuse_if(bias != NULL,
              "%s is not 0; its MoE classes have biases (model.attention_bias) on queries, keys "
              "and values, but none on the output of attention",
              bias);
    refuse_if(w->dense, "the model is still in its dense epochs (moe.dense_epochs = %d); train it on",
              moe->dense_epochs);
    refuse_if(weights_renormalise(moe) && moe->renormalize_eps > LARGEST_EPS,
              "moe.renormalize_eps = %g; its classes divide by the sum alone, which is the same up to %g",
              moe->renormalize_eps, LARGEST_EPS);
    refuse_if(moe->router == CONFIG_ROUTER_SOFTMAX && moe->routed_scaling_factor != 1.0,
              "moe.routed_scaling_factor = %g with moe.router = softmax; Mixtral and Qwen2Moe have 1",
              moe->routed_scaling_factor);
    refuse_if(moe->router == CONFIG_ROUTER_SOFTMAX && has_selection_bias(w),
              "moe.router = softmax with a selection bias learned by moe.lb_gamma; its one class with such a "
              "bias and this attention (Glm4Moe) has a sigmoid router");
    refuse_if(moe->router == CONFIG_ROUTER_SIGMOID && !dense_layers_lead(w),
              "moe.layers with moe.router = sigmoid: a dense layer follows a MoE layer; Glm4Moe has dense "
              "layers at the front only (first_k_dense_replace)");
    refuse_if(moe->router == CONFIG_ROUTER_SIGMOID && moe->num_experts < 2,
              "moe.num_experts = 1 with moe.router = sigmoid; Glm4Moe needs 2");
    return MOE_OK;
}

/* What FlexOlmo and Olmoe lack beside that. */
static moe_status check_olmo_moe(const struct weights *w, moe_err *err) {
    const struct moe_config *moe = &w->moe;
    refuse_if(moe->router != CONFIG_ROUTER_SOFTMAX,
              "moe.router = sigmoid with model.qk_norm; FlexOlmo and Olmoe have softmax");
    refuse_if(moe->num_shared_experts > 0,
              "moe.num_shared_experts = %d with model.qk_norm; FlexOlmo and Olmoe have none",
              moe->num_shared_experts);
    refuse_if(moe->num_layers != w->model.num_hidden_layers,
              "moe.layers with model.qk_norm: %d of %d; FlexOlmo and Olmoe have experts in every layer",
              moe->num_layers, w->model.num_hidden_layers);
    refuse_if(
        w->model.norm_placement == NORM_PRE &&
            w->model.num_attention_heads * w->model.head_dim != w->model.hidden_size,
        "model.head_dim = %d with model.norm_placement = pre and model.qk_norm; Olmoe's heads are as wide "
        "together as model.hidden_size",
        w->model.head_dim);
    return MOE_OK;
}

moe_status huggingface_class_of(const struct weights *w, enum huggingface_class *out_kind, moe_err *err) {
    moe_status status = MOE_OK;
    const struct moe_config *moe = &w->moe;
    moe_try(check_decoder(w, err));
    if (moe->num_layers == 0) {
        *out_kind = w->model.qk_norm ? HF_OLMO2 : HF_LLAMA;
        moe_check(!w->model.qk_norm || !w->model.mlp_bias, err, MOE_ENOTSUP,
                  "cannot be expressed in transformers: model.mlp_bias = true; Olmo2 has none");
        goto out;
    }
    moe_try(check_moe(w, err));
    const bool plain = weights_renormalise(moe) && moe->num_shared_experts == 0 && !w->model.attention_bias &&
                       moe->num_layers == w->model.num_hidden_layers;
    *out_kind = moe->router == CONFIG_ROUTER_SIGMOID ? HF_GLM4_MOE : plain ? HF_MIXTRAL : HF_QWEN2_MOE;
    if (w->model.qk_norm) {
        moe_try(check_olmo_moe(w, err));
        *out_kind = w->model.norm_placement == NORM_PRE ? HF_OLMOE : HF_FLEX_OLMO;
    }
out:
    return status;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

/* The object that is being filled. */
struct writer {
    json_t *root;
    bool failed; /* memory was out */
};

static void put(struct writer *out, const char *key, json_t *value) {
    if (json_object_set_new(out->root, key, value) != 0) out->failed = true;
}

static void put_token(struct writer *out, const char *key, int32_t id) {
    put(out, key, id >= 0 ? json_integer(id) : json_null());
}

static void put_model(struct writer *out, enum huggingface_class kind, const struct model_config *m) {
    put(out, "architectures", json_pack("[s]", classes[kind].class_name));
    put(out, "model_type", json_string(classes[kind].model_type));
    put(out, "vocab_size", json_integer(m->vocab_size));
    put(out, "hidden_size", json_integer(m->hidden_size));
    put(out, "intermediate_size", json_integer(m->intermediate_size));
    put(out, "num_hidden_layers", json_integer(m->num_hidden_layers));
    put(out, "num_attention_heads", json_integer(m->num_attention_heads));
    put(out, "num_key_value_heads", json_integer(m->num_key_value_heads));
    put(out, "head_dim", json_integer(m->head_dim));
    put(out, "hidden_act", json_string("silu"));
    put(out, "max_position_embeddings", json_integer(m->max_position_embeddings));
    put(out, "rms_norm_eps", json_real(m->norm_eps));
    /* rope_theta: as releases before 5 spell it */
    put(out, "rope_theta", json_real(m->rope_theta));
    put(out, "rope_parameters",
        kind == HF_GLM4_MOE ? json_pack("{s:s, s:f, s:f}", "rope_type", "default", "rope_theta",
                                        m->rope_theta, "partial_rotary_factor", 1.0)
                            : json_pack("{s:s, s:f}", "rope_type", "default", "rope_theta", m->rope_theta));
    put(out, "tie_word_embeddings", json_false());
    put(out, "attention_dropout", json_real(0.0));
    put(out, "initializer_range", json_real(m->init_std));
    put(out, "torch_dtype", json_string("float32"));
    if (kind == HF_LLAMA) put(out, "mlp_bias", json_boolean(m->mlp_bias));
    if (kind == HF_LLAMA || kind == HF_GLM4_MOE || hf_qk_norm(kind))
        put(out, "attention_bias", json_boolean(m->attention_bias));
    if (kind == HF_QWEN2_MOE) put(out, "qkv_bias", json_boolean(m->attention_bias));
}

static json_t *dense_layers(const struct weights *w) {
    json_t *list = json_array();
    int32_t row = 0;
    for (int32_t l = 0; l < w->model.num_hidden_layers; l++) {
        if (row < w->moe.num_layers && w->moe.layers[row] == l) {
            row++;
        } else {
            json_array_append_new(list, json_integer(l));
        }
    }
    return list;
}

static void put_moe(struct writer *out, enum huggingface_class kind, const struct weights *w) {
    const struct moe_config *moe = &w->moe;
    put(out, "num_experts_per_tok", json_integer(moe->num_active_experts));
    put(out, "output_router_logits", json_false());
    switch (kind) {
    case HF_MIXTRAL:
        put(out, "num_local_experts", json_integer(moe->num_experts));
        put(out, "intermediate_size", json_integer(moe->intermediate_size));
        put(out, "router_jitter_noise", json_real(0.0));
        put(out, "sliding_window", json_null());
        break;
    case HF_QWEN2_MOE:
        put(out, "num_experts", json_integer(moe->num_experts));
        put(out, "moe_intermediate_size", json_integer(moe->intermediate_size));
        put(out, "shared_expert_intermediate_size",
            json_integer((json_int_t)moe->num_shared_experts * moe->intermediate_size));
        put(out, "norm_topk_prob", json_boolean(weights_renormalise(moe)));
        put(out, "decoder_sparse_step", json_integer(1));
        put(out, "mlp_only_layers", dense_layers(w));
        put(out, "use_sliding_window", json_false());
        break;
    case HF_GLM4_MOE:
        put(out, "n_routed_experts", json_integer(moe->num_experts));
        put(out, "n_shared_experts", json_integer(moe->num_shared_experts));
        put(out, "moe_intermediate_size", json_integer(moe->intermediate_size));
        put(out, "norm_topk_prob", json_boolean(weights_renormalise(moe)));
        put(out, "first_k_dense_replace", json_integer(w->model.num_hidden_layers - moe->num_layers));
        put(out, "n_group", json_integer(1));
        put(out, "topk_group", json_integer(1));
        put(out, "routed_scaling_factor", json_real(moe->routed_scaling_factor));
        put(out, "use_qk_norm", json_false());
        put(out, "partial_rotary_factor", json_real(1.0)); /* before release 5 */
        put(out, "num_nextn_predict_layers", json_integer(0));
        break;
    case HF_FLEX_OLMO:
    case HF_OLMOE:
        put(out, "num_experts", json_integer(moe->num_experts));
        put(out, "intermediate_size", json_integer(moe->intermediate_size));
        put(out, "norm_topk_prob", json_boolean(weights_renormalise(moe)));
        break;
    case HF_LLAMA:
    case HF_OLMO2:
    case HF_CLASS_COUNT:
        break;
    }
}

json_t *hf_config_json(enum huggingface_class kind, const struct weights *w,
                       struct huggingface_tokens tokens) {
    struct writer out = {.root = json_object()};
    put_model(&out, kind, &w->model);
    put_token(&out, "bos_token_id", tokens.bos);
    if (hf_qk_norm(kind)) put_token(&out, "pad_token_id", -1); /* theirs may lie outside the vocabulary */
    put_token(&out, "eos_token_id", tokens.eos);
    if (w->moe.num_layers > 0) put_moe(&out, kind, w);
    if (!out.failed) return out.root;
    json_decref(out.root);
    return NULL;
}
