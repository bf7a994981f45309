#include "model/classifier.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "model/classifier_internal.h"

/* ---- building
 * ------------------------------------------------------------------------------------------------ */

/* One side of the report, and of the gates'. */
static void take_report(struct classifier *c, bool host, struct arena *arena) {
    struct classifier_report *report = host ? &c->seen : &c->out;
    struct gating *gates[] = {&c->parts.hierarchy.groups, &c->parts.hierarchy.inner, &c->parts.gate};
    const int first = classifier_is_hierarchical(&c->config) ? 0 : 2,
              last = c->config.kind == CLASSIFIER_DENSE ? first
                     : first == 0                       ? 2
                                                        : 3;
    report->ce = arena_array(arena, double, 1);
    report->nll = arena_array(arena, float, c->limits.max_batch);
    report->correct = arena_array(arena, int32_t, c->limits.max_batch);
    for (int i = first; i < last; i++)
        gating_take_report(gates[i], host ? &gates[i]->host : &gates[i]->out, arena);
}

void classifier_plan(struct classifier *c, struct nn_memory *memory) {
    const struct nn_limits limits = {.max_batch = c->limits.max_batch, .max_seq = 1};
    const int64_t rows = limits.max_batch, outputs = rows * c->config.classes;
    c->images = nn_kept(memory, rows * c->config.input);
    c->labels = arena_array(&memory->kept, int32_t, rows);
    take_report(c, false, &memory->kept);
    const size_t mark = arena_mark(&memory->scratch);
    c->pixels = memory->act_size == sizeof(float)
                    ? c->images
                    : arena_array(&memory->scratch, float, rows * c->config.input);
    arena_rewind(&memory->scratch, mark);
    c->d_mixed = arena_array(&memory->scratch, float, outputs);
    if (c->config.kind == CLASSIFIER_DENSE) {
        perceptron_plan(&c->parts.dense, memory, limits);
        c->mixed = c->parts.dense.y;
        return;
    }
    c->mixed = arena_array(&memory->kept, float, outputs);
    mixture_plan(&c->parts.experts, memory, limits);
    if (classifier_is_hierarchical(&c->config))
        hierarchy_plan(&c->parts.hierarchy, memory, limits);
    else
        gating_plan(&c->parts.gate, memory, limits);
}

/* Measures with the same calls, then takes the two blocks and plans for real. */
static moe_status plan_memory(struct classifier *c, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = c->dev->ops;
    struct nn_memory memory = {
        .kept = arena_measure(),
        .scratch = arena_measure(),
        .act_size = be->act_size,
        .grouped_source = be->grouped_source,
    };
    classifier_plan(c, &memory);
    const size_t kept = memory.kept.peak, scratch = memory.scratch.peak;
    moe_try(be->alloc(c->dev, kept, &c->kept_block, err));
    moe_try(be->alloc(c->dev, scratch, &c->scratch_block, err));
    memory.kept = arena_over(c->kept_block, kept);
    memory.scratch = arena_over(c->scratch_block, scratch);
    classifier_plan(c, &memory);
out:
    return status;
}

static void view_slot(struct classifier *c, int32_t slot) {
    struct arena arena = report_slot(&c->report, slot);
    take_report(c, true, &arena);
}

