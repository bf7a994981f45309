#include "analysis/claims_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/domain_losses.h"
#include "analysis/expert_shares.h"
#include "analysis/load_change.h"
#include "analysis/measures.h"
#include "analysis/series.h"
#include "analysis/train_log.h"
#include "core/text.h"
#include "core/toml_shim.h"

#define MAX_EXPERIMENTS 64

/* An evaluation for one seed; protocol NULL: without runs. */
struct run_scope {
    const struct claim_names *names;
    const char *protocol;
    uint64_t seed;
};

/* The experiments that an expression names, each once. */
struct experiments {
    char names[MAX_EXPERIMENTS][EXPR_NAME_MAX];
    int32_t count;
};

moe_status claim_names_open(struct report *report, const char *source, const char *suite,
                            struct claim_names *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct text path = {0};
    *out = (struct claim_names){.report = report, .suite = suite};
    moe_try(report_published(report, source, &out->published, err));
    moe_try(audit_open(report->paper_dir, source, out->published, &out->audit, err));
    text_append(&path, "%s/claims/margins.toml", report->paper_dir);
    moe_try(text_take(&path, &out->margins_path, err));
    moe_try(toml_parse_file(out->margins_path, &out->margins, NULL, err));
out:
    text_free(&path);
    if (status != MOE_OK) claim_names_close(out);
    return status;
}

void claim_names_close(struct claim_names *names) {
    audit_close(names->audit);
    json_decref(names->margins);
    free(names->margins_path);
    *names = (struct claim_names){0};
}

static moe_status one_number(double number, double **out_values, int32_t *out_count, moe_err *err) {
    *out_values = malloc(sizeof **out_values);
    if (*out_values == NULL) return moe_fail(err, MOE_ENOMEM, "no memory for a number");
    **out_values = number;
    *out_count = 1;
    return MOE_OK;
}

/* ---------------------------------------------------------------- names without a run */

static moe_status resolve_plain(const struct claim_names *names, const char *name, double **out_values,
                                int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    double number = 0.0;
    if (strncmp(name, "margin.", 7) == 0) {
        const json_t *value = json_object_get(json_object_get(names->margins, name + 7), "value");
        moe_check(json_is_number(value), err, MOE_ENOTFOUND, "%s: no margin %s", names->margins_path,
                  name + 7);
        number = json_number_value(value);
    } else if (strncmp(name, "audit.", 6) == 0) {
        moe_try(audit_number(names->audit, name + 6, &number, err));
    } else if (published_array(names->published, name, out_values, out_count, NULL) == MOE_OK) {
        goto out;
    } else {
        moe_try(published_number(names->published, name, &number, err));
    }
    status = one_number(number, out_values, out_count, err);
out:
    return status;
}

/* ---------------------------------------------------------------- names of one run */

/* ".0.100" behind a word: its numbers. */
static moe_status numbers_behind(const char *name, const char *word, int32_t least, int32_t most,
                                 int64_t *out_numbers, int32_t *out_count, moe_err *err) {
    const char *at = name + strlen(word);
    int32_t n = 0;
    while (*at == '.' && n < most) {
        const size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0 || digits > 9) break;
        out_numbers[n++] = strtol(at + 1, NULL, 10);
        at += 1 + digits;
    }
    *out_count = n;
    if (*at == '\0' && n >= least) return MOE_OK;
    return moe_fail(err, MOE_ECONFIG, "%s: expected whole numbers behind %s; see analysis/claims_names.h",
                    name, word);
}

/* shares.LAYER, shares.LAYER.STEP; the same of mass. */
static moe_status shares_at(struct run_list *runs, const struct run_file *file, const char *name,
                            const char *word, enum share_of what, double **out_values, int32_t *out_count,
                            moe_err *err) {
    moe_status status = MOE_OK;
    int64_t numbers[2] = {0};
    int32_t n = 0;
    moe_try(numbers_behind(name, word, 1, 2, numbers, &n, err));
    moe_try(expert_shares_at(runs, file, what, (int32_t)numbers[0], n == 2 ? numbers[1] : -1, out_values,
                             out_count, err));
out:
    return status;
}

/* train_shares.LAYER.FROM.TO; the same of mass. */
static moe_status shares_trained(struct run_list *runs, const struct run_file *file, const char *name,
                                 const char *word, enum share_of what, double **out_values,
                                 int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t numbers[3] = {0};
    int32_t n = 0;
    moe_try(numbers_behind(name, word, 3, 3, numbers, &n, err));
    moe_check(numbers[1] < numbers[2] && numbers[2] <= 100, err, MOE_ECONFIG,
              "%s: expected a layer and two percentages of the training", name);
    moe_try(expert_shares_trained(runs, file, what, (int32_t)numbers[0], (double)numbers[1] / 100.0,
                                  (double)numbers[2] / 100.0, out_values, out_count, err));
out:
    return status;
}

