/* classifier.h - the image classifiers of source B: a mixture of small experts under flat or two-level gates,
 * and one dense network for comparison. */
#ifndef MODEL_CLASSIFIER_H
#define MODEL_CLASSIFIER_H

#include "nn/hierarchy.h"
#include "nn/mixture.h"
#include "nn/routing.h"

struct classifier;

enum classifier_kind {
    CLASSIFIER_FLAT = 0,                /* K of E experts */
    CLASSIFIER_HIERARCHICAL = 1,        /* K1 of G groups, then K of the E / G experts of each */
    CLASSIFIER_HIERARCHICAL_GSHARD = 2, /* the same with second choices by chance (Lepikhin et al. 2021) */
    CLASSIFIER_DENSE = 3                /* one network */
};

enum gating_form {
    GATING_PRINTED = 0,       /* Shazeer et al. 2017: softmax over the K largest; one loss for both levels */
    GATING_PUBLISHED_CODE = 1 /* source B's code: softmax before top-k, sums + 1e-6, noise + 0.01; a loss for
                                 each gate */
};

struct classifier_config {
    enum classifier_kind kind;
    int32_t input, hidden, classes; /* 3072, 128 (of an expert, or of the dense network), 10 */
    int32_t experts;                /* E, over all groups */
    int32_t groups, top_k_groups;   /* G, K1; hierarchical kinds */
    int32_t top_k;                  /* K of a flat model, or of each group */
    enum gating_form gating;        /* of flat and hierarchical models */
    double w_importance, w_load;
    double noise;             /* multiplies the noise of the gates; 0 = none */
    bool noise_at_evaluation; /* evaluations draw noise (and chance) too */
    bool double_softmax;      /* cross-entropy of softmax(probabilities), as source B has it; else -ln p */
    enum expert_init expert_init;
    double gate_std;             /* gates start as N(0, gate_std^2); 0 = zeros, which noise alone can tell
                                    apart: not for HIERARCHICAL_GSHARD */
    int64_t expected_parameters; /* asserted when the model is built; 0 = not stated */
};

/* MOE_ECONFIG names the key that cannot be. */
moe_status classifier_check(const struct classifier_config *config, moe_err *err);

/* Numbers of parameters; counting allocates no tensor. */
struct classifier_counts {
    int64_t total;
    int64_t active;         /* of an image: total less the experts and gates that it does not visit */
    int64_t experts, gates; /* parts of total; a dense network counts as an expert */
    double flops_per_image; /* forward and backward: 6 * active, less 2 per weight of the first layer and the
                               gates: images get no gradient */
    int64_t activation_bytes, state_bytes; /* memory plan of a training step (act_size 4) */
};

moe_status classifier_count(const struct classifier_config *config, int64_t max_batch,
                            struct classifier_counts *out_counts, moe_err *err);

/* Hidden width of the dense network whose size is nearest to `parameters`, at least 1. */
int32_t classifier_dense_width(int32_t input, int32_t classes, int64_t parameters);

struct classifier_limits {
    int64_t max_batch;
    bool training; /* gradients and moments are allocated */
    int32_t slots; /* micro-batches of a step whose losses are read together; 0 counts as 1 */
};

/* What a device must be opened with for such batches. */
struct device_options classifier_device(const struct classifier_config *config, int threads,
                                        int64_t max_batch);

/* Builds the model on a device and plans its memory. MOE_ECONFIG as classifier_check(); MOE_EMISMATCH if
 * config->expected_parameters is stated and differs; MOE_ENOTSUP if the device lacks an operation. dev must
 * outlive the classifier. Images and hidden layers are in the device's type of activations; gates, class
 * probabilities and losses in fp32. */
moe_status classifier_create(const struct classifier_config *config, const struct classifier_limits *limits,
                             struct device *dev, struct classifier **out_classifier, moe_err *err);
void classifier_destroy(struct classifier *c); /* NULL is allowed */

/* Initial values of all parameters: a pure function of seed. */
moe_status classifier_initialize(struct classifier *c, uint64_t seed, moe_err *err);

struct params *classifier_params(struct classifier *c);
const struct classifier_counts *classifier_counts_of(const struct classifier *c);

/* What a trainer may change between batches; begins as the configuration says. */
struct classifier_controls {
    double noise, w_importance, w_load;
};
struct classifier_controls *classifier_controls(struct classifier *c);

/* One (micro-)batch. Host arrays; labels in [0, classes), or -1 (ignored). */
struct classifier_batch {
    const float *images;   /* [batch, input] */
    const int32_t *labels; /* [batch] */
    int64_t batch;
    uint64_t seed;
    uint32_t step, micro;
    int64_t step_rows; /* images of the whole optimizer step; a micro-batch weighs batch / step_rows */
};

struct classifier_loss {
    double ce; /* sum over images of the loss: nats of -ln p, or of source B's second softmax */
    struct gate_loss level[2]; /* as enum gate_level */
    double aux;                /* weighted balance loss of all levels (of the batch, not a sum over it) */
    int64_t images, correct;
    double forward_seconds, backward_seconds;
};

/* Gives forward and backward to the device and does not wait; parameter gradients accumulate. The batch's
 * arrays are read before this returns. slot is below limits.slots. */
moe_status classifier_give_batch(struct classifier *c, const struct classifier_batch *batch, int32_t slot,
                                 moe_err *err);
/* What came out of the batch given to that slot, after synchronize(). Statistics are those of this batch
 * after. */
void classifier_read_batch(struct classifier *c, int32_t slot, struct classifier_loss *out_loss);
/* Both, with the wait between them. */
moe_status classifier_train_batch(struct classifier *c, const struct classifier_batch *batch,
                                  struct classifier_loss *out_loss, moe_err *err);
/* Forward only. image_ce and image_correct [batch], host, may be NULL. */
moe_status classifier_eval_batch(struct classifier *c, const struct classifier_batch *batch,
                                 struct classifier_loss *out_loss, float *image_ce, int32_t *image_correct,
                                 moe_err *err);
/* Probabilities [batch, classes] of the last batch to the host. */
moe_status classifier_probabilities(struct classifier *c, float *host_probabilities, moe_err *err);
/* Experts of the last batch to the host: index and weight [batch, classifier_slots()], -1 and 0 where a slot
 * is not used. */
int32_t classifier_slots(const struct classifier *c);
moe_status classifier_choices(struct classifier *c, int32_t *host_index, float *host_weight, moe_err *err);

/* Statistics of the last batch at one level. [n] each, n = experts (all of them), or groups. */
struct classifier_level {
    int32_t n;
    const int32_t *chosen, *first;       /* images that use i; whose best choice it is (in its group) */
    const float *importance;             /* sum of gates, each level's own */
    const float *mass;                   /* sum of gates, times the group's gate */
    const float *load;                   /* see GATE_LOAD of device/backend.h */
    double gate_entropy, router_entropy; /* means per visited gate, nats: of the gates; of softmax(clean) */
};
/* The same in the form of a decoder's statistics, host only: layers = levels (as enum gate_level), experts =
 * the most that a level has; load = chosen, prob_mass = mass, entropy = sum over images of the mean router
 * entropy; 0 where a level has no such expert. Its controls and device memory are not used. */
struct routing *classifier_routing(struct classifier *c);
/* Levels of the model: 0 (dense), 1 (flat) or 2. */
int32_t classifier_levels(const struct classifier *c);
void classifier_level_of(const struct classifier *c, enum gate_level level,
                         struct classifier_level *out_level);

#endif
