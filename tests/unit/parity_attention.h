/* parity_attention.h - normalisation, attention, rotary positions */
#ifndef PARITY_ATTENTION_H
#define PARITY_ATTENTION_H

#include "parity_harness.h"

struct norm_case {
    enum norm_kind kind;
    int64_t rows;
    int32_t width;
    int64_t x_gap, y_gap; /* elements between rows */
    float offset;         /* added to x: a mean far from 0 */
    bool accumulate;
};

/* No widths of 1 or 2: there dx is what is left when nearly equal numbers cancel, and float keeps few digits
 * of it. */
static const struct norm_case norm_cases[] = {
    {NORM_LAYER, 1, 9, 0, 0, 0.0f, false},     {NORM_LAYER, 3, 7, 0, 0, 0.5f, true},
    {NORM_LAYER, 130, 48, 16, 0, 0.0f, false}, {NORM_LAYER, 130, 257, 0, 3, 8.0f, true},
    {NORM_LAYER, 600, 33, 5, 7, 0.0f, true},   {NORM_LAYER, 65, 768, 0, 0, 0.0f, false},
    {NORM_RMS, 1, 5, 0, 0, 0.0f, false},       {NORM_RMS, 3, 9, 0, 0, 0.5f, true},
    {NORM_RMS, 130, 16, 32, 0, 0.0f, false},   {NORM_RMS, 130, 129, 0, 1, 8.0f, true},
    {NORM_RMS, 600, 40, 3, 9, 0.0f, false},    {NORM_RMS, 3, 1000, 0, 0, 0.0f, true},
};

static void norm_label(struct parity *t, const struct norm_case *c) {
    parity_case(t, "kind %d rows %d width %d gaps %d %d offset %g accumulate %d", (int)c->kind, (int)c->rows,
                c->width, (int)c->x_gap, (int)c->y_gap, (double)c->offset, c->accumulate);
    parity_needs(t, c->rows, 0, 0, c->width);
}

static float *norm_input(struct parity *t, const struct norm_case *c) {
    const int64_t stride = c->width + c->x_gap;
    float *x = parity_rows(t, "x", PARITY_IN, PARITY_ACT, c->rows, c->width, stride, 1.0f);
    for (int64_t i = 0; i < c->rows * stride; i++)
        if (!parity_poisoned(x[i])) x[i] += c->offset;
    return x;
}

static void call_norm_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct norm_case *c = args;
    const bool layer = c->kind == NORM_LAYER;
    dev->ops->norm_forward(dev, c->kind, p[0], layer ? p[1] : NULL, p[2], p[3], p[4], layer ? p[5] : NULL,
                           c->rows, c->width, c->width + c->x_gap, c->width + c->y_gap, 1e-5f);
}

static void norm_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, norm_forward, 2e-6);
    for (int i = 0; i < PARITY_COUNT(norm_cases); i++) {
        const struct norm_case *c = &norm_cases[i];
        norm_label(t, c);
        parity_acts(t, "y", PARITY_OUT, c->rows * (c->width + c->y_gap), 0.0f);
        parity_floor(t, 1.0);
        parity_floats(t, "mean", PARITY_OUT, c->rows, 0.0f);
        parity_floor(t, 1.0);
        parity_floats(t, "rstd", PARITY_OUT, c->rows, 0.0f);
        norm_input(t, c);
        parity_acts(t, "gamma", PARITY_IN, c->width, 1.0f);
        parity_acts(t, "beta", PARITY_IN, c->width, 1.0f);
        parity_run(t, call_norm_forward, c);
    }
    parity_end(t);
}

static void call_norm_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct norm_case *c = args;
    const bool layer = c->kind == NORM_LAYER;
    dev->ops->norm_backward(dev, c->kind, p[0], p[1], layer ? p[2] : NULL, p[3], p[4], layer ? p[5] : NULL,
                            p[6], p[7], c->rows, c->width, c->width + c->x_gap, c->width + c->y_gap,
                            c->accumulate);
}

