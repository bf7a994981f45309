#include "nn/moe.h"

#include <math.h>
#include <stdio.h>

/* Expert parameters of all experts in one tensor, so that a grouped GEMM walks them. */
static moe_status declare_expert_linear(struct moe *m, struct params *params, const char *prefix, int32_t in,
                                        int32_t out, struct linear_init init, int32_t *weight, int32_t *bias,
                                        moe_err *err) {
    moe_status status = MOE_OK;
    struct param_declaration w = linear_weight_declaration(init, in, out);
    struct param_declaration b = linear_bias_declaration(init, in, out);
    w.rank = 3;
    w.shape[0] = m->set.experts, w.shape[1] = out, w.shape[2] = in;
    b.rank = 2;
    b.shape[0] = m->set.experts, b.shape[1] = out;
    w.role = b.role = PARAM_EXPERT;
    w.moe_layer = b.moe_layer = m->set.moe_layer;
    moe_try(params_declare(params, prefix, "weight", &w, weight, err));
    *bias = -1;
    if (m->set.bias) moe_try(params_declare(params, prefix, "bias", &b, bias, err));
out:
    return status;
}

moe_status moe_declare(struct moe *m, struct params *params, const char *prefix,
                       const struct moe_settings *settings, struct linear_init init, moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    *m = (struct moe){.set = *settings};
    const int32_t pre_width = ffn_pre_width(settings->activation, settings->intermediate);
    struct param_declaration router = linear_weight_declaration(init, settings->hidden, settings->experts);
    router.role = PARAM_ROUTER;
    router.moe_layer = settings->moe_layer;
    moe_try(params_declare(params, prefix, "router.weight", &router, &m->router, err));
    snprintf(name, sizeof name, "%s.experts.fc1", prefix);
    moe_try(declare_expert_linear(m, params, name, settings->hidden, pre_width, init, &m->fc1_weight,
                                  &m->fc1_bias, err));
    snprintf(name, sizeof name, "%s.experts.fc2", prefix);
    moe_try(declare_expert_linear(m, params, name, settings->intermediate, settings->hidden, init,
                                  &m->fc2_weight, &m->fc2_bias, err));
    if (settings->shared > 0) {
        const struct ffn_settings shared = {
            .hidden = settings->hidden,
            .intermediate = settings->shared,
            .activation = settings->activation,
            .bias = settings->bias,
            .dropout = settings->dropout,
            .site = settings->site + (PLACE_SHARED - PLACE_FFN),
        };
        snprintf(name, sizeof name, "%s.%s", prefix, settings->shared_name);
        moe_try(ffn_declare(&m->shared, params, name, &shared, init, err));
    }
out:
    return status;
}

void moe_plan(struct moe *m, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    const int32_t top_k = m->set.dense_allowed ? m->set.experts : m->set.top_k;
    const int64_t slots = rows * top_k;
    const int32_t pre_width = ffn_pre_width(m->set.activation, m->set.intermediate);
    m->logits = arena_array(&memory->kept, float, rows * m->set.experts);
    m->prob = arena_array(&memory->kept, float, rows * m->set.experts);
    m->index = arena_array(&memory->kept, int32_t, slots);
    m->weight = arena_array(&memory->kept, float, slots);
    m->offsets = arena_array(&memory->kept, int32_t, m->set.experts + 1);
    m->position = arena_array(&memory->kept, int32_t, slots);
    m->source = arena_array(&memory->kept, int32_t, slots);
    m->x_sorted = memory->grouped_source ? NULL : nn_kept(memory, slots * m->set.hidden);
    m->pre = nn_kept(memory, slots * pre_width);
    m->mid = nn_kept(memory, slots * m->set.intermediate);
    m->y_sorted = nn_kept(memory, slots * m->set.hidden);
    const size_t mark = arena_mark(&memory->scratch);
    m->d_weight = arena_array(&memory->scratch, float, slots);
    m->d_logits = arena_array(&memory->scratch, float, rows * m->set.experts);
    m->d_sorted = nn_scratch(memory, slots * m->set.hidden);
    m->d_mid = nn_scratch(memory, slots * m->set.intermediate);
    m->d_pre = pre_width == m->set.intermediate ? m->d_mid : nn_scratch(memory, slots * pre_width);
    m->shared_out = NULL;
    if (m->set.shared > 0) {
        m->shared_out = nn_scratch(memory, rows * m->set.hidden);
        ffn_plan(&m->shared, memory, limits);
    }
    arena_rewind(&memory->scratch, mark);
}

