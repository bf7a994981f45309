/* Source A on one page: points with intervals, published beside ours. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_a.h"
#include "analysis/measures.h"
#include "analysis/style.h"

/* One point with its interval; i of n beside each other. */
static moe_status add_point(struct plot *plot, int32_t panel, int32_t experiment, int32_t kind, int32_t i,
                            int32_t n, double value, double low, double high, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_pen pen;
    const double position = experiment + plot_dodge(i, n, 0.66);
    moe_try(source_a_pen(experiment, &pen, err));
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_POINTS,
                                          .n = 1,
                                          .position = &position,
                                          .value = &value,
                                          .low = &low,
                                          .high = &high,
                                          .pen = source_kind_pen((enum source_kind)kind, pen.colour)});
out:
    return status;
}

/* least: where the axis begins, NaN = free. */
static void set_panel(struct plot *plot, int32_t panel, const char *title, const char *label,
                      double reference, double least) {
    const struct plot_pen line = source_reference_pen();
    struct plot_panel_spec spec = {
        .title = title, .position = plot_axis_auto(), .value = plot_axis_auto(), .horizontal = true};
    spec.position.names = source_a_experiments;
    spec.position.num_names = SOURCE_A_EXPERIMENTS;
    spec.position.hidden = panel % 3 > 0;
    spec.value.label = label;
    spec.value.min = least;
    plot_set_panel(plot, panel, &spec);
    if (!isnan(reference)) plot_add_reference(plot, panel, reference, &line);
}

/* Difference of a measure from dense, seed by seed. */
static moe_status add_differences(struct report *report, struct plot *plot, int32_t panel, int32_t protocol,
                                  const char *measure, int32_t i, int32_t n, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group dense = source_a_group(report, 0, protocol);
    moe_try(add_point(plot, panel, 0, 1 + protocol, i, n, 0.0, NAN, NAN, err));
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        const struct run_group group = source_a_group(report, e, protocol);
        struct stats_difference d;
        moe_try(measure_paired(report->runs, &group, &dense, measure, &d, err));
        moe_try(add_point(plot, panel, e, 1 + protocol, i, n, d.value, d.low, d.high, err));
    }
out:
    return status;
}

/* Published best losses less that of dense: as printed, or of the cross-entropy curves. */
static moe_status add_published_differences(struct report *report, struct plot *plot, int32_t panel,
                                            bool curves, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *curve = NULL;
    double best[SOURCE_A_EXPERIMENTS];
    moe_try(report_published(report, "A", &p, err));
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        char name[96];
        int32_t n = 0;
        moe_try(source_a_published(report, "key_numbers", e, "best_validation_loss", &best[e], err));
        if (!curves) continue;
        snprintf(name, sizeof name, "curves.validation_ce.%s", source_a_experiments[e]);
        moe_try(published_array(p, name, &curve, &n, err));
        stats_sort(curve, n);
        best[e] = stats_quantile_sorted(curve, n, 0.0);
        free(curve);
        curve = NULL;
    }
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++)
        moe_try(add_point(plot, panel, e, OF_PUBLISHED, 0, 2, best[e] - best[0], NAN, NAN, err));
out:
    free(curve);
    return status;
}

static moe_status add_losses(struct report *report, struct plot *plot, moe_err *err) {
    moe_status status = MOE_OK;
    set_panel(plot, 0, "reported loss", "minus dense (nats)", 0.0, NAN);
    set_panel(plot, 1, "cross-entropy alone", "minus dense (nats)", 0.0, NAN);
    set_panel(plot, 2, "cross-entropy, corrected", "minus dense (nats)", 0.0, NAN);
    moe_try(add_published_differences(report, plot, 0, false, err));
    moe_try(add_differences(report, plot, 0, 0, "best_loss", 1, 2, err));
    moe_try(add_published_differences(report, plot, 1, true, err));
    moe_try(add_differences(report, plot, 1, 0, "best_ce", 1, 2, err));
    moe_try(add_differences(report, plot, 2, 1, "best_ce", 0, 1, err));
    plot_link(plot, 0, 1);
out:
    return status;
}

