#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/file.h"
#include "train/lr_sweep.h"
#include "train/model_file.h"
#include "train/session.h"

static moe_status save(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const double start = clock_seconds();
    const struct checkpoint_counts counts = {s->expert_updates, s->metered_load};
    moe_try(run_writer_save(s->writer, err));
    moe_try(checkpoint_save(s->checkpoint_path, &s->learner, &s->progress, &counts, err));
    s->progress.epoch_checkpoint_seconds += clock_seconds() - start;
out:
    return status;
}

static void report(const struct session *s) {
    if (s->options->report == NULL) return;
    const double tokens_left =
        (double)(s->total_steps - s->progress.step) * (double)s->epoch_tokens / (double)s->steps_per_epoch;
    const double epochs_left = (double)(s->total_steps - s->progress.step) / (double)s->steps_per_epoch;
    const struct trainer_report r = {
        .step = s->progress.step,
        .total_steps = s->total_steps,
        .epoch = s->progress.epoch,
        .max_epochs = s->e->train.max_epochs,
        .loss = s->last_loss,
        .validation = s->validation,
        .tokens_per_second = s->speed,
        .seconds_left = s->speed > 0 ? tokens_left / s->speed + epochs_left * s->eval_seconds : NAN,
    };
    s->options->report(s->options->user, &r);
}

/* Closes the epoch's row. The checkpoint that follows is the first act of the next one. */
static moe_status end_epoch(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    struct train_progress *p = &s->progress;
    const struct run_epoch_row row = {
        .epoch = p->epoch,
        .step = p->step,
        .tokens = s->epoch_tokens,
        .train_seconds = p->epoch_train_seconds,
        .eval_seconds = p->epoch_eval_seconds,
        .checkpoint_seconds = p->epoch_checkpoint_seconds,
        .peak_memory = run_peak_memory(),
    };
    moe_try(run_writer_epoch(s->writer, &row, err));
    moe_try(run_writer_commit(s->writer, err));
    p->epoch++;
    p->epoch_step = 0;
    p->epoch_train_seconds = p->epoch_eval_seconds = p->epoch_checkpoint_seconds = 0;
out:
    return status;
}

static void finish(struct train_progress *p, const char *outcome) {
    p->finished = true;
    snprintf(p->outcome, sizeof p->outcome, "%s", outcome);
}

/* One step and everything that is due after it. */
static moe_status advance(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_config *t = &s->e->train;
    struct train_progress *p = &s->progress;
    bool stop = false;
    moe_try(session_step(s, err));
    const bool last = p->step >= s->total_steps;
    const bool epoch_end = p->epoch_step == s->steps_per_epoch;
    const bool evaluates = t->eval_steps > 0 ? p->step % t->eval_steps == 0 || last : epoch_end || last;
    if (evaluates) moe_try(session_evaluate(s, &stop, err));
    if (epoch_end) moe_try(end_epoch(s, err));
    if (stop) {
        finish(p, "early_stopped");
    } else if (last) {
        finish(p, t->max_steps > 0 && p->step == t->max_steps ? "max_steps" : "max_epochs");
    }
    const bool due = t->checkpoint_steps > 0 && p->step % t->checkpoint_steps == 0;
    if (epoch_end || due || p->finished) moe_try(save(s, err));
    report(s);
out:
    return status;
}

static bool stop_asked(const struct session *s) {
    return s->options->stop != NULL && *s->options->stop != 0;
}

/* The weights as the last step left them, before the run is sealed: killed in between, it does this again. */
static moe_status keep_model(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_progress *p = &s->progress;
    char *path = model_file_of_run(s->options->path);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    model_file_set_routing(s->e, p->epoch, p->epoch_step, s->learner.decoder);
    moe_try(model_file_save(path, s->e, s->learner.decoder, p->step, err));
out:
    free(path);
    return status;
}

moe_status trainer_run(const struct experiment *e, const struct trainer_options *options,
                       struct trainer_result *out_result, moe_err *err) {
    moe_status status = MOE_OK;
    struct session s = {0};
    struct run_facts end;
    *out_result = (struct trainer_result){0};
    moe_try(session_open(&s, e, options, err));
    report(&s);
    while (!s.progress.finished) {
        if (stop_asked(&s)) {
            moe_try(save(&s, err));
            status = moe_fail(err, MOE_EINTERRUPTED,
                              "%s: interrupted after step %lld; the same command goes on from there",
                              options->path, (long long)s.progress.step);
            goto out;
        }
        status = advance(&s, err);
        if (status == MOE_ENUMERIC && options->seal_diverged && s.progress.step > 0) {
            snprintf(out_result->divergence, sizeof out_result->divergence, "%.255s", err->message);
            *err = (moe_err){0};
            finish(&s.progress, LR_SWEEP_DIVERGED);
        } else if (status != MOE_OK) {
            goto out;
        }
    }
    if (options->keep_model) moe_try(keep_model(&s, err));
    run_facts_end(&end, out_result->divergence);
    struct run_writer *writer = s.writer;
    s.writer = NULL;
    moe_try(run_writer_seal(writer, s.progress.outcome, end.items, end.count, out_result->digest, err));
    moe_try(file_remove(s.checkpoint_path, err));
    snprintf(out_result->outcome, sizeof out_result->outcome, "%s", s.progress.outcome);
    out_result->steps = s.progress.step;
    out_result->resumed_at = s.resumed_at;
    out_result->best = s.progress.best;
out:
    session_close(&s);
    return status;
}

char *trainer_default_path(const char *root, const struct experiment *e) {
    const char *format = "%s/%s/%s/%s%s.%s.s%llu.h5";
    const unsigned long long seed = e->train.seed;
    char swept[LR_SWEEP_NAME_MAX];
    double rate;
    const char *folder = lr_sweep_parse_name(e->name, swept, &rate) ? LR_SWEEP_FOLDER "/" : "";
    const int n = snprintf(NULL, 0, format, root, e->tier, e->suite, folder, e->name, e->protocol, seed);
    char *path = malloc((size_t)n + 1);
    if (path != NULL)
        snprintf(path, (size_t)n + 1, format, root, e->tier, e->suite, folder, e->name, e->protocol, seed);
    return path;
}
