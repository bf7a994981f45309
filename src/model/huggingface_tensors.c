/* huggingface_tensors.c - which tensors a folder has, and which rows of our parameters they are. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/huggingface_internal.h"

/* Names that differ between the classes. */
struct moe_names {
    const char *block, *gate, *up, *down, *shared;
};

static const struct moe_names names_of[HF_CLASS_COUNT] = {
    [HF_MIXTRAL] = {"block_sparse_moe", "w1", "w3", "w2", NULL},
    [HF_QWEN2_MOE] = {"mlp", "gate_proj", "up_proj", "down_proj", "shared_expert"},
    [HF_GLM4_MOE] = {"mlp", "gate_proj", "up_proj", "down_proj", "shared_experts"},
    [HF_FLEX_OLMO] = {"mlp", "gate_proj", "up_proj", "down_proj", NULL},
    [HF_OLMOE] = {"mlp", "gate_proj", "up_proj", "down_proj", NULL},
};

/* What is being listed; the first failure stays in status. */
struct lister {
    const struct weights *w;
    struct hf_tensors *list;
    int32_t layer;
    moe_status status;
    moe_err *err;
};

static struct hf_tensor *add(struct lister *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A new tensor of that name, or NULL when memory is out. */
static struct hf_tensor *add(struct lister *l, const char *fmt, ...) {
    struct hf_tensors *list = l->list;
    va_list args;
    if (l->status != MOE_OK) return NULL;
    if (list->count == list->room) {
        const int64_t room = list->room == 0 ? 64 : 2 * list->room;
        struct hf_tensor *items = realloc(list->items, (size_t)room * sizeof *items);
        if (items == NULL) {
            l->status = moe_fail(l->err, MOE_ENOMEM, "no memory for a list of %lld tensors", (long long)room);
            return NULL;
        }
        list->items = items;
        list->room = room;
    }
    struct hf_tensor *t = &list->items[list->count++];
    memset(t, 0, sizeof *t);
    va_start(args, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, args);
    va_end(args);
    return t;
}

enum { VECTOR = -1 }; /* for `columns` of take() */

/* t = rows [first, first + rows) of a parameter whose last axis is `columns` wide. */
static void take(struct lister *l, struct hf_tensor *t, const char *param, int64_t first, int64_t rows,
                 int64_t columns) {
    if (t == NULL) return;
    const int32_t index = params_find(&l->w->params, param);
    const int64_t stride = columns == VECTOR ? 1 : columns;
    t->rank = columns == VECTOR ? 1 : 2;
    t->shape[0] = rows;
    t->shape[1] = columns == VECTOR ? 0 : columns;
    t->count = rows * stride;
    if (t->count == 0) { /* of shared experts that there are none of */
        t->place = HF_ANY;
        return;
    }
    if (index < 0) {
        l->status = moe_fail(l->err, MOE_EARG, "tensor %s: the model has no parameter %s", t->name, param);
        return;
    }
    t->at = l->w->params.items[index].offset + first * stride;
}

static const char *own(const struct lister *l, const char *suffix, char out[PARAM_NAME_MAX]) {
    snprintf(out, PARAM_NAME_MAX, "blocks.%d.%s", l->layer, suffix);
    return out;
}

static void add_attention(struct lister *l, enum huggingface_class kind) {
    const struct model_config *m = &l->w->model;
    const int64_t q = (int64_t)m->num_attention_heads * m->head_dim;
    const int64_t kv = (int64_t)m->num_key_value_heads * m->head_dim;
    const struct {
        const char *letter;
        int64_t first, rows;
    } parts[] = {{"q", 0, q}, {"k", q, kv}, {"v", q + kv, kv}};
    char name[PARAM_NAME_MAX];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        take(l, add(l, "model.layers.%d.self_attn.%s_proj.weight", l->layer, parts[i].letter),
             own(l, "attention.qkv.weight", name), parts[i].first, parts[i].rows, m->hidden_size);
        if (!m->attention_bias) continue;
        take(l, add(l, "model.layers.%d.self_attn.%s_proj.bias", l->layer, parts[i].letter),
             own(l, "attention.qkv.bias", name), parts[i].first, parts[i].rows, VECTOR);
    }
    take(l, add(l, "model.layers.%d.self_attn.o_proj.weight", l->layer), own(l, "attention.out.weight", name),
         0, m->hidden_size, q);
    if (m->attention_bias && (kind == HF_LLAMA || hf_qk_norm(kind)))
        take(l, add(l, "model.layers.%d.self_attn.o_proj.bias", l->layer), own(l, "attention.out.bias", name),
             0, m->hidden_size, VECTOR);
    if (!hf_qk_norm(kind)) return;
    take(l, add(l, "model.layers.%d.self_attn.q_norm.weight", l->layer),
         own(l, "attention.q_norm.weight", name), 0, q, VECTOR);
    take(l, add(l, "model.layers.%d.self_attn.k_norm.weight", l->layer),
         own(l, "attention.k_norm.weight", name), 0, kv, VECTOR);
}

/* The two norms of a block: before attention and feed-forward, or behind them. */
static void add_norms(struct lister *l, enum huggingface_class kind) {
    static const char *const before[] = {"input_layernorm", "post_attention_layernorm"};
    static const char *const behind[] = {"post_attention_layernorm", "post_feedforward_layernorm"};
    const char *const *names = hf_norms_outputs(kind) ? behind : before;
    const int64_t width = l->w->model.hidden_size;
    char name[PARAM_NAME_MAX];
    take(l, add(l, "model.layers.%d.%s.weight", l->layer, names[0]), own(l, "norm1.weight", name), 0, width,
         VECTOR);
    take(l, add(l, "model.layers.%d.%s.weight", l->layer, names[1]), own(l, "norm2.weight", name), 0, width,
         VECTOR);
}

