/* learner.h - the model of a run as the trainer sees it: a decoder or an image classifier. */
#ifndef TRAIN_LEARNER_H
#define TRAIN_LEARNER_H

#include "model/classifier.h"
#include "model/decoder.h"
#include "train/corpus.h"

#define LEARNER_MAX_PARTS 8

/* What a model is made of; counting allocates no tensor. A token of a classifier is an image. */
struct learner_counts {
    int64_t total, active;                 /* parameters; those that a token uses */
    double flops_per_token;                /* forward and backward */
    int64_t activation_bytes, state_bytes; /* memory plan of a training step */
    struct learner_part {
        const char *name;
        int64_t parameters;
    } parts[LEARNER_MAX_PARTS]; /* they add up to total */
    int32_t part_count;
};

moe_status learner_count(const struct experiment *e, struct learner_counts *out_counts, moe_err *err);

/* How large a device must be opened for the experiment's micro-batches. threads 0 = all cores. */
struct device_options learner_device(const struct experiment *e, int threads);

/* One of the two models; the rest belongs to it. */
struct learner {
    const struct experiment *e;
    struct decoder *decoder;
    struct classifier *classifier;
    struct params *params;
    struct routing *routing;
    float *image_ce;        /* [micro_batch_size]; classifiers */
    int32_t *image_correct; /* the same */
};

/* Micro-batches of a step: as many can be given before the first is read. */
int32_t learner_slots(const struct experiment *e);

/* Builds the model for training. Errors as decoder_create()'s and classifier_create()'s. e and dev must
 * outlive it. */
moe_status learner_open(struct learner *l, const struct experiment *e, struct device *dev, moe_err *err);
void learner_close(struct learner *l); /* also of one that is all zeros */

/* A decoder that someone else owns, as a learner; close neither. */
struct learner learner_of_decoder(const struct experiment *e, struct decoder *d);

/* Initial values of all parameters: a pure function of experiment_random_seed(). */
moe_status learner_initialize(struct learner *l, moe_err *err);

/* Rows of the layer axis of a record and the most experts that one has; 0 and 0 for a dense model. */
int32_t learner_layers(const struct learner *l);
int32_t learner_experts(const struct learner *l);
/* Experts of one row. */
int32_t learner_experts_of(const struct learner *l, int32_t layer);
/* What each row is, [learner_layers()]: decoder_router_numbers(), or a classifier's enum gate_level. */
const int32_t *learner_layer_numbers(const struct learner *l);

/* Sets what a classifier's coming batches use: noise, and balance weights as a multiple of the
 * configuration's. Of no effect on a decoder. */
void learner_set_gates(struct learner *l, double noise, double balance);

/* One (micro-)batch, as corpus_batch() leaves it. */
struct learner_batch {
    const struct corpus_batch *data;
    int64_t batch, seq;
    uint32_t step, micro;
    int64_t step_rows; /* rows of the whole optimizer step; a micro-batch weighs rows / step_rows */
};

/* As struct decoder_loss; of a classifier, smoothed = ce, head_z = router_z = 0. */
struct learner_loss {
    double ce, smoothed, head_z; /* sums over targets, nats */
    double aux, router_z;        /* weighted, of the batch: means */
    int64_t targets, correct;
    double forward_seconds, backward_seconds;
};

/* Gives forward and backward to the device and does not wait; parameter gradients accumulate. The batch's
 * data may change when this returns. slot is below learner_slots(). */
moe_status learner_give_batch(struct learner *l, const struct learner_batch *batch, int32_t slot,
                              moe_err *err);
/* What came out of the batch given to that slot, after synchronize(). routing->host holds its statistics
 * after. */
void learner_read_batch(struct learner *l, int32_t slot, struct learner_loss *out_loss);
/* Forward only. sequence_ce and sequence_correct [batch], host: sums per sequence. */
moe_status learner_eval_batch(struct learner *l, const struct learner_batch *batch,
                              struct learner_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err);

#endif
