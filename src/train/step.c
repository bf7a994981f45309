/* step.c - one optimizer step: data, forward, backward, optimizer, statistics, record. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "train/schedule.h"
#include "train/session.h"

/* Of classifier.balance_target: the change of the weight in a step, and how far it can go. */
#define BALANCE_STEP  1.01
#define BALANCE_RANGE 100.0

static void set_routing_controls(struct session *s, int64_t step, bool record) {
    const struct moe_config *moe = &s->e->moe;
    struct routing *r = s->learner.routing;
    if (experiment_is_classifier(s->e)) {
        learner_set_gates(&s->learner, schedule_noise(&s->e->classifier, s->progress.epoch),
                          s->progress.balance);
        return;
    }
    r->temperature = (float)schedule_temperature(moe, s->progress.epoch);
    r->dense = s->progress.epoch < moe->dense_epochs;
    r->with_select = moe->num_layers > 0 && (moe->lb_gamma > 0 || moe->expert_dropout > 0);
    r->with_hist = moe->num_layers > 0 && record;
    if (!r->with_select) return;
    routing_select(r, s->dev, (float)moe->expert_dropout, experiment_random_seed(s->e), (uint32_t)step);
}

/* Adds a micro-batch to the step's loss. Means over rows weigh by the micro-batch's share of the step. */
static void add_loss(struct learner_loss *sum, const struct learner_loss *part, double weight) {
    sum->ce += part->ce;
    sum->smoothed += part->smoothed;
    sum->head_z += part->head_z;
    sum->aux += weight * part->aux;
    sum->router_z += weight * part->router_z;
    sum->targets += part->targets;
    sum->correct += part->correct;
    sum->forward_seconds += part->forward_seconds;
    sum->backward_seconds += part->backward_seconds;
}

/* All micro-batches of a step, given to the device, which nobody waits for; gradients accumulate. */
static moe_status give_micro_batches(struct session *s, int64_t step, int64_t first, int64_t count,
                                     double *data_seconds, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = s->e;
    const int64_t seq = e->data.sequence_length, per_micro = e->train.micro_batch_size;
    for (int64_t at = 0; at < count; at += per_micro) {
        const int64_t batch = count - at < per_micro ? count - at : per_micro;
        const double start = clock_seconds();
        corpus_batch_read(&s->corpus, true, s->order + first + at, batch, &s->batch);
        *data_seconds += clock_seconds() - start;
        const struct learner_batch b = {
            .data = &s->batch,
            .batch = batch,
            .seq = seq,
            .step = (uint32_t)step,
            .micro = (uint32_t)(at / per_micro),
            .step_rows = count * seq,
        };
        moe_try(learner_give_batch(&s->learner, &b, (int32_t)(at / per_micro), err));
    }
out:
    return status;
}

/* What came out of them. */
static void read_micro_batches(struct session *s, int64_t count, struct learner_loss *loss) {
    const int64_t seq = s->e->data.sequence_length, per_micro = s->e->train.micro_batch_size;
    *loss = (struct learner_loss){0};
    routing_sums_clear(&s->step_sums);
    for (int64_t at = 0; at < count; at += per_micro) {
        const int64_t batch = count - at < per_micro ? count - at : per_micro;
        struct learner_loss part;
        learner_read_batch(&s->learner, (int32_t)(at / per_micro), &part);
        add_loss(loss, &part, (double)batch / (double)count);
        routing_sums_add(&s->step_sums, s->learner.routing, batch * seq);
    }
}

static void count_updates(struct session *s) {
    const size_t cells = (size_t)s->step_sums.layers * (size_t)s->step_sums.experts;
    for (size_t c = 0; c < cells; c++)
        s->expert_updates[c] += s->step_sums.load[c] > s->step_sums.dropped[c];
}

static void meter_load(struct session *s, const struct routing_sums *sums) {
    const size_t cells = (size_t)sums->layers * (size_t)sums->experts;
    for (size_t c = 0; c < cells; c++)
        s->metered_load[c] += sums->load[c];
}

