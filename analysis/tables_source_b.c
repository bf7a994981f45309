#include "analysis/tables_source_b.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_b.h"
#include "analysis/measures.h"
#include "analysis/train_log.h"
#include "record/routing_stats.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

/* ---- the log */

static const struct table_column log_columns[] = {
    {"batch", CELL_NUMBER, 0},          {"model", CELL_TEXT, 0},
    {"numbers", CELL_TEXT, 0},          {"seeds", CELL_NUMBER, 0},
    {"loss", CELL_ESTIMATE, 4},         {"balance loss", CELL_ESTIMATE, 4},
    {"accuracy (%)", CELL_ESTIMATE, 2}, {"batch time (s)", CELL_ESTIMATE, 4},
    {"least loss", CELL_ESTIMATE, 4},
};

static const char *const log_names[LOG_COLUMNS] = {"log.loss", "log.moe_loss", "log.accuracy_percent",
                                                   "log.batch_seconds"};

/* The published log. */
struct log_lines {
    double *batch;
    double *values[LOG_COLUMNS]; /* [n] each */
    double classes;
    int32_t n;
};

static void log_lines_free(struct log_lines *log) {
    free(log->batch);
    for (int32_t v = 0; v < LOG_COLUMNS; v++)
        free(log->values[v]);
}

static moe_status read_log(struct report *report, struct log_lines *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    moe_try(report_published(report, "B", &p, err));
    moe_try(published_number(p, "code.classes", &out->classes, err));
    moe_try(published_array(p, "log.batch", &out->batch, &out->n, err));
    for (int32_t v = 0; v < LOG_COLUMNS; v++) {
        int32_t n = 0;
        moe_try(published_array(p, log_names[v], &out->values[v], &n, err));
        moe_check(n == out->n, err, MOE_ECONFIG, "%s: %s has %d entries, log.batch %d", published_path(p),
                  log_names[v], n, out->n);
    }
out:
    return status;
}

/* The line at a batch over the seeds of a group, percent and seconds as printed; no values at all if one of
 * the runs was not evaluated there. */
static moe_status log_estimates(struct report *report, const struct run_group *group, double batch,
                                struct table_cell *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = calloc((size_t)group->n * LOG_COLUMNS + 1, sizeof *values); /* [column, seed] */
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d lines of a log", group->n);
    for (int32_t s = 0; s < group->n; s++) {
        double line[LOG_COLUMNS];
        status = train_log_at(report->runs, &group->files[s], (int64_t)batch, line, err);
        if (status == MOE_ENOTFOUND) {
            status = MOE_OK;
            goto out;
        }
        moe_try(status);
        line[LOG_ACCURACY] *= 100.0;
        for (int32_t v = 0; v < LOG_COLUMNS; v++)
            values[v * group->n + s] = line[v];
    }
    for (int32_t v = 0; v < LOG_COLUMNS; v++) {
        const struct stats_estimate e = stats_mean_interval(values + (int64_t)v * group->n, group->n, 0.95);
        out[v] = cell_estimate(&e);
    }
out:
    free(values);
    return status;
}

static moe_status log_row_published(struct sheet *sheet, const struct log_lines *log, int32_t line,
                                    moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_number(log->batch[line]);
    row[1] = cell_text("%s", source_b_experiments[B_FLAT]);
    row[2] = cell_text("%s", source_kind_titles[OF_PUBLISHED]);
    row[3] = cell_number(1.0);
    for (int32_t v = 0; v < LOG_COLUMNS; v++)
        row[4 + v] = cell_number(log->values[v][line]);
    row[4 + LOG_COLUMNS] =
        cell_number(source_b_least_loss(log->values[LOG_ACCURACY][line] / 100.0, log->classes));
out:
    return status;
}

static moe_status log_row(struct report *report, struct sheet *sheet, const struct log_lines *log,
                          int32_t line, enum source_b_experiment model, enum source_b_protocol protocol,
                          moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = source_b_group(report, model, protocol);
    struct table_cell *row = NULL;
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_number(log->batch[line]);
    row[1] = cell_text("%s", source_b_experiments[model]);
    row[2] = cell_text("%s", source_kind_titles[OF_AS_PUBLISHED + (int)protocol]);
    row[3] = cell_number(group.n);
    moe_try(log_estimates(report, &group, log->batch[line], &row[4], err));
    if (protocol == B_AS_PUBLISHED)
        row[4 + LOG_COLUMNS] =
            cell_number(source_b_least_loss(row[4 + LOG_ACCURACY].value / 100.0, log->classes));
out:
    return status;
}

