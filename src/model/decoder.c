#include "model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "model/decoder_internal.h"

static void take_report(const struct decoder *d, struct decoder_report *report, struct arena *arena) {
    const int64_t rows = d->limits.max_batch * d->limits.max_seq;
    report->sums = arena_array(arena, double, 3);
    report->nll = arena_array(arena, float, rows);
    report->lse = arena_array(arena, float, rows);
    report->correct = arena_array(arena, int32_t, rows);
}

void decoder_plan(struct decoder *d, struct nn_memory *memory) {
    const struct nn_limits limits = {.max_batch = d->limits.max_batch, .max_seq = d->limits.max_seq};
    const int64_t rows = limits.max_batch * limits.max_seq, elements = rows * d->model.hidden_size;
    d->tokens = arena_array(&memory->kept, int32_t, rows);
    d->targets = arena_array(&memory->kept, int32_t, rows);
    d->embedded = nn_kept(memory, elements);
    d->normed = nn_kept(memory, elements);
    d->mean_logit = arena_array(&memory->kept, float, rows);
    take_report(d, &d->out, &memory->kept); /* and the statistics, which begin the routers' memory */
    routing_plan(&d->routing, memory);
    d->d_stream = nn_scratch(memory, elements);
    d->d_normed = nn_scratch(memory, elements);
    norm_plan(&d->parts.norm, memory, limits);
    for (int32_t l = 0; l < d->parts.layers; l++)
        block_plan(&d->parts.blocks[l], memory, limits);
}

/* Measures with the same calls, then takes the two blocks and plans for real. */
static moe_status plan_memory(struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    struct nn_memory memory = {
        .kept = arena_measure(),
        .scratch = arena_measure(),
        .act_size = be->act_size,
        .grouped_source = be->grouped_source,
    };
    decoder_plan(d, &memory);
    const size_t kept = memory.kept.peak, scratch = memory.scratch.peak;
    moe_try(be->alloc(d->dev, kept, &d->kept_block, err));
    moe_try(be->alloc(d->dev, scratch, &d->scratch_block, err));
    memory.kept = arena_over(d->kept_block, kept);
    memory.scratch = arena_over(d->scratch_block, scratch);
    decoder_plan(d, &memory);
out:
    return status;
}

static void view_slot(struct decoder *d, struct arena *arena) {
    take_report(d, &d->seen, arena);
    routing_view(&d->routing, arena);
}

static moe_status create_report(struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t slots = d->limits.slots > 0 ? d->limits.slots : 1;
    struct arena measure = arena_measure();
    view_slot(d, &measure);
    moe_try(report_create(&d->report, d->dev, measure.peak, slots, REPORT_PASS_MARKS, err));
    struct arena first = report_slot(&d->report, 0);
    view_slot(d, &first);
    d->pending = calloc((size_t)slots, sizeof *d->pending);
    moe_check(d->pending != NULL, err, MOE_ENOMEM, "no memory for %d batches", slots);
out:
    return status;
}

static moe_status create_routing(struct decoder *d, moe_err *err) {
    const struct moe_config *moe = &d->moe;
    const int32_t count = moe_config_groups(moe);
    struct routing_group groups[MOE_MAX_GROUPS];
    decoder_describe_routing(moe, groups);
    const moe_status status = routing_create_groups(&d->routing, moe->num_layers, groups, count, err);
    if (moe->published_bias_first_group_only) d->routing.biased_layers = moe->num_layers;
    for (int32_t g = 0; g < count; g++)
        for (int32_t i = 0; i < moe->num_layers; i++)
            d->router_numbers[g * moe->num_layers + i] = moe->layers[i] + g * MOE_SECOND_GROUP;
    return status;
}

moe_status decoder_create(const struct model_config *model, const struct moe_config *moe,
                          const struct decoder_limits *limits, struct device *dev,
                          struct decoder **out_decoder, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for a model");
    d->model = *model;
    d->moe = *moe;
    d->limits = *limits;
    d->dev = dev;
    moe_try(decoder_count(model, moe, limits->max_batch, limits->max_seq, &d->counts, err));
    moe_check(model->expected_parameters == 0 || model->expected_parameters == d->counts.total, err,
              MOE_EMISMATCH,
              "the model has %lld parameters, but model.expected_parameters = %lld: a size in [model] or "
              "[moe] differs "
              "from the stated one (set expected_parameters = 0 for a model of your own)",
              (long long)d->counts.total, (long long)model->expected_parameters);
    moe_check(dev->ops->max_head_dim == 0 || model->head_dim <= dev->ops->max_head_dim, err, MOE_ENOTSUP,
              "device %s has attention heads of at most %d elements, the model's have %d; use --device cpu",
              dev->ops->name, dev->ops->max_head_dim, model->head_dim);
    moe_try(decoder_declare(&d->parts, model, moe, err));
    moe_try(create_routing(d, err));
    moe_try(params_allocate(&d->parts.params, dev, limits->training, err));
    moe_try(plan_memory(d, err));
    moe_try(create_report(d, err));
    *out_decoder = d;
    d = NULL;
out:
    decoder_destroy(d);
    return status;
}

