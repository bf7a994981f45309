#include "model/block.h"

#include <stdio.h>

static enum norm_kind norm_of(const struct model_config *model) {
    return model->norm == CONFIG_NORM_RMSNORM ? NORM_RMS : NORM_LAYER;
}

static struct attention_settings attention_settings_of(const struct model_config *model, int32_t layer,
                                                       uint32_t site) {
    return (struct attention_settings){
        .hidden = model->hidden_size,
        .heads = model->num_attention_heads,
        .kv_heads = model->num_key_value_heads,
        .head_dim = model->head_dim,
        .layer = layer,
        .bias = model->attention_bias,
        .rope = model->positions == POSITIONS_ROPE,
        .rope_theta = (float)model->rope_theta,
        .qk_norm = model->qk_norm,
        .norm = norm_of(model),
        .norm_eps = (float)model->norm_eps,
        .dropout = (float)model->dropout,
        .site = site + PLACE_ATTENTION,
    };
}

static enum activation_kind activation_of(const struct model_config *model) {
    return model->ffn == FFN_SWIGLU ? ACTIVATION_SWIGLU : ACTIVATION_GELU;
}

/* The sum of k over a layer's groups, the generalist's too where it is one of them. */
static double active_of(const struct moe_config *moe) {
    const bool generalist = moe->generalist_size > 0 && !moe->published_generalist_input;
    const int32_t second = moe->num_experts_2 > 0 ? moe->num_active_experts_2 : 0;
    return moe->num_active_experts + second + (generalist ? 1 : 0);
}

/* What all groups have in common. */
static struct moe_settings moe_settings_of(const struct model_config *model, const struct moe_config *moe) {
    static const enum drop_policy policies[] = {
        [CONFIG_DROP_POSITION] = DROP_BY_POSITION,
        [CONFIG_DROP_WEIGHT] = DROP_BY_WEIGHT,
        [CONFIG_DROP_PUBLISHED_SLOT] = DROP_PUBLISHED_SLOT,
    };
    return (struct moe_settings){
        .hidden = model->hidden_size,
        .activation = activation_of(model),
        .bias = model->mlp_bias,
        .dropout = (float)model->dropout,
        .router = moe->router == CONFIG_ROUTER_SIGMOID ? ROUTER_SIGMOID : ROUTER_SOFTMAX,
        .renormalize_eps = (float)moe->renormalize_eps,
        .capacity_factor = moe->capacity_factor,
        .drop_in_evaluation = moe->drop_in_evaluation,
        .policy = policies[moe->drop_policy],
        .z_coeff = (float)(moe->aux_mean_over_layers ? moe->z_coeff / moe->num_layers : moe->z_coeff),
        .dense_allowed = moe->dense_epochs > 0,
    };
}

/* Experts of one group; the first one also has what every token uses. */
static void set_group(struct moe_settings *set, const struct moe_config *moe, int32_t group, uint32_t site,
                      int32_t moe_layer) {
    const double scale = moe->routed_scaling_factor;
    set->experts = group == 0 ? moe->num_experts : moe->num_experts_2;
    set->top_k = group == 0 ? moe->num_active_experts : moe->num_active_experts_2;
    set->intermediate = group == 0 ? moe->intermediate_size : moe->intermediate_size_2;
    set->renormalize = moe->renormalize && (set->top_k > 1 || moe->renormalize_top1);
    set->site = site + (group == 0 ? PLACE_FFN : PLACE_FFN_2);
    set->moe_layer = moe_layer + group * moe->num_layers;
    set->weight_scale = (float)scale;
    const double active = active_of(moe);
    if (active > set->top_k) set->weight_scale = (float)(scale * set->top_k / active);
    if (group > 0) return;
    set->shared_name = "shared";
    set->shared_scale = 1.0f;
    set->shared = moe->num_shared_experts * moe->intermediate_size;
    if (moe->generalist_size > 0 && !moe->published_generalist_input) {
        set->shared_name = "generalist";
        set->shared_scale = (float)(1.0 / active);
        set->shared = moe->generalist_size;
    }
}

static moe_status declare_experts(struct block *b, struct params *params, int32_t number, int32_t moe_layer,
                                  const struct model_config *model, const struct moe_config *moe,
                                  struct linear_init init, moe_err *err) {
    static const char *const names[MOE_MAX_GROUPS] = {"moe", "moe2"};
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    moe_check(moe->num_shared_experts == 0 ||
                  moe->num_shared_experts <= INT32_MAX / 2 / moe->intermediate_size,
              err, MOE_ECONFIG,
              "moe.num_shared_experts = %d of moe.intermediate_size = %d are too wide together: at most %d "
              "hidden units",
              moe->num_shared_experts, moe->intermediate_size, INT32_MAX / 2);
    moe_check(moe->routed_scaling_factor > 0, err, MOE_EARG, "moe.routed_scaling_factor = %g: expected > 0",
              moe->routed_scaling_factor);
    b->groups = moe_config_groups(moe);
    for (int32_t g = 0; g < b->groups; g++) {
        struct moe_settings settings = moe_settings_of(model, moe);
        set_group(&settings, moe, g, b->site, moe_layer);
        snprintf(name, sizeof name, "blocks.%d.%s", number, names[g]);
        moe_try(moe_declare(&b->moe[g], params, name, &settings, init, err));
    }
out:
    return status;
}

