/* hierarchy.h - two levels of gates: K1 of G groups, then K2 of the E experts of each; the gates multiply. */
#ifndef NN_HIERARCHY_H
#define NN_HIERARCHY_H

#include "nn/gating.h"

/* Rows of the layer axis: experts first, so that flat and hierarchical models have them in the same row. */
enum gate_level { LEVEL_EXPERTS = 0, LEVEL_GROUPS = 1 };

struct hierarchy_settings {
    int32_t input;                        /* D */
    int32_t groups, top_k_groups;         /* G, K1 */
    int32_t experts_per_group, top_k;     /* E, K2 */
    enum gate_kind kind;                  /* of both levels */
    float noise_epsilon, renormalize_eps; /* of both levels */
    float weight_std;
};

struct hierarchy {
    struct hierarchy_settings set;
    struct gating groups; /* one gate over G groups; prefix.groups */
    struct gating inner;  /* G gates over E experts, scaled by their group's gate; prefix.inner */
    float *d_groups;      /* [rows, G], scratch */
};

moe_status hierarchy_declare(struct hierarchy *h, struct params *params, const char *prefix,
                             const struct hierarchy_settings *settings, moe_err *err);
void hierarchy_plan(struct hierarchy *h, struct nn_memory *memory, struct nn_limits limits);

/* Leaves the choices in h->inner: index [rows, G K2], numbered through the groups, and choice [rows, G K2],
 * the products of both gates. */
void hierarchy_forward(const struct hierarchy *h, const struct nn_pass *pass, double noise, const act_t *x);
/* From d_choice [rows, G K2] and both levels' dsums to the parameters of both. */
void hierarchy_backward(const struct hierarchy *h, const struct nn_pass *pass, double noise, const act_t *x,
                        const float *d_choice);

/* After forward, on the device: the balance losses of both levels, and their gradient (times grad_scale).
 * GATE_TOP_K_SOFTMAX: one loss over all G E experts (Shazeer et al. 2017, appendix B), reported as the
 * experts': importance[i, j] = sum_x G_i(x) G_ij(x),  load[i, j] = load_i load_ij / rows of group i. Else a
 * loss for each gate of both levels on its own (gating_balance()). */
void hierarchy_balance(const struct hierarchy *h, struct device *dev,
                       const struct gate_loss_settings *settings, double grad_scale);
/* What came out [2], as enum gate_level, from host. */
void hierarchy_loss(const struct hierarchy *h, const struct gate_loss_settings *settings,
                    struct gate_loss out_loss[2]);

#endif
