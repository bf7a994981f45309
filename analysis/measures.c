#include "analysis/measures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "analysis/series_steps.h"
#include "core/text.h"

enum measure_kind {
    MEASURE_COUNT,       /* a number of the parameter counts; argument: its key */
    MEASURE_BEST,        /* smallest value of the series */
    MEASURE_BEST_EPOCH,  /* its position */
    MEASURE_AT_BEST,     /* the series' value where eval_loss is smallest */
    MEASURE_LAST,        /* its last value */
    MEASURE_MEDIAN,      /* its median over epochs: a machine that is busy for an epoch does not count */
    MEASURE_TIMED,       /* forward + backward + optimizer, median over epochs */
    MEASURE_BACK_RATIO,  /* backward / forward, median over epochs */
    MEASURE_EPOCHS,      /* epochs trained */
    MEASURE_PEAK_MEMORY, /* last value of /timing/epoch/peak_memory */
    MEASURE_SHARE,       /* smallest (argument "min") or largest share of an expert at the end */
    MEASURE_WHOLE,       /* mean of a series over all recorded steps */
    MEASURE_LATE,        /* over the last quarter of them */
    MEASURE_FINAL,       /* over the last twentieth */
    MEASURE_STEP_MEDIAN  /* median over all steps of a column of /timing */
};

struct measure_rule {
    enum measure_kind kind;
    const char *argument;
};

const struct measure_info measure_infos[] = {
    {"parameters", "", "parameters of the model", false},
    {"active_parameters", "", "parameters that one token passes through", false},
    {"best_loss", "nats/token",
     "smallest validation loss, as early stopping sees it under the run's protocol", false},
    {"best_epoch", "epochs", "epochs done at the smallest validation loss", false},
    {"ce_at_best_loss", "nats/token",
     "validation cross-entropy alone at the epoch of the smallest validation loss", false},
    {"best_ce", "nats/token", "smallest validation cross-entropy alone", false},
    {"aux_at_best_loss", "nats/token", "auxiliary loss counted into the smallest validation loss", false},
    {"accuracy_at_best_loss", "1", "validation accuracy at the epoch of the smallest validation loss", false},
    {"last_loss", "nats/token", "validation loss after the last epoch", false},
    {"last_ce", "nats/token", "validation cross-entropy alone after the last epoch", false},
    {"last_answers", "1", "share of multiple-choice questions answered rightly after the last epoch", false},
    {"best_train_loss", "nats/token", "smallest epoch mean of the training loss", false},
    {"best_train_ce", "nats/token", "smallest epoch mean of the training cross-entropy", false},
    {"last_train_ce", "nats/token", "training cross-entropy, mean of the last epoch", false},
    {"tokens_per_second", "tokens/s", "training tokens over wall clock of the steps, median of the epochs",
     false},
    {"forward_seconds", "s", "forward passes of an epoch, median of the epochs", false},
    {"backward_seconds", "s", "backward passes of an epoch, median of the epochs", false},
    {"optimizer_seconds", "s", "clipping and parameter updates of an epoch, median of the epochs", false},
    {"timed_seconds", "s", "forward, backward and optimizer of an epoch, median of the epochs", false},
    {"step_seconds", "s", "wall clock of the steps of an epoch, median of the epochs", false},
    {"median_step_seconds", "s", "wall clock of a step, median of all steps", false},
    {"backward_over_forward", "1", "backward time over forward time of an epoch, median of the epochs",
     false},
    {"epochs", "epochs", "epochs trained", false},
    {"peak_memory", "bytes", "largest memory in use", false},
    {"usage_entropy", "nats", "entropy of the experts' shares of load on the validation split, at the end",
     true},
    {"token_entropy", "nats",
     "mean entropy of a token's router distribution on the validation split, at the end", true},
    {"gini", "1", "Gini coefficient of load on the validation split, at the end", true},
    {"cv2", "1", "squared coefficient of variation of load on the validation split, at the end", true},
    {"max_over_mean", "1", "largest over mean load on the validation split, at the end", true},
    {"min_share", "1", "smallest share of an expert on the validation split, at the end", true},
    {"max_share", "1", "largest share of an expert on the validation split, at the end", true},
    {"final_train_loss", "nats/token", "loss that is minimised, mean of the last twentieth of the steps",
     false},
    {"final_train_ce", "nats/token", "training cross-entropy, mean of the last twentieth of the steps",
     false},
    {"mean_router_grad_norm", "1", "gradient norm of all routers before clipping, mean of the steps", false},
    {"late_router_grad_norm", "1",
     "gradient norm of all routers before clipping, mean of the last quarter of the steps", false},
    {"late_router_grad_share", "1",
     "gradient norm of all routers over that of the model, mean of the last quarter of the steps", false},
    {"late_grad_norm", "1", "gradient norm before clipping, mean of the last quarter of the steps", false},
    {"late_usage_entropy", "nats",
     "entropy of the experts' shares of a training batch, mean of the last quarter of the steps", true},
    {"late_token_entropy", "nats",
     "entropy of a token's router distribution in training, mean of the last quarter of the steps", true},
    {"late_imbalance", "1",
     "largest over mean load of a training batch, mean of the last quarter of the steps", true},
    {"dropped_share", "1", "share of the slots dropped for lack of capacity in training", true},
    {"late_dropped_share", "1",
     "share of the slots dropped for lack of capacity in the last quarter of the steps", true},
};

