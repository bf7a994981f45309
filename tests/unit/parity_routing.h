/* parity_routing.h - router, route, gather, combine, histogram */
#ifndef PARITY_ROUTING_H
#define PARITY_ROUTING_H

#include "parity_harness.h"

struct router_case {
    struct router_shape shape;
    bool bias;      /* select_bias */
    bool tied;      /* inputs are small integers: logits are exact and often equal */
    float dweight;  /* scale of the weights' gradient */
    bool prob_grad; /* a balance loss */
    float z_grad;
    bool dx;
};

#define ROUTER(rows, d, e, k, kind, temperature, renormalize, eps)                                           \
    { (rows), (d), (e), (k), (kind), (temperature), (renormalize), (eps), (eps) > 0 ? 2.5f : 1.0f }

static const struct router_case router_cases[] = {
    {ROUTER(1, 8, 1, 1, ROUTER_SOFTMAX, 1.0f, false, 0.0f), false, false, 1.0f, false, 0.0f, true},
    {ROUTER(3, 7, 2, 1, ROUTER_SOFTMAX, 1.0f, false, 0.0f), false, false, 1.0f, true, 0.0f, true},
    {ROUTER(130, 33, 8, 1, ROUTER_SOFTMAX, 0.73f, false, 0.0f), false, false, 1.0f, true, 1e-3f, true},
    {ROUTER(130, 64, 8, 2, ROUTER_SOFTMAX, 0.5f, true, 1e-6f), false, false, 1.0f, false, 0.0f, true},
    {ROUTER(200, 20, 5, 5, ROUTER_SOFTMAX, 1.0f, true, 0.0f), false, false, 1.0f, true, 1e-2f, false},
    {ROUTER(130, 40, 64, 8, ROUTER_SOFTMAX, 1.0f, true, 1e-9f), true, false, 1.0f, true, 0.0f, true},
    {ROUTER(130, 40, 64, 64, ROUTER_SOFTMAX, 1.0f, false, 0.0f), false, false, 1.0f, false, 1e-3f, true},
    {ROUTER(3, 16, 8, 1, ROUTER_SIGMOID, 1.0f, true, 1e-6f), true, false, 1.0f, false, 0.0f, true},
    {ROUTER(130, 48, 8, 1, ROUTER_SIGMOID, 1.0f, true, 1e-6f), false, false, 1.0f, false, 0.0f, true},
    {ROUTER(130, 48, 8, 1, ROUTER_SOFTMAX, 1.0f, true, 1e-6f), false, false, 1.0f, false, 0.0f, true},
    {ROUTER(130, 33, 32, 4, ROUTER_SIGMOID, 0.8f, true, 1e-9f), true, false, 1.0f, true, 1e-3f, true},
    {ROUTER(257, 24, 13, 3, ROUTER_SIGMOID, 1.0f, false, 0.0f), true, false, 1.0f, true, 0.0f, true},
    {ROUTER(130, 8, 16, 4, ROUTER_SOFTMAX, 1.0f, true, 1e-9f), false, true, 1.0f, false, 0.0f, true},
    {ROUTER(130, 8, 19, 7, ROUTER_SIGMOID, 2.0f, false, 0.0f), false, true, 1.0f, false, 0.0f, true},
    {ROUTER(65, 4, 37, 37, ROUTER_SOFTMAX, 1.0f, false, 0.0f), false, true, 0.0f, true, 0.0f, true},
};

static void router_label(struct parity *t, const struct router_case *c) {
    parity_case(
        t,
        "rows %d hidden %d experts %d top_k %d kind %d temperature %g renormalize %d eps %g bias %d tied %d",
        (int)c->shape.rows, c->shape.hidden, c->shape.experts, c->shape.top_k, (int)c->shape.kind,
        (double)c->shape.temperature, c->shape.renormalize, (double)c->shape.renormalize_eps, c->bias,
        c->tied);
    parity_needs(t, c->shape.rows, 0, 0,
                 c->shape.hidden > c->shape.experts ? c->shape.hidden : c->shape.experts);
}