/* One feed-forward network; fc1 holds the rows of the gate and then of up. */
static void add_ffn(struct lister *l, const char *theirs, const char *ours, int64_t width, bool bias) {
    const int64_t hidden = l->w->model.hidden_size;
    char fc1[PARAM_NAME_MAX], fc2[PARAM_NAME_MAX], suffix[PARAM_NAME_MAX - 16];
    for (int b = 0; b <= (bias ? 1 : 0); b++) {
        const char *what = b == 1 ? "bias" : "weight";
        snprintf(suffix, sizeof suffix, "%s.fc1.%s", ours, what);
        own(l, suffix, fc1);
        snprintf(suffix, sizeof suffix, "%s.fc2.%s", ours, what);
        own(l, suffix, fc2);
        const char *format = "model.layers.%d.%s.%s_proj.%s";
        const int64_t in = b == 1 ? VECTOR : hidden;
        take(l, add(l, format, l->layer, theirs, "gate", what), fc1, 0, width, in);
        take(l, add(l, format, l->layer, theirs, "up", what), fc1, width, width, in);
        take(l, add(l, format, l->layer, theirs, "down", what), fc2, 0, hidden, b == 1 ? VECTOR : width);
    }
}

static void add_experts(struct lister *l, const struct moe_names *names) {
    const int64_t hidden = l->w->model.hidden_size, width = l->w->moe.intermediate_size;
    char fc1[PARAM_NAME_MAX], fc2[PARAM_NAME_MAX];
    own(l, "moe.experts.fc1.weight", fc1);
    own(l, "moe.experts.fc2.weight", fc2);
    for (int32_t e = 0; e < l->w->moe.num_experts; e++) {
        const char *format = "model.layers.%d.%s.experts.%d.%s.weight";
        take(l, add(l, format, l->layer, names->block, e, names->gate), fc1, 2 * width * e, width, hidden);
        take(l, add(l, format, l->layer, names->block, e, names->up), fc1, 2 * width * e + width, width,
             hidden);
        take(l, add(l, format, l->layer, names->block, e, names->down), fc2, hidden * e, hidden, width);
    }
}

static void add_moe(struct lister *l, enum huggingface_class kind, int32_t row) {
    const struct moe_names *names = &names_of[kind];
    const struct moe_config *moe = &l->w->moe;
    const int64_t shared = (int64_t)moe->num_shared_experts * moe->intermediate_size;
    char name[PARAM_NAME_MAX], block[64];
    take(l, add(l, "model.layers.%d.%s.gate.weight", l->layer, names->block),
         own(l, "moe.router.weight", name), 0, moe->num_experts, l->w->model.hidden_size);
    add_experts(l, names);
    if (names->shared != NULL) {
        snprintf(block, sizeof block, "%s.%s", names->block, names->shared);
        add_ffn(l, block, "moe.shared", shared, false);
    }
    struct hf_tensor *extra = NULL;
    if (kind == HF_QWEN2_MOE) {
        extra = add(l, "model.layers.%d.mlp.shared_expert_gate.weight", l->layer);
        if (extra == NULL) return;
        extra->rank = 2;
        extra->shape[0] = 1;
        extra->shape[1] = extra->count = l->w->model.hidden_size;
        extra->place = shared > 0 ? HF_ALL_ZERO : HF_ANY;
    }
    if (kind == HF_GLM4_MOE) {
        extra = add(l, "model.layers.%d.mlp.gate.e_score_correction_bias", l->layer);
        if (extra == NULL) return;
        extra->rank = 1;
        extra->shape[0] = extra->count = moe->num_experts;
        extra->place = HF_IN_BIAS;
        extra->at = (int64_t)row * moe->num_experts;
    }
}

moe_status hf_tensors_of(enum huggingface_class kind, const struct weights *w, struct hf_tensors *out,
                         moe_err *err) {
    struct lister l = {.w = w, .list = out, .err = err};
    const struct model_config *m = &w->model;
    int32_t row = 0;
    *out = (struct hf_tensors){0};
    take(&l, add(&l, "model.embed_tokens.weight"), "token_embedding.weight", 0, m->vocab_size,
         m->hidden_size);
    take(&l, add(&l, "model.norm.weight"), "norm.weight", 0, m->hidden_size, VECTOR);
    take(&l, add(&l, "lm_head.weight"), "head.weight", 0, m->vocab_size, m->hidden_size);
    for (l.layer = 0; l.layer < m->num_hidden_layers && l.status == MOE_OK; l.layer++) {
        add_norms(&l, kind);
        add_attention(&l, kind);
        if (row < w->moe.num_layers && w->moe.layers[row] == l.layer) {
            add_moe(&l, kind, row++);
        } else {
            add_ffn(&l, "mlp", "ffn", m->intermediate_size, m->mlp_bias);
        }
    }
    if (l.status != MOE_OK) hf_tensors_free(out);
    return l.status;
}

void hf_tensors_free(struct hf_tensors *tensors) {
    free(tensors->items);
    *tensors = (struct hf_tensors){0};
}

void hf_scale_shared(struct weights *w, float factor) {
    char name[PARAM_NAME_MAX];
    for (int32_t i = 0; i < w->moe.num_layers && w->moe.num_shared_experts > 0; i++) {
        snprintf(name, sizeof name, "blocks.%d.moe.shared.fc2.weight", w->moe.layers[i]);
        const int32_t index = params_find(&w->params, name);
        const struct param *p = &w->params.items[index];
        for (int64_t k = 0; k < p->count; k++)
            w->values[p->offset + k] *= factor;
    }
}
