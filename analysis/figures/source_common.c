#include "analysis/figures/source_common.h"

#include <math.h>
#include <stdio.h>

#include "analysis/style.h"

/* The single seeds behind the last position that all of them reached. */
static void draw_beyond(struct plot *plot, int32_t panel, const struct series_group *g, struct plot_pen pen) {
    const int32_t begin = g->common > 0 ? g->common - 1 : 0;
    pen.width = 0.9;
    pen.opacity = 0.45;
    pen.marker = MARKER_NONE;
    for (int32_t s = 0; s < g->seeds; s++) {
        const struct series *run = &g->runs[s];
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_LINE,
                                              .n = run->n - begin > 1 ? run->n - begin : 0,
                                              .position = run->x + begin,
                                              .value = run->y + begin,
                                              .pen = pen});
    }
}

/* Mean and interval of the logarithms, and back: an interval of a positive quantity that stays positive. */
static moe_status average_logarithms(struct series_group *g, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t s = 0; s < g->seeds; s++)
        for (int32_t i = 0; i < g->runs[s].n; i++)
            g->runs[s].y[i] = g->runs[s].y[i] > 0.0 ? log(g->runs[s].y[i]) : NAN;
    moe_try(series_group_average(g, err));
    for (int32_t s = 0; s < g->seeds; s++)
        for (int32_t i = 0; i < g->runs[s].n; i++)
            g->runs[s].y[i] = exp(g->runs[s].y[i]);
    for (int32_t i = 0; i < g->common; i++) {
        g->mean[i] = exp(g->mean[i]);
        g->low[i] = exp(g->low[i]);
        g->high[i] = exp(g->high[i]);
    }
out:
    return status;
}

moe_status source_draw_curve(struct report *report, struct plot *plot, int32_t panel,
                             const struct run_group *group, const struct source_curve *curve, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group g = {0};
    struct plot_pen pen = curve->pen;
    moe_try(series_of_group(report->runs, group, curve->series, &g, err));
    if (curve->log) moe_try(average_logarithms(&g, err));
    draw_beyond(plot, panel, &g, pen);
    if (pen.dash != DASH_SOLID) pen.marker = MARKER_NONE;
    for (int32_t i = 0; i < g.common; i++)
        if (g.high[i] > curve->ceiling) g.high[i] = curve->ceiling;
    const bool band = g.seeds > 1 && pen.dash == DASH_SOLID;
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = g.common,
                                          .position = g.x,
                                          .value = g.mean,
                                          .low = band ? g.low : NULL,
                                          .high = band ? g.high : NULL,
                                          .pen = pen});
out:
    series_group_free(&g);
    return status;
}

void source_seeds(const struct run_group *groups, int32_t count, char *out, size_t size) {
    int32_t least = INT32_MAX;
    int32_t most = 0;
    for (int32_t i = 0; i < count; i++) {
        if (groups[i].n == 0) continue;
        least = groups[i].n < least ? groups[i].n : least;
        most = groups[i].n > most ? groups[i].n : most;
    }
    if (least == most) {
        snprintf(out, size, most == 1 ? "%d seed (no interval)" : "%d seeds", most);
    } else {
        snprintf(out, size, "%d to %d seeds", least, most);
    }
}

moe_status source_published(struct report *report, const char *source, const char *before,
                            const char *experiment, const char *after, double *out_value, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    char name[160];
    snprintf(name, sizeof name, "%s.%s.%s", before, experiment, after);
    moe_try(report_published(report, source, &p, err));
    moe_try(published_number(p, name, out_value, err));
out:
    return status;
}

struct plot_pen source_reference_pen(void) {
    return (struct plot_pen){.colour = STYLE_MUTED, .width = 1.3, .dash = DASH_DOTTED};
}

struct plot_pen source_published_pen(struct plot_colour colour) {
    return (struct plot_pen){.colour = colour,
                             .width = 1.2,
                             .dash = DASH_DASHED,
                             .marker = MARKER_CIRCLE,
                             .marker_size = 6.5,
                             .hollow = true};
}
