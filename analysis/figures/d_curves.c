/* Source D during training: losses, the routers' gradient, balance. */
#include <math.h>
#include <stdio.h>

#include "analysis/figures/source_d.h"
#include "analysis/measures.h"
#include "analysis/style.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

static struct plot_panel_spec step_panel(const char *title, const char *label) {
    struct plot_panel_spec spec = {.title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = "step";
    spec.value.label = label;
    return spec;
}

/* A series of several experiments under one protocol, drawn as lines without marks. */
struct curves {
    enum source_d_protocol protocol;
    const enum source_d_experiment *experiments; /* [count] */
    int32_t count;
    const char *series;
    double skip; /* source_curve */
    bool log;
    double floor, ceiling; /* of intervals; NaN = none */
};

static moe_status add_curves(struct report *report, struct plot *plot, int32_t panel, const struct curves *c,
                             moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < c->count; i++) {
        const struct run_group group = source_d_group(report, c->experiments[i], c->protocol);
        struct source_curve curve = {
            .series = c->series, .floor = c->floor, .ceiling = c->ceiling, .skip = c->skip, .log = c->log};
        moe_try(source_d_pen(c->experiments[i], &curve.pen, err));
        curve.pen.marker = MARKER_NONE;
        moe_try(source_draw_curve(report, plot, panel, &group, &curve, err));
    }
out:
    return status;
}

/* Legend entries of lines without marks. */
static moe_status line_legend(struct plot *plot, const enum source_d_experiment *experiments, int32_t count,
                              moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < count; i++) {
        struct plot_pen pen;
        moe_try(source_d_pen(experiments[i], &pen, err));
        pen.marker = MARKER_NONE;
        plot_add_legend(plot, source_d_titles[experiments[i]], GEOM_LINE, &pen);
    }
out:
    return status;
}

/* The part of a run that would hide the rest: losses fall fastest at the start. */
#define TRAINING_SKIP (1.0 / 3.0)

/* One family under both protocols, with the dense model. */
static moe_status add_training_row(struct report *report, struct plot *plot, int32_t row, bool last,
                                   const struct source_d_family *family, moe_err *err) {
    static const enum source_d_experiment dense[] = {D_DENSE};
    moe_status status = MOE_OK;
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        const int32_t panel = D_PROTOCOLS * row + p;
        struct curves curves = {.protocol = (enum source_d_protocol)p,
                                .experiments = dense,
                                .count = 1,
                                .series = "step_eval_ce",
                                .skip = TRAINING_SKIP,
                                .floor = NAN,
                                .ceiling = NAN};
        char title[96];
        snprintf(title, sizeof title, "%s, %s", family->title, source_d_protocol_titles[p]);
        struct plot_panel_spec spec = step_panel(title, p == 0 ? "nats per token" : NULL);
        if (!last) spec.position.label = NULL;
        plot_set_panel(plot, panel, &spec);
        moe_try(add_curves(report, plot, panel, &curves, err));
        curves.experiments = family->members;
        curves.count = family->n;
        moe_try(add_curves(report, plot, panel, &curves, err));
    }
    plot_link(plot, D_PROTOCOLS * row, D_PROTOCOLS * row + 1);
out:
    return status;
}

