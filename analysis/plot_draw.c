#include "analysis/plot_draw.h"

#include <math.h>
#include <string.h>

#include "analysis/style.h"

#define BAND_OPACITY 0.16

void set_colour(const struct page *page, struct plot_colour c) {
    cairo_set_source_rgb(page->cr, c.red, c.green, c.blue);
}

static void set_translucent(const struct page *page, struct plot_colour c, double opacity) {
    cairo_set_source_rgba(page->cr, c.red, c.green, c.blue, opacity);
}

static double opacity_of(const struct plot_pen *pen) {
    return pen->opacity > 0.0 ? pen->opacity : 1.0;
}

double snap(const struct page *page, double at) {
    return floor(at * page->scale + 0.5) / page->scale;
}

void draw_text(const struct page *page, enum font_face face, double size, enum text_align align,
               enum text_level level, struct plot_colour colour, double x, double y, const char *text) {
    const struct text_style style = {.face = face, .size = size, .align = align, .level = level};
    set_colour(page, colour);
    plot_text_draw(page->cr, page->fonts, &style, x, y, text);
}

void set_line(const struct page *page, const struct plot_pen *pen) {
    const double w = pen->width;
    const double dashed[] = {4.0 * w, 2.5 * w};
    const double dotted[] = {1.2 * w, 1.8 * w};
    cairo_set_line_width(page->cr, w);
    cairo_set_line_cap(page->cr, CAIRO_LINE_CAP_BUTT);
    /* never round joins: cairo 1.16 and 1.18 decide differently where they are needed */
    cairo_set_line_join(page->cr, CAIRO_LINE_JOIN_BEVEL);
    cairo_set_dash(page->cr, pen->dash == DASH_DASHED ? dashed : dotted, pen->dash == DASH_SOLID ? 0 : 2,
                   0.0);
    set_translucent(page, pen->colour, opacity_of(pen));
}

void straight_line(const struct page *page, double x1, double y1, double x2, double y2) {
    cairo_new_path(page->cr);
    cairo_move_to(page->cr, x1, y1);
    cairo_line_to(page->cr, x2, y2);
    cairo_stroke(page->cr);
}

/* A circle of four cubic arcs: cairo_arc() chooses its own number of pieces. */
static void circle_path(cairo_t *cr, double x, double y, double r) {
    const double k = 0.5522847498307936 * r;
    cairo_move_to(cr, x + r, y);
    cairo_curve_to(cr, x + r, y + k, x + k, y + r, x, y + r);
    cairo_curve_to(cr, x - k, y + r, x - r, y + k, x - r, y);
    cairo_curve_to(cr, x - r, y - k, x - k, y - r, x, y - r);
    cairo_curve_to(cr, x + k, y - r, x + r, y - k, x + r, y);
    cairo_close_path(cr);
}

/* Corners in units of the radius, sized so that all markers look equally heavy. */
static void polygon_path(cairo_t *cr, double x, double y, double r, const double (*corners)[2], int n) {
    for (int i = 0; i < n; i++) {
        if (i == 0) {
            cairo_move_to(cr, x + r * corners[i][0], y + r * corners[i][1]);
        } else {
            cairo_line_to(cr, x + r * corners[i][0], y + r * corners[i][1]);
        }
    }
    cairo_close_path(cr);
}

