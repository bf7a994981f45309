/* source_d.h - figures of source D (moedl), and what they share. */
#ifndef ANALYSIS_FIGURES_SOURCE_D_H
#define ANALYSIS_FIGURES_SOURCE_D_H

#include "analysis/figures/source_common.h"

#define SOURCE_D_SUITE "moedl"

extern const struct figure source_d_figures[];
extern const int32_t source_d_figure_count;

/* The experiments that are trained. a2 is also the source's b3 and c1, c3 its d1: one configuration under
 * several names. */
enum source_d_experiment {
    D_LLAMA = 0, /* as published only: no defect touches it */
    D_DENSE,
    D_A0,
    D_A1,
    D_A2,
    D_B1,
    D_B2,
    D_B4,
    D_B20,
    D_C2,
    D_C3,
    D_C4,
    D_D2,
    D_D3,
    D_D4,
    D_E1,
    D_E2,
    D_E3,
    D_E4,
    D_A2_TEXT, /* from here on not in the source: corrected protocol only */
    D_A2_SIGN,
    D_A1_LAYERS,
    D_A2_SCALED, /* raw weight doubled */
    D_B1_SCALED,
    D_B4_SCALED,
    D_EXPERIMENTS
};
extern const char *const source_d_experiments[D_EXPERIMENTS]; /* names of the runs */
extern const char *const source_d_titles[D_EXPERIMENTS];      /* for legends */
/* a0, a1, a2 where they stand beside each other only. */
#define D_WAYS 3
extern const enum source_d_experiment source_d_ways[D_WAYS];
extern const char *const source_d_way_titles[D_WAYS];

enum source_d_protocol { D_AS_PUBLISHED = 0, D_CORRECTED, D_PROTOCOLS };
extern const char *const source_d_protocols[D_PROTOCOLS];
extern const char *const source_d_protocol_titles[D_PROTOCOLS];

/* One axis of the source's design: its rows in the order of what is varied. */
#define SOURCE_D_FAMILY_MAX 5
struct source_d_family {
    const char *title, *label; /* of a panel, of its axis */
    int32_t n;
    enum source_d_experiment members[SOURCE_D_FAMILY_MAX];
    const char *names[SOURCE_D_FAMILY_MAX];     /* at the axis */
    const char *published[SOURCE_D_FAMILY_MAX]; /* the row's name in the source */
};
enum source_d_axis { D_BALANCING = 0, D_SCALING, D_GRANULARITY, D_SHARED, D_CAPACITY, D_FAMILIES };
extern const struct source_d_family source_d_families[D_FAMILIES];

/* What figures and tables need. */
extern const struct run_need source_d_need_parity;      /* 00, 01 */
extern const struct run_need source_d_need_balancing;   /* a0, a1, a2 */
extern const struct run_need source_d_need_scaling;     /* 01, a2, b1, b2, b4 */
extern const struct run_need source_d_need_granularity; /* 01, a2, c2, c3, c4 */
extern const struct run_need source_d_need_shared;      /* 01, c3, d2, d3, d4 */
extern const struct run_need source_d_need_capacity;    /* 01, a2, e1 to e4 */
extern const struct run_need source_d_need_shapes;      /* 01, a2, b, c, d */
extern const struct run_need source_d_need_question;    /* the same, and what is scaled */
extern const struct run_need source_d_need_training;    /* 01, a, b, c, d */
extern const struct run_need source_d_need_router;      /* a2, c2, c3, d4 */
extern const struct run_need source_d_need_bias_rules;  /* a2 and its other rules, corrected */
extern const struct run_need source_d_need_routing;     /* all that route, but b20 */
extern const struct run_need source_d_need_lr_sweep;    /* any sweep, under either protocol */
extern const struct run_need source_d_need_all;         /* all of the source, and what was added to it */

/* Whether an experiment runs under a protocol. */
bool source_d_runs_under(enum source_d_experiment experiment, enum source_d_protocol protocol);

/* The run of an experiment with its raw weight doubled; D_EXPERIMENTS if there is none. */
enum source_d_experiment source_d_scaled(enum source_d_experiment experiment);

/* The runs of an experiment under a protocol, or under the only one that it has. */
struct run_group source_d_group(const struct report *report, enum source_d_experiment experiment,
                                enum source_d_protocol protocol);

/* The pen of an experiment. */
moe_status source_d_pen(enum source_d_experiment experiment, struct plot_pen *out_pen, moe_err *err);

/* Legend entries of experiments. */
moe_status source_d_legend(struct plot *plot, const enum source_d_experiment *experiments, int32_t count,
                           enum plot_geom geom, moe_err *err);

/* source_seeds() of experiments under both protocols. */
void source_d_seeds(const struct report *report, const enum source_d_experiment *experiments, int32_t count,
                    char *out, size_t size);

/* The figures (d_lr_sweep.c, d_curves.c, d_families.c). */
moe_status draw_d_lr_sweep(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_training(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_dense_parity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_router_gradient(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_bias_rules(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_scaling(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_granularity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_shared(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_capacity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_k1_fix(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);

/* d_balance.c, d_load.c, d_heatmap.c */
moe_status draw_d_load_balance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_load_a0(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_load_a1(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_load_a2(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_heatmap_a0(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_heatmap_a1(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_heatmap_a2(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_d_heatmap_compare(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status motion_d_heatmap_a0(struct report *report, struct figure_motion *out_motion, moe_err *err);
moe_status motion_d_heatmap_a1(struct report *report, struct figure_motion *out_motion, moe_err *err);
moe_status motion_d_heatmap_a2(struct report *report, struct figure_motion *out_motion, moe_err *err);
moe_status motion_d_heatmap_compare(struct report *report, struct figure_motion *out_motion, moe_err *err);

#endif
