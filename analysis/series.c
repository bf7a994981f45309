#include "analysis/series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/series_steps.h"
#include "analysis/stats.h"
#include "core/text.h"

enum series_kind {
    KIND_TRAIN_MEAN, /* token-weighted mean over the steps of an epoch */
    KIND_STEP_SUM,   /* sum over the steps of an epoch, from /timing */
    KIND_RATE,       /* tokens of the epoch / seconds of the epoch */
    KIND_EVAL,       /* a column of /eval, domain 0 */
    KIND_ANSWERS,    /* the same of the domain of questions */
    KIND_ROUTING     /* a column of /routing_eval, one layer */
};

struct series_info {
    const char *name;
    enum series_kind kind;
    const char *dataset;
};

static const struct series_info table[] = {
    {"train_loss", KIND_TRAIN_MEAN, "/train/loss"},
    {"train_ce", KIND_TRAIN_MEAN, "/train/loss_ce"},
    {"train_aux", KIND_TRAIN_MEAN, "/train/loss_aux"},
    {"forward_seconds", KIND_STEP_SUM, "/timing/forward"},
    {"backward_seconds", KIND_STEP_SUM, "/timing/backward"},
    {"optimizer_seconds", KIND_STEP_SUM, "/timing/optimizer"},
    {"step_seconds", KIND_STEP_SUM, "/timing/step_seconds"},
    {"tokens_per_second", KIND_RATE, "/timing/step_seconds"},
    {"eval_loss", KIND_EVAL, "/eval/loss"},
    {"eval_ce", KIND_EVAL, "/eval/loss_ce"},
    {"eval_aux", KIND_EVAL, "/eval/loss_aux"},
    {"eval_accuracy", KIND_EVAL, "/eval/accuracy"},
    {"eval_perplexity", KIND_EVAL, "/eval/perplexity"},
    {"eval_answers", KIND_ANSWERS, "/eval/accuracy"},
    {"usage_entropy", KIND_ROUTING, "/routing_eval/entropy_usage"},
    {"token_entropy", KIND_ROUTING, "/routing_eval/entropy_token"},
    {"gini", KIND_ROUTING, "/routing_eval/gini"},
    {"cv2", KIND_ROUTING, "/routing_eval/cv2"},
    {"max_over_mean", KIND_ROUTING, "/routing_eval/max_over_mean"},
};

static moe_status new_series(struct series *s, int64_t n, moe_err *err) {
    moe_status status = MOE_OK;
    *s = (struct series){
        .n = (int32_t)n, .x = calloc((size_t)n + 1, sizeof *s->x), .y = calloc((size_t)n + 1, sizeof *s->y)};
    if (s->x == NULL || s->y == NULL) {
        series_free(s);
        status = moe_fail(err, MOE_ENOMEM, "cannot allocate a series of %lld values", (long long)n);
    }
    return status;
}

void series_free(struct series *s) {
    free(s->x);
    free(s->y);
    *s = (struct series){0};
}

/* A dataset and its number of rows, which must be `rows` unless that is -1. */
static moe_status read_rows(struct run_list *list, const struct run_file *file, const char *name,
                            int64_t rows, double **out, int64_t dims[4], moe_err *err) {
    moe_status status = MOE_OK;
    int32_t rank = 0;
    moe_try(run_list_array(list, file, name, out, dims, &rank, err));
    moe_check(rank >= 1 && (rows < 0 || dims[0] == rows), err, MOE_EFORMAT,
              "%s: %s has %lld rows, expected %lld", file->path, name, rank >= 1 ? (long long)dims[0] : 0LL,
              (long long)rows);
out:
    return status;
}

/* Optimizer steps of the first epoch: what turns steps into epochs. A run that ended within it says so by its
 * rows of losses, not each of which need be of one step. */
static moe_status steps_per_epoch(struct run_list *list, const struct run_file *file, double *out,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *epoch = NULL;
    int64_t dims[4];
    int64_t last = 0;
    if (file->info.rows[RUN_EPOCH] > 0) {
        moe_try(read_rows(list, file, "/timing/epoch/step", -1, &step, dims, err));
    } else {
        moe_try(read_rows(list, file, "/train/step", -1, &step, dims, err));
        moe_check(dims[0] > 0, err, MOE_EFORMAT, "%s: /train has no steps", file->path);
        moe_try(read_rows(list, file, "/train/epoch", dims[0], &epoch, dims, err));
        while (last + 1 < dims[0] && epoch[last + 1] == epoch[0])
            last++;
    }
    *out = step[last];
    moe_check(*out > 0.0, err, MOE_EFORMAT, "%s: the first epoch has no steps", file->path);
out:
    free(step);
    free(epoch);
    return status;
}