static void update_bias(struct session *s) {
    static const enum bias_rule rules[] = {
        [CONFIG_BIAS_SIGN] = BIAS_SIGN,
        [CONFIG_BIAS_PROPORTIONAL] = BIAS_PROPORTIONAL,
        [CONFIG_BIAS_PROPORTIONAL_E] = BIAS_PROPORTIONAL_E,
    };
    const struct moe_config *moe = &s->e->moe;
    const size_t cells = (size_t)s->step_sums.layers * (size_t)s->step_sums.experts;
    meter_load(s, &s->step_sums);
    routing_update_bias(s->learner.routing, s->metered_load, (float)moe->lb_gamma, rules[moe->bias_rule]);
    memset(s->metered_load, 0, cells * sizeof *s->metered_load);
}

/* Moves the weight of the balance losses so that CV^2 of the experts' load in a batch lies above the target
 * as often as below it. */
static void update_balance(struct session *s) {
    const double target = s->e->classifier.balance_target;
    const struct routing_sums *sums = &s->step_sums;
    double mean = 0, squares = 0;
    if (target <= 0) return;
    for (int32_t e = 0; e < sums->experts; e++) {
        mean += (double)sums->load[e] / sums->experts;
        squares += (double)(sums->load[e] * sums->load[e]) / sums->experts;
    }
    const bool above = squares - mean * mean > target * mean * mean;
    const double moved = s->progress.balance * (above ? BALANCE_STEP : 1 / BALANCE_STEP);
    s->progress.balance = fmin(fmax(moved, 1 / BALANCE_RANGE), BALANCE_RANGE);
}

static void follow_course(struct train_course *course, const struct learner_loss *loss) {
    course->ce += loss->ce;
    course->aux += loss->aux * (double)loss->targets;
    course->images += loss->targets;
    course->correct += loss->correct;
}

/* The training batches as a domain of the evaluation; the next one begins anew. */
static void record_course(struct train_course *course, struct run_eval_row *row) {
    const double images = course->images > 0 ? (double)course->images : 1;
    row->tokens = course->images;
    row->loss_ce = course->ce / images;
    row->loss = row->loss_ce;
    row->loss_aux = course->aux / images;
    row->accuracy = (double)course->correct / images;
    row->perplexity = exp(row->loss_ce);
    *course = (struct train_course){0};
}

/* The record counts sequences in 16 bits; an evaluation of more than that stops at the largest number. */
static uint16_t saturate(int64_t count) {
    return count > UINT16_MAX ? UINT16_MAX : (uint16_t)count;
}

/* Sums of a pass in the record's types. */
static struct run_routing_row routing_row(struct session *s, const struct routing_sums *sums, int64_t step) {
    const size_t cells = (size_t)sums->layers * (size_t)sums->experts;
    const double rows = sums->rows > 0 ? (double)sums->rows : 1.0;
    for (size_t c = 0; c < cells; c++) {
        s->row_load[c] = (int32_t)sums->load[c];
        s->row_dropped[c] = (int32_t)sums->dropped[c];
        s->row_prob_mass[c] = (float)(sums->prob_mass[c] / rows);
    }
    for (size_t i = 0; i < cells * ROUTING_HIST_BINS; i++)
        s->row_hist[i] = saturate(sums->hist[i]);
    for (int32_t l = 0; l < sums->layers; l++) {
        s->row_entropy[l] = (float)(sums->entropy[l] / rows);
        for (int32_t e = learner_experts_of(&s->learner, l); e < sums->experts; e++)
            s->row_load[l * sums->experts + e] = -1;
    }
    return (struct run_routing_row){
        .step = step,
        .load = s->row_load,
        .dropped_load = s->row_dropped,
        .prob_mass = s->row_prob_mass,
        .bias = s->learner.routing->host.bias,
        .expert_grad_norm = s->expert_grad_norm,
        .expert_updates = s->expert_updates,
        .batch_hist = s->row_hist,
        .entropy_token = s->row_entropy,
    };
}

/* True if the step that was made last leaves rows of losses and timings. */
static bool has_row(const struct session *s) {
    return s->progress.step % s->e->train.record_steps == 0;
}

