/* Usage of experts as figures of several sources show it: ranked, expert by expert, stacked. */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_common.h"
#include "analysis/style.h"

#define EDGED 16 /* more experts would be edges only */

void source_name_numbers(struct source_numbers *names, int32_t count, int32_t first) {
    for (int32_t i = 0; i < count && i < SOURCE_MAX_EXPERTS; i++) {
        snprintf(names->text[i], sizeof names->text[i], "%d", (int)(first + i));
        names->names[i] = names->text[i];
    }
}

moe_status source_ranked_usage(struct report *report, const struct run_group *group, enum share_of what,
                               int32_t layer, int32_t experts, struct stats_estimate *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *shares = NULL;
    double *ranked = calloc((size_t)group->n * (size_t)experts + 1, sizeof *ranked); /* [rank, seed] */
    moe_check(ranked != NULL, err, MOE_ENOMEM, "cannot allocate the usage of %d experts", experts);
    for (int32_t s = 0; s < group->n; s++) {
        int32_t n = 0;
        moe_try(expert_shares_at(report->runs, &group->files[s], what, layer, -1, &shares, &n, err));
        moe_check(n == experts, err, MOE_EMISMATCH, "%s: %d experts, expected %d", group->files[s].path, n,
                  experts);
        stats_sort(shares, n);
        for (int32_t i = 0; i < experts; i++)
            ranked[i * group->n + s] = 100.0 * shares[experts - 1 - i];
        free(shares);
        shares = NULL;
    }
    for (int32_t i = 0; i < experts; i++)
        out[i] = stats_mean_interval(ranked + (int64_t)i * group->n, group->n, 0.95);
out:
    free(shares);
    free(ranked);
    return status;
}

moe_status source_ranked_bars(struct report *report, struct plot *plot, int32_t panel,
                              const struct run_group *group, int32_t layer, const struct plot_pen *pen,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct stats_estimate shares[SOURCE_MAX_EXPERTS];
    double position[SOURCE_MAX_EXPERTS];
    double value[SOURCE_MAX_EXPERTS];
    double low[SOURCE_MAX_EXPERTS];
    double high[SOURCE_MAX_EXPERTS];
    const int32_t experts = group->files[0].info.axes.experts;
    moe_check(experts <= SOURCE_MAX_EXPERTS, err, MOE_EMISMATCH,
              "%s: %d experts; a figure of their usage has room for %d", group->files[0].path, experts,
              SOURCE_MAX_EXPERTS);
    moe_try(source_ranked_usage(report, group, SHARE_OF_SLOTS, layer, experts, shares, err));
    for (int32_t i = 0; i < experts; i++) {
        position[i] = i;
        value[i] = shares[i].value;
        low[i] = shares[i].low;
        high[i] = shares[i].high;
    }
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_BARS,
                                          .n = experts,
                                          .position = position,
                                          .value = value,
                                          .low = low,
                                          .high = high,
                                          .bar_width = 0.72,
                                          .pen = *pen});
out:
    return status;
}

struct plot_pen source_ranked_published_pen(void) {
    struct plot_pen pen = source_published_pen(STYLE_INK);
    pen.marker = MARKER_DIAMOND;
    pen.width = 0.0;
    return pen;
}

moe_status source_ranked_published(struct report *report, struct plot *plot, int32_t panel,
                                   const char *source, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *shares = NULL;
    double position[SOURCE_MAX_EXPERTS];
    double value[SOURCE_MAX_EXPERTS];
    int32_t n = 0;
    moe_try(report_published(report, source, &p, err));
    moe_try(published_array(p, name, &shares, &n, err));
    moe_check(n <= SOURCE_MAX_EXPERTS, err, MOE_ECONFIG, "%s: %s has %d entries, expected at most %d",
              published_path(p), name, n, SOURCE_MAX_EXPERTS);
    stats_sort(shares, n);
    for (int32_t i = 0; i < n; i++) {
        position[i] = i;
        value[i] = shares[n - 1 - i];
    }
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_POINTS,
                                          .n = n,
                                          .position = position,
                                          .value = value,
                                          .pen = source_ranked_published_pen()});
out:
    free(shares);
    return status;
}

void source_usage_bars(struct plot *plot, int32_t panel, const double *shares, int32_t experts,
                       const struct plot_pen *pen) {
    double position[SOURCE_MAX_EXPERTS];
    double value[SOURCE_MAX_EXPERTS];
    for (int32_t i = 0; i < experts && i < SOURCE_MAX_EXPERTS; i++) {
        position[i] = i;
        value[i] = 100.0 * shares[i];
    }
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_BARS,
                                          .n = experts < SOURCE_MAX_EXPERTS ? experts : SOURCE_MAX_EXPERTS,
                                          .position = position,
                                          .value = value,
                                          .bar_width = 0.72,
                                          .pen = *pen});
}

/* The topmost area first: each one covers what lies below it of the last. */
moe_status source_stack(struct plot *plot, int32_t panel, const struct load_course *course, moe_err *err) {
    moe_status status = MOE_OK;
    double *total = calloc((size_t)course->n + 1, sizeof *total);
    moe_check(total != NULL, err, MOE_ENOMEM, "cannot allocate a series of %d values", course->n);
    for (int32_t top = course->experts - 1; top >= 0; top--) {
        for (int32_t i = 0; i < course->n; i++) {
            total[i] = 0.0;
            for (int32_t e = 0; e <= top; e++)
                total[i] += 100.0 * load_course_mean(course, i, e);
        }
        plot_add_series(plot, panel,
                        &(struct plot_series){.geom = GEOM_AREA,
                                              .n = course->n,
                                              .position = course->step,
                                              .value = total,
                                              .pen = {.colour = style_expert(top, course->experts),
                                                      .width = course->experts <= EDGED ? 0.5 : 0.0}});
    }
out:
    free(total);
    return status;
}