int32_t moe_top_k(const struct moe *m, const struct routing *routing) {
    return routing->dense ? m->set.experts : m->set.top_k;
}

static struct router_shape router_shape_of(const struct moe *m, const struct nn_pass *pass,
                                           const struct routing *routing) {
    return (struct router_shape){
        .rows = pass->rows,
        .hidden = m->set.hidden,
        .experts = m->set.experts,
        .top_k = moe_top_k(m, routing),
        .kind = m->set.router,
        .temperature = routing->temperature,
        .renormalize = m->set.renormalize,
        .renormalize_eps = m->set.renormalize_eps,
        .weight_scale = m->set.weight_scale,
    };
}

/* Slots that an expert takes in this pass; 0 = all. A micro-batch cut short by the end of the data leaves
 * each expert one slot at least. Rows that go on with cached ones never lose a slot. */
static int64_t capacity_of(const struct moe *m, const struct nn_pass *pass, const struct routing *routing,
                           int32_t top_k) {
    const bool acts = pass->training || (m->set.drop_in_evaluation && pass->cache == NULL);
    if (!acts || m->set.capacity_factor <= 0 || routing->dense) return 0;
    const double slots = (double)pass->rows * top_k / m->set.experts * m->set.capacity_factor;
    return slots < 1 ? 1 : (int64_t)slots;
}

/* Router, statistics and the plan that sorts slots by expert. */
static void choose_experts(const struct moe *m, const struct nn_pass *pass, const struct routing *routing,
                           const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const int32_t experts = m->set.experts, layer = m->set.moe_layer;
    const struct router_shape shape = router_shape_of(m, pass, routing);
    const size_t at = (size_t)layer * (size_t)routing->experts;
    const struct route_shape route = {
        .rows = pass->rows,
        .experts = experts,
        .top_k = shape.top_k,
        .capacity = capacity_of(m, pass, routing, shape.top_k),
        .policy = m->set.policy,
    };
    be->router_forward(pass->dev, m->logits, m->prob, m->index, m->weight, routing->load + at,
                       routing->prob_mass + at, routing->entropy + layer, routing->z + layer, x,
                       params_weight(pass->params, m->router),
                       routing->with_select ? routing->select_bias + at : NULL, &shape);
    be->route(pass->dev, m->offsets, m->position, m->source, routing->dropped + at, m->index, m->weight,
              m->prob, &route);
    if (routing->with_hist) {
        be->sequence_histogram(pass->dev, routing->hist + at * ROUTING_HIST_BINS, m->index, pass->rows,
                               pass->seq, shape.top_k, experts, ROUTING_HIST_BINS);
    }
}

