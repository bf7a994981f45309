#include "nn/mixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct param_declaration mixture_weight_declaration(enum expert_init init, int32_t in, int32_t out) {
    struct param_declaration weight = {.rank = 2, .shape = {out, in}, .moe_layer = -1};
    switch (init) {
    case EXPERT_GLOROT:
        weight.init = PARAM_UNIFORM;
        weight.init_scale = sqrtf(6.0f / (float)(in + out));
        break;
    case EXPERT_HE:
        weight.init = PARAM_NORMAL;
        weight.init_scale = sqrtf(2.0f / (float)in);
        break;
    case EXPERT_PYTORCH:
    case EXPERT_IDENTICAL:
        weight.init = PARAM_UNIFORM;
        weight.init_scale = 1.0f / sqrtf((float)in);
        break;
    }
    return weight;
}

struct param_declaration mixture_bias_declaration(enum expert_init init, int32_t in, int32_t out) {
    const bool zero = init == EXPERT_GLOROT || init == EXPERT_HE;
    return (struct param_declaration){
        .rank = 1,
        .shape = {out},
        .init = zero ? PARAM_CONSTANT : PARAM_UNIFORM,
        .init_scale = zero ? 0.0f : 1.0f / sqrtf((float)in),
        .moe_layer = -1,
    };
}

/* One layer of all experts: weight [E, out, in], bias [E, out]. */
static moe_status declare_layer(struct mixture *m, struct params *params, const char *prefix,
                                const char *suffix, int32_t in, int32_t out, int32_t *weight, int32_t *bias,
                                moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    struct param_declaration w = mixture_weight_declaration(m->set.init, in, out);
    struct param_declaration b = mixture_bias_declaration(m->set.init, in, out);
    w.rank = 3;
    w.shape[0] = m->set.experts, w.shape[1] = out, w.shape[2] = in;
    b.rank = 2;
    b.shape[0] = m->set.experts, b.shape[1] = out;
    w.role = b.role = PARAM_EXPERT;
    w.moe_layer = b.moe_layer = m->set.level;
    snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    moe_try(params_declare(params, name, "weight", &w, weight, err));
    moe_try(params_declare(params, name, "bias", &b, bias, err));
out:
    return status;
}

moe_status mixture_declare(struct mixture *m, struct params *params, const char *prefix,
                           const struct mixture_settings *settings, moe_err *err) {
    moe_status status = MOE_OK;
    *m = (struct mixture){.set = *settings};
    moe_try(declare_layer(m, params, prefix, "fc1", settings->input, settings->hidden, &m->fc1_weight,
                          &m->fc1_bias, err));
    moe_try(declare_layer(m, params, prefix, "fc2", settings->hidden, settings->classes, &m->fc2_weight,
                          &m->fc2_bias, err));
out:
    return status;
}

moe_status mixture_initialize(const struct mixture *m, struct params *params, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t tensors[] = {m->fc1_weight, m->fc1_bias, m->fc2_weight, m->fc2_bias};
    float *values = NULL;
    if (m->set.init != EXPERT_IDENTICAL) return MOE_OK;
    values = malloc((size_t)params->items[m->fc1_weight].count * sizeof *values); /* the largest of them */
    moe_check(values != NULL, err, MOE_ENOMEM, "no memory to initialise %d experts", m->set.experts);
    for (int i = 0; i < 4; i++) {
        const int64_t one = params->items[tensors[i]].count / m->set.experts;
        params_get(params, tensors[i], values);
        for (int64_t e = 1; e < m->set.experts; e++)
            memcpy(values + e * one, values, (size_t)one * sizeof *values);
        params_set(params, tensors[i], values);
    }
out:
    free(values);
    return status;
}

