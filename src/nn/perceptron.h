/* perceptron.h - one hidden layer: D -> F -> ReLU -> C -> softmax. What an expert of a mixture is, alone. */
#ifndef NN_PERCEPTRON_H
#define NN_PERCEPTRON_H

#include "nn/linear.h"
#include "nn/mixture.h"

struct perceptron {
    struct linear fc1, fc2; /* [F, D], [C, F] */
    act_t *pre, *mid;       /* [rows, F], kept */
    float *y;               /* [rows, C], kept */
    act_t *d_logits;        /* [rows, C], scratch */
    act_t *d_mid;           /* [rows, F], scratch */
};

moe_status perceptron_declare(struct perceptron *n, struct params *params, const char *prefix, int32_t input,
                              int32_t hidden, int32_t classes, enum expert_init init, moe_err *err);
void perceptron_plan(struct perceptron *n, struct nn_memory *memory, struct nn_limits limits);
/* n->y from x [rows, D] */
void perceptron_forward(const struct perceptron *n, const struct nn_pass *pass, const act_t *x);
/* From dy [rows, C]. The input gets no gradient: it is an image. */
void perceptron_backward(const struct perceptron *n, const struct nn_pass *pass, const float *dy,
                         const act_t *x);

#endif