static moe_status build_log(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct log_lines log = {0};
    moe_try(read_log(report, &log, err));
    for (int32_t i = 0; i < log.n; i++) {
        moe_try(log_row_published(sheet, &log, i, err));
        for (int32_t p = 0; p < B_PROTOCOLS; p++)
            for (int32_t m = B_FLAT; m <= B_HIERARCHICAL; m++)
                moe_try(log_row(report, sheet, &log, i, (enum source_b_experiment)m,
                                (enum source_b_protocol)p, err));
    }
out:
    log_lines_free(&log);
    return status;
}

/* ---- usage */

#define RANKS 10

static const struct table_column usage_columns[] = {
    {"model", CELL_TEXT, 0},
    {"numbers", CELL_TEXT, 0},
    {"seeds", CELL_NUMBER, 0},
    {"largest (%)", CELL_ESTIMATE, 2},
    {"2nd", CELL_ESTIMATE, 2},
    {"3rd", CELL_ESTIMATE, 2},
    {"4th", CELL_ESTIMATE, 2},
    {"5th", CELL_ESTIMATE, 2},
    {"6th", CELL_ESTIMATE, 2},
    {"7th", CELL_ESTIMATE, 2},
    {"8th", CELL_ESTIMATE, 2},
    {"9th", CELL_ESTIMATE, 2},
    {"10th", CELL_ESTIMATE, 2},
    {"CV\xc2\xb2", CELL_ESTIMATE, 4},
    {"Gini", CELL_ESTIMATE, 4},
    {"CV\xc2\xb2 of a batch", CELL_ESTIMATE, 4},
    {"Gini of a batch", CELL_ESTIMATE, 4},
};

/* Adds a row whose shares are given, ascending: [n] in percent. */
static moe_status usage_row_of_shares(struct sheet *sheet, const char *numbers, const double *ascending,
                                      int32_t n, moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    const struct routing_stats stats = routing_stats_of_shares(ascending, n);
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_b_experiments[B_FLAT]);
    row[1] = cell_text("%s", numbers);
    for (int32_t i = 0; i < RANKS && i < n; i++)
        row[3 + i] = cell_number(ascending[n - 1 - i]);
    row[3 + RANKS] = cell_number(stats.cv2);
    row[4 + RANKS] = cell_number(stats.gini);
out:
    return status;
}

/* The list and what follows from it, what is printed as its balance, and the extremes between which usage
 * must lie: as uneven as the choices allow, and by pure chance in a batch. */
static moe_status usage_rows_published(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    struct table_cell *row = NULL;
    double *list = NULL;
    double bound[SOURCE_MAX_EXPERTS] = {0};
    double cv2 = 0.0;
    double gini = 0.0;
    int32_t n = 0;
    char text[64];
    struct source_b_shape shape;
    const struct run_group flat = source_b_group(report, B_FLAT, B_AS_PUBLISHED);
    moe_try(source_b_shape_of(report, &flat.files[0], &shape, err));
    moe_check(shape.experts <= SOURCE_MAX_EXPERTS && shape.top_k <= shape.experts, err, MOE_EMISMATCH,
              "%s: %d of %d experts; the table has room for %d", flat.files[0].path, shape.top_k,
              shape.experts, SOURCE_MAX_EXPERTS);
    moe_try(report_published(report, "B", &p, err));
    moe_try(published_array(p, "usage.percent", &list, &n, err));
    stats_sort(list, n);
    moe_try(usage_row_of_shares(sheet, "published list", list, n, err));
    moe_try(published_number(p, "balance.cv2", &cv2, err));
    moe_try(published_number(p, "balance.gini", &gini, err));
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_b_experiments[B_FLAT]);
    row[1] = cell_text("published metrics");
    row[3 + RANKS] = cell_number(cv2);
    row[4 + RANKS] = cell_number(gini);
    for (int32_t i = 0; i < shape.top_k; i++)
        bound[shape.experts - 1 - i] = 100.0 * source_b_largest_share(&shape);
    snprintf(text, sizeof text, "the least even, %d of %d", (int)shape.top_k, (int)shape.experts);
    moe_try(usage_row_of_shares(sheet, text, bound, shape.experts, err));
    const struct chance_balance chance = chance_balance_of(shape.images, shape.top_k, shape.experts);
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_b_experiments[B_FLAT]);
    row[1] = cell_text("by chance, %d of %d", (int)shape.top_k, (int)shape.experts);
    row[5 + RANKS] = cell_number(chance.cv2);
    row[6 + RANKS] = cell_number(chance.gini);
