#include "train/lr_sweep.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/text.h"
#include "train/experiment.h"
#include "train/experiment_grammar.h"

#define STEPS_MAX 1000000 /* what train.max_epochs takes */

/* ---- settings */

/* Source D's list. */
static const struct lr_sweep_settings source_d = {
    .rates = {1e-5, 3e-5, 5e-5, 8e-5, 1e-4, 3e-4, 5e-4, 8e-4, 1e-3, 3e-3, 5e-3, 8e-3},
    .count = 12,
    .steps = 150,
    .warmup_steps = 30,
    .place = "learning-rate sweep",
};

/* What one table says; the grammar has checked it. */
static moe_status take_table(const json_t *table, struct lr_sweep_settings *s, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *lr = json_object_get(table, "lr");
    const json_t *steps = json_object_get(table, "steps"), *warmup = json_object_get(table, "warmup_steps");
    if (lr != NULL) {
        const json_t *values = leaf_value(lr);
        const size_t count = json_array_size(values);
        moe_check(count <= LR_SWEEP_RATES_MAX, err, MOE_ECONFIG, "%s: lr: %zu rates, more than %d",
                  leaf_place(lr), count, LR_SWEEP_RATES_MAX);
        for (size_t i = 0; i < count; i++)
            s->rates[i] = json_number_value(json_array_get(values, i));
        s->count = (int32_t)count;
    }
    if (steps != NULL) {
        s->steps = (int64_t)json_integer_value(leaf_value(steps));
        moe_check(s->steps >= 1 && s->steps <= STEPS_MAX, err, MOE_ECONFIG, "%s: steps = %lld: from 1 to %d",
                  leaf_place(steps), (long long)s->steps, STEPS_MAX);
    }
    if (warmup != NULL) s->warmup_steps = (int64_t)json_integer_value(leaf_value(warmup));
    const json_t *place = warmup != NULL ? warmup : steps;
    if (place != NULL) snprintf(s->place, sizeof s->place, "%s", leaf_place(place));
out:
    return status;
}

moe_status lr_sweep_settings_of(const struct suite_file *suite, const char *tier,
                                struct lr_sweep_settings *out_settings, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweep_settings s = source_d;
    const json_t *of_tier = json_object_get(json_object_get(suite->tree, "tier"), tier);
    moe_try(take_table(json_object_get(suite->tree, "lr_sweep"), &s, err));
    moe_try(take_table(json_object_get(of_tier, "lr_sweep"), &s, err));
    *out_settings = s;
out:
    return status;
}

moe_status lr_sweep_settings_read(const char *suites_dir, const char *suite, const char *tier,
                                  struct lr_sweep_settings *out_settings, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *file = NULL;
    const char *picked = NULL;
    moe_try(suite_file_read(suites_dir, suite, &file, err));
    moe_try(suite_file_pick(file, "tier", tier, &picked, err));
    moe_try(lr_sweep_settings_of(file, picked, out_settings, err));
out:
    suite_file_free(file);
    return status;
}

moe_status lr_sweep_parse_rates(const char *text, struct lr_sweep_settings *settings, moe_err *err) {
    moe_status status = MOE_OK;
    const char *at = text;
    settings->count = 0;
    do {
        char *end = NULL;
        const double rate = strtod(at, &end);
        moe_check(end != at && (*end == ',' || *end == '\0') && isfinite(rate) && rate > 0, err, MOE_EUSAGE,
                  "--lr wants rates above 0 separated by commas, e.g. 1e-3,3e-4, not '%s'", text);
        moe_check(settings->count < LR_SWEEP_RATES_MAX, err, MOE_EUSAGE, "--lr: more than %d rates",
                  LR_SWEEP_RATES_MAX);
        for (int32_t i = 0; i < settings->count; i++)
            moe_check(settings->rates[i] != rate, err, MOE_EUSAGE, "--lr: %g stands there twice", rate);
        settings->rates[settings->count++] = rate;
        at = *end == ',' ? end + 1 : end;
    } while (*at != '\0');
out:
    return status;
}

/* ---- configuration */

/* What fixes a run's length: an epoch has at least one step, so as many epochs as steps never end it first.
 */
static const struct {
    const char *key;
    bool steps, warmup; /* the value: steps, warm-up steps, or 0 */
} lengths[LR_SWEEP_SETS] = {
    {"train.max_steps", true, false},     {"train.max_epochs", true, false},
    {"train.eval_steps", true, false},    {"train.warmup_steps", false, true},
    {"train.warmup_ratio", false, false}, {"train.patience", false, false},
};

static int64_t length_value(const struct lr_sweep_settings *s, size_t i) {
    return lengths[i].steps ? s->steps : lengths[i].warmup ? s->warmup_steps : 0;
}