/* The feed-forward of a dense block, or the generalist beside experts. */
static moe_status declare_ffn(struct block *b, struct params *params, int32_t number,
                              const struct model_config *model, const struct moe_config *moe,
                              struct linear_init init, moe_err *err) {
    char name[PARAM_NAME_MAX];
    const struct ffn_settings settings = {
        .hidden = b->hidden,
        .intermediate = b->beside ? moe->generalist_size : model->intermediate_size,
        .activation = activation_of(model),
        .bias = model->mlp_bias,
        .dropout = (float)model->dropout,
        .site = b->site + (b->beside ? PLACE_SHARED : PLACE_FFN),
    };
    snprintf(name, sizeof name, "blocks.%d.%s", number, b->beside ? "moe.generalist" : "ffn");
    return ffn_declare(&b->ffn, params, name, &settings, init, err);
}

moe_status block_declare(struct block *b, struct params *params, int32_t number, int32_t moe_layer,
                         const struct model_config *model, const struct moe_config *moe, moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    const enum norm_kind norm = norm_of(model);
    const struct linear_init init = {.pytorch = model->init == INIT_PYTORCH, .std = (float)model->init_std};
    *b = (struct block){
        .norm_before = model->norm_placement == NORM_PRE,
        .is_moe = moe_layer >= 0,
        .beside = moe_layer >= 0 && moe->generalist_size > 0 && moe->published_generalist_input,
        .hidden = model->hidden_size,
        .dropout = (float)model->dropout,
        .site = (uint32_t)number * 8,
    };
    const struct attention_settings attention = attention_settings_of(model, number, b->site);
    snprintf(name, sizeof name, "blocks.%d.norm1", number);
    moe_try(norm_declare(&b->norm1, params, name, norm, b->hidden, (float)model->norm_eps, err));
    snprintf(name, sizeof name, "blocks.%d.attention", number);
    moe_try(attention_declare(&b->attention, params, name, &attention, init, err));
    snprintf(name, sizeof name, "blocks.%d.norm2", number);
    moe_try(norm_declare(&b->norm2, params, name, norm, b->hidden, (float)model->norm_eps, err));
    if (b->is_moe) moe_try(declare_experts(b, params, number, moe_layer, model, moe, init, err));
    if (!b->is_moe || b->beside) moe_try(declare_ffn(b, params, number, model, moe, init, err));
    snprintf(name, sizeof name, "blocks.%d.norm3", number);
    if (b->beside)
        moe_try(norm_declare(&b->norm3, params, name, norm, b->hidden, (float)model->norm_eps, err));
out:
    return status;
}

void block_plan(struct block *b, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t elements = limits.max_batch * limits.max_seq * b->hidden;
    norm_plan(&b->norm1, memory, limits);
    norm_plan(&b->norm2, memory, limits);
    b->branch1 = nn_kept(memory, elements);
    b->middle = nn_kept(memory, elements);
    b->branch2 = nn_kept(memory, elements);
    b->out = nn_kept(memory, elements);
    const size_t mark = arena_mark(&memory->scratch);
    b->forward_tmp = nn_scratch(memory, elements);
    b->d_branch = nn_scratch(memory, elements);
    b->d_inner = nn_scratch(memory, elements);
    if (b->beside) {
        norm_plan(&b->norm3, memory, limits);
        b->branch3 = nn_kept(memory, elements);
        b->d_beside = nn_scratch(memory, elements);
    }
    attention_plan(&b->attention, memory, limits);
    for (int32_t g = 0; g < b->groups; g++)
        moe_plan(&b->moe[g], memory, limits);
    if (!b->is_moe || b->beside) ffn_plan(&b->ffn, memory, limits);
    arena_rewind(&memory->scratch, mark);
}

static void experts_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                            act_t *y, const act_t *x) {
    for (int32_t g = 0; g < b->groups; g++)
        moe_forward(&b->moe[g], pass, routing, y, x, g > 0);
}

static void experts_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                             double z_scale, act_t *dx, const act_t *dy, const act_t *x, bool accumulate_dx) {
    for (int32_t g = 0; g < b->groups; g++)
        moe_backward(&b->moe[g], pass, routing, z_scale, dx, dy, x, accumulate_dx || g > 0);
}

