/* linear.h - y = x w^T + b. */
#ifndef NN_LINEAR_H
#define NN_LINEAR_H

#include "nn/pass.h"

struct linear {
    int32_t in, out;
    int32_t weight, bias; /* parameter indices; bias -1 if there is none */
};

/* How parameters start. pytorch: uniform in +-1/sqrt(in) for weights and biases (the default of
 * torch.nn.Linear); else N(0, std) and zero biases. */
struct linear_init {
    bool pytorch;
    float std;
};

struct param_declaration linear_weight_declaration(struct linear_init init, int32_t in, int32_t out);
struct param_declaration linear_bias_declaration(struct linear_init init, int32_t in, int32_t out);

/* weight [out, in], bias [out] if with_bias; named prefix.weight and prefix.bias. */
moe_status linear_declare(struct linear *l, struct params *params, const char *prefix, int32_t in,
                          int32_t out, bool with_bias, struct linear_init init, moe_err *err);
/* y [rows, out] = x [rows, in] w^T + b */
void linear_forward(const struct linear *l, const struct nn_pass *pass, act_t *y, const act_t *x);
/* The same in fp32, whatever the type of activations */
void linear_forward_float(const struct linear *l, const struct nn_pass *pass, float *y, const act_t *x);
/* dx [rows, in] = or += dy w (dx may be NULL) */
void linear_backward(const struct linear *l, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                     const act_t *x, bool accumulate_dx);

#endif