static void norm_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, norm_backward, 5e-6);
    for (int i = 0; i < PARITY_COUNT(norm_cases); i++) {
        const struct norm_case *c = &norm_cases[i];
        const int64_t x_stride = c->width + c->x_gap, y_stride = c->width + c->y_gap;
        norm_label(t, c);
        parity_rows(t, "dx", c->accumulate ? PARITY_INOUT : PARITY_OUT, PARITY_ACT, c->rows, c->width,
                    x_stride, 0.1f);
        parity_floats(t, "dgamma", PARITY_INOUT, c->width, 0.1f);
        parity_floats(t, "dbeta", PARITY_INOUT, c->width, 0.1f);
        parity_rows(t, "dy", PARITY_IN, PARITY_ACT, c->rows, c->width, y_stride, 1.0f);
        const float *x = norm_input(t, c);
        float *mean = parity_floats(t, "mean", PARITY_IN, c->rows, 0.0f);
        float *rstd = parity_floats(t, "rstd", PARITY_IN, c->rows, 0.0f);
        const float *gamma = parity_acts(t, "gamma", PARITY_IN, c->width, 1.0f);
        parity_round(t);
        float *y = parity_need((size_t)(c->rows * c->width) * sizeof *y);
        const bool layer = c->kind == NORM_LAYER;
        t->reference->ops->norm_forward(t->reference, c->kind, y, layer ? mean : NULL, rstd, x, gamma,
                                        layer ? gamma : NULL, c->rows, c->width, x_stride, c->width, 1e-5f);
        free(y);
        parity_run(t, call_norm_backward, c);
    }
    parity_end(t);
}

/* ---- attention
 * ---------------------------------------------------------------------------------------------------- */

struct attention_case {
    int64_t batch, seq;
    int32_t heads, kv_heads, head_dim;
    bool packed; /* one buffer of rows [q | k | v] */
    int32_t gap; /* elements between rows, where not packed */
    float p, spread;
};

static const struct attention_case attention_cases[] = {
    {1, 1, 1, 1, 8, false, 0, 0.0f, 1.0f},     {2, 3, 2, 2, 5, true, 0, 0.0f, 1.0f},
    {1, 64, 2, 2, 16, true, 0, 0.1f, 1.0f},    {1, 72, 2, 1, 128, true, 0, 0.1f, 1.0f},
    {1, 65, 4, 2, 32, true, 0, 0.1f, 1.0f},    {1, 66, 1, 1, 96, true, 0, 0.0f, 1.0f},
    {2, 130, 3, 1, 12, false, 0, 0.2f, 1.0f},  {1, 100, 8, 8, 20, true, 0, 0.0f, 2.0f},
    {3, 37, 6, 3, 7, false, 11, 0.5f, 1.0f},   {1, 192, 2, 1, 64, true, 0, 0.1f, 1.0f},
    {1, 129, 1, 1, 128, false, 1, 0.0f, 1.0f}, {2, 63, 5, 5, 48, true, 0, 0.1f, 3.0f},
};

/* Whether a backend is asked for heads that it has no room for. */
static bool attention_is_too_wide(const struct parity *t, const struct attention_case *c) {
    const int32_t most = t->one->ops->max_head_dim;
    return most > 0 && c->head_dim > most;
}

struct attention_layout {
    struct attention_shape shape;
    struct dropout drop;
    bool packed;
    size_t k_at, v_at; /* elements from q to k and v in the packed row */
};

static struct attention_layout attention_layout(const struct attention_case *c) {
    const int64_t q_width = (int64_t)c->heads * c->head_dim, kv_width = (int64_t)c->kv_heads * c->head_dim;
    const int64_t packed = q_width + 2 * kv_width;
    return (struct attention_layout){
        .shape = {.batch = c->batch,
                  .seq = c->seq,
                  .heads = c->heads,
                  .kv_heads = c->kv_heads,
                  .head_dim = c->head_dim,
                  .q_stride = c->packed ? packed : q_width + c->gap,
                  .kv_stride = c->packed ? packed : kv_width + c->gap,
                  .scale = 1.0f / sqrtf((float)c->head_dim)},
        .drop = dropout_make(c->p, 77, 3, 5),
        .packed = c->packed,
        .k_at = (size_t)q_width,
        .v_at = (size_t)(q_width + kv_width),
    };
}

/* Adds q, k, v (or their gradients) as one packed slot or three; they are p[0..2] of what attention_views()
 * returns. */
