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

/* Statistics of one pass, on the host, and the gradient that the losses put on them. */
struct gate_host {
    int32_t *counts; /* [2, A, E], see enum gate_count */
    float *sums;     /* [3, A, E], see enum gate_sum */
    float *entropy;  /* [2, A] */
    float *dsums;    /* [3, A, E] */
    double *work;    /* [4, A, E], of the losses */
};

struct gating {
    struct gating_settings set;
    int32_t weight,
        noise; /* parameters prefix.gate.weight and prefix.noise.weight [A E, D]; noise may be -1 */
    /* kept */
    act_t *clean, *spread; /* [rows, A E] */
    float *scores, *gates; /* [rows, A E] */
    int32_t *index;        /* [rows, A K] */
    float *choice;         /* [rows, A K] combine weights */
    int32_t *counts;
    float *sums, *entropy, *dsums;
    /* scratch */
    act_t *d_clean, *d_spread; /* [rows, A E] */
    struct gate_host host;
    void *host_block; /* owns host.* */
};

moe_status gating_declare(struct gating *g, struct params *params, const char *prefix,
                          const struct gating_settings *settings, moe_err *err);
/* Host memory of the statistics. */
moe_status gating_create_host(struct gating *g, moe_err *err);
void gating_free(struct gating *g);
void gating_plan(struct gating *g, struct nn_memory *memory, struct nn_limits limits);

/* Chooses for x [rows, D]; scale [rows, A] (NULL = 1). noise >= 0 multiplies the standard deviation of the
 * noise; 0 switches noise and chance off. */
void gating_forward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                    const float *scale);
/* Reads the statistics into host and clears host.dsums; waits for the device. */
void gating_download(struct gating *g, struct device *dev);
/* From d_choice [rows, A K], d_gates [rows, A E] (either may be NULL) and host.dsums to the parameters, and
 * to d_scale [rows, A] (may be NULL). The input gets no gradient: it is an image. */
void gating_backward(const struct gating *g, const struct nn_pass *pass, double noise, const act_t *x,
                     const float *scale, float *d_scale, const float *d_choice, const float *d_gates);

/* ---- losses
 * ----------------------------------------------------------------------------------------------------- */

/* Squared coefficient of variation of x [n], and its gradient (dx [n] +=  weight * ; may be NULL): variance
 * over (mean^2 + eps), of the population or unbiased; 0 for fewer than two values, or where mean^2 + eps is
 * 0. */
double gate_cv_squared(const double *x, int32_t n, bool unbiased, double eps, double weight, double *dx);

struct gate_loss_settings {
    double importance, load; /* weights */
};

struct gate_loss {
    double importance, load; /* before their weights; summed over gates */
    double aux;              /* weighted, as it enters the loss */
};

/* The balance loss of a layer on its own, from host, with its derivative (times grad_scale) in host.dsums:
 *   GATE_TOP_K_SOFTMAX  w_imp CV^2(importance) + w_load CV^2(load), population variance (Shazeer et al. 2017)
 *   GATE_SOFTMAX_TOP_K  the same with unbiased variance and eps 1e-10 (source B's code)
 *   GATE_BY_CHANCE      w_imp E sum_e f_e P_e, f from first choices, P the mean probability (Lepikhin et al.
 *                       2021, times E^2); gates weigh as many rows as they have
 * summed over gates. Layers of A > 1 gates need host.dsums zeroed first, as gating_download() leaves it. */
struct gate_loss gating_loss(struct gating *g, const struct gate_loss_settings *settings, double grad_scale);

#endif