out:
    free(list);
    return status;
}

/* Ranked shares of choices, or of gates, over the seeds. */
static moe_status usage_row(struct report *report, struct sheet *sheet, enum source_b_experiment model,
                            enum source_b_protocol protocol, enum share_of what, moe_err *err) {
    static const enum source_b_number of_choices[] = {B_CV2, B_GINI, B_BATCH_CV2, B_BATCH_GINI};
    static const enum source_b_number of_gates[] = {B_GATE_CV2, B_GATE_GINI};
    moe_status status = MOE_OK;
    const enum source_b_number *numbers = what == SHARE_OF_MASS ? of_gates : of_choices;
    const int32_t count = what == SHARE_OF_MASS ? COUNT(of_gates) : COUNT(of_choices);
    const struct run_group group = source_b_group(report, model, protocol);
    const int32_t experts = group.files[0].info.axes.experts;
    struct stats_estimate shares[SOURCE_MAX_EXPERTS];
    struct stats_estimate e;
    struct table_cell *row = NULL;
    moe_check(experts <= SOURCE_MAX_EXPERTS, err, MOE_EMISMATCH, "%s: %d experts; the table has room for %d",
              group.files[0].path, experts, SOURCE_MAX_EXPERTS);
    moe_try(source_ranked_usage(report, &group, what, B_OF_EXPERTS, experts, shares, err));
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_b_experiments[model]);
    row[1] = cell_text("%s%s", source_kind_titles[OF_AS_PUBLISHED + (int)protocol],
                       what == SHARE_OF_MASS ? ": gates" : "");
    row[2] = cell_number(group.n);
    for (int32_t i = 0; i < RANKS && i < experts; i++)
        row[3 + i] = cell_estimate(&shares[i]);
    for (int32_t i = 0; i < count; i++) {
        moe_try(source_b_estimate(report, &group, numbers[i], &e, err));
        row[3 + RANKS + i] = cell_estimate(&e);
    }
out:
    return status;
}

static moe_status build_usage(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(usage_rows_published(report, sheet, err));
    for (int32_t m = 0; m < B_ROUTED; m++)
        for (int32_t p = 0; p < B_PROTOCOLS; p++)
            for (int32_t w = SHARE_OF_SLOTS; w <= SHARE_OF_MASS; w++)
                moe_try(usage_row(report, sheet, (enum source_b_experiment)m, (enum source_b_protocol)p,
                                  (enum share_of)w, err));
out:
    return status;
}

/* ---- all experiments */

static const struct table_column summary_columns[] = {
    {"experiment", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"parameters", CELL_NUMBER, 0},
    {"active", CELL_NUMBER, 0},
    {"epochs", CELL_ESTIMATE, 0},
    {"test accuracy (%)", CELL_ESTIMATE, 2},
    {"training accuracy (%)", CELL_ESTIMATE, 2},
    {"CV\xc2\xb2", CELL_ESTIMATE, 4},
    {"Gini", CELL_ESTIMATE, 3},
    {"CV\xc2\xb2 of groups", CELL_ESTIMATE, 4},
    {"CV\xc2\xb2 of gates", CELL_ESTIMATE, 3},
    {"two largest gates (%)", CELL_ESTIMATE, 1},
    {"batch time (ms)", CELL_ESTIMATE, 2},
    {"seeds", CELL_NUMBER, 0},
};

