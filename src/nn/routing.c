#include "nn/routing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

static size_t cells(const struct routing *r) {
    return (size_t)r->layers * (size_t)r->experts;
}

void routing_view(struct routing *r, struct arena *arena) {
    struct routing_host *h = &r->host;
    h->load = arena_array(arena, int32_t, cells(r));
    h->dropped = arena_array(arena, int32_t, cells(r));
    h->prob_mass = arena_array(arena, float, cells(r));
    h->entropy = arena_array(arena, float, r->layers);
    h->z = arena_array(arena, float, r->layers);
    h->hist = arena_array(arena, uint16_t, cells(r) * ROUTING_HIST_BINS);
}

static void view_host(struct routing *r, bool with_statistics, struct arena *arena) {
    if (with_statistics) routing_view(r, arena);
    r->host.bias = arena_array(arena, float, cells(r));
    r->host.select = arena_array(arena, float, cells(r));
}

void routing_describe(struct routing *r, int32_t layers, const struct routing_group *groups, int32_t count) {
    *r = (struct routing){
        .layers = layers * count, .groups = count, .biased_layers = layers * count, .temperature = 1.0f};
    for (int32_t g = 0; g < count; g++) {
        r->group[g] = groups[g];
        if (groups[g].experts > r->experts) r->experts = groups[g].experts;
    }
}

static moe_status take_host(struct routing *r, bool with_statistics, moe_err *err) {
    moe_status status = MOE_OK;
    struct arena measure = arena_measure();
    view_host(r, with_statistics, &measure);
    moe_try(arena_block(measure.peak, &r->host_block, err));
    struct arena arena = arena_over(r->host_block, measure.peak);
    view_host(r, with_statistics, &arena);
out:
    return status;
}

moe_status routing_create_groups(struct routing *r, int32_t layers, const struct routing_group *groups,
                                 int32_t count, moe_err *err) {
    routing_describe(r, layers, groups, count);
    return take_host(r, false, err);
}

moe_status routing_create(struct routing *r, int32_t layers, int32_t experts, moe_err *err) {
    const struct routing_group group = {.experts = experts, .top_k = 1};
    routing_describe(r, layers, &group, 1);
    return take_host(r, true, err);
}

void routing_plan(struct routing *r, struct nn_memory *memory) {
    r->load = arena_array(&memory->kept, int32_t, cells(r));
    r->dropped = arena_array(&memory->kept, int32_t, cells(r));
    r->prob_mass = arena_array(&memory->kept, float, cells(r));
    r->entropy = arena_array(&memory->kept, float, r->layers);
    r->z = arena_array(&memory->kept, float, r->layers);
    r->hist = arena_array(&memory->kept, uint16_t, cells(r) * ROUTING_HIST_BINS);
    r->prob_grad = arena_array(&memory->kept, float, cells(r));
    r->select_bias = arena_array(&memory->kept, float, cells(r));
}

void routing_free(struct routing *r) {
    free(r->host_block);
    memset(r, 0, sizeof *r);
}

void routing_download(struct routing *r, struct device *dev) {
    const struct backend *be = dev->ops;
    if (r->layers == 0) return;
    be->download(dev, r->host.load, r->load, cells(r) * sizeof(int32_t));
    be->download(dev, r->host.dropped, r->dropped, cells(r) * sizeof(int32_t));
    be->download(dev, r->host.prob_mass, r->prob_mass, cells(r) * sizeof(float));
    be->download(dev, r->host.entropy, r->entropy, (size_t)r->layers * sizeof(float));
    be->download(dev, r->host.z, r->z, (size_t)r->layers * sizeof(float));
    if (r->with_hist)
        be->download(dev, r->host.hist, r->hist, cells(r) * ROUTING_HIST_BINS * sizeof(uint16_t));
}

void routing_balance_gradient(const struct routing *r, struct device *dev,
                              const struct balance_settings *settings, int64_t rows, double grad_scale) {
    for (int32_t g = 0; r->layers > 0 && g < r->groups; g++) {
        const int32_t first = g * (r->layers / r->groups), at = first * r->experts;
        const struct balance_shape shape = {
            .layers = r->layers / r->groups,
            .experts = routing_experts(r, first),
            .top_k = routing_top_k(r, first),
            .stride = r->experts,
            .rows = rows,
            .pooled = settings->pooled,
            .scale = grad_scale * (double)settings->lb_coeff,
        };
        dev->ops->balance_gradient(dev, r->prob_grad + at, r->load + at, &shape);
    }
}