/* Adds x, w, select_bias. Exact inputs are multiples of 1/4 small enough that any order of summation is
 * exact. */
static void router_inputs(struct parity *t, const struct router_case *c) {
    const int64_t xs = c->shape.rows * c->shape.hidden, ws = (int64_t)c->shape.experts * c->shape.hidden;
    float *x = parity_acts(t, "x", PARITY_IN, xs, 1.0f);
    float *w = parity_acts(t, "w", PARITY_IN, ws, 1.0f / sqrtf((float)c->shape.hidden));
    for (int64_t i = 0; c->tied && i < xs; i++)
        x[i] = (float)(parity_below(t, 5) - 2) * 0.5f;
    for (int64_t i = 0; c->tied && i < ws; i++)
        w[i] = (float)(parity_below(t, 3) - 1) * 0.5f;
    parity_floats(t, "select_bias", PARITY_IN, c->shape.experts, 0.1f);
}

enum {
    ROUTER_LOGITS,
    ROUTER_PROB,
    ROUTER_INDEX,
    ROUTER_WEIGHT,
    ROUTER_LOAD,
    ROUTER_MASS,
    ROUTER_ENTROPY,
    ROUTER_Z,
    ROUTER_X,
    ROUTER_W,
    ROUTER_BIAS
};

static void call_router_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct router_case *c = args;
    dev->ops->router_forward(dev, p[ROUTER_LOGITS], p[ROUTER_PROB], p[ROUTER_INDEX], p[ROUTER_WEIGHT],
                             p[ROUTER_LOAD], p[ROUTER_MASS], p[ROUTER_ENTROPY], p[ROUTER_Z], p[ROUTER_X],
                             p[ROUTER_W], c->bias ? p[ROUTER_BIAS] : NULL, &c->shape);
}

/* Whether rounding could change which experts are chosen or their order: two scores of a row nearer than
 * 1e-6, not counting pairs that are equal by construction. */
static bool router_is_close(struct parity *t, const struct router_case *c) {
    parity_round(t);
    parity_execute(t, 0, call_router_forward, c);
    const float *prob = t->slot[ROUTER_PROB].result[0], *bias = t->slot[ROUTER_BIAS].initial;
    const int32_t *index = t->slot[ROUTER_INDEX].result[0];
    const int32_t experts = c->shape.experts, top_k = c->shape.top_k;
    for (int64_t r = 0; !c->tied && r < c->shape.rows; r++) {
        for (int32_t k = 0; k < top_k; k++) {
            const int32_t chosen = index[r * top_k + k];
            const float *p = prob + r * experts;
            for (int32_t e = 0; e < experts; e++) {
                const float gap = p[e] - p[chosen] + (c->bias ? bias[e] - bias[chosen] : 0.0f);
                if (e != chosen && fabsf(gap) < 1e-6f * fmaxf(p[chosen], c->bias ? 0.1f : 0.0f)) return true;
            }
        }
    }
    return false;
}

static void router_forward_case(struct parity *t, const struct router_case *c) {
    const int64_t probs = c->shape.rows * c->shape.experts, slots = c->shape.rows * c->shape.top_k;
    parity_floats(t, "logits", PARITY_OUT, probs, 0.0f);
    parity_floor(t, 1.0);
    parity_floats(t, "prob", PARITY_OUT, probs, 0.0f);
    parity_ints(t, "index", PARITY_OUT, slots);
    parity_floats(t, "weight", PARITY_OUT, slots, 0.0f);
    parity_ints(t, "load", PARITY_OUT, c->shape.experts);
    parity_floats(t, "prob_mass", PARITY_OUT, c->shape.experts, 0.0f);
    parity_floats(t, "entropy", PARITY_OUT, 1, 0.0f);
    parity_floor(t, 1.0);
    parity_floats(t, "z", PARITY_OUT, 1, 0.0f);
    parity_floor(t, 1.0);
    router_inputs(t, c);
}

