#include "analysis/figures/source_common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* Drops what comes before a share of the longest run. */
static moe_status skip_start(struct series_group *g, double share, moe_err *err) {
    double last = 0.0;
    for (int32_t s = 0; s < g->seeds; s++)
        if (g->runs[s].n > 0) last = fmax(last, g->runs[s].x[g->runs[s].n - 1]);
    int32_t dropped = 0;
    while (dropped < g->common && g->x[dropped] < share * last)
        dropped++;
    for (int32_t s = 0; s < g->seeds; s++) {
        struct series *run = &g->runs[s];
        run->n -= dropped;
        memmove(run->x, run->x + dropped, (size_t)run->n * sizeof *run->x);
        memmove(run->y, run->y + dropped, (size_t)run->n * sizeof *run->y);
    }
    g->common -= dropped;
    return series_group_average(g, err);
}

static void merge(struct series *s, int32_t n) {
    int32_t points = 0;
    for (int32_t begin = 0; begin < n;) {
        const int32_t wanted = begin + 1 + begin / 10;
        const int32_t end = wanted < n ? wanted : n;
        double x = 0.0;
        double y = 0.0;
        for (int32_t i = begin; i < end; i++) {
            x += s->x[i];
            y += s->y[i];
        }
        s->x[points] = x / (end - begin);
        s->y[points++] = y / (end - begin);
        begin = end;
    }
    s->n = points;
}

moe_status source_merge_for_log(struct series_group *g, moe_err *err) {
    const int32_t n = g->common;
    for (int32_t s = 0; s < g->seeds; s++) {
        merge(&g->runs[s], n);
        g->common = g->runs[s].n;
    }
    return series_group_average(g, err);
}

moe_status source_draw_group(struct plot *plot, int32_t panel, struct series_group *g,
                             const struct source_curve *curve, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_pen pen = curve->pen;
    if (curve->skip > 0.0) moe_try(skip_start(g, curve->skip, err));
    if (curve->log) moe_try(average_logarithms(g, err));
    draw_beyond(plot, panel, g, pen);
    if (pen.dash != DASH_SOLID) pen.marker = MARKER_NONE;
    for (int32_t i = 0; i < g->common; i++) {
        if (g->low[i] < curve->floor) g->low[i] = curve->floor;
        if (g->high[i] > curve->ceiling) g->high[i] = curve->ceiling;
    }
    const bool band = g->seeds > 1 && pen.dash == DASH_SOLID;
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = g->common,
                                          .position = g->x,
                                          .value = g->mean,
                                          .low = band ? g->low : NULL,
                                          .high = band ? g->high : NULL,
                                          .pen = pen});
out:
    return status;
}

moe_status source_draw_curve(struct report *report, struct plot *plot, int32_t panel,
                             const struct run_group *group, const struct source_curve *curve, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group g = {0};
    moe_try(series_of_group(report->runs, group, curve->series, &g, err));
    moe_try(source_draw_group(plot, panel, &g, curve, err));
out:
    series_group_free(&g);
    return status;
}

moe_status source_draw_difference(struct report *report, struct plot *plot, int32_t panel,
                                  const struct run_group *a, const struct run_group *b,
                                  const struct source_curve *curve, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group g = {0};
    moe_try(series_of_difference(report->runs, a, b, curve->series, &g, err));
    moe_try(source_draw_group(plot, panel, &g, curve, err));
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

const char *const source_kind_titles[SOURCE_KINDS] = {"published", "ours, as published", "ours, corrected"};

struct plot_pen source_kind_pen(enum source_kind kind, struct plot_colour colour) {
    static const enum plot_marker markers[SOURCE_KINDS] = {MARKER_DIAMOND, MARKER_CIRCLE, MARKER_SQUARE};
    return (struct plot_pen){
        .colour = colour, .marker = markers[kind], .marker_size = 7.0, .hollow = kind == OF_PUBLISHED};
}

void source_kind_legend(struct plot *plot, enum source_kind from, enum source_kind to) {
    for (int32_t k = (int32_t)from; k <= (int32_t)to; k++) {
        const struct plot_pen pen = source_kind_pen((enum source_kind)k, STYLE_MUTED);
        plot_add_legend(plot, source_kind_titles[k], GEOM_POINTS, &pen);
    }
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
