/* routing.h - what all MoE layers of a model share in a step: controls, statistics, and the balance terms
 * made of them.
 *
 * Between forward and backward the device makes the derivatives of the balance losses with respect to the
 * router probabilities. The statistics are read when the whole step has been given to the device, and the
 * losses computed of them on the host in double: [layers, experts] numbers, for which nothing else waits.
 */
#ifndef NN_ROUTING_H
#define NN_ROUTING_H

#include "nn/pass.h"

#define ROUTING_HIST_BINS 16

/* Statistics of one pass, on the host. [L, E] row-major or [L]. */
struct routing_host {
    int32_t *load, *dropped;
    float *prob_mass; /* sum over rows */
    float *entropy;   /* [L] sum over rows, nats */
    float *z;         /* [L] sum over rows of lse^2 */
    uint16_t *hist;   /* [L, E, ROUTING_HIST_BINS] */
    float *bias;      /* [L, E] selection bias learned by routing_update_bias() */
    float *select;    /* [L, E] bias plus the mask of experts that sit out */
};

#define ROUTING_MAX_GROUPS 2

/* Routers that are alike. */
struct routing_group {
    int32_t experts, top_k;
};

struct routing {
    int32_t layers, experts; /* L, E: routers in the model; experts of the router that has most. The cells of
                                experts that a router lacks stay 0 */
    int32_t groups; /* rows [g L / groups, (g + 1) L / groups) of the layer axis are routers of group g */
    struct routing_group group[ROUTING_MAX_GROUPS];
    int32_t
        biased_layers; /* routing_update_bias() moves the bias of this many first rows; L unless changed */
    /* controls of the coming pass */
    float temperature;
    bool dense;       /* every token uses every expert */
    bool with_select; /* select_bias is used */
    bool with_hist;   /* sequence histograms are made */
    /* device memory */
    int32_t *load, *dropped;
    float *prob_mass, *entropy, *z;
    float *prob_grad, *select_bias;
    uint16_t *hist;
    struct routing_host host;
    void *host_block; /* owns bias and mask, and the statistics that routing_create() makes */
};

/* How balance losses are formed. */
struct balance_settings {
    float lb_coeff; /* alpha * E * sum_e f_e P_e, f_e = load_e / (rows K), P_e = mean probability (Fedus et
                       al. 2021) */
    bool pooled; /* f and P over the tokens of all routers of a group together; else a loss per router, added
                    up */
    float z_coeff; /* router z-loss, mean over rows of lse^2 (Zoph et al. 2022), added up over layers */
};

struct balance_result {
    double aux, z; /* weighted, as they enter the loss */
};

/* Sizes alone, without memory: `count` groups of `layers` routers each. layers may be 0. */
void routing_describe(struct routing *r, int32_t layers, const struct routing_group *groups, int32_t count);
/* The same with host memory of bias and mask; that of the statistics comes from routing_view(), device memory
 * from the plan. */
moe_status routing_create_groups(struct routing *r, int32_t layers, const struct routing_group *groups,
                                 int32_t count, moe_err *err);
/* One group, of K = 1, with host memory of the statistics too. */
moe_status routing_create(struct routing *r, int32_t layers, int32_t experts, moe_err *err);
/* Device memory; begins with the statistics, in the order of routing_view(). */
void routing_plan(struct routing *r, struct nn_memory *memory);
/* From now on the statistics of host.* are those that stand in `arena`: of a report (nn/report.h). */
void routing_view(struct routing *r, struct arena *arena);
void routing_free(struct routing *r);

/* Experts of a row's router, and how many of them a token uses in the coming pass. */
static inline int32_t routing_experts(const struct routing *r, int32_t layer) {
    return r->group[layer * r->groups / r->layers].experts;
}

static inline int32_t routing_top_k(const struct routing *r, int32_t layer) {
    const struct routing_group *group = &r->group[layer * r->groups / r->layers];
    return r->dense ? group->experts : group->top_k;
}

/* Reads the statistics of the pass just made into host.*; waits for the device. */
void routing_download(struct routing *r, struct device *dev);

/* prob_grad for backward, on the device, from the loads of the pass just made. grad_scale is the weight of
 * this micro-batch in the step (its rows / the step's rows). */
void routing_balance_gradient(const struct routing *r, struct device *dev,
                              const struct balance_settings *settings, int64_t rows, double grad_scale);

/* Auxiliary losses of the pass, from host.*. */
struct balance_result routing_balance(const struct routing *r, const struct balance_settings *settings,
                                      int64_t rows);

/* Loss-free balancing, per router, from `load` [L, E] and the shares f_e of it: bias_e += gamma * step_e. A
 * router without load keeps its bias. */
enum bias_rule {
    BIAS_SIGN = 0,          /* step_e = sign(1 / E - f_e) (Wang et al. 2024; DeepSeek-V3) */
    BIAS_PROPORTIONAL = 1,  /* step_e = 1 / E - f_e (source D's text) */
    BIAS_PROPORTIONAL_E = 2 /* step_e = 1 - E f_e (source D's code) */
};
void routing_update_bias(struct routing *r, const int64_t *load, float gamma, enum bias_rule rule);

/* Composes select_bias from the bias and, with probability p per expert, a mask of -inf (experts that sit out
 * this step; at least K stay in every layer), and uploads it. */
void routing_select(struct routing *r, struct device *dev, float p, uint64_t seed, uint32_t step);

#endif