/* Weighted sums over the steps of each epoch: y[e] = sum_i value_i weight_i, x[e] = sum_i weight_i, where the
 * weight is a step's number of tokens. */
static moe_status sum_epochs(struct run_list *list, const struct run_file *file, const char *dataset,
                             bool weighted, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *epoch = NULL;
    double *tokens = NULL;
    double *value = NULL;
    int64_t dims[4];
    moe_try(read_rows(list, file, "/train/epoch", -1, &epoch, dims, err));
    const int64_t n = dims[0];
    moe_try(read_rows(list, file, "/train/tokens", n, &tokens, dims, err));
    moe_try(read_rows(list, file, dataset, n, &value, dims, err));
    moe_check(n > 0, err, MOE_EFORMAT, "%s: /train has no steps", file->path);
    for (int64_t i = 0; i < n; i++)
        moe_check(epoch[i] >= 0.0 && epoch[i] < 1e6 && (i == 0 || epoch[i] >= epoch[i - 1]), err, MOE_EFORMAT,
                  "%s: /train/epoch: row %lld is %g", file->path, (long long)i, epoch[i]);
    moe_try(new_series(out, (int64_t)epoch[n - 1] + 1, err));
    for (int64_t i = 0; i < n; i++) {
        const int64_t e = (int64_t)epoch[i];
        const double weight = tokens[i] - (i > 0 ? tokens[i - 1] : 0.0);
        out->x[e] += weight;
        out->y[e] += value[i] * (weighted ? weight : 1.0);
    }
out:
    free(epoch);
    free(tokens);
    free(value);
    return status;
}

static moe_status epoch_series(struct run_list *list, const struct run_file *file,
                               const struct series_info *info, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(sum_epochs(list, file, info->dataset, info->kind == KIND_TRAIN_MEAN, out, err));
    for (int32_t e = 0; e < out->n; e++) {
        const double tokens = out->x[e];
        if (info->kind == KIND_TRAIN_MEAN) out->y[e] /= tokens;
        if (info->kind == KIND_RATE) out->y[e] = tokens / out->y[e];
        out->x[e] = e + 1.0;
    }
out:
    return status;
}

static moe_status eval_series(struct run_list *list, const struct run_file *file,
                              const struct series_info *info, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *domain = NULL;
    double *value = NULL;
    double per_epoch = 1.0;
    double wanted = 0.0;
    int64_t dims[4];
    if (info->kind == KIND_ANSWERS) wanted = run_list_domain(list, file, DOMAIN_QUESTIONS);
    moe_check(wanted >= 0, err, MOE_ENOTFOUND, "%s: the run was asked no questions (data.choice_questions)",
              file->path);
    moe_try(steps_per_epoch(list, file, &per_epoch, err));
    moe_try(read_rows(list, file, "/eval/step", -1, &step, dims, err));
    const int64_t n = dims[0];
    moe_try(read_rows(list, file, "/eval/domain", n, &domain, dims, err));
    moe_try(read_rows(list, file, info->dataset, n, &value, dims, err));
    moe_try(new_series(out, n, err));
    out->n = 0;
    for (int64_t i = 0; i < n; i++) {
        if (domain[i] != wanted) continue;
        out->x[out->n] = step[i] / per_epoch;
        out->y[out->n++] = value[i];
    }
out:
    free(step);
    free(domain);
    free(value);
    return status;
}

moe_status series_layer_row(struct run_list *list, const struct run_file *file, int32_t layer,
                            int32_t *out_row, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct text layers = {0};
    moe_try(run_list_reader(list, file, &reader, err));
    for (int32_t row = 0; row < file->info.axes.moe_layers; row++) {
        if (run_reader_layer_number(reader, row) == layer) {
            *out_row = row;
            goto out;
        }
        text_append(&layers, " %d", run_reader_layer_number(reader, row));
    }
    status = moe_fail(err, MOE_ENOTFOUND, "%s: decoder layer %d does not route; those that do:%s", file->path,
                      layer, layers.length > 0 ? layers.data : " none");
out:
    text_free(&layers);
    return status;
}

