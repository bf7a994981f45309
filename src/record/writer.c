#include "record/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "record/load.h"
#include "record/seal.h"
#include "record/writer_impl.h"

/* ---- rows
 * ---------------------------------------------------------------------------------------------------- */

static moe_status reserve(struct pending *pending, size_t bytes, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    if (bytes > pending->capacity) {
        const size_t capacity = bytes > 2 * pending->capacity ? bytes : 2 * pending->capacity;
        unsigned char *values = realloc(pending->values, capacity);
        moe_check(values != NULL, err, MOE_ENOMEM, "%s: no memory for %zu bytes of rows", path, capacity);
        pending->values = values;
        pending->capacity = capacity;
    }
out:
    return status;
}

static moe_status check_step(const struct run_writer *w, enum run_series series, int64_t step, moe_err *err) {
    moe_status status = MOE_OK;
    const char *group = run_series_infos[series].group;
    const int64_t last = w->last_step[series];
    moe_check(run_has_series(&w->axes, series), err, MOE_EARG, "%s: a run without MoE layers has no %s",
              w->path, group);
    moe_check(step >= 1 && (step > last || (series == RUN_EVAL && step == last)), err, MOE_EARG,
              "%s: %s: row of step %lld after step %lld; steps count from 1 and rise", w->path, group,
              (long long)step, (long long)last);
out:
    return status;
}

/* Layers may have fewer experts than the axis: theirs come first, the rest has load -1. */
static int32_t experts_of(const int32_t *load, int32_t experts) {
    int32_t n = 0;
    while (n < experts && load[n] >= 0)
        n++;
    return n;
}

static void derive_stats(struct run_writer *w, const struct run_routing_row *row) {
    for (int32_t layer = 0; layer < w->axes.moe_layers; layer++) {
        const int32_t *load = row->load + (size_t)layer * (size_t)w->axes.experts;
        w->stats[layer] = routing_stats_of_load(load, experts_of(load, w->axes.experts));
    }
}

static void put_measure(const struct run_writer *w, size_t offset, double *values) {
    for (int32_t layer = 0; layer < w->axes.moe_layers; layer++)
        memcpy(&values[layer], (const char *)&w->stats[layer] + offset, sizeof values[layer]);
}

static void put_dropped(const struct run_writer *w, const struct run_routing_row *row, int64_t *values) {
    const size_t experts = (size_t)w->axes.experts;
    for (int32_t layer = 0; layer < w->axes.moe_layers; layer++) {
        values[layer] = 0;
        for (size_t e = 0; e < experts; e++)
            if (row->dropped_load[(size_t)layer * experts + e] > 0)
                values[layer] += row->dropped_load[(size_t)layer * experts + e];
    }
}

/* Pending values are aligned for any type: rows of one column are multiples of its type's size. */
static moe_status put_column(struct run_writer *w, int32_t index, const void *row, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_column *column = &run_columns[index];
    const size_t bytes = run_row_bytes(column, &w->axes);
    const size_t before = (size_t)w->pending_rows[column->series] * bytes;
    const void *source = (const char *)row + column->offset;
    void *values;
    moe_try(reserve(&w->pending[index], before + bytes, w->path, err));
    values = w->pending[index].values + before;
    switch (column->origin) {
    case RUN_FROM_FIELD:
        memcpy(values, source, bytes);
        break;
    case RUN_FROM_POINTER:
        memcpy(&source, source, sizeof source);
        moe_check(source != NULL, err, MOE_EARG, "%s: %s/%s: no values given", w->path,
                  run_series_infos[column->series].group, column->name);
        memcpy(values, source, bytes);
        break;
    case RUN_FROM_LOAD:
        put_measure(w, column->offset, values);
        break;
    case RUN_FROM_DROPPED:
        put_dropped(w, row, values);
        break;
    }
out:
    return status;
}

static moe_status append(struct run_writer *w, enum run_series series, int64_t step, const void *row,
                         moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(check_step(w, series, step, err));
    if (run_series_infos[series].routing) {
        const struct run_routing_row *routing = row;
        moe_check(routing->load != NULL && routing->dropped_load != NULL, err, MOE_EARG,
                  "%s: %s: no load given", w->path, run_series_infos[series].group);
        derive_stats(w, routing);
    }
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_columns[i].series == series) moe_try(put_column(w, i, row, err));
    w->pending_rows[series]++;
    w->last_step[series] = step;
out:
    return status;
}

moe_status run_writer_train(struct run_writer *w, const struct run_train_row *row, moe_err *err) {
    return append(w, RUN_TRAIN, row->step, row, err);
}

/* Clocks are no finer than this grid, and values on it compress to a third. */
static double on_grid(double value, double per_unit) {
    return nearbyint(value * per_unit) / per_unit;
}

moe_status run_writer_timing(struct run_writer *w, const struct run_timing_row *row, moe_err *err) {
    const double second = 0x1p20;
    const struct run_timing_row rounded = {
        .step = row->step,
        .forward = on_grid(row->forward, second),
        .backward = on_grid(row->backward, second),
        .optimizer = on_grid(row->optimizer, second),
        .data = on_grid(row->data, second),
        .statistics = on_grid(row->statistics, second),
        .step_seconds = on_grid(row->step_seconds, second),
        .tokens_per_second = on_grid(row->tokens_per_second, 0x1p4),
    };
    return append(w, RUN_TIMING, row->step, &rounded, err);
}

moe_status run_writer_epoch(struct run_writer *w, const struct run_epoch_row *row, moe_err *err) {
    return append(w, RUN_EPOCH, row->step, row, err);
}