/* log.COLUMN, log.COLUMN.STEP */
static moe_status log_of(struct run_list *runs, const struct run_file *file, const char *name, double *out,
                         moe_err *err) {
    moe_status status = MOE_OK;
    double line[LOG_COLUMNS];
    char word[64];
    int64_t step = -1;
    int32_t n = 0;
    int32_t column = 0;
    snprintf(word, sizeof word, "log.%.*s", (int)strcspn(name + 4, "."), name + 4);
    while (column < LOG_COLUMNS && strcmp(word + 4, train_log_names[column]) != 0)
        column++;
    moe_check(column < LOG_COLUMNS, err, MOE_ECONFIG,
              "%s: expected log.loss, log.moe_loss, log.accuracy or "
              "log.seconds",
              name);
    moe_try(numbers_behind(name, word, 0, 1, &step, &n, err));
    moe_try(train_log_at(runs, file, n == 1 ? step : -1, line, err));
    *out = line[column];
out:
    return status;
}

/* rows.routing.load: rows of /routing/load */
static moe_status rows_of(struct run_list *runs, const struct run_file *file, const char *dotted, double *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    char path[EXPR_NAME_MAX + 1];
    int64_t dims[4] = {0};
    int32_t rank = 0;
    snprintf(path, sizeof path, "/%s", dotted);
    for (char *c = path; *c != '\0'; c++)
        if (*c == '.') *c = '/';
    moe_try(run_list_array(runs, file, path, &values, dims, &rank, err));
    *out = rank > 0 ? (double)dims[0] : 0.0;
out:
    free(values);
    return status;
}

/* Which layers ".shallow" and so on stand for. */
enum layer_group { LAYERS_SHALLOW = 0, LAYERS_DEEP, LAYERS_LEAST, LAYERS_MOST, LAYER_GROUPS };
static const char *const layer_groups[LAYER_GROUPS] = {"shallow", "deep", "least", "most"};

/* Adds a layer's series to the group's, position by position. */
static moe_status join_layer(struct series *all, const struct series *one, enum layer_group group,
                             const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(one->n == all->n, err, MOE_EFORMAT, "%s: layers with %d and %d values", path, all->n, one->n);
    for (int32_t i = 0; i < all->n; i++)
        all->y[i] = group == LAYERS_LEAST  ? fmin(all->y[i], one->y[i])
                    : group == LAYERS_MOST ? fmax(all->y[i], one->y[i])
                                           : all->y[i] + one->y[i];
out:
    return status;
}

/* A series by layer over a group of layers: the mean of the first or the last half of those that route, or
 * the least or the most of any, position by position. */
static moe_status series_of_layers(struct run_list *runs, const struct run_file *file, const char *stem,
                                   enum layer_group group, struct series *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct series one = {0};
    char name[EXPR_NAME_MAX];
    const int32_t layers = file->info.axes.moe_layers;
    const int32_t half = layers > 1 ? layers / 2 : layers;
    const int32_t begin = group == LAYERS_DEEP ? layers - half : 0;
    const int32_t end = group == LAYERS_SHALLOW ? half : layers;
    moe_check(layers > 0, err, MOE_ENOTFOUND, "%s: %s.%s: the model has no router", file->path, stem,
              layer_groups[group]);
    for (int32_t row = begin; row < end; row++) {
        moe_try(run_list_reader(runs, file, &reader, err));
        snprintf(name, sizeof name, "%.*s.%d", EXPR_NAME_MAX - 16, stem,
                 run_reader_layer_number(reader, row));
        moe_try(series_of_run(runs, file, name, row == begin ? out : &one, err));
        if (row == begin) continue;
        moe_try(join_layer(out, &one, group, file->path, err));
        series_free(&one);
    }
    for (int32_t i = 0; i < out->n && group <= LAYERS_DEEP; i++)
        out->y[i] /= end - begin;
out:
    series_free(&one);
    return status;
}

