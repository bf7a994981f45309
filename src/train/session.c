/* session.c - opening and closing what a run needs. */
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"

_Static_assert(MOE_SECOND_GROUP == RUN_SECOND_ROUTER, "the record numbers routers as decoders do");

/* Token ids of texts are kept beside the run files of a folder, where its other runs find them. */
static moe_status cache_folder(const struct trainer_options *options, char **out_folder, moe_err *err) {
    moe_status status = MOE_OK;
    char *runs = path_folder(options->path);
    *out_folder = runs != NULL ? path_join(runs, ".tokens") : NULL;
    moe_check(*out_folder != NULL, err, MOE_ENOMEM, "no memory for a path");
out:
    free(runs);
    return status;
}

static moe_status open_data(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    char *suite_dir = NULL, *cache_dir = NULL;
    if (s->options->suites_dir != NULL) {
        suite_dir = path_join(s->options->suites_dir, s->e->suite);
        moe_check(suite_dir != NULL, err, MOE_ENOMEM, "no memory for a path");
    }
    moe_try(cache_folder(s->options, &cache_dir, err));
    moe_try(corpus_open(s->e, s->options->data_dir, suite_dir, cache_dir, &s->corpus, err));
    const int64_t sequences = s->corpus.data->train.sequences;
    moe_check(sequences > 0, err, MOE_ECONFIG,
              "the training split has no sequence of data.sequence_length = %d tokens",
              s->e->data.sequence_length);
    s->steps_per_epoch = (sequences + s->e->train.batch_size - 1) / s->e->train.batch_size;
    s->epoch_tokens = sequences * s->e->data.sequence_length;
    s->total_steps = s->steps_per_epoch * s->e->train.max_epochs;
    if (s->e->train.max_steps > 0 && s->e->train.max_steps < s->total_steps)
        s->total_steps = s->e->train.max_steps;
out:
    free(suite_dir);
    free(cache_dir);
    return status;
}

/* The system hands out memory that it does not have and kills whoever uses it: better to say so before. */
static moe_status check_memory(const struct experiment *e, moe_err *err) {
    moe_status status = MOE_OK;
    struct learner_counts counts;
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    moe_try(learner_count(e, &counts, err));
    const double need = (double)counts.state_bytes + (double)counts.activation_bytes;
    const double have = pages > 0 && page > 0 ? (double)pages * (double)page : INFINITY;
    moe_check(need < have, err, MOE_ENOMEM,
              "the run needs %.1f GiB of memory (%.1f for %lld parameters, gradients and moments, %.1f for "
              "activations), this machine has %.1f: choose a smaller model, or a smaller "
              "train.micro_batch_size",
              need * 0x1p-30, (double)counts.state_bytes * 0x1p-30, (long long)counts.total,
              (double)counts.activation_bytes * 0x1p-30, have * 0x1p-30);
out:
    return status;
}

static moe_status open_model(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = s->e;
    moe_check(!s->options->keep_model || !experiment_is_classifier(e), err, MOE_ENOTSUP,
              "%s: image classifiers leave no model file; train without --keep-model", s->options->path);
    moe_try(check_memory(e, err));
    const struct device_options device = learner_device(e, s->options->threads);
    moe_try(device_open(s->options->device, &device, &s->dev, err));
    moe_try(learner_open(&s->learner, e, s->dev, err));
    moe_try(optimizer_create(&s->optimizer, e, s->learner.params, learner_layers(&s->learner),
                             learner_experts(&s->learner), err));
out:
    return status;
}

/* calloc with room for at least one element, or NULL with *ok cleared. */
static void *take(size_t count, size_t size, bool *ok) {
    void *p = calloc(count + 1, size);
    if (p == NULL) *ok = false;
    return p;
}

static moe_status open_buffers(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t layers = learner_layers(&s->learner), experts = learner_experts(&s->learner);
    const size_t cells = (size_t)layers * (size_t)experts;
    bool ok = true;
    moe_try(corpus_batch_create(&s->batch, &s->corpus, s->e->train.micro_batch_size, err));
    s->order = take((size_t)s->corpus.data->train.sequences, sizeof *s->order, &ok);
    s->expert_updates = take(cells, sizeof *s->expert_updates, &ok);
    s->metered_load = take(cells, sizeof *s->metered_load, &ok);
    s->expert_grad_norm = take(cells, sizeof *s->expert_grad_norm, &ok);
    s->row_load = take(cells, sizeof *s->row_load, &ok);
    s->row_dropped = take(cells, sizeof *s->row_dropped, &ok);
    s->row_prob_mass = take(cells, sizeof *s->row_prob_mass, &ok);
    s->row_entropy = take((size_t)layers, sizeof *s->row_entropy, &ok);
    s->row_hist = take(cells * ROUTING_HIST_BINS, sizeof *s->row_hist, &ok);
    moe_check(ok, err, MOE_ENOMEM, "no memory for the statistics of %d layers x %d experts", layers, experts);
    moe_try(routing_sums_create(&s->step_sums, layers, experts, err));
    moe_try(routing_sums_create(&s->eval_sums, layers, experts, err));
    s->shuffled_epoch = -1;
    s->validation = NAN;
out:
    return status;
}

