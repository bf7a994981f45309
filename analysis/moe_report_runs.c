/* moe-report runs: listing, showing, comparing and checking run files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "analysis/measures.h"
#include "analysis/moe_report.h"
#include "analysis/run_check.h"
#include "analysis/run_paths.h"
#include "analysis/series.h"

/* ---- ls */

static const struct table_column ls_columns[] = {
    {"run", CELL_TEXT, 0},     {"protocol", CELL_TEXT, 0},
    {"tier", CELL_TEXT, 0},    {"seed", CELL_NUMBER, 0},
    {"status", CELL_TEXT, 0},  {"steps", CELL_NUMBER, 0},
    {"outcome", CELL_TEXT, 0}, {"last validation loss", CELL_NUMBER, 4},
    {"digest", CELL_TEXT, 0},  {"file", CELL_TEXT, 0},
};

static moe_status ls_row(const char *path, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct table_cell *row = NULL;
    double *loss = NULL;
    double *domain = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    double last = NAN;
    int64_t steps;
    moe_try(run_reader_open(path, &reader, err));
    moe_try(run_reader_last_step(reader, &steps, err));
    moe_try(run_reader_array(reader, "/eval/loss", &loss, dims, &rank, err));
    moe_try(run_reader_array(reader, "/eval/domain", &domain, dims, &rank, err));
    for (int64_t i = 0; i < dims[0]; i++)
        if (domain[i] == 0.0) last = loss[i];
    moe_try(sheet_add_row(sheet, &row, err));
    const struct run_info *info = run_reader_info(reader);
    row[0] = cell_text("%.50s/%.60s", info->suite, info->experiment);
    row[1] = cell_text("%s", info->protocol);
    row[2] = cell_text("%s", info->tier);
    row[3] = cell_number((double)info->seed);
    row[4] = cell_text("%s", info->status);
    row[5] = cell_number((double)steps);
    row[6] = cell_text("%s", info->outcome);
    row[7] = cell_number(last);
    row[8] = cell_text("%.12s", info->digest);
    row[9] = cell_text("%.120s", path);
out:
    free(loss);
    free(domain);
    run_reader_close(reader);
    return status;
}

/* A file that cannot be read is reported, and the others are listed all the same. */
static moe_status runs_ls(const struct options *o, char **paths, int32_t count, moe_err *err) {
    moe_status status = MOE_OK;
    moe_status failed = MOE_OK;
    struct sheet sheet = {.columns = ls_columns, .num_columns = sizeof ls_columns / sizeof ls_columns[0]};
    char *text = NULL;
    for (int32_t i = 0; i < count; i++) {
        moe_err own = {0};
        const moe_status row = ls_row(paths[i], &sheet, &own);
        if (row == MOE_OK) continue;
        fprintf(stderr, "moe-report: %s\n", own.message);
        failed = row;
    }
    moe_try(sheet_print(&sheet, o->format, &text, err));
    fputs(text, stdout);
    status = failed;
out:
    free(text);
    sheet_free(&sheet);
    return status;
}

/* ---- show */

/* An image counts as a token in the record. */
static bool has_images(const json_t *config) {
    const char *source = json_string_value(json_object_get(json_object_get(config, "data"), "source"));
    return source != NULL && (strcmp(source, "cifar10") == 0 || strcmp(source, "images") == 0);
}

static void show_counts(const json_t *counts, const char *unit) {
    const json_t *data = json_object_get(counts, "data");
    size_t i;
    const json_t *origin;
    if (json_is_integer(json_object_get(counts, "total")))
        printf("parameters   %lld, active %lld\n",
               (long long)json_integer_value(json_object_get(counts, "total")),
               (long long)json_integer_value(json_object_get(counts, "active")));
    json_array_foreach(data, i, origin) {
        const char *name = json_string_value(json_object_get(origin, "name"));
        const char *sha256 = json_string_value(json_object_get(origin, "sha256"));
        printf("data         %s, %lld %s, sha256 %s\n", name != NULL ? name : "?",
               (long long)json_integer_value(json_object_get(origin, "tokens")), unit,
               sha256 != NULL ? sha256 : "?");
    }
}

