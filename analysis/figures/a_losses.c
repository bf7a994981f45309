/* Training and validation loss of source A, both protocols. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_a.h"
#include "analysis/style.h"

static struct plot_panel_spec loss_panel(const char *title, const char *label) {
    struct plot_panel_spec spec = {.title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = "epoch";
    spec.position.whole = true;
    spec.value.label = label;
    return spec;
}

/* Entropy of the data under a protocol, NaN if unknown. */
static moe_status floor_of(struct report *report, int32_t protocol, double *out_floor, moe_err *err) {
    const struct run_group dense = source_a_group(report, 0, protocol);
    return report_entropy_floor(report, &dense.files[0], out_floor, err);
}

/* A line at the entropy of the data, if it is known. */
static void add_floor(struct plot *plot, int32_t panel, double floor) {
    const struct plot_pen pen = source_reference_pen();
    if (!isnan(floor)) plot_add_reference(plot, panel, floor, &pen);
}

/* One legend entry per protocol whose data have a known entropy. */
static void add_floor_legend(struct plot *plot, const double floors[SOURCE_A_PROTOCOLS]) {
    const struct plot_pen pen = source_reference_pen();
    for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
        char label[128];
        if (isnan(floors[p])) continue;
        snprintf(label, sizeof label, "entropy of the data, %s: %.4f", source_a_protocol_titles[p],
                 floors[p]);
        plot_add_legend(plot, label, GEOM_LINE, &pen);
    }
}

moe_status draw_a_training_loss(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    double floors[SOURCE_A_PROTOCOLS];
    const struct plot_layout layout = {
        .title = "Training loss by epoch",
        .note = "Mean and 95 % interval over {seeds}, as far as every seed trained; thin lines: single seeds "
                "beyond. With label smoothing (strong_reg) the minimised loss is larger than cross-entropy "
                "plus auxiliary loss.",
        .panel_height = 210.0,
        .rows = 2,
        .columns = 2};
    (void)frame;
    moe_try(source_a_plot(report, layout, &plot, err));
    moe_try(source_a_legend(plot, 0, GEOM_LINE, err));
    plot_break_legend(plot);
    for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
        char titles[2][96];
        moe_try(floor_of(report, p, &floors[p], err));
        snprintf(titles[0], sizeof titles[0], "%s: loss as minimised", source_a_protocol_titles[p]);
        snprintf(titles[1], sizeof titles[1], "%s: cross-entropy alone", source_a_protocol_titles[p]);
        for (int32_t k = 0; k < 2; k++) {
            const int32_t panel = 2 * p + k;
            const struct plot_panel_spec spec = loss_panel(titles[k], k == 0 ? "nats per token" : NULL);
            plot_set_panel(plot, panel, &spec);
            add_floor(plot, panel, floors[p]);
            moe_try(source_a_curves(report, plot, panel, p, 0, k == 0 ? "train_loss" : "train_ce", DASH_SOLID,
                                    NAN, err));
        }
        plot_link(plot, 2 * p, 2 * p + 1);
    }
    add_floor_legend(plot, floors);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* Whether losses of these runs can be laid over the published ones: only data of the same entropy, that of
 * uniform tokens of the published vocabulary (not so in the smoke tier). */
static moe_status is_comparable(struct report *report, double floor, bool *out_comparable, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double vocabulary = 0.0;
    moe_try(report_published(report, "A", &p, err));
    moe_try(published_number(p, "setup.vocabulary", &vocabulary, err));
    *out_comparable = fabs(floor - log(vocabulary)) < 1e-6;
out:
    return status;
}

/* The published cross-entropy curves. */
static moe_status add_published_curves(struct report *report, struct plot *plot, int32_t panel,
                                       moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *values = NULL;
    double *epochs = NULL;
    moe_try(report_published(report, "A", &p, err));
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        char name[96];
        int32_t n = 0;
        struct plot_pen pen;
        moe_try(source_a_pen(e, &pen, err));
        snprintf(name, sizeof name, "curves.validation_ce.%s", source_a_experiments[e]);
        moe_try(published_array(p, name, &values, &n, err));
        epochs = malloc(((size_t)n + 1) * sizeof *epochs);
        moe_check(epochs != NULL, err, MOE_ENOMEM, "cannot allocate %d epochs", n);
        for (int32_t i = 0; i < n; i++)
            epochs[i] = i + 1.0;
        struct plot_pen published = source_published_pen(pen.colour);
        published.marker = MARKER_NONE;
        plot_add_series(
            plot, panel,
            &(struct plot_series){
                .geom = GEOM_LINE, .n = n, .position = epochs, .value = values, .pen = published});
        free(values);
        free(epochs);
        values = epochs = NULL;
    }
