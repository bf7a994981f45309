/* source_a.h - figures of source A (moe-vs-dense), and what they share. */
#ifndef ANALYSIS_FIGURES_SOURCE_A_H
#define ANALYSIS_FIGURES_SOURCE_A_H

#include "analysis/figures/source_common.h"
#include "analysis/stats.h"

#define SOURCE_A_SUITE "moe-vs-dense"

extern const struct figure source_a_figures[];
extern const int32_t source_a_figure_count;

/* The published experiments; the first is dense. */
#define SOURCE_A_EXPERIMENTS 5
extern const char *const source_a_experiments[SOURCE_A_EXPERIMENTS];

/* Both protocols: names of the runs, and as they are printed. */
#define SOURCE_A_PROTOCOLS 2
extern const char *const source_a_protocols[SOURCE_A_PROTOCOLS];
extern const char *const source_a_protocol_titles[SOURCE_A_PROTOCOLS];

/* All experiments, or those with experts, under both protocols. */
extern const struct run_need source_a_need;
extern const struct run_need source_a_moe_need;

/* Decoder layers that route, as published. MOE_ENOTFOUND. */
#define SOURCE_A_LAYERS 2
moe_status source_a_layers(struct report *report, int32_t out_layers[SOURCE_A_LAYERS], moe_err *err);

struct run_group source_a_group(const struct report *report, int32_t experiment, int32_t protocol);

/* The pen of an experiment. */
moe_status source_a_pen(int32_t experiment, struct plot_pen *out_pen, moe_err *err);

/* The published number BEFORE.EXPERIMENT.AFTER. */
moe_status source_a_published(struct report *report, const char *before, int32_t experiment,
                              const char *after, double *out_value, moe_err *err);

/* Legend entries of the experiments [from, 5). */
moe_status source_a_legend(struct plot *plot, int32_t from, enum plot_geom geom, moe_err *err);

/* Draws the series of experiments [from, 5) into a panel: mean and interval over the epochs that all seeds
 * reached, and thin lines of the single seeds beyond. dash: of the mean. ceiling: the largest value that
 * can be, at which intervals are cut; NaN = none. */
moe_status source_a_curves(struct report *report, struct plot *plot, int32_t panel, int32_t protocol,
                           int32_t from, const char *series, enum plot_dash dash, double ceiling,
                           moe_err *err);

/* An empty page of panels: the layout's width is set here, and "{seeds}" in its note becomes "5 seeds",
 * "3 to 5 seeds" or "1 seed (no interval)", as many as the experiments have. */
moe_status source_a_plot(const struct report *report, struct plot_layout layout, struct plot **out_plot,
                         moe_err *err);

/* The figures (a_losses.c, a_timing.c, a_routing.c, a_summary.c). */
moe_status draw_a_training_loss(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_validation_loss(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_timing(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_throughput(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_entropy(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_usage(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_a_usage_evolution(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status motion_a_usage_evolution(struct report *report, struct figure_motion *out_motion, moe_err *err);
moe_status draw_a_summary(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);

#endif
