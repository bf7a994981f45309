/* attention.h - causal multi-head attention with grouped key-value heads, optional rotary positions and
 * optional norms of queries and keys: one norm over all heads of a row's queries and one over its keys,
 * before the rotation (OLMo 2; Dehghani et al. 2023 norm each head). */
#ifndef NN_ATTENTION_H
#define NN_ATTENTION_H

#include "nn/linear.h"
#include "nn/norm.h"

struct attention_settings {
    int32_t hidden, heads, kv_heads, head_dim;
    int32_t layer; /* its number, for the cache of keys and values */
    bool bias, rope, qk_norm;
    enum norm_kind norm; /* of queries and keys */
    float norm_eps;
    float rope_theta;
    float dropout; /* on the attention probabilities */
    uint32_t site;
};

struct attention {
    struct attention_settings set;
    struct linear qkv, out;     /* qkv: [(heads + 2 kv_heads) head_dim, hidden], rows q, then k, then v */
    struct norm q_norm, k_norm; /* if qk_norm */
    act_t *projected;           /* [rows, (heads + 2 kv_heads) head_dim], kept: what qkv gives */
    act_t *packed;  /* the same with q and k as attention reads them; v stays in projected. Without
                       qk_norm it is projected itself */
    act_t *context; /* [rows, heads * head_dim], kept */
    float *lse;     /* [batch, heads, seq], kept */
    act_t *d_projected, *d_packed, *d_context; /* scratch; d_packed is d_projected without qk_norm */
    float *d_delta;                            /* [batch, heads, seq], scratch */
};

moe_status attention_declare(struct attention *a, struct params *params, const char *prefix,
                             const struct attention_settings *settings, struct linear_init init,
                             moe_err *err);
void attention_plan(struct attention *a, struct nn_memory *memory, struct nn_limits limits);
/* y [rows, hidden] from x [rows, hidden]; with pass->cache, over the cached positions too */
void attention_forward(const struct attention *a, const struct nn_pass *pass, act_t *y, const act_t *x);
void attention_backward(const struct attention *a, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                        const act_t *x, bool accumulate_dx);

#endif