out:
    free(values);
    free(epochs);
    return status;
}

/* The published best losses, each at the epoch where its published curve is lowest. */
static moe_status add_published_best(struct report *report, struct plot *plot, int32_t panel, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *values = NULL;
    moe_try(report_published(report, "A", &p, err));
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        char name[96];
        int32_t n = 0;
        double best = 0.0;
        struct plot_pen pen;
        moe_try(source_a_pen(e, &pen, err));
        moe_try(source_a_published(report, "key_numbers", e, "best_validation_loss", &best, err));
        snprintf(name, sizeof name, "curves.validation_ce.%s", source_a_experiments[e]);
        moe_try(published_array(p, name, &values, &n, err));
        int32_t lowest = 0;
        for (int32_t i = 1; i < n; i++)
            if (values[i] < values[lowest]) lowest = i;
        const double epoch = lowest + 1.0;
        const struct plot_pen published = source_published_pen(pen.colour);
        plot_add_series(
            plot, panel,
            &(struct plot_series){
                .geom = GEOM_POINTS, .n = 1, .position = &epoch, .value = &best, .pen = published});
        free(values);
        values = NULL;
    }
out:
    free(values);
    return status;
}

/* The two panels of one protocol, left: as reported, right: cross-entropy. */
static moe_status add_validation_row(struct report *report, struct plot *plot, int32_t row, int32_t protocol,
                                     const char *title, double floor, bool published, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const series[] = {"eval_loss", "eval_ce"};
    static const char *const what[] = {"loss as reported", "cross-entropy alone"};
    for (int32_t k = 0; k < 2; k++) {
        char panel_title[128];
        const int32_t panel = 2 * row + k;
        snprintf(panel_title, sizeof panel_title, "%s: %s", title, what[k]);
        const struct plot_panel_spec spec = loss_panel(panel_title, k == 0 ? "nats per token" : NULL);
        plot_set_panel(plot, panel, &spec);
        add_floor(plot, panel, floor);
        if (published && k == 1) moe_try(add_published_curves(report, plot, panel, err));
        moe_try(source_a_curves(report, plot, panel, protocol, 0, series[k], DASH_SOLID, NAN, err));
        if (published && k == 0) moe_try(add_published_best(report, plot, panel, err));
    }
    plot_link(plot, 2 * row, 2 * row + 1);
out:
    return status;
}

moe_status draw_a_validation_loss(struct report *report, int32_t frame, struct plot **out_plot,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char note[512];
    bool comparable = false;
    double floors[SOURCE_A_PROTOCOLS];
    (void)frame;
    for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++)
        moe_try(floor_of(report, p, &floors[p], err));
    moe_try(is_comparable(report, floors[0], &comparable, err));
    snprintf(note, sizeof note,
             "Mean and 95 %% interval over {seeds}, as far as every seed trained; thin lines: single seeds "
             "beyond. As published, "
             "the reported loss of the MoE models contains their auxiliary loss (and of strong_reg its label "
             "smoothing); "
             "under the corrected protocol both columns are the same quantity. %s",
             comparable ? "The published values are of one seed."
                        : "The published losses belong to other data and are not shown.");
    const struct plot_layout layout = {
        .title = "Validation loss by epoch", .note = note, .panel_height = 200.0, .rows = 3, .columns = 2};
    moe_try(source_a_plot(report, layout, &plot, err));
    moe_try(source_a_legend(plot, 0, GEOM_LINE, err));
    plot_break_legend(plot);
    struct plot_pen curve = source_published_pen(STYLE_MUTED);
    struct plot_pen best = curve;
    curve.marker = MARKER_NONE;
    best.width = 0.0;
    if (comparable) {
        plot_add_legend(plot, "published curve", GEOM_LINE, &curve);
        plot_add_legend(plot, "published best", GEOM_POINTS, &best);
    }
    add_floor_legend(plot, floors);
    moe_try(add_validation_row(report, plot, 0, 0, "as published", NAN, comparable, err));
    moe_try(add_validation_row(report, plot, 1, 0, "down to the entropy", floors[0], comparable, err));
    moe_try(add_validation_row(report, plot, 2, 1, "corrected", floors[1], false, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