static void draw_marker(const struct page *page, const struct plot_pen *pen, double x, double y) {
    static const double square[][2] = {{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}};
    static const double diamond[][2] = {{0.0, -1.3}, {1.3, 0.0}, {0.0, 1.3}, {-1.3, 0.0}};
    static const double up[][2] = {{0.0, -1.2}, {1.15, 0.8}, {-1.15, 0.8}};
    static const double down[][2] = {{0.0, 1.2}, {1.15, -0.8}, {-1.15, -0.8}};
    const double r = 0.5 * (pen->marker_size > 0.0 ? pen->marker_size : STYLE_MARKER_SIZE);
    cairo_t *cr = page->cr;
    cairo_new_path(cr);
    switch (pen->marker) {
    case MARKER_NONE:
        return;
    case MARKER_CIRCLE:
        circle_path(cr, x, y, r);
        break;
    case MARKER_SQUARE:
        polygon_path(cr, x, y, r, square, 4);
        break;
    case MARKER_DIAMOND:
        polygon_path(cr, x, y, r, diamond, 4);
        break;
    case MARKER_TRIANGLE:
        polygon_path(cr, x, y, r, up, 3);
        break;
    case MARKER_TRIANGLE_DOWN:
        polygon_path(cr, x, y, r, down, 3);
        break;
    case MARKER_CROSS:
        cairo_move_to(cr, x - r, y - r);
        cairo_line_to(cr, x + r, y + r);
        cairo_move_to(cr, x - r, y + r);
        cairo_line_to(cr, x + r, y - r);
        break;
    }
    cairo_set_dash(cr, NULL, 0, 0.0);
    cairo_set_line_width(cr, 1.4);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_MITER);
    if (pen->marker == MARKER_CROSS) {
        set_colour(page, pen->colour);
        cairo_stroke(cr);
        return;
    }
    set_colour(page, pen->hollow ? (struct plot_colour){1.0, 1.0, 1.0} : pen->colour);
    cairo_fill_preserve(cr);
    set_colour(page, pen->colour);
    if (!pen->hollow) cairo_set_line_width(cr, 0.5);
    cairo_stroke(cr);
}

static void draw_bar(const struct page *page, const struct plot_pen *pen, struct plot_box box) {
    cairo_t *cr = page->cr;
    const double inset = pen->hollow ? 0.6 : 0.0;
    const double left = snap(page, box.x);
    const double top = snap(page, box.y);
    const double width = snap(page, box.x + box.width) - left;
    const double height = snap(page, box.y + box.height) - top;
    cairo_new_path(cr);
    cairo_rectangle(cr, left + inset, top + inset, fmax(0.0, width - 2.0 * inset),
                    fmax(0.0, height - 2.0 * inset));
    if (!pen->hollow) {
        set_translucent(page, pen->colour, opacity_of(pen));
        cairo_fill(cr);
        return;
    }
    set_colour(page, (struct plot_colour){1.0, 1.0, 1.0});
    cairo_fill_preserve(cr);
    set_colour(page, pen->colour);
    cairo_set_dash(cr, NULL, 0, 0.0);
    cairo_set_line_width(cr, 1.2);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_MITER);
    cairo_stroke(cr);
}

/* A point of the data on the page. */
static void map(const struct panel *panel, const struct panel_frame *f, double position, double value,
                double *x, double *y) {
    const double p = axis_fraction(&f->position, position);
    const double v = axis_fraction(&f->value, value);
    if (panel->spec.horizontal) {
        *x = f->data.x + v * f->data.width;
        *y = f->data.y + p * f->data.height;
    } else {
        *x = f->data.x + p * f->data.width;
        *y = f->data.y + (1.0 - v) * f->data.height;
    }
}

static bool drawable(const struct panel *panel, double position, double value) {
    return isfinite(position) && isfinite(value) && (!panel->spec.value.log || value > 0.0) &&
           (!panel->spec.position.log || position > 0.0);
}

/* The band between low and high over points [first, end). */
static void draw_band(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                      const struct plot_series *s, int32_t first, int32_t end) {
    double x;
    double y;
    cairo_new_path(page->cr);
    for (int32_t i = first; i < end; i++) {
        map(panel, f, s->position[i], s->high[i], &x, &y);
        cairo_line_to(page->cr, x, y);
    }
    for (int32_t i = end - 1; i >= first; i--) {
        map(panel, f, s->position[i], s->low[i], &x, &y);
        cairo_line_to(page->cr, x, y);
    }
    cairo_close_path(page->cr);
    set_translucent(page, s->pen.colour, BAND_OPACITY);
    cairo_fill(page->cr);
}

