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

void hierarchy_backward(const struct hierarchy *h, const struct nn_pass *pass, double noise, const act_t *x,
                        const float *d_choice) {
    gating_backward(&h->inner, pass, noise, x, h->groups.gates, h->d_groups, d_choice, NULL);
    gating_backward(&h->groups, pass, noise, x, NULL, NULL, NULL, h->d_groups);
}

/* One loss over the experts of all groups, where the gates of both levels multiply. */
static bool is_joint(const struct hierarchy *h) {
    return h->set.kind == GATE_TOP_K_SOFTMAX;
}

void hierarchy_balance(const struct hierarchy *h, struct device *dev,
                       const struct gate_loss_settings *settings, double grad_scale) {
    const struct gate_balance balance = {
        .gates = h->set.groups,
        .experts = h->set.experts_per_group,
        .kind = h->set.kind,
        .importance = settings->importance * grad_scale,
        .load = settings->load * grad_scale,
        .top_k = h->set.top_k,
    };
    if (is_joint(h)) {
        dev->ops->gate_balance_joint(dev, h->groups.dsums, h->inner.dsums, h->inner.out.loss,
                                     h->groups.out.sums, h->inner.out.sums, h->inner.out.counts, &balance);
    } else {
        gating_balance(&h->groups, dev, settings, grad_scale);
        gating_balance(&h->inner, dev, settings, grad_scale);
    }
}

void hierarchy_loss(const struct hierarchy *h, const struct gate_loss_settings *settings,
                    struct gate_loss out_loss[2]) {
    out_loss[LEVEL_EXPERTS] = gating_loss(&h->inner, settings);
    out_loss[LEVEL_GROUPS] = is_joint(h) ? (struct gate_loss){0} : gating_loss(&h->groups, settings);
}