/* In the order of measure_infos; names of series by epoch get the layer appended. */
static const struct measure_rule rules[] = {
    {MEASURE_COUNT, "total"},
    {MEASURE_COUNT, "active"},
    {MEASURE_BEST, "eval_loss"},
    {MEASURE_BEST_EPOCH, "eval_loss"},
    {MEASURE_AT_BEST, "eval_ce"},
    {MEASURE_BEST, "eval_ce"},
    {MEASURE_AT_BEST, "eval_aux"},
    {MEASURE_AT_BEST, "eval_accuracy"},
    {MEASURE_LAST, "eval_loss"},
    {MEASURE_LAST, "eval_ce"},
    {MEASURE_LAST, "eval_answers"},
    {MEASURE_BEST, "train_loss"},
    {MEASURE_BEST, "train_ce"},
    {MEASURE_LAST, "train_ce"},
    {MEASURE_MEDIAN, "tokens_per_second"},
    {MEASURE_MEDIAN, "forward_seconds"},
    {MEASURE_MEDIAN, "backward_seconds"},
    {MEASURE_MEDIAN, "optimizer_seconds"},
    {MEASURE_TIMED, NULL},
    {MEASURE_MEDIAN, "step_seconds"},
    {MEASURE_STEP_MEDIAN, "/timing/step_seconds"},
    {MEASURE_BACK_RATIO, NULL},
    {MEASURE_EPOCHS, NULL},
    {MEASURE_PEAK_MEMORY, NULL},
    {MEASURE_LAST, "usage_entropy"},
    {MEASURE_LAST, "token_entropy"},
    {MEASURE_LAST, "gini"},
    {MEASURE_LAST, "cv2"},
    {MEASURE_LAST, "max_over_mean"},
    {MEASURE_SHARE, "min"},
    {MEASURE_SHARE, "max"},
    {MEASURE_FINAL, "step_train_loss"},
    {MEASURE_FINAL, "step_train_ce"},
    {MEASURE_WHOLE, "step_router_grad_norm"},
    {MEASURE_LATE, "step_router_grad_norm"},
    {MEASURE_LATE, "step_router_grad_share"},
    {MEASURE_LATE, "step_grad_norm"},
    {MEASURE_LATE, "step_usage_entropy"},
    {MEASURE_LATE, "step_token_entropy"},
    {MEASURE_LATE, "step_max_over_mean"},
    {MEASURE_WHOLE, "step_dropped_share"},
    {MEASURE_LATE, "step_dropped_share"},
};

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))
_Static_assert(sizeof measure_infos / sizeof measure_infos[0] == sizeof rules / sizeof rules[0],
               "every measure has a rule");

const int32_t measure_count = COUNT(measure_infos);

/* ".12" */
static bool names_layer(const char *text) {
    const size_t digits = text[0] == '.' ? strspn(text + 1, "0123456789") : 0;
    return digits > 0 && digits < 6 && text[1 + digits] == '\0';
}

/* The 12 of ".12" */
static int32_t layer_number(const char *text) {
    return (int32_t)strtol(text + 1, NULL, 10);
}

/* A number of the parameter counts. */
static moe_status read_count(struct run_list *list, const struct run_file *file, const char *key, double *out,
                             moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *config, *counts;
    moe_try(run_list_json(list, file, &config, &counts, err));
    const json_t *value = json_object_get(counts, key);
    moe_check(json_is_number(value), err, MOE_ENOTFOUND, "%s: the parameter counts have no \"%s\"",
              file->path, key);
    *out = json_number_value(value);
out:
    return status;
}

