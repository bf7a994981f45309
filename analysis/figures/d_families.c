/* Source D along its design axes: experts, granularity, shared experts, capacity. */
#include <math.h>
#include <stdio.h>

#include "analysis/figures/source_d.h"
#include "analysis/measures.h"
#include "analysis/style.h"

/* One number for each member of a family, with its interval. */
struct points {
    double value[SOURCE_D_FAMILY_MAX], low[SOURCE_D_FAMILY_MAX], high[SOURCE_D_FAMILY_MAX];
};

static moe_status estimates(struct report *report, const struct source_d_family *family,
                            enum source_d_protocol protocol, const char *measure, double scale,
                            struct points *out, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t m = 0; m < family->n; m++) {
        const struct run_group group = source_d_group(report, family->members[m], protocol);
        struct stats_estimate e;
        moe_try(measure_estimate(report->runs, &group, measure, &e, err));
        out->value[m] = scale * e.value;
        out->low[m] = scale * e.low;
        out->high[m] = scale * e.high;
    }
out:
    return status;
}

/* Validation cross-entropy at the end less that of another experiment, seed by seed. */
static moe_status differences(struct report *report, const struct source_d_family *family,
                              enum source_d_protocol protocol, enum source_d_experiment from,
                              struct points *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group base = source_d_group(report, from, protocol);
    for (int32_t m = 0; m < family->n; m++) {
        const struct run_group group = source_d_group(report, family->members[m], protocol);
        struct stats_difference d;
        moe_try(measure_paired(report->runs, &group, &base, "last_ce", &d, err));
        const bool same = family->members[m] == from;
        out->value[m] = d.value;
        out->low[m] = same ? NAN : d.low;
        out->high[m] = same ? NAN : d.high;
    }
out:
    return status;
}

/* The published evaluation losses less that of another row. */
static moe_status published_differences(struct report *report, const struct source_d_family *family,
                                        const char *from, struct points *out, moe_err *err) {
    moe_status status = MOE_OK;
    double base = 0.0;
    moe_try(source_published(report, "D", "results", from, "eval_loss", &base, err));
    for (int32_t m = 0; m < family->n; m++) {
        double loss = 0.0;
        moe_try(source_published(report, "D", "results", family->published[m], "eval_loss", &loss, err));
        out->value[m] = loss - base;
        out->low[m] = out->high[m] = NAN;
    }
out:
    return status;
}

/* Lines between the marks of a kind: those of a published run are dotted, as published dashed, corrected
 * solid. */
static struct plot_pen thread_pen(enum source_kind kind) {
    static const enum plot_dash dashes[SOURCE_KINDS] = {DASH_DOTTED, DASH_DASHED, DASH_SOLID};
    return (struct plot_pen){.colour = STYLE_MUTED, .width = 1.1, .opacity = 0.8, .dash = dashes[kind]};
}

/* Marks of what is scaled are triangles on a dotted thread. */
static struct plot_pen scaled_pen(struct plot_colour colour) {
    return (struct plot_pen){.colour = colour, .marker = MARKER_TRIANGLE, .marker_size = 7.5};
}

/* How the points of a family are marked: kind i of n beside each other. */
struct marks {
    enum source_kind kind;
    bool scaled;
    int32_t i, n;
};

/* Marks in the colours of the members, a thread between those that have a value. */
static moe_status add_points(struct plot *plot, int32_t panel, const struct source_d_family *family,
                             const struct marks *marks, const struct points *points, moe_err *err) {
    moe_status status = MOE_OK;
    double position[SOURCE_D_FAMILY_MAX];
    double at[SOURCE_D_FAMILY_MAX];
    double value[SOURCE_D_FAMILY_MAX];
    int32_t count = 0;
    for (int32_t m = 0; m < family->n; m++) {
        position[m] = m + plot_dodge(marks->i, marks->n, 0.4);
        if (isnan(points->value[m])) continue;
        at[count] = position[m];
        value[count++] = points->value[m];
    }
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = count > 1 ? count : 0,
                                          .position = at,
                                          .value = value,
                                          .pen = thread_pen(marks->scaled ? OF_PUBLISHED : marks->kind)});
    for (int32_t m = 0; m < family->n; m++) {
        struct plot_pen pen;
        if (isnan(points->value[m])) continue;
        moe_try(source_d_pen(family->members[m], &pen, err));
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_POINTS,
                                              .n = 1,
                                              .position = &position[m],
                                              .value = &points->value[m],
                                              .low = &points->low[m],
                                              .high = &points->high[m],
                                              .pen = marks->scaled
                                                         ? scaled_pen(pen.colour)
                                                         : source_kind_pen(marks->kind, pen.colour)});
    }