/* Epoch by epoch; an epoch without its value (an evaluation still to come) has a dash. */
static moe_status show_epochs(struct run_list *list, const struct run_file *file, bool images, moe_err *err) {
    static const char *const names[] = {"train_ce", "eval_loss", "eval_ce", "eval_accuracy",
                                        "tokens_per_second"};
    const struct table_column columns[] = {
        {"epoch", CELL_NUMBER, 0},           {"train CE", CELL_NUMBER, 4},
        {"validation loss", CELL_NUMBER, 4}, {"validation CE", CELL_NUMBER, 4},
        {"accuracy", CELL_NUMBER, 4},        {images ? "images/s" : "tokens/s", CELL_NUMBER, 0},
    };
    moe_status status = MOE_OK;
    struct sheet sheet = {.columns = columns, .num_columns = sizeof columns / sizeof columns[0]};
    struct series series[5] = {{0}};
    char *text = NULL;
    for (int k = 0; k < 5; k++)
        moe_try(series_of_run(list, file, names[k], &series[k], err));
    for (int32_t e = 0; e < series[0].n; e++) {
        struct table_cell *row = NULL;
        moe_try(sheet_add_row(&sheet, &row, err));
        row[0] = cell_number(e + 1.0);
        for (int k = 0; k < 5; k++)
            for (int32_t i = 0; i < series[k].n; i++)
                if (fabs(series[k].x[i] - (e + 1.0)) < 1e-6) row[1 + k] = cell_number(series[k].y[i]);
    }
    moe_try(sheet_print(&sheet, TABLE_TEXT, &text, err));
    printf("\n%s", text);
out:
    for (int k = 0; k < 5; k++)
        series_free(&series[k]);
    sheet_free(&sheet);
    free(text);
    return status;
}

static const struct table_column layer_columns[] = {
    {"layer", CELL_NUMBER, 0},
    {"usage entropy (nats)", CELL_NUMBER, 4},
    {"token entropy (nats)", CELL_NUMBER, 4},
    {"Gini", CELL_NUMBER, 4},
    {"CV\xc2\xb2", CELL_NUMBER, 4},
    {"max / mean", CELL_NUMBER, 4},
};

static moe_status show_layers(struct run_list *list, const struct run_file *file, moe_err *err) {
    static const char *const names[] = {"usage_entropy", "token_entropy", "gini", "cv2", "max_over_mean"};
    moe_status status = MOE_OK;
    struct sheet sheet = {.columns = layer_columns,
                          .num_columns = sizeof layer_columns / sizeof layer_columns[0]};
    struct run_reader *reader = NULL;
    char *text = NULL;
    moe_try(run_list_reader(list, file, &reader, err));
    if (file->info.axes.moe_layers == 0 || file->info.rows[RUN_ROUTING_EVAL] == 0) goto out;
    for (int32_t l = 0; l < file->info.axes.moe_layers; l++) {
        const int32_t layer = run_reader_layer_number(reader, l);
        struct table_cell *row = NULL;
        moe_try(sheet_add_row(&sheet, &row, err));
        row[0] = cell_number(layer);
        for (int k = 0; k < 5; k++) {
            char name[48];
            snprintf(name, sizeof name, "%s.%d", names[k], (int)layer);
            moe_try(measure_of_run(list, file, name, &row[1 + k].value, err));
        }
    }
    moe_try(sheet_print(&sheet, TABLE_TEXT, &text, err));
    printf("\nrouting on the validation split, at the end\n%s", text);
out:
    sheet_free(&sheet);
    free(text);
    return status;
}

