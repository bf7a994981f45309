/* classifier_count.c - checking a classifier's configuration, declaring its parameters, counting them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/classifier_internal.h"

#define MOST_EXPERTS 65536

/* A number that a double keeps and a float can hold. */
static bool is_weight(double x) {
    return x >= 0 && x <= 1e6;
}

static moe_status check_gates(const struct classifier_config *config, moe_err *err) {
    moe_status status = MOE_OK;
    const bool two_levels = classifier_is_hierarchical(config);
    moe_check(config->experts >= 1 && config->experts <= MOST_EXPERTS, err, MOE_ECONFIG,
              "classifier.experts = %d: from 1 to %d", config->experts, MOST_EXPERTS);
    moe_check(!two_levels || (config->groups >= 1 && config->groups <= config->experts &&
                              config->experts % config->groups == 0),
              err, MOE_ECONFIG, "classifier.groups = %d does not divide classifier.experts = %d",
              config->groups, config->experts);
    moe_check(!two_levels || (config->top_k_groups >= 1 && config->top_k_groups <= config->groups), err,
              MOE_ECONFIG, "classifier.top_k_groups = %d: from 1 to classifier.groups = %d",
              config->top_k_groups, config->groups);
    const int32_t choice = two_levels ? config->experts / config->groups : config->experts;
    moe_check(config->top_k >= 1 && config->top_k <= choice, err, MOE_ECONFIG,
              "classifier.top_k = %d: from 1 to the %d experts that a gate chooses from", config->top_k,
              choice);
    moe_check(config->kind != CLASSIFIER_HIERARCHICAL_GSHARD ||
                  (config->top_k == 2 && config->top_k_groups == 2),
              err, MOE_ECONFIG,
              "classifier.kind = \"hierarchical_gshard\" is a top-2 of both levels, not %d and %d",
              config->top_k_groups, config->top_k);
    moe_check(is_weight(config->w_importance) && is_weight(config->w_load) && is_weight(config->noise) &&
                  is_weight(config->gate_std),
              err, MOE_ECONFIG, "classifier: w_importance, w_load, noise and gate_std lie between 0 and 1e6");
    moe_check(config->kind != CLASSIFIER_HIERARCHICAL_GSHARD || config->gate_std > 0, err, MOE_ECONFIG,
              "classifier.gate_std = 0: without noise, gates of zeros send every image to the first two "
              "groups; state a standard deviation (0.01)");
out:
    return status;
}

moe_status classifier_check(const struct classifier_config *config, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(config->input >= 1 && config->input <= 1 << 20, err, MOE_ECONFIG,
              "classifier.input = %d: from 1 to %d", config->input, 1 << 20);
    moe_check(config->hidden >= 1 && config->hidden <= 1 << 20, err, MOE_ECONFIG,
              "classifier.hidden = %d: from 1 to %d", config->hidden, 1 << 20);
    moe_check(config->classes >= 2 && config->classes <= 1 << 16, err, MOE_ECONFIG,
              "classifier.classes = %d: from 2 to %d", config->classes, 1 << 16);
    if (config->kind != CLASSIFIER_DENSE) moe_try(check_gates(config, err));
out:
    return status;
}

/* ---- declaring
 * ----------------------------------------------------------------------------------------------- */

static enum gate_kind gate_kind_of(const struct classifier_config *config) {
    if (config->kind == CLASSIFIER_HIERARCHICAL_GSHARD) return GATE_BY_CHANCE;
    return config->gating == GATING_PRINTED ? GATE_TOP_K_SOFTMAX : GATE_SOFTMAX_TOP_K;
}

static moe_status declare_gates(struct classifier_parts *parts, const struct classifier_config *config,
                                moe_err *err) {
    const enum gate_kind kind = gate_kind_of(config);
    const float noise_epsilon = kind == GATE_SOFTMAX_TOP_K ? 0.01f : 0.0f;
    const float renormalize_eps = kind == GATE_SOFTMAX_TOP_K ? 1e-6f : 0.0f;
    if (!classifier_is_hierarchical(config)) {
        const struct gating_settings flat = {
            .input = config->input,
            .gates = 1,
            .experts = config->experts,
            .top_k = config->top_k,
            .kind = kind,
            .noise_epsilon = noise_epsilon,
            .renormalize_eps = renormalize_eps,
            .weight_std = (float)config->gate_std,
            .level = LEVEL_EXPERTS,
        };
        return gating_declare(&parts->gate, &parts->params, "moe", &flat, err);
    }
    const struct hierarchy_settings levels = {
        .input = config->input,
        .groups = config->groups,
        .top_k_groups = config->top_k_groups,
        .experts_per_group = config->experts / config->groups,
        .top_k = config->top_k,
        .kind = kind,
        .noise_epsilon = noise_epsilon,
        .renormalize_eps = renormalize_eps,
        .weight_std = (float)config->gate_std,
    };
    return hierarchy_declare(&parts->hierarchy, &parts->params, "moe", &levels, err);
}

