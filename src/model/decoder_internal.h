/* decoder_internal.h - the decoder's parts, shared by its own files. */
#ifndef MODEL_DECODER_INTERNAL_H
#define MODEL_DECODER_INTERNAL_H

#include "model/block.h"
#include "model/decoder.h"
#include "nn/embedding.h"
#include "nn/report.h"

/* Everything that declaring needs and counting looks at; no memory but the lists themselves. */
struct decoder_parts {
    struct params params;
    struct embedding embedding;
    struct block *blocks; /* [num_hidden_layers] */
    int32_t layers;
    struct norm norm;
    struct linear head;
};

/* What a pass leaves for the host beside the routers' statistics, on either side. */
struct decoder_report {
    double *sums;     /* [3] of nll, lse and mean_logit; the last two with label smoothing only */
    float *nll, *lse; /* [rows] */
    int32_t *correct; /* [rows] */
};

/* What reading a slot takes from its batch. */
struct decoder_pending {
    int64_t rows, targets;
    double label_smoothing, z_coeff;
    bool host_timers;
    double start, middle, end; /* the host's clock */
    double head_backward;      /* seconds */
};

struct decoder {
    struct model_config model;
    struct moe_config moe;
    struct decoder_limits limits;
    struct decoder_counts counts;
    struct decoder_parts parts;
    struct device *dev;
    struct routing routing;
    int32_t router_numbers[MOE_MAX_GROUPS * MODEL_MAX_LAYERS]; /* [routing.layers] */
    void *kept_block, *scratch_block;                          /* device memory */
    /* device arrays */
    int32_t *tokens, *targets;  /* [rows] */
    act_t *embedded, *normed;   /* [rows, D] */
    float *mean_logit;          /* [rows] */
    act_t *d_stream, *d_normed; /* [rows, D], scratch */
    struct decoder_report out;  /* begins the report that `report` fetches; the routers' statistics end it */
    struct decoder_report seen; /* on the host, of the slot read last */
    struct report report;
    struct decoder_pending *pending; /* [slots] */
};

moe_status decoder_declare(struct decoder_parts *parts, const struct model_config *model,
                           const struct moe_config *moe, moe_err *err);
void decoder_parts_free(struct decoder_parts *parts);

/* The groups of routers; as many as moe_config_groups() says. */
void decoder_describe_routing(const struct moe_config *moe, struct routing_group groups[MOE_MAX_GROUPS]);

/* Takes all of the decoder's step memory from `memory` (measuring or real). */
void decoder_plan(struct decoder *d, struct nn_memory *memory);

/* MOE_EARG unless the batch is within the plan and its ids within the vocabulary. */
moe_status decoder_check_batch(const struct decoder *d, const struct decoder_batch *batch, moe_err *err);

/* Tokens, and targets if there are any, to the device. */
void decoder_upload(struct decoder *d, const struct decoder_batch *batch);

/* Everything up to the final norm, from the tokens uploaded; leaves d->normed. */
void decoder_forward_body(struct decoder *d, const struct nn_pass *pass);

#endif
