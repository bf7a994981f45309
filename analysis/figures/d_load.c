/* Expert load of source D during training, averaged over layers: stacked, and as lines. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_d.h"
#include "analysis/load_course.h"
#include "analysis/style.h"

/* Points over the width of a panel. */
#define MAX_POINTS 200

/* Legends and stacks of more would not be read. */
#define MAX_EXPERTS 64

/* The course of the run of the smallest seed. */
static moe_status course_of(struct report *report, enum source_d_experiment experiment, int32_t protocol,
                            struct load_course *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = source_d_group(report, experiment, (enum source_d_protocol)protocol);
    moe_try(load_course_of_run(report->runs, &group.files[0], MAX_POINTS, out, err));
    moe_check(out->experts <= MAX_EXPERTS, err, MOE_EMISMATCH,
              "%s: %d experts; a figure of their load has room for %d", group.files[0].path, out->experts,
              MAX_EXPERTS);
out:
    if (status != MOE_OK) load_course_free(out);
    return status;
}

static struct plot_pen largest_pen(void) {
    return (struct plot_pen){.colour = STYLE_MUTED, .width = 1.4, .dash = DASH_DASHED};
}

static struct plot_pen expert_pen(int32_t expert, int32_t experts) {
    return (struct plot_pen){.colour = style_expert(expert, experts), .width = 1.5};
}

/* Each expert's share in percent, and the largest of a layer. */
static void add_lines(struct plot *plot, int32_t panel, const struct load_course *c, double *share) {
    struct plot_series series = {.geom = GEOM_LINE, .n = c->n, .position = c->step, .value = share};
    const struct plot_pen uniform = source_reference_pen();
    for (int32_t i = 0; i < c->n; i++)
        share[i] = 100.0 * load_course_largest(c, i);
    series.pen = largest_pen();
    plot_add_series(plot, panel, &series);
    for (int32_t e = 0; e < c->experts; e++) {
        for (int32_t i = 0; i < c->n; i++)
            share[i] = 100.0 * load_course_mean(c, i, e);
        series.pen = expert_pen(e, c->experts);
        plot_add_series(plot, panel, &series);
    }
    plot_add_reference(plot, panel, 100.0 / c->experts, &uniform);
}

/* The panels of one protocol: the stack above, the lines below. */
static moe_status add_column(struct plot *plot, int32_t protocol, const struct load_course *c, moe_err *err) {
    moe_status status = MOE_OK;
    char title[96];
    double *scratch = calloc((size_t)c->n, sizeof *scratch);
    moe_check(scratch != NULL, err, MOE_ENOMEM, "cannot allocate a series of %d values", c->n);
    for (int32_t row = 0; row < 2; row++) {
        struct plot_panel_spec spec = {
            .title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
        snprintf(title, sizeof title, "%s: %s", source_d_protocol_titles[protocol],
                 row == 0 ? "shares, stacked" : "share of each expert");
        spec.position.label = row == 1 ? "step" : NULL;
        spec.position.zero = true;
        spec.position.max = c->step[c->n - 1] + (c->bin - 1) * 0.5 * (double)c->interval;
        spec.value.label = protocol == 0 ? "share (%)" : NULL;
        spec.value.min = 0.0;
        if (row == 0) spec.value.max = 100.0;
        plot_set_panel(plot, D_PROTOCOLS * row + protocol, &spec);
    }
    moe_try(source_stack(plot, protocol, c, err));
    add_lines(plot, D_PROTOCOLS + protocol, c, scratch);
out:
    free(scratch);
    return status;
}

static void add_legend(struct plot *plot, int32_t experts) {
    const struct plot_pen uniform = source_reference_pen();
    const struct plot_pen largest = largest_pen();
    char label[64];
    for (int32_t e = 0; e < experts; e++) {
        snprintf(label, sizeof label, e == 0 ? "expert %d" : "%d", (int)e);
        plot_add_legend(plot, label, GEOM_AREA, &(struct plot_pen){.colour = style_expert(e, experts)});
    }
    plot_break_legend(plot);
    plot_add_legend(plot, "largest share in a layer, mean over layers", GEOM_LINE, &largest);
    snprintf(label, sizeof label, "equal shares, %.4g %%", 100.0 / experts);
    plot_add_legend(plot, label, GEOM_LINE, &uniform);
}

static void write_note(const struct run_file *file, const struct load_course *c, char *out, size_t size) {
    char points[96] = "a point is one training batch";
    char every[64] = "";
    if (c->bin > 1) snprintf(points, sizeof points, "a point is the mean of %d training batches", c->bin);
    if (c->interval > 1) snprintf(every, sizeof every, ", one every %lld steps", (long long)c->interval);
    snprintf(out, size,
             "Runs of seed %llu. Slots that chose an expert, before any drop, mean over the %d layers that "
             "route; %s%s.",
             (unsigned long long)file->info.seed, c->layers, points, every);
}

static moe_status draw_load(struct report *report, int32_t way, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct load_course courses[D_PROTOCOLS] = {{0}};
    const enum source_d_experiment experiment = source_d_ways[way];
    char title[96];
    char note[512];
    for (int32_t p = 0; p < D_PROTOCOLS; p++)
        moe_try(course_of(report, experiment, p, &courses[p], err));
    snprintf(title, sizeof title, "Expert load during training, %s", source_d_way_titles[way]);
    write_note(&source_d_group(report, experiment, D_AS_PUBLISHED).files[0], &courses[0], note, sizeof note);
    moe_try(plot_new(&(struct plot_layout){.title = title,
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 180.0,
                                           .rows = 2,
                                           .columns = D_PROTOCOLS},
                     &plot, err));
    add_legend(plot, courses[0].experts);
    for (int32_t p = 0; p < D_PROTOCOLS; p++)
        moe_try(add_column(plot, p, &courses[p], err));
    plot_link(plot, 2, 3);
    *out_plot = plot;
    plot = NULL;
out:
    for (int32_t p = 0; p < D_PROTOCOLS; p++)
        load_course_free(&courses[p]);
    plot_free(plot);
    return status;
}

moe_status draw_d_load_a0(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_load(report, 0, out_plot, err);
}

moe_status draw_d_load_a1(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_load(report, 1, out_plot, err);
}

moe_status draw_d_load_a2(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    (void)frame;
    return draw_load(report, 2, out_plot, err);
}