static void attention_slots(struct parity *t, const struct attention_case *c,
                            const struct attention_layout *l, enum parity_role role, bool gradient) {
    const int64_t rows = c->batch * c->seq;
    const int64_t q_width = (int64_t)c->heads * c->head_dim, kv_width = (int64_t)c->kv_heads * c->head_dim;
    const int64_t q_stride = l->shape.q_stride, kv_stride = l->shape.kv_stride;
    if (c->packed) {
        parity_rows(t, gradient ? "dqkv" : "qkv", role, PARITY_ACT, rows, q_stride, q_stride, c->spread);
        parity_floor(t, 1.0);
        return;
    }
    parity_rows(t, gradient ? "dq" : "q", role, PARITY_ACT, rows, q_width, q_stride, c->spread);
    parity_floor(t, 1.0);
    parity_rows(t, gradient ? "dk" : "k", role, PARITY_ACT, rows, kv_width, kv_stride, c->spread);
    parity_floor(t, 1.0);
    parity_rows(t, gradient ? "dv" : "v", role, PARITY_ACT, rows, kv_width, kv_stride, 1.0f);
    parity_floor(t, 1.0);
}

struct attention_views {
    void *q, *k, *v;
};

static struct attention_views attention_views(const struct attention_layout *l, void *const *p,
                                              size_t act_size) {
    if (!l->packed) return (struct attention_views){p[0], p[1], p[2]};
    unsigned char *base = p[0];
    return (struct attention_views){base, base + l->k_at * act_size, base + l->v_at * act_size};
}

static void attention_label(struct parity *t, const struct attention_case *c) {
    parity_case(t, "batch %d seq %d heads %d kv %d head_dim %d packed %d gap %d dropout %g spread %g",
                (int)c->batch, (int)c->seq, c->heads, c->kv_heads, c->head_dim, c->packed, c->gap,
                (double)c->p, (double)c->spread);
    parity_needs(t, c->batch * c->seq, 0, c->seq, (int64_t)c->heads * c->head_dim);
}

static void call_attention_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct attention_layout *l = args;
    const struct attention_views in = attention_views(l, p + 2, dev->ops->act_size);
    dev->ops->attention_forward(dev, p[0], p[1], in.q, in.k, in.v, &l->shape, l->drop);
}

static void attention_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, attention_forward, 5e-6);
    for (int i = 0; i < PARITY_COUNT(attention_cases); i++) {
        const struct attention_case *c = &attention_cases[i];
        if (attention_is_too_wide(t, c)) continue;
        const struct attention_layout l = attention_layout(c);
        attention_label(t, c);
        parity_acts(t, "out", PARITY_OUT, c->batch * c->seq * c->heads * c->head_dim, 0.0f);
        parity_floats(t, "lse", PARITY_OUT, c->batch * c->heads * c->seq, 0.0f);
        attention_slots(t, c, &l, PARITY_IN, false);
        parity_run(t, call_attention_forward, &l);
    }
    parity_end(t);
}

static void call_attention_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct attention_layout *l = args;
    const struct attention_views in = attention_views(l, p + 3, dev->ops->act_size);
    const struct attention_views d = attention_views(l, p + (l->packed ? 4 : 6), dev->ops->act_size);
    dev->ops->attention_backward(dev, d.q, d.k, d.v, p[l->packed ? 5 : 9], p[0], p[1], p[2], in.q, in.k, in.v,
                                 &l->shape, l->drop);
}

static void attention_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, attention_backward, 1e-5);
    for (int i = 0; i < PARITY_COUNT(attention_cases); i++) {
        const struct attention_case *c = &attention_cases[i];
        if (attention_is_too_wide(t, c)) continue;
        const struct attention_layout l = attention_layout(c);
        const int64_t count = c->batch * c->seq * c->heads * c->head_dim;
        attention_label(t, c);
        parity_acts(t, "dout", PARITY_IN, count, 1.0f);
        float *out = parity_acts(t, "out", PARITY_IN, count, 0.0f);
        float *lse = parity_floats(t, "lse", PARITY_IN, c->batch * c->heads * c->seq, 0.0f);
        attention_slots(t, c, &l, PARITY_IN, false);
        attention_slots(t, c, &l, PARITY_OUT, true);
        parity_floats(t, "delta", PARITY_SCRATCH, c->batch * c->heads * c->seq, 0.0f);
        parity_round(t);
        void *const images[3] = {t->slot[3].initial, t->slot[4].initial, t->slot[5].initial};
        const struct attention_views in = attention_views(&l, images, sizeof(float));
        t->reference->ops->attention_forward(t->reference, out, lse, in.q, in.k, in.v, &l.shape, l.drop);
        parity_run(t, call_attention_backward, &l);
    }
    parity_end(t);
}