/* Of one row of the layer axis, or (-1) the mean over all. */
static moe_status routing_series(struct run_list *list, const struct run_file *file,
                                 const struct series_info *info, int32_t row, struct series *out,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *value = NULL;
    double per_epoch = 1.0;
    int64_t dims[4];
    const int32_t layers = file->info.axes.moe_layers;
    const int32_t begin = row < 0 ? 0 : row;
    const int32_t end = row < 0 ? layers : row + 1;
    moe_check(layers > 0, err, MOE_ENOTFOUND, "%s: %s: the model has no router", file->path, info->name);
    moe_try(steps_per_epoch(list, file, &per_epoch, err));
    moe_try(read_rows(list, file, "/routing_eval/step", -1, &step, dims, err));
    const int64_t n = dims[0];
    moe_try(read_rows(list, file, info->dataset, n, &value, dims, err));
    moe_try(new_series(out, n, err));
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int32_t l = begin; l < end; l++)
            sum += value[i * layers + l];
        out->x[i] = step[i] / per_epoch;
        out->y[i] = sum / (end - begin);
    }
out:
    free(step);
    free(value);
    return status;
}

/* ".12" behind a name: the row of the layer axis; nothing: -1. */
static moe_status parse_layer(struct run_list *list, const struct run_file *file, const char *name,
                              const char *suffix, int32_t *out_row, moe_err *err) {
    moe_status status = MOE_OK;
    char *end = NULL;
    *out_row = -1;
    if (suffix[0] == '\0') goto out;
    const long layer = strtol(suffix + 1, &end, 10);
    moe_check(*end == '\0' && end != suffix + 1 && layer >= 0 && layer <= INT32_MAX, err, MOE_ENOTFOUND,
              "no series \"%s\"; see analysis/series.h", name);
    moe_try(series_layer_row(list, file, (int32_t)layer, out_row, err));
out:
    return status;
}

static moe_status binned(struct run_list *list, const struct run_file *file, const char *name,
                         int32_t max_bins, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    char stem[64];
    int32_t row = -1;
    const struct series_info *info = NULL;
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(name, "."), name);
    const char *suffix = strlen(name) > strlen(stem) ? name + strlen(stem) : "";
    *out = (struct series){0};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, stem) == 0) info = &table[i];
    const bool layered = info != NULL ? info->kind == KIND_ROUTING : series_steps_is_layered(stem);
    moe_check((info != NULL || series_steps_has(stem)) && (layered || suffix[0] == '\0'), err, MOE_ENOTFOUND,
              "no series \"%s\"; see analysis/series.h", name);
    moe_try(parse_layer(list, file, name, suffix, &row, err));
    if (info == NULL) {
        moe_try(series_steps_of_run(list, file, stem, row, max_bins, out, err));
    } else if (info->kind == KIND_EVAL || info->kind == KIND_ANSWERS) {
        moe_try(eval_series(list, file, info, out, err));
    } else if (layered) {
        moe_try(routing_series(list, file, info, row, out, err));
    } else {
        moe_try(epoch_series(list, file, info, out, err));
    }
out:
    return status;
}

moe_status series_of_run(struct run_list *list, const struct run_file *file, const char *name,
                         struct series *out, moe_err *err) {
    return binned(list, file, name, SERIES_STEP_BINS, out, err);
}

/* Leading positions that all runs share. */
static int32_t common_length(const struct series_group *g) {
    int32_t common = g->runs[0].n;
    for (int32_t s = 1; s < g->seeds; s++) {
        int32_t same = 0;
        while (same < common && same < g->runs[s].n && fabs(g->runs[s].x[same] - g->runs[0].x[same]) < 1e-9)
            same++;
        common = same;
    }
    return common;
}

moe_status series_group_average(struct series_group *g, moe_err *err) {
    moe_status status = MOE_OK;
    const double quantile = stats_t_quantile(0.975, g->seeds - 1);
    double *column = calloc((size_t)g->seeds + 1, sizeof *column);
    moe_check(column != NULL, err, MOE_ENOMEM, "cannot allocate %d series", g->seeds);
    for (int32_t i = 0; i < g->common; i++) {
        for (int32_t s = 0; s < g->seeds; s++)
            column[s] = g->runs[s].y[i];
        const struct stats_estimate e = stats_mean_within(column, g->seeds, quantile);
        g->x[i] = g->runs[0].x[i];
        g->mean[i] = e.value;
        g->low[i] = e.low;
        g->high[i] = e.high;
    }
out:
    free(column);
    return status;
}

moe_status series_group_begin(struct series_group *g, moe_err *err) {
    moe_status status = MOE_OK;
    g->common = common_length(g);
    g->x = calloc(4 * (size_t)g->common + 1, sizeof *g->x);
    moe_check(g->x != NULL, err, MOE_ENOMEM, "cannot allocate a series of %d values", g->common);
    g->mean = g->x + g->common;
    g->low = g->mean + g->common;
    g->high = g->low + g->common;
    moe_try(series_group_average(g, err));
out:
    return status;
}

