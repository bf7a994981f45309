#include "nn/norm.h"

moe_status norm_declare(struct norm *n, struct params *params, const char *prefix, enum norm_kind kind,
                        int32_t width, float eps, moe_err *err) {
    moe_status status = MOE_OK;
    *n = (struct norm){.kind = kind, .width = width, .stride = width, .eps = eps, .gamma = -1, .beta = -1};
    const struct param_declaration ones = {
        .rank = 1, .shape = {width}, .init = PARAM_CONSTANT, .init_scale = 1.0f, .moe_layer = -1};
    const struct param_declaration zeros = {
        .rank = 1, .shape = {width}, .init = PARAM_CONSTANT, .init_scale = 0.0f, .moe_layer = -1};
    moe_try(params_declare(params, prefix, "weight", &ones, &n->gamma, err));
    if (kind == NORM_LAYER) moe_try(params_declare(params, prefix, "bias", &zeros, &n->beta, err));
out:
    return status;
}

void norm_plan(struct norm *n, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    n->mean = n->kind == NORM_LAYER ? arena_array(&memory->kept, float, rows) : NULL;
    n->rstd = arena_array(&memory->kept, float, rows);
}

void norm_forward(const struct norm *n, const struct nn_pass *pass, act_t *y, const act_t *x) {
    pass->dev->ops->norm_forward(pass->dev, n->kind, y, n->mean, n->rstd, x,
                                 params_weight(pass->params, n->gamma), params_weight(pass->params, n->beta),
                                 pass->rows, n->width, n->stride, n->stride, n->eps);
}

void norm_backward(const struct norm *n, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                   const act_t *x, bool accumulate_dx) {
    pass->dev->ops->norm_backward(pass->dev, n->kind, dx, params_grad(pass->params, n->gamma),
                                  params_grad(pass->params, n->beta), dy, x, n->mean, n->rstd,
                                  params_weight(pass->params, n->gamma), pass->rows, n->width, n->stride,
                                  n->stride, accumulate_dx);
}
