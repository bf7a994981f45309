#include "record/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/parallel.h"
#include "record/load.h"
#include "record/writer_impl.h"

struct run_reader {
    struct run_snapshot *snapshot;
    struct run_info info;
};

/* A run on its way into memory. */
struct opening {
    struct run_loading *loading; /* NULL: nothing to wait for */
    moe_err why;                 /* it did not start; status MOE_OK: it did */
};

static void start(const char *path, struct opening *o) {
    *o = (struct opening){0};
    run_loading_start(path, path_ends_with(path, ".live") ? RUN_FILE_LIVE : RUN_FILE_SEALED, &o->loading,
                      &o->why);
}

/* The run may be sealed, and its live file removed, while this looks for the one and then the other. */
static moe_status finish(const char *path, struct opening *o, struct run_snapshot **out_snapshot,
                         moe_err *err) {
    moe_status status = MOE_OK;
    char *live = NULL;
    struct run_loading *loading = o->loading;
    o->loading = NULL;
    if (loading != NULL) return run_loading_finish(loading, out_snapshot, err);
    if (o->why.status != MOE_ENOTFOUND || path_ends_with(path, ".live"))
        return moe_fail(err, o->why.status, "%s", o->why.message);
    live = path_append(path, ".live");
    moe_check(live != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
    status = run_snapshot_load(live, RUN_FILE_LIVE, out_snapshot, err);
    if (status != MOE_OK && file_exists(path))
        status = run_snapshot_load(path, RUN_FILE_SEALED, out_snapshot, err);
    if (status == MOE_ENOTFOUND)
        status = moe_fail(err, MOE_ENOTFOUND, "%s: no such run, complete or in progress", path);
out:
    free(live);
    return status;
}

static void fill_info(struct run_info *info, const struct run_table *table) {
    const struct run_identity *id = &table->begin.identity;
    snprintf(info->suite, sizeof info->suite, "%s", id->suite);
    snprintf(info->source, sizeof info->source, "%s", id->source);
    snprintf(info->experiment, sizeof info->experiment, "%s", id->experiment);
    snprintf(info->protocol, sizeof info->protocol, "%s", id->protocol);
    snprintf(info->tier, sizeof info->tier, "%s", id->tier);
    snprintf(info->status, sizeof info->status, "%s", table->status);
    snprintf(info->outcome, sizeof info->outcome, "%s", table->outcome);
    snprintf(info->digest, sizeof info->digest, "%s", table->digest);
    info->seed = id->seed;
    info->axes = table->begin.axes;
    memcpy(info->rows, table->rows, sizeof info->rows);
}

static moe_status finish_reader(const char *path, struct opening *o, struct run_reader **out_reader,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *r = calloc(1, sizeof *r);
    moe_check(r != NULL, err, MOE_ENOMEM, "%s: no memory to read it", path);
    moe_try(finish(path, o, &r->snapshot, err));
    fill_info(&r->info, &r->snapshot->table);
    *out_reader = r;
    r = NULL;
out:
    run_reader_close(r);
    return status;
}

moe_status run_reader_open(const char *path, struct run_reader **out_reader, moe_err *err) {
    struct opening o;
    start(path, &o);
    const moe_status status = finish_reader(path, &o, out_reader, err);
    run_loading_abandon(o.loading);
    return status;
}

/* ---- many runs, in order, each read while those before it are looked at */

enum { MOST_AHEAD = 16 };

struct run_queue {
    const char *const *paths;
    int32_t count, next, started, ahead;
    struct opening openings[MOST_AHEAD]; /* of path i: openings[i % ahead] */
};

moe_status run_queue_open(const char *const *paths, int32_t count, struct run_queue **out_queue,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct run_queue *q = calloc(1, sizeof *q);
    moe_check(q != NULL, err, MOE_ENOMEM, "no memory to read %d runs", count);
    *q = (struct run_queue){.paths = paths, .count = count};
    q->ahead = 2 * parallel_default_threads(); /* no core waits for a large one */
    if (q->ahead > MOST_AHEAD) q->ahead = MOST_AHEAD;
    *out_queue = q;
out:
    return status;
}

moe_status run_queue_next(struct run_queue *q, struct run_reader **out_reader, moe_err *err) {
    const int32_t i = q->next++;
    for (; q->started < q->count && q->started < i + q->ahead; q->started++)
        start(q->paths[q->started], &q->openings[q->started % q->ahead]);
    return finish_reader(q->paths[i], &q->openings[i % q->ahead], out_reader, err);
}

void run_queue_close(struct run_queue *q) {
    for (int32_t i = 0; q != NULL && i < MOST_AHEAD; i++)
        run_loading_abandon(q->openings[i].loading);
    free(q);
}

void run_reader_close(struct run_reader *r) {
    if (r == NULL) return;
    run_snapshot_free(r->snapshot);
    free(r);
}

const struct run_info *run_reader_info(const struct run_reader *r) {
    return &r->info;
}

const char *run_reader_path(const struct run_reader *r) {
    return r->snapshot->path;
}

const char *run_reader_domain(const struct run_reader *r, int32_t domain) {
    const struct run_begin *begin = &r->snapshot->table.begin;
    return domain >= 0 && domain < begin->axes.domains ? begin->domain_names[domain] : NULL;
}

int32_t run_reader_layer_number(const struct run_reader *r, int32_t moe_layer) {
    const struct run_begin *begin = &r->snapshot->table.begin;
    return moe_layer >= 0 && moe_layer < begin->axes.moe_layers ? begin->moe_layer_numbers[moe_layer] : -1;
}

const char *run_reader_config_json(const struct run_reader *r) {
    return r->snapshot->table.begin.config_json;
}

const char *run_reader_config_toml(const struct run_reader *r) {
    return r->snapshot->table.begin.config_toml;
}

const char *run_reader_counts_json(const struct run_reader *r) {
    return r->snapshot->table.begin.counts_json;
}

const char *run_reader_fact(const struct run_reader *r, const char *name) {
    const struct run_begin *begin = &r->snapshot->table.begin;
    for (int32_t i = 0; i < begin->fact_count; i++)
        if (strcmp(begin->facts[i].name, name) == 0) return begin->facts[i].value;
    return NULL;
}

int32_t run_reader_facts(const struct run_reader *r, const struct run_fact **out_facts) {
    *out_facts = r->snapshot->table.begin.facts;
    return r->snapshot->table.begin.fact_count;
}

const char *run_reader_dataset(const struct run_reader *r, int32_t index, char path[RUN_DATASET_PATH_MAX]) {
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        if (!run_has_series(&r->info.axes, run_columns[i].series) || index-- > 0) continue;
        run_column_path(&run_columns[i], path);
        return path;
    }
    return NULL;
}

