/* session.c - opening and closing what a run needs. */
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "train/data_request.h"
#include "train/device_fit.h"

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
    struct dataset_request request = data_request_of(s->e, s->options->data_dir);
    request.suite_dir = suite_dir;
    request.cache_dir = cache_dir;
    moe_try(dataset_open(&request, &s->data, err));
    const int64_t sequences = s->data->train.sequences;
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
    struct decoder_counts counts;
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    moe_try(
        decoder_count(&e->model, &e->moe, e->train.micro_batch_size, e->data.sequence_length, &counts, err));
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
    moe_try(check_memory(e, err));
    const int32_t batch = e->train.micro_batch_size, seq = e->data.sequence_length;
    const struct device_options device = device_fit(&e->model, &e->moe, s->options->threads, batch, seq);
    const struct decoder_limits limits = {.max_batch = batch, .max_seq = seq, .training = true};
    moe_try(device_open(s->options->device, &device, &s->dev, err));
    moe_try(decoder_create(&e->model, &e->moe, &limits, s->dev, &s->decoder, err));
    moe_try(optimizer_create(&s->optimizer, e, decoder_params(s->decoder), err));
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
    const int32_t layers = s->e->moe.num_layers, experts = s->e->moe.num_experts;
    const size_t cells = (size_t)layers * (size_t)experts;
    const size_t rows = (size_t)s->e->train.micro_batch_size * (size_t)s->e->data.sequence_length;
    bool ok = true;
    s->order = take((size_t)s->data->train.sequences, sizeof *s->order, &ok);
    s->inputs = take(rows, sizeof *s->inputs, &ok);
    s->targets = take(rows, sizeof *s->targets, &ok);
    s->expert_updates = take(cells, sizeof *s->expert_updates, &ok);
    s->metered_load = take(cells, sizeof *s->metered_load, &ok);
    s->expert_grad_norm = take(cells, sizeof *s->expert_grad_norm, &ok);
    s->row_load = take(cells, sizeof *s->row_load, &ok);
    s->row_dropped = take(cells, sizeof *s->row_dropped, &ok);
    s->row_prob_mass = take(cells, sizeof *s->row_prob_mass, &ok);
    s->row_entropy = take((size_t)layers, sizeof *s->row_entropy, &ok);
    s->row_hist = take(cells * ROUTING_HIST_BINS, sizeof *s->row_hist, &ok);
    moe_check(ok, err, MOE_ENOMEM, "no memory for a batch of %zu tokens", rows);
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
        moe_try(checkpoint_load(s->checkpoint_path, s->e, s->decoder, &s->progress, &counts, err));
        moe_try(run_writer_resume(begin, s->progress.step, &s->writer, err));
        s->resumed_at = s->progress.step;
    } else {
        /* killed before its first checkpoint, or new: both begin at step 0 */
        s->progress = (struct train_progress){.best = INFINITY};
        moe_try(params_initialize(decoder_params(s->decoder), experiment_random_seed(s->e), err));
        moe_try(run_writer_begin(begin, &s->writer, err));
        moe_try(file_remove(s->checkpoint_path, err)); /* left by a run whose file is gone */
    }
out:
    return status;
}

static moe_status open_record(struct session *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = s->e;
    const char *domain_names[DATASET_MAX_DOMAINS];
    const size_t path_length = strlen(s->options->path);
    for (int32_t i = 0; i < s->data->domains; i++)
        domain_names[i] = s->data->domain_names[i];
    s->checkpoint_path = malloc(path_length + sizeof ".ckpt");
    moe_check(s->checkpoint_path != NULL, err, MOE_ENOMEM, "no memory for a path");
    sprintf(s->checkpoint_path, "%s.ckpt", s->options->path);
    moe_try(file_make_parents(s->options->path, err));
    run_facts_begin(&s->facts, s->dev, s->options->portable);
    moe_try(run_counts_json(decoder_counts_of(s->decoder), s->data, &s->counts_json, err));
    const struct run_begin begin = {
        .path = s->options->path,
        .identity = {.suite = e->suite,
                     .source = e->source,
                     .experiment = e->name,
                     .protocol = e->protocol,
                     .tier = e->tier,
                     .seed = e->train.seed},
        .axes = {.moe_layers = e->moe.num_layers,
                 .experts = e->moe.num_layers > 0 ? e->moe.num_experts : 0,
                 .domains = s->data->domains,
                 .hist_bins = ROUTING_HIST_BINS},
        .domain_names = domain_names,
        .moe_layer_numbers = e->moe.layers,
        .config_json = e->json,
        .config_toml = e->toml,
        .counts_json = s->counts_json,
        .facts = s->facts.items,
        .fact_count = s->facts.count,
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
    decoder_destroy(s->decoder);
    device_close(s->dev);
    dataset_close(s->data);
    routing_sums_free(&s->step_sums);
    routing_sums_free(&s->eval_sums);
    free(s->order);
    free(s->inputs);
    free(s->targets);
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
