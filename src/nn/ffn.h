/* ffn.h - feed-forward network: fc2(dropout(f(fc1 x))), f = GELU or SwiGLU. */
#ifndef NN_FFN_H
#define NN_FFN_H

#include "nn/linear.h"

struct ffn_settings {
    int32_t hidden, intermediate; /* D, F */
    enum activation_kind activation;
    bool bias;
    float dropout; /* on the hidden layer */
    uint32_t site;
};

struct ffn {
    struct ffn_settings set;
    struct linear fc1, fc2; /* fc1: [F or 2F (gate, up), D]; fc2: [D, F] */
    act_t *pre;             /* [rows, F or 2F], kept */
    act_t *mid;             /* [rows, F], kept */
    act_t *d_mid, *d_pre;   /* scratch; d_pre is d_mid for ungated kinds */
};

/* Rows of fc1 for F hidden units. */
int32_t ffn_pre_width(enum activation_kind activation, int32_t intermediate);

moe_status ffn_declare(struct ffn *f, struct params *params, const char *prefix,
                       const struct ffn_settings *settings, struct linear_init init, moe_err *err);
void ffn_plan(struct ffn *f, struct nn_memory *memory, struct nn_limits limits);
void ffn_forward(const struct ffn *f, const struct nn_pass *pass, act_t *y, const act_t *x);
void ffn_backward(const struct ffn *f, const struct nn_pass *pass, act_t *dx, const act_t *dy, const act_t *x,
                  bool accumulate_dx);

#endif
