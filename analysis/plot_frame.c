/* Grid, ticks and labels of the axes of a panel. */
#include "analysis/plot_draw.h"
#include "analysis/style.h"

void draw_grid(const struct page *page, const struct axis_scale *scale, const struct panel_frame *f,
               bool across, bool reversed) {
    set_line(page, &(struct plot_pen){.colour = STYLE_GRID, .width = 1.0});
    for (int32_t i = 0; i < scale->num_ticks; i++) {
        if (scale->ticks[i].label[0] == '\0') continue;
        const double at = axis_fraction(scale, scale->ticks[i].value);
        if (across) {
            const double x = snap(page, f->data.x + at * f->data.width);
            straight_line(page, x, f->data.y, x, f->data.y + f->data.height);
        } else {
            const double y = snap(page, f->data.y + (reversed ? at : 1.0 - at) * f->data.height);
            straight_line(page, f->data.x, y, f->data.x + f->data.width, y);
        }
    }
}

/* Text of one tick; names may have several lines, set apart by '\n'. Beside an upright axis they end at x and
 * are centred about y; below the other they are centred about x and begin at y. */
static void draw_tick_label(const struct page *page, const char *label, bool across, double x, double y) {
    int32_t breaks = 0;
    for (const char *c = label; *c != '\0'; c++)
        breaks += *c == '\n';
    if (!across) y -= 0.5 * breaks * CATEGORY_LINE_STEP;
    while (label[0] != '\0') {
        char line[128];
        label = plot_text_line(label, line, sizeof line);
        draw_text(page, FONT_REGULAR, STYLE_TICK_SIZE, across ? ALIGN_MIDDLE : ALIGN_END,
                  across ? LEVEL_TOP : LEVEL_MIDDLE, STYLE_INK, x, y, line);
        y += CATEGORY_LINE_STEP;
    }
}

void draw_axis(const struct page *page, const struct plot_axis *axis, const struct axis_scale *scale,
               const struct panel_frame *f, bool across, bool reversed, double label_offset) {
    const struct plot_box *d = &f->data;
    const struct plot_pen ink = {.colour = STYLE_INK, .width = 1.0};
    for (int32_t i = 0; i < scale->num_ticks; i++) {
        const struct axis_tick *tick = &scale->ticks[i];
        const double at = axis_fraction(scale, tick->value);
        const double x = across ? snap(page, d->x + at * d->width) : d->x;
        const double y =
            across ? d->y + d->height : snap(page, d->y + (reversed ? at : 1.0 - at) * d->height);
        const double length = tick->label[0] == '\0' ? 2.5 : 4.0;
        set_line(page, &ink);
        if (axis->names == NULL) straight_line(page, x, y, across ? x : x - length, across ? y + length : y);
        if (axis->hidden) continue;
        const char *label = axis->names != NULL ? axis->names[i] : tick->label;
        draw_tick_label(page, label, across, across ? x : x - 7.0, across ? y + 8.0 : y);
    }
    if (axis->label == NULL || axis->hidden) return;
    const struct text_style style = {FONT_REGULAR, STYLE_LABEL_SIZE, ALIGN_MIDDLE,
                                     across ? LEVEL_TOP : LEVEL_BASELINE, !across};
    set_colour(page, STYLE_INK);
    plot_text_draw(page->cr, page->fonts, &style, across ? d->x + 0.5 * d->width : d->x - label_offset,
                   across ? d->y + d->height + label_offset : d->y + 0.5 * d->height, axis->label);
}
