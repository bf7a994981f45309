#include "nn/hierarchy.h"

#include <stdio.h>

moe_status hierarchy_declare(struct hierarchy *h, struct params *params, const char *prefix,
                             const struct hierarchy_settings *settings, moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    *h = (struct hierarchy){.set = *settings};
    struct gating_settings level = {
        .input = settings->input,
        .gates = 1,
        .experts = settings->groups,
        .top_k = settings->top_k_groups,
        .kind = settings->kind,
        .noise_epsilon = settings->noise_epsilon,
        .renormalize_eps = settings->renormalize_eps,
        .weight_std = settings->weight_std,
        .level = LEVEL_GROUPS,
    };
    snprintf(name, sizeof name, "%s.groups", prefix);
    moe_try(gating_declare(&h->groups, params, name, &level, err));
    level.gates = settings->groups;
    level.experts = settings->experts_per_group;
    level.top_k = settings->top_k;
    level.level = LEVEL_EXPERTS;
    snprintf(name, sizeof name, "%s.inner", prefix);
    moe_try(gating_declare(&h->inner, params, name, &level, err));
out:
    return status;
}

moe_status hierarchy_create_host(struct hierarchy *h, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(gating_create_host(&h->groups, err));
    moe_try(gating_create_host(&h->inner, err));
out:
    return status;
}

void hierarchy_free(struct hierarchy *h) {
    gating_free(&h->groups);
    gating_free(&h->inner);
}

void hierarchy_plan(struct hierarchy *h, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    const size_t mark = arena_mark(&memory->scratch);
    h->d_groups = arena_array(&memory->scratch, float, rows * h->set.groups);
    gating_plan(&h->groups, memory, limits);
    gating_plan(&h->inner, memory, limits);
    arena_rewind(&memory->scratch, mark);
}

void hierarchy_forward(const struct hierarchy *h, const struct nn_pass *pass, double noise, const act_t *x) {
    gating_forward(&h->groups, pass, noise, x, NULL);
    gating_forward(&h->inner, pass, noise, x, h->groups.gates);
}

void hierarchy_download(struct hierarchy *h, struct device *dev) {
    gating_download(&h->groups, dev);
    gating_download(&h->inner, dev);
}

void hierarchy_backward(const struct hierarchy *h, const struct nn_pass *pass, double noise, const act_t *x,
                        const float *d_choice) {
    gating_backward(&h->inner, pass, noise, x, h->groups.gates, h->d_groups, d_choice, NULL);
    gating_backward(&h->groups, pass, noise, x, NULL, NULL, NULL, h->d_groups);
}

/* Rows that visit group i. */
static double rows_of(const struct hierarchy *h, int32_t i) {
    const int32_t experts = h->set.experts_per_group;
    const int32_t *first = h->inner.host.counts + (int64_t)(GATE_FIRST * h->set.groups + i) * experts;
    double rows = 0;
    for (int32_t j = 0; j < experts; j++)
        rows += first[j];
    return rows;
}

/* CV^2 of importance[i, j], the gates' products summed, which the inner gates hand on to the groups'. */
static double joint_importance(struct hierarchy *h, double weight) {
    const int32_t all = h->set.groups * h->set.experts_per_group;
    float *sums = h->inner.host.sums + (int64_t)GATE_MASS * all;
    float *dsums = h->inner.host.dsums + (int64_t)GATE_MASS * all;
    double *x = h->inner.host.work, *dx = x + all;
    for (int32_t i = 0; i < all; i++) {
        x[i] = (double)sums[i];
        dx[i] = 0;
    }
    const double cv = gate_cv_squared(x, all, false, 0, weight, dx);
    for (int32_t i = 0; i < all; i++)
        dsums[i] = (float)dx[i];
    return cv;
}

/* CV^2 of load[i, j] = load_i load_ij / rows_i. A group without rows divides its load evenly: there is
 * nothing to say otherwise. */
static double joint_load(struct hierarchy *h, double weight) {
    const int32_t groups = h->set.groups, experts = h->set.experts_per_group, all = groups * experts;
    const float *outer = h->groups.host.sums + (int64_t)GATE_LOAD * groups;
    const float *inner = h->inner.host.sums + (int64_t)GATE_LOAD * all;
    float *d_outer = h->groups.host.dsums + (int64_t)GATE_LOAD * groups;
    float *d_inner = h->inner.host.dsums + (int64_t)GATE_LOAD * all;
    double *x = h->inner.host.work, *dx = x + all, *share = dx + all;
    for (int32_t i = 0; i < groups; i++) {
        const double rows = rows_of(h, i);
        for (int32_t at = i * experts; at < (i + 1) * experts; at++) {
            share[at] = rows > 0 ? (double)inner[at] / rows : (double)h->set.top_k / experts;
            x[at] = (double)outer[i] * share[at];
            dx[at] = 0;
        }
    }
    const double cv = gate_cv_squared(x, all, false, 0, weight, dx);
    for (int32_t i = 0; i < groups; i++) {
        const double rows = rows_of(h, i);
        double sum = 0;
        for (int32_t at = i * experts; at < (i + 1) * experts; at++) {
            sum += dx[at] * share[at];
            if (rows > 0) d_inner[at] = (float)(dx[at] * (double)outer[i] / rows);
        }
        d_outer[i] = (float)sum;
    }
    return cv;
}

void hierarchy_loss(struct hierarchy *h, const struct gate_loss_settings *settings, double grad_scale,
                    struct gate_loss out_loss[2]) {
    if (h->set.kind != GATE_TOP_K_SOFTMAX) {
        out_loss[LEVEL_GROUPS] = gating_loss(&h->groups, settings, grad_scale);
        out_loss[LEVEL_EXPERTS] = gating_loss(&h->inner, settings, grad_scale);
        return;
    }
    struct gate_loss loss = {0};
    loss.importance = joint_importance(h, settings->importance * grad_scale);
    loss.load = joint_load(h, settings->load * grad_scale);
    loss.aux = settings->importance * loss.importance + settings->load * loss.load;
    out_loss[LEVEL_EXPERTS] = loss;
    out_loss[LEVEL_GROUPS] = (struct gate_loss){0};
}