/* Declares the forward case, drawing inputs again until no selection hangs on the last bits. */
static void router_draw(struct parity *t, const struct router_case *c) {
    for (int attempt = 0; attempt < 50; attempt++) {
        router_label(t, c);
        router_forward_case(t, c);
        if (!router_is_close(t, c)) return;
    }
    fail_msg("%s: no inputs without near ties", t->label);
}

static void router_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, router_forward, 2e-6);
    for (int i = 0; i < PARITY_COUNT(router_cases); i++) {
        router_draw(t, &router_cases[i]);
        parity_run(t, call_router_forward, &router_cases[i]);
    }
    parity_end(t);
}

static void call_router_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct router_case *c = args;
    dev->ops->router_backward(dev, c->dx ? p[0] : NULL, p[1], p[2], p[3], c->prob_grad ? p[4] : NULL,
                              c->z_grad, p[5], p[6], p[7], p[8], p[9], &c->shape);
}

/* Gradients start from 0 where renormalised top-1 makes them tiny: the limit then sees their own size. */
static void router_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, router_backward, 1e-5);
    for (int i = 0; i < PARITY_COUNT(router_cases); i++) {
        const struct router_case *c = &router_cases[i];
        const int64_t probs = c->shape.rows * c->shape.experts, slots = c->shape.rows * c->shape.top_k;
        const float start = c->shape.renormalize && c->shape.top_k == 1 ? 0.0f : 0.1f;
        router_label(t, c);
        parity_acts(t, "dx", PARITY_INOUT, c->shape.rows * c->shape.hidden, start);
        parity_floats(t, "dw", PARITY_INOUT, (int64_t)c->shape.experts * c->shape.hidden, start);
        parity_floats(t, "dlogits", PARITY_SCRATCH, probs, 0.0f);
        parity_floats(t, "dweight", PARITY_IN, slots, c->dweight);
        parity_floats(t, "prob_grad", PARITY_IN, c->shape.experts, 1.0f);
        float *logits = parity_floats(t, "logits", PARITY_IN, probs, 0.0f);
        float *prob = parity_floats(t, "prob", PARITY_IN, probs, 0.0f);
        int32_t *index = parity_ints(t, "index", PARITY_IN, slots);
        router_inputs(t, c);
        parity_round(t);
        float *spare = parity_need(((size_t)slots + (size_t)c->shape.experts + 2) * sizeof *spare);
        int32_t *load = parity_need((size_t)c->shape.experts * sizeof *load);
        float *mass = spare + slots, *sums = mass + c->shape.experts;
        t->reference->ops->router_forward(t->reference, logits, prob, index, spare, load, mass, sums,
                                          sums + 1, t->slot[8].initial, t->slot[9].initial,
                                          c->bias ? t->slot[10].initial : NULL, &c->shape);
        free(spare);
        free(load);
        parity_run(t, call_router_backward, c);
    }
    parity_end(t);
}

/* ---- balance between the passes
 * ------------------------------------------------------------------------------------ */

static void call_balance_gradient(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    dev->ops->balance_gradient(dev, p[0], p[1], args);
}

static void balance_gradient_agrees(void **state) {
    static const struct balance_shape cases[] = {
        {1, 1, 1, 1, 1, false, 0.01},       {3, 8, 2, 8, 100, false, 0.01},
        {3, 8, 2, 11, 100, true, 0.01},     {2, 300, 8, 300, 513, true, 1.0},
        {12, 64, 8, 70, 4096, false, 1e-3}, {12, 64, 8, 64, 4096, true, 0.0},
    };
    struct parity *t = *state;
    PARITY_BEGIN(t, balance_gradient, 1e-7);
    for (int i = 0; i < PARITY_COUNT(cases); i++) {
        const struct balance_shape *c = &cases[i];
        const int64_t cells = (int64_t)c->layers * c->stride;
        parity_case(t, "layers %d experts %d top_k %d stride %d rows %d pooled %d", c->layers, c->experts,
                    c->top_k, c->stride, (int)c->rows, c->pooled);
        parity_needs(t, c->rows, 0, 0, c->experts);
        parity_floats(t, "prob_grad", PARITY_OUT, cells, 0.0f);
        int32_t *load = parity_ints(t, "load", PARITY_IN, cells);
        for (int64_t j = 0; j < cells; j++)
            load[j] = (int32_t)parity_below(t, c->rows);
        parity_run(t, call_balance_gradient, c);
    }
    parity_end(t);
}

