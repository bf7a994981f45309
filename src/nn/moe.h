/* moe.h - a mixture-of-experts feed-forward layer: router, grouped experts, combine, optional shared expert.
 *
 * y[r] = sum_k weight[r, k] expert_{index[r, k]}(x[r])  (+ shared_scale shared(x[r])), over the K experts the
 * router chose for r; slots that find their expert full (training, capacity_factor > 0) add nothing. A layer
 * of two groups is two of these that add up.
 */
#ifndef NN_MOE_H
#define NN_MOE_H

#include "nn/ffn.h"
#include "nn/routing.h"

struct moe_settings {
    int32_t hidden, intermediate; /* D, F of one expert */
    int32_t experts, top_k;       /* E, K */
    int32_t shared;               /* width of the FFN that every token uses; 0 = none */
    const char *shared_name;      /* of its parameters, after the prefix; a string that lives on */
    float shared_scale;
    enum activation_kind activation;
    bool bias;
    float dropout; /* on the experts' hidden layer */
    uint32_t site;
    enum router_kind router;
    bool renormalize;
    float renormalize_eps, weight_scale;
    double capacity_factor; /* 0 = dropless */
    bool drop_in_evaluation;
    enum drop_policy policy;
    float z_coeff;      /* router z-loss */
    bool dense_allowed; /* the memory plan covers passes in which all experts are used */
    int32_t moe_layer;  /* row of the layer axis */
};

struct moe {
    struct moe_settings set;
    int32_t router;                                     /* parameter: prefix.router.weight [E, D] */
    int32_t fc1_weight, fc1_bias, fc2_weight, fc2_bias; /* prefix.experts.fc1.weight [E, F or 2F, D], ... */
    struct ffn shared;
    /* kept; S = rows * K slots */
    float *logits, *prob; /* [rows, E] */
    int32_t *index;       /* [rows, K] */
    float *weight;        /* [rows, K] */
    int32_t *offsets;     /* [E + 1] */
    int32_t *position;    /* [rows, K] */
    int32_t *source;      /* [S] */
    act_t *x_sorted;      /* [S, D]; NULL: products read rows where they stand */
    act_t *pre, *mid;     /* [S, F or 2F], [S, F] */
    act_t *y_sorted;      /* [S, D] */
    /* scratch */
    float *d_weight, *d_logits; /* [rows, K], [rows, E] */
    act_t *d_sorted;            /* [S, D] */
    act_t *d_mid, *d_pre;       /* [S, F], [S, F or 2F] */
    act_t *shared_out;          /* [rows, D]: what the shared FFN gives, or its gradient */
};

moe_status moe_declare(struct moe *m, struct params *params, const char *prefix,
                       const struct moe_settings *settings, struct linear_init init, moe_err *err);
void moe_plan(struct moe *m, struct nn_memory *memory, struct nn_limits limits);
/* Slots of a pass: K, or E in a dense pass. */
int32_t moe_top_k(const struct moe *m, const struct routing *routing);
/* y [rows, D] = or += from x [rows, D]; leaves this layer's statistics in routing's device arrays. */
void moe_forward(const struct moe *m, const struct nn_pass *pass, const struct routing *routing, act_t *y,
                 const act_t *x, bool accumulate_y);
/* z_scale: weight of this micro-batch in the step. Uses routing->prob_grad. */
void moe_backward(const struct moe *m, const struct nn_pass *pass, const struct routing *routing,
                  double z_scale, act_t *dx, const act_t *dy, const act_t *x, bool accumulate_dx);

#endif
