/* plot_model.h - what a plot holds; shared by the files that build, measure and draw it, and by nobody else.
 */
#ifndef ANALYSIS_PLOT_MODEL_H
#define ANALYSIS_PLOT_MODEL_H

#include "analysis/plot.h"
#include "analysis/plot_axis.h"

struct panel_series {
    struct plot_series s; /* its arrays are the plot's */
    struct panel_series *next;
};

struct panel_reference {
    double low, high; /* equal: a line; else a stripe */
    struct plot_pen pen;
    struct panel_reference *next;
};

struct panel_heatmap {
    int32_t rows, columns;
    const double *values; /* [rows, columns] */
    double low, high;
    const char *bar_label;
    bool numbers; /* each cell shows its value instead of its colour */
};

struct panel {
    bool used;    /* plot_set_panel() was called */
    int32_t link; /* panels of the same link share their ranges; at first a panel's own number */
    struct plot_panel_spec spec;
    struct panel_series *series, **series_end;
    struct panel_reference *references, **references_end;
    struct panel_heatmap *heatmap;
};

struct legend_entry {
    const char *label;
    const char *heading; /* of the line that it starts; NULL = none */
    enum plot_geom geom;
    struct plot_pen pen;
    bool stripe, new_line;
    struct legend_entry *next;
};

/* A piece of the plot's memory. */
struct plot_block {
    struct plot_block *next;
    double data[];
};

struct plot {
    struct plot_layout layout;
    struct panel *panels;   /* [rows, columns] */
    const char **row_heads; /* [rows], NULL = none */
    struct legend_entry *legend, **legend_end;
    bool break_legend; /* before the next entry, whose line has this heading */
    const char *legend_heading;
    struct plot_block *blocks;
    moe_err error; /* first failure while building */
};

/* A rectangle of the page, y downwards. */
struct plot_box {
    double x, y, width, height;
};

/* Smallest and largest value (or position) of everything in a panel and those linked to it, NaN if there is
 * none. Values
 * <= 0 do not count on a log axis. */
void panel_value_range(const struct plot *plot, const struct panel *panel, double *low, double *high);
void panel_position_range(const struct plot *plot, const struct panel *panel, double *low, double *high);

#endif