static moe_status show_run(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_list *list = NULL;
    struct run_reader *reader = NULL;
    const struct run_fact *facts = NULL;
    const json_t *config = NULL, *counts = NULL;
    moe_try(run_list_open(&(struct run_selection){.roots = &path, .num_roots = 1}, &list, err));
    const struct run_file *file = run_list_at(list, 0);
    moe_check(file != NULL, err, MOE_ENOTFOUND, "%s: no run", path);
    const struct run_info *info = &file->info;
    int64_t steps;
    moe_try(run_list_reader(list, file, &reader, err));
    moe_try(run_reader_last_step(reader, &steps, err));
    printf("%s\n", path);
    printf("run          %s/%s, %s, tier %s, seed %llu\n", info->suite, info->experiment, info->protocol,
           info->tier, (unsigned long long)info->seed);
    printf("status       %s%s%s\n", info->status, info->outcome[0] != '\0' ? ", " : "", info->outcome);
    printf("digest       %s\n", info->digest[0] != '\0' ? info->digest : "-");
    moe_try(run_list_json(list, file, &config, &counts, err));
    const bool images = has_images(config);
    show_counts(counts, images ? "images" : "tokens");
    printf("steps        %lld\n", (long long)steps);
    if (info->rows[RUN_TRAIN] > 0) moe_try(show_epochs(list, file, images, err));
    moe_try(show_layers(list, file, err));
    printf("\nprovenance\n");
    const int32_t count = run_reader_facts(reader, &facts);
    for (int32_t i = 0; i < count; i++)
        printf("  %-20s %s\n", facts[i].name, facts[i].value);
    printf("\nconfiguration\n%s\n", run_reader_config_toml(reader));
out:
    run_list_close(list);
    return status;
}

/* ---- diff, digest, verify */

static moe_status runs_diff(const char *path_a, const char *path_b, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *a = NULL;
    struct run_reader *b = NULL;
    struct text text = {0};
    bool same = false;
    moe_try(run_reader_open(path_a, &a, err));
    moe_try(run_reader_open(path_b, &b, err));
    moe_try(run_diff(a, b, &text, &same, err));
    moe_check(!text.failed, err, MOE_ENOMEM, "no memory for the differences");
    fputs(text.data, stdout);
    if (!same) status = MOE_EMISMATCH; /* the text has said it; the exit status says it too */
out:
    text_free(&text);
    run_reader_close(a);
    run_reader_close(b);
    return status;
}

static moe_status digest_run(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    char digest[65];
    moe_try(run_reader_open(path, &reader, err));
    moe_try(run_reader_digest(reader, digest, err));
    printf("%s  %s\n", digest, path);
out:
    run_reader_close(reader);
    return status;
}

static moe_status verify_run(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    moe_try(run_reader_open(path, &reader, err));
    moe_try(run_verify(reader, err));
    printf("%s: ok\n", path);
out:
    run_reader_close(reader);
    return status;
}

/* Applies one of the above to every file and goes on after a failure. */
static moe_status each_run(char **paths, int32_t count, moe_status (*apply)(const char *path, moe_err *err)) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < count; i++) {
        moe_err err = {0};
        const moe_status one = apply(paths[i], &err);
        if (one == MOE_OK) continue;
        fflush(stdout);
        fprintf(stderr, "moe-report: %s\n", err.message);
        status = one;
    }
    return status;
}

moe_status command_runs(const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    char **paths = NULL;
    int32_t count = 0;
    const char *action = o->num_args > 1 ? o->args[1] : "";
    const bool ls = strcmp(action, "ls") == 0;
    const bool named = o->num_args > 2;
    if (strcmp(action, "diff") == 0) {
        moe_check(o->num_args == 4, err, MOE_EUSAGE, "runs diff: expected two files");
        return runs_diff(o->args[2], o->args[3], err);
    }
    moe_check(ls || strcmp(action, "show") == 0 || strcmp(action, "digest") == 0 ||
                  strcmp(action, "verify") == 0,
              err, MOE_EUSAGE, "runs %s: expected ls, show, diff, digest or verify", action);
    moe_check(ls || named, err, MOE_EUSAGE, "runs %s: which files?", action);
    moe_try(run_paths_find(named ? (const char *const *)(o->args + 2) : o->roots,
                           named ? o->num_args - 2 : o->num_roots, true, &paths, &count, err));
    if (ls) {
        moe_try(runs_ls(o, paths, count, err));
    } else {
        moe_try(each_run(paths, count,
                         strcmp(action, "show") == 0     ? show_run
                         : strcmp(action, "digest") == 0 ? digest_run
                                                         : verify_run));
    }
out:
    run_paths_free(paths, count);
    return status;
}
