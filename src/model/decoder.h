/* decoder.h - the decoder-only transformer of sources A, C and D: embedding, blocks, final norm, untied head,
 * loss. */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "model/config.h"
#include "nn/params.h"
#include "nn/routing.h"

struct decoder;

/* Numbers of parameters; counting allocates no tensor. */
struct decoder_counts {
    int64_t total;
    int64_t active; /* of a token: total less the experts it does not visit */
    int64_t embedding, attention, ffn, experts, shared_experts, router, norm,
        head;               /* parts; they add up to total */
    double flops_per_token; /* forward and backward of one token: 6 * (active - embeddings) + attention's 12 L
                               T H hd / 2 */
    int64_t activation_bytes, state_bytes; /* memory plan of a training step: activations and scratch;
                                              parameters, gradients, moments */
};

/* seq is used for attention's FLOPs and, with max_batch, for the memory plan (act_size 4). */
moe_status decoder_count(const struct model_config *model, const struct moe_config *moe, int64_t max_batch,
                         int64_t seq, struct decoder_counts *out_counts, moe_err *err);

struct decoder_limits {
    int64_t max_batch, max_seq; /* of one micro-batch or evaluation batch */
    bool training;              /* gradients and moments are allocated */
    int32_t slots;              /* micro-batches of a step whose losses are read together; 0 counts as 1 */
};

/* Builds the model on a device and plans its memory. MOE_EMISMATCH if model->expected_parameters is stated
 * and differs; MOE_ENOTSUP names an option or operation that the backend lacks. dev must outlive the decoder.
 */
moe_status decoder_create(const struct model_config *model, const struct moe_config *moe,
                          const struct decoder_limits *limits, struct device *dev,
                          struct decoder **out_decoder, moe_err *err);
void decoder_destroy(struct decoder *d); /* NULL is allowed */

struct params *decoder_params(struct decoder *d);
struct routing *decoder_routing(struct decoder *d);
/* What each row of the layer axis is, [decoder_routing()->layers], ascending: the decoder layer (0-based) of
 * a router, plus MOE_SECOND_GROUP if it is the router of the layer's second group. */
const int32_t *decoder_router_numbers(const struct decoder *d);
const struct decoder_counts *decoder_counts_of(const struct decoder *d);

/* One (micro-)batch. Host arrays; tokens in [0, vocab), targets in [0, vocab) or -1 (ignored). */
struct decoder_batch {
    const int32_t *tokens, *targets; /* [batch, seq] */
    int64_t batch, seq;
    uint64_t seed;
    uint32_t step, micro;
    int64_t step_rows; /* rows of the whole optimizer step; a micro-batch weighs rows / step_rows */
    float label_smoothing, z_coeff;
    bool host_timers; /* times of the losses by the host's clock */
};

struct decoder_loss {
    double ce;       /* sum over targets of -ln p, nats */
    double smoothed; /* sum over targets of the smoothed cross-entropy (= ce when label_smoothing is 0) */
    double head_z;   /* sum over targets of z_coeff lse^2 */
    double aux;      /* weighted balance loss of the batch (a mean, not a sum) */
    double router_z; /* weighted router z-loss of the batch (a mean) */
    int64_t targets; /* number of targets >= 0 */
    int64_t correct; /* of them, where the largest logit is the target's */
    double forward_seconds, backward_seconds;
};

/* Gives forward and backward to the device and does not wait; parameter gradients accumulate. Routing
 * controls (decoder_routing()->temperature, dense, ...) are set by the caller before. The batch's arrays are
 * read before this returns. slot is below limits.slots. */
moe_status decoder_give_batch(struct decoder *d, const struct decoder_batch *batch, int32_t slot,
                              moe_err *err);
/* What came out of the batch given to that slot, after synchronize(); decoder_routing()->host has its
 * statistics then. */
void decoder_read_batch(struct decoder *d, int32_t slot, struct decoder_loss *out_loss);
/* Both, with the wait between them. */
moe_status decoder_train_batch(struct decoder *d, const struct decoder_batch *batch,
                               struct decoder_loss *out_loss, moe_err *err);

/* Forward only, without dropout, and without capacity unless moe.drop_in_evaluation. sequence_ce and
 * sequence_correct [batch], host, may be NULL: sums per sequence. */
moe_status decoder_eval_batch(struct decoder *d, const struct decoder_batch *batch,
                              struct decoder_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err);

/* Logits [batch, seq, V] to the host; for tests and generation. Allocates device memory for them. */
moe_status decoder_logits(struct decoder *d, const int32_t *tokens, int64_t batch, int64_t seq,
                          float *host_logits, moe_err *err);

#endif