void decoder_destroy(struct decoder *d) {
    if (d == NULL) return;
    decoder_parts_free(&d->parts);
    routing_free(&d->routing);
    d->dev->ops->release(d->dev, d->kept_block);
    d->dev->ops->release(d->dev, d->scratch_block);
    report_free(&d->report);
    free(d->pending);
    free(d);
}

struct params *decoder_params(struct decoder *d) {
    return &d->parts.params;
}

struct routing *decoder_routing(struct decoder *d) {
    return &d->routing;
}

const int32_t *decoder_router_numbers(const struct decoder *d) {
    return d->router_numbers;
}

const struct decoder_counts *decoder_counts_of(const struct decoder *d) {
    return &d->counts;
}

static struct nn_pass pass_of(const struct decoder *d, const struct decoder_batch *batch, bool training) {
    return (struct nn_pass){
        .dev = d->dev,
        .params = &d->parts.params,
        .batch = batch->batch,
        .seq = batch->seq,
        .rows = batch->batch * batch->seq,
        .training = training,
        .seed = batch->seed,
        .step = batch->step,
        .micro = batch->micro,
    };
}

moe_status decoder_check_batch(const struct decoder *d, const struct decoder_batch *batch, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(batch->batch >= 1 && batch->batch <= d->limits.max_batch && batch->seq >= 1 &&
                  batch->seq <= d->limits.max_seq,
              err, MOE_EARG, "batch of %lld x %lld tokens, planned for at most %lld x %lld",
              (long long)batch->batch, (long long)batch->seq, (long long)d->limits.max_batch,
              (long long)d->limits.max_seq);
    for (int64_t i = 0; i < batch->batch * batch->seq; i++) {
        const int32_t token = batch->tokens[i];
        moe_check(token >= 0 && token < d->model.vocab_size, err, MOE_EARG,
                  "token %lld of the batch is %d, outside the vocabulary of %d", (long long)i, token,
                  d->model.vocab_size);
        if (batch->targets == NULL) continue;
        moe_check(batch->targets[i] >= -1 && batch->targets[i] < d->model.vocab_size, err, MOE_EARG,
                  "target %lld of the batch is %d, outside the vocabulary of %d", (long long)i,
                  batch->targets[i], d->model.vocab_size);
    }
out:
    return status;
}

void decoder_upload(struct decoder *d, const struct decoder_batch *batch) {
    const struct backend *be = d->dev->ops;
    const size_t bytes = (size_t)(batch->batch * batch->seq) * sizeof(int32_t);
    be->upload(d->dev, d->tokens, batch->tokens, bytes);
    if (batch->targets != NULL) be->upload(d->dev, d->targets, batch->targets, bytes);
}

void decoder_forward_body(struct decoder *d, const struct nn_pass *pass) {
    embedding_forward(&d->parts.embedding, pass, d->embedded, d->tokens);
    const act_t *x = d->embedded;
    for (int32_t l = 0; l < d->parts.layers; l++) {
        block_forward(&d->parts.blocks[l], pass, &d->routing, x);
        x = d->parts.blocks[l].out;
    }
    norm_forward(&d->parts.norm, pass, d->normed, x);
}

/* From d->d_normed back to the embedding. */
static void backward_body(struct decoder *d, const struct nn_pass *pass, double z_scale) {
    const int32_t layers = d->parts.layers;
    const act_t *last = layers > 0 ? d->parts.blocks[layers - 1].out : d->embedded;
    norm_backward(&d->parts.norm, pass, d->d_stream, d->d_normed, last, false);
    for (int32_t l = layers - 1; l >= 0; l--) {
        const act_t *x = l > 0 ? d->parts.blocks[l - 1].out : d->embedded;
        block_backward(&d->parts.blocks[l], pass, &d->routing, z_scale, d->d_stream, x);
    }
    embedding_backward(&d->parts.embedding, pass, d->d_stream, d->tokens);
}

