/* plot_draw.h - drawing one panel, and samples of pens, onto a page whose layout is known. */
#ifndef ANALYSIS_PLOT_DRAW_H
#define ANALYSIS_PLOT_DRAW_H

#include "analysis/plot_model.h"
#include "analysis/plot_text.h"

/* The page under the pen. */
struct page {
    cairo_t *cr;
    const struct plot_fonts *fonts;
    double scale; /* device pixels per point */
};

/* A panel's place on the page and its scales. */
struct panel_frame {
    struct plot_box data; /* where values lie */
    struct axis_scale position, value;
    double position_label_offset; /* from the data box to the label of the axis at the bottom / left */
    double value_label_offset;
};

void set_colour(const struct page *page, struct plot_colour colour);

/* The nearest border between device pixels: lines that run along an axis stay sharp. */
double snap(const struct page *page, double at);

/* Lines of a pen, solid or dashed. */
void set_line(const struct page *page, const struct plot_pen *pen);
void straight_line(const struct page *page, double x1, double y1, double x2, double y2);

void draw_text(const struct page *page, enum font_face face, double size, enum text_align align,
               enum text_level level, struct plot_colour colour, double x, double y, const char *text);

/* A sample 26 wide around y for the legend. */
void draw_legend_sample(const struct page *page, const struct legend_entry *entry, double x, double y);
#define LEGEND_SAMPLE_WIDTH 26.0

/* Distance of lines of category names. */
#define CATEGORY_LINE_STEP 13.0

/* Room at the right of a heatmap for its bar of colours and the bar's label. */
#define HEATMAP_BAR_ROOM 72.0

/* Cells and their bar of colours (plot_heatmap.c). */
void draw_heatmap(const struct page *page, const struct panel_heatmap *heatmap,
                  const struct panel_frame *frame);

/* Grid lines of one axis (plot_frame.c); across = the axis runs to the right, reversed = downwards. */
void draw_grid(const struct page *page, const struct axis_scale *scale, const struct panel_frame *frame,
               bool across, bool reversed);
/* Ticks, their labels, and label_offset away from the data the label of the axis. */
void draw_axis(const struct page *page, const struct plot_axis *axis, const struct axis_scale *scale,
               const struct panel_frame *frame, bool across, bool reversed, double label_offset);

void draw_panel(const struct page *page, const struct panel *panel, const struct panel_frame *frame);

#endif