static moe_status record_step(struct session *s, const struct learner_loss *loss,
                              const struct gradient_norms *norms, double lr, bool routing, moe_err *err) {
    moe_status status = MOE_OK;
    const double targets = (double)loss->targets;
    int64_t dropped = 0;
    const size_t cells = (size_t)s->step_sums.layers * (size_t)s->step_sums.experts;
    for (size_t c = 0; c < cells; c++)
        dropped += s->step_sums.dropped[c];
    const struct run_train_row row = {
        .step = s->progress.step,
        .epoch = s->progress.epoch,
        .tokens = s->progress.tokens,
        .loss = (loss->smoothed + loss->head_z) / targets + loss->aux + loss->router_z,
        .loss_ce = loss->ce / targets,
        .loss_aux = loss->aux,
        .loss_z = loss->head_z / targets + loss->router_z,
        .lr = lr,
        .grad_norm = norms->total,
        .temperature = (double)s->learner.routing->temperature,
        .router_grad_norm = norms->router,
        .dropped = dropped,
    };
    s->last_loss = row.loss;
    if (has_row(s)) moe_try(run_writer_train(s->writer, &row, err));
    if (routing) {
        const struct run_routing_row r = routing_row(s, &s->step_sums, s->progress.step);
        moe_try(run_writer_routing(s->writer, RUN_ROUTING, &r, err));
    }
out:
    return status;
}

/* Speed over about the last ten steps. */
static void update_speed(struct session *s, double tokens_per_second) {
    s->speed = s->speed > 0 ? 0.9 * s->speed + 0.1 * tokens_per_second : tokens_per_second;
}

/* The parameter that the steps before have driven out of the numbers, if one has. */
static const char *first_bad_parameter(const struct session *s) {
    const struct params *params = s->learner.params;
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        if (s->dev->ops->find_nonfinite(s->dev, params->values + p->offset, p->count) >= 0) return p->name;
    }
    return "the logits (every parameter is finite: the activations overflowed)";
}

/* A step on its way: what it is made from, what came out, and when. */
struct step {
    int64_t number, first, count; /* first of its sequences in the epoch's order, and how many */
    bool sparse, routing;         /* the model routes; the step leaves rows of routing */
    struct learner_loss loss;
    struct gradient_norms norms;
    double lr;
    double start, data_seconds, computed; /* computed: when the device had done all of it */
};

/* Chooses the sequences; the first step of an epoch puts them in order. */
static struct step begin_step(struct session *s) {
    const struct experiment *e = s->e;
    const int64_t number = s->progress.step + 1, first = s->progress.epoch_step * e->train.batch_size;
    const int64_t left = s->corpus.data->train.sequences - first;
    struct step step = {.number = number,
                        .first = first,
                        .count = left < e->train.batch_size ? left : e->train.batch_size,
                        .sparse = learner_layers(&s->learner) > 0,
                        .start = clock_seconds()};
    step.routing = step.sparse && e->train.routing_steps > 0 && number % e->train.routing_steps == 0;
    step.norms.expert = step.sparse ? s->expert_grad_norm : NULL;
    if (s->shuffled_epoch != s->progress.epoch) {
        dataset_shuffle(s->order, s->corpus.data->train.sequences, experiment_random_seed(e),
                        (uint32_t)s->progress.epoch);
        s->shuffled_epoch = s->progress.epoch;
        step.data_seconds = clock_seconds() - step.start;
    }
    return step;
}

/* Gives the device all of the step, and does not wait for it. */
static moe_status give_step(struct session *s, struct step *step, moe_err *err) {
    moe_status status = MOE_OK;
    set_routing_controls(s, step->number, step->routing);
    moe_try(give_micro_batches(s, step->number, step->first, step->count, &step->data_seconds, err));
    step->lr = schedule_lr(&s->e->train, step->number, s->total_steps);
    optimizer_give(&s->optimizer, step->number, step->lr);
out:
    return status;
}

