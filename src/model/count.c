/* count.c - declaring the decoder's parameters, and counting them without allocating a tensor. */
#include <stdlib.h>
#include <string.h>

#include "model/decoder_internal.h"

/* Row of the layer axis of decoder layer `layer`, or -1 if it is dense. */
static int32_t moe_row_of(const struct moe_config *moe, int32_t layer) {
    for (int32_t i = 0; i < moe->num_layers; i++) {
        if (moe->layers[i] == layer) return i;
    }
    return -1;
}

moe_status decoder_declare(struct decoder_parts *parts, const struct model_config *model,
                           const struct moe_config *moe, moe_err *err) {
    moe_status status = MOE_OK;
    const struct linear_init init = {.pytorch = model->init == INIT_PYTORCH, .std = (float)model->init_std};
    const int32_t positions = model->positions == POSITIONS_LEARNED ? model->max_position_embeddings : 0;
    memset(parts, 0, sizeof *parts);
    parts->blocks = calloc((size_t)model->num_hidden_layers, sizeof *parts->blocks);
    moe_check(parts->blocks != NULL, err, MOE_ENOMEM, "no memory for %d blocks", model->num_hidden_layers);
    parts->layers = model->num_hidden_layers;
    moe_try(embedding_declare(&parts->embedding, &parts->params, model->vocab_size, model->hidden_size,
                              positions, (float)model->dropout, init.pytorch ? 1.0f : init.std, err));
    for (int32_t l = 0; l < parts->layers; l++) {
        moe_try(block_declare(&parts->blocks[l], &parts->params, l, moe_row_of(moe, l), model, moe, err));
    }
    moe_try(norm_declare(&parts->norm, &parts->params, "norm",
                         model->norm == CONFIG_NORM_RMSNORM ? NORM_RMS : NORM_LAYER, model->hidden_size,
                         (float)model->norm_eps, err));
    moe_try(linear_declare(&parts->head, &parts->params, "head", model->hidden_size, model->vocab_size, false,
                           init, err));
out:
    return status;
}

void decoder_describe_routing(const struct moe_config *moe, struct routing_group groups[MOE_MAX_GROUPS]) {
    groups[0] = (struct routing_group){moe->num_experts, moe->num_active_experts};
    groups[1] = (struct routing_group){moe->num_experts_2, moe->num_active_experts_2};
}

void decoder_parts_free(struct decoder_parts *parts) {
    params_free(&parts->params);
    free(parts->blocks);
    memset(parts, 0, sizeof *parts);
}

/* The part of the model that a parameter's name says it belongs to. */
static int64_t *part_of(struct decoder_counts *counts, const struct param *p) {
    if (p->role == PARAM_EMBEDDING) return &counts->embedding;
    if (p->role == PARAM_ROUTER) return &counts->router;
    if (p->role == PARAM_EXPERT) return &counts->experts;
    if (strstr(p->name, ".shared.") != NULL || strstr(p->name, ".generalist.") != NULL)
        return &counts->shared_experts;
    if (strstr(p->name, ".attention.") != NULL) return &counts->attention;
    if (strstr(p->name, ".ffn.") != NULL) return &counts->ffn;
    if (strncmp(p->name, "head.", 5) == 0) return &counts->head;
    return &counts->norm;
}

/* Those of a parameter that a token uses. */
static int64_t active_count(const struct param *p, const struct moe_config *moe) {
    if (p->role != PARAM_EXPERT) return p->count;
    const bool second = p->moe_layer >= moe->num_layers;
    return p->count / p->shape[0] * (second ? moe->num_active_experts_2 : moe->num_active_experts);
}

static void count_params(const struct params *params, const struct model_config *model,
                         const struct moe_config *moe, int64_t seq, struct decoder_counts *counts) {
    memset(counts, 0, sizeof *counts);
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        *part_of(counts, p) += p->count;
        counts->total += p->count;
        counts->active += active_count(p, moe);
    }
    /* 2 FLOPs a weight forward and 4 backward; causal attention does half of the T x T products, 2 of them
     * forward and 4 (5 with the recomputed scores, not counted) backward */
    const double width = (double)model->num_attention_heads * model->head_dim;
    counts->flops_per_token = 6.0 * (double)(counts->active - counts->embedding) +
                              6.0 * (double)model->num_hidden_layers * width * (double)seq;
}

moe_status decoder_count(const struct model_config *model, const struct moe_config *moe, int64_t max_batch,
                         int64_t seq, struct decoder_counts *out_counts, moe_err *err) {
    moe_status status = MOE_OK;
    struct routing_group groups[MOE_MAX_GROUPS];
    struct decoder *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory to count a model");
    moe_try(decoder_declare(&d->parts, model, moe, err));
    count_params(&d->parts.params, model, moe, seq, out_counts);
    d->model = *model;
    d->moe = *moe;
    d->limits = (struct decoder_limits){.max_batch = max_batch, .max_seq = seq, .training = true};
    decoder_describe_routing(moe, groups);
    routing_describe(&d->routing, moe->num_layers, groups, moe_config_groups(moe));
    struct nn_memory memory = {
        .kept = arena_measure(), .scratch = arena_measure(), .act_size = sizeof(float)};
    decoder_plan(d, &memory);
    out_counts->activation_bytes = (int64_t)(memory.kept.peak + memory.scratch.peak);
    out_counts->state_bytes = out_counts->total * 4 * (int64_t)sizeof(float);
out:
    if (d != NULL) decoder_parts_free(&d->parts);
    free(d);
    return status;
}
