#include "nn/attention.h"

#include <math.h>
#include <stdio.h>

static int32_t packed_width(const struct attention_settings *s) {
    return (s->heads + 2 * s->kv_heads) * s->head_dim;
}

moe_status attention_declare(struct attention *a, struct params *params, const char *prefix,
                             const struct attention_settings *settings, struct linear_init init,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    *a = (struct attention){.set = *settings};
    snprintf(name, sizeof name, "%s.qkv", prefix);
    moe_try(linear_declare(&a->qkv, params, name, settings->hidden, packed_width(settings), settings->bias,
                           init, err));
    snprintf(name, sizeof name, "%s.out", prefix);
    moe_try(linear_declare(&a->out, params, name, settings->heads * settings->head_dim, settings->hidden,
                           settings->bias, init, err));
    if (settings->qk_norm) {
        snprintf(name, sizeof name, "%s.q_norm", prefix);
        moe_try(norm_declare(&a->q_norm, params, name, settings->norm, settings->heads * settings->head_dim,
                             settings->norm_eps, err));
        snprintf(name, sizeof name, "%s.k_norm", prefix);
        moe_try(norm_declare(&a->k_norm, params, name, settings->norm,
                             settings->kv_heads * settings->head_dim, settings->norm_eps, err));
        a->q_norm.stride = a->k_norm.stride = packed_width(settings);
    }
out:
    return status;
}

void attention_plan(struct attention *a, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    a->projected = nn_kept(memory, rows * packed_width(&a->set));
    a->packed = a->projected;
    if (a->set.qk_norm) {
        a->packed = nn_kept(memory, rows * packed_width(&a->set));
        norm_plan(&a->q_norm, memory, limits);
        norm_plan(&a->k_norm, memory, limits);
    }
    a->context = nn_kept(memory, rows * a->set.heads * a->set.head_dim);
    a->lse = arena_array(&memory->kept, float, rows * a->set.heads);
    const size_t mark = arena_mark(&memory->scratch);
    a->d_projected = nn_scratch(memory, rows * packed_width(&a->set));
    a->d_packed = a->set.qk_norm ? nn_scratch(memory, rows * packed_width(&a->set)) : a->d_projected;
    a->d_context = nn_scratch(memory, rows * a->set.heads * a->set.head_dim);
    a->d_delta = arena_array(&memory->scratch, float, rows * a->set.heads);
    arena_rewind(&memory->scratch, mark);
}

static struct attention_shape shape_of(const struct attention *a, const struct nn_pass *pass) {
    return (struct attention_shape){
        .batch = pass->batch,
        .seq = pass->seq,
        .heads = a->set.heads,
        .kv_heads = a->set.kv_heads,
        .head_dim = a->set.head_dim,
        .q_stride = packed_width(&a->set),
        .kv_stride = packed_width(&a->set),
        .scale = 1.0f / sqrtf((float)a->set.head_dim),
    };
}

/* Where keys and values begin in a packed row. */
static int64_t k_at(const struct attention *a) {
    return (int64_t)a->set.heads * a->set.head_dim;
}

static int64_t v_at(const struct attention *a) {
    return k_at(a) + (int64_t)a->set.kv_heads * a->set.head_dim;
}

/* Turns (or turns back) the q and k heads, which stand side by side in a packed row. */
static void rotate(const struct attention *a, const struct nn_pass *pass, act_t *packed, bool inverse) {
    pass->dev->ops->rope(pass->dev, packed, pass->rows, pass->seq, nn_first_position(pass),
                         a->set.heads + a->set.kv_heads, a->set.head_dim, packed_width(&a->set),
                         a->set.rope_theta, false, inverse);
}

/* a->context from a->packed, over the cached positions and the new ones */
static void attend_cached(const struct attention *a, const struct nn_pass *pass, const act_t *k,
                          const act_t *v) {
    const struct kv_cache *cache = pass->cache;
    const struct attention_shape shape = shape_of(a, pass);
    const struct cache_shape cached = {.capacity = cache->capacity, .first = cache->length};
    const int64_t layer_at = a->set.layer * pass->batch * cache->capacity * cache->width;
    pass->dev->ops->attention_decode(pass->dev, a->context, nn_at(pass, cache->keys, layer_at),
                                     nn_at(pass, cache->values, layer_at), a->packed, k, v, &shape, &cached);
}

void attention_forward(const struct attention *a, const struct nn_pass *pass, act_t *y, const act_t *x) {
    const struct attention_shape shape = shape_of(a, pass);
    act_t *k = nn_at(pass, a->packed, k_at(a));
    const act_t *v = nn_at(pass, a->projected, v_at(a));
    linear_forward(&a->qkv, pass, a->projected, x);
    if (a->set.qk_norm) {
        norm_forward(&a->q_norm, pass, a->packed, a->projected);
        norm_forward(&a->k_norm, pass, k, nn_at(pass, a->projected, k_at(a)));
    }
    if (a->set.rope) rotate(a, pass, a->packed, false);
    if (pass->cache != NULL) {
        attend_cached(a, pass, k, v);
    } else {
        pass->dev->ops->attention_forward(pass->dev, a->context, a->lse, a->packed, k, v, &shape,
                                          nn_dropout(pass, a->set.dropout, a->set.site));
    }
    linear_forward(&a->out, pass, y, a->context);
}

void attention_backward(const struct attention *a, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                        const act_t *x, bool accumulate_dx) {
    const struct attention_shape shape = shape_of(a, pass);
    act_t *dk = nn_at(pass, a->d_packed, k_at(a));
    linear_backward(&a->out, pass, a->d_context, dy, a->context, false);
    pass->dev->ops->attention_backward(pass->dev, a->d_packed, dk, nn_at(pass, a->d_projected, v_at(a)),
                                       a->d_delta, a->d_context, a->context, a->lse, a->packed,
                                       nn_at(pass, a->packed, k_at(a)), nn_at(pass, a->projected, v_at(a)),
                                       &shape, nn_dropout(pass, a->set.dropout, a->set.site));
    if (a->set.rope) rotate(a, pass, a->d_packed, true);
    if (a->set.qk_norm) {
        norm_backward(&a->q_norm, pass, a->d_projected, a->d_packed, a->projected, false);
        norm_backward(&a->k_norm, pass, nn_at(pass, a->d_projected, k_at(a)), dk,
                      nn_at(pass, a->projected, k_at(a)), false);
    }
    linear_backward(&a->qkv, pass, dx, a->d_projected, x, accumulate_dx);
}
