#include "analysis/series_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum step_kind {
    STEP_TRAIN,   /* a column of /train */
    STEP_ROUTER,  /* a column of /train that speaks of routers */
    STEP_EVAL,    /* a column of /eval, domain 0 */
    STEP_COURSE,  /* a column of /eval, domain COURSE */
    STEP_TIMING,  /* a column of /timing */
    STEP_ROUTING, /* a column of /routing, by layer */
    STEP_DROPPED  /* dropped slots over all slots, by layer */
};

/* The domain of an image classifier's training batches. */
#define COURSE "training batches"

struct step_series {
    const char *name;
    enum step_kind kind;
    const char *dataset;
    const char *over; /* divided by this column of the same series; NULL = as it is */
};

static const struct step_series table[] = {
    {"step_train_loss", STEP_TRAIN, "/train/loss", NULL},
    {"step_train_ce", STEP_TRAIN, "/train/loss_ce", NULL},
    {"step_grad_norm", STEP_TRAIN, "/train/grad_norm", NULL},
    {"step_router_grad_norm", STEP_ROUTER, "/train/router_grad_norm", NULL},
    {"step_router_grad_share", STEP_ROUTER, "/train/router_grad_norm", "/train/grad_norm"},
    {"step_eval_loss", STEP_EVAL, "/eval/loss", NULL},
    {"step_eval_ce", STEP_EVAL, "/eval/loss_ce", NULL},
    {"step_eval_accuracy", STEP_EVAL, "/eval/accuracy", NULL},
    {"step_course_ce", STEP_COURSE, "/eval/loss_ce", NULL},
    {"step_course_aux", STEP_COURSE, "/eval/loss_aux", NULL},
    {"step_course_accuracy", STEP_COURSE, "/eval/accuracy", NULL},
    {"step_wall_seconds", STEP_TIMING, "/timing/step_seconds", NULL},
    {"step_usage_entropy", STEP_ROUTING, "/routing/entropy_usage", NULL},
    {"step_token_entropy", STEP_ROUTING, "/routing/entropy_token", NULL},
    {"step_gini", STEP_ROUTING, "/routing/gini", NULL},
    {"step_cv2", STEP_ROUTING, "/routing/cv2", NULL},
    {"step_max_over_mean", STEP_ROUTING, "/routing/max_over_mean", NULL},
    {"step_dropped_share", STEP_DROPPED, "/routing/dropped", NULL},
};

static const struct step_series *find(const char *stem) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, stem) == 0) return &table[i];
    return NULL;
}

static bool by_layer(const struct step_series *info) {
    return info->kind == STEP_ROUTING || info->kind == STEP_DROPPED;
}

bool series_steps_has(const char *stem) {
    return find(stem) != NULL;
}

bool series_steps_is_layered(const char *stem) {
    const struct step_series *info = find(stem);
    return info != NULL && by_layer(info);
}

/* A dataset of `rows` rows. */
static moe_status read_rows(struct run_list *list, const struct run_file *file, const char *name,
                            int64_t rows, double **out, int64_t dims[4], moe_err *err) {
    moe_status status = MOE_OK;
    int32_t rank = 0;
    moe_try(run_list_array(list, file, name, out, dims, &rank, err));
    moe_check(rank >= 1 && dims[0] == rows, err, MOE_EFORMAT, "%s: %s has %lld rows, expected %lld",
              file->path, name, rank >= 1 ? (long long)dims[0] : 0LL, (long long)rows);
out:
    return status;
}

/* The positions: /train/step, /timing/step, /eval/step, /routing/step. */
static moe_status read_steps(struct run_list *list, const struct run_file *file, const char *name,
                             struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(list, file, name, &out->x, dims, &rank, err));
    moe_check(rank == 1 && dims[0] <= INT32_MAX, err, MOE_EFORMAT, "%s: %s is not a list of steps",
              file->path, name);
    out->n = (int32_t)dims[0];
out:
    return status;
}

static moe_status of_train(struct run_list *list, const struct run_file *file, const struct step_series *info,
                           struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *over = NULL;
    int64_t dims[4];
    moe_check(info->kind != STEP_ROUTER || file->info.axes.moe_layers > 0, err, MOE_ENOTFOUND,
              "%s: %s: the model has no router", file->path, info->name);
    moe_try(read_steps(list, file, info->kind == STEP_TIMING ? "/timing/step" : "/train/step", out, err));
    moe_try(read_rows(list, file, info->dataset, out->n, &out->y, dims, err));
    if (info->over == NULL) goto out;
    moe_try(read_rows(list, file, info->over, out->n, &over, dims, err));
    for (int32_t i = 0; i < out->n; i++)
        out->y[i] /= over[i];
out:
    free(over);
    return status;
}

