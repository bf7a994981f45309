/* Time of an epoch and throughput of source A: published, as published, corrected. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_a.h"
#include "analysis/measures.h"
#include "analysis/plot_axis.h"
#include "analysis/style.h"

#define COLUMNS 3 /* published, and one per protocol */

static const char *const column_titles[COLUMNS] = {"published", "ours, as published", "ours, corrected"};

/* Estimates of a measure for every experiment in one column; published numbers have no interval. */
static moe_status estimates(struct report *report, int32_t column, const char *published_name,
                            const char *measure, struct stats_estimate out[SOURCE_A_EXPERIMENTS],
                            moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        if (column == 0) {
            out[e] = (struct stats_estimate){.low = NAN, .high = NAN, .sd = NAN, .n = 1};
            moe_try(source_a_published(report, "key_numbers", e, published_name, &out[e].value, err));
        } else {
            const struct run_group group = source_a_group(report, e, column - 1);
            moe_try(measure_estimate(report->runs, &group, measure, &out[e], err));
        }
    }
out:
    return status;
}

/* Experiments down the side (named in the first column only), values to the right. */
static void set_bar_panel(struct plot *plot, int32_t panel, int32_t column, const char *title,
                          const char *label) {
    struct plot_panel_spec spec = {
        .title = title, .position = plot_axis_auto(), .value = plot_axis_auto(), .horizontal = true};
    spec.position.names = source_a_experiments;
    spec.position.num_names = SOURCE_A_EXPERIMENTS;
    spec.position.hidden = column > 0;
    spec.value.label = label;
    spec.value.min = 0.0; /* an interval may reach below; no time does */
    plot_set_panel(plot, panel, &spec);
}

/* One labelled bar per experiment in its colour; hollow in the published column. */
static moe_status add_bars(struct plot *plot, int32_t panel, bool published,
                           const struct stats_estimate values[SOURCE_A_EXPERIMENTS], int32_t decimals,
                           moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        char text[AXIS_LABEL_MAX];
        const char *label = text;
        const double position = e;
        struct plot_pen pen;
        moe_try(source_a_pen(e, &pen, err));
        pen.hollow = published;
        axis_format(text, sizeof text, values[e].value, decimals);
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_BARS,
                                              .n = 1,
                                              .position = &position,
                                              .value = &values[e].value,
                                              .low = &values[e].low,
                                              .high = &values[e].high,
                                              .labels = &label,
                                              .bar_width = 0.62,
                                              .pen = pen});
    }
out:
    return status;
}

/* Forward, backward and optimizer seconds as parts of one bar per experiment, the total beside it. */
static moe_status add_stack(struct report *report, struct plot *plot, int32_t panel, int32_t column,
                            moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const parts[] = {"forward_seconds", "backward_seconds", "optimizer_seconds"};
    const struct plot_colour colours[] = {style_forward(), style_backward(), style_optimizer()};
    double base[SOURCE_A_EXPERIMENTS] = {0.0};
    double end[SOURCE_A_EXPERIMENTS];
    double low[SOURCE_A_EXPERIMENTS];
    double high[SOURCE_A_EXPERIMENTS];
    struct stats_estimate total[SOURCE_A_EXPERIMENTS];
    double position[SOURCE_A_EXPERIMENTS];
    moe_try(estimates(report, column, "total_seconds", "timed_seconds", total, err));
    for (int32_t part = 0; part < 3; part++) {
        struct stats_estimate values[SOURCE_A_EXPERIMENTS];
        char texts[SOURCE_A_EXPERIMENTS][AXIS_LABEL_MAX];
        const char *labels[SOURCE_A_EXPERIMENTS];
        moe_try(estimates(report, column, parts[part], parts[part], values, err));
        for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
            position[e] = e;
            end[e] = base[e] + values[e].value;
            axis_format(texts[e], sizeof texts[e], end[e], end[e] < 10.0 ? 2 : 1);
            labels[e] = texts[e];
            low[e] = total[e].low;
            high[e] = total[e].high;
        }
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_BARS,
                                              .n = SOURCE_A_EXPERIMENTS,
                                              .position = position,
                                              .value = end,
                                              .low = part == 2 ? low : NULL,
                                              .high = part == 2 ? high : NULL,
                                              .base = base,
                                              .labels = part == 2 ? labels : NULL,
                                              .bar_width = 0.62,
                                              .pen = {.colour = colours[part]}});
        for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++)
            base[e] = end[e];
    }
out:
    return status;
}

