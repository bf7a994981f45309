#include "nn/perceptron.h"

#include <stdio.h>

static moe_status declare_layer(struct linear *l, struct params *params, const char *prefix,
                                const char *suffix, int32_t in, int32_t out, enum expert_init init,
                                moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    const struct param_declaration weight = mixture_weight_declaration(init, in, out);
    const struct param_declaration bias = mixture_bias_declaration(init, in, out);
    *l = (struct linear){.in = in, .out = out};
    snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    moe_try(params_declare(params, name, "weight", &weight, &l->weight, err));
    moe_try(params_declare(params, name, "bias", &bias, &l->bias, err));
out:
    return status;
}

moe_status perceptron_declare(struct perceptron *n, struct params *params, const char *prefix, int32_t input,
                              int32_t hidden, int32_t classes, enum expert_init init, moe_err *err) {
    moe_status status = MOE_OK;
    *n = (struct perceptron){0};
    moe_try(declare_layer(&n->fc1, params, prefix, "fc1", input, hidden, init, err));
    moe_try(declare_layer(&n->fc2, params, prefix, "fc2", hidden, classes, init, err));
out:
    return status;
}

void perceptron_plan(struct perceptron *n, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    n->pre = nn_kept(memory, rows * n->fc1.out);
    n->mid = nn_kept(memory, rows * n->fc1.out);
    n->y = arena_array(&memory->kept, float, rows * n->fc2.out);
    const size_t mark = arena_mark(&memory->scratch);
    n->d_logits = nn_scratch(memory, rows * n->fc2.out);
    n->d_mid = nn_scratch(memory, rows * n->fc1.out);
    arena_rewind(&memory->scratch, mark);
}

void perceptron_forward(const struct perceptron *n, const struct nn_pass *pass, const act_t *x) {
    const struct backend *be = pass->dev->ops;
    linear_forward(&n->fc1, pass, n->pre, x);
    be->activation_forward(pass->dev, ACTIVATION_RELU, n->mid, n->pre, pass->rows, n->fc1.out,
                           nn_dropout(pass, 0, 0));
    linear_forward_float(&n->fc2, pass, n->y, n->mid);
    be->mixture_forward(pass->dev, n->y, n->y, n->y, NULL, NULL, pass->rows, 1, n->fc2.out);
}

void perceptron_backward(const struct perceptron *n, const struct nn_pass *pass, const float *dy,
                         const act_t *x) {
    const struct backend *be = pass->dev->ops;
    be->mixture_backward(pass->dev, n->d_logits, NULL, dy, n->y, NULL, NULL, pass->rows, 1, n->fc2.out);
    linear_backward(&n->fc2, pass, n->d_mid, n->d_logits, n->mid, false);
    be->activation_backward(pass->dev, ACTIVATION_RELU, n->d_mid, n->d_mid, n->pre, pass->rows, n->fc1.out,
                            nn_dropout(pass, 0, 0));
    linear_backward(&n->fc1, pass, NULL, n->d_mid, x, false);
}