static moe_status begin_or_resume(struct session *s, const struct run_begin *begin, moe_err *err) {
    moe_status status = MOE_OK;
    const struct checkpoint_counts counts = {s->expert_updates, s->metered_load};
    enum run_state state = RUN_ABSENT;
    moe_try(run_state_of(begin->path, &state, err));
    moe_check(state != RUN_COMPLETE, err, MOE_EEXIST,
              "%s: the run is complete; delete the file to train it again", begin->path);
    if (state == RUN_RESUMABLE && file_exists(s->checkpoint_path)) {
        moe_try(checkpoint_load(s->checkpoint_path, &s->learner, &s->progress, &counts, err));
        moe_try(run_writer_resume(begin, s->progress.step, &s->writer, err));
        s->resumed_at = s->progress.step;
    } else {
        /* killed before its first checkpoint, or new: both begin at step 0 */
        s->progress = (struct train_progress){.best = INFINITY, .balance = 1};
        moe_try(learner_initialize(&s->learner, err));
        moe_try(run_writer_begin(begin, &s->writer, err));
        moe_try(file_remove(s->checkpoint_path, err)); /* left by a run whose file is gone */
    }
out:
    return status;
}

static moe_status open_record(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = s->e;
    const struct dataset *data = s->corpus.data;
    struct learner_counts counts;
    const char *domain_names[DATASET_MAX_DOMAINS];
    for (int32_t i = 0; i < data->domains; i++)
        domain_names[i] = data->domain_names[i];
    s->checkpoint_path = path_append(s->options->path, ".ckpt");
    moe_check(s->checkpoint_path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_make_parents(s->options->path, err));
    run_facts_begin(&s->facts, s->dev, s->options->portable);
    moe_try(learner_count(e, &counts, err));
    moe_try(run_counts_json(&counts, data, &s->counts_json, err));
    const struct run_begin begin = {
        .path = s->options->path,
        .identity = {.suite = e->suite,
                     .source = e->source,
                     .experiment = e->name,
                     .protocol = e->protocol,
                     .tier = e->tier,
                     .seed = e->train.seed},
        .axes = {.moe_layers = learner_layers(&s->learner),
                 .experts = learner_experts(&s->learner),
                 .domains = data->domains,
                 .hist_bins = ROUTING_HIST_BINS},
        .domain_names = domain_names,
        .moe_layer_numbers = learner_layer_numbers(&s->learner),
        .config_json = e->json,
        .config_toml = e->toml,
        .counts_json = s->counts_json,
        .facts = s->facts.items,
        .fact_count = s->facts.count,
        .record_steps = e->train.record_steps,
    };
    moe_try(begin_or_resume(s, &begin, err));
out:
    return status;
}

moe_status session_open(struct session *s, const struct experiment *e, const struct trainer_options *options,
                        moe_err *err) {
    moe_status status = MOE_OK;
    enum run_state state = RUN_ABSENT;
    memset(s, 0, sizeof *s);
    s->e = e;
    s->options = options;
    /* asked before anything is loaded: a complete run costs nothing */
    moe_try(run_state_of(options->path, &state, err));
    moe_check(state != RUN_COMPLETE, err, MOE_EEXIST,
              "%s: the run is complete; delete the file to train it again", options->path);
    moe_try(open_data(s, err));
    moe_try(open_model(s, err));
    moe_try(open_buffers(s, err));
    moe_try(open_record(s, err));
out:
    if (status != MOE_OK) session_close(s);
    return status;
}

void session_close(struct session *s) {
    run_writer_close(s->writer);
    optimizer_free(&s->optimizer);
    learner_close(&s->learner);
    device_close(s->dev);
    corpus_close(&s->corpus);
    corpus_batch_free(&s->batch);
    routing_sums_free(&s->step_sums);
    routing_sums_free(&s->eval_sums);
    free(s->order);
    free(s->expert_updates);
    free(s->metered_load);
    free(s->expert_grad_norm);
    free(s->row_load);
    free(s->row_dropped);
    free(s->row_prob_mass);
    free(s->row_entropy);
    free(s->row_hist);
    free(s->counts_json);
    free(s->checkpoint_path);
    memset(s, 0, sizeof *s);
}
