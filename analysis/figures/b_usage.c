/* Usage of the experts of source B: at the end beside the published list, and over training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_b.h"
#include "analysis/plot_axis.h"
#include "analysis/style.h"

/* Panels of usage: rows are protocols, columns the models with experts. */
#define PANELS (B_PROTOCOLS * B_ROUTED)

static enum source_b_experiment model_of(int32_t panel) {
    return (enum source_b_experiment)(panel % B_ROUTED);
}

static struct run_group group_of(const struct report *report, int32_t panel) {
    return source_b_group(report, model_of(panel), (enum source_b_protocol)(panel / B_ROUTED));
}

static struct plot_pen bound_pen(void) {
    return (struct plot_pen){.colour = STYLE_INK, .width = 1.4, .dash = DASH_DASHED};
}

/* Experts of a group of runs, which all of them share. */
static moe_status experts_of(const struct run_group *group, int32_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    *out = group->files[0].info.axes.experts;
    for (int32_t s = 0; s < group->n; s++)
        moe_check(group->files[s].info.axes.experts == *out && *out <= SOURCE_MAX_EXPERTS, err, MOE_EMISMATCH,
                  "%s: %d experts, but %s has %d", group->files[s].path, group->files[s].info.axes.experts,
                  group->files[0].path, *out);
out:
    return status;
}

/* The panels of usage. first: number of the first position. top: end of the value axis, NaN = free. training:
 * GShard's model leaves second choices out by chance, so that an expert may have more than the bound. */
static moe_status usage_panels(struct report *report, struct plot *plot, int32_t first,
                               const char *position_label, double top, bool training, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen uniform = source_reference_pen();
    const struct plot_pen bound = bound_pen();
    for (int32_t i = 0; i < PANELS; i++) {
        const enum source_b_experiment model = model_of(i);
        const int32_t protocol = i / B_ROUTED;
        const struct run_group group = group_of(report, i);
        struct plot_panel_spec spec = {
            .title = source_b_titles[model], .position = plot_axis_auto(), .value = plot_axis_auto()};
        struct source_numbers names;
        struct source_b_shape shape;
        int32_t experts = 0;
        moe_try(experts_of(&group, &experts, err));
        moe_try(source_b_shape_of(report, &group.files[0], &shape, err));
        source_name_numbers(&names, experts, first);
        spec.position.names = names.names;
        spec.position.num_names = experts;
        spec.position.label = protocol == B_PROTOCOLS - 1 ? position_label : NULL;
        spec.value.label = model == B_FLAT ? "share (%)" : NULL;
        spec.value.min = 0.0; /* an interval may reach below; no share does */
        spec.value.max = top;
        plot_set_panel(plot, i, &spec);
        plot_add_reference(plot, i, 100.0 / experts, &uniform);
        if (model != B_GSHARD || !training)
            plot_add_reference(plot, i, 100.0 * source_b_largest_share(&shape), &bound);
        plot_head_row(plot, protocol, source_b_protocol_titles[protocol]);
    }
out:
    return status;
}

/* Equal shares and the bound of the flat model. */
static moe_status usage_legend(struct report *report, struct plot *plot, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen uniform = source_reference_pen();
    const struct plot_pen bound = bound_pen();
    const struct run_group flat = source_b_group(report, B_FLAT, B_AS_PUBLISHED);
    struct source_b_shape shape;
    char label[96];
    moe_try(source_b_shape_of(report, &flat.files[0], &shape, err));
    snprintf(label, sizeof label, "equal shares, %.3g %%", 100.0 / shape.experts);
    plot_add_legend(plot, label, GEOM_LINE, &uniform);
    snprintf(label, sizeof label, "the most that %d of %d allow, %.3g %%", shape.top_k, shape.experts,
             100.0 * source_b_largest_share(&shape));
    plot_add_legend(plot, label, GEOM_LINE, &bound);
out:
    return status;
}

#define GATES_ASIDE 0.22 /* from the middle of a bar, where the published list has its marks */

static struct plot_pen gate_pen(void) {
    return (struct plot_pen){
        .colour = STYLE_INK, .width = 0.0, .marker = MARKER_CIRCLE, .marker_size = 5.5, .opacity = 0.9};
}

