#include "nn/linear.h"

#include <math.h>

struct param_declaration linear_weight_declaration(struct linear_init init, int32_t in, int32_t out) {
    return (struct param_declaration){
        .rank = 2,
        .shape = {out, in},
        .init = init.pytorch ? PARAM_UNIFORM : PARAM_NORMAL,
        .init_scale = init.pytorch ? 1.0f / sqrtf((float)in) : init.std,
        .moe_layer = -1,
    };
}

struct param_declaration linear_bias_declaration(struct linear_init init, int32_t in, int32_t out) {
    return (struct param_declaration){
        .rank = 1,
        .shape = {out},
        .init = init.pytorch ? PARAM_UNIFORM : PARAM_CONSTANT,
        .init_scale = init.pytorch ? 1.0f / sqrtf((float)in) : 0.0f,
        .moe_layer = -1,
    };
}

moe_status linear_declare(struct linear *l, struct params *params, const char *prefix, int32_t in,
                          int32_t out, bool with_bias, struct linear_init init, moe_err *err) {
    moe_status status = MOE_OK;
    *l = (struct linear){.in = in, .out = out, .weight = -1, .bias = -1};
    const struct param_declaration weight = linear_weight_declaration(init, in, out);
    moe_try(params_declare(params, prefix, "weight", &weight, &l->weight, err));
    if (with_bias) {
        const struct param_declaration bias = linear_bias_declaration(init, in, out);
        moe_try(params_declare(params, prefix, "bias", &bias, &l->bias, err));
    }
out:
    return status;
}

void linear_forward(const struct linear *l, const struct nn_pass *pass, act_t *y, const act_t *x) {
    pass->dev->ops->linear_forward(pass->dev, y, x, params_weight(pass->params, l->weight),
                                   params_weight(pass->params, l->bias), pass->rows, l->in, l->out);
}

void linear_forward_float(const struct linear *l, const struct nn_pass *pass, float *y, const act_t *x) {
    pass->dev->ops->linear_forward_float(pass->dev, y, x, params_weight(pass->params, l->weight),
                                         params_weight(pass->params, l->bias), pass->rows, l->in, l->out);
}

void linear_backward(const struct linear *l, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                     const act_t *x, bool accumulate_dx) {
    pass->dev->ops->linear_backward(
        pass->dev, dx, params_grad(pass->params, l->weight), params_grad(pass->params, l->bias), dy, x,
        params_weight(pass->params, l->weight), pass->rows, l->in, l->out, accumulate_dx);
}