/* ---- route
 * -------------------------------------------------------------------------------------------------------- */

enum route_keys { KEYS_RANDOM, KEYS_EQUAL };

struct route_case {
    struct route_shape shape;
    enum route_keys keys;
    int32_t hot; /* every row's first choice is expert 0 if set */
    int32_t hidden;
    bool accumulate;
    bool unused; /* every fourth slot has no expert */
};

#define ROUTE(rows, e, k, capacity, policy)                                                                  \
    { (rows), (e), (k), (capacity), (policy) }

static const struct route_case route_cases[] = {
    {ROUTE(1, 1, 1, 0, DROP_BY_POSITION), KEYS_RANDOM, 0, 1, false, false},
    {ROUTE(3, 2, 1, 1, DROP_BY_POSITION), KEYS_RANDOM, 0, 5, true, false},
    {ROUTE(130, 8, 2, 0, DROP_BY_WEIGHT), KEYS_RANDOM, 0, 33, false, false},
    {ROUTE(130, 8, 2, 30, DROP_BY_POSITION), KEYS_RANDOM, 0, 64, true, false},
    {ROUTE(130, 8, 2, 30, DROP_BY_WEIGHT), KEYS_RANDOM, 0, 20, false, false},
    {ROUTE(130, 8, 2, 30, DROP_PUBLISHED_SLOT), KEYS_RANDOM, 0, 7, true, false},
    {ROUTE(257, 16, 4, 40, DROP_BY_WEIGHT), KEYS_EQUAL, 0, 9, false, false},
    {ROUTE(257, 16, 4, 40, DROP_PUBLISHED_SLOT), KEYS_EQUAL, 0, 9, false, false},
    {ROUTE(130, 64, 8, 17, DROP_BY_WEIGHT), KEYS_RANDOM, 1, 40, true, false},
    {ROUTE(300, 64, 1, 1, DROP_BY_POSITION), KEYS_RANDOM, 1, 3, false, false},
    {ROUTE(65, 5, 5, 50, DROP_PUBLISHED_SLOT), KEYS_RANDOM, 0, 100, false, false},
    {ROUTE(130, 3, 1, 1000, DROP_BY_WEIGHT), KEYS_RANDOM, 1, 8, false, false},
    {ROUTE(513, 4, 2, 257, DROP_BY_WEIGHT), KEYS_RANDOM, 0, 17, true, false},
    {ROUTE(130, 13, 13, 0, DROP_BY_POSITION), KEYS_RANDOM, 0, 12, true, false},
    {ROUTE(32, 10, 10, 0, DROP_BY_POSITION), KEYS_RANDOM, 0, 10, false, true},
    {ROUTE(130, 8, 4, 40, DROP_BY_WEIGHT), KEYS_RANDOM, 0, 33, true, true},
};

/* index [rows, K]: K different experts per row */
static void route_choices(struct parity *t, const struct route_case *c, int32_t *index) {
    const int32_t experts = c->shape.experts, top_k = c->shape.top_k;
    int32_t order[64];
    for (int64_t r = 0; r < c->shape.rows; r++) {
        for (int32_t e = 0; e < experts; e++)
            order[e] = e;
        for (int32_t k = 0; k < top_k; k++) {
            const int64_t pick = k == 0 && c->hot ? 0 : k + parity_below(t, experts - k);
            const int32_t chosen = order[pick];
            order[pick] = order[k];
            order[k] = chosen;
            index[r * top_k + k] = c->unused && (r * top_k + k) % 4 == 3 ? -1 : chosen;
        }
    }
}