/* Where the area of point i begins. */
static double area_base(const struct panel *panel, const struct panel_frame *f, const struct plot_series *s,
                        int32_t i) {
    if (s->base != NULL) return s->base[i];
    return panel->spec.value.log ? f->value.min : 0.0;
}

/* The area between base and value over points [first, end), and its upper edge in white. */
static void draw_area(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                      const struct plot_series *s, int32_t first, int32_t end) {
    double x;
    double y;
    cairo_new_path(page->cr);
    for (int32_t i = first; i < end; i++) {
        map(panel, f, s->position[i], s->value[i], &x, &y);
        cairo_line_to(page->cr, x, y);
    }
    for (int32_t i = end - 1; i >= first; i--) {
        map(panel, f, s->position[i], area_base(panel, f, s, i), &x, &y);
        cairo_line_to(page->cr, x, y);
    }
    cairo_close_path(page->cr);
    set_translucent(page, s->pen.colour, opacity_of(&s->pen));
    cairo_fill(page->cr);
    if (!(s->pen.width > 0.0)) return;
    set_line(page, &(struct plot_pen){.colour = {1.0, 1.0, 1.0}, .width = s->pen.width});
    for (int32_t i = first; i < end; i++) {
        map(panel, f, s->position[i], s->value[i], &x, &y);
        cairo_line_to(page->cr, x, y);
    }
    cairo_stroke(page->cr);
}

/* Areas over the stretches without a gap. */
static void draw_area_series(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                             const struct plot_series *s) {
    int32_t first = 0;
    for (int32_t i = 0; i <= s->n; i++) {
        if (i < s->n && drawable(panel, s->position[i], s->value[i]) &&
            drawable(panel, s->position[i], area_base(panel, f, s, i)))
            continue;
        if (i - first >= 2) draw_area(page, panel, f, s, first, i);
        first = i + 1;
    }
}

/* One end of an error bar at a value: the bar's end on the page, and a cap across it unless it is cut at the
 * axis's. */
static void error_bar_end(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                          double position, double value, double *x, double *y) {
    const double kept = fmin(fmax(value, f->value.min), f->value.max);
    const double cap_x = panel->spec.horizontal ? 0.0 : 2.5;
    const double cap_y = panel->spec.horizontal ? 2.5 : 0.0;
    map(panel, f, position, kept, x, y);
    if (kept == value) straight_line(page, *x - cap_x, *y - cap_y, *x + cap_x, *y + cap_y);
}

/* Error bar of point i, across the value axis. */
static void draw_error_bar(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                           const struct plot_series *s, int32_t i, struct plot_colour colour) {
    if (s->low == NULL || s->high == NULL || !drawable(panel, s->position[i], s->low[i]) ||
        !drawable(panel, s->position[i], s->high[i]))
        return;
    double x1;
    double y1;
    double x2;
    double y2;
    set_line(page, &(struct plot_pen){.colour = colour, .width = 1.3});
    error_bar_end(page, panel, f, s->position[i], s->low[i], &x1, &y1);
    error_bar_end(page, panel, f, s->position[i], s->high[i], &x2, &y2);
    straight_line(page, x1, y1, x2, y2);
}

/* Bands over the stretches where points have intervals; a point that has one alone gets an error bar. */
static void draw_bands(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                       const struct plot_series *s) {
    int32_t first = 0;
    if (s->low == NULL || s->high == NULL) return;
    for (int32_t i = 0; i <= s->n; i++) {
        const bool here = i < s->n && drawable(panel, s->position[i], s->low[i]) &&
                          drawable(panel, s->position[i], s->high[i]);
        if (here) continue;
        if (i - first >= 2) draw_band(page, panel, f, s, first, i);
        if (i - first == 1) draw_error_bar(page, panel, f, s, first, s->pen.colour);
        first = i + 1;
    }
}