static moe_status of_eval(struct run_list *list, const struct run_file *file, const struct step_series *info,
                          struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *domain = NULL;
    double wanted = 0.0;
    int64_t dims[4];
    if (info->kind != STEP_EVAL) wanted = run_list_domain(list, file, COURSE);
    moe_check(wanted >= 0, err, MOE_ENOTFOUND, "%s: %s: the run has no domain \"%s\"", file->path, info->name,
              COURSE);
    moe_try(read_steps(list, file, "/eval/step", out, err));
    const int32_t rows = out->n;
    moe_try(read_rows(list, file, "/eval/domain", rows, &domain, dims, err));
    moe_try(read_rows(list, file, info->dataset, rows, &out->y, dims, err));
    out->n = 0;
    for (int32_t i = 0; i < rows; i++) {
        if (domain[i] != wanted) continue;
        out->x[out->n] = out->x[i];
        out->y[out->n++] = out->y[i];
    }
out:
    free(domain);
    return status;
}

/* Slots of a layer in a row of /routing: -1 stands for an expert that the layer lacks. */
static double slots_of(const double *load, int64_t experts) {
    double sum = 0.0;
    for (int64_t e = 0; e < experts; e++)
        sum += load[e] > 0.0 ? load[e] : 0.0;
    return sum;
}

/* One layer or the mean over layers of a column; of dropped slots the share of all slots of these layers. */
static moe_status of_routing(struct run_list *list, const struct run_file *file,
                             const struct step_series *info, int32_t row, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *value = NULL;
    double *load = NULL;
    int64_t dims[4];
    const int32_t layers = file->info.axes.moe_layers;
    const int32_t begin = row < 0 ? 0 : row;
    const int32_t end = row < 0 ? layers : row + 1;
    moe_check(layers > 0, err, MOE_ENOTFOUND, "%s: %s: the model has no router", file->path, info->name);
    moe_try(read_steps(list, file, "/routing/step", out, err));
    moe_try(read_rows(list, file, info->dataset, out->n, &value, dims, err));
    if (info->kind == STEP_DROPPED) moe_try(read_rows(list, file, "/routing/load", out->n, &load, dims, err));
    const int64_t experts = file->info.axes.experts;
    out->y = calloc((size_t)out->n + 1, sizeof *out->y);
    moe_check(out->y != NULL, err, MOE_ENOMEM, "cannot allocate a series of %d values", out->n);
    for (int32_t i = 0; i < out->n; i++) {
        double sum = 0.0;
        double weight = load == NULL ? end - begin : 0.0;
        for (int32_t l = begin; l < end; l++) {
            sum += value[(int64_t)i * layers + l];
            if (load != NULL) weight += slots_of(load + ((int64_t)i * layers + l) * experts, experts);
        }
        out->y[i] = sum / weight;
    }
out:
    free(value);
    free(load);
    return status;
}

/* Means of max_bins runs of neighbours, whose lengths differ by one row at most. */
static void bin(struct series *s, int32_t max_bins) {
    if (max_bins <= 0 || s->n <= max_bins) return;
    for (int32_t b = 0; b < max_bins; b++) {
        const int32_t begin = (int32_t)((int64_t)s->n * b / max_bins);
        const int32_t end = (int32_t)((int64_t)s->n * (b + 1) / max_bins);
        double x = 0.0;
        double y = 0.0;
        for (int32_t i = begin; i < end; i++) {
            x += s->x[i];
            y += s->y[i];
        }
        s->x[b] = x / (end - begin);
        s->y[b] = y / (end - begin);
    }
    s->n = max_bins;
}

moe_status series_steps_of_run(struct run_list *list, const struct run_file *file, const char *stem,
                               int32_t row, int32_t max_bins, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct step_series *info = find(stem);
    *out = (struct series){0};
    moe_check(info != NULL, err, MOE_ENOTFOUND, "no series \"%s\"; see analysis/series.h", stem);
    if (by_layer(info)) {
        moe_try(of_routing(list, file, info, row, out, err));
    } else if (info->kind == STEP_EVAL || info->kind == STEP_COURSE) {
        moe_try(of_eval(list, file, info, out, err));
    } else {
        moe_try(of_train(list, file, info, out, err));
    }
    bin(out, max_bins);
out:
    if (status != MOE_OK) series_free(out);
    return status;
}