static void call_attention_both(struct device *dev, void *const *p, const void *args, double *host) {
    const struct attention_layout *l = args;
    const struct attention_views in = attention_views(l, p + 3, dev->ops->act_size);
    dev->ops->attention_forward(dev, p[1], p[2], in.q, in.k, in.v, &l->shape, l->drop);
    call_attention_backward(dev, p, args, host);
}

/* Scores of a model that has diverged: every softmax picks one key, and what rounding leaves of the others is
 * nobody's any more; but no probability may be above 1, and no gradient infinite. */
static void attention_backward_stays_finite(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, attention_backward, 0.0);
    const struct attention_case c = {1, 130, 2, 2, 20, false, 0, 0.0f, 1e5f};
    const struct attention_layout l = attention_layout(&c);
    const int64_t count = c.batch * c.seq * c.heads * c.head_dim;
    attention_label(t, &c);
    const float *dout = parity_acts(t, "dout", PARITY_IN, count, 1.0f);
    parity_acts(t, "out", PARITY_OUT, count, 0.0f);
    parity_floats(t, "lse", PARITY_OUT, c.batch * c.heads * c.seq, 0.0f);
    attention_slots(t, &c, &l, PARITY_IN, false);
    attention_slots(t, &c, &l, PARITY_OUT, true);
    parity_floats(t, "delta", PARITY_SCRATCH, c.batch * c.heads * c.seq, 0.0f);
    parity_round(t);
    parity_execute(t, 1, call_attention_both, &l);
    double whole = 0.0;
    for (int64_t i = 0; i < count; i++)
        whole += fabs((double)dout[i]);
    for (int slot = 6; slot < 9; slot++) {
        const struct parity_slot *s = &t->slot[slot];
        const double most = slot == 8 ? whole : FLT_MAX;
        for (int64_t i = 0; i < count; i++) {
            const double got = (double)((const float *)s->result[1])[i];
            if (!(fabs(got) <= most)) parity_fail(t, "%s[%d] is %g, at most %g", s->name, (int)i, got, most);
        }
    }
    parity_end(t);
}

/* ---- attention over a cache
 * --------------------------------------------------------------------------------------- */

struct decode_case {
    int64_t batch, seq, first, capacity;
    int32_t heads, kv_heads, head_dim, gap;
    float spread;
};

static const struct decode_case decode_cases[] = {
    {1, 1, 0, 1, 1, 1, 8, 0, 1.0f},      {1, 1, 9, 10, 2, 2, 5, 0, 1.0f},
    {1, 1, 511, 600, 8, 4, 8, 0, 1.0f},  {2, 1, 65, 70, 6, 3, 7, 11, 2.0f},
    {1, 40, 0, 64, 4, 2, 32, 0, 1.0f},   {3, 5, 17, 40, 4, 1, 16, 0, 3.0f},
    {2, 33, 1, 34, 3, 3, 12, 1, 1.0f},   {1, 130, 100, 230, 2, 1, 64, 0, 1.0f},
    {1, 2, 31, 33, 12, 12, 48, 0, 1.0f}, {1, 1, 2047, 2048, 1, 1, 128, 0, 4.0f},
};

struct decode_layout {
    struct attention_shape shape;
    struct cache_shape cache;
    int64_t width; /* of a cached row */
};

static struct decode_layout decode_layout(const struct decode_case *c) {
    const int64_t width = (int64_t)c->kv_heads * c->head_dim;
    return (struct decode_layout){
        .shape = {.batch = c->batch,
                  .seq = c->seq,
                  .heads = c->heads,
                  .kv_heads = c->kv_heads,
                  .head_dim = c->head_dim,
                  .q_stride = (int64_t)c->heads * c->head_dim + c->gap,
                  .kv_stride = width + 2 * c->gap,
                  .scale = 1.0f / sqrtf((float)c->head_dim)},
        .cache = {.capacity = c->capacity, .first = c->first},
        .width = width,
    };
}

/* A cache in which only the positions before `first` hold numbers: later ones must be neither read nor, past
 * the new rows, written. */