/* The one wait of a step, and what came out. */
static moe_status read_step(struct session *s, struct step *step, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(s->dev->ops->synchronize(s->dev, err));
    step->computed = clock_seconds();
    read_micro_batches(s, step->count, &step->loss);
    moe_check(
        isfinite(step->loss.smoothed) && isfinite(step->loss.aux), err, MOE_ENUMERIC,
        "step %lld: the loss is not finite; first tensor that is not: %s. Lower train.lr or set train.clip",
        (long long)step->number, first_bad_parameter(s));
    moe_try(optimizer_finish(&s->optimizer, step->number, &step->norms, err));
out:
    return status;
}

/* What follows from a step besides the parameters: progress, the selection bias, a classifier's course. */
static void take_account(struct session *s, const struct step *step) {
    const struct experiment *e = s->e;
    s->progress.step = step->number;
    s->progress.epoch_step++;
    s->progress.tokens += step->count * e->data.sequence_length;
    count_updates(s);
    if (e->moe.num_layers > 0 && e->moe.lb_gamma > 0) update_bias(s);
    if (!experiment_is_classifier(e)) return;
    follow_course(&s->progress.course, &step->loss);
    if (step->sparse) update_balance(s);
}

/* Commits what the step leaves, its times among it. */
static moe_status commit_step(struct session *s, const struct step *step, moe_err *err) {
    moe_status status = MOE_OK;
    const double end = clock_seconds();
    const struct run_timing_row timing = {
        .step = step->number,
        .forward = step->loss.forward_seconds,
        .backward = step->loss.backward_seconds,
        .optimizer = step->norms.seconds,
        .data = step->data_seconds,
        .statistics = end - step->computed,
        .step_seconds = end - step->start,
        .tokens_per_second = (double)(step->count * s->e->data.sequence_length) / (end - step->start),
    };
    if (has_row(s)) moe_try(run_writer_timing(s->writer, &timing, err));
    moe_try(run_writer_commit(s->writer, err));
    s->progress.epoch_train_seconds += clock_seconds() - step->start;
    update_speed(s, timing.tokens_per_second);
out:
    return status;
}

moe_status session_step(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    struct step step = begin_step(s);
    moe_try(give_step(s, &step, err));
    moe_try(read_step(s, &step, err));
    take_account(s, &step);
    moe_try(record_step(s, &step.loss, &step.norms, step.lr, step.routing, err));
    moe_try(commit_step(s, &step, err));
out:
    return status;
}

moe_status session_evaluate(struct session *s, bool *out_stop, moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_config *t = &s->e->train;
    struct evaluation evaluation;
    struct routing *routing = s->learner.routing;
    routing->with_hist = routing->layers > 0 && !experiment_is_classifier(s->e);
    routing->with_select = routing->with_select && s->e->moe.lb_gamma > 0;
    if (routing->with_select) routing_select(routing, s->dev, 0.0f, 0, 0);
    moe_try(evaluate(&s->learner, &s->corpus, s->progress.step, s->progress.epoch, &s->batch, &s->eval_sums,
                     &evaluation, err));
    if (s->e->moe.bias_counts_eval) meter_load(s, &s->eval_sums);
    if (experiment_is_classifier(s->e))
        record_course(&s->progress.course, &evaluation.rows[CORPUS_TRAINING_DOMAIN]);
    for (int32_t i = 0; i < evaluation.domains; i++) {
        moe_try(run_writer_eval(s->writer, &evaluation.rows[i], err));
    }
    if (routing->layers > 0) {
        for (int32_t c = 0; c < routing->layers * routing->experts; c++)
            s->expert_grad_norm[c] = 0;
        const struct run_routing_row row = routing_row(s, &s->eval_sums, s->progress.step);
        moe_try(run_writer_routing(s->writer, RUN_ROUTING_EVAL, &row, err));
    }
    moe_try(run_writer_commit(s->writer, err));
    s->validation = evaluation.criterion;
    s->eval_seconds = evaluation.seconds;
    s->progress.epoch_eval_seconds += evaluation.seconds;
    if (evaluation.criterion < s->progress.best) {
        s->progress.best = evaluation.criterion;
        s->progress.best_step = s->progress.step;
        s->progress.bad = 0;
    } else {
        s->progress.bad++;
    }
    *out_stop = t->patience > 0 && s->progress.bad >= t->patience;
out:
    return status;
}
