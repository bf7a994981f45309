#include "model/block.h"

#include <stdio.h>

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
        .dropout = (float)model->dropout,
        .site = site + PLACE_ATTENTION,
    };
}

static enum activation_kind activation_of(const struct model_config *model) {
    return model->ffn == FFN_SWIGLU ? ACTIVATION_SWIGLU : ACTIVATION_GELU;
}

static struct moe_settings moe_settings_of(const struct model_config *model, const struct moe_config *moe,
                                           uint32_t site, int32_t moe_layer) {
    static const enum drop_policy policies[] = {
        [CONFIG_DROP_POSITION] = DROP_BY_POSITION,
        [CONFIG_DROP_WEIGHT] = DROP_BY_WEIGHT,
        [CONFIG_DROP_PUBLISHED_SLOT] = DROP_PUBLISHED_SLOT,
    };
    return (struct moe_settings){
        .hidden = model->hidden_size,
        .intermediate = moe->intermediate_size,
        .experts = moe->num_experts,
        .top_k = moe->num_active_experts,
        .shared = moe->num_shared_experts,
        .activation = activation_of(model),
        .bias = model->mlp_bias,
        .dropout = (float)model->dropout,
        .site = site + PLACE_FFN,
        .router = moe->router == CONFIG_ROUTER_SIGMOID ? ROUTER_SIGMOID : ROUTER_SOFTMAX,
        .renormalize = moe->renormalize && (moe->num_active_experts > 1 || moe->renormalize_top1),
        .renormalize_eps = (float)moe->renormalize_eps,
        .weight_scale = moe->routed_scaling_factor > 0 ? (float)moe->routed_scaling_factor : 1.0f,
        .capacity_factor = moe->capacity_factor,
        .policy = policies[moe->drop_policy],
        .z_coeff = (float)moe->z_coeff,
        .dense_allowed = moe->dense_epochs > 0,
        .moe_layer = moe_layer,
    };
}

moe_status block_declare(struct block *b, struct params *params, int32_t number, int32_t moe_layer,
                         const struct model_config *model, const struct moe_config *moe, moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    const enum norm_kind norm = model->norm == CONFIG_NORM_RMSNORM ? NORM_RMS : NORM_LAYER;
    const struct linear_init init = {.pytorch = model->init == INIT_PYTORCH, .std = (float)model->init_std};
    *b = (struct block){
        .norm_before = model->norm_placement == NORM_PRE,
        .is_moe = moe_layer >= 0,
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
    if (b->is_moe) {
        const struct moe_settings settings = moe_settings_of(model, moe, b->site, moe_layer);
        snprintf(name, sizeof name, "blocks.%d.moe", number);
        moe_try(moe_declare(&b->moe, params, name, &settings, init, err));
    } else {
        const struct ffn_settings settings = {
            .hidden = b->hidden,
            .intermediate = model->intermediate_size,
            .activation = activation_of(model),
            .bias = model->mlp_bias,
            .dropout = (float)model->dropout,
            .site = b->site + PLACE_FFN,
        };
        snprintf(name, sizeof name, "blocks.%d.ffn", number);
        moe_try(ffn_declare(&b->ffn, params, name, &settings, init, err));
    }
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
    attention_plan(&b->attention, memory, limits);
    if (b->is_moe) {
        moe_plan(&b->moe, memory, limits);
    } else {
        ffn_plan(&b->ffn, memory, limits);
    }
    arena_rewind(&memory->scratch, mark);
}

static void feed_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                         act_t *y, const act_t *x) {
    if (b->is_moe) {
        moe_forward(&b->moe, pass, routing, y, x);
    } else {
        ffn_forward(&b->ffn, pass, y, x);
    }
}

static void feed_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                          double z_scale, act_t *dx, const act_t *dy, const act_t *x, bool accumulate_dx) {
    if (b->is_moe) {
        moe_backward(&b->moe, pass, routing, z_scale, dx, dy, x, accumulate_dx);
    } else {
        ffn_backward(&b->ffn, pass, dx, dy, x, accumulate_dx);
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
}

void block_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                    double z_scale, act_t *d_stream, const act_t *x) {
    const struct backend *be = pass->dev->ops;
    const int64_t n = pass->rows * b->hidden;
    const struct dropout drop1 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_ATTENTION);
    const struct dropout drop2 = nn_dropout(pass, b->dropout, b->site + PLACE_AFTER_FFN);
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
}