static void draw_line_series(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                             const struct plot_series *s) {
    double x;
    double y;
    draw_bands(page, panel, f, s);
    if (s->pen.width > 0.0) {
        bool drawing = false;
        set_line(page, &s->pen);
        cairo_new_path(page->cr);
        for (int32_t i = 0; i < s->n; i++) {
            if (!drawable(panel, s->position[i], s->value[i])) {
                drawing = false;
                continue;
            }
            map(panel, f, s->position[i], s->value[i], &x, &y);
            if (drawing) {
                cairo_line_to(page->cr, x, y);
            } else {
                cairo_move_to(page->cr, x, y);
            }
            drawing = true;
        }
        cairo_stroke(page->cr);
    }
    for (int32_t i = 0; i < s->n; i++) {
        if (s->pen.marker == MARKER_NONE || !drawable(panel, s->position[i], s->value[i])) continue;
        map(panel, f, s->position[i], s->value[i], &x, &y);
        draw_marker(page, &s->pen, x, y);
    }
}

/* Text on a white edge: it stays legible where it meets a line. */
static void draw_label(const struct page *page, enum text_align align, enum text_level level, double x,
                       double y, const char *text) {
    const struct text_style style = {
        .face = FONT_REGULAR, .size = STYLE_NOTE_SIZE, .align = align, .level = level};
    plot_text_path(page->cr, page->fonts, &style, x, y, text);
    cairo_set_dash(page->cr, NULL, 0, 0.0);
    cairo_set_line_width(page->cr, 3.0);
    cairo_set_line_join(page->cr, CAIRO_LINE_JOIN_BEVEL);
    cairo_set_source_rgb(page->cr, 1.0, 1.0, 1.0);
    cairo_stroke_preserve(page->cr);
    set_colour(page, STYLE_INK);
    cairo_fill(page->cr);
}

/* Text beyond the end of point i (or of its error bar). */
static void draw_point_label(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                             const struct plot_series *s, int32_t i) {
    if (s->labels == NULL || s->labels[i] == NULL) return;
    double end = s->value[i];
    if (s->high != NULL && isfinite(s->high[i]) && s->high[i] > end) end = s->high[i];
    double x;
    double y;
    map(panel, f, s->position[i], end, &x, &y);
    const double room = s->geom == GEOM_POINTS ? 0.5 * s->pen.marker_size + 4.0 : 4.0;
    if (panel->spec.horizontal) {
        draw_label(page, ALIGN_START, LEVEL_MIDDLE, x + room, y, s->labels[i]);
    } else {
        draw_label(page, ALIGN_MIDDLE, LEVEL_BASELINE, x, y - room, s->labels[i]);
    }
}

static void draw_bars(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                      const struct plot_series *s) {
    for (int32_t i = 0; i < s->n; i++) {
        double base = s->base != NULL ? s->base[i] : panel->spec.value.log ? f->value.min : 0.0;
        if (!drawable(panel, s->position[i], s->value[i]) || !drawable(panel, s->position[i], base)) continue;
        double x1;
        double y1;
        double x2;
        double y2;
        map(panel, f, s->position[i] - 0.5 * s->bar_width, base, &x1, &y1);
        map(panel, f, s->position[i] + 0.5 * s->bar_width, s->value[i], &x2, &y2);
        draw_bar(page, &s->pen, (struct plot_box){fmin(x1, x2), fmin(y1, y2), fabs(x2 - x1), fabs(y2 - y1)});
    }
}

/* Error bars and texts of bars. */
static void draw_bar_ends(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                          const struct plot_series *s) {
    for (int32_t i = 0; i < s->n; i++) {
        if (!drawable(panel, s->position[i], s->value[i])) continue;
        draw_error_bar(page, panel, f, s, i, STYLE_MUTED);
        draw_point_label(page, panel, f, s, i);
    }
}

static void draw_point_series(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                              const struct plot_series *s) {
    for (int32_t i = 0; i < s->n; i++) {
        if (!drawable(panel, s->position[i], s->value[i])) continue;
        double x;
        double y;
        map(panel, f, s->position[i], s->value[i], &x, &y);
        draw_error_bar(page, panel, f, s, i, s->pen.colour);
        draw_marker(page, &s->pen, x, y);
        draw_point_label(page, panel, f, s, i);
    }
}