void moe_forward(const struct moe *m, const struct nn_pass *pass, const struct routing *routing, act_t *y,
                 const act_t *x, bool accumulate_y) {
    const struct backend *be = pass->dev->ops;
    const int32_t top_k = moe_top_k(m, routing), hidden = m->set.hidden, experts = m->set.experts;
    const int64_t slots = pass->rows * top_k;
    const struct nn_rows rows = nn_rows_of(m->x_sorted, x, m->source);
    choose_experts(m, pass, routing, x);
    if (m->x_sorted != NULL)
        be->gather(pass->dev, m->x_sorted, x, m->source, m->offsets, experts, slots, hidden);
    be->grouped_linear_forward(pass->dev, m->pre, rows.x, rows.source,
                               params_weight(pass->params, m->fc1_weight),
                               params_weight(pass->params, m->fc1_bias), m->offsets, experts, slots, hidden,
                               ffn_pre_width(m->set.activation, m->set.intermediate));
    be->activation_forward(pass->dev, m->set.activation, m->mid, m->pre, slots, m->set.intermediate,
                           nn_dropout(pass, m->set.dropout, m->set.site));
    be->grouped_linear_forward(
        pass->dev, m->y_sorted, m->mid, NULL, params_weight(pass->params, m->fc2_weight),
        params_weight(pass->params, m->fc2_bias), m->offsets, experts, slots, m->set.intermediate, hidden);
    be->combine(pass->dev, y, m->y_sorted, m->weight, m->position, pass->rows, top_k, hidden, accumulate_y);
    if (m->set.shared > 0) {
        ffn_forward(&m->shared, pass, m->shared_out, x);
        be->add_scaled(pass->dev, y, m->shared_out, m->set.shared_scale, pass->rows * hidden);
    }
}

/* dx += of the shared FFN, whose output is scaled. */
static void shared_backward(const struct moe *m, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                            const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const int64_t n = pass->rows * m->set.hidden;
    if (m->set.shared_scale != 1.0f) {
        be->zero(pass->dev, m->shared_out, (size_t)n * be->act_size);
        be->add_scaled(pass->dev, m->shared_out, dy, m->set.shared_scale, n);
        dy = m->shared_out;
    }
    ffn_backward(&m->shared, pass, dx, dy, x, true);
}

void moe_backward(const struct moe *m, const struct nn_pass *pass, const struct routing *routing,
                  double z_scale, act_t *dx, const act_t *dy, const act_t *x, bool accumulate_dx) {
    const struct backend *be = pass->dev->ops;
    const struct params *params = pass->params;
    const int32_t top_k = moe_top_k(m, routing), hidden = m->set.hidden, experts = m->set.experts;
    const int32_t pre_width = ffn_pre_width(m->set.activation, m->set.intermediate);
    const int64_t slots = pass->rows * top_k;
    const struct router_shape shape = router_shape_of(m, pass, routing);
    const struct nn_rows rows = nn_rows_of(m->x_sorted, x, m->source);
    be->combine_backward(pass->dev, m->d_sorted, m->d_weight, dy, m->y_sorted, m->weight, m->position,
                         pass->rows, top_k, hidden);
    be->grouped_linear_backward(pass->dev, m->d_mid, params_grad(params, m->fc2_weight),
                                params_grad(params, m->fc2_bias), m->d_sorted, m->mid, NULL,
                                params_weight(params, m->fc2_weight), m->offsets, experts, slots,
                                m->set.intermediate, hidden);
    be->activation_backward(pass->dev, m->set.activation, m->d_pre, m->d_mid, m->pre, slots,
                            m->set.intermediate, nn_dropout(pass, m->set.dropout, m->set.site));
    be->grouped_linear_backward(pass->dev, m->d_sorted, params_grad(params, m->fc1_weight),
                                params_grad(params, m->fc1_bias), m->d_pre, rows.x, rows.source,
                                params_weight(params, m->fc1_weight), m->offsets, experts, slots, hidden,
                                pre_width);
    be->gather_backward(pass->dev, dx, m->d_sorted, m->position, pass->rows, top_k, hidden, accumulate_dx);
    be->router_backward(pass->dev, dx, params_grad(params, m->router), m->d_logits, m->d_weight,
                        routing->prob_grad + (size_t)m->set.moe_layer * (size_t)routing->experts,
                        (float)(z_scale * (double)m->set.z_coeff / (double)pass->rows), m->logits, m->prob,
                        m->index, x, params_weight(params, m->router), &shape);
    if (m->set.shared > 0) shared_backward(m, pass, dx, dy, x);
}
