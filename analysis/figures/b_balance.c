/* Balance of experts and groups of source B in training batches. */
#include <math.h>
#include <stdio.h>

#include "analysis/figures/source_b.h"
#include "analysis/style.h"

enum balance { CV2_EXPERTS = 0, CV2_GROUPS, GINI_EXPERTS, GINI_GROUPS, MEASURES };
static const char *const titles[MEASURES] = {"CV\xc2\xb2 of experts", "CV\xc2\xb2 of groups",
                                             "Gini of experts", "Gini of groups"};
static const char *const series[MEASURES] = {"step_cv2.0", "step_cv2.1", "step_gini.0", "step_gini.1"};

static bool of_groups(enum balance measure) {
    return measure == CV2_GROUPS || measure == GINI_GROUPS;
}

static bool is_cv2(enum balance measure) {
    return measure < GINI_EXPERTS;
}

/* What a batch of a model shows by chance: of its experts, or of its groups. */
static moe_status by_chance(struct report *report, enum source_b_experiment model, enum balance measure,
                            double *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = source_b_group(report, model, B_AS_PUBLISHED);
    struct source_b_shape shape;
    moe_try(source_b_shape_of(report, &group.files[0], &shape, err));
    const struct chance_balance chance =
        of_groups(measure) ? chance_balance_of(shape.images, shape.top_k_groups, shape.groups)
                           : chance_balance_of(shape.images, shape.top_k, shape.experts);
    *out = is_cv2(measure) ? chance.cv2 : chance.gini;
out:
    return status;
}

static struct plot_pen published_pen(void) {
    return (struct plot_pen){.colour = STYLE_INK, .width = 1.3, .dash = DASH_DASHED};
}

static moe_status add_panel(struct report *report, struct plot *plot, enum source_b_protocol protocol,
                            enum balance measure, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen reference = source_reference_pen();
    const struct plot_pen printed = published_pen();
    const int32_t panel = MEASURES * (int32_t)protocol + (int32_t)measure;
    struct series_group g = {0};
    struct published *p = NULL;
    double chance = 0.0;
    double value = 0.0;
    struct plot_panel_spec spec = {
        .title = titles[measure], .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = protocol == B_PROTOCOLS - 1 ? "step" : NULL;
    spec.position.log = true;
    spec.value.log = is_cv2(measure);
    spec.value.zero = !is_cv2(measure);
    plot_set_panel(plot, panel, &spec);
    moe_try(by_chance(report, of_groups(measure) ? B_HIERARCHICAL : B_FLAT, measure, &chance, err));
    plot_add_reference(plot, panel, chance, &reference);
    if (!of_groups(measure)) {
        moe_try(report_published(report, "B", &p, err));
        moe_try(published_number(p, is_cv2(measure) ? "balance.cv2" : "balance.gini", &value, err));
        plot_add_reference(plot, panel, value, &printed);
    }
    for (int32_t e = of_groups(measure) ? B_HIERARCHICAL : B_FLAT; e < B_ROUTED; e++) {
        const struct run_group group = source_b_group(report, (enum source_b_experiment)e, protocol);
        /* a logarithmic axis has no place for zero */
        struct source_curve curve = {.floor = is_cv2(measure) ? 0.25 * chance : 0.0,
                                     .ceiling =
                                         is_cv2(measure) ? group.files[0].info.axes.experts - 1.0 : 1.0};
        moe_try(source_b_pen((enum source_b_experiment)e, &curve.pen, err));
        curve.pen.marker = MARKER_NONE;
        moe_try(series_of_group_binned(report->runs, &group, series[measure], 0, &g, err));
        moe_try(source_merge_for_log(&g, err));
        moe_try(source_draw_group(plot, panel, &g, &curve, err));
        series_group_free(&g);
    }
    plot_link(plot, (int32_t)measure, panel);
out:
    series_group_free(&g);
    return status;
}

moe_status draw_b_balance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const struct plot_pen reference = source_reference_pen();
    const struct plot_pen printed = published_pen();
    const struct run_group flat = source_b_group(report, B_FLAT, B_AS_PUBLISHED);
    const struct run_group hierarchical = source_b_group(report, B_HIERARCHICAL, B_AS_PUBLISHED);
    struct source_b_shape shape;
    struct source_b_shape levels;
    char seeds[32];
    char note[512];
    (void)frame;
    moe_try(source_b_shape_of(report, &flat.files[0], &shape, err));
    moe_try(source_b_shape_of(report, &hierarchical.files[0], &levels, err));
    source_b_seeds(report, B_ROUTED, false, seeds, sizeof seeds);
    snprintf(note, sizeof note,
             "Usage in single training batches of %d images, means of neighbouring batches; mean and 95 %% "
             "interval over %s. Dotted: mean of batches whose images choose %d of %d experts, or %d of %d "
             "groups, by pure chance.",
             (int)shape.images, seeds, (int)shape.top_k, (int)shape.experts, (int)levels.top_k_groups,
             (int)levels.groups);
    moe_try(plot_new(&(struct plot_layout){.title = "Balance of experts and groups during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 170.0,
                                           .rows = B_PROTOCOLS,
                                           .columns = MEASURES},
                     &plot, err));
    moe_try(source_b_legend(plot, B_ROUTED, GEOM_BARS, err));
    plot_add_legend(plot, "published", GEOM_LINE, &printed);
    plot_add_legend(plot, "choices by chance", GEOM_LINE, &reference);
    for (int32_t p = 0; p < B_PROTOCOLS; p++) {
        plot_head_row(plot, p, source_b_protocol_titles[p]);
        for (int32_t m = 0; m < MEASURES; m++)
            moe_try(add_panel(report, plot, (enum source_b_protocol)p, (enum balance)m, err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