static int32_t smallest(const struct series *s) {
    int32_t best = 0;
    for (int32_t i = 1; i < s->n; i++)
        if (s->y[i] < s->y[best]) best = i;
    return best;
}

/* Sorts the values in place. */
static double series_median(struct series *s) {
    stats_sort(s->y, s->n);
    return stats_quantile_sorted(s->y, s->n, 0.5);
}

/* A number of one series, or of one series and eval_loss. */
static moe_status of_series(struct run_list *list, const struct run_file *file, enum measure_kind kind,
                            const char *name, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct series s = {0};
    struct series loss = {0};
    moe_try(series_of_run(list, file, name, &s, err));
    moe_check(s.n > 0, err, MOE_ENOTFOUND, "%s: no values of %s", file->path, name);
    switch (kind) {
    case MEASURE_BEST:
        *out = s.y[smallest(&s)];
        break;
    case MEASURE_BEST_EPOCH:
        *out = s.x[smallest(&s)];
        break;
    case MEASURE_MEDIAN:
        *out = series_median(&s);
        break;
    case MEASURE_AT_BEST:
        moe_try(series_of_run(list, file, "eval_loss", &loss, err));
        moe_check(loss.n == s.n, err, MOE_EFORMAT, "%s: eval_loss has %d values, %s %d", file->path, loss.n,
                  name, s.n);
        *out = s.y[smallest(&loss)];
        break;
    default:
        *out = s.y[s.n - 1];
    }
out:
    series_free(&s);
    series_free(&loss);
    return status;
}

/* Median over epochs of forward + backward + optimizer, or of backward / forward. */
static moe_status of_timing(struct run_list *list, const struct run_file *file, enum measure_kind kind,
                            double *out, moe_err *err) {
    static const char *const names[] = {"forward_seconds", "backward_seconds", "optimizer_seconds"};
    moe_status status = MOE_OK;
    struct series parts[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        moe_try(series_of_run(list, file, names[i], &parts[i], err));
        moe_check(parts[i].n > 0 && parts[i].n == parts[0].n, err, MOE_EFORMAT, "%s: %s has %d values, %s %d",
                  file->path, names[i], parts[i].n, names[0], parts[0].n);
    }
    for (int32_t e = 0; e < parts[0].n; e++) {
        const double forward = parts[0].y[e];
        const double backward = parts[1].y[e];
        parts[0].y[e] = kind == MEASURE_BACK_RATIO ? backward / forward : forward + backward + parts[2].y[e];
    }
    *out = series_median(&parts[0]);
out:
    for (int i = 0; i < 3; i++)
        series_free(&parts[i]);
    return status;
}

static moe_status of_epochs(struct run_list *list, const struct run_file *file, enum measure_kind kind,
                            double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(list, file, kind == MEASURE_EPOCHS ? "/train/epoch" : "/timing/epoch/peak_memory",
                           &values, dims, &rank, err));
    moe_check(dims[0] > 0, err, MOE_ENOTFOUND, "%s: the run has no epochs", file->path);
    *out = values[dims[0] - 1] + (kind == MEASURE_EPOCHS ? 1.0 : 0.0);
out:
    free(values);
    return status;
}

/* Of one layer. */
static moe_status layer_share(struct run_list *list, const struct run_file *file, int32_t layer, bool largest,
                              double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct usage usage = {0};
    moe_try(usage_of_run(list, file, layer, &usage, err));
    moe_check(usage.n > 0, err, MOE_ENOTFOUND, "%s: no evaluation recorded its routing", file->path);
    const double *last = usage.shares + (int64_t)(usage.n - 1) * usage.experts;
    *out = last[0];
    for (int32_t e = 1; e < usage.experts; e++)
        if (largest ? last[e] > *out : last[e] < *out) *out = last[e];
out:
    usage_free(&usage);
    return status;
}

static moe_status of_shares(struct run_list *list, const struct run_file *file, const char *layer,
                            bool largest, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    const int32_t layers = file->info.axes.moe_layers;
    double sum = 0.0;
    if (layer[0] != '\0') return layer_share(list, file, layer_number(layer), largest, out, err);
    moe_check(layers > 0, err, MOE_ENOTFOUND, "%s: the model has no router", file->path);
    for (int32_t row = 0; row < layers; row++) {
        double share = 0.0;
        moe_try(run_list_reader(list, file, &reader, err));
        const int32_t number = run_reader_layer_number(reader, row);
        moe_try(layer_share(list, file, number, largest, &share, err));
        sum += share;
    }
    *out = sum / layers;
out:
    return status;
}

