#include <math.h>
#include <stdio.h>

#include "analysis/plot_draw.h"
#include "analysis/style.h"

/* Colours of a map and its bar: few enough that a cell of an animation often stays as it was, which is what
 * makes it small, and that all of them fit its palette. */
#define HEATMAP_STEPS 50

#define BAR_GAP   10.0 /* from the cells to the bar */
#define BAR_WIDTH 12.0

/* Colour of step i of the bar. */
static struct plot_colour step_colour(int32_t i) {
    return style_sequential((i + 0.5) / HEATMAP_STEPS);
}

static struct plot_colour cell_colour(const struct panel_heatmap *h, double value) {
    const double span = h->high - h->low;
    const double at = span > 0.0 ? (value - h->low) / span : 0.0;
    return step_colour((int32_t)fmin(HEATMAP_STEPS - 1.0, fmax(0.0, floor(at * HEATMAP_STEPS))));
}

static void fill_box(const struct page *page, struct plot_colour colour, double left, double top,
                     double right, double bottom) {
    cairo_new_path(page->cr);
    cairo_rectangle(page->cr, left, top, right - left, bottom - top);
    set_colour(page, colour);
    cairo_fill(page->cr);
}

static void draw_colour_bar(const struct page *page, const struct panel_heatmap *h,
                            const struct plot_box *data) {
    const double x = snap(page, data->x + data->width + BAR_GAP);
    for (int32_t i = 0; i < HEATMAP_STEPS; i++) {
        const double top = snap(page, data->y + data->height * (HEATMAP_STEPS - 1 - i) / HEATMAP_STEPS);
        const double bottom = snap(page, data->y + data->height * (HEATMAP_STEPS - i) / HEATMAP_STEPS);
        fill_box(page, step_colour(i), x, top, x + BAR_WIDTH, bottom);
    }
    struct axis_scale bar;
    axis_linear(&bar, h->low, h->high, h->low, h->high, false, (int32_t)(data->height / 40.0));
    for (int32_t i = 0; i < bar.num_ticks; i++) {
        const double y = data->y + data->height * (1.0 - axis_fraction(&bar, bar.ticks[i].value));
        draw_text(page, FONT_REGULAR, STYLE_TICK_SIZE, ALIGN_START, LEVEL_MIDDLE, STYLE_INK,
                  x + BAR_WIDTH + 4.0, y, bar.ticks[i].label);
    }
    const struct text_style label = {FONT_REGULAR, STYLE_LABEL_SIZE, ALIGN_MIDDLE, LEVEL_BASELINE, true};
    set_colour(page, STYLE_INK);
    plot_text_draw(page->cr, page->fonts, &label, data->x + data->width + HEATMAP_BAR_ROOM - 3.0,
                   data->y + 0.5 * data->height, h->bar_label);
}

static void draw_number(const struct page *page, double value, double x, double y) {
    char text[32];
    snprintf(text, sizeof text, "%.0f", value);
    draw_text(page, FONT_REGULAR, STYLE_LABEL_SIZE, ALIGN_MIDDLE, LEVEL_MIDDLE, STYLE_INK, x, y, text);
}

void draw_heatmap(const struct page *page, const struct panel_heatmap *h, const struct panel_frame *f) {
    const struct plot_box *d = &f->data;
    const double edge = h->numbers ? 1.0 : 0.0; /* cells of one colour stand apart */
    for (int32_t r = 0; r < h->rows; r++) {
        for (int32_t c = 0; c < h->columns; c++) {
            const double v = h->values[r * h->columns + c];
            const double width = d->width / h->columns, height = d->height / h->rows;
            if (isnan(v)) continue;
            fill_box(page, h->numbers ? STYLE_GRID : cell_colour(h, v), snap(page, d->x + width * c) + edge,
                     snap(page, d->y + height * r) + edge, snap(page, d->x + width * (c + 1)) - edge,
                     snap(page, d->y + height * (r + 1)) - edge);
            if (h->numbers) draw_number(page, v, d->x + width * (c + 0.5), d->y + height * (r + 0.5));
        }
    }
    if (h->bar_label != NULL) draw_colour_bar(page, h, d);
}
