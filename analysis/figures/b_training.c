/* Loss and accuracy of source B during training, with the published log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_b.h"
#include "analysis/style.h"

#define COLUMNS 3
#define POINTS  64 /* of the curve of least losses */
#define BINS    40 /* points of a curve at most: more evaluations are averaged */

/* The rows: one epoch as published; ten of it, where they have been trained; corrected. */
struct row {
    enum source_b_protocol protocol;
    enum source_b_experiment
        first; /* the flat and the hierarchical model of this row, one behind the other */
    int32_t count;
};

/* The log's columns that are drawn over its batches. */
struct printed_log {
    double *batch, *loss, *accuracy;
    int32_t n;
};

static void log_free(struct printed_log *log) {
    free(log->batch);
    free(log->loss);
    free(log->accuracy);
}

static moe_status read_log(struct report *report, struct printed_log *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    int32_t n[3] = {0};
    *out = (struct printed_log){0};
    moe_try(report_published(report, "B", &p, err));
    moe_try(published_array(p, "log.batch", &out->batch, &n[0], err));
    moe_try(published_array(p, "log.loss", &out->loss, &n[1], err));
    moe_try(published_array(p, "log.accuracy_percent", &out->accuracy, &n[2], err));
    moe_check(n[0] == n[1] && n[0] == n[2], err, MOE_ECONFIG, "%s: the columns of [log] differ in length",
              published_path(p));
    out->n = n[0];
out:
    if (status != MOE_OK) log_free(out);
    return status;
}

static struct plot_pen log_pen(void) {
    struct plot_pen pen = source_published_pen(STYLE_INK);
    pen.marker = MARKER_DIAMOND;
    return pen;
}

static void add_log(struct plot *plot, int32_t panel, int32_t n, const double *position,
                    const double *value) {
    plot_add_series(plot, panel,
                    &(struct plot_series){
                        .geom = GEOM_LINE, .n = n, .position = position, .value = value, .pen = log_pen()});
}

/* The pen of a row's model: those of ten epochs look like their originals. */
static moe_status pen_of(enum source_b_experiment experiment, struct plot_pen *out, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t base = experiment >= B_FLAT_10EP ? experiment - B_FLAT_10EP : experiment;
    moe_try(source_b_pen((enum source_b_experiment)base, out, err));
    out->marker = MARKER_NONE;
out:
    return status;
}

static void set_panel(struct plot *plot, int32_t panel, const char *title, const char *position,
                      const char *value, bool from_zero) {
    struct plot_panel_spec spec = {.title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = position;
    spec.position.zero = from_zero;
    spec.value.label = value;
    plot_set_panel(plot, panel, &spec);
}

/* Values of a group in percent. */
static moe_status percent_of_group(struct report *report, const struct run_group *group, const char *series,
                                   struct series_group *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(series_of_group_binned(report->runs, group, series, BINS, out, err));
    for (int32_t s = 0; s < out->seeds; s++)
        for (int32_t i = 0; i < out->runs[s].n; i++)
            out->runs[s].y[i] *= 100.0;
    moe_try(series_group_average(out, err));
out:
    return status;
}

/* Curves of a row's models by step. */
static moe_status add_curves(struct report *report, struct plot *plot, int32_t panel, const struct row *row,
                             const char *series, bool percent, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group g = {0};
    for (int32_t i = 0; i < row->count; i++) {
        const enum source_b_experiment experiment = (enum source_b_experiment)(row->first + i);
        const struct run_group group = source_b_group(report, experiment, row->protocol);
        struct source_curve curve = {.floor = 0.0, .ceiling = percent ? 100.0 : NAN};
        if (group.n == 0) continue;
        moe_try(pen_of(experiment, &curve.pen, err));
        if (percent) {
            moe_try(percent_of_group(report, &group, series, &g, err));
        } else {
            moe_try(series_of_group_binned(report->runs, &group, series, BINS, &g, err));
        }
        moe_try(source_draw_group(plot, panel, &g, &curve, err));
        series_group_free(&g);
    }
out:
    series_group_free(&g);
    return status;
}

/* Loss against accuracy of the training batches: means over seeds, and what no loss can lie below. */
static moe_status add_loss_of_accuracy(struct report *report, struct plot *plot, int32_t panel,
                                       const struct row *row, const struct printed_log *log, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group loss = {0};
    struct series_group accuracy = {0};
    struct published *p = NULL;
    double position[POINTS];
    double value[POINTS];
    double classes = 0.0;
    double most = 0.0;
    for (int32_t i = 0; i < log->n; i++)
        most = fmax(most, log->accuracy[i]);
    for (int32_t i = 0; i < row->count; i++) {
        const enum source_b_experiment experiment = (enum source_b_experiment)(row->first + i);
        const struct run_group group = source_b_group(report, experiment, row->protocol);
        struct plot_pen pen;
        moe_try(pen_of(experiment, &pen, err));
        moe_try(series_of_group_binned(report->runs, &group, "step_course_ce", BINS, &loss, err));
        moe_try(percent_of_group(report, &group, "step_course_accuracy", &accuracy, err));
        for (int32_t k = 0; k < accuracy.common; k++)
            most = fmax(most, accuracy.mean[k]);
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_LINE,
                                              .n = loss.common,
                                              .position = accuracy.mean,
                                              .value = loss.mean,
                                              .pen = pen});
        series_group_free(&loss);
        series_group_free(&accuracy);
    }
    moe_try(report_published(report, "B", &p, err));
    moe_try(published_number(p, "code.classes", &classes, err));
    for (int32_t i = 0; i < POINTS; i++) {
        position[i] = 10.0 + (most - 10.0) * i / (POINTS - 1);
        value[i] = source_b_least_loss(position[i] / 100.0, classes);
    }
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = POINTS,
                                          .position = position,
                                          .value = value,
                                          .pen = source_reference_pen()});
    add_log(plot, panel, log->n, log->accuracy, log->loss);
