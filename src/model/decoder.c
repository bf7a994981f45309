#include "model/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "model/decoder_internal.h"

void decoder_plan(struct decoder *d, struct nn_memory *memory) {
    const struct nn_limits limits = {.max_batch = d->limits.max_batch, .max_seq = d->limits.max_seq};
    const int64_t rows = limits.max_batch * limits.max_seq, elements = rows * d->model.hidden_size;
    d->tokens = arena_array(&memory->kept, int32_t, rows);
    d->targets = arena_array(&memory->kept, int32_t, rows);
    d->correct = arena_array(&memory->kept, int32_t, rows);
    d->embedded = nn_kept(memory, elements);
    d->normed = nn_kept(memory, elements);
    d->nll = arena_array(&memory->kept, float, rows);
    d->lse = arena_array(&memory->kept, float, rows);
    d->mean_logit = arena_array(&memory->kept, float, rows);
    routing_plan(&d->routing, memory);
    d->d_stream = nn_scratch(memory, elements);
    d->d_normed = nn_scratch(memory, elements);
    norm_plan(&d->parts.norm, memory, limits);
    for (int32_t l = 0; l < d->parts.layers; l++)
        block_plan(&d->parts.blocks[l], memory, limits);
}

/* Marks of a training pass. */
enum { PASS_START, PASS_MIDDLE, PASS_END };

