/* config.h - what a model is: the part of an experiment's configuration that model code reads.
 *
 * Key names, ranges and documentation stand in the key table of train/experiment.c.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_MAX_LAYERS 256

enum norm_name { CONFIG_NORM_LAYERNORM = 0, CONFIG_NORM_RMSNORM = 1 };
enum norm_placement { NORM_PRE = 0, NORM_SUBLAYER_OUTPUT = 1 };
enum positions_kind { POSITIONS_LEARNED = 0, POSITIONS_ROPE = 1 };
enum ffn_kind { FFN_GELU = 0, FFN_SWIGLU = 1 };
enum init_kind {
    INIT_PYTORCH = 0, /* linear: uniform +-1/sqrt(fan_in), embeddings N(0, 1) (the defaults of torch.nn) */
    INIT_NORMAL = 1   /* everything N(0, init_std); norms 1, biases 0 */
};

struct model_config {
    int32_t vocab_size, hidden_size, intermediate_size, num_hidden_layers;
    int32_t num_attention_heads, num_key_value_heads; /* kv 0 in TOML = as many as heads; resolved here */
    int32_t head_dim;                                 /* 0 in TOML = hidden_size / heads; resolved here */
    int32_t max_position_embeddings;
    enum norm_name norm;
    enum norm_placement norm_placement;
    double norm_eps;
    enum positions_kind positions;
    double rope_theta;
    enum ffn_kind ffn;
    bool attention_bias, mlp_bias, qk_norm;
    double dropout;
    enum init_kind init;
    double init_std;
    int64_t expected_parameters; /* asserted when the model is built; 0 = not stated */
};

enum router_name { CONFIG_ROUTER_SOFTMAX = 0, CONFIG_ROUTER_SIGMOID = 1 };
enum lb_scope { LB_PER_LAYER = 0, LB_POOLED = 1 };
enum bias_rule_name { CONFIG_BIAS_SIGN = 0, CONFIG_BIAS_PROPORTIONAL = 1, CONFIG_BIAS_PROPORTIONAL_E = 2 };
enum drop_name { CONFIG_DROP_POSITION = 0, CONFIG_DROP_WEIGHT = 1, CONFIG_DROP_PUBLISHED_SLOT = 2 };

struct moe_config {
    int32_t
        layers[MODEL_MAX_LAYERS]; /* 0-based decoder layers whose FFN is MoE, ascending; TOML list or "all" */
    int32_t num_layers;           /* 0 = dense model */
    int32_t num_experts, num_active_experts, num_shared_experts;
    int32_t intermediate_size; /* of one expert; 0 in TOML = model.intermediate_size; resolved here */
    enum router_name router;
    bool renormalize;      /* combine weights sum to 1 over the chosen experts */
    bool renormalize_top1; /* apply that also when K = 1 (source D as published) */
    double renormalize_eps;
    double routed_scaling_factor; /* > 0; multiplies the combine weights of routed experts (DeepSeek-V3) */
    double temperature_start, temperature_end; /* router temperature, linear per epoch */
    int32_t temperature_epochs;                /* 0 = temperature_start throughout */
    double lb_coeff; /* alpha * E * sum f_e P_e (Switch, Fedus et al. 2021); f over K slots */
    enum lb_scope lb_scope;
    double lb_gamma; /* step of the loss-free selection bias; 0 = none */
    enum bias_rule_name bias_rule;
    bool bias_counts_eval;  /* the load that moves the bias includes that of evaluations (source D as
                               published) */
    double z_coeff;         /* router z-loss (ST-MoE) */
    double capacity_factor; /* 0 = dropless; capacity = floor(rows K / E * factor), training only */
    enum drop_name drop_policy;
    double expert_dropout;  /* probability that an expert sits out a training step (at least K stay; all of
                               them in dense epochs) */
    double expert_lr_scale; /* learning rate of expert parameters relative to the rest */
    int32_t dense_epochs;   /* dense-to-sparse: epochs at the start in which every token uses all experts */
    /* A second group of experts with a router of its own; 0 experts = none. y = sum_i k_i y_i / sum_i k_i. */
    int32_t num_experts_2, num_active_experts_2, intermediate_size_2;
    int32_t
        generalist_size; /* width of an expert that every token uses, a further group of k = 1; 0 = none */
    /* Experts by size, resolved into the counts and widths above by train/experiment_validate.c */
    double granularity, granularity_2, sparsity, generalist_granularity; /* 0 = not used */
    bool aux_mean_over_layers;            /* lb_coeff and z_coeff weigh means over the layers, not sums */
    bool drop_in_evaluation;              /* capacity acts in evaluation too */
    bool published_bias_first_group_only; /* the selection bias of the second group stays 0 (source C as
                                             published) */
    bool published_generalist_input; /* the generalist is a dense layer beside routed experts that read the
                                        block's input (source C as published) */
};

#define MOE_MAX_GROUPS 2
/* The rows of the layer axis are routers: those of the first groups, then those of the second groups. The
 * number of a row is its layer, and from here on counted for the second group. */
#define MOE_SECOND_GROUP 1000

static inline int32_t moe_config_groups(const struct moe_config *moe) {
    return moe->num_experts_2 > 0 ? 2 : 1;
}

/* Routers of the model: rows of the layer axis. */
static inline int32_t moe_config_routers(const struct moe_config *moe) {
    return moe->num_layers * moe_config_groups(moe);
}

/* Experts of the router that has most. */
static inline int32_t moe_config_most_experts(const struct moe_config *moe) {
    return moe->num_experts_2 > moe->num_experts ? moe->num_experts_2 : moe->num_experts;
}

#endif