moe_status draw_d_training(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const enum source_d_axis shown[] = {D_BALANCING, D_SCALING, D_GRANULARITY, D_SHARED};
    static const enum source_d_experiment all[] = {D_DENSE, D_A0, D_A1, D_A2, D_B1, D_B2, D_B4,
                                                   D_C2,    D_C3, D_C4, D_D2, D_D3, D_D4};
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[256];
    (void)frame;
    source_d_seeds(report, all, COUNT(all), seeds, sizeof seeds);
    snprintf(note, sizeof note,
             "Cross-entropy on the validation split, mean and 95 %% interval over %s. The first third of the "
             "steps is left out.",
             seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Validation loss during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 170.0,
                                           .rows = COUNT(shown),
                                           .columns = D_PROTOCOLS},
                     &plot, err));
    moe_try(line_legend(plot, all, COUNT(all), err));
    for (int32_t f = 0; f < COUNT(shown); f++)
        moe_try(add_training_row(report, plot, f, f == COUNT(shown) - 1, &source_d_families[shown[f]], err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

moe_status draw_d_dense_parity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const enum source_d_experiment both[] = {D_LLAMA, D_DENSE};
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[384];
    double published[2];
    (void)frame;
    for (int32_t i = 0; i < 2; i++)
        moe_try(source_published(report, "D", "results", source_d_experiments[both[i]], "eval_loss",
                                 &published[i], err));
    source_d_seeds(report, both, 2, seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "Cross-entropy on the validation split, mean and 95 %% interval over %s; the difference is taken "
        "seed by seed. The published difference is that of the final losses of one seed each.",
        seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Two dense models of the same architecture",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 220.0,
                                           .rows = 1,
                                           .columns = 2},
                     &plot, err));
    moe_try(source_d_legend(plot, both, 2, GEOM_LINE, err));
    struct plot_panel_spec spec = step_panel("validation loss", "nats per token");
    plot_set_panel(plot, 0, &spec);
    spec = step_panel("01 minus 00", "nats per token");
    plot_set_panel(plot, 1, &spec);
    struct source_curve curve = {.series = "step_eval_ce", .floor = NAN, .ceiling = NAN};
    for (int32_t i = 0; i < 2; i++) {
        const struct run_group group = source_d_group(report, both[i], D_AS_PUBLISHED);
        moe_try(source_d_pen(both[i], &curve.pen, err));
        moe_try(source_draw_curve(report, plot, 0, &group, &curve, err));
    }
    const struct run_group llama = source_d_group(report, D_LLAMA, D_AS_PUBLISHED);
    const struct run_group dense = source_d_group(report, D_DENSE, D_AS_PUBLISHED);
    const struct plot_pen zero = source_reference_pen();
    struct plot_pen mark = source_published_pen(STYLE_MUTED);
    mark.marker = MARKER_NONE;
    plot_add_reference(plot, 1, 0.0, &zero);
    plot_add_reference(plot, 1, published[1] - published[0], &mark);
    moe_try(source_draw_difference(report, plot, 1, &dense, &llama, &curve, err));
    plot_add_legend(plot, "no difference", GEOM_LINE, &zero);
    plot_add_legend(plot, "published difference", GEOM_LINE, &mark);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

