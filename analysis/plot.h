/* plot.h - figures as data: panels in a grid, series in panels, a legend above them. Rendering comes last.
 *
 * A plot copies everything that it is given. Adding to it cannot fail where it is called: a lack of memory or
 * a wrong panel is remembered, and plot_render() reports it. Lengths are in points of the page: a plot 800
 * wide rendered at scale 2 is 1600 pixels wide.
 *
 * A panel has a position axis (epochs, categories) and a value axis. Position runs to the right and value
 * upwards, or, in a horizontal panel, position downwards and value to the right (bars beside long names).
 */
#ifndef ANALYSIS_PLOT_H
#define ANALYSIS_PLOT_H

#include "core/status.h"

struct plot;

struct plot_colour {
    double red, green, blue; /* 0 to 1, sRGB */
};

enum plot_marker {
    MARKER_NONE = 0,
    MARKER_CIRCLE,
    MARKER_SQUARE,
    MARKER_DIAMOND,
    MARKER_TRIANGLE,
    MARKER_TRIANGLE_DOWN,
    MARKER_CROSS
};

enum plot_dash { DASH_SOLID = 0, DASH_DASHED, DASH_DOTTED };

/* How a series looks. */
struct plot_pen {
    struct plot_colour colour;
    double width;   /* of lines; 0 = none */
    double opacity; /* 0 to 1 of lines, markers and bars; 0 is taken as 1 */
    enum plot_dash dash;
    enum plot_marker marker;
    double marker_size; /* diameter; 0 = 6 */
    bool hollow;        /* markers and bars: outline only */
};

/* Positions 0, 1, ... have names; or numbers with ticks. */
struct plot_axis {
    const char *label; /* with the unit in brackets; NULL = none */
    double min, max;   /* NaN = from the data */
    bool log;
    bool whole;               /* ticks at whole numbers only */
    bool zero;                /* 0 is in the range */
    bool room;                /* beyond an end at 0 too: for marks, which bars do not need */
    const char *const *names; /* [num_names] categories; NULL = numbers */
    int32_t num_names;
    bool hidden; /* no tick labels and no label (the panel beside has them) */
};

/* Both ends from the data, no label. */
struct plot_axis plot_axis_auto(void);

struct plot_panel_spec {
    const char *title; /* NULL = none */
    struct plot_axis position, value;
    bool horizontal;
};

enum plot_geom {
    GEOM_LINE = 0,   /* line with markers; low and high are a band around it, NaN: none there */
    GEOM_POINTS = 1, /* markers; low and high are error bars */
    GEOM_BARS = 2,   /* bars from base to value; low and high are error bars at the end */
    GEOM_AREA = 3    /* the area from base to value, under a white edge of the pen's width */
};

/* [n] values each; NaN leaves a gap. low, high, base, labels may be NULL. */
struct plot_series {
    enum plot_geom geom;
    int32_t n;
    const double *position;
    const double *value;
    const double *low, *high;
    const double *base;        /* where bars and areas begin; NULL = at 0 */
    const char *const *labels; /* text beyond the end of each bar or beside each point; NULL entries = none */
    double bar_width;          /* in units of position */
    struct plot_pen pen;
};

struct plot_layout {
    const char *title;   /* NULL = none */
    const char *note;    /* below the panels, wrapped; NULL = none */
    double width;        /* of the page */
    double panel_height; /* of the data area of each panel */
    int32_t rows, columns;
};

/* A new plot with rows x columns panels, numbered row by row. MOE_ENOMEM, MOE_EARG. */
moe_status plot_new(const struct plot_layout *layout, struct plot **out_plot, moe_err *err);
void plot_free(struct plot *plot); /* NULL is allowed */

void plot_set_panel(struct plot *plot, int32_t panel, const struct plot_panel_spec *spec);
/* A heading above a row of panels. */
void plot_head_row(struct plot *plot, int32_t row, const char *heading);

void plot_add_series(struct plot *plot, int32_t panel, const struct plot_series *series);

/* Gives both panels the same ranges: those of all their values, and of all their positions, together. Links
 * add up: (0, 1) and (1, 2) link three. */
void plot_link(struct plot *plot, int32_t panel, int32_t other);

/* A line across the panel at a value. It is part of the range. */
void plot_add_reference(struct plot *plot, int32_t panel, double value, const struct plot_pen *pen);

/* A shaded stripe across the panel between two values. It is part of the range. */
void plot_add_span(struct plot *plot, int32_t panel, double low, double high, struct plot_colour colour);

/* Cells [rows, columns], row 0 at the top, coloured from low to high (sequential, style_sequential(), in the
 * steps of the bar) with a bar of colours beside the panel; bar_label NULL: no bar, another panel has it.
 * What lies beyond low or high has the colour of the end, NaN stays white. The panel's axes name the columns
 * (position) and rows (value). */
void plot_add_heatmap(struct plot *plot, int32_t panel, int32_t rows, int32_t columns, const double *values,
                      double low, double high, const char *bar_label);

/* Cells with a whole number in each, in the same order; NaN stays white. */
void plot_add_counts(struct plot *plot, int32_t panel, int32_t rows, int32_t columns, const double *values);

/* An entry of the legend, in the order of the calls: a sample of the pen as the geom draws it. */
void plot_add_legend(struct plot *plot, const char *label, enum plot_geom geom, const struct plot_pen *pen);
/* A stripe's entry. */
void plot_add_legend_span(struct plot *plot, const char *label, struct plot_colour colour);
/* The next entry starts a new line. */
void plot_break_legend(struct plot *plot);
/* The next entry starts a new line, and before it stands what the line is of: a panel's title, where panels
 * have legends of their own. Entries of all lines then begin behind the longest heading. */
void plot_head_legend(struct plot *plot, const char *heading);

/* Offset of member i of n side by side within a category whose bars take `share` of its room; width of one
 * bar = share / n. */
double plot_dodge(int32_t i, int32_t n, double share);

/* Pixels, row by row, three bytes each. */
struct plot_image {
    int32_t width, height;
    uint8_t *rgb; /* [height, width, 3] */
};

void plot_image_free(struct plot_image *image);

/* Draws everything. The same plot gives the same pixels everywhere. MOE_ENOMEM, MOE_EARG. */
moe_status plot_render(const struct plot *plot, double scale, struct plot_image *out_image, moe_err *err);

#endif
