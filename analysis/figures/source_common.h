/* source_common.h - what the figures and tables of any source share. */
#ifndef ANALYSIS_FIGURES_SOURCE_COMMON_H
#define ANALYSIS_FIGURES_SOURCE_COMMON_H

#include "analysis/expert_shares.h"
#include "analysis/figure.h"
#include "analysis/load_course.h"
#include "analysis/plot.h"
#include "analysis/series.h"
#include "analysis/stats.h"

/* How a curve over the seeds of a group is drawn. */
struct source_curve {
    const char *series;  /* analysis/series.h */
    struct plot_pen pen; /* of the mean; a dash other than solid is drawn without marks and band */
    double floor;        /* the smallest and largest value that can be, at which intervals are cut; NaN = */
    double ceiling;      /* none */
    double skip;         /* share of the run, from its start, that is not drawn */
    bool log;            /* mean and interval of the logarithms: for a log axis; values <= 0 leave gaps */
};

/* Draws the series of a group into a panel: mean and interval over the positions that all seeds reached, and
 * thin lines of the single seeds beyond. */
moe_status source_draw_curve(struct report *report, struct plot *plot, int32_t panel,
                             const struct run_group *group, const struct source_curve *curve, moe_err *err);

/* The same of series that are there: curve->series is not used, and with curve->log g changes to geometric
 * means. */
moe_status source_draw_group(struct plot *plot, int32_t panel, struct series_group *g,
                             const struct source_curve *curve, moe_err *err);

/* The same of a - b, seed by seed. */
moe_status source_draw_difference(struct report *report, struct plot *plot, int32_t panel,
                                  const struct run_group *a, const struct run_group *b,
                                  const struct source_curve *curve, moe_err *err);

/* "5 seeds", "3 to 5 seeds" or "1 seed (no interval)". Groups without runs do not count. */
void source_seeds(const struct run_group *groups, int32_t count, char *out, size_t size);

/* The published number BEFORE.EXPERIMENT.AFTER of a source. */
moe_status source_published(struct report *report, const char *source, const char *before,
                            const char *experiment, const char *after, double *out_value, moe_err *err);

/* Where a number comes from. Kinds differ by their markers; the colour is the experiment's. */
enum source_kind { OF_PUBLISHED = 0, OF_AS_PUBLISHED, OF_CORRECTED, SOURCE_KINDS };
extern const char *const source_kind_titles[SOURCE_KINDS];
struct plot_pen source_kind_pen(enum source_kind kind, struct plot_colour colour);
/* Legend entries of the kinds [from, to]. */
void source_kind_legend(struct plot *plot, enum source_kind from, enum source_kind to);

/* ---- usage of experts */

#define SOURCE_MAX_EXPERTS 64

/* Names of a position axis: first, first + 1, ... */
struct source_numbers {
    char text[SOURCE_MAX_EXPERTS][12];
    const char *names[SOURCE_MAX_EXPERTS];
};
void source_name_numbers(struct source_numbers *names, int32_t count, int32_t first);

/* Shares in percent on the validation split at the end by rank, largest first, mean and interval over the
 * seeds of a group: of choices, or of the router's probabilities. experts: of the layer, at most
 * SOURCE_MAX_EXPERTS. */
moe_status source_ranked_usage(struct report *report, const struct run_group *group, enum share_of what,
                               int32_t layer, int32_t experts, struct stats_estimate *out, moe_err *err);

/* Those of choices as bars with error bars. */
moe_status source_ranked_bars(struct report *report, struct plot *plot, int32_t panel,
                              const struct run_group *group, int32_t layer, const struct plot_pen *pen,
                              moe_err *err);

/* A published array of shares in percent, ordered like that, as diamonds. */
struct plot_pen source_ranked_published_pen(void);
moe_status source_ranked_published(struct report *report, struct plot *plot, int32_t panel,
                                   const char *source, const char *name, moe_err *err);

/* Bars of shares (1 = all), in percent, expert by expert. */
void source_usage_bars(struct plot *plot, int32_t panel, const double *shares, int32_t experts,
                       const struct plot_pen *pen);

/* Shares of a course in percent, mean over its layers, stacked. */
moe_status source_stack(struct plot *plot, int32_t panel, const struct load_course *course, moe_err *err);

/* Means of neighbours, so that points lie about equally far from each other on a logarithmic axis: each takes
 * a tenth as many as lie before it. Of the positions that all runs share. */
moe_status source_merge_for_log(struct series_group *g, moe_err *err);

/* ---- pens */

/* Width of the lines of reference (optimum, uniform). */
struct plot_pen source_reference_pen(void);
/* Pen of published numbers: hollow, dashed. */
struct plot_pen source_published_pen(struct plot_colour colour);

#endif
