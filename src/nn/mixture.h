/* mixture.h - experts that each name class probabilities, and their weighted mean.
 *
 * Expert: D -> F -> ReLU -> C -> softmax. y[r] = sum over the row's choices of weight * expert(x[r]). Rows
 * are sorted by expert once, and one grouped product serves all experts; an expert without rows costs
 * nothing.
 */
#ifndef NN_MIXTURE_H
#define NN_MIXTURE_H

#include "nn/pass.h"

/* How an expert's matrices start. Glorot and He have zero biases. */
enum expert_init {
    EXPERT_PYTORCH = 0,  /* uniform +-1/sqrt(fan_in), biases too (the default of torch.nn.Linear) */
    EXPERT_GLOROT = 1,   /* uniform +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010) */
    EXPERT_HE = 2,       /* N(0, 2 / fan_in) (He et al. 2015) */
    EXPERT_IDENTICAL = 3 /* as EXPERT_PYTORCH, all experts like the first: only gates tell them apart */
};

struct mixture_settings {
    int32_t input, hidden, classes; /* D, F, C */
    int32_t experts;                /* E */
    int32_t slots, used;            /* places in a row's list of choices; most of them that are used */
    enum expert_init init;
    int32_t level; /* row of the layer axis */
};

struct mixture {
    struct mixture_settings set;
    int32_t fc1_weight, fc1_bias, fc2_weight, fc2_bias; /* prefix.fc1.weight [E, F, D], ... */
    /* kept; S = rows * used */
    int32_t *offsets;  /* [E + 1] */
    int32_t *position; /* [rows, slots] */
    int32_t *source;   /* [rows * slots] */
    int32_t *dropped;  /* [E], all 0: there is no capacity */
    act_t *x_sorted;   /* [S, D]; NULL: products read rows where they stand */
    act_t *pre, *mid;  /* [S, F] */
    float *prob;       /* [S, C] of the experts' classes */
    /* scratch */
    float *d_choice; /* [rows, slots] */
    act_t *d_logits; /* [S, C] */
    act_t *d_mid;    /* [S, F] */
};

moe_status mixture_declare(struct mixture *m, struct params *params, const char *prefix,
                           const struct mixture_settings *settings, moe_err *err);
/* After params_initialize(): makes experts alike where the settings ask for it. */
moe_status mixture_initialize(const struct mixture *m, struct params *params, moe_err *err);
void mixture_plan(struct mixture *m, struct nn_memory *memory, struct nn_limits limits);
/* y [rows, C] from x [rows, D]; index and choice [rows, slots] say which experts (-1: none) and how much. */
void mixture_forward(const struct mixture *m, const struct nn_pass *pass, float *y, const act_t *x,
                     const int32_t *index, const float *choice);
/* From dy [rows, C] to the parameters and to m->d_choice. The input gets no gradient: it is an image. */
void mixture_backward(const struct mixture *m, const struct nn_pass *pass, const float *dy, const act_t *x,
                      const float *choice);

/* The declarations of one layer out of fan_in under an init; also for a dense network. */
struct param_declaration mixture_weight_declaration(enum expert_init init, int32_t in, int32_t out);
struct param_declaration mixture_bias_declaration(enum expert_init init, int32_t in, int32_t out);

#endif