/* Backward over forward; of the published column, the ratio of the printed seconds. */
static moe_status ratio_estimates(struct report *report, int32_t column,
                                  struct stats_estimate out[SOURCE_A_EXPERIMENTS], moe_err *err) {
    moe_status status = MOE_OK;
    struct stats_estimate forward[SOURCE_A_EXPERIMENTS];
    if (column > 0) return estimates(report, column, NULL, "backward_over_forward", out, err);
    moe_try(estimates(report, 0, "forward_seconds", NULL, forward, err));
    moe_try(estimates(report, 0, "backward_seconds", NULL, out, err));
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++)
        out[e].value /= forward[e].value;
out:
    return status;
}

moe_status draw_a_timing(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct plot_pen one = source_reference_pen();
    const struct plot_layout layout = {
        .title = "Time of an epoch by part",
        .note = "Sums over the steps of an epoch, median of the epochs; ours: mean over {seeds}, error bars: "
                "95 % interval. The axes of the upper row differ: the machines do. The published clocks did "
                "not wait for the device, so work started in one part could be counted in another.",
        .panel_height = 150.0,
        .rows = 2,
        .columns = COLUMNS};
    (void)frame;
    moe_try(source_a_plot(report, layout, &plot, err));
    plot_add_legend(plot, "forward", GEOM_BARS, &(struct plot_pen){.colour = style_forward()});
    plot_add_legend(plot, "backward", GEOM_BARS, &(struct plot_pen){.colour = style_backward()});
    plot_add_legend(plot, "optimizer", GEOM_BARS, &(struct plot_pen){.colour = style_optimizer()});
    plot_add_legend(plot, "backward as long as forward", GEOM_LINE, &one);
    for (int32_t c = 0; c < COLUMNS; c++) {
        struct stats_estimate ratio[SOURCE_A_EXPERIMENTS];
        set_bar_panel(plot, c, c, column_titles[c], "seconds per epoch");
        moe_try(add_stack(report, plot, c, c, err));
        set_bar_panel(plot, COLUMNS + c, c, NULL, "backward / forward");
        plot_add_reference(plot, COLUMNS + c, 1.0, &one);
        moe_try(ratio_estimates(report, c, ratio, err));
        moe_try(add_bars(plot, COLUMNS + c, c == 0, ratio, 2, err));
        plot_link(plot, COLUMNS, COLUMNS + c);
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* Throughput relative to dense: per seed where both have it, then mean and interval. */
static moe_status relative_throughput(struct report *report, int32_t column,
                                      struct stats_estimate out[SOURCE_A_EXPERIMENTS], moe_err *err) {
    moe_status status = MOE_OK;
    if (column == 0) {
        moe_try(estimates(report, 0, "tokens_per_second", NULL, out, err));
        for (int32_t e = SOURCE_A_EXPERIMENTS - 1; e >= 0; e--)
            out[e].value /= out[0].value;
        goto out;
    }
    const struct run_group dense = source_a_group(report, 0, column - 1);
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        const struct run_group group = source_a_group(report, e, column - 1);
        moe_try(measure_ratio(report->runs, &group, &dense, "tokens_per_second", &out[e], err));
    }
out:
    return status;
}

moe_status draw_a_throughput(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct plot_pen one = source_reference_pen();
    const struct plot_layout layout = {
        .title = "Training throughput",
        .note =
            "Training tokens over wall clock of the steps, median of the epochs; ours: mean over {seeds}, "
            "error bars: 95 % interval. Ratios are taken seed by seed.",
        .panel_height = 150.0,
        .rows = 2,
        .columns = COLUMNS};
    (void)frame;
    moe_try(source_a_plot(report, layout, &plot, err));
    plot_add_legend(plot, "as fast as dense", GEOM_LINE, &one);
    for (int32_t c = 0; c < COLUMNS; c++) {
        struct stats_estimate values[SOURCE_A_EXPERIMENTS];
        set_bar_panel(plot, c, c, column_titles[c], "tokens per second");
        moe_try(estimates(report, c, "tokens_per_second", "tokens_per_second", values, err));
        moe_try(add_bars(plot, c, c == 0, values, 0, err));
        set_bar_panel(plot, COLUMNS + c, c, NULL, "relative to dense");
        plot_add_reference(plot, COLUMNS + c, 1.0, &one);
        moe_try(relative_throughput(report, c, values, err));
        moe_try(add_bars(plot, COLUMNS + c, c == 0, values, 2, err));
        plot_link(plot, COLUMNS, COLUMNS + c);
    }
    plot_link(plot, 1, 2);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