/* Distinct values in (0, 1) in random order, or all 1. */
static void route_keys(struct parity *t, float *key, int64_t n, enum route_keys keys) {
    for (int64_t i = 0; i < n; i++)
        key[i] = keys == KEYS_EQUAL ? 1.0f : (float)(i + 1) / (float)(n + 1);
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = parity_below(t, i + 1);
        const float swap = key[i];
        key[i] = key[j];
        key[j] = swap;
    }
}

static void route_label(struct parity *t, const struct route_case *c) {
    parity_case(
        t,
        "rows %d experts %d top_k %d capacity %d policy %d keys %d hot %d hidden %d accumulate %d unused %d",
        (int)c->shape.rows, c->shape.experts, c->shape.top_k, (int)c->shape.capacity, (int)c->shape.policy,
        (int)c->keys, c->hot, c->hidden, c->accumulate, c->unused);
    parity_needs(t, c->shape.rows, 0, 0, c->hidden > c->shape.experts ? c->hidden : c->shape.experts);
}

static void call_route(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    dev->ops->route(dev, p[0], p[1], p[2], p[3], p[4], p[5], p[6], &c->shape);
}

static void route_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, route, 0.0);
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        const int64_t slots = c->shape.rows * c->shape.top_k, probs = c->shape.rows * c->shape.experts;
        route_label(t, c);
        parity_ints(t, "offsets", PARITY_OUT, c->shape.experts + 1);
        parity_ints(t, "position", PARITY_OUT, slots);
        parity_ints(t, "source", PARITY_PREFIX, slots);
        parity_ints(t, "dropped", PARITY_OUT, c->shape.experts);
        route_choices(t, c, parity_ints(t, "index", PARITY_IN, slots));
        route_keys(t, parity_floats(t, "weight", PARITY_IN, slots, 1.0f), slots, c->keys);
        route_keys(t, parity_floats(t, "prob", PARITY_IN, probs, 1.0f), probs, c->keys);
        parity_run(t, call_route, c);
    }
    parity_end(t);
}

/* ---- moving rows
 * -------------------------------------------------------------------------------------------------- */

/* A routing made by the reference for the cases below; offsets, position and source become input slots. */
static void routed_slots(struct parity *t, const struct route_case *c) {
    const int64_t slots = c->shape.rows * c->shape.top_k, probs = c->shape.rows * c->shape.experts;
    int32_t *offsets = parity_ints(t, "offsets", PARITY_IN, c->shape.experts + 1);
    int32_t *position = parity_ints(t, "position", PARITY_IN, slots);
    int32_t *source = parity_ints(t, "source", PARITY_IN, slots);
    float *weight = parity_floats(t, "weight", PARITY_IN, slots, 1.0f);
    int32_t *index = parity_need((size_t)slots * sizeof *index), dropped[64];
    float *keys = parity_need((size_t)(slots + probs) * sizeof *keys);
    route_choices(t, c, index);
    route_keys(t, keys, slots, c->keys);
    route_keys(t, keys + slots, probs, c->keys);
    t->reference->ops->route(t->reference, offsets, position, source, dropped, index, keys, keys + slots,
                             &c->shape);
    memcpy(weight, keys, (size_t)slots * sizeof *weight);
    free(index);
    free(keys);
}

static void call_gather(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    dev->ops->gather(dev, p[0], p[1], p[4], p[2], c->shape.experts, c->shape.rows * c->shape.top_k,
                     c->hidden);
}

static void gather_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gather, 0.0);
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        route_label(t, c);
        parity_acts(t, "y", PARITY_OUT, c->shape.rows * c->shape.top_k * c->hidden, 0.0f);
        parity_acts(t, "x", PARITY_IN, c->shape.rows * c->hidden, 1.0f);
        routed_slots(t, c);
        parity_run(t, call_gather, c);
    }
    parity_end(t);
}

static void call_gather_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    dev->ops->gather_backward(dev, p[0], p[1], p[3], c->shape.rows, c->shape.top_k, c->hidden, c->accumulate);
}

static void call_combine(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    dev->ops->combine(dev, p[0], p[1], p[5], p[3], c->shape.rows, c->shape.top_k, c->hidden, c->accumulate);
}

