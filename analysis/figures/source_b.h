/* source_b.h - figures of source B (cifar-hierarchy), and what they share. */
#ifndef ANALYSIS_FIGURES_SOURCE_B_H
#define ANALYSIS_FIGURES_SOURCE_B_H

#include "analysis/chance_balance.h"
#include "analysis/figures/source_common.h"

#define SOURCE_B_SUITE "cifar-hierarchy"

extern const struct figure source_b_figures[];
extern const int32_t source_b_figure_count;

/* The main experiments, of which the first B_ROUTED have experts, and the follow-ups. */
enum source_b_experiment {
    B_FLAT = 0,
    B_HIERARCHICAL,
    B_GSHARD,
    B_DENSE_ACTIVE,
    B_DENSE_TOTAL,
    B_FLAT_10EP, /* as published only */
    B_HIERARCHICAL_10EP,
    B_FLAT_X0, /* from here on corrected only */
    B_FLAT_X10,
    B_FLAT_X100,
    B_HIERARCHICAL_X10,
    B_HIERARCHICAL_X100,
    B_FLAT_GLOROT,
    B_FLAT_HE,
    B_FLAT_IDENTICAL,
    B_FLAT_GATE_NORMAL,
    B_FLAT_E20,
    B_FLAT_E40,
    B_HIERARCHICAL_E20,
    B_HIERARCHICAL_E40,
    B_FLAT_NOISE_FADES,
    B_FLAT_TARGET,
    B_HIERARCHICAL_TARGET,
    B_FLAT_30EP,
    B_HIERARCHICAL_30EP,
    B_EXPERIMENTS
};
#define B_ROUTED 3
#define B_MODELS 5
extern const char *const source_b_experiments[B_EXPERIMENTS];
/* How the main experiments are called in figures. */
extern const char *const source_b_titles[B_MODELS];

/* Both protocols: names of the runs, and as they are printed. */
enum source_b_protocol { B_AS_PUBLISHED = 0, B_CORRECTED, B_PROTOCOLS };
extern const char *const source_b_protocols[B_PROTOCOLS];
extern const char *const source_b_protocol_titles[B_PROTOCOLS];

/* The main experiments, or those with experts, under both protocols. What follow-ups have no runs is left out
 * of figures and tables, which say so. */
extern const struct run_need source_b_need;
extern const struct run_need source_b_routed_need;

/* May be empty for follow-ups. */
struct run_group source_b_group(const struct report *report, enum source_b_experiment experiment,
                                enum source_b_protocol protocol);

/* The pen of a main experiment. */
moe_status source_b_pen(enum source_b_experiment experiment, struct plot_pen *out_pen, moe_err *err);

/* Legend entries of the main experiments [0, count). */
moe_status source_b_legend(struct plot *plot, int32_t count, enum plot_geom geom, moe_err *err);

/* "5 seeds", of the main experiments [0, count) under both protocols; longer: and of ten epochs as published.
 */
void source_b_seeds(const struct report *report, int32_t count, bool longer, char *out, size_t size);

/* Rows of the layer axis (src/nn/hierarchy.h has the same numbers). */
enum source_b_level { B_OF_EXPERTS = 0, B_OF_GROUPS = 1 };

/* One number of a run; mean and interval over the seeds of a group. Balance is of the test images at the end,
 * without noise. MOE_ENOTFOUND: the group is empty, or its model has no such level. */
enum source_b_number {
    B_TEST_ACCURACY,  /* %, at the end */
    B_TRAIN_ACCURACY, /* %, of the training batches before the last evaluation */
    B_GAP,            /* train less test */
    B_CV2,            /* of experts, then of groups */
    B_GINI,
    B_GROUP_CV2,
    B_GATE_CV2, /* of the experts' shares of the gates: how much weight they have, not how often */
    B_GATE_GINI,
    B_TWO_GATES, /* %, of the two experts with most weight */
    B_BATCH_CV2, /* of single training batches, mean of the last quarter of the steps */
    B_BATCH_GINI,
    B_BATCH_MS /* median of the steps, in milliseconds */
};
moe_status source_b_estimate(struct report *report, const struct run_group *group,
                             enum source_b_number number, struct stats_estimate *out, moe_err *err);

/* What a run's configuration says of its choices, or 0 for a dense model. groups: 1 in a flat model. */
struct source_b_shape {
    int32_t images, experts, top_k, groups, top_k_groups;
};
moe_status source_b_shape_of(struct report *report, const struct run_file *file, struct source_b_shape *out,
                             moe_err *err);

/* Whether a model was trained as published for as many epochs as corrected, and what a note says if not. */
bool source_b_trained_longer(const struct report *report);
#define SOURCE_B_NOT_LONGER " No runs of the published protocol for more than one epoch yet."

/* The largest share that an expert can have of the assignments of a flat or hierarchical model: one over the
 * experts that an image uses. */
double source_b_largest_share(const struct source_b_shape *shape);

/* The least loss of source B at an accuracy, a second softmax on top of probabilities p of `classes` classes:
 * an image that is right costs at least ln(e + C - 1) - 1, with p = 1; one that is wrong has p <= 1/2 for its
 * class, and costs at least ln(2 sqrt(e) + C - 2) - 1/2. */
double source_b_least_loss(double accuracy, double classes);

/* The figures (b_usage.c, b_balance.c, b_training.c, b_comparison.c). */
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
