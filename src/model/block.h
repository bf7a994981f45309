/* block.h - one decoder block: attention and a feed-forward (dense or MoE), each with a norm and a residual
 * branch.
 *
 * norm before (GPT-2, Llama):          x = x + dropout(f(norm(x)))
 * norm on the sublayer's output:       x = x + dropout(norm(f(x)))     (Swin v2, OLMo 2)
 *
 * A MoE has one or two groups of experts and, if asked for, a generalist: y = sum_i k_i y_i / sum_i k_i,
 * where the generalist is a group of k = 1. Source C as published instead puts the generalist in as a dense
 * feed-forward and adds a third branch from the block's input: x' = ... + dropout(norm3(moe(x))), or
 * dropout(moe(norm3(x))).
 */
#ifndef MODEL_BLOCK_H
#define MODEL_BLOCK_H

#include "model/config.h"
#include "nn/attention.h"
#include "nn/moe.h"
#include "nn/norm.h"

struct block {
    bool norm_before, is_moe;
    bool beside; /* the MoE is a third branch, and ffn the generalist */
    int32_t hidden;
    float dropout;                   /* on both residual branches */
    uint32_t site;                   /* first dropout site of this block */
    struct norm norm1, norm2, norm3; /* norm3: if beside */
    struct attention attention;
    struct ffn ffn; /* if !is_moe or beside */
    int32_t groups; /* 0 if !is_moe */
    struct moe moe[MOE_MAX_GROUPS];
    act_t *branch1, *middle, *branch2, *branch3,
        *out;           /* [rows, D], kept: norm or sublayer output; the stream after each branch */
    act_t *forward_tmp; /* scratch [rows, D] */
    act_t *d_branch, *d_inner, *d_beside; /* scratch [rows, D] */
};

/* moe_layer: row of the first group on the layer axis if this block is MoE, else -1. */
moe_status block_declare(struct block *b, struct params *params, int32_t number, int32_t moe_layer,
                         const struct model_config *model, const struct moe_config *moe, moe_err *err);
void block_plan(struct block *b, struct nn_memory *memory, struct nn_limits limits);
/* Leaves the new stream in b->out. x must stay untouched until backward. */
void block_forward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                   const act_t *x);
/* d_stream [rows, D]: gradient of b->out in, gradient of x out. */
void block_backward(const struct block *b, const struct nn_pass *pass, const struct routing *routing,
                    double z_scale, act_t *d_stream, const act_t *x);

#endif