/* gather_backward and combine have the same slots. Rows that no slot holds are NaN: they must not be read. */
static void sum_of_slots_agrees(struct parity *t, parity_call call) {
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        const int64_t slots = c->shape.rows * c->shape.top_k;
        route_label(t, c);
        parity_acts(t, "out", c->accumulate ? PARITY_INOUT : PARITY_OUT, c->shape.rows * c->hidden, 1.0f);
        parity_floor(t, 1.0);
        float *y = parity_acts(t, "y", PARITY_IN, slots * c->hidden, 1.0f);
        routed_slots(t, c);
        const int64_t used = ((const int32_t *)t->slot[2].initial)[c->shape.experts];
        memset(y + used * c->hidden, PARITY_POISON, (size_t)((slots - used) * c->hidden) * sizeof *y);
        parity_run(t, call, c);
    }
    parity_end(t);
}

static void gather_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gather_backward, 5e-7);
    sum_of_slots_agrees(t, call_gather_backward);
}

static void combine_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, combine, 5e-7);
    sum_of_slots_agrees(t, call_combine);
}

static void call_combine_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    dev->ops->combine_backward(dev, p[0], p[1], p[6], p[7], p[5], p[3], c->shape.rows, c->shape.top_k,
                               c->hidden);
}

static void combine_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, combine_backward, 1e-6);
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        const int64_t slots = c->shape.rows * c->shape.top_k;
        route_label(t, c);
        parity_acts(t, "dy", PARITY_OUT, slots * c->hidden, 0.0f);
        parity_floats(t, "dweight", PARITY_OUT, slots, 0.0f);
        parity_floor(t, 1.0);
        routed_slots(t, c);
        parity_acts(t, "dout", PARITY_IN, c->shape.rows * c->hidden, 1.0f);
        float *y = parity_acts(t, "y", PARITY_IN, slots * c->hidden, 1.0f);
        const int64_t used = ((const int32_t *)t->slot[2].initial)[c->shape.experts];
        memset(y + used * c->hidden, PARITY_POISON, (size_t)((slots - used) * c->hidden) * sizeof *y);
        parity_run(t, call_combine_backward, c);
    }
    parity_end(t);
}

/* ---- histogram
 * ---------------------------------------------------------------------------------------------------- */

struct histogram_case {
    int64_t sequences, seq;
    int32_t experts, top_k, bins;
    int32_t hot;
};

static const struct histogram_case histogram_cases[] = {
    {1, 1, 1, 1, 1, 0},     {3, 1, 4, 2, 10, 0},   {13, 10, 8, 1, 10, 0},
    {13, 10, 8, 1, 10, 1},  {7, 65, 64, 8, 20, 0}, {300, 7, 5, 5, 3, 0},
    {11, 30, 3, 1, 100, 0}, {50, 49, 2, 1, 49, 0}, {20, 100, 4, 1, 50, 1},
};

static void call_sequence_histogram(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct histogram_case *c = args;
    dev->ops->sequence_histogram(dev, p[0], p[1], c->sequences * c->seq, c->seq, c->top_k, c->experts,
                                 c->bins);
}

static void sequence_histogram_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, sequence_histogram, 0.0);
    for (int i = 0; i < PARITY_COUNT(histogram_cases); i++) {
        const struct histogram_case *c = &histogram_cases[i];
        const struct route_case choices = {
            .shape = ROUTE(c->sequences * c->seq, c->experts, c->top_k, 0, DROP_BY_POSITION), .hot = c->hot};
        parity_case(t, "sequences %d of %d experts %d top_k %d bins %d hot %d", (int)c->sequences,
                    (int)c->seq, c->experts, c->top_k, c->bins, c->hot);
        parity_needs(t, c->sequences * c->seq, 0, c->seq, c->experts);
        parity_slot_add(t, "hist", PARITY_OUT, PARITY_U16, (int64_t)c->experts * c->bins);
        route_choices(t, &choices, parity_ints(t, "index", PARITY_IN, c->sequences * c->seq * c->top_k));
        parity_run(t, call_sequence_histogram, c);
    }
    parity_end(t);
}

#endif