out:
    series_group_free(&loss);
    series_group_free(&accuracy);
    return status;
}

/* "corrected, 10 epochs" */
static moe_status add_head(struct report *report, struct plot *plot, int32_t r, const struct row *row,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct run_group group = {0};
    double epochs = 0.0;
    char head[64];
    for (int32_t i = 0; i < row->count && group.n == 0; i++)
        group = source_b_group(report, (enum source_b_experiment)(row->first + i), row->protocol);
    moe_try(report_config_number(report, &group.files[0], "train.max_epochs", &epochs, err));
    snprintf(head, sizeof head, "%s, %.0f epoch%s", source_b_protocol_titles[row->protocol], epochs,
             epochs == 1.0 ? "" : "s");
    plot_head_row(plot, r, head);
out:
    return status;
}

static moe_status add_row(struct report *report, struct plot *plot, int32_t r, const struct row *row,
                          const struct printed_log *log, bool last, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t panel = COLUMNS * r;
    const char *step = last ? "step" : NULL;
    moe_try(add_head(report, plot, r, row, err));
    set_panel(plot, panel, "training loss", step, "loss (nats)", true);
    set_panel(plot, panel + 1, "training accuracy", step, "accuracy (%)", true);
    moe_try(add_curves(report, plot, panel, row, "step_course_ce", false, err));
    moe_try(add_curves(report, plot, panel + 1, row, "step_course_accuracy", true, err));
    if (r == 0) {
        set_panel(plot, panel + 2, "loss at an accuracy", "training accuracy (%)", NULL, false);
        add_log(plot, panel, log->n, log->batch, log->loss);
        add_log(plot, panel + 1, log->n, log->batch, log->accuracy);
        moe_try(add_loss_of_accuracy(report, plot, panel + 2, row, log, err));
    } else {
        set_panel(plot, panel + 2, "test accuracy", step, NULL, true);
        moe_try(add_curves(report, plot, panel + 2, row, "step_eval_accuracy", true, err));
        plot_link(plot, panel + 1, panel + 2);
    }
out:
    return status;
}

moe_status draw_b_training(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const struct row rows[] = {
        {B_AS_PUBLISHED, B_FLAT, B_MODELS},
        {B_AS_PUBLISHED, B_FLAT_10EP, 2},
        {B_CORRECTED, B_FLAT, B_MODELS},
    };
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct printed_log log = {0};
    const struct plot_pen reference = source_reference_pen();
    const struct plot_pen printed = log_pen();
    const bool longer = source_b_trained_longer(report);
    char seeds[32];
    char note[640];
    (void)frame;
    moe_try(read_log(report, &log, err));
    source_b_seeds(report, B_MODELS, true, seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "Training: means of the batches since the evaluation before; where a run has many, of neighbouring "
        "evaluations. Mean and 95 %% interval over %s; at the "
        "right of the first row the mean alone, step by step, and the least loss that two softmaxes allow "
        "at an accuracy. Losses of the two protocols are different quantities.%s",
        seeds, longer ? "" : SOURCE_B_NOT_LONGER);
    moe_try(plot_new(&(struct plot_layout){.title = "Loss and accuracy during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 165.0,
                                           .rows = longer ? 3 : 2,
                                           .columns = COLUMNS},
                     &plot, err));
    moe_try(source_b_legend(plot, B_MODELS, GEOM_BARS, err));
    plot_break_legend(plot);
    plot_add_legend(plot, "published log", GEOM_LINE, &printed);
    plot_add_legend(plot, "least loss at an accuracy", GEOM_LINE, &reference);
    for (int32_t i = 0, r = 0; i < 3; i++) {
        if (i == 1 && !longer) continue;
        moe_try(add_row(report, plot, r++, &rows[i], &log, i == 2, err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    log_free(&log);
    plot_free(plot);
    return status;
}