/* Mean of the last steps of a series by step. */
static moe_status of_steps(struct run_list *list, const struct run_file *file, enum measure_kind kind,
                           const char *name, const char *layer, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct series s = {0};
    int32_t row = -1;
    const double part = kind == MEASURE_WHOLE ? 1.0 : kind == MEASURE_LATE ? 0.25 : 0.05;
    if (layer[0] != '\0') moe_try(series_layer_row(list, file, layer_number(layer), &row, err));
    moe_try(series_steps_of_run(list, file, name, row, 0, &s, err));
    moe_check(s.n > 0, err, MOE_ENOTFOUND, "%s: no values of %s", file->path, name);
    const int32_t taken = (int32_t)ceil(part * s.n);
    *out = stats_mean(s.y + s.n - taken, taken);
out:
    series_free(&s);
    return status;
}

static moe_status step_median(struct run_list *list, const struct run_file *file, const char *dataset,
                              double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(list, file, dataset, &values, dims, &rank, err));
    moe_check(dims[0] > 0 && dims[0] <= INT32_MAX, err, MOE_ENOTFOUND, "%s: no values of %s", file->path,
              dataset);
    stats_sort(values, (int32_t)dims[0]);
    *out = stats_quantile_sorted(values, (int32_t)dims[0], 0.5);
out:
    free(values);
    return status;
}

static moe_status no_such_measure(const char *name, moe_err *err) {
    const char *names[COUNT(measure_infos)];
    char stem[64];
    const size_t length = strcspn(name, ".");
    const size_t kept = length < sizeof stem ? length : sizeof stem - 1;
    memcpy(stem, name, kept);
    stem[kept] = '\0';
    const char *nearest = NULL;
    for (int32_t i = 0; i < measure_count; i++) {
        names[i] = measure_infos[i].name;
        if (strcmp(names[i], stem) == 0 && measure_infos[i].layered)
            return moe_fail(err, MOE_ENOTFOUND, "measure \"%s\": expected a decoder layer: %s.2", name, stem);
        if (strcmp(names[i], stem) == 0)
            return moe_fail(err, MOE_ENOTFOUND, "measure \"%s\" takes no layer: %s", name, stem);
    }
    nearest = text_nearest(stem, names, (size_t)measure_count);
    if (nearest == NULL) return moe_fail(err, MOE_ENOTFOUND, "no measure \"%s\"", name);
    return moe_fail(err, MOE_ENOTFOUND, "no measure \"%s\"; did you mean \"%s\"?", name, nearest);
}

static moe_status compute(struct run_list *list, const struct run_file *file, const struct measure_rule *rule,
                          const char *layer, double *out, moe_err *err) {
    char series[64];
    switch (rule->kind) {
    case MEASURE_COUNT:
        return read_count(list, file, rule->argument, out, err);
    case MEASURE_TIMED:
    case MEASURE_BACK_RATIO:
        return of_timing(list, file, rule->kind, out, err);
    case MEASURE_EPOCHS:
    case MEASURE_PEAK_MEMORY:
        return of_epochs(list, file, rule->kind, out, err);
    case MEASURE_SHARE:
        return of_shares(list, file, layer, strcmp(rule->argument, "max") == 0, out, err);
    case MEASURE_WHOLE:
    case MEASURE_LATE:
    case MEASURE_FINAL:
        return of_steps(list, file, rule->kind, rule->argument, layer, out, err);
    case MEASURE_STEP_MEDIAN:
        return step_median(list, file, rule->argument, out, err);
    default:
        snprintf(series, sizeof series, "%s%s", rule->argument, layer);
        return of_series(list, file, rule->kind, series, out, err);
    }
}

moe_status measure_of_run(struct run_list *list, const struct run_file *file, const char *name,
                          double *out_value, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t stem = strcspn(name, ".");
    for (int32_t i = 0; i < measure_count; i++) {
        const struct measure_info *info = &measure_infos[i];
        if (strlen(info->name) != stem || strncmp(info->name, name, stem) != 0) continue;
        if (name[stem] != '\0' && !(info->layered && names_layer(name + stem))) break;
        moe_try(compute(list, file, &rules[i], name + stem, out_value, err));
        moe_check(isfinite(*out_value), err, MOE_ENUMERIC, "%s: %s is not a finite number", file->path, name);
        goto out;
    }
    status = no_such_measure(name, err);
out:
    return status;
}