/* NAME[]: takes the series' values. */
static moe_status series_values(struct run_list *runs, const struct run_file *file, const char *name,
                                double **out_values, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct series series = {0};
    char stem[EXPR_NAME_MAX];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - 2), name);
    char *layers = strchr(stem, '.');
    int32_t group = LAYER_GROUPS;
    for (int32_t g = 0; g < LAYER_GROUPS && layers != NULL; g++)
        if (strcmp(layers + 1, layer_groups[g]) == 0) group = g;
    if (group < LAYER_GROUPS) {
        *layers = '\0';
        moe_try(series_of_layers(runs, file, stem, (enum layer_group)group, &series, err));
    } else if (strcmp(stem, "load_change") == 0) {
        moe_try(load_change_of_run(runs, file, &series, err));
    } else {
        moe_try(series_of_run(runs, file, stem, &series, err));
    }
    *out_values = series.y;
    *out_count = series.n;
    series.y = NULL;
out:
    series_free(&series);
    return status;
}

/* config_is.moe.router.sigmoid: 1 if the configuration has this word there, else 0. */
static moe_status config_is(struct report *report, const struct run_file *file, const char *name, double *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    bool is = false;
    char key[EXPR_NAME_MAX];
    const char *dot = strchr(name, '.');
    const char *word = dot != NULL ? strchr(dot + 1, '.') : NULL;
    moe_check(word != NULL, err, MOE_ECONFIG, "config_is.%s: expected config_is.SECTION.KEY.WORD", name);
    snprintf(key, sizeof key, "%.*s", (int)(word - name), name);
    moe_try(report_config_is(report, file, key, word + 1, &is, err));
    *out = is;
out:
    return status;
}

/* Names of vectors over the experts of a layer. */
static const struct share_name {
    const char *word;
    enum share_of what;
    moe_status (*of)(struct run_list *, const struct run_file *, const char *, const char *, enum share_of,
                     double **, int32_t *, moe_err *);
} share_names[] = {{"shares", SHARE_OF_SLOTS, shares_at},
                   {"mass", SHARE_OF_MASS, shares_at},
                   {"train_shares", SHARE_OF_SLOTS, shares_trained},
                   {"train_mass", SHARE_OF_MASS, shares_trained}};

static moe_status resolve_run(const struct claim_names *names, const struct run_file *file, const char *name,
                              double **out_values, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_list *runs = names->report->runs;
    const size_t length = strlen(name);
    double number = 0.0;
    if (length > 2 && strcmp(name + length - 2, "[]") == 0)
        return series_values(runs, file, name, out_values, out_count, err);
    for (size_t i = 0; i < sizeof share_names / sizeof share_names[0]; i++) {
        const struct share_name *s = &share_names[i];
        if (strncmp(name, s->word, strlen(s->word)) != 0 || name[strlen(s->word)] != '.') continue;
        return s->of(runs, file, name, s->word, s->what, out_values, out_count, err);
    }
    if (strcmp(name, "domain_ce") == 0) return domain_losses(runs, file, out_values, out_count, err);
    if (strncmp(name, "rows.", 5) == 0) {
        moe_try(rows_of(runs, file, name + 5, &number, err));
    } else if (strncmp(name, "log.", 4) == 0) {
        moe_try(log_of(runs, file, name, &number, err));
    } else if (strncmp(name, "config_is.", 10) == 0) {
        moe_try(config_is(names->report, file, name + 10, &number, err));
    } else if (strncmp(name, "config.", 7) == 0) {
        moe_try(report_config_number(names->report, file, name + 7, &number, err));
    } else if (strcmp(name, "entropy_floor") == 0) {
        moe_try(report_entropy_floor(names->report, file, &number, err));
    } else {
        moe_try(measure_of_run(runs, file, name, &number, err));
    }
    status = one_number(number, out_values, out_count, err);
out:
    return status;
}

/* The runs that "EXPERIMENT" or "EXPERIMENT:PROTOCOL" names. */
static struct run_group group_of(const struct claim_names *names, const char *text, const char *protocol) {
    char experiment[EXPR_NAME_MAX];
    const char *colon = strchr(text, ':');
    snprintf(experiment, sizeof experiment, "%.*s", (int)strcspn(text, ":"), text);
    struct run_group group =
        run_list_group(names->report->runs, names->suite, experiment, colon != NULL ? colon + 1 : protocol);
    group.experiment = text;
    return group;
}

