/* source_c.h - figures of source C (slicing), and how they are drawn from whatever runs are there. */
#ifndef ANALYSIS_FIGURES_SOURCE_C_H
#define ANALYSIS_FIGURES_SOURCE_C_H

#include "analysis/figures/source_common.h"
#include "analysis/slicing.h"

extern const struct figure source_c_figures[];
extern const int32_t source_c_figure_count;

extern const struct run_need source_c_need; /* any run of the suite */

/* Domains that have a page (c_pages.c): those of the desk tier, six of stories and two of real text. The runs
 * say which of them they were evaluated on, and pages of others are left out; but a figure's id is known
 * before any run is read, so the names stand here. */
#define C_EACH_DOMAIN(DO)                                                                                    \
    DO(animals)                                                                                              \
    DO(kitchen)                                                                                              \
    DO(weather)                                                                                              \
    DO(school)                                                                                               \
    DO(sea)                                                                                                  \
    DO(market)                                                                                               \
    DO(wikitext2)                                                                                            \
    DO(tinystories)
#define C_DECLARE_NEED(domain) extern const struct run_need source_c_need_##domain;
C_EACH_DOMAIN(C_DECLARE_NEED)

#define C_NONE   SLICING_AXES /* no axis */
#define C_VALUES 16           /* at most, of an axis or of lines in a panel */
#define C_ROWS   64           /* protocols, sizes and tokens: the suite has 22 */

/* What one panel shows: a number against one axis, a line for each value (pair of values) of another. */
struct c_chart {
    const char *title;
    enum slicing_axis x, line, split; /* split: C_NONE = lines differ on one axis only */
    enum slicing_axis varied; /* only values of `line` (of the column where there is one) at which a run is
                                 off the usual value here; C_NONE = all */
    enum slicing_number number;
    const char *domain; /* NULL = all */
    bool minus_dense;   /* less the dense model, seed by seed */
    bool at_usual_g;    /* runs of the granularity that most runs off the usual value have */
};

/* Rows of panels are protocols and sizes; columns are charts, or one chart for each value (pair of values) of
 * an axis. */
struct c_figure {
    const char *title, *note;
    const struct c_chart *charts; /* [num_charts]; one if there is a column axis */
    int32_t num_charts;
    enum slicing_axis column, column_split; /* C_NONE = none */
    double panel_height;
    const char *domain; /* of all charts; NULL = theirs */
};

/* What the appendix repeats for each domain, and the smallest scales show: figures 2 and 4 to 7, minus dense.
 */
#define C_PATTERNS 5
extern const struct c_chart c_patterns[C_PATTERNS];

struct c_pair {
    double a, b; /* on `line` and `split`; b is NaN without a split */
};

/* A list of values or pairs, in ascending order. */
struct c_list {
    struct c_pair items[C_VALUES];
    int32_t n;
    int32_t left_out; /* values beyond C_VALUES */
};

/* Runs of one size of model, protocol and number of tokens. */
struct c_row {
    int32_t protocol;
    double width, tokens;
    char name[24]; /* of the size, as the runs are called; "" if they are not */
};

/* Those that have runs, by protocol, width, tokens. MOE_ENOTSUP: more than C_ROWS. */
moe_status c_rows(const struct slicing_grid *grid, struct c_row rows[C_ROWS], int32_t *out_count,
                  moe_err *err);
bool c_is_in_row(const struct slicing_run *run, const struct c_row *row);
void c_row_title(const struct c_row *row, char *out, size_t size);
void c_row_name(const struct c_row *row, char *out, size_t size); /* shorter */

/* The runs of a chart in a row; free on its axes and those of the column. */
struct slicing_choice c_choice(const struct slicing_grid *grid, const struct c_row *row,
                               const struct c_chart *chart, enum slicing_axis column,
                               enum slicing_axis column_split);

/* Fixes an axis at a value; C_NONE is no axis and changes nothing. */
void c_fix(struct slicing_choice *choice, enum slicing_axis axis, double value);

/* The dense models of a choice's protocol, size and tokens; where those are free, of the usual number. */
struct slicing_choice c_dense(const struct slicing_grid *grid, const struct slicing_choice *of);

/* Adds the pairs on two axes of the runs that fit; `varied` as in struct c_chart. */
void c_collect(const struct slicing_grid *grid, const struct slicing_choice *choice, enum slicing_axis a,
               enum slicing_axis b, enum slicing_axis varied, struct c_list *list);

/* Over seeds, of the runs that fit; minus the dense model of the same seed where the chart says so. */
moe_status c_estimate(const struct slicing_grid *grid, const struct slicing_choice *choice,
                      const struct c_chart *chart, struct stats_estimate *out, moe_err *err);

/* Adds the line of a choice over the values of the chart's x axis. Where it is a single point, it stands
 * `shift` of a step beside its value, with whiskers. */
moe_status c_add_line(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                      const struct slicing_choice *choice, const struct c_chart *chart,
                      const struct c_list *x, const struct plot_pen *pen, double shift, moe_err *err);

/* Pen and label of a line among others. */
struct plot_pen c_pen(const struct c_list *lines, int32_t i);
void c_label(enum slicing_axis a, enum slicing_axis b, const struct c_pair *pair, char *out, size_t size);

/* Legend entries of lines that differ on two axes. */
void c_add_legend(struct plot *plot, enum slicing_axis a, enum slicing_axis b, const struct c_list *lines);

/* Names of a list's values along an axis of a panel. */
struct c_names {
    char text[C_VALUES][24];
    const char *names[C_VALUES];
};
void c_name_values(const struct c_list *list, struct c_names *out);

/* How many runs and seeds a figure is drawn from, then `more`. */
void c_note(const struct slicing_grid *grid, const char *more, char *out, size_t size);

/* Every run of the suite, and the protocols and sizes. MOE_ENOTFOUND if there is none. */
moe_status c_open(struct report *report, struct slicing_grid *out_grid, struct c_row rows[C_ROWS],
                  int32_t *out_rows, moe_err *err);

moe_status c_draw(struct report *report, const struct c_figure *figure, struct plot **out_plot, moe_err *err);

/* c_optimum.c */
moe_status draw_c_optimum(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
/* c_design.c */
moe_status draw_c_schematic(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_grid(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
/* c_pages.c: what the appendix repeats for each domain */
#define C_DECLARE_PAGE(domain)                                                                               \
    moe_status draw_c_##domain(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
C_EACH_DOMAIN(C_DECLARE_PAGE)
/* c_rates.c */
moe_status draw_c_rates(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
/* c_domains.c */
moe_status draw_c_domains(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_accuracy(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
/* source_c.c: charts */
moe_status draw_c_total_parameters(struct report *report, int32_t frame, struct plot **out_plot,
                                   moe_err *err);
moe_status draw_c_heterogeneity(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_generalist(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_dropless(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_balance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_train_ce(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_lb_loss(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_imbalance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_small_scales(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
moe_status draw_c_more_data(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);

#endif