/* The loss of rows [first, last), of one group, as one pool of tokens. */
static double pool_loss(const struct routing *r, int32_t first, int32_t last, double coeff, double rows) {
    const double pool_rows = rows * (last - first);
    const int32_t experts = routing_experts(r, first), top_k = routing_top_k(r, first);
    double aux = 0;
    for (int32_t e = 0; e < experts; e++) {
        double load = 0, mass = 0;
        for (int32_t l = first; l < last; l++) {
            load += r->host.load[l * r->experts + e];
            mass += (double)r->host.prob_mass[l * r->experts + e];
        }
        const double f = load / (pool_rows * top_k);
        aux += coeff * experts * f * mass / pool_rows;
    }
    return aux;
}

struct balance_result routing_balance(const struct routing *r, const struct balance_settings *settings,
                                      int64_t rows) {
    struct balance_result result = {0};
    if (r->layers == 0) return result;
    const double coeff = (double)settings->lb_coeff;
    const int32_t pool = settings->pooled ? r->layers / r->groups : 1;
    for (int32_t l = 0; l < r->layers; l += pool)
        result.aux += pool_loss(r, l, l + pool, coeff, (double)rows);
    for (int32_t l = 0; l < r->layers; l++)
        result.z += (double)settings->z_coeff * (double)r->host.z[l] / (double)rows;
    return result;
}

/* bias [E] of one router. */
static void update_bias(float *bias, const int64_t *load, int32_t experts, float gamma, enum bias_rule rule) {
    int64_t total = 0;
    for (int32_t e = 0; e < experts; e++)
        total += load[e];
    for (int32_t e = 0; e < experts && total > 0; e++) {
        const int64_t excess = load[e] * experts - total;    /* E (load - mean), exact */
        const double share = (double)excess / (double)total; /* E f - 1 */
        const float sign = excess > 0 ? -1.0f : excess < 0 ? 1.0f : 0.0f;
        bias[e] += rule == BIAS_SIGN           ? gamma * sign
                   : rule == BIAS_PROPORTIONAL ? (float)(-(double)gamma * share / experts)
                                               : (float)(-(double)gamma * share);
    }
}

void routing_update_bias(struct routing *r, const int64_t *load, float gamma, enum bias_rule rule) {
    for (int32_t l = 0; l < r->biased_layers; l++) {
        const size_t at = (size_t)l * (size_t)r->experts;
        update_bias(r->host.bias + at, load + at, routing_experts(r, l), gamma, rule);
    }
}

/* Masks experts of one layer; a draw that would leave fewer than `keep` keeps those with the largest numbers.
 */
static void mask_layer(float *select, int32_t experts, float p, int32_t keep, struct rng_key key,
                       uint64_t first) {
    int32_t left = experts;
    while (left > keep) {
        int32_t lowest = -1;
        for (int32_t e = 0; e < experts; e++) {
            if (isinf(select[e])) continue;
            if (lowest < 0 ||
                rng_uniform(key, first + (uint64_t)e) < rng_uniform(key, first + (uint64_t)lowest)) {
                lowest = e;
            }
        }
        if (rng_uniform(key, first + (uint64_t)lowest) >= p) return;
        select[lowest] = -INFINITY;
        left--;
    }
}

void routing_select(struct routing *r, struct device *dev, float p, uint64_t seed, uint32_t step) {
    const struct rng_key key = {.seed = seed, .stream = RNG_EXPERT_DROPOUT, .step = step};
    memcpy(r->host.select, r->host.bias, cells(r) * sizeof(float));
    for (int32_t l = 0; l < r->layers && p > 0; l++) {
        const size_t at = (size_t)l * (size_t)r->experts;
        const struct routing_group *group = &r->group[l * r->groups / r->layers];
        mask_layer(r->host.select + at, group->experts, p, group->top_k, key, at);
    }
    dev->ops->upload(dev, r->select_bias, r->host.select, cells(r) * sizeof(float));
}