moe_status draw_d_router_gradient(struct report *report, int32_t frame, struct plot **out_plot,
                                  moe_err *err) {
    static const enum source_d_experiment shown[] = {D_A2, D_D4, D_C2, D_C3};
    static const char *const series[] = {"step_router_grad_norm", "step_router_grad_share"};
    static const char *const what[] = {"norm", "share of all gradients"};
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[384];
    (void)frame;
    source_d_seeds(report, shown, COUNT(shown), seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "L2 norm of the gradients of all routers before clipping; each point is a mean over neighbouring "
        "steps. Geometric mean and 95 %% interval over %s. a2 and d4 route to one expert, c2 and c3 to "
        "more.",
        seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Gradient of the routers during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 200.0,
                                           .rows = COUNT(series),
                                           .columns = D_PROTOCOLS},
                     &plot, err));
    moe_try(line_legend(plot, shown, COUNT(shown), err));
    for (int32_t s = 0; s < COUNT(series); s++) {
        for (int32_t p = 0; p < D_PROTOCOLS; p++) {
            char title[96];
            snprintf(title, sizeof title, "%s, %s", what[s], source_d_protocol_titles[p]);
            struct plot_panel_spec spec = step_panel(title, NULL);
            spec.value.log = true;
            if (s == 0) spec.position.label = NULL;
            plot_set_panel(plot, D_PROTOCOLS * s + p, &spec);
            const struct curves curves = {.protocol = (enum source_d_protocol)p,
                                          .experiments = shown,
                                          .count = COUNT(shown),
                                          .series = series[s],
                                          .log = true,
                                          .floor = NAN,
                                          .ceiling = s == 1 ? 1.0 : NAN};
            moe_try(add_curves(report, plot, D_PROTOCOLS * s + p, &curves, err));
        }
        plot_link(plot, D_PROTOCOLS * s, D_PROTOCOLS * s + 1);
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* Final loss of each rule, and beside it the difference from the first. */
static moe_status add_rules(struct report *report, struct plot *plot, int32_t panel,
                            const enum source_d_experiment *rules, int32_t count, bool difference,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group base = source_d_group(report, rules[0], D_CORRECTED);
    for (int32_t i = difference; i < count; i++) {
        const struct run_group group = source_d_group(report, rules[i], D_CORRECTED);
        const double position = i;
        struct plot_pen pen;
        double value = 0.0;
        double low = NAN;
        double high = NAN;
        if (difference) {
            struct stats_difference d;
            moe_try(measure_paired(report->runs, &group, &base, "last_ce", &d, err));
            value = d.value;
            low = d.low;
            high = d.high;
        } else {
            struct stats_estimate e;
            moe_try(measure_estimate(report->runs, &group, "last_ce", &e, err));
            value = e.value;
            low = e.low;
            high = e.high;
        }
        moe_try(source_d_pen(rules[i], &pen, err));
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_POINTS,
                                              .n = 1,
                                              .position = &position,
                                              .value = &value,
                                              .low = &low,
                                              .high = &high,
                                              .pen = source_kind_pen(OF_CORRECTED, pen.colour)});
    }
out:
    return status;
}

moe_status draw_d_bias_rules(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const enum source_d_experiment rules[] = {D_A2, D_A2_TEXT, D_A2_SIGN};
    static const char *const names[] = {"code (a2)", "text", "sign"};
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[384];
    const struct plot_pen line = source_reference_pen();
    (void)frame;
    source_d_seeds(report, rules, COUNT(rules), seeds, sizeof seeds);
    snprintf(note, sizeof note,
             "Corrected protocol, mean and 95 %% interval over %s. Imbalance: largest over mean load of an "
             "expert in a training batch, mean over layers. The bias moves by \"code\": the relative excess "
             "of load; \"text\": the excess of share, smaller by the number of experts; \"sign\": a "
             "constant.",
             seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Three rules for the bias of the selection",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 200.0,
                                           .rows = 1,
                                           .columns = 3},
                     &plot, err));
    for (int32_t i = 0; i < COUNT(rules); i++) {
        struct plot_pen pen;
        moe_try(source_d_pen(rules[i], &pen, err));
        pen.marker = MARKER_NONE;
        plot_add_legend(plot, names[i], GEOM_LINE, &pen);
    }
    plot_add_legend(plot, "equal load; no difference", GEOM_LINE, &line);
    struct plot_panel_spec spec = step_panel("imbalance", "largest / mean load");
    plot_set_panel(plot, 0, &spec);
    plot_add_reference(plot, 0, 1.0, &line);
    const double experts = source_d_group(report, D_A2, D_CORRECTED).files[0].info.axes.experts;
    moe_try(add_curves(report, plot, 0,
                       &(struct curves){.protocol = D_CORRECTED,
                                        .experiments = rules,
                                        .count = COUNT(rules),
                                        .series = "step_max_over_mean",
                                        .floor = 1.0,
                                        .ceiling = experts},
                       err));
    for (int32_t k = 0; k < 2; k++) {
        struct plot_panel_spec points =
            step_panel(k == 0 ? "validation loss" : "minus \"code\"", "nats per token");
        points.position.label = "rule";
        points.position.names = names;
        points.position.num_names = COUNT(rules);
        plot_set_panel(plot, 1 + k, &points);
        moe_try(add_rules(report, plot, 1 + k, rules, COUNT(rules), k == 1, err));
    }
    plot_add_reference(plot, 2, 0.0, &line);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