static moe_status add_speed(struct report *report, struct plot *plot, moe_err *err) {
    moe_status status = MOE_OK;
    double dense = 0.0;
    set_panel(plot, 3, "tokens per second", "relative to dense", 1.0, 0.0);
    set_panel(plot, 4, "backward / forward", "ratio of seconds", 1.0, 0.0);
    moe_try(source_a_published(report, "key_numbers", 0, "tokens_per_second", &dense, err));
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        double tokens = 0.0;
        double forward = 0.0;
        double backward = 0.0;
        moe_try(source_a_published(report, "key_numbers", e, "tokens_per_second", &tokens, err));
        moe_try(source_a_published(report, "key_numbers", e, "forward_seconds", &forward, err));
        moe_try(source_a_published(report, "key_numbers", e, "backward_seconds", &backward, err));
        moe_try(add_point(plot, 3, e, OF_PUBLISHED, 0, SOURCE_KINDS, tokens / dense, NAN, NAN, err));
        moe_try(add_point(plot, 4, e, OF_PUBLISHED, 0, SOURCE_KINDS, backward / forward, NAN, NAN, err));
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
            const struct run_group base = source_a_group(report, 0, p);
            const struct run_group group = source_a_group(report, e, p);
            struct stats_estimate value;
            moe_try(measure_ratio(report->runs, &group, &base, "tokens_per_second", &value, err));
            moe_try(
                add_point(plot, 3, e, 1 + p, 1 + p, SOURCE_KINDS, value.value, value.low, value.high, err));
            moe_try(measure_estimate(report->runs, &group, "backward_over_forward", &value, err));
            moe_try(
                add_point(plot, 4, e, 1 + p, 1 + p, SOURCE_KINDS, value.value, value.low, value.high, err));
        }
    }
out:
    return status;
}

/* Largest published share of an expert in any layer, in percent. */
static moe_status published_largest(struct report *report, int32_t experiment,
                                    const int32_t layers[SOURCE_A_LAYERS], double *out_share, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *shares = NULL;
    *out_share = 0.0;
    moe_try(report_published(report, "A", &p, err));
    for (int32_t l = 0; l < SOURCE_A_LAYERS; l++) {
        char name[96];
        int32_t n = 0;
        snprintf(name, sizeof name, "usage.%s.layer%d", source_a_experiments[experiment], layers[l]);
        moe_try(published_array(p, name, &shares, &n, err));
        stats_sort(shares, n);
        *out_share = fmax(*out_share, stats_quantile_sorted(shares, n, 1.0));
        free(shares);
        shares = NULL;
    }
out:
    free(shares);
    return status;
}

/* Largest share of an expert in any layer, in percent, over the seeds of a group. */
static moe_status largest_share(struct report *report, const struct run_group *group,
                                const int32_t layers[SOURCE_A_LAYERS], struct stats_estimate *out,
                                moe_err *err) {
    moe_status status = MOE_OK;
    double *largest = calloc((size_t)group->n, sizeof *largest);
    moe_check(largest != NULL, err, MOE_ENOMEM, "cannot allocate %d values", group->n);
    for (int32_t s = 0; s < group->n; s++) {
        for (int32_t l = 0; l < SOURCE_A_LAYERS; l++) {
            char name[32];
            double share = 0.0;
            snprintf(name, sizeof name, "max_share.%d", layers[l]);
            moe_try(measure_of_run(report->runs, &group->files[s], name, &share, err));
            largest[s] = fmax(largest[s], 100.0 * share);
        }
    }
    *out = stats_mean_interval(largest, group->n, 0.95);
out:
    free(largest);
    return status;
}

static moe_status add_balance(struct report *report, struct plot *plot, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t layers[SOURCE_A_LAYERS];
    const double experts = source_a_group(report, 1, 0).files[0].info.axes.experts;
    moe_try(source_a_layers(report, layers, err));
    set_panel(plot, 5, "largest expert", "share of slots (%)", 100.0 / experts, NAN);
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        double published = 0.0;
        moe_try(published_largest(report, e, layers, &published, err));
        moe_try(add_point(plot, 5, e, OF_PUBLISHED, 0, SOURCE_KINDS, published, NAN, NAN, err));
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
            const struct run_group group = source_a_group(report, e, p);
            struct stats_estimate share;
            moe_try(largest_share(report, &group, layers, &share, err));
            moe_try(
                add_point(plot, 5, e, 1 + p, 1 + p, SOURCE_KINDS, share.value, share.low, share.high, err));
        }
    }
out:
    return status;
}

moe_status draw_a_summary(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct plot_pen line = source_reference_pen();
    const struct plot_layout layout = {
        .title = "Source A at a glance",
        .note = "Ours: mean and 95 % interval over {seeds}; losses are the best of each run, differences and "
                "ratios are taken seed by seed. Left of zero is better than dense. The reported loss of the "
                "MoE models contains their auxiliary loss. Published values are of one seed.",
        .panel_height = 170.0,
        .rows = 2,
        .columns = 3};
    (void)frame;
    moe_try(source_a_plot(report, layout, &plot, err));
    source_kind_legend(plot, OF_PUBLISHED, OF_CORRECTED);
    plot_add_legend(plot, "same as dense; equal shares", GEOM_LINE, &line);
    moe_try(add_losses(report, plot, err));
    moe_try(add_speed(report, plot, err));
    moe_try(add_balance(report, plot, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