moe_status classifier_declare(struct classifier_parts *parts, const struct classifier_config *config,
                              moe_err *err) {
    moe_status status = MOE_OK;
    memset(parts, 0, sizeof *parts);
    moe_try(classifier_check(config, err));
    if (config->kind == CLASSIFIER_DENSE) {
        moe_try(perceptron_declare(&parts->dense, &parts->params, "dense", config->input, config->hidden,
                                   config->classes, config->expert_init, err));
        goto out;
    }
    const bool two_levels = classifier_is_hierarchical(config);
    const struct mixture_settings experts = {
        .input = config->input,
        .hidden = config->hidden,
        .classes = config->classes,
        .experts = config->experts,
        .slots = two_levels ? config->groups * config->top_k : config->top_k,
        .used = two_levels ? config->top_k_groups * config->top_k : config->top_k,
        .init = config->expert_init,
        .level = LEVEL_EXPERTS,
    };
    moe_try(declare_gates(parts, config, err));
    moe_try(mixture_declare(&parts->experts, &parts->params, "moe.experts", &experts, err));
out:
    return status;
}

void classifier_parts_free(struct classifier_parts *parts) {
    params_free(&parts->params);
    memset(parts, 0, sizeof *parts);
}

/* ---- counting
 * ------------------------------------------------------------------------------------------------ */

int32_t classifier_dense_width(int32_t input, int32_t classes, int64_t parameters) {
    const double unit = (double)input + 1 + classes;
    const double width = floor(((double)parameters - classes) / unit + 0.5);
    return width < 1 ? 1 : width > INT32_MAX ? INT32_MAX : (int32_t)width;
}

/* Parameters of a gate that an image does not visit: inner gates of groups that it does not choose. */
static bool is_inner_gate(const struct classifier_parts *parts, int32_t index) {
    const struct gating *inner = &parts->hierarchy.inner;
    return inner->set.gates > 0 && (index == inner->weight || index == inner->noise);
}

static void count_params(const struct classifier_parts *parts, const struct classifier_config *config,
                         struct classifier_counts *counts) {
    double first_layer = 0; /* active weights on the image */
    memset(counts, 0, sizeof *counts);
    for (int32_t i = 0; i < parts->params.count; i++) {
        const struct param *p = &parts->params.items[i];
        int64_t active = p->count;
        if (p->role == PARAM_EXPERT) active = p->count / config->experts * parts->experts.set.used;
        if (is_inner_gate(parts, i)) active = p->count / config->groups * config->top_k_groups;
        *(p->role == PARAM_ROUTER ? &counts->gates : &counts->experts) += p->count;
        counts->total += p->count;
        counts->active += active;
        if (p->shape[p->rank - 1] == config->input && p->rank >= 2) first_layer += (double)active;
    }
    counts->flops_per_image = 6.0 * (double)counts->active - 2.0 * first_layer;
}

moe_status classifier_count(const struct classifier_config *config, int64_t max_batch,
                            struct classifier_counts *out_counts, moe_err *err) {
    moe_status status = MOE_OK;
    struct classifier *c = calloc(1, sizeof *c);
    moe_check(c != NULL, err, MOE_ENOMEM, "no memory to count a model");
    c->config = *config;
    c->limits = (struct classifier_limits){.max_batch = max_batch, .training = true};
    moe_try(classifier_declare(&c->parts, config, err));
    count_params(&c->parts, config, out_counts);
    struct nn_memory memory = {
        .kept = arena_measure(), .scratch = arena_measure(), .act_size = sizeof(float)};
    classifier_plan(c, &memory);
    out_counts->activation_bytes = (int64_t)(memory.kept.peak + memory.scratch.peak);
    out_counts->state_bytes = out_counts->total * 4 * (int64_t)sizeof(float);
out:
    if (c != NULL) classifier_parts_free(&c->parts);
    free(c);
    return status;
}