out:
    return status;
}

static void set_panel(struct plot *plot, int32_t panel, const struct source_d_family *family,
                      const char *title, const char *label, double reference) {
    const struct plot_pen line = source_reference_pen();
    struct plot_panel_spec spec = {.title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = family->label;
    spec.position.names = family->names;
    spec.position.num_names = family->n;
    spec.value.label = label;
    spec.value.room = true;
    plot_set_panel(plot, panel, &spec);
    if (!isnan(reference)) plot_add_reference(plot, panel, reference, &line);
}

static void legend(struct plot *plot, const char *reference) {
    for (int32_t k = OF_PUBLISHED; k < SOURCE_KINDS; k++) {
        struct plot_pen pen = source_kind_pen((enum source_kind)k, STYLE_MUTED);
        const struct plot_pen thread = thread_pen((enum source_kind)k);
        pen.width = thread.width;
        pen.dash = thread.dash;
        plot_add_legend(plot, source_kind_titles[k], GEOM_LINE, &pen);
    }
    const struct plot_pen line = source_reference_pen();
    plot_add_legend(plot, reference, GEOM_LINE, &line);
}

/* Ours, under both protocols, in one panel. */
static moe_status add_losses(struct report *report, struct plot *plot, int32_t panel,
                             const struct source_d_family *family, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        struct points points;
        moe_try(estimates(report, family, (enum source_d_protocol)p, "last_ce", 1.0, &points, err));
        const struct marks marks = {(enum source_kind)(OF_AS_PUBLISHED + p), false, p, D_PROTOCOLS};
        moe_try(add_points(plot, panel, family, &marks, &points, err));
    }
out:
    return status;
}

static moe_status add_differences(struct report *report, struct plot *plot, int32_t panel,
                                  const struct source_d_family *family, enum source_d_experiment from,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        struct points points;
        moe_try(differences(report, family, (enum source_d_protocol)p, from, &points, err));
        const struct marks marks = {(enum source_kind)(OF_AS_PUBLISHED + p), false, p, D_PROTOCOLS};
        moe_try(add_points(plot, panel, family, &marks, &points, err));
    }
out:
    return status;
}

static moe_status add_published(struct report *report, struct plot *plot, int32_t panel,
                                const struct source_d_family *family, enum source_d_experiment from,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct points points;
    moe_try(published_differences(report, family, source_d_experiments[from], &points, err));
    moe_try(add_points(plot, panel, family, &(struct marks){OF_PUBLISHED, false, 0, 1}, &points, err));
out:
    return status;
}

/* "Mean and 95 % interval over 5 seeds. ..." */
static void write_note(const struct report *report, const struct source_d_family *family, const char *more,
                       char *out, size_t size) {
    char seeds[32];
    source_d_seeds(report, family->members, family->n, seeds, sizeof seeds);
    snprintf(out, size,
             "Ours: validation cross-entropy after the last step, mean and 95 %% interval over %s; "
             "differences are taken seed by seed. Published: one seed, another size of model and data, so "
             "on an axis of its own.%s",
             seeds, more);
}