moe_status series_of_group(struct run_list *list, const struct run_group *group, const char *name,
                           struct series_group *out, moe_err *err) {
    return series_of_group_binned(list, group, name, SERIES_STEP_BINS, out, err);
}

moe_status series_of_group_binned(struct run_list *list, const struct run_group *group, const char *name,
                                  int32_t max_bins, struct series_group *out, moe_err *err) {
    moe_status status = MOE_OK;
    *out = (struct series_group){0};
    moe_check(group->n > 0, err, MOE_ENOTFOUND, "no runs of %s/%s %s, tier %s, below %s", group->suite,
              group->experiment, group->protocol, run_list_tier(list), run_list_roots(list));
    out->runs = calloc((size_t)group->n, sizeof *out->runs);
    moe_check(out->runs != NULL, err, MOE_ENOMEM, "cannot allocate %d series", group->n);
    out->seeds = group->n;
    for (int32_t s = 0; s < group->n; s++)
        moe_try(binned(list, &group->files[s], name, max_bins, &out->runs[s], err));
    moe_try(series_group_begin(out, err));
out:
    if (status != MOE_OK) series_group_free(out);
    return status;
}

/* a becomes a - b at the leading positions that both have. */
static void subtract(struct series *a, const struct series *b) {
    int32_t same = 0;
    while (same < a->n && same < b->n && fabs(a->x[same] - b->x[same]) < 1e-9) {
        a->y[same] -= b->y[same];
        same++;
    }
    a->n = same;
}

moe_status series_of_difference(struct run_list *list, const struct run_group *a, const struct run_group *b,
                                const char *name, struct series_group *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct series other = {0};
    *out = (struct series_group){0};
    out->runs = calloc((size_t)a->n + 1, sizeof *out->runs);
    moe_check(out->runs != NULL, err, MOE_ENOMEM, "cannot allocate %d series", a->n);
    for (int32_t i = 0; i < a->n; i++) {
        for (int32_t j = 0; j < b->n; j++) {
            if (a->files[i].info.seed != b->files[j].info.seed) continue;
            moe_try(series_of_run(list, &a->files[i], name, &out->runs[out->seeds++], err));
            moe_try(series_of_run(list, &b->files[j], name, &other, err));
            subtract(&out->runs[out->seeds - 1], &other);
            series_free(&other);
        }
    }
    moe_check(out->seeds > 0, err, MOE_ENOTFOUND, "%s/%s and %s/%s %s have no seed in common", a->suite,
              a->experiment, b->suite, b->experiment, b->protocol);
    moe_try(series_group_begin(out, err));
out:
    series_free(&other);
    if (status != MOE_OK) series_group_free(out);
    return status;
}

void series_group_free(struct series_group *s) {
    for (int32_t i = 0; i < s->seeds; i++)
        series_free(&s->runs[i]);
    free(s->runs);
    free(s->x); /* mean, low and high lie behind it */
    *s = (struct series_group){0};
}

moe_status usage_of_run(struct run_list *list, const struct run_file *file, int32_t layer, struct usage *out,
                        moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *load = NULL;
    double per_epoch = 1.0;
    int32_t row = 0;
    int64_t dims[4];
    *out = (struct usage){0};
    moe_try(series_layer_row(list, file, layer, &row, err));
    moe_try(steps_per_epoch(list, file, &per_epoch, err));
    moe_try(read_rows(list, file, "/routing_eval/step", -1, &step, dims, err));
    const int64_t n = dims[0];
    moe_try(read_rows(list, file, "/routing_eval/load", n, &load, dims, err));
    const int64_t experts = dims[2];
    out->x = calloc((size_t)n + 1, sizeof *out->x);
    out->shares = calloc((size_t)(n * experts) + 1, sizeof *out->shares);
    moe_check(out->x != NULL && out->shares != NULL, err, MOE_ENOMEM,
              "cannot allocate the usage of %lld experts", (long long)experts);
    out->n = (int32_t)n;
    out->experts = (int32_t)experts;
    for (int64_t i = 0; i < n; i++) {
        const double *from = load + (i * dims[1] + row) * experts;
        double sum = 0.0;
        for (int64_t e = 0; e < experts; e++)
            sum += from[e] > 0.0 ? from[e] : 0.0; /* -1: the layer has no such expert */
        for (int64_t e = 0; e < experts; e++)
            out->shares[i * experts + e] = sum > 0.0 && from[e] > 0.0 ? from[e] / sum : 0.0;
        out->x[i] = step[i] / per_epoch;
    }
out:
    free(step);
    free(load);
    if (status != MOE_OK) usage_free(out);
    return status;
}

void usage_free(struct usage *u) {
    free(u->x);
    free(u->shares);
    *u = (struct usage){0};
}
