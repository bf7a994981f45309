#include "nn/gating.h"

static int64_t cells(const struct gating *g) {
    return (int64_t)g->set.gates * g->set.experts;
}

static bool has_noise_matrix(const struct gating_settings *settings) {
    return settings->kind != GATE_BY_CHANCE;
}

static moe_status declare_matrix(struct gating *g, struct params *params, const char *prefix,
                                 const char *suffix, int32_t *index, moe_err *err) {
    const struct param_declaration matrix = {
        .rank = 2,
        .shape = {cells(g), g->set.input},
        .init = g->set.weight_std > 0 ? PARAM_NORMAL : PARAM_CONSTANT,
        .init_scale = g->set.weight_std,
        .role = PARAM_ROUTER,
        .moe_layer = g->set.level,
    };
    return params_declare(params, prefix, suffix, &matrix, index, err);
}

moe_status gating_declare(struct gating *g, struct params *params, const char *prefix,
                          const struct gating_settings *settings, moe_err *err) {
    moe_status status = MOE_OK;
    *g = (struct gating){.set = *settings, .noise = -1};
    moe_try(declare_matrix(g, params, prefix, "gate.weight", &g->weight, err));
    if (has_noise_matrix(settings))
        moe_try(declare_matrix(g, params, prefix, "noise.weight", &g->noise, err));
out:
    return status;
}

void gating_take_report(const struct gating *g, struct gate_report *report, struct arena *arena) {
    report->counts = arena_array(arena, int32_t, GATE_COUNTS * cells(g));
    report->sums = arena_array(arena, float, GATE_SUMS *cells(g));
    report->entropy = arena_array(arena, float, 2 * g->set.gates);
    report->loss = arena_array(arena, double, 2);
}

void gating_plan(struct gating *g, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq, choices = rows * g->set.gates * g->set.top_k;
    g->clean = arena_array(&memory->kept, float, rows *cells(g));
    g->spread = has_noise_matrix(&g->set) ? arena_array(&memory->kept, float, rows *cells(g)) : NULL;
    g->scores = arena_array(&memory->kept, float, rows *cells(g));
    g->gates = arena_array(&memory->kept, float, rows *cells(g));
    g->index = arena_array(&memory->kept, int32_t, choices);
    g->choice = arena_array(&memory->kept, float, choices);
    g->dsums = arena_array(&memory->kept, float, GATE_SUMS *cells(g));
    const size_t mark = arena_mark(&memory->scratch);
    g->d_clean = nn_scratch(memory, rows * cells(g));
    g->d_spread = has_noise_matrix(&g->set) ? nn_scratch(memory, rows * cells(g)) : NULL;
    arena_rewind(&memory->scratch, mark);
}

/* Levels, micro-batches and evaluations draw from places of the stream that never meet. */
static uint64_t first_number(const struct gating *g, const struct nn_pass *pass) {
    const uint64_t place = (uint64_t)pass->micro * 4 + (uint64_t)g->set.level;
    return (pass->training ? 0 : UINT64_C(1) << 62) + (place << 40);
}

static struct gate_shape shape_of(const struct gating *g, const struct nn_pass *pass, double noise) {
    return (struct gate_shape){
        .rows = pass->rows * g->set.gates,
        .experts = g->set.experts,
        .top_k = g->set.top_k,
        .gates = g->set.gates,
        .kind = g->set.kind,
        .noisy = noise > 0,
        .noise_scale = (float)noise,
        .noise_epsilon = g->set.noise_epsilon,
        .renormalize_eps = g->set.renormalize_eps,
        .key = {.seed = pass->seed, .stream = RNG_ROUTER_NOISE, .step = pass->step},
        .first = first_number(g, pass),
    };
}

void gating_forward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                    const float *scale) {
    const struct backend *be = pass->dev->ops;
    const struct gate_shape shape = shape_of(g, pass, noise);
    const int32_t out = (int32_t)cells(g);
    be->linear_forward_float(pass->dev, g->clean, x, params_weight(pass->params, g->weight), NULL, pass->rows,
                             g->set.input, out);
    if (g->spread != NULL && shape.noisy)
        be->linear_forward_float(pass->dev, g->spread, x, params_weight(pass->params, g->noise), NULL,
                                 pass->rows, g->set.input, out);
    be->gate_forward(pass->dev, g->scores, g->gates, g->index, g->choice, g->out.counts, g->out.sums,
                     g->out.entropy, g->clean, shape.noisy ? g->spread : NULL, scale, &shape);
}

void gating_backward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                     const float *scale, float *d_scale, const float *d_choice, const float *d_gates) {
    const struct backend *be = pass->dev->ops;
    const struct gate_shape shape = shape_of(g, pass, noise);
    const int32_t out = (int32_t)cells(g);
    const bool spread = g->spread != NULL && shape.noisy;
    be->gate_backward(pass->dev, g->d_clean, spread ? g->d_spread : NULL, d_scale, d_choice, d_gates,
                      g->dsums, g->scores, g->clean, spread ? g->spread : NULL, scale, &shape);
    be->linear_backward(pass->dev, NULL, params_grad(pass->params, g->weight), NULL, g->d_clean, x,
                        params_weight(pass->params, g->weight), pass->rows, g->set.input, out, false);
    if (spread)
        be->linear_backward(pass->dev, NULL, params_grad(pass->params, g->noise), NULL, g->d_spread, x,
                            params_weight(pass->params, g->noise), pass->rows, g->set.input, out, false);
}

/* ---- losses
 * ----------------------------------------------------------------------------------------------------- */

void gating_balance(const struct gating *g, struct device *dev, const struct gate_loss_settings *settings,
                    double grad_scale) {
    const struct gate_balance balance = {
        .gates = g->set.gates,
        .experts = g->set.experts,
        .kind = g->set.kind,
        .importance = settings->importance * grad_scale,
        .load = settings->load * grad_scale,
    };
    dev->ops->gate_balance(dev, g->dsums, g->out.loss, g->out.sums, g->out.counts, &balance);
}

struct gate_loss gating_loss(const struct gating *g, const struct gate_loss_settings *settings) {
    const double *loss = g->host.loss;
    return (struct gate_loss){
        .importance = loss[0],
        .load = loss[1],
        .aux = settings->importance * loss[0] + settings->load * loss[1],
    };
}