static moe_status draw_family(struct report *report, enum source_d_axis axis, const char *title,
                              struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct source_d_family *family = &source_d_families[axis];
    char note[384];
    write_note(report, family, "", note, sizeof note);
    moe_try(plot_new(&(struct plot_layout){.title = title,
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 210.0,
                                           .rows = 1,
                                           .columns = 3},
                     &plot, err));
    legend(plot, "same as dense");
    set_panel(plot, 0, family, "validation loss", "nats per token", NAN);
    set_panel(plot, 1, family, "minus dense", "nats per token", 0.0);
    set_panel(plot, 2, family, "published, minus dense", "nats per token", 0.0);
    moe_try(add_losses(report, plot, 0, family, err));
    moe_try(add_differences(report, plot, 1, family, D_DENSE, err));
    moe_try(add_published(report, plot, 2, family, D_DENSE, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

moe_status draw_d_scaling(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_family(report, D_SCALING, "Loss against the number of experts", out_plot, err);
}

moe_status draw_d_granularity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_family(report, D_GRANULARITY, "Loss against the granularity of experts", out_plot, err);
}

moe_status draw_d_shared(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_family(report, D_SHARED, "Loss against the number of shared experts", out_plot, err);
}

moe_status draw_d_capacity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct source_d_family *family = &source_d_families[D_CAPACITY];
    char note[512];
    (void)frame;
    write_note(
        report, family,
        " Dropped slots: share of all slots of the training steps. \"none\" is a2, which has no limit.", note,
        sizeof note);
    moe_try(plot_new(&(struct plot_layout){.title = "Loss and dropped slots against the capacity factor",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 180.0,
                                           .rows = 2,
                                           .columns = 2},
                     &plot, err));
    legend(plot, "same as without a limit");
    set_panel(plot, 0, family, "validation loss", "nats per token", NAN);
    set_panel(plot, 1, family, "dropped slots", "% of all slots", NAN);
    set_panel(plot, 2, family, "minus a2 (no limit)", "nats per token", 0.0);
    set_panel(plot, 3, family, "published, minus a2", "nats per token", 0.0);
    moe_try(add_losses(report, plot, 0, family, err));
    moe_try(add_differences(report, plot, 2, family, D_A2, err));
    moe_try(add_published(report, plot, 3, family, D_A2, err));
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        struct points points;
        moe_try(estimates(report, family, (enum source_d_protocol)p, "dropped_share", 100.0, &points, err));
        for (int32_t m = 0; m < family->n; m++)
            points.low[m] = fmax(0.0, points.low[m]); /* no less can be dropped */
        const struct marks marks = {(enum source_kind)(OF_AS_PUBLISHED + p), false, p, D_PROTOCOLS};
        moe_try(add_points(plot, 1, family, &marks, &points, err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* What corrected less as published makes, seed by seed. */
static moe_status changes(struct report *report, const struct source_d_family *family, struct points *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t m = 0; m < family->n; m++) {
        const struct run_group before = source_d_group(report, family->members[m], D_AS_PUBLISHED);
        const struct run_group after = source_d_group(report, family->members[m], D_CORRECTED);
        struct stats_difference d;
        moe_try(measure_paired(report->runs, &after, &before, "last_ce", &d, err));
        out->value[m] = d.value;
        out->low[m] = d.low;
        out->high[m] = d.high;
    }
out:
    return status;
}

/* The same of the runs with the raw weight doubled, corrected: less as published without it, or less dense.
 * NaN where there is none; *out_count is how many there are. */
static moe_status scaled_differences(struct report *report, const struct source_d_family *family,
                                     bool less_dense, struct points *out, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    *out_count = 0;
    for (int32_t m = 0; m < family->n; m++) {
        const enum source_d_experiment scaled = source_d_scaled(family->members[m]);
        out->value[m] = out->low[m] = out->high[m] = NAN;
        if (scaled == D_EXPERIMENTS) continue;
        const struct run_group a = source_d_group(report, scaled, D_CORRECTED);
        const struct run_group b = less_dense ? source_d_group(report, D_DENSE, D_CORRECTED)
                                              : source_d_group(report, family->members[m], D_AS_PUBLISHED);
        struct stats_difference d;
        moe_try(measure_paired(report->runs, &a, &b, "last_ce", &d, err));
        out->value[m] = d.value;
        out->low[m] = d.low;
        out->high[m] = d.high;
        ++*out_count;
    }
out:
    return status;
}

enum { FIX_PUBLISHED = 0, FIX_AS_PUBLISHED, FIX_CORRECTED, FIX_CHANGE, FIX_ROWS };

/* A family from the top to the bottom of the figure. */
static moe_status add_column(struct report *report, struct plot *plot, int32_t column, int32_t columns,
                             const struct source_d_family *family, moe_err *err) {
    moe_status status = MOE_OK;
    struct source_d_family untitled = *family;
    untitled.label = NULL;
    for (int32_t row = 0; row < FIX_ROWS; row++) {
        const int32_t panel = row * columns + column;
        const char *label = column > 0          ? NULL
                            : row == FIX_CHANGE ? "difference (nats)"
                                                : "minus dense (nats)";
        struct points points;
        set_panel(plot, panel, row == FIX_CHANGE ? family : &untitled, row == 0 ? family->title : NULL, label,
                  0.0);
        if (row == FIX_PUBLISHED) {
            moe_try(add_published(report, plot, panel, family, D_DENSE, err));
            continue;
        }
        if (row == FIX_CHANGE) {
            moe_try(changes(report, family, &points, err));
        } else {
            moe_try(differences(report, family, (enum source_d_protocol)(row - FIX_AS_PUBLISHED), D_DENSE,
                                &points, err));
        }
        if (row == FIX_AS_PUBLISHED) {
            moe_try(
                add_points(plot, panel, family, &(struct marks){OF_AS_PUBLISHED, false, 0, 1}, &points, err));
            continue;
        }
        struct points scaled;
        int32_t count = 0;
        moe_try(scaled_differences(report, family, row == FIX_CORRECTED, &scaled, &count, err));
        const int32_t beside = count > 0 ? 2 : 1;
        moe_try(
            add_points(plot, panel, family, &(struct marks){OF_CORRECTED, false, 0, beside}, &points, err));
        if (count > 0)
            moe_try(add_points(plot, panel, family, &(struct marks){OF_CORRECTED, true, 1, 2}, &scaled, err));
    }
    plot_link(plot, FIX_AS_PUBLISHED * columns + column, FIX_CORRECTED * columns + column);
out:
    return status;
}

moe_status draw_d_k1_fix(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const enum source_d_axis axes[] = {D_SCALING, D_GRANULARITY, D_SHARED};
    static const enum source_d_experiment members[] = {D_DENSE, D_A2,        D_B1,        D_B2,       D_B4,
                                                       D_C2,    D_C3,        D_C4,        D_D2,       D_D3,
                                                       D_D4,    D_A2_SCALED, D_B1_SCALED, D_B4_SCALED};
    const struct plot_pen raw = source_kind_pen(OF_CORRECTED, STYLE_MUTED);
    const struct plot_pen doubled = scaled_pen(STYLE_MUTED);
    const struct plot_pen line = source_reference_pen();
    static const char *const heads[FIX_ROWS] = {"published", "ours, as published", "ours, corrected",
                                                "ours, corrected minus as published"};
    enum { COLUMNS = 3 };
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[768];
    (void)frame;
    source_d_seeds(report, members, (int32_t)(sizeof members / sizeof members[0]), seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "Rows 1 to 3: validation loss minus that of the dense model 01; rows 2 and 3 have the same axis. "
        "Ours: mean and 95 %% interval over %s, differences taken seed by seed. One routed expert is "
        "active in the whole left column, in \"1 of 8\" and in \"3 + 1\": only there does the corrected "
        "combine weight differ. Triangles: the raw weight doubled, so that the expert's output begins about "
        "as large as with a weight of one. Published: one seed, another size of model and data.",
        seeds);
    moe_try(
        plot_new(&(struct plot_layout){.title = "One active expert: combine weight divided by itself, or not",
                                       .note = note,
                                       .width = STYLE_PAGE_WIDTH,
                                       .panel_height = 125.0,
                                       .rows = FIX_ROWS,
                                       .columns = COLUMNS},
                 &plot, err));
    plot_add_legend(plot, "corrected: raw weight", GEOM_POINTS, &raw);
    plot_add_legend(plot, "corrected: raw weight doubled", GEOM_POINTS, &doubled);
    plot_add_legend(plot, "no difference", GEOM_LINE, &line);
    for (int32_t row = 0; row < FIX_ROWS; row++)
        plot_head_row(plot, row, heads[row]);
    for (int32_t c = 0; c < COLUMNS; c++)
        moe_try(add_column(report, plot, c, COLUMNS, &source_d_families[axes[c]], err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
