/* Routing of source A: entropies, usage of experts, and its course over one run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_a.h"
#include "analysis/style.h"

#define MOE_EXPERIMENTS (SOURCE_A_EXPERIMENTS - 1)

/* The MoE layers, and the number of experts, which all runs must share. */
static moe_status layers_and_experts(struct report *report, int32_t out_layers[SOURCE_A_LAYERS],
                                     int32_t *out_experts, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(source_a_layers(report, out_layers, err));
    const struct run_group first = source_a_group(report, 1, 0);
    *out_experts = first.files[0].info.axes.experts;
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
            const struct run_group group = source_a_group(report, e, p);
            for (int32_t s = 0; s < group.n; s++)
                moe_check(group.files[s].info.axes.experts == *out_experts &&
                              *out_experts <= SOURCE_MAX_EXPERTS,
                          err, MOE_EMISMATCH, "%s: %d experts, but %s has %d", group.files[s].path,
                          group.files[s].info.axes.experts, first.files[0].path, *out_experts);
        }
    }
out:
    return status;
}

static moe_status add_entropy_row(struct report *report, struct plot *plot, int32_t protocol,
                                  const int32_t layers[SOURCE_A_LAYERS], double maximum, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen line = source_reference_pen();
    struct published *published = NULL;
    double *range = NULL;
    moe_try(report_published(report, "A", &published, err));
    for (int32_t k = 0; k < 3; k++) {
        char title[96];
        char series[48];
        const int32_t panel = 3 * protocol + k;
        if (k < SOURCE_A_LAYERS) {
            snprintf(title, sizeof title, "%s: usage, layer %d", source_a_protocol_titles[protocol],
                     layers[k]);
        } else {
            snprintf(title, sizeof title, "%s: per token", source_a_protocol_titles[protocol]);
        }
        struct plot_panel_spec spec = {
            .title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
        spec.position.label = "epoch";
        spec.position.whole = true;
        spec.value.label = k == 0 ? "entropy (nats)" : NULL;
        spec.value.zero = k == SOURCE_A_LAYERS;
        plot_set_panel(plot, panel, &spec);
        plot_add_reference(plot, panel, maximum, &line);
        if (k == SOURCE_A_LAYERS) {
            for (int32_t l = 0; l < SOURCE_A_LAYERS; l++) {
                snprintf(series, sizeof series, "token_entropy.%d", layers[l]);
                moe_try(source_a_curves(report, plot, panel, protocol, 1, series,
                                        l == 0 ? DASH_SOLID : DASH_DASHED, maximum, err));
            }
            continue;
        }
        if (protocol == 0) {
            int32_t n = 0;
            snprintf(series, sizeof series, "entropy.layer%d", layers[k]);
            moe_try(published_array(published, series, &range, &n, err));
            if (n == 2) plot_add_span(plot, panel, range[0], range[1], STYLE_SHADE);
            free(range);
            range = NULL;
        }
        snprintf(series, sizeof series, "usage_entropy.%d", layers[k]);
        moe_try(source_a_curves(report, plot, panel, protocol, 1, series, DASH_SOLID, maximum, err));
    }
    plot_link(plot, 3 * protocol, 3 * protocol + 1);
out:
    free(range);
    return status;
}

moe_status draw_a_entropy(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    int32_t layers[SOURCE_A_LAYERS];
    int32_t experts = 0;
    char note[512];
    char label[64];
    (void)frame;
    moe_try(layers_and_experts(report, layers, &experts, err));
    snprintf(note, sizeof note,
             "Validation split after each epoch; mean and 95 %% interval over {seeds}, as far as every seed "
             "trained; thin lines: "
             "single seeds beyond. Per token: layer %d solid, layer %d dashed, without intervals.",
             layers[0], layers[1]);
    const struct plot_layout layout = {.title = "Entropy of routing by epoch",
                                       .note = note,
                                       .panel_height = 180.0,
                                       .rows = SOURCE_A_PROTOCOLS,
                                       .columns = 3};
    moe_try(source_a_plot(report, layout, &plot, err));
    moe_try(source_a_legend(plot, 1, GEOM_LINE, err));
    plot_break_legend(plot);
    const struct plot_pen line = source_reference_pen();
    snprintf(label, sizeof label, "ln %d = %.4f, all experts alike", experts, log(experts));
    plot_add_legend(plot, label, GEOM_LINE, &line);
    plot_add_legend_span(plot, "range of the published values", STYLE_SHADE);
    for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++)
        moe_try(add_entropy_row(report, plot, p, layers, log(experts), err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

static moe_status add_usage_bars(struct report *report, struct plot *plot, int32_t panel, int32_t experiment,
                                 int32_t protocol, int32_t layer, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_pen pen;
    const struct run_group group = source_a_group(report, experiment, protocol);
    moe_try(source_a_pen(experiment, &pen, err));
    moe_try(source_ranked_bars(report, plot, panel, &group, layer, &pen, err));
out:
    return status;
}

/* The published shares of one layer, ordered like ours. */
static moe_status add_published_usage(struct report *report, struct plot *plot, int32_t panel,
                                      int32_t experiment, int32_t layer, moe_err *err) {
    char name[96];
    snprintf(name, sizeof name, "usage.%s.layer%d", source_a_experiments[experiment], (int)layer);
    return source_ranked_published(report, plot, panel, "A", name, err);
}

/* A panel of bars over experts; rows are protocol and layer, columns experiments. top: end of the axis, NaN =
 * free. */
static void set_usage_panel(struct plot *plot, int32_t row, int32_t column, int32_t layer,
                            const struct source_numbers *names, int32_t experts, const char *position_label,
                            double top) {
    char label[96];
    snprintf(label, sizeof label, "layer %d: share (%%)", (int)layer);
    struct plot_panel_spec spec = {
        .title = source_a_experiments[column + 1], .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.names = names->names;
    spec.position.num_names = experts;
    spec.position.label = row == 2 * SOURCE_A_PROTOCOLS - 1 ? position_label : NULL;
    spec.value.label = column == 0 ? label : NULL;
    spec.value.min = 0.0; /* an interval may reach below; no share does */
    spec.value.max = top;
    plot_set_panel(plot, row * MOE_EXPERIMENTS + column, &spec);
    plot_link(plot, 0, row * MOE_EXPERIMENTS + column);
}

/* An empty plot with a panel for each protocol, layer and experiment, and the line of equal shares. */
static moe_status new_usage_plot(const struct report *report, const char *title, const char *note,
                                 const int32_t layers[SOURCE_A_LAYERS], int32_t experts, int32_t first_number,
                                 const char *position_label, double height, double top,
                                 struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct source_numbers names;
    const struct plot_pen uniform = source_reference_pen();
    source_name_numbers(&names, experts, first_number);
    const struct plot_layout layout = {.title = title,
                                       .note = note,
                                       .panel_height = height,
                                       .rows = SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS,
                                       .columns = MOE_EXPERIMENTS};
    moe_try(source_a_plot(report, layout, &plot, err));
    for (int32_t row = 0; row < SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS; row++) {
        for (int32_t c = 0; c < MOE_EXPERIMENTS; c++) {
            set_usage_panel(plot, row, c, layers[row % SOURCE_A_LAYERS], &names, experts, position_label,
                            top);
            plot_add_reference(plot, row * MOE_EXPERIMENTS + c, 100.0 / experts, &uniform);
        }
        if (row % SOURCE_A_LAYERS == 0)
            plot_head_row(plot, row, source_a_protocol_titles[row / SOURCE_A_LAYERS]);
    }
    char label[64];
    snprintf(label, sizeof label, "equal shares, %.1f %%", 100.0 / experts);
    plot_add_legend(plot, label, GEOM_LINE, &uniform);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

moe_status draw_a_usage(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    int32_t layers[SOURCE_A_LAYERS];
    int32_t experts = 0;
    (void)frame;
    moe_try(layers_and_experts(report, layers, &experts, err));
    moe_try(new_usage_plot(report, "Expert usage at the end of training",
                           "Share of the validation slots after the last epoch, experts of each run ordered "
                           "by their share; mean over {seeds}, error bars: 95 % interval. The published "
                           "values are of one seed, ordered the same way.",
                           layers, experts, 1, "expert, by rank", 100.0, NAN, &plot, err));
    const struct plot_pen published = source_ranked_published_pen();
    plot_add_legend(plot, "published", GEOM_POINTS, &published);
    for (int32_t row = 0; row < SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS; row++) {
        const int32_t protocol = row / SOURCE_A_LAYERS;
        const int32_t layer = layers[row % SOURCE_A_LAYERS];
        for (int32_t c = 0; c < MOE_EXPERIMENTS; c++) {
            const int32_t panel = row * MOE_EXPERIMENTS + c;
            moe_try(add_usage_bars(report, plot, panel, c + 1, protocol, layer, err));
            if (protocol == 0) moe_try(add_published_usage(report, plot, panel, c + 1, layer, err));
        }
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* The runs of the animation: each group's smallest seed. */
static moe_status evolution_usage(struct report *report, int32_t experiment, int32_t protocol, int32_t layer,
                                  struct usage *out, moe_err *err) {
    const struct run_group group = source_a_group(report, experiment, protocol);
    return usage_of_run(report->runs, &group.files[0], layer, out, err);
}

moe_status motion_a_usage_evolution(struct report *report, struct figure_motion *out_motion, moe_err *err) {
    moe_status status = MOE_OK;
    struct usage usage = {0};
    int32_t layers[SOURCE_A_LAYERS];
    int32_t frames = 0;
    moe_try(source_a_layers(report, layers, err));
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
            moe_try(evolution_usage(report, e, p, layers[0], &usage, err));
            if (usage.n > frames) frames = usage.n;
            usage_free(&usage);
        }
    }
    moe_check(frames > 0, err, MOE_ENOTFOUND, "figure a-usage-evolution: no evaluation recorded its routing");
    *out_motion = (struct figure_motion){.frames = frames, .delay = 50, .last_delay = 200};
out:
    usage_free(&usage);
    return status;
}

/* Bars of one panel after evaluation `frame`; a run that has ended keeps its last state, paler. */
static moe_status add_evolution_bars(struct report *report, struct plot *plot, int32_t panel,
                                     int32_t experiment, int32_t protocol, int32_t layer, int32_t frame,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    struct usage usage = {0};
    struct plot_pen pen;
    moe_try(source_a_pen(experiment, &pen, err));
    moe_try(evolution_usage(report, experiment, protocol, layer, &usage, err));
    if (usage.n == 0) goto out;
    const bool ended = frame >= usage.n;
    pen.opacity = ended ? 0.45 : 1.0;
    source_usage_bars(plot, panel, usage.shares + (int64_t)(ended ? usage.n - 1 : frame) * usage.experts,
                      usage.experts, &pen);
out:
    usage_free(&usage);
    return status;
}

/* The largest share in any frame. */
static moe_status largest_share(struct report *report, const int32_t layers[SOURCE_A_LAYERS],
                                double *out_share, moe_err *err) {
    moe_status status = MOE_OK;
    struct usage usage = {0};
    *out_share = 0.0;
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t k = 0; k < SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS; k++) {
            moe_try(
                evolution_usage(report, e, k / SOURCE_A_LAYERS, layers[k % SOURCE_A_LAYERS], &usage, err));
            for (int64_t i = 0; i < (int64_t)usage.n * usage.experts; i++)
                *out_share = fmax(*out_share, usage.shares[i]);
            usage_free(&usage);
        }
    }
out:
    usage_free(&usage);
    return status;
}

moe_status draw_a_usage_evolution(struct report *report, int32_t frame, struct plot **out_plot,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    int32_t layers[SOURCE_A_LAYERS];
    int32_t experts = 0;
    double largest = 0.0;
    char title[96];
    char note[512];
    const struct run_group first = source_a_group(report, 1, 0);
    moe_try(layers_and_experts(report, layers, &experts, err));
    moe_try(largest_share(report, layers, &largest, err));
    snprintf(title, sizeof title, "Expert usage after epoch %d", (int)frame + 1);
    snprintf(
        note, sizeof note,
        "Share of the validation slots, runs of seed %llu. Pale bars: the run has stopped, its last state.",
        (unsigned long long)first.files[0].info.seed);
    /* one axis for all frames */
    moe_try(
        new_usage_plot(report, title, note, layers, experts, 0, "expert", 78.0, 104.0 * largest, &plot, err));
    for (int32_t row = 0; row < SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS; row++) {
        for (int32_t c = 0; c < MOE_EXPERIMENTS; c++)
            moe_try(add_evolution_bars(report, plot, row * MOE_EXPERIMENTS + c, c + 1, row / SOURCE_A_LAYERS,
                                       layers[row % SOURCE_A_LAYERS], frame, err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
