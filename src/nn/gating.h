/* gating.h - noisy top-k gates: which of E experts a row uses, and how much of each (Shazeer et al. 2017).
 *
 * A layer holds A gates over E experts each. A = 1 is a flat mixture. With A > 1 every row has all A gates
 * (one for each group of a hierarchy), of which those act whose scale is not 0. Experts are numbered through:
 * expert e of gate a is a E + e.
 */
#ifndef NN_GATING_H
#define NN_GATING_H

#include "nn/pass.h"

struct gating_settings {
    int32_t input;                 /* D */
    int32_t gates, experts, top_k; /* A, E, K */
    enum gate_kind kind;           /* GATE_BY_CHANCE has no noise matrix */
    float noise_epsilon, renormalize_eps;
    float weight_std; /* both matrices start as N(0, weight_std^2); 0 = zeros, as Shazeer et al. begin */
    int32_t level;    /* row of the layer axis */
};

/* Statistics of one pass, on either side. */
struct gate_report {
    int32_t *counts; /* [2, A, E], see enum gate_count */
    float *sums;     /* [3, A, E], see enum gate_sum */
    float *entropy;  /* [2, A] */
    double *loss;    /* [2] importance and load, before their weights */
};

struct gating {
    struct gating_settings set;
    int32_t weight,
        noise; /* parameters prefix.gate.weight and prefix.noise.weight [A E, D]; noise may be -1 */
    /* kept */
    float *clean, *spread; /* [rows, A E] */
    float *scores, *gates; /* [rows, A E] */
    int32_t *index;        /* [rows, A K] */
    float *choice;         /* [rows, A K] combine weights */
    float *dsums;          /* [3, A, E] the gradient of the balance losses with respect to sums */
    struct gate_report out;
    /* scratch */
    act_t *d_clean, *d_spread; /* [rows, A E] */
    struct gate_report host;   /* in the slot read last */
};

moe_status gating_declare(struct gating *g, struct params *params, const char *prefix,
                          const struct gating_settings *settings, moe_err *err);
/* Takes the statistics of one side, `out` or `host`, from an arena: a part of a report (nn/report.h). */
void gating_take_report(const struct gating *g, struct gate_report *report, struct arena *arena);
/* The rest. */
void gating_plan(struct gating *g, struct nn_memory *memory, struct nn_limits limits);

/* Chooses for x [rows, D]; scale [rows, A] (NULL = 1). noise >= 0 multiplies the standard deviation of the
 * noise; 0 switches noise and chance off. */
void gating_forward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                    const float *scale);
/* From d_choice [rows, A K], d_gates [rows, A E] (either may be NULL) and dsums to the parameters, and
 * to d_scale [rows, A] (may be NULL). The input gets no gradient: it is an image. */
void gating_backward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                     const float *scale, float *d_scale, const float *d_choice, const float *d_gates);

/* ---- losses
 * ----------------------------------------------------------------------------------------------------- */

struct gate_loss_settings {
    double importance, load; /* weights */
};

struct gate_loss {
    double importance, load; /* before their weights; summed over gates */
    double aux;              /* weighted, as it enters the loss */
};

/* After forward, on the device: the balance losses of a layer on its own, and their gradient (times
 * grad_scale) for backward; the formulas of the kinds are the operation gate_balance's. */
void gating_balance(const struct gating *g, struct device *dev, const struct gate_loss_settings *settings,
                    double grad_scale);
/* What came out, from host. */
struct gate_loss gating_loss(const struct gating *g, const struct gate_loss_settings *settings);

#endif
