#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "record/envelope.h"
#include "record/load.h"
#include "record/writer_impl.h"

static moe_status is_complete(const char *path, bool *out_complete, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *file = NULL;
    size_t size;
    *out_complete = false;
    if (!file_exists(path)) goto out;
    moe_try(envelope_read(path, &file, &size, err));
    *out_complete = true;
out:
    free(file);
    return status;
}

moe_status run_state_of(const char *path, enum run_state *out_state, moe_err *err) {
    moe_status status = MOE_OK;
    bool complete;
    char *live = path_append(path, ".live"), *saved = path_append(path, ".saved");
    moe_check(live != NULL && saved != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
    moe_try(is_complete(path, &complete, err));
    *out_state = complete                                  ? RUN_COMPLETE
                 : file_exists(live) || file_exists(saved) ? RUN_RESUMABLE
                                                           : RUN_ABSENT;
out:
    free(saved);
    free(live);
    return status;
}

static moe_status refuse_complete(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    bool complete;
    moe_try(is_complete(path, &complete, err));
    moe_check(!complete, err, MOE_EEXIST,
              "%s: the run is complete and will not be repeated; remove it to train it again", path);
out:
    return status;
}

/* A writer that holds the lock and has no live file yet. */
static moe_status take_run(const struct run_begin *begin, struct run_writer **out_writer, moe_err *err) {
    moe_status status = MOE_OK;
    char *lock_path = NULL;
    struct run_writer *w = calloc(1, sizeof *w);
    moe_check(w != NULL, err, MOE_ENOMEM, "%s: no memory for a writer", begin->path);
    w->lock.fd = -1;
    moe_try(run_begin_check(begin, err));
    w->axes = begin->axes;
    w->path = strdup(begin->path);
    w->live_path = path_append(begin->path, ".live");
    w->saved_path = path_append(begin->path, ".saved");
    w->stats = calloc((size_t)begin->axes.moe_layers + 1, sizeof *w->stats);
    lock_path = path_append(begin->path, ".lock");
    moe_check(w->path != NULL && w->live_path != NULL && w->saved_path != NULL && w->stats != NULL &&
                  lock_path != NULL,
              err, MOE_ENOMEM, "%s: no memory for a writer", begin->path);
    moe_try(refuse_complete(w->path, err));
    moe_try(file_make_parents(w->path, err));
    moe_try(run_lock_take(lock_path, &w->lock, err));
    moe_try(refuse_complete(w->path, err)); /* whoever held the lock may have sealed it */
    *out_writer = w;
    w = NULL;
out:
    free(lock_path);
    run_writer_close(w);
    return status;
}

moe_status run_writer_begin(const struct run_begin *begin, struct run_writer **out_writer, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_writer *w = NULL;
    const struct run_table table = {.begin = *begin, .status = "live", .outcome = "", .digest = ""};
    moe_try(take_run(begin, &w, err));
    moe_try(file_remove(w->saved_path, err));
    moe_try(live_create(w->live_path, &table, &w->live, err));
    *out_writer = w;
    w = NULL;
out:
    run_writer_close(w);
    return status;
}

/* ---- resuming
 * ------------------------------------------------------------------------------------------------ */

static moe_status same_text(const char *path, const char *what, const char *there, const char *wanted,
                            moe_err *err) {
    moe_status status = MOE_OK;
    size_t at = 0, from;
    while (there[at] == wanted[at] && there[at] != 0)
        at++;
    from = at < 24 ? 0 : at - 24;
    moe_check(there[at] == wanted[at], err, MOE_EMISMATCH,
              "%s: the %s of the interrupted run differs: there \"%.80s\", now \"%.80s\"; name another file, "
              "or remove it "
              "to begin again",
              path, what, there + from, wanted + from);
out:
    return status;
}

static moe_status same_run(const char *path, const struct run_begin *there, const struct run_begin *now,
                           moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_identity *a = &there->identity, *b = &now->identity;
    moe_try(same_text(path, "suite", a->suite, b->suite, err));
    moe_try(same_text(path, "source", a->source, b->source, err));
    moe_try(same_text(path, "experiment", a->experiment, b->experiment, err));
    moe_try(same_text(path, "protocol", a->protocol, b->protocol, err));
    moe_try(same_text(path, "tier", a->tier, b->tier, err));
    moe_check(a->seed == b->seed, err, MOE_EMISMATCH, "%s: the interrupted run has seed %llu, now it is %llu",
              path, (unsigned long long)a->seed, (unsigned long long)b->seed);
    moe_try(same_text(path, "configuration", there->config_json, now->config_json, err));
    moe_try(same_text(path, "list of parameter counts and data", there->counts_json, now->counts_json, err));
    moe_check(memcmp(&there->axes, &now->axes, sizeof there->axes) == 0, err, MOE_EMISMATCH,
              "%s: the interrupted run has other numbers of layers, experts, domains or bins", path);
    for (int32_t i = 0; i < now->axes.domains; i++)
        moe_try(same_text(path, "name of a domain", there->domain_names[i], now->domain_names[i], err));
    for (int32_t i = 0; i < now->axes.moe_layers; i++)
        moe_check(there->moe_layer_numbers[i] == now->moe_layer_numbers[i], err, MOE_EMISMATCH,
                  "%s: MoE layer %d of the interrupted run is decoder layer %d, now it is %d", path, i,
                  there->moe_layer_numbers[i], now->moe_layer_numbers[i]);
out:
    return status;
}

/* Cuts the rows of later steps; every series keeps a prefix, because steps rise. */
static void cut_after(struct run_table *table, int64_t step) {
    for (int32_t series = 0; series < RUN_SERIES_COUNT; series++) {
        const int64_t *steps;
        if (!run_has_series(&table->begin.axes, series) || table->rows[series] == 0) continue;
        steps = table->columns[run_step_column(series)];
        while (table->rows[series] > 0 && steps[table->rows[series] - 1] > step)
            table->rows[series]--;
    }
}

static int64_t last_step(const struct run_table *table, enum run_series series) {
    const int64_t *steps;
    if (!run_has_series(&table->begin.axes, series) || table->rows[series] == 0) return 0;
    steps = table->columns[run_step_column(series)];
    return steps[table->rows[series] - 1];
}

/* Reads a live or saved file and cuts it; MOE_EFORMAT if it does not reach the last row due by the step. */
static moe_status load_until(const char *path, int64_t step, int64_t record_steps,
                             struct run_snapshot **out_snapshot, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_snapshot *s = NULL;
    moe_try(run_snapshot_load(path, RUN_FILE_LIVE, &s, err));
    cut_after(&s->table, step);
    moe_check(last_step(&s->table, RUN_TRAIN) == step - step % record_steps, err, MOE_EFORMAT,
              "%s: reaches step %lld, the checkpoint is of step %lld; remove both to begin the run again",
              path, (long long)last_step(&s->table, RUN_TRAIN), (long long)step);
    *out_snapshot = s;
    s = NULL;
out:
    run_snapshot_free(s);
    return status;
}

/* The live file, or else the copy of the last checkpoint. The first failure is the one to report. */
static moe_status load_either(const struct run_writer *w, int64_t step, int64_t record_steps,
                              struct run_snapshot **out_snapshot, moe_err *err) {
    moe_err first = {0};
    const moe_status status = load_until(w->live_path, step, record_steps, out_snapshot, &first);
    if (status == MOE_OK) return MOE_OK;
    if ((status == MOE_EFORMAT || status == MOE_ENOTFOUND) &&
        load_until(w->saved_path, step, record_steps, out_snapshot, NULL) == MOE_OK)
        return MOE_OK;
    if (status == MOE_EFORMAT && strstr(first.message, "begin the run again") == NULL)
        return moe_fail(err, status, "%.900s; remove it and its checkpoint to begin the run again",
                        first.message);
    return moe_fail(err, status, "%s", first.message);
}

struct fact_list {
    struct run_fact *facts;
    char **names; /* those of `facts` that are owned, NULL elsewhere */
    char *step;
    int32_t count;
};

static void free_facts(struct fact_list *list) {
    for (int32_t i = 0; list->names != NULL && i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    free(list->step);
    free(list->facts);
}

static const char *find_fact(const struct run_begin *begin, const char *name) {
    for (int32_t i = 0; i < begin->fact_count; i++)
        if (strcmp(begin->facts[i].name, name) == 0) return begin->facts[i].value;
    return NULL;
}

static moe_status add_fact(struct fact_list *list, int32_t resumption, const char *name, const char *value,
                           moe_err *err) {
    moe_status status = MOE_OK;
    char joined[RUN_MAX_NAME];
    char *copy;
    const int length = snprintf(joined, sizeof joined, "resume%d.%s", resumption, name);
    if (length < 0 || length >= (int)sizeof joined || list->count >= RUN_MAX_FACTS) goto out;
    copy = strdup(joined);
    moe_check(copy != NULL, err, MOE_ENOMEM, "no memory for provenance");
    list->names[list->count] = copy;
    list->facts[list->count++] = (struct run_fact){copy, value};
out:
    return status;
}

/* The facts of the start, and what is different this time. */
static moe_status merge_facts(const struct run_begin *there, const struct run_begin *now, int64_t step,
                              struct fact_list *list, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t most = (size_t)there->fact_count + (size_t)now->fact_count + 1;
    int32_t resumption = 1;
    char text[32];
    list->facts = calloc(most, sizeof *list->facts);
    list->names = calloc(most, sizeof *list->names);
    snprintf(text, sizeof text, "%lld", (long long)step);
    list->step = strdup(text);
    moe_check(list->facts != NULL && list->names != NULL && list->step != NULL, err, MOE_ENOMEM,
              "no memory for provenance");
    for (; list->count < there->fact_count; list->count++)
        list->facts[list->count] = there->facts[list->count];
    for (; resumption < RUN_MAX_FACTS; resumption++) {
        snprintf(text, sizeof text, "resume%d.step", resumption);
        if (find_fact(there, text) == NULL) break;
    }
    moe_try(add_fact(list, resumption, "step", list->step, err));
    for (int32_t i = 0; i < now->fact_count; i++) {
        const char *before = find_fact(there, now->facts[i].name);
        if (before == NULL || strcmp(before, now->facts[i].value) != 0)
            moe_try(add_fact(list, resumption, now->facts[i].name, now->facts[i].value, err));
    }
out:
    return status;
}

moe_status run_writer_resume(const struct run_begin *begin, int64_t step, struct run_writer **out_writer,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct run_writer *w = NULL;
    struct run_snapshot *s = NULL;
    struct fact_list facts = {0};
    struct run_table table;
    moe_check(step >= 0, err, MOE_EARG, "%s: cannot resume after step %lld", begin->path, (long long)step);
    moe_try(take_run(begin, &w, err));
    moe_try(load_either(w, step, begin->record_steps > 0 ? begin->record_steps : 1, &s, err));
    moe_try(same_run(w->live_path, &s->table.begin, begin, err));
    table = s->table;
    moe_try(merge_facts(&s->table.begin, begin, step, &facts, err));
    table.begin.facts = facts.facts;
    table.begin.fact_count = facts.count;
    moe_try(live_create(w->live_path, &table, &w->live, err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        w->last_step[i] = last_step(&table, i);
    *out_writer = w;
    w = NULL;
out:
    free_facts(&facts);
    run_snapshot_free(s);
    run_writer_close(w);
    return status;
}
