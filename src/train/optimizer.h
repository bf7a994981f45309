/* optimizer.h - AdamW over all parameters, with clipping, per-expert learning-rate scale and per-expert
 * gradient norms. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "nn/params.h"
#include "nn/report.h"
#include "train/experiment.h"

struct optimizer {
    struct train_config train;
    float expert_lr_scale;
    struct params *params;
    struct adamw_segment *segments; /* neighbouring parameters with equal settings, merged */
    int32_t segment_count;
    struct span *spans;   /* every parameter; an expert tensor is one span per expert */
    int32_t *span_cell;   /* [span_count] layer * E + expert, or -1 (shared), or -2 (router) */
    double *cell_squares; /* [layers, E] */
    int32_t span_count;
    int32_t experts, moe_layers;
    struct optimizer_report {
        double *squares; /* [span_count] sums of squares of the gradients */
    } out, seen;         /* on the device, on the host */
    struct report report;
    void *device_block;
    float *clip_scale; /* device */
};

/* Norms of one step's gradients, before clipping. */
struct gradient_norms {
    double total, router; /* L2 over all parameters; over all routers' weights */
    float *expert;  /* [layers, experts] L2 over the expert's parameters; the caller's memory, may be NULL */
    double seconds; /* that the step took */
};

/* layers and experts: sizes of the record's axes; every expert tensor lies within them. */
moe_status optimizer_create(struct optimizer *o, const struct experiment *e, struct params *params,
                            int32_t layers, int32_t experts, moe_err *err);
void optimizer_free(struct optimizer *o); /* before its device is closed */

/* Gives one AdamW step (1-based step number) at learning rate lr to the device and does not wait: with
 * gradients scaled to norm `clip` if they exceed it, as torch.nn.utils.clip_grad_norm_ does (clip / (norm +
 * 1e-6)). The device decides. Clears the gradients; if their norm is not finite, they and the parameters stay
 * as they are. */
void optimizer_give(struct optimizer *o, int64_t step, double lr);

/* What the step found, after synchronize(). MOE_ENUMERIC if their norm is not finite:
 * names the step and, of such parameters, the one nearest to the loss. */
moe_status optimizer_finish(struct optimizer *o, int64_t step, struct gradient_norms *norms, moe_err *err);

#endif
