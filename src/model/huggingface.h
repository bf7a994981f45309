/* huggingface.h - models as folders of Hugging Face transformers: config.json and safetensors.
 *
 * Four of its classes together express every decoder here that is Llama-like (RMSNorm before each sublayer,
 * rotary positions, SwiGLU, untied head), three more those with queries and keys normed as in OLMo 2; names
 * of options as in transformers 5:
 *
 *   LlamaForCausalLM     dense
 *   MixtralForCausalLM   softmax router, renormalised weights, every layer MoE, no shared experts
 *   Qwen2MoeForCausalLM  softmax router, weights as they are or renormalised, dense layers anywhere, shared
 *                        experts. Its shared expert has a gate sigmoid(g x): with g = 0 that is 1/2, which a
 *                        doubled down_proj cancels, so the two are equal to the bit
 *   Glm4MoeForCausalLM   sigmoid router with a selection bias, dense layers at the front only, shared experts
 *
 *   Olmo2ForCausalLM     dense, model.qk_norm, norms on the outputs of sublayers
 *   FlexOlmoForCausalLM  the same with a softmax router in every layer, weights as they are or renormalised
 *   OlmoeForCausalLM     such a router, model.qk_norm, norms before sublayers
 *
 * They compute what decoder_eval_batch() does: capacity, dropout and the balance losses act in training only
 * and have no place in the folder. Qwen3-MoE norms every head of queries and keys by itself, DeepSeek-V3
 * compresses them: no identity gives the attention here, so those folders are refused.
 */
#ifndef MODEL_HUGGINGFACE_H
#define MODEL_HUGGINGFACE_H

#include "model/weights.h"

enum huggingface_class {
    HF_LLAMA = 0,
    HF_MIXTRAL,
    HF_QWEN2_MOE,
    HF_GLM4_MOE,
    HF_OLMO2,
    HF_FLEX_OLMO,
    HF_OLMOE,
    HF_CLASS_COUNT
};

/* "LlamaForCausalLM" */
const char *huggingface_class_name(enum huggingface_class kind);

/* The class that expresses these weights exactly (but for moe.renormalize_eps of at most 1e-6, which they
 * lack). MOE_ENOTSUP names the option that none of them has, and what was looked for. */
moe_status huggingface_class_of(const struct weights *w, enum huggingface_class *out_kind, moe_err *err);

/* Ids that begin and end a text; -1 = none. */
struct huggingface_tokens {
    int32_t bos, eos;
};

/* Writes FOLDER/model.safetensors and then FOLDER/config.json. Changes the weights: the router's temperature
 * is folded into them, shared experts of HF_QWEN2_MOE are doubled. MOE_EEXIST if one of the files is there.
 */
moe_status huggingface_export(const char *folder, struct weights *w, struct huggingface_tokens tokens,
                              moe_err *err);

/* What a config.json describes. */
struct huggingface_model {
    enum huggingface_class kind;
    struct model_config model;
    struct moe_config moe;
    bool tied; /* the head is the token embedding: it is copied */
};

/* Reads FOLDER/config.json. MOE_ENOTFOUND: no such file. MOE_EFORMAT: not JSON, or a key is missing or of
 * another type. MOE_ENOTSUP: a class or an option that decoders here do not have, by name. */
moe_status huggingface_config(const char *folder, struct huggingface_model *out, moe_err *err);

/* Reads the tensors of a folder (model.safetensors, or the files of model.safetensors.index.json; F32, F64,
 * BF16, F16) into weights made from its huggingface_config(); allocates them. MOE_ENOTFOUND or MOE_EMISMATCH:
 * a tensor is missing or has another shape; MOE_ENOTSUP: a tensor has no place in the model. */
moe_status huggingface_import(const char *folder, const struct huggingface_model *from, struct weights *w,
                              moe_err *err);

#endif