static moe_status resolve(void *context, const char *name, double **out_values, int32_t *out_count,
                          moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_scope *scope = context;
    const struct claim_names *names = scope->names;
    const char *at = strchr(name, '@');
    char stem[EXPR_NAME_MAX];
    if (at == NULL) return resolve_plain(names, name, out_values, out_count, err);
    moe_check(scope->protocol != NULL, err, MOE_ECONFIG, "%s is a number of a run, which has no place here",
              name);
    snprintf(stem, sizeof stem, "%.*s", (int)(at - name), name);
    const struct run_group group = group_of(names, at + 1, scope->protocol);
    for (int32_t i = 0; i < group.n; i++) {
        if (group.files[i].info.seed != scope->seed) continue;
        status = resolve_run(names, &group.files[i], stem, out_values, out_count, err);
        goto out;
    }
    status = moe_fail(err, MOE_ENOTFOUND, "no run of %s/%s %s, seed %llu", names->suite, at + 1,
                      scope->protocol, (unsigned long long)scope->seed);
out:
    return status;
}

moe_status claim_number(const struct claim_names *names, const char *text, const char *place,
                        double *out_value, moe_err *err) {
    struct run_scope scope = {.names = names};
    return expr_number(text, place, &(struct expr_scope){&scope, resolve}, out_value, err);
}

/* ---------------------------------------------------------------- samples over seeds */

static moe_status collect(void *context, const char *name, moe_err *err) {
    struct experiments *e = context;
    const char *at = strchr(name, '@');
    if (at == NULL) return MOE_OK;
    for (int32_t i = 0; i < e->count; i++)
        if (strcmp(e->names[i], at + 1) == 0) return MOE_OK;
    if (e->count == MAX_EXPERIMENTS)
        return moe_fail(err, MOE_ECONFIG, "an expression names more than %d experiments", MAX_EXPERIMENTS);
    snprintf(e->names[e->count++], EXPR_NAME_MAX, "%s", at + 1);
    return MOE_OK;
}

static bool has_seed(const struct run_group *group, uint64_t seed) {
    for (int32_t i = 0; i < group->n; i++)
        if (group->files[i].info.seed == seed) return true;
    return false;
}

/* The groups of all experiments; the error names every one that is empty. */
static moe_status find_groups(const struct claim_names *names, const struct experiments *e, const char *place,
                              const char *protocol, struct run_group *groups, moe_err *err) {
    moe_status status = MOE_OK;
    struct text missing = {0};
    const struct run_list *runs = names->report->runs;
    for (int32_t i = 0; i < e->count; i++) {
        groups[i] = group_of(names, e->names[i], protocol);
        if (groups[i].n == 0) text_append(&missing, "%s%s", missing.length > 0 ? ", " : "", e->names[i]);
    }
    moe_check(missing.length == 0, err, MOE_ENOTFOUND, "%s: no runs of %s %s, tier %s, below %s for: %s",
              place, names->suite, protocol, run_list_tier(runs), run_list_roots(runs), missing.data);
out:
    text_free(&missing);
    return status;
}

moe_status claim_sample(const struct claim_names *names, const char *text, const char *place,
                        const char *protocol, struct claim_sample *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_group *groups = NULL;
    struct experiments *e = calloc(1, sizeof *e);
    *out = (struct claim_sample){0};
    moe_check(e != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    moe_try(expr_scan(text, place, collect, e, err));
    moe_check(e->count > 0, err, MOE_ECONFIG, "%s: \"%s\" names no run (MEASURE@EXPERIMENT)", place, text);
    groups = calloc((size_t)e->count, sizeof *groups);
    moe_check(groups != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    moe_try(find_groups(names, e, place, protocol, groups, err));
    out->values = calloc((size_t)groups[0].n, sizeof *out->values);
    out->seeds = calloc((size_t)groups[0].n, sizeof *out->seeds);
    moe_check(out->values != NULL && out->seeds != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    for (int32_t s = 0; s < groups[0].n; s++) {
        const uint64_t seed = groups[0].files[s].info.seed;
        bool common = true;
        for (int32_t i = 1; i < e->count; i++)
            common = common && has_seed(&groups[i], seed);
        if (!common) continue;
        struct run_scope scope = {names, protocol, seed};
        moe_try(expr_number(text, place, &(struct expr_scope){&scope, resolve}, &out->values[out->n], err));
        out->seeds[out->n++] = seed;
    }
    moe_check(out->n > 0, err, MOE_ENOTFOUND, "%s: \"%s\": its experiments have no seed in common", place,
              text);
out:
    free(groups);
    free(e);
    if (status != MOE_OK) claim_sample_free(out);
    return status;
}

void claim_sample_free(struct claim_sample *sample) {
    free(sample->values);
    free(sample->seeds);
    *sample = (struct claim_sample){0};
}