static struct head_shape head_shape_of(const struct decoder *d, const struct nn_pass *pass,
                                       const struct decoder_batch *batch, double grad_scale) {
    return (struct head_shape){
        .rows = pass->rows,
        .hidden = d->model.hidden_size,
        .vocab = d->model.vocab_size,
        .label_smoothing = batch->label_smoothing,
        .z_coeff = batch->z_coeff,
        .grad_scale = (float)grad_scale,
    };
}

static struct decoder_pending pending_of(const struct decoder_batch *batch, double start) {
    struct decoder_pending pending = {
        .rows = batch->batch * batch->seq,
        .label_smoothing = (double)batch->label_smoothing,
        .z_coeff = (double)batch->z_coeff,
        .host_timers = batch->host_timers,
        .start = start,
    };
    for (int64_t r = 0; r < pending.rows; r++)
        pending.targets += batch->targets[r] >= 0;
    return pending;
}

/* Sums of the head's per-row results, on the device. */
static void give_sums(struct decoder *d, const struct nn_pass *pass, const struct decoder_batch *batch) {
    const struct backend *be = d->dev->ops;
    be->sum(d->dev, &d->out.sums[0], d->out.nll, pass->rows);
    if (batch->label_smoothing <= 0) return;
    be->sum(d->dev, &d->out.sums[1], d->out.lse, pass->rows);
    be->sum(d->dev, &d->out.sums[2], d->mean_logit, pass->rows);
}

/* The same on the host. */
static void read_sums(const struct decoder *d, const struct decoder_pending *p, struct decoder_loss *loss) {
    const struct decoder_report *seen = &d->seen;
    const double eps = p->label_smoothing;
    loss->ce = loss->smoothed = seen->sums[0];
    if (eps > 0) loss->smoothed = (1 - eps) * loss->ce + eps * (seen->sums[1] - seen->sums[2]);
    for (int64_t r = 0; p->z_coeff > 0 && r < p->rows; r++)
        loss->head_z += p->z_coeff * (double)seen->lse[r] * (double)seen->lse[r];
    for (int64_t r = 0; r < p->rows; r++)
        loss->correct += seen->correct[r];
    loss->targets = p->targets;
}

static struct balance_settings balance_settings_of(const struct decoder *d) {
    const double parts = d->moe.aux_mean_over_layers ? d->moe.num_layers : 1;
    return (struct balance_settings){
        .lb_coeff = (float)(d->moe.lb_coeff / parts),
        .pooled = d->moe.lb_scope == LB_POOLED,
        .z_coeff = (float)(d->moe.z_coeff / parts),
    };
}

/* Seconds of a pass: as long as the device took, or (host_timers) as long as the host took to give it, which
 * says nothing about a device that works on its own. */
static void read_timers(const struct decoder *d, int32_t slot, struct decoder_loss *loss) {
    const struct decoder_pending *p = &d->pending[slot];
    const double forward =
        p->host_timers ? p->middle - p->start : report_seconds(&d->report, slot, REPORT_START, REPORT_MIDDLE);
    const double backward =
        p->host_timers ? p->end - p->middle : report_seconds(&d->report, slot, REPORT_MIDDLE, REPORT_END);
    loss->forward_seconds = forward - p->head_backward;
    loss->backward_seconds = backward + p->head_backward;
}

/* Forward, loss and backward, given to the device as one. */
static void give_pass(struct decoder *d, const struct nn_pass *pass, const struct decoder_batch *batch,
                      int32_t slot) {
    const struct backend *be = d->dev->ops;
    struct decoder_pending *pending = &d->pending[slot];
    const struct params *params = &d->parts.params;
    const double weight = (double)pass->rows / (double)batch->step_rows;
    const struct head_shape head = head_shape_of(d, pass, batch, 1.0 / (double)batch->step_rows);
    const struct balance_settings settings = balance_settings_of(d);
    be->pass_begin(d->dev);
    report_mark(&d->report, slot, REPORT_START);
    decoder_forward_body(d, pass);
    be->head_loss(d->dev, d->out.nll, d->out.lse, d->mean_logit, d->out.correct, d->d_normed,
                  params_grad(params, d->parts.head.weight), d->normed,
                  params_weight(params, d->parts.head.weight), d->targets, &head, &pending->head_backward);
    report_mark(&d->report, slot, REPORT_MIDDLE);
    pending->middle = clock_seconds();
    routing_balance_gradient(&d->routing, d->dev, &settings, pass->rows, weight);
    backward_body(d, pass, weight);
    report_mark(&d->report, slot, REPORT_END);
    pending->end = clock_seconds();
    give_sums(d, pass, batch);
    be->pass_end(d->dev);
}