/* Measures with the same calls, then takes the two blocks and plans for real. */
static moe_status plan_memory(struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    struct nn_memory memory = {.kept = arena_measure(), .scratch = arena_measure(), .act_size = be->act_size};
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
    const size_t rows = (size_t)(limits->max_batch * limits->max_seq);
    d->host_rows = malloc(rows * sizeof *d->host_rows);
    d->host_correct = malloc(rows * sizeof *d->host_correct);
    moe_check(d->host_rows != NULL && d->host_correct != NULL, err, MOE_ENOMEM, "no memory for %zu rows",
              rows);
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
    free(d->host_rows);
    free(d->host_correct);
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

/* Sums of the head's per-row results. */
static void sum_rows(struct decoder *d, const struct decoder_batch *batch, int64_t rows,
                     struct decoder_loss *loss) {
    const struct backend *be = d->dev->ops;
    const double eps = (double)batch->label_smoothing;
    loss->ce = be->sum(d->dev, d->nll, rows);
    loss->smoothed = loss->ce;
    if (eps > 0) {
        const double uniform = be->sum(d->dev, d->lse, rows) - be->sum(d->dev, d->mean_logit, rows);
        loss->smoothed = (1 - eps) * loss->ce + eps * uniform;
    }
    if (batch->z_coeff > 0) {
        be->download(d->dev, d->host_rows, d->lse, (size_t)rows * sizeof(float));
        for (int64_t r = 0; r < rows; r++) {
            loss->head_z += (double)batch->z_coeff * (double)d->host_rows[r] * (double)d->host_rows[r];
        }
    }
    be->download(d->dev, d->host_correct, d->correct, (size_t)rows * sizeof(int32_t));
    for (int64_t r = 0; r < rows; r++) {
        loss->targets += batch->targets[r] >= 0;
        loss->correct += d->host_correct[r];
    }
}

static struct balance_settings balance_settings_of(const struct decoder *d) {
    const double parts = d->moe.aux_mean_over_layers ? d->moe.num_layers : 1;
    return (struct balance_settings){
        .lb_coeff = (float)(d->moe.lb_coeff / parts),
        .pooled = d->moe.lb_scope == LB_POOLED,
        .z_coeff = (float)(d->moe.z_coeff / parts),
    };
}

/* Reads the routing statistics and turns them into the balance losses. */
static void balance(struct decoder *d, const struct nn_pass *pass, struct decoder_loss *loss) {
    const struct balance_settings settings = balance_settings_of(d);
    routing_download(&d->routing, d->dev);
    const struct balance_result result = routing_balance(&d->routing, &settings, pass->rows);
    loss->aux = result.aux;
    loss->router_z = result.z;
}

/* Seconds of the pass just given: as long as the device took, or (host_timers) as long as the host took to
 * give it, which says nothing about a device that works on its own. middle and end are the host's clock. */
static void read_timers(const struct decoder *d, bool host_timers, double start, double middle, double end,
                        double head_backward, struct decoder_loss *loss) {
    const struct backend *be = d->dev->ops;
    const double forward = host_timers ? middle - start : be->elapsed(d->dev, PASS_START, PASS_MIDDLE);
    const double backward = host_timers ? end - middle : be->elapsed(d->dev, PASS_MIDDLE, PASS_END);
    loss->forward_seconds = forward - head_backward;
    loss->backward_seconds = backward + head_backward;
}

/* Forward, loss and backward, given to the device as one; *middle: the host's clock between them. */
static double give_pass(struct decoder *d, const struct nn_pass *pass, const struct decoder_batch *batch,
                        double *head_backward) {
    const struct backend *be = d->dev->ops;
    const struct params *params = &d->parts.params;
    const double weight = (double)pass->rows / (double)batch->step_rows;
    const struct head_shape head = head_shape_of(d, pass, batch, 1.0 / (double)batch->step_rows);
    const struct balance_settings settings = balance_settings_of(d);
    be->pass_begin(d->dev);
    be->mark(d->dev, PASS_START);
    decoder_forward_body(d, pass);
    be->head_loss(d->dev, d->nll, d->lse, d->mean_logit, d->correct, d->d_normed,
                  params_grad(params, d->parts.head.weight), d->normed,
                  params_weight(params, d->parts.head.weight), d->targets, &head, head_backward);
    be->mark(d->dev, PASS_MIDDLE);
    const double middle = clock_seconds();
    routing_balance_gradient(&d->routing, d->dev, &settings, pass->rows, weight);
    backward_body(d, pass, weight);
    be->mark(d->dev, PASS_END);
    be->pass_end(d->dev);
    return middle;
}

moe_status decoder_train_batch(struct decoder *d, const struct decoder_batch *batch,
                               struct decoder_loss *out_loss, moe_err *err) {
    moe_status status = MOE_OK;
    double head_backward = 0;
    const double start = clock_seconds();
    moe_try(decoder_check_batch(d, batch, err));
    memset(out_loss, 0, sizeof *out_loss);
    const struct nn_pass pass = pass_of(d, batch, true);
    decoder_upload(d, batch);
    const double middle = give_pass(d, &pass, batch, &head_backward), end = clock_seconds();
    sum_rows(d, batch, pass.rows, out_loss);
    balance(d, &pass, out_loss);
    moe_try(d->dev->ops->synchronize(d->dev, err));
    read_timers(d, batch->host_timers, start, middle, end, head_backward, out_loss);
out:
    return status;
}

moe_status decoder_eval_batch(struct decoder *d, const struct decoder_batch *batch,
                              struct decoder_loss *out_loss, double *sequence_ce, int64_t *sequence_correct,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    const double start = clock_seconds();
    moe_try(decoder_check_batch(d, batch, err));
    memset(out_loss, 0, sizeof *out_loss);
    const struct nn_pass pass = pass_of(d, batch, false);
    const struct head_shape head = head_shape_of(d, &pass, batch, 0.0);
    decoder_upload(d, batch);
    decoder_forward_body(d, &pass);
    be->head_loss(d->dev, d->nll, d->lse, d->mean_logit, d->correct, NULL, NULL, d->normed,
                  params_weight(&d->parts.params, d->parts.head.weight), d->targets, &head, NULL);
    sum_rows(d, batch, pass.rows, out_loss);
    balance(d, &pass, out_loss);
    be->download(d->dev, d->host_rows, d->nll, (size_t)pass.rows * sizeof(float));
    for (int64_t b = 0; b < batch->batch; b++) {
        double ce = 0;
        int64_t correct = 0;
        for (int64_t t = b * batch->seq; t < (b + 1) * batch->seq; t++) {
            ce += (double)d->host_rows[t];
            correct += d->host_correct[t];
        }
        if (sequence_ce != NULL) sequence_ce[b] = ce;
        if (sequence_correct != NULL) sequence_correct[b] = correct;
    }
    moe_try(be->synchronize(d->dev, err));
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
