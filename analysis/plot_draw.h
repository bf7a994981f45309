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

void draw_text(const struct page *page, enum font_face face, double size, enum text_align align,
               enum text_level level, struct plot_colour colour, double x, double y, const char *text);

/* A sample 26 wide around y for the legend. */
void draw_legend_sample(const struct page *page, const struct legend_entry *entry, double x, double y);
#define LEGEND_SAMPLE_WIDTH 26.0

/* Distance of lines of category names. */
#define CATEGORY_LINE_STEP 13.0

/* Room at the right of a heatmap for its bar of colours and the bar's label. */
#define HEATMAP_BAR_ROOM 72.0

void draw_panel(const struct page *page, const struct panel *panel, const struct panel_frame *frame);

#endif