void mixture_plan(struct mixture *m, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq, used = rows * m->set.used;
    m->offsets = arena_array(&memory->kept, int32_t, m->set.experts + 1);
    m->position = arena_array(&memory->kept, int32_t, rows * m->set.slots);
    m->source = arena_array(&memory->kept, int32_t, rows * m->set.slots);
    m->dropped = arena_array(&memory->kept, int32_t, m->set.experts);
    m->x_sorted = memory->grouped_source ? NULL : nn_kept(memory, used * m->set.input);
    m->pre = nn_kept(memory, used * m->set.hidden);
    m->mid = nn_kept(memory, used * m->set.hidden);
    m->prob = arena_array(&memory->kept, float, used * m->set.classes);
    m->d_choice = arena_array(&memory->scratch, float, rows * m->set.slots); /* read by the gates after */
    const size_t mark = arena_mark(&memory->scratch);
    m->d_logits = nn_scratch(memory, used * m->set.classes);
    m->d_mid = nn_scratch(memory, used * m->set.hidden);
    arena_rewind(&memory->scratch, mark);
}

void mixture_forward(const struct mixture *m, const struct nn_pass *pass, float *y, const act_t *x,
                     const int32_t *index, const float *choice) {
    const struct backend *be = pass->dev->ops;
    const int32_t experts = m->set.experts, hidden = m->set.hidden, classes = m->set.classes;
    const int64_t used = pass->rows * m->set.used;
    const struct nn_rows rows = nn_rows_of(m->x_sorted, x, m->source);
    const struct route_shape route = {.rows = pass->rows, .experts = experts, .top_k = m->set.slots};
    be->route(pass->dev, m->offsets, m->position, m->source, m->dropped, index, choice, NULL, &route);
    if (m->x_sorted != NULL)
        be->gather(pass->dev, m->x_sorted, x, m->source, m->offsets, experts, used, m->set.input);
    be->grouped_linear_forward(
        pass->dev, m->pre, rows.x, rows.source, params_weight(pass->params, m->fc1_weight),
        params_weight(pass->params, m->fc1_bias), m->offsets, experts, used, m->set.input, hidden);
    be->activation_forward(pass->dev, ACTIVATION_RELU, m->mid, m->pre, used, hidden, nn_dropout(pass, 0, 0));
    be->grouped_linear_forward_float(
        pass->dev, m->prob, m->mid, NULL, params_weight(pass->params, m->fc2_weight),
        params_weight(pass->params, m->fc2_bias), m->offsets, experts, used, hidden, classes);
    be->mixture_forward(pass->dev, y, m->prob, m->prob, choice, m->position, pass->rows, m->set.slots,
                        classes);
}

void mixture_backward(const struct mixture *m, const struct nn_pass *pass, const float *dy, const act_t *x,
                      const float *choice) {
    const struct backend *be = pass->dev->ops;
    const struct params *params = pass->params;
    const int32_t experts = m->set.experts, hidden = m->set.hidden, classes = m->set.classes;
    const int64_t used = pass->rows * m->set.used;
    const struct nn_rows rows = nn_rows_of(m->x_sorted, x, m->source);
    be->mixture_backward(pass->dev, m->d_logits, m->d_choice, dy, m->prob, choice, m->position, pass->rows,
                         m->set.slots, classes);
    be->grouped_linear_backward(pass->dev, m->d_mid, params_grad(params, m->fc2_weight),
                                params_grad(params, m->fc2_bias), m->d_logits, m->mid, NULL,
                                params_weight(params, m->fc2_weight), m->offsets, experts, used, hidden,
                                classes);
    be->activation_backward(pass->dev, ACTIVATION_RELU, m->d_mid, m->d_mid, m->pre, used, hidden,
                            nn_dropout(pass, 0, 0));
    be->grouped_linear_backward(pass->dev, NULL, params_grad(params, m->fc1_weight),
                                params_grad(params, m->fc1_bias), m->d_mid, rows.x, rows.source,
                                params_weight(params, m->fc1_weight), m->offsets, experts, used, m->set.input,
                                hidden);
}
