/* source_b.h - figures of source B (cifar-hierarchy), and what they share. */
#ifndef ANALYSIS_FIGURES_SOURCE_B_H
#define ANALYSIS_FIGURES_SOURCE_B_H

#include "analysis/figures/source_common.h"

#define SOURCE_B_SUITE "cifar-hierarchy"

extern const struct figure source_b_figures[];
extern const int32_t source_b_figure_count;

/* The main experiments; the first B_ROUTED have experts. */
enum source_b_model { B_FLAT = 0, B_HIERARCHICAL, B_GSHARD, B_DENSE_ACTIVE, B_DENSE_TOTAL, B_MODELS };
#define B_ROUTED 3
extern const char *const source_b_models[B_MODELS];

/* Both protocols: names of the runs, and as they are printed. */
#define SOURCE_B_PROTOCOLS 2
extern const char *const source_b_protocols[SOURCE_B_PROTOCOLS];
extern const char *const source_b_protocol_titles[SOURCE_B_PROTOCOLS];

/* All of them, or those with experts, under both protocols. */
extern const struct run_need source_b_need;
extern const struct run_need source_b_routed_need;

/* The figures. */
moe_status draw_b_usage(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_b_balance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_b_training(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_b_usage_evolution(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_b_flat_hierarchical(struct report *report, int32_t frame, struct plot **out_plot,
                                    moe_err *err);
moe_status draw_b_followups(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_b_usage_gif(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status motion_b_usage_gif(struct report *report, struct figure_motion *out_motion, moe_err *err);

#endif
