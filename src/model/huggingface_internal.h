/* huggingface_internal.h - what the files of model/huggingface share. */
#ifndef MODEL_HUGGINGFACE_INTERNAL_H
#define MODEL_HUGGINGFACE_INTERNAL_H

#include <jansson.h>

#include "model/huggingface.h"

#define HF_NAME_MAX 128

/* Where a tensor's elements lie. */
enum hf_place {
    HF_IN_VALUES = 0, /* weights.values + at */
    HF_IN_BIAS,       /* weights.bias + at */
    HF_ALL_ZERO,      /* nowhere: every element is 0 */
    HF_ANY            /* nowhere: without effect; written as 0 */
};

/* A tensor of the folder: whole rows of one of our parameters, so that no element has to move. */
struct hf_tensor {
    char name[HF_NAME_MAX];
    int32_t rank;
    int64_t shape[2];
    int64_t count; /* elements */
    enum hf_place place;
    int64_t at;
};

struct hf_tensors {
    struct hf_tensor *items;
    int64_t count, room;
};

/* Every tensor that a folder of that class has for these weights (which need not be allocated). */
moe_status hf_tensors_of(enum huggingface_class kind, const struct weights *w, struct hf_tensors *out,
                         moe_err *err);
void hf_tensors_free(struct hf_tensors *tensors);

/* Multiplies the down projections of all shared experts. */
void hf_scale_shared(struct weights *w, float factor);

/* The contents of config.json: a new reference, NULL when memory is out. */
json_t *hf_config_json(enum huggingface_class kind, const struct weights *w,
                       struct huggingface_tokens tokens);

/* Whether a class norms queries and keys, and whether its norms stand on the outputs of sublayers. */
static inline bool hf_qk_norm(enum huggingface_class kind) {
    return kind == HF_OLMO2 || kind == HF_FLEX_OLMO || kind == HF_OLMOE;
}

static inline bool hf_norms_outputs(enum huggingface_class kind) {
    return kind == HF_OLMO2 || kind == HF_FLEX_OLMO;
}

/* model_type of a class ("llama"). */
const char *hf_model_type(enum huggingface_class kind);

#endif
