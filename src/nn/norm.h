/* norm.h - LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019) over rows of `width`. */
#ifndef NN_NORM_H
#define NN_NORM_H

#include "nn/pass.h"

struct norm {
    enum norm_kind kind;
    int32_t width;
    int64_t
        stride; /* elements between rows of x, y and their gradients; width unless changed after declaring */
    float eps;
    int32_t gamma, beta; /* parameter indices; beta -1 for RMSNorm */
    float *mean, *rstd;  /* [rows], kept */
};

/* gamma starts at 1, beta at 0; named prefix.weight and prefix.bias. */
moe_status norm_declare(struct norm *n, struct params *params, const char *prefix, enum norm_kind kind,
                        int32_t width, float eps, moe_err *err);
void norm_plan(struct norm *n, struct nn_memory *memory, struct nn_limits limits);
void norm_forward(const struct norm *n, const struct nn_pass *pass, act_t *y, const act_t *x);
/* dx = or += */
void norm_backward(const struct norm *n, const struct nn_pass *pass, act_t *dx, const act_t *dy,
                   const act_t *x, bool accumulate_dx);

#endif