moe_status lr_sweep_apply(const struct lr_sweep_settings *settings, double rate, struct config *config,
                          moe_err *err) {
    moe_status status = MOE_OK;
    json_t *value = json_real(rate);
    moe_check(value != NULL, err, MOE_ENOMEM, "no memory for a value");
    moe_try(config_put(config, &EXPERIMENT_KEYS, "train.lr", value, "learning-rate sweep", err));
    json_decref(value);
    value = NULL;
    for (size_t i = 0; i < LR_SWEEP_SETS; i++) {
        value = json_integer((json_int_t)length_value(settings, i));
        moe_check(value != NULL, err, MOE_ENOMEM, "no memory for a value");
        moe_try(config_put(config, &EXPERIMENT_KEYS, lengths[i].key, value, settings->place, err));
        json_decref(value);
        value = NULL;
    }
out:
    json_decref(value);
    return status;
}

int32_t lr_sweep_sets(const struct lr_sweep_settings *settings,
                      char out_sets[LR_SWEEP_SETS][LR_SWEEP_SET_CHARS]) {
    for (size_t i = 0; i < LR_SWEEP_SETS; i++)
        snprintf(out_sets[i], LR_SWEEP_SET_CHARS, "%s=%lld", lengths[i].key,
                 (long long)length_value(settings, i));
    return LR_SWEEP_SETS;
}

/* ---- what is there */

/* Runs being gathered. */
struct gathering {
    struct lr_sweep_run *runs;
    int32_t count, capacity;
    char *first_path; /* of runs[0] */
};

static moe_status keep_run(struct gathering *g, const char *path, const struct lr_sweep_run *run,
                           moe_err *err) {
    moe_status status = MOE_OK;
    if (g->count == g->capacity) {
        const int32_t capacity = g->capacity == 0 ? 64 : 2 * g->capacity;
        struct lr_sweep_run *larger = realloc(g->runs, (size_t)capacity * sizeof *larger);
        moe_check(larger != NULL, err, MOE_ENOMEM, "no memory for a list of %d runs", capacity);
        g->runs = larger;
        g->capacity = capacity;
    }
    if (g->count == 0) {
        g->first_path = strdup(path);
        moe_check(g->first_path != NULL, err, MOE_ENOMEM, "no memory for a path");
    } else {
        const struct lr_sweep_run *first = &g->runs[0];
        moe_check(
            first->max_steps == run->max_steps && first->warmup_steps == run->warmup_steps, err,
            MOE_EMISMATCH,
            "%s has %lld steps, %lld of them warm-up, and %s %lld and %lld: rates are compared over the "
            "same steps; delete the runs of one sweep",
            g->first_path, (long long)first->max_steps, (long long)first->warmup_steps, path,
            (long long)run->max_steps, (long long)run->warmup_steps);
    }
    g->runs[g->count++] = *run;
out:
    return status;
}

/* The run of one file, if it belongs to the sweep. */
static moe_status read_run(struct gathering *g, const char *path, const char *experiment,
                           const char *protocol, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct lr_sweep_run run;
    char name[LR_SWEEP_NAME_MAX];
    double rate = 0;
    moe_try(run_reader_open(path, &reader, err));
    const struct run_info *info = run_reader_info(reader);
    if (!lr_sweep_parse_name(info->experiment, name, &rate)) goto out;
    if (strcmp(name, experiment) != 0 || strcmp(info->protocol, protocol) != 0) goto out;
    moe_try(lr_sweep_run_of(reader, &run, err));
    moe_try(keep_run(g, path, &run, err));
out:
    run_reader_close(reader);
    return status;
}

/* By the file's name alone: opening every run of every sweep would take longer. */
static bool may_belong(const char *file, const char *experiment) {
    const size_t prefix = strlen(LR_SWEEP_PREFIX);
    return strncmp(file, LR_SWEEP_PREFIX, prefix) == 0 &&
           strncmp(file + prefix, experiment, strlen(experiment)) == 0 && path_ends_with(file, ".h5");
}

moe_status lr_sweep_read(const char *runs_dir, const char *tier, const char *suite, const char *experiment,
                         const char *protocol, struct lr_sweep_run **out_runs, int32_t *out_count,
                         moe_err *err) {
    moe_status status = MOE_OK;
    struct gathering g = {0};
    struct text folder = {0};
    struct dirent **entries = NULL;
    int count = 0;
    char *path = NULL;
    text_append(&folder, "%s/%s/%s/" LR_SWEEP_FOLDER, runs_dir, tier, suite);
    moe_check(!folder.failed, err, MOE_ENOMEM, "no memory for a path");
    count = scandir(folder.data, &entries, NULL, alphasort); /* no folder: no runs */
    for (int i = 0; i < count; i++) {
        if (!may_belong(entries[i]->d_name, experiment)) continue;
        path = path_join(folder.data, entries[i]->d_name);
        moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
        moe_try(read_run(&g, path, experiment, protocol, err));
        free(path);
        path = NULL;
    }
    *out_runs = g.runs;
    *out_count = g.count;
    g.runs = NULL;
out:
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(path);
    free(g.runs);
    free(g.first_path);
    text_free(&folder);
    return status;
}