static void draw_references(const struct page *page, const struct panel *panel, const struct panel_frame *f,
                            bool stripes) {
    for (const struct panel_reference *r = panel->references; r != NULL; r = r->next) {
        if (stripes != (r->low != r->high)) continue;
        const bool sideways = panel->spec.horizontal;
        double x1;
        double y1;
        double x2;
        double y2;
        map(panel, f, f->position.min, r->low, &x1, &y1);
        map(panel, f, f->position.max, r->high, &x2, &y2);
        if (stripes) {
            cairo_new_path(page->cr);
            cairo_rectangle(page->cr, fmin(x1, x2), fmin(y1, y2), fabs(x2 - x1), fabs(y2 - y1));
            set_colour(page, r->pen.colour);
            cairo_fill(page->cr);
        } else {
            set_line(page, &r->pen);
            if (sideways) {
                straight_line(page, x1, f->data.y, x1, f->data.y + f->data.height);
            } else {
                straight_line(page, f->data.x, y1, f->data.x + f->data.width, y1);
            }
        }
    }
}

void draw_panel(const struct page *page, const struct panel *panel, const struct panel_frame *f) {
    const bool sideways = panel->spec.horizontal;
    const struct plot_box *d = &f->data;
    draw_references(page, panel, f, true);
    if (panel->heatmap == NULL) {
        draw_grid(page, &f->value, f, sideways, false);
        if (panel->spec.position.names == NULL) draw_grid(page, &f->position, f, !sideways, sideways);
    }

    cairo_save(page->cr);
    const double clip_left = snap(page, d->x - 4.0);
    const double clip_top = snap(page, d->y - 4.0);
    cairo_rectangle(page->cr, clip_left, clip_top, snap(page, d->x + d->width + 4.0) - clip_left,
                    snap(page, d->y + d->height + 4.0) - clip_top);
    cairo_clip(page->cr);
    if (panel->heatmap != NULL) {
        cairo_reset_clip(page->cr);
        draw_heatmap(page, panel->heatmap, f);
    }
    for (const struct panel_series *s = panel->series; s != NULL; s = s->next) {
        if (s->s.geom == GEOM_BARS) draw_bars(page, panel, f, &s->s);
        if (s->s.geom == GEOM_AREA) draw_area_series(page, panel, f, &s->s);
    }
    draw_references(page, panel, f, false);
    for (const struct panel_series *s = panel->series; s != NULL; s = s->next) {
        if (s->s.geom == GEOM_LINE) {
            draw_line_series(page, panel, f, &s->s);
        } else if (s->s.geom == GEOM_BARS) {
            draw_bar_ends(page, panel, f, &s->s);
        } else if (s->s.geom == GEOM_POINTS) {
            draw_point_series(page, panel, f, &s->s);
        }
    }
    cairo_restore(page->cr);

    set_line(page, &(struct plot_pen){.colour = STYLE_INK, .width = 1.0});
    const double left = snap(page, d->x);
    const double bottom = snap(page, d->y + d->height);
    straight_line(page, left, d->y, left, bottom);
    straight_line(page, left, bottom, d->x + d->width, bottom);
    draw_axis(page, &panel->spec.value, &f->value, f, sideways, false, f->value_label_offset);
    draw_axis(page, &panel->spec.position, &f->position, f, !sideways, sideways, f->position_label_offset);
}

void draw_legend_sample(const struct page *page, const struct legend_entry *entry, double x, double y) {
    const double middle = x + 0.5 * LEGEND_SAMPLE_WIDTH;
    if (entry->stripe || entry->geom == GEOM_BARS || entry->geom == GEOM_AREA) {
        draw_bar(page, &entry->pen, (struct plot_box){x + 5.0, y - 5.0, LEGEND_SAMPLE_WIDTH - 10.0, 10.0});
        return;
    }
    if (entry->pen.width > 0.0) {
        set_line(page, &entry->pen);
        straight_line(page, x, y, x + LEGEND_SAMPLE_WIDTH, y);
    }
    draw_marker(page, &entry->pen, middle, y);
}