static void decode_cache_slot(struct parity *t, const char *name, const struct decode_layout *l,
                              float spread) {
    const int64_t capacity = l->cache.capacity, positions = l->shape.batch * capacity;
    float *x = parity_rows(t, name, PARITY_INOUT, PARITY_ACT, positions, l->width, l->width, spread);
    for (int64_t i = 0; i < positions * l->width; i++)
        if (i / l->width % capacity >= l->cache.first) memset(&x[i], PARITY_POISON, sizeof x[i]);
}

static void call_attention_decode(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct decode_layout *l = args;
    dev->ops->attention_decode(dev, p[0], p[1], p[2], p[3], p[4], p[5], &l->shape, &l->cache);
}

static void attention_decode_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, attention_decode, 5e-6);
    for (int i = 0; i < PARITY_COUNT(decode_cases); i++) {
        const struct decode_case *c = &decode_cases[i];
        const struct decode_layout l = decode_layout(c);
        const int64_t rows = c->batch * c->seq, q_width = (int64_t)c->heads * c->head_dim;
        parity_case(t, "batch %d seq %d first %d capacity %d heads %d kv %d head_dim %d gap %d spread %g",
                    (int)c->batch, (int)c->seq, (int)c->first, (int)c->capacity, c->heads, c->kv_heads,
                    c->head_dim, c->gap, (double)c->spread);
        parity_needs(t, rows, 0, c->capacity, q_width);
        parity_acts(t, "out", PARITY_OUT, rows * q_width, 0.0f);
        decode_cache_slot(t, "k_cache", &l, c->spread);
        decode_cache_slot(t, "v_cache", &l, 1.0f);
        parity_rows(t, "q", PARITY_IN, PARITY_ACT, rows, q_width, l.shape.q_stride, c->spread);
        parity_rows(t, "k", PARITY_IN, PARITY_ACT, rows, l.width, l.shape.kv_stride, c->spread);
        parity_rows(t, "v", PARITY_IN, PARITY_ACT, rows, l.width, l.shape.kv_stride, 1.0f);
        parity_run(t, call_attention_decode, &l);
    }
    parity_end(t);
}

/* ---- rotary positions
 * --------------------------------------------------------------------------------------------- */

struct rope_case {
    int64_t rows, seq, first;
    int32_t heads, head_dim, gap;
    float theta;
    bool interleaved, inverse;
};

static const struct rope_case rope_cases[] = {
    {1, 1, 0, 1, 2, 0, 1e4f, false, false},        {3, 3, 0, 1, 2, 0, 1e4f, true, false},
    {130, 65, 0, 3, 6, 5, 1e4f, false, true},      {130, 130, 0, 4, 16, 64, 1e4f, true, true},
    {256, 128, 0, 2, 48, 0, 5e5f, false, false},   {100, 50, 0, 5, 34, 1, 5e5f, true, false},
    {2048, 2048, 0, 1, 64, 0, 1e4f, false, false}, {2048, 2048, 0, 1, 32, 0, 5e5f, true, true},
    {1, 1, 2047, 8, 8, 3, 1e4f, false, false},     {3, 1, 77, 2, 12, 0, 1e4f, true, false},
    {60, 20, 300, 3, 16, 0, 5e5f, false, true},
};

static void call_rope(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct rope_case *c = args;
    dev->ops->rope(dev, p[0], c->rows, c->seq, c->first, c->heads, c->head_dim,
                   (int64_t)c->heads * c->head_dim + c->gap, c->theta, c->interleaved, c->inverse);
}

static void rope_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, rope, 2e-6);
    for (int i = 0; i < PARITY_COUNT(rope_cases); i++) {
        const struct rope_case *c = &rope_cases[i];
        const int64_t width = (int64_t)c->heads * c->head_dim;
        parity_case(t,
                    "rows %d seq %d first %d heads %d head_dim %d gap %d theta %g interleaved %d inverse %d",
                    (int)c->rows, (int)c->seq, (int)c->first, c->heads, c->head_dim, c->gap, (double)c->theta,
                    c->interleaved, c->inverse);
        parity_needs(t, c->rows, 0, c->seq, width);
        parity_rows(t, "x", PARITY_INOUT, PARITY_ACT, c->rows, width, width + c->gap, 1.0f);
        parity_run(t, call_rope, c);
    }
    parity_end(t);
}

#endif
