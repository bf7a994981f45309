#include "train/learner.h"

#include <stdlib.h>
#include <string.h>

#include "train/device_fit.h"

/* Steps of evaluations stand in the upper half: their noise is none that training draws. */
#define EVALUATION_STEP UINT32_C(0x80000000)

/* ---- counting --------------------------------------------------------------------------------------- */

static void add_part(struct learner_counts *counts, const char *name, int64_t parameters) {
    counts->parts[counts->part_count++] = (struct learner_part){name, parameters};
}

static moe_status count_decoder(const struct experiment *e, struct learner_counts *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder_counts counts;
    moe_try(
        decoder_count(&e->model, &e->moe, e->train.micro_batch_size, e->data.sequence_length, &counts, err));
    *out = (struct learner_counts){
        .total = counts.total,
        .active = counts.active,
        .flops_per_token = counts.flops_per_token,
        .activation_bytes = counts.activation_bytes,
        .state_bytes = counts.state_bytes,
    };
    add_part(out, "embedding", counts.embedding);
    add_part(out, "attention", counts.attention);
    add_part(out, "ffn", counts.ffn);
    add_part(out, "experts", counts.experts);
    add_part(out, "shared_experts", counts.shared_experts);
    add_part(out, "router", counts.router);
    add_part(out, "norm", counts.norm);
    add_part(out, "head", counts.head);
out:
    return status;
}

static moe_status count_classifier(const struct experiment *e, struct learner_counts *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct classifier_counts counts;
    moe_try(classifier_count(&e->classifier.net, e->train.micro_batch_size, &counts, err));
    *out = (struct learner_counts){
        .total = counts.total,
        .active = counts.active,
        .flops_per_token = counts.flops_per_image,
        .activation_bytes = counts.activation_bytes,
        .state_bytes = counts.state_bytes,
    };
    add_part(out, "experts", counts.experts);
    add_part(out, "router", counts.gates);
out:
    return status;
}

moe_status learner_count(const struct experiment *e, struct learner_counts *out_counts, moe_err *err) {
    return experiment_is_classifier(e) ? count_classifier(e, out_counts, err)
                                       : count_decoder(e, out_counts, err);
}

/* ---- building --------------------------------------------------------------------------------------- */

struct device_options learner_device(const struct experiment *e, int threads) {
    const int32_t batch = e->train.micro_batch_size;
    if (experiment_is_classifier(e)) return classifier_device(&e->classifier.net, threads, batch);
    return device_fit(&e->model, &e->moe, threads, batch, e->data.sequence_length);
}

struct learner learner_of_decoder(const struct experiment *e, struct decoder *d) {
    return (struct learner){.e = e, .decoder = d, .params = decoder_params(d), .routing = decoder_routing(d)};
}

int32_t learner_slots(const struct experiment *e) {
    return (e->train.batch_size + e->train.micro_batch_size - 1) / e->train.micro_batch_size;
}

static moe_status open_classifier(struct learner *l, const struct experiment *e, struct device *dev,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t batch = e->train.micro_batch_size;
    const struct classifier_limits limits = {.max_batch = batch, .training = true, .slots = learner_slots(e)};
    moe_try(classifier_create(&e->classifier.net, &limits, dev, &l->classifier, err));
    l->params = classifier_params(l->classifier);
    l->routing = classifier_routing(l->classifier);
    l->image_ce = malloc((size_t)batch * sizeof *l->image_ce);
    l->image_correct = malloc((size_t)batch * sizeof *l->image_correct);
    moe_check(l->image_ce != NULL && l->image_correct != NULL, err, MOE_ENOMEM,
              "no memory for a batch of %d images", batch);
out:
    return status;
}

moe_status learner_open(struct learner *l, const struct experiment *e, struct device *dev, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder *decoder = NULL;
    const struct decoder_limits limits = {.max_batch = e->train.micro_batch_size,
                                          .max_seq = e->data.sequence_length,
                                          .training = true,
                                          .slots = learner_slots(e)};
    *l = (struct learner){.e = e};
    if (experiment_is_classifier(e)) {
        moe_try(open_classifier(l, e, dev, err));
    } else {
        moe_try(decoder_create(&e->model, &e->moe, &limits, dev, &decoder, err));
        *l = learner_of_decoder(e, decoder);
    }
out:
    if (status != MOE_OK) learner_close(l);
    return status;
}

void learner_close(struct learner *l) {
    decoder_destroy(l->decoder);
    classifier_destroy(l->classifier);
    free(l->image_ce);
    free(l->image_correct);
    memset(l, 0, sizeof *l);
}

moe_status learner_initialize(struct learner *l, moe_err *err) {
    const uint64_t seed = experiment_random_seed(l->e);
    return l->classifier != NULL ? classifier_initialize(l->classifier, seed, err)
                                 : params_initialize(l->params, seed, err);
}

int32_t learner_layers(const struct learner *l) {
    return l->routing->layers;
}

int32_t learner_experts(const struct learner *l) {
    return l->routing->layers > 0 ? l->routing->experts : 0;
}

