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
out:
    return status;
}

void attention_plan(struct attention *a, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    a->packed = nn_kept(memory, rows * packed_width(&a->set));
    a->context = nn_kept(memory, rows * a->set.heads * a->set.head_dim);
    a->lse = arena_array(&memory->kept, float, rows * a->set.heads);
    const size_t mark = arena_mark(&memory->scratch);
    a->d_packed = nn_scratch(memory, rows * packed_width(&a->set));
    a->d_context = nn_scratch(memory, rows * a->set.heads * a->set.head_dim);
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
    const int64_t k_at = (int64_t)a->set.heads * a->set.head_dim;
    const int64_t v_at = k_at + (int64_t)a->set.kv_heads * a->set.head_dim;
    const act_t *k = nn_at(pass, a->packed, k_at), *v = nn_at(pass, a->packed, v_at);
    linear_forward(&a->qkv, pass, a->packed, x);
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
    const int64_t k_at = (int64_t)a->set.heads * a->set.head_dim;
    const int64_t v_at = k_at + (int64_t)a->set.kv_heads * a->set.head_dim;
    linear_backward(&a->out, pass, a->d_context, dy, a->context, false);
    pass->dev->ops->attention_backward(pass->dev, a->d_packed, nn_at(pass, a->d_packed, k_at),
                                       nn_at(pass, a->d_packed, v_at), a->d_context, a->context, a->lse,
                                       a->packed, nn_at(pass, a->packed, k_at), nn_at(pass, a->packed, v_at),
                                       &shape, nn_dropout(pass, a->set.dropout, a->set.site));
    if (a->set.rope) rotate(a, pass, a->d_packed, true);
    linear_backward(&a->qkv, pass, dx, a->d_packed, x, accumulate_dx);
}
