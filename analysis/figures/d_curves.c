/* Losses of source D during training: families as small multiples. */
#include <math.h>
#include <stdio.h>

#include "analysis/figures/source_d.h"
#include "analysis/style.h"

/* Families shown, and who stands in each panel beside its members. */
static const enum source_d_axis shown[] = {D_SCALING, D_GRANULARITY, D_SHARED};
#define SHOWN 3

moe_status draw_d_training(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const enum source_d_experiment all[] = {D_DENSE, D_B1, D_B2, D_A2, D_B4, D_C2,
                                                   D_C3,    D_C4, D_D2, D_D3, D_D4};
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[256];
    (void)frame;
    source_d_seeds(report, all, 11, seeds, sizeof seeds);
    snprintf(note, sizeof note, "Mean and 95 %% interval over %s.", seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Validation loss during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 190.0,
                                           .rows = SHOWN,
                                           .columns = D_PROTOCOLS},
                     &plot, err));
    moe_try(source_d_legend(plot, all, 11, GEOM_LINE, err));
    for (int32_t f = 0; f < SHOWN; f++) {
        const struct source_d_family *family = &source_d_families[shown[f]];
        for (int32_t p = 0; p < D_PROTOCOLS; p++) {
            const int32_t panel = D_PROTOCOLS * f + p;
            char title[96];
            struct plot_panel_spec spec = {
                .title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
            snprintf(title, sizeof title, "%s, %s", family->title, source_d_protocol_titles[p]);
            spec.position.label = f == SHOWN - 1 ? "step" : NULL;
            spec.value.label = p == 0 ? "nats per token" : NULL;
            plot_set_panel(plot, panel, &spec);
            for (int32_t m = -1; m < family->n; m++) {
                const enum source_d_experiment e = m < 0 ? D_DENSE : family->members[m];
                const struct run_group group = source_d_group(report, e, (enum source_d_protocol)p);
                struct source_curve curve = {.series = "eval_ce", .ceiling = NAN};
                moe_try(source_d_pen(e, &curve.pen, err));
                moe_try(source_draw_curve(report, plot, panel, &group, &curve, err));
            }
        }
        plot_link(plot, D_PROTOCOLS * f, D_PROTOCOLS * f + 1);
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