moe_status decoder_give_batch(struct decoder *d, const struct decoder_batch *batch, int32_t slot,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const double start = clock_seconds();
    moe_check(slot >= 0 && slot < d->report.slots, err, MOE_EARG, "slot %d of %d", slot, d->report.slots);
    moe_try(decoder_check_batch(d, batch, err));
    const struct nn_pass pass = pass_of(d, batch, true);
    d->pending[slot] = pending_of(batch, start);
    decoder_upload(d, batch);
    give_pass(d, &pass, batch, slot);
    report_fetch(&d->report, slot, d->out.sums);
out:
    return status;
}

static void read_losses(struct decoder *d, int32_t slot, struct decoder_loss *out_loss) {
    const struct decoder_pending *p = &d->pending[slot];
    const struct balance_settings settings = balance_settings_of(d);
    struct arena arena = report_slot(&d->report, slot);
    memset(out_loss, 0, sizeof *out_loss);
    view_slot(d, &arena);
    read_sums(d, p, out_loss);
    const struct balance_result result = routing_balance(&d->routing, &settings, p->rows);
    out_loss->aux = result.aux;
    out_loss->router_z = result.z;
}

void decoder_read_batch(struct decoder *d, int32_t slot, struct decoder_loss *out_loss) {
    read_losses(d, slot, out_loss);
    read_timers(d, slot, out_loss);
}

moe_status decoder_train_batch(struct decoder *d, const struct decoder_batch *batch,
                               struct decoder_loss *out_loss, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(decoder_give_batch(d, batch, 0, err));
    moe_try(d->dev->ops->synchronize(d->dev, err));
    decoder_read_batch(d, 0, out_loss);
out:
    return status;
}

/* Sums of the batch just read, of each sequence. */
static void sum_sequences(const struct decoder *d, const struct decoder_batch *batch, double *sequence_ce,
                          int64_t *sequence_correct) {
    for (int64_t b = 0; b < batch->batch; b++) {
        double ce = 0;
        int64_t correct = 0;
        for (int64_t t = b * batch->seq; t < (b + 1) * batch->seq; t++) {
            ce += (double)d->seen.nll[t];
            correct += d->seen.correct[t];
        }
        if (sequence_ce != NULL) sequence_ce[b] = ce;
        if (sequence_correct != NULL) sequence_correct[b] = correct;
    }
}

moe_status decoder_eval_batch(struct decoder *d, const struct decoder_batch *batch,
                              struct decoder_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const double start = clock_seconds();
    moe_try(decoder_check_batch(d, batch, err));
    const struct nn_pass pass = pass_of(d, batch, false);
    const struct head_shape head = head_shape_of(d, &pass, batch, 0.0);
    d->pending[0] = pending_of(batch, start);
    decoder_upload(d, batch);
    decoder_forward_body(d, &pass);
    d->dev->ops->head_loss(d->dev, d->out.nll, d->out.lse, d->mean_logit, d->out.correct, NULL, NULL,
                           d->normed, params_weight(&d->parts.params, d->parts.head.weight), d->targets,
                           &head, NULL);
    give_sums(d, &pass, batch);
    report_fetch(&d->report, 0, d->out.sums);
    moe_try(d->dev->ops->synchronize(d->dev, err));
    read_losses(d, 0, out_loss);
    sum_sequences(d, batch, sequence_ce, sequence_correct);
    out_loss->forward_seconds = clock_seconds() - start;
out:
    return status;
}

moe_status decoder_logits(struct decoder *d, const int32_t *tokens, int64_t batch, int64_t seq,
                          float *host_logits, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    act_t *logits = NULL;
    const struct decoder_batch b = {.tokens = tokens, .batch = batch, .seq = seq};
    moe_try(decoder_check_batch(d, &b, err));
    const struct nn_pass pass = pass_of(d, &b, false);
    const size_t bytes = (size_t)(pass.rows * d->model.vocab_size) * be->act_size;
    moe_try(be->alloc(d->dev, bytes, &logits, err));
    decoder_upload(d, &b);
    decoder_forward_body(d, &pass);
    linear_forward(&d->parts.head, &pass, logits, d->normed);
    nn_download(&pass, host_logits, logits, pass.rows * d->model.vocab_size);
    moe_try(be->synchronize(d->dev, err));
out:
    be->release(d->dev, logits);
    return status;
}