/* Shares of the gates, ranked among themselves, on the bars of the choices. */
static moe_status add_gates(struct report *report, struct plot *plot, int32_t panel,
                            const struct run_group *group, moe_err *err) {
    moe_status status = MOE_OK;
    struct stats_estimate shares[SOURCE_MAX_EXPERTS];
    double position[SOURCE_MAX_EXPERTS];
    double value[SOURCE_MAX_EXPERTS];
    const int32_t experts = group->files[0].info.axes.experts;
    moe_try(source_ranked_usage(report, group, SHARE_OF_MASS, B_OF_EXPERTS, experts, shares, err));
    for (int32_t i = 0; i < experts; i++) {
        position[i] = i + GATES_ASIDE;
        value[i] = shares[i].value;
    }
    plot_add_series(
        plot, panel,
        &(struct plot_series){
            .geom = GEOM_POINTS, .n = experts, .position = position, .value = value, .pen = gate_pen()});
out:
    return status;
}

moe_status draw_b_usage(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct plot_pen published = source_ranked_published_pen();
    const struct plot_pen gates = gate_pen();
    char seeds[32];
    char note[640];
    (void)frame;
    source_b_seeds(report, B_ROUTED, false, seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "Bars: share of the assignments of the test images after the last epoch, experts of each run "
        "ordered by their share; mean over %s, error bars: 95 %% interval. Dots: share of the gates, "
        "which weigh what a chosen expert says, ordered by themselves. The published list is of the flat "
        "model, ordered the same way.",
        seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Expert usage, published and measured",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 170.0,
                                           .rows = B_PROTOCOLS,
                                           .columns = B_ROUTED},
                     &plot, err));
    plot_add_legend(plot, "published list", GEOM_POINTS, &published);
    plot_add_legend(plot, "share of the gates", GEOM_POINTS, &gates);
    moe_try(usage_legend(report, plot, err));
    moe_try(usage_panels(report, plot, 1, "expert, by rank", NAN, false, err));
    for (int32_t i = 0; i < PANELS; i++) {
        const struct run_group group = group_of(report, i);
        struct plot_pen pen;
        moe_try(source_b_pen(model_of(i), &pen, err));
        moe_try(source_ranked_bars(report, plot, i, &group, B_OF_EXPERTS, &pen, err));
        moe_try(add_gates(report, plot, i, &group, err));
        if (model_of(i) == B_FLAT)
            moe_try(source_ranked_published(report, plot, i, "B", "usage.percent", err));
        plot_link(plot, 0, i);
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* ---- over training, in the runs of the smallest seed */

/* Points over the width of a panel, and of a run that grow with it. */
#define MAX_POINTS 125
#define MAX_FRAMES 96

/* The course of the experts of a panel; max_points as load_course_of_run() has it. */
static moe_status course_of(struct report *report, int32_t panel, int32_t max_points, struct load_course *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = group_of(report, panel);
    int32_t experts = 0;
    int32_t row = 0;
    *out = (struct load_course){0};
    moe_try(experts_of(&group, &experts, err));
    moe_try(series_layer_row(report->runs, &group.files[0], B_OF_EXPERTS, &row, err));
    moe_try(load_course_of_run(report->runs, &group.files[0], max_points, out, err));
    load_course_keep(out, row);
out:
    return status;
}

/* The stack of one model under one protocol. */
static moe_status add_stack(struct report *report, struct plot *plot, int32_t panel, moe_err *err) {
    moe_status status = MOE_OK;
    const enum source_b_experiment model = model_of(panel);
    struct load_course course = {0};
    struct plot_panel_spec spec = {
        .title = source_b_titles[model], .position = plot_axis_auto(), .value = plot_axis_auto()};
    moe_try(course_of(report, panel, MAX_POINTS, &course, err));
    spec.position.zero = true;
    spec.position.max = course.step[course.n - 1];
    spec.value.label = model == B_FLAT ? "share (%)" : NULL;
    spec.value.min = 0.0;
    spec.value.max = 100.0;
    plot_set_panel(plot, panel, &spec);
    moe_try(source_stack(plot, panel, &course, err));
out:
    load_course_free(&course);
    return status;
}

/* Points of a run for its ranks: of so many records at least, the later ones of a quarter of what lies before
 * them, so that a single batch's chance does not decide. Up to the last quarter, which they are compared
 * with. */
#define RANK_RECORDS 8

/* Rank correlation of the experts' shares at a point with those of the last quarter of the run. */
static moe_status ranks_of_run(struct report *report, const struct run_file *file, struct series *out,
                               moe_err *err) {
    moe_status status = MOE_OK;
    struct load_course c = {0};
    int32_t ends[MAX_FRAMES + 1];
    int32_t points = 0;
    int32_t row = 0;
    *out = (struct series){0};
    moe_try(series_layer_row(report->runs, file, B_OF_EXPERTS, &row, err));
    moe_try(load_course_of_run(report->runs, file, INT32_MAX, &c, err));
    load_course_keep(&c, row);
    const int32_t late = c.n - c.n / 4;
    for (int32_t end = 0; points < MAX_FRAMES && end < late;) {
        const int32_t length = end / 4 > RANK_RECORDS ? end / 4 : RANK_RECORDS;
        end = end + 2 * length > late ? late : end + length; /* what is left over is the last one's */
        ends[points++] = end;
    }
    if (late == c.n) goto out; /* too short to have a last quarter */
    ends[points] = c.n;
    load_course_merge(&c, ends, points + 1);
    out->x = calloc((size_t)points + 1, sizeof *out->x);
    out->y = calloc((size_t)points + 1, sizeof *out->y);
    moe_check(out->x != NULL && out->y != NULL, err, MOE_ENOMEM, "cannot allocate %d values", points);
    out->n = points;
    for (int32_t i = 0; i < points; i++) {
        out->x[i] = c.step[i];
        struct stats_rank_correlation r;
        moe_try(stats_spearman(c.shares + (int64_t)i * c.experts, c.shares + (int64_t)points * c.experts,
                               c.experts, &r, err));
        out->y[i] = r.rho;
    }
out:
    load_course_free(&c);
    if (status != MOE_OK) series_free(out);
    return status;
}

/* The ranks of a model over its seeds. */
static moe_status add_ranks(struct report *report, struct plot *plot, int32_t panel,
                            enum source_b_experiment model, enum source_b_protocol protocol, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = source_b_group(report, model, protocol);
    struct series_group g = {0};
    struct source_curve curve = {.floor = -1.0, .ceiling = 1.0};
    moe_try(source_b_pen(model, &curve.pen, err));
    curve.pen.marker = MARKER_NONE;
    if (protocol == B_AS_PUBLISHED) curve.pen.dash = DASH_DASHED;
    g.runs = calloc((size_t)group.n + 1, sizeof *g.runs);
    moe_check(g.runs != NULL, err, MOE_ENOMEM, "cannot allocate %d series", group.n);
    for (; g.seeds < group.n; g.seeds++)
        moe_try(ranks_of_run(report, &group.files[g.seeds], &g.runs[g.seeds], err));
    moe_try(series_group_begin(&g, err));
    moe_try(source_draw_group(plot, panel, &g, &curve, err));
out:
    series_group_free(&g);
    return status;
}

/* A row of panels, one for each model: both protocols. */
static moe_status add_rank_row(struct report *report, struct plot *plot, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen line = source_reference_pen();
    plot_head_row(plot, B_PROTOCOLS, "rank correlation with the last quarter of the run");
    for (int32_t m = 0; m < B_ROUTED; m++) {
        const int32_t panel = PANELS + m;
        struct plot_panel_spec spec = {
            .title = source_b_titles[m], .position = plot_axis_auto(), .value = plot_axis_auto()};
        spec.position.label = "step";
        spec.position.log = true;
        spec.value.label = m == 0 ? "Spearman's rho" : NULL;
        spec.value.max = 1.0;
        plot_set_panel(plot, panel, &spec);
        plot_add_reference(plot, panel, 0.0, &line);
        for (int32_t p = 0; p < B_PROTOCOLS; p++)
            moe_try(
                add_ranks(report, plot, panel, (enum source_b_experiment)m, (enum source_b_protocol)p, err));
        plot_link(plot, PANELS, panel);
    }
out:
    return status;
}

moe_status draw_b_usage_evolution(struct report *report, int32_t frame, struct plot **out_plot,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct run_group flat = source_b_group(report, B_FLAT, B_CORRECTED);
    char note[640];
    char label[32];
    char seeds[32];
    (void)frame;
    source_b_seeds(report, B_ROUTED, false, seeds, sizeof seeds);
    const int32_t experts = flat.files[0].info.axes.experts;
    snprintf(
        note, sizeof note,
        "Areas: runs of seed %llu, assignments of training batches, means of neighbouring ones; in the "
        "hierarchical models two neighbours, from the first on, are a group. Below: ranks of the experts "
        "by their share, at each time against the last quarter of the same run; corrected solid with the "
        "95 %% interval over %s, as published dashed.",
        (unsigned long long)flat.files[0].info.seed, seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Usage of each expert during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 150.0,
                                           .rows = B_PROTOCOLS + 1,
                                           .columns = B_ROUTED},
                     &plot, err));
    for (int32_t e = 0; e < experts; e++) {
        snprintf(label, sizeof label, e == 0 ? "expert %d" : "%d", (int)e);
        plot_add_legend(plot, label, GEOM_AREA, &(struct plot_pen){.colour = style_expert(e, experts)});
    }
    for (int32_t p = 0; p < B_PROTOCOLS; p++)
        plot_head_row(plot, p, source_b_protocol_titles[p]);
    for (int32_t i = 0; i < PANELS; i++)
        moe_try(add_stack(report, plot, i, err));
    moe_try(add_rank_row(report, plot, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* ---- the same as an animation */

/* Frames end at these records of the longest run, each about a quarter further than the one before: what
 * happens early is seen too. */
struct frames {
    int32_t n;
    int32_t ends[MAX_FRAMES];
};

static struct frames frames_of(int32_t records) {
    struct frames f = {0};
    for (int32_t end = 0; end < records && f.n < MAX_FRAMES;) {
        const int32_t further = end + 1 + end / 4;
        end = further < records ? further : records;
        f.ends[f.n++] = end;
    }
    return f;
}

static moe_status records_of_longest(struct report *report, int32_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    *out = 0;
    for (int32_t i = 0; i < PANELS; i++) {
        const struct run_group group = group_of(report, i);
        const int64_t rows = group.files[0].info.rows[RUN_ROUTING];
        moe_check(rows > 0 && rows <= INT32_MAX, err, MOE_ENOTFOUND,
                  "%s: no routing of training steps is recorded", group.files[0].path);
        if (rows > *out) *out = (int32_t)rows;
    }
out:
    return status;
}

moe_status motion_b_usage_gif(struct report *report, struct figure_motion *out_motion, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t records = 0;
    moe_try(records_of_longest(report, &records, err));
    *out_motion = (struct figure_motion){.frames = frames_of(records).n, .delay = 25, .last_delay = 250};
out:
    return status;
}

/* The course of a model with a point for each frame, as far as it trained. */
static moe_status frames_of_model(struct report *report, int32_t panel, const struct frames *frames,
                                  struct load_course *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct frames own = *frames;
    moe_try(course_of(report, panel, INT32_MAX, out, err));
    own.n = 0;
    while (own.n < frames->n && (own.n == 0 || own.ends[own.n - 1] < out->n)) {
        if (own.ends[own.n] > out->n) own.ends[own.n] = out->n;
        own.n++;
    }
    load_course_merge(out, own.ends, own.n);
out:
    return status;
}

moe_status draw_b_usage_gif(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct load_course courses[PANELS] = {{0}};
    struct frames frames;
    int32_t records = 0;
    double largest = 0.0;
    char from[32], to[32], title[96];
    char note[320];
    const struct run_group flat = source_b_group(report, B_FLAT, B_CORRECTED);
    moe_try(records_of_longest(report, &records, err));
    frames = frames_of(records);
    for (int32_t i = 0; i < PANELS; i++) {
        moe_try(frames_of_model(report, i, &frames, &courses[i], err));
        for (int64_t c = 0; c < (int64_t)courses[i].n * courses[i].experts; c++)
            largest = fmax(largest, 100.0 * courses[i].shares[c]);
    }
    const int64_t begin = frame > 0 ? (int64_t)frames.ends[frame - 1] * courses[0].interval : 0;
    const int64_t end = (int64_t)frames.ends[frame] * courses[0].interval;
    axis_format(from, sizeof from, (double)(begin + 1), 0);
    axis_format(to, sizeof to, (double)end, 0);
    snprintf(title, sizeof title, "Expert usage, steps %s to %s", from, to);
    snprintf(note, sizeof note,
             "Runs of seed %llu; training batches of these steps. Pale: the run has ended, its last "
             "state. "
             "GShard drops second choices by chance.",
             (unsigned long long)flat.files[0].info.seed);
    moe_try(plot_new(&(struct plot_layout){.title = title,
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 100.0,
                                           .rows = B_PROTOCOLS,
                                           .columns = B_ROUTED},
                     &plot, err));
    moe_try(usage_legend(report, plot, err));
    moe_try(usage_panels(report, plot, 0, "expert", fmax(1.04 * largest, 26.0), true, err));
    for (int32_t i = 0; i < PANELS; i++) {
        const struct load_course *c = &courses[i];
        const bool ended = frame >= c->n;
        struct plot_pen pen;
        moe_try(source_b_pen(model_of(i), &pen, err));
        pen.opacity = ended ? 0.45 : 1.0;
        source_usage_bars(plot, i, c->shares + (int64_t)(ended ? c->n - 1 : frame) * c->experts, c->experts,
                          &pen);
    }
    *out_plot = plot;
    plot = NULL;
out:
    for (int32_t i = 0; i < PANELS; i++)
        load_course_free(&courses[i]);
    plot_free(plot);
    return status;
}