static moe_status summary_row(struct report *report, struct sheet *sheet, const struct run_group *group,
                              const char *protocol, moe_err *err) {
    static const struct {
        enum source_b_number number;
        int32_t column, levels; /* levels of gates that the model must have */
    } cells[] = {{B_TEST_ACCURACY, 5, 0}, {B_TRAIN_ACCURACY, 6, 0}, {B_CV2, 7, 1},
                 {B_GINI, 8, 1},          {B_GROUP_CV2, 9, 2},      {B_GATE_CV2, 10, 1},
                 {B_TWO_GATES, 11, 1},    {B_BATCH_MS, 12, 0}};
    moe_status status = MOE_OK;
    const struct run_file *first = &group->files[0];
    struct table_cell *row = NULL;
    struct stats_estimate e;
    double total = 0.0;
    double active = 0.0;
    moe_try(measure_of_run(report->runs, first, "parameters", &total, err));
    moe_try(measure_of_run(report->runs, first, "active_parameters", &active, err));
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", group->experiment);
    row[1] = cell_text("%s", protocol);
    row[2] = cell_number(total);
    row[3] = cell_number(active);
    moe_try(measure_estimate(report->runs, group, "epochs", &e, err));
    row[4] = cell_number(e.value);
    for (int32_t i = 0; i < COUNT(cells); i++) {
        if (first->info.axes.moe_layers < cells[i].levels) continue;
        moe_try(source_b_estimate(report, group, cells[i].number, &e, err));
        row[cells[i].column] = cell_estimate(&e);
    }
    row[13] = cell_number(group->n);
out:
    return status;
}

static moe_status build_summary(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < B_EXPERIMENTS; e++) {
        for (int32_t p = 0; p < B_PROTOCOLS; p++) {
            const struct run_group group =
                source_b_group(report, (enum source_b_experiment)e, (enum source_b_protocol)p);
            if (group.n > 0) moe_try(summary_row(report, sheet, &group, source_b_protocol_titles[p], err));
        }
    }
out:
    return status;
}

/* ---- the runs themselves */

static const struct table_column run_columns[] = {
    {"experiment", CELL_TEXT, 0}, {"protocol", CELL_TEXT, 0},        {"seed", CELL_NUMBER, 0},
    {"outcome", CELL_TEXT, 0},    {"test accuracy", CELL_NUMBER, 4}, {"digest", CELL_TEXT, 0},
};

static moe_status build_runs(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct series accuracy = {0};
    for (int32_t i = 0; i < run_list_count(report->runs); i++) {
        const struct run_file *file = run_list_at(report->runs, i);
        struct table_cell *row = NULL;
        if (strcmp(file->info.suite, SOURCE_B_SUITE) != 0 || run_is_of_sweep(file->info.experiment)) continue;
        moe_try(series_of_run(report->runs, file, "eval_accuracy", &accuracy, err));
        moe_try(sheet_add_row(sheet, &row, err));
        row[0] = cell_text("%s", file->info.experiment);
        row[1] = cell_text("%s", file->info.protocol);
        row[2] = cell_number((double)file->info.seed);
        row[3] = cell_text("%s", file->info.outcome);
        row[4] = cell_number(accuracy.n > 0 ? accuracy.y[accuracy.n - 1] : NAN);
        row[5] = cell_text("%.16s", file->info.digest);
        series_free(&accuracy);
    }
out:
    series_free(&accuracy);
    return status;
}

const struct table source_b_tables[] = {
    {"b-log", "B", "The published log beside ours",
     "Training batches since the evaluation before: mean loss, weighted balance loss and accuracy, median "
     "seconds of a batch; mean and 95 % interval over seeds. The published lines are of one run "
     "of the flat model. The least loss is what two softmaxes allow at the accuracy of the line; the "
     "corrected protocol has one softmax, and its loss is another quantity.",
     &source_b_need, log_columns, COUNT(log_columns), build_log},
    {"b-usage", "B", "Expert usage, published and measured",
     "Shares of the assignments of the test images in percent, or of the gates that weigh what an expert "
     "says, "
     "experts of each run ordered by their share, with their CV\xc2\xb2 and Gini coefficient; and those of "
     "single training batches late in training. "
     "Mean and 95 % interval over seeds. The published metrics belong to the published list. Chance is that "
     "of a "
     "training batch whose images choose their experts at random.",
     &source_b_routed_need, usage_columns, COUNT(usage_columns), build_usage},
    {"b-summary", "B", "Experiments of source B",
     "At the end of training, mean and 95 % interval over seeds; balance of the test images without noise. "
     "Training accuracy is that of the batches before the last evaluation. Gates: how much weight experts "
     "have, where the other columns count how often they are chosen. Experiments without runs are left out.",
     &source_b_need, summary_columns, COUNT(summary_columns), build_summary},
    {"b-runs", "B", "Runs of source B",
     "Every run of the suite. The test accuracy is that after the last step.", &source_b_need, run_columns,
     COUNT(run_columns), build_runs},
};
const int32_t source_b_table_count = COUNT(source_b_tables);