int32_t learner_experts_of(const struct learner *l, int32_t layer) {
    const bool groups = l->classifier != NULL && layer == LEVEL_GROUPS;
    return groups ? l->e->classifier.net.groups : routing_experts(l->routing, layer);
}

const int32_t *learner_layer_numbers(const struct learner *l) {
    static const int32_t levels[] = {LEVEL_EXPERTS, LEVEL_GROUPS};
    return l->classifier != NULL ? levels : decoder_router_numbers(l->decoder);
}

void learner_set_gates(struct learner *l, double noise, double balance) {
    const struct classifier_config *config = &l->e->classifier.net;
    if (l->classifier == NULL) return;
    *classifier_controls(l->classifier) = (struct classifier_controls){
        .noise = noise,
        .w_importance = balance * config->w_importance,
        .w_load = balance * config->w_load,
    };
}

/* ---- one batch -------------------------------------------------------------------------------------- */

static struct decoder_batch tokens_of(const struct learner *l, const struct learner_batch *batch) {
    return (struct decoder_batch){
        .tokens = batch->data->tokens,
        .targets = batch->data->targets,
        .batch = batch->batch,
        .seq = batch->seq,
        .seed = experiment_random_seed(l->e),
        .step = batch->step,
        .micro = batch->micro,
        .step_rows = batch->step_rows,
    };
}

static struct classifier_batch images_of(const struct learner *l, const struct learner_batch *batch) {
    return (struct classifier_batch){
        .images = batch->data->images,
        .labels = batch->data->targets,
        .batch = batch->batch,
        .seed = experiment_random_seed(l->e),
        .step = batch->step,
        .micro = batch->micro,
        .step_rows = batch->step_rows,
    };
}

static struct learner_loss loss_of_tokens(const struct decoder_loss *loss) {
    return (struct learner_loss){
        .ce = loss->ce,
        .smoothed = loss->smoothed,
        .head_z = loss->head_z,
        .aux = loss->aux,
        .router_z = loss->router_z,
        .targets = loss->targets,
        .correct = loss->correct,
        .forward_seconds = loss->forward_seconds,
        .backward_seconds = loss->backward_seconds,
    };
}

static struct learner_loss loss_of_images(const struct classifier_loss *loss) {
    return (struct learner_loss){
        .ce = loss->ce,
        .smoothed = loss->ce,
        .aux = loss->aux,
        .targets = loss->images,
        .correct = loss->correct,
        .forward_seconds = loss->forward_seconds,
        .backward_seconds = loss->backward_seconds,
    };
}

moe_status learner_give_batch(struct learner *l, const struct learner_batch *batch, int32_t slot,
                              moe_err *err) {
    moe_status status = MOE_OK;
    if (l->classifier != NULL) {
        const struct classifier_batch images = images_of(l, batch);
        moe_try(classifier_give_batch(l->classifier, &images, slot, err));
    } else {
        struct decoder_batch tokens = tokens_of(l, batch);
        tokens.label_smoothing = (float)l->e->train.label_smoothing;
        tokens.z_coeff = (float)l->e->train.z_coeff;
        tokens.host_timers = l->e->train.timers == CONFIG_TIMERS_HOST;
        moe_try(decoder_give_batch(l->decoder, &tokens, slot, err));
    }
out:
    return status;
}

void learner_read_batch(struct learner *l, int32_t slot, struct learner_loss *out_loss) {
    if (l->classifier != NULL) {
        struct classifier_loss loss;
        classifier_read_batch(l->classifier, slot, &loss);
        *out_loss = loss_of_images(&loss);
    } else {
        struct decoder_loss loss;
        decoder_read_batch(l->decoder, slot, &loss);
        *out_loss = loss_of_tokens(&loss);
    }
}

static moe_status eval_images(struct learner *l, const struct learner_batch *batch,
                              struct learner_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct classifier_batch images = images_of(l, batch);
    struct classifier_loss loss;
    images.step |= EVALUATION_STEP;
    moe_try(classifier_eval_batch(l->classifier, &images, &loss, l->image_ce, l->image_correct, err));
    for (int64_t i = 0; i < batch->batch; i++) {
        sequence_ce[i] = (double)l->image_ce[i];
        sequence_correct[i] = l->image_correct[i];
    }
    *out_loss = loss_of_images(&loss);
out:
    return status;
}

moe_status learner_eval_batch(struct learner *l, const struct learner_batch *batch,
                              struct learner_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_config *t = &l->e->train;
    if (l->classifier != NULL) return eval_images(l, batch, out_loss, sequence_ce, sequence_correct, err);
    struct decoder_batch tokens = tokens_of(l, batch);
    struct decoder_loss loss;
    tokens.label_smoothing = t->eval_label_smoothing ? (float)t->label_smoothing : 0.0f;
    moe_try(decoder_eval_batch(l->decoder, &tokens, &loss, sequence_ce, sequence_correct, err));
    *out_loss = loss_of_tokens(&loss);
out:
    return status;
}