/* What stands behind norm2. */
static void feed_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                         act_t *y, const act_t *x) {
    if (b->is_moe && !b->beside) {
        experts_forward(b, pass, routing, y, x);
    } else {
        ffn_forward(&b->ffn, pass, y, x);
    }
}

static void feed_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                          double z_scale, act_t *dx, const act_t *dy, const act_t *x, bool accumulate_dx) {
    if (b->is_moe && !b->beside) {
        experts_backward(b, pass, routing, z_scale, dx, dy, x, accumulate_dx);
    } else {
        ffn_backward(&b->ffn, pass, dx, dy, x, accumulate_dx);
    }
}

/* The third branch: b->out += dropout(experts(x)) with norm3. */
static void beside_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                           const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const struct dropout drop = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_MOE);
    if (b->norm_before) {
        norm_forward(&b->norm3, pass, b->branch3, x);
        experts_forward(b, pass, routing, b->forward_tmp, b->branch3);
    } else {
        experts_forward(b, pass, routing, b->branch3, x);
        norm_forward(&b->norm3, pass, b->forward_tmp, b->branch3);
    }
    be->residual_dropout(pass->dev, b->out, b->out, b->forward_tmp, pass->rows * b->hidden, drop);
}

/* Leaves its part of x's gradient in d_beside; d_stream is still b->out's. */
static void beside_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                            double z_scale, const act_t *d_stream, const act_t *x) {
    const struct dropout drop = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_MOE);
    pass->dev->ops->dropout(pass->dev, b->d_branch, d_stream, pass->rows * b->hidden, drop);
    if (b->norm_before) {
        experts_backward(b, pass, routing, z_scale, b->d_inner, b->d_branch, b->branch3, false);
        norm_backward(&b->norm3, pass, b->d_beside, b->d_inner, x, false);
    } else {
        norm_backward(&b->norm3, pass, b->d_inner, b->d_branch, b->branch3, false);
        experts_backward(b, pass, routing, z_scale, b->d_beside, b->d_inner, x, false);
    }
}

void block_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                   const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const int64_t n = pass->rows * b->hidden;
    const struct dropout drop1 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_ATTENTION);
    const struct dropout drop2 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_FFN);
    if (b->norm_before) {
        norm_forward(&b->norm1, pass, b->branch1, x);
        attention_forward(&b->attention, pass, b->forward_tmp, b->branch1);
        be->residual_dropout(pass->dev, b->middle, x, b->forward_tmp, n, drop1);
        norm_forward(&b->norm2, pass, b->branch2, b->middle);
        feed_forward(b, pass, routing, b->forward_tmp, b->branch2);
        be->residual_dropout(pass->dev, b->out, b->middle, b->forward_tmp, n, drop2);
    } else {
        attention_forward(&b->attention, pass, b->branch1, x);
        norm_forward(&b->norm1, pass, b->forward_tmp, b->branch1);
        be->residual_dropout(pass->dev, b->middle, x, b->forward_tmp, n, drop1);
        feed_forward(b, pass, routing, b->branch2, b->middle);
        norm_forward(&b->norm2, pass, b->forward_tmp, b->branch2);
        be->residual_dropout(pass->dev, b->out, b->middle, b->forward_tmp, n, drop2);
    }
    if (b->beside) beside_forward(b, pass, routing, x);
}

void block_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                    double z_scale, act_t *d_stream, const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const int64_t n = pass->rows * b->hidden;
    const struct dropout drop1 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_ATTENTION);
    const struct dropout drop2 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_FFN);
    if (b->beside) beside_backward(b, pass, routing, z_scale, d_stream, x);
    be->dropout(pass->dev, b->d_branch, d_stream, n, drop2);
    if (b->norm_before) {
        feed_backward(b, pass, routing, z_scale, b->d_inner, b->d_branch, b->branch2, false);
        norm_backward(&b->norm2, pass, d_stream, b->d_inner, b->middle, true);
    } else {
        norm_backward(&b->norm2, pass, b->d_inner, b->d_branch, b->branch2, false);
        feed_backward(b, pass, routing, z_scale, d_stream, b->d_inner, b->middle, true);
    }
    be->dropout(pass->dev, b->d_branch, d_stream, n, drop1);
    if (b->norm_before) {
        attention_backward(&b->attention, pass, b->d_inner, b->d_branch, b->branch1, false);
        norm_backward(&b->norm1, pass, d_stream, b->d_inner, x, true);
    } else {
        norm_backward(&b->norm1, pass, b->d_inner, b->d_branch, b->branch1, false);
        attention_backward(&b->attention, pass, d_stream, b->d_inner, x, true);
    }
    if (b->beside) be->add_scaled(pass->dev, d_stream, b->d_beside, 1.0f, n);
}