/* The datasets of the group that name points into, or of all groups, as one line. */
static moe_status no_such_dataset(const struct run_reader *r, const char *name, moe_err *err) {
    const char *slash = strrchr(name, '/');
    const size_t group = slash == NULL ? 0 : (size_t)(slash - name) + 1;
    char list[768] = "", path[RUN_MAX_PATH];
    for (int pass = 0; pass < 2 && list[0] == 0; pass++) /* the group first, then everything */
        for (int32_t i = 0; run_reader_dataset(r, i, path) != NULL; i++) {
            const size_t used = strlen(list);
            if (pass == 0 && (group < 2 || strncmp(path, name, group) != 0)) continue;
            if (used + strlen(path) + 2 < sizeof list) snprintf(list + used, sizeof list - used, " %s", path);
        }
    return moe_fail(err, MOE_ENOTFOUND, "%s: no dataset %.64s; there are%s", r->snapshot->path, name, list);
}

static double value_at(enum run_type type, const void *values, int64_t i) {
    switch (type) {
    case RUN_I64:
        return (double)((const int64_t *)values)[i];
    case RUN_I32:
        return ((const int32_t *)values)[i];
    case RUN_U16:
        return ((const uint16_t *)values)[i];
    case RUN_F64:
        return ((const double *)values)[i];
    default:
        return ((const float *)values)[i];
    }
}

/* run_column_path compared, but not written for every column. */
static bool is_path_of(const struct run_column *column, const char *path) {
    const char *group = run_series_infos[column->series].group;
    const size_t length = strlen(group);
    return strncmp(path, group, length) == 0 && path[length] == '/' &&
           strcmp(path + length + 1, column->name) == 0;
}

moe_status run_reader_array(struct run_reader *r, const char *name, double **out_values, int64_t dims[4],
                            int32_t *out_rank, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_table *table = &r->snapshot->table;
    int32_t index = 0;
    int64_t count;
    double *values;
    while (index < RUN_COLUMN_COUNT && !(is_path_of(&run_columns[index], name) &&
                                         run_has_series(&r->info.axes, run_columns[index].series)))
        index++;
    if (index == RUN_COLUMN_COUNT) return no_such_dataset(r, name, err);
    dims[0] = table->rows[run_columns[index].series];
    *out_rank = 1 + run_row_dims(&run_columns[index], &r->info.axes, dims + 1);
    for (int32_t i = *out_rank; i < 4; i++)
        dims[i] = 1;
    count = dims[0] * run_row_values(&run_columns[index], &r->info.axes);
    values = malloc((size_t)(count > 0 ? count : 1) * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "%s: %s: no memory for %lld values", table->begin.path, name,
              (long long)count);
    for (int64_t i = 0; i < count; i++)
        values[i] = value_at(run_columns[index].type, table->columns[index], i);
    *out_values = values;
out:
    return status;
}

moe_status run_reader_last_step(struct run_reader *r, int64_t *out_step, moe_err *err) {
    static const char *const names[] = {"/train/step", "/eval/step"};
    moe_status status = MOE_OK;
    *out_step = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double *steps = NULL;
        int64_t dims[4];
        int32_t rank = 0;
        moe_try(run_reader_array(r, names[i], &steps, dims, &rank, err));
        if (dims[0] > 0 && (int64_t)steps[dims[0] - 1] > *out_step) *out_step = (int64_t)steps[dims[0] - 1];
        free(steps);
    }
out:
    return status;
}

moe_status run_reader_digest(struct run_reader *r, char digest_hex[65], moe_err *err) {
    return run_table_digest(&r->snapshot->table, digest_hex, err);
}