static moe_status create_report(struct classifier *c, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t slots = c->limits.slots > 0 ? c->limits.slots : 1;
    struct arena measure = arena_measure();
    take_report(c, true, &measure);
    moe_try(report_create(&c->report, c->dev, measure.peak, slots, REPORT_PASS_MARKS, err));
    view_slot(c, 0);
    c->pending = calloc((size_t)slots, sizeof *c->pending);
    moe_check(c->pending != NULL, err, MOE_ENOMEM, "no memory for %d batches", slots);
out:
    return status;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

struct device_options classifier_device(const struct classifier_config *config, int threads,
                                        int64_t max_batch) {
    const bool dense = config->kind == CLASSIFIER_DENSE;
    const int32_t lists = classifier_is_hierarchical(config) ? config->groups : 1;
    const int32_t gates = dense ? 0 : 4 * config->experts; /* see device/cpu/gating.c */
    return (struct device_options){
        .threads = threads,
        .max_rows = max_batch * (dense ? 1 : (int64_t)lists * config->top_k),
        .max_vocab = config->classes,
        .max_seq = 1,
        .max_width = larger(larger(config->input, config->hidden), larger(gates, config->classes)),
    };
}

static moe_status check_device(const struct device *dev, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = dev->ops;
    moe_check(be->linear_forward_float != NULL && be->grouped_linear_forward_float != NULL &&
                  be->gate_forward != NULL && be->gate_backward != NULL && be->mixture_forward != NULL &&
                  be->mixture_backward != NULL && be->mixture_loss != NULL,
              err, MOE_ENOTSUP, "device %s has no gates for image classifiers; use --device cpu", be->name);
out:
    return status;
}

moe_status classifier_create(const struct classifier_config *config, const struct classifier_limits *limits,
                             struct device *dev, struct classifier **out_classifier, moe_err *err) {
    moe_status status = MOE_OK;
    struct classifier *c = calloc(1, sizeof *c);
    moe_check(c != NULL, err, MOE_ENOMEM, "no memory for a model");
    c->config = *config;
    c->limits = *limits;
    c->dev = dev;
    c->controls = (struct classifier_controls){config->noise, config->w_importance, config->w_load};
    moe_try(check_device(dev, err));
    moe_try(classifier_count(config, limits->max_batch, &c->counts, err));
    moe_check(
        config->expected_parameters == 0 || config->expected_parameters == c->counts.total, err,
        MOE_EMISMATCH,
        "the model has %lld parameters, but classifier.expected_parameters = %lld: a size in "
        "[classifier] differs from the stated one (set expected_parameters = 0 for a model of your own)",
        (long long)c->counts.total, (long long)config->expected_parameters);
    moe_try(classifier_declare(&c->parts, config, err));
    moe_try(routing_create(&c->routing, classifier_levels(c),
                           config->kind == CLASSIFIER_DENSE ? 0 : config->experts, err));
    moe_try(params_allocate(&c->parts.params, dev, limits->training, err));
    moe_try(plan_memory(c, err));
    moe_try(create_report(c, err));
    *out_classifier = c;
    c = NULL;
out:
    classifier_destroy(c);
    return status;
}

void classifier_destroy(struct classifier *c) {
    if (c == NULL) return;
    classifier_parts_free(&c->parts);
    routing_free(&c->routing);
    c->dev->ops->release(c->dev, c->kept_block);
    c->dev->ops->release(c->dev, c->scratch_block);
    report_free(&c->report);
    free(c->pending);
    free(c);
}

moe_status classifier_initialize(struct classifier *c, uint64_t seed, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(params_initialize(&c->parts.params, seed, err));
    if (c->config.kind != CLASSIFIER_DENSE)
        moe_try(mixture_initialize(&c->parts.experts, &c->parts.params, err));
out:
    return status;
}

struct params *classifier_params(struct classifier *c) {
    return &c->parts.params;
}

const struct classifier_counts *classifier_counts_of(const struct classifier *c) {
    return &c->counts;
}

struct routing *classifier_routing(struct classifier *c) {
    return &c->routing;
}

struct classifier_controls *classifier_controls(struct classifier *c) {
    return &c->controls;
}

/* ---- one batch
 * ----------------------------------------------------------------------------------------------- */

static moe_status check_batch(const struct classifier *c, const struct classifier_batch *batch,
                              moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(batch->batch >= 1 && batch->batch <= c->limits.max_batch, err, MOE_EARG,
              "batch of %lld images, planned for at most %lld", (long long)batch->batch,
              (long long)c->limits.max_batch);
    for (int64_t i = 0; i < batch->batch; i++) {
        moe_check(batch->labels[i] >= -1 && batch->labels[i] < c->config.classes, err, MOE_EARG,
                  "label %lld of the batch is %d, outside the %d classes", (long long)i, batch->labels[i],
                  c->config.classes);
    }
out:
    return status;
}

static struct nn_pass pass_of(const struct classifier *c, const struct classifier_batch *batch,
                              bool training) {
    return (struct nn_pass){
        .dev = c->dev,
        .params = &c->parts.params,
        .batch = batch->batch,
        .seq = 1,
        .rows = batch->batch,
        .training = training,
        .seed = batch->seed,
        .step = batch->step,
        .micro = batch->micro,
    };
}

/* The gates whose choices the experts follow. */
static struct gating *chooser(struct classifier *c) {
    return classifier_is_hierarchical(&c->config) ? &c->parts.hierarchy.inner : &c->parts.gate;
}

static double noise_of(const struct classifier *c, const struct nn_pass *pass) {
    return pass->training || c->config.noise_at_evaluation ? c->controls.noise : 0;
}

static void upload(struct classifier *c, const struct classifier_batch *batch) {
    const struct backend *be = c->dev->ops;
    const size_t rows = (size_t)batch->batch;
    be->upload(c->dev, c->pixels, batch->images, rows * (size_t)c->config.input * sizeof *batch->images);
    be->upload(c->dev, c->labels, batch->labels, rows * sizeof *batch->labels);
    c->last_batch = batch->batch;
}

/* From c->pixels to c->mixed. */
static void forward(struct classifier *c, const struct nn_pass *pass) {
    c->dev->ops->to_act(c->dev, c->images, c->pixels, pass->rows * c->config.input);
    if (c->config.kind == CLASSIFIER_DENSE) {
        perceptron_forward(&c->parts.dense, pass, c->images);
        return;
    }
    if (classifier_is_hierarchical(&c->config))
        hierarchy_forward(&c->parts.hierarchy, pass, noise_of(c, pass), c->images);
    else
        gating_forward(&c->parts.gate, pass, noise_of(c, pass), c->images, NULL);
    mixture_forward(&c->parts.experts, pass, c->mixed, c->images, chooser(c)->index, chooser(c)->choice);
}

/* From c->d_mixed to the parameters; d_choice is read before the gates' scratch is written. */
static void backward(struct classifier *c, const struct nn_pass *pass) {
    if (c->config.kind == CLASSIFIER_DENSE) {
        perceptron_backward(&c->parts.dense, pass, c->d_mixed, c->images);
        return;
    }
    const struct mixture *experts = &c->parts.experts;
    mixture_backward(experts, pass, c->d_mixed, c->images, chooser(c)->choice);
    if (classifier_is_hierarchical(&c->config))
        hierarchy_backward(&c->parts.hierarchy, pass, noise_of(c, pass), c->images, experts->d_choice);
    else
        gating_backward(&c->parts.gate, pass, noise_of(c, pass), c->images, NULL, NULL, experts->d_choice,
                        NULL);
}

/* Statistics of all levels as a decoder's: every level has as many rows of the batch. */
static void publish_routing(struct classifier *c, int64_t rows) {
    struct routing_host *host = &c->routing.host;
    for (int32_t l = 0; l < c->routing.layers; l++) {
        const size_t at = (size_t)l * (size_t)c->routing.experts;
        struct classifier_level level;
        classifier_level_of(c, (enum gate_level)l, &level);
        memcpy(host->load + at, level.chosen, (size_t)level.n * sizeof *host->load);
        memcpy(host->prob_mass + at, level.mass, (size_t)level.n * sizeof *host->prob_mass);
        host->entropy[l] = (float)(level.router_entropy * (double)rows);
    }
}

static struct gate_loss_settings balance_of(const struct classifier *c) {
    return (struct gate_loss_settings){c->controls.w_importance, c->controls.w_load};
}

/* The balance losses of a forward pass and their gradient, on the device. */
static void balance(struct classifier *c, double weight) {
    const struct gate_loss_settings settings = balance_of(c);
    if (c->config.kind == CLASSIFIER_DENSE) return;
    if (classifier_is_hierarchical(&c->config))
        hierarchy_balance(&c->parts.hierarchy, c->dev, &settings, weight);
    else
        gating_balance(&c->parts.gate, c->dev, &settings, weight);
}

/* Loss and hits of each image, and the loss's sum; the gradient too if d_mixed is not NULL. */
static void output_loss(struct classifier *c, const struct classifier_batch *batch, double grad_scale,
                        float *d_mixed) {
    const struct mixture_shape shape = {
        .rows = batch->batch,
        .classes = c->config.classes,
        .kind = c->config.double_softmax ? MIXTURE_SOFTMAX : MIXTURE_LOG,
        .grad_scale = (float)grad_scale,
    };
    const struct backend *be = c->dev->ops;
    be->mixture_loss(c->dev, c->out.nll, c->out.correct, d_mixed, c->mixed, c->labels, &shape);
    be->sum(c->dev, c->out.ce, c->out.nll, batch->batch);
}

static struct classifier_pending pending_of(const struct classifier *c,
                                            const struct classifier_batch *batch) {
    struct classifier_pending pending = {.batch = batch->batch, .weight = balance_of(c)};
    for (int64_t i = 0; i < batch->batch; i++)
        pending.images += batch->labels[i] >= 0;
    return pending;
}

/* Forward, loss and backward, given to the device as one. */
static void give_pass(struct classifier *c, const struct nn_pass *pass, const struct classifier_batch *batch,
                      int32_t slot) {
    const struct backend *be = c->dev->ops;
    be->pass_begin(c->dev);
    report_mark(&c->report, slot, REPORT_START);
    forward(c, pass);
    output_loss(c, batch, 1.0 / (double)batch->step_rows, c->d_mixed);
    balance(c, (double)pass->rows / (double)batch->step_rows);
    report_mark(&c->report, slot, REPORT_MIDDLE);
    backward(c, pass);
    report_mark(&c->report, slot, REPORT_END);
    be->pass_end(c->dev);
}

moe_status classifier_give_batch(struct classifier *c, const struct classifier_batch *batch, int32_t slot,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(slot >= 0 && slot < c->report.slots, err, MOE_EARG, "slot %d of %d", slot, c->report.slots);
    moe_try(check_batch(c, batch, err));
    const struct nn_pass pass = pass_of(c, batch, true);
    c->pending[slot] = pending_of(c, batch);
    upload(c, batch);
    give_pass(c, &pass, batch, slot);
    report_fetch(&c->report, slot, c->out.ce);
out:
    return status;
}

static void read_losses(struct classifier *c, int32_t slot, struct classifier_loss *out_loss) {
    const struct classifier_pending *p = &c->pending[slot];
    memset(out_loss, 0, sizeof *out_loss);
    view_slot(c, slot);
    out_loss->ce = *c->seen.ce;
    out_loss->images = p->images;
    for (int64_t i = 0; i < p->batch; i++)
        out_loss->correct += c->seen.correct[i];
    if (classifier_is_hierarchical(&c->config))
        hierarchy_loss(&c->parts.hierarchy, &p->weight, out_loss->level);
    else if (c->config.kind == CLASSIFIER_FLAT)
        out_loss->level[LEVEL_EXPERTS] = gating_loss(&c->parts.gate, &p->weight);
    out_loss->aux = out_loss->level[LEVEL_EXPERTS].aux + out_loss->level[LEVEL_GROUPS].aux;
    publish_routing(c, p->batch);
}

void classifier_read_batch(struct classifier *c, int32_t slot, struct classifier_loss *out_loss) {
    read_losses(c, slot, out_loss);
    out_loss->forward_seconds = report_seconds(&c->report, slot, REPORT_START, REPORT_MIDDLE);
    out_loss->backward_seconds = report_seconds(&c->report, slot, REPORT_MIDDLE, REPORT_END);
}

moe_status classifier_train_batch(struct classifier *c, const struct classifier_batch *batch,
                                  struct classifier_loss *out_loss, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(classifier_give_batch(c, batch, 0, err));
    moe_try(c->dev->ops->synchronize(c->dev, err));
    classifier_read_batch(c, 0, out_loss);
out:
    return status;
}

moe_status classifier_eval_batch(struct classifier *c, const struct classifier_batch *batch,
                                 struct classifier_loss *out_loss, float *image_ce, int32_t *image_correct,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    const double start = clock_seconds();
    const size_t rows = (size_t)batch->batch;
    moe_try(check_batch(c, batch, err));
    const struct nn_pass pass = pass_of(c, batch, false);
    c->pending[0] = pending_of(c, batch);
    upload(c, batch);
    forward(c, &pass);
    output_loss(c, batch, 0, NULL);
    balance(c, 0);
    report_fetch(&c->report, 0, c->out.ce);
    moe_try(c->dev->ops->synchronize(c->dev, err));
    read_losses(c, 0, out_loss);
    if (image_ce != NULL) memcpy(image_ce, c->seen.nll, rows * sizeof *image_ce);
    if (image_correct != NULL) memcpy(image_correct, c->seen.correct, rows * sizeof *image_correct);
    out_loss->forward_seconds = clock_seconds() - start;
out:
    return status;
}

/* ---- what a batch leaves
 * ------------------------------------------------------------------------------------- */

moe_status classifier_probabilities(struct classifier *c, float *host_probabilities, moe_err *err) {
    const size_t count = (size_t)(c->last_batch * c->config.classes);
    c->dev->ops->download(c->dev, host_probabilities, c->mixed, count * sizeof(float));
    return c->dev->ops->synchronize(c->dev, err);
}

int32_t classifier_slots(const struct classifier *c) {
    return c->config.kind == CLASSIFIER_DENSE ? 0 : c->parts.experts.set.slots;
}

moe_status classifier_choices(struct classifier *c, int32_t *host_index, float *host_weight, moe_err *err) {
    const size_t count = (size_t)(c->last_batch * classifier_slots(c));
    if (count == 0) return MOE_OK;
    c->dev->ops->download(c->dev, host_index, chooser(c)->index, count * sizeof *host_index);
    c->dev->ops->download(c->dev, host_weight, chooser(c)->choice, count * sizeof *host_weight);
    return c->dev->ops->synchronize(c->dev, err);
}

int32_t classifier_levels(const struct classifier *c) {
    return c->config.kind == CLASSIFIER_DENSE ? 0 : classifier_is_hierarchical(&c->config) ? 2 : 1;
}

void classifier_level_of(const struct classifier *c, enum gate_level level,
                         struct classifier_level *out_level) {
    const struct hierarchy *h = &c->parts.hierarchy;
    const struct gating *g = !classifier_is_hierarchical(&c->config) ? &c->parts.gate
                             : level == LEVEL_GROUPS                 ? &h->groups
                                                                     : &h->inner;
    const int32_t n = g->set.gates * g->set.experts;
    *out_level = (struct classifier_level){
        .n = n,
        .chosen = g->host.counts + GATE_CHOSEN * n,
        .first = g->host.counts + GATE_FIRST * n,
        .importance = g->host.sums + GATE_IMPORTANCE * n,
        .mass = g->host.sums + GATE_MASS * n,
        .load = g->host.sums + GATE_LOAD * n,
    };
    double visited = 0;
    for (int32_t i = 0; i < n; i++)
        visited += out_level->first[i];
    for (int32_t a = 0; visited > 0 && a < g->set.gates; a++) {
        out_level->gate_entropy += (double)g->host.entropy[a] / visited;
        out_level->router_entropy += (double)g->host.entropy[g->set.gates + a] / visited;
    }
}