moe_status run_writer_eval(struct run_writer *w, const struct run_eval_row *row, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(row->domain >= 0 && row->domain < w->axes.domains, err, MOE_EARG,
              "%s: /eval: domain %lld of %d", w->path, (long long)row->domain, w->axes.domains);
    moe_try(append(w, RUN_EVAL, row->step, row, err));
out:
    return status;
}

moe_status run_writer_routing(struct run_writer *w, enum run_series series, const struct run_routing_row *row,
                              moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(series == RUN_ROUTING || series == RUN_ROUTING_EVAL, err, MOE_EARG,
              "%s: series %d holds no routing", w->path, (int)series);
    moe_try(append(w, series, row->step, row, err));
out:
    return status;
}

/* ---- commit and save
 * ----------------------------------------------------------------------------------------- */

static moe_status write_pending(struct run_writer *w, moe_err *err) {
    moe_status status = MOE_OK;
    const void *columns[RUN_COLUMN_COUNT];
    bool any = false;
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        any |= w->pending_rows[i] > 0;
    if (!any) goto out;
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        columns[i] = w->pending[i].values;
    moe_try(live_commit(w->live, w->pending_rows, columns, err));
    memset(w->pending_rows, 0, sizeof w->pending_rows);
out:
    return status;
}

moe_status run_writer_commit(struct run_writer *w, moe_err *err) {
    if (w->broken.status == MOE_OK && write_pending(w, &w->broken) == MOE_OK) return MOE_OK;
    return moe_fail(err, w->broken.status, "%s", w->broken.message);
}

moe_status run_writer_save(struct run_writer *w, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size;
    moe_try(run_writer_commit(w, err));
    moe_try(file_read_all(w->live_path, SIZE_MAX / 4, &bytes, &size, err));
    moe_try(file_write_atomic(w->saved_path, bytes, size, err));
out:
    free(bytes);
    return status;
}

/* ---- the end
 * ------------------------------------------------------------------------------------------------- */

/* Facts of the live file with those of the end behind them; one of the same name is replaced. */
static moe_status join_facts(struct run_begin *begin, const struct run_fact *end_facts,
                             int32_t end_fact_count, struct run_fact **out_facts, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t count = begin->fact_count;
    struct run_fact *facts = calloc((size_t)count + (size_t)end_fact_count + 1, sizeof *facts);
    moe_check(facts != NULL, err, MOE_ENOMEM, "%s: no memory for provenance", begin->path);
    for (int32_t i = 0; i < count; i++)
        facts[i] = begin->facts[i];
    for (int32_t i = 0; i < end_fact_count; i++) {
        int32_t at = 0;
        while (at < count && strcmp(facts[at].name, end_facts[i].name) != 0)
            at++;
        facts[at] = end_facts[i];
        if (at == count) count++;
    }
    begin->facts = facts;
    begin->fact_count = count;
    *out_facts = facts;
out:
    return status;
}

static moe_status check_whole(const struct run_writer *w, const int64_t written[RUN_SERIES_COUNT],
                              const struct run_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        moe_check(!run_has_series(&w->axes, i) || table->rows[i] == written[i], err, MOE_EFORMAT,
                  "%s: %s: %lld rows were written, %lld are there; resume the run from its checkpoint",
                  w->live_path, run_series_infos[i].group, (long long)written[i], (long long)table->rows[i]);
out:
    return status;
}

static moe_status seal_live(const struct run_writer *w, const int64_t written[RUN_SERIES_COUNT],
                            const char *outcome, const struct run_fact *end_facts, int32_t end_fact_count,
                            char digest_hex[65], moe_err *err) {
    moe_status status = MOE_OK;
    struct run_snapshot *live = NULL;
    struct run_fact *facts = NULL;
    struct run_table table;
    moe_try(run_snapshot_load(w->live_path, RUN_FILE_LIVE, &live, err));
    moe_try(check_whole(w, written, &live->table, err));
    table = live->table;
    table.begin.path = w->path;
    table.status = "complete";
    table.outcome = outcome;
    moe_try(join_facts(&table.begin, end_facts, end_fact_count, &facts, err));
    moe_try(run_begin_check(&table.begin, err));
    moe_try(run_table_digest(&table, digest_hex, err));
    table.digest = digest_hex;
    moe_try(seal_write(w->path, &table, err));
out:
    free(facts);
    run_snapshot_free(live);
    return status;
}

moe_status run_writer_seal(struct run_writer *w, const char *outcome, const struct run_fact *end_facts,
                           int32_t end_fact_count, char digest_hex[65], moe_err *err) {
    moe_status status = MOE_OK;
    int64_t written[RUN_SERIES_COUNT];
    char digest[65];
    const size_t longest = sizeof((struct run_info *)NULL)->outcome;
    moe_check(outcome != NULL && outcome[0] != 0 && strlen(outcome) < longest, err, MOE_EARG,
              "%s: the outcome must be a word of at most %zu bytes", w->path, longest - 1);
    moe_try(run_writer_commit(w, err));
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        written[i] = live_rows(w->live, i);
    live_close(w->live); /* HDF5 would not read a file that this process writes */
    w->live = NULL;
    moe_try(seal_live(w, written, outcome, end_facts, end_fact_count, digest, err));
    if (digest_hex != NULL) memcpy(digest_hex, digest, sizeof digest);
    file_remove(w->live_path,
                NULL); /* the run is complete; what cannot be removed now is ignored from here on */
    file_remove(w->saved_path, NULL);
out:
    run_writer_close(w);
    return status;
}

void run_writer_close(struct run_writer *w) {
    if (w == NULL) return;
    if (w->live != NULL && w->broken.status == MOE_OK) run_writer_commit(w, NULL);
    live_close(w->live);
    run_lock_release(&w->lock);
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        free(w->pending[i].values);
    free(w->stats);
    free(w->saved_path);
    free(w->live_path);
    free(w->path);
    free(w);
}
