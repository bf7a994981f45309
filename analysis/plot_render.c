#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot_draw.h"
#include "analysis/style.h"

#define PAGE_MARGIN 14.0
#define COLUMN_GAP  16.0
#define ROW_GAP     14.0
#define LEGEND_LINE 19.0
#define NOTE_LINE   15.0
#define PANEL_TITLE 20.0
#define ROW_HEAD    20.0
#define LEGEND_GAP  16.0
#define TICK_ROOM   10.0 /* from the data box to tick labels */
#define LABEL_GAP   8.0  /* from tick labels to the axis label */
#define OVERHANG    16.0 /* right of a panel: half of its last tick's label */

/* Heights and widths that all panels of a row or column share. */
struct grid {
    double title_height[64], bottom[64]; /* of each row */
    double left[64], right[64];          /* of each column */
    double data_width;
    double top; /* where the first row begins */
    double height;
};

static const struct panel *grid_panel(const struct plot *plot, int32_t row, int32_t column) {
    return &plot->panels[row * plot->layout.columns + column];
}

static double widest_label(const struct plot_fonts *fonts, const struct plot_axis *axis,
                           const struct axis_scale *scale) {
    double widest = 0.0;
    for (int32_t i = 0; i < scale->num_ticks; i++) {
        const char *rest = axis->names != NULL ? axis->names[i] : scale->ticks[i].label;
        while (rest[0] != '\0') {
            char line[128];
            rest = plot_text_line(rest, line, sizeof line);
            widest = fmax(widest, plot_text_width(fonts, FONT_REGULAR, STYLE_TICK_SIZE, line));
        }
    }
    return widest;
}

/* Category i lies at i; the range reaches half a category beyond the first and the last. */
static void scale_of_names(struct axis_scale *scale, const struct plot_axis *axis) {
    scale->log = false;
    scale->min = -0.5;
    scale->max = axis->num_names - 0.5;
    scale->num_ticks = axis->num_names < AXIS_MAX_TICKS ? axis->num_names : AXIS_MAX_TICKS;
    for (int32_t i = 0; i < scale->num_ticks; i++)
        scale->ticks[i] = (struct axis_tick){.value = i, .label = "|"};
}

static void scale_of_axis(struct axis_scale *scale, const struct plot_axis *axis, double low, double high,
                          int32_t target) {
    if (axis->names != NULL) {
        scale_of_names(scale, axis);
    } else if (axis->log) {
        axis_log(scale, low, high, axis->min, axis->max, target);
    } else {
        const double beyond = axis->room ? 1e-9 * (high - low) : 0.0;
        axis_linear(scale, low - beyond, high + beyond, axis->min, axis->max, axis->whole, target);
    }
}

static int32_t labelled_ticks(const struct axis_scale *scale) {
    int32_t count = 0;
    for (int32_t i = 0; i < scale->num_ticks; i++)
        count += scale->ticks[i].label[0] != '\0';
    return count;
}

/* Ticks of an axis that runs to the right, as many as fit without touching. */
static void scale_across(const struct plot_fonts *fonts, struct axis_scale *scale,
                         const struct plot_axis *axis, double low, double high, double width) {
    for (int32_t target = (int32_t)(width / 30.0); target >= 2; target--) {
        scale_of_axis(scale, axis, low, high, target);
        if (axis->names != NULL || (widest_label(fonts, axis, scale) + 12.0) * labelled_ticks(scale) <= width)
            return;
    }
    scale_of_axis(scale, axis, low, high, 2);
}

/* Width of the widest text beside a point, 0 if there is none. */
static double widest_point_label(const struct plot_fonts *fonts, const struct panel *panel) {
    double widest = 0.0;
    for (const struct panel_series *p = panel->series; p != NULL; p = p->next) {
        for (int32_t i = 0; p->s.labels != NULL && i < p->s.n; i++) {
            if (p->s.labels[i] == NULL) continue;
            widest = fmax(widest, plot_text_width(fonts, FONT_REGULAR, STYLE_NOTE_SIZE, p->s.labels[i]));
        }
    }
    return widest;
}

/* Range of the values, with room at the upper end for texts beside the points. length: of the axis on the
 * page. */
static void value_range(const struct plot_fonts *fonts, const struct plot *plot, const struct panel *panel,
                        double length, double *low, double *high) {
    panel_value_range(plot, panel, low, high);
    const double label = widest_point_label(fonts, panel);
    if (label == 0.0) return;
    const double room = panel->spec.horizontal ? label + 10.0 : STYLE_NOTE_SIZE + 6.0;
    const double share = fmin(0.6, room / length);
    if (panel->spec.value.log) {
        *high *= pow(*high / *low, share / (1.0 - share));
    } else {
        *high += (*high - *low) * share / (1.0 - share);
    }
}

static int32_t name_lines(const struct plot_axis *axis) {
    int32_t most = 1;
    for (int32_t i = 0; axis->names != NULL && i < axis->num_names; i++) {
        int32_t lines = 1;
        for (const char *c = axis->names[i]; *c != '\0'; c++)
            lines += *c == '\n';
        if (lines > most) most = lines;
    }
    return most;
}

/* Room below the data box for an axis that runs to the right; *label_offset: from the box to its label. */
static double room_below(const struct plot_axis *axis, double *label_offset) {
    *label_offset = 0.0;
    if (axis->hidden) return TICK_ROOM;
    const double ticks = TICK_ROOM + CATEGORY_LINE_STEP * name_lines(axis);
    *label_offset = ticks + LABEL_GAP - 2.0;
    return axis->label == NULL ? ticks + 4.0 : ticks + LABEL_GAP + STYLE_LABEL_SIZE;
}

/* Room left of the data box for an axis that runs up or down. */
static double room_left(const struct plot_fonts *fonts, const struct plot_axis *axis,
                        const struct axis_scale *scale, double *label_offset) {
    *label_offset = 0.0;
    if (axis->hidden) return TICK_ROOM;
    const double ticks = TICK_ROOM + widest_label(fonts, axis, scale);
    *label_offset = ticks + LABEL_GAP;
    return axis->label == NULL ? ticks : ticks + LABEL_GAP + STYLE_LABEL_SIZE;
}

/* The axis of a panel that runs up or down gets its scale from the height, which is known from the start. */
static void scale_upright(const struct plot_fonts *fonts, const struct plot *plot, const struct panel *panel,
                          struct panel_frame *f) {
    const int32_t target = (int32_t)fmax(4.0, plot->layout.panel_height / 28.0);
    double low;
    double high;
    if (panel->spec.horizontal) {
        panel_position_range(plot, panel, &low, &high);
        scale_of_axis(&f->position, &panel->spec.position, low, high, target);
        room_below(&panel->spec.value, &f->value_label_offset);
    } else {
        value_range(fonts, plot, panel, plot->layout.panel_height, &low, &high);
        scale_of_axis(&f->value, &panel->spec.value, low, high, target);
        if (panel->spec.value.names != NULL) { /* rows of a heatmap: the first at the top */
            const double first = f->value.min;
            f->value.min = f->value.max;
            f->value.max = first;
        }
        room_below(&panel->spec.position, &f->position_label_offset);
    }
}

static void scale_lengthwise(const struct plot_fonts *fonts, const struct plot *plot,
                             const struct panel *panel, double width, struct panel_frame *f) {
    double low;
    double high;
    if (panel->spec.horizontal) {
        value_range(fonts, plot, panel, width, &low, &high);
        scale_across(fonts, &f->value, &panel->spec.value, low, high, width);
    } else {
        panel_position_range(plot, panel, &low, &high);
        scale_across(fonts, &f->position, &panel->spec.position, low, high, width);
    }
}

/* Where the legend's entries begin: behind its longest heading. */
static double legend_start(const struct plot_fonts *fonts, const struct plot *plot) {
    double widest = 0.0;
    for (const struct legend_entry *e = plot->legend; e != NULL; e = e->next) {
        if (e->heading == NULL) continue;
        widest = fmax(widest, plot_text_width(fonts, FONT_BOLD, STYLE_LABEL_SIZE, e->heading) + LEGEND_GAP);
    }
    return PAGE_MARGIN + widest;
}

/* Lines that the legend takes; draws it if page is not NULL, from y on. */
static int32_t flow_legend(const struct page *page, const struct plot_fonts *fonts, const struct plot *plot,
                           double y) {
    const double start = legend_start(fonts, plot);
    int32_t lines = plot->legend == NULL ? 0 : 1;
    double x = start;
    for (const struct legend_entry *e = plot->legend; e != NULL; e = e->next) {
        const double text = plot_text_width(fonts, FONT_REGULAR, STYLE_LABEL_SIZE, e->label);
        const double width = LEGEND_SAMPLE_WIDTH + 6.0 + text;
        if (x > start && (e->new_line || x + width > plot->layout.width - PAGE_MARGIN)) {
            x = start;
            lines++;
        }
        if (page != NULL) {
            const double middle = y + LEGEND_LINE * (lines - 0.5);
            if (e->heading != NULL)
                draw_text(page, FONT_BOLD, STYLE_LABEL_SIZE, ALIGN_START, LEVEL_MIDDLE, STYLE_INK,
                          PAGE_MARGIN, middle, e->heading);
            draw_legend_sample(page, e, x, middle);
            draw_text(page, FONT_REGULAR, STYLE_LABEL_SIZE, ALIGN_START, LEVEL_MIDDLE, STYLE_INK,
                      x + LEGEND_SAMPLE_WIDTH + 6.0, middle, e->label);
        }
        x += width + LEGEND_GAP;
    }
    return lines;
}

/* Lines that the note takes; draws them if page is not NULL, the first below y. */
static int32_t flow_note(const struct page *page, const struct plot_fonts *fonts, const struct plot *plot,
                         double y) {
    int32_t lines = 0;
    const char *rest = plot->layout.note;
    while (rest != NULL && *rest != '\0') {
        const size_t fits =
            plot_text_fit(fonts, FONT_REGULAR, STYLE_NOTE_SIZE, rest, plot->layout.width - 2.0 * PAGE_MARGIN);
        char line[512];
        const size_t kept = fits < sizeof line ? fits : sizeof line - 1;
        memcpy(line, rest, kept);
        line[kept] = '\0';
        lines++;
        if (page != NULL) {
            draw_text(page, FONT_REGULAR, STYLE_NOTE_SIZE, ALIGN_START, LEVEL_BASELINE, STYLE_MUTED,
                      PAGE_MARGIN, y + NOTE_LINE * lines - 4.0, line);
        }
        rest += fits;
        while (*rest == ' ')
            rest++;
    }
    return lines;
}

/* Fills the grid and each panel's frame. */
static void lay_out(const struct plot *plot, const struct plot_fonts *fonts, struct grid *g,
                    struct panel_frame *frames) {
    const struct plot_layout *l = &plot->layout;
    for (int32_t r = 0; r < l->rows; r++) {
        for (int32_t c = 0; c < l->columns; c++) {
            const struct panel *p = grid_panel(plot, r, c);
            struct panel_frame *f = &frames[r * l->columns + c];
            if (!p->used) continue;
            scale_upright(fonts, plot, p, f);
            const bool sideways = p->spec.horizontal;
            double offset;
            const double below = room_below(sideways ? &p->spec.value : &p->spec.position, &offset);
            const double left = room_left(fonts, sideways ? &p->spec.position : &p->spec.value,
                                          sideways ? &f->position : &f->value,
                                          sideways ? &f->position_label_offset : &f->value_label_offset);
            if (p->spec.title != NULL) g->title_height[r] = PANEL_TITLE;
            g->bottom[r] = fmax(g->bottom[r], below);
            g->left[c] = fmax(g->left[c], left);
            g->right[c] = fmax(g->right[c],
                               p->heatmap != NULL && p->heatmap->bar_label != NULL ? HEATMAP_BAR_ROOM : 0.0);
        }
    }
    double margins = 0.0;
    for (int32_t c = 0; c < l->columns; c++)
        margins += g->left[c] + g->right[c];
    g->data_width =
        fmax(20.0, (l->width - 2.0 * PAGE_MARGIN - OVERHANG - margins - COLUMN_GAP * (l->columns - 1)) /
                       l->columns);
    g->top = PAGE_MARGIN + (l->title != NULL ? STYLE_TITLE_SIZE + 8.0 : 0.0);
    const int32_t legend_lines = flow_legend(NULL, fonts, plot, 0.0);
    if (legend_lines > 0) g->top += legend_lines * LEGEND_LINE + 8.0;

    double y = g->top;
    for (int32_t r = 0; r < l->rows; r++) {
        double x = PAGE_MARGIN;
        if (plot->row_heads[r] != NULL) y += ROW_HEAD;
        y += g->title_height[r];
        for (int32_t c = 0; c < l->columns; c++) {
            struct panel_frame *f = &frames[r * l->columns + c];
            x += g->left[c];
            f->data = (struct plot_box){x, y, g->data_width, l->panel_height};
            if (grid_panel(plot, r, c)->used)
                scale_lengthwise(fonts, plot, grid_panel(plot, r, c), g->data_width, f);
            x += g->data_width + g->right[c] + COLUMN_GAP;
        }
        y += l->panel_height + g->bottom[r] + (r + 1 < l->rows ? ROW_GAP : 0.0);
    }
    const int32_t note_lines = flow_note(NULL, fonts, plot, 0.0);
    g->height = y + (note_lines > 0 ? 6.0 + NOTE_LINE * note_lines : 0.0) + PAGE_MARGIN - 4.0;
}

static void draw_page(const struct page *page, const struct plot *plot, const struct grid *g,
                      const struct panel_frame *frames) {
    const struct plot_layout *l = &plot->layout;
    double y = PAGE_MARGIN;
    if (l->title != NULL) {
        draw_text(page, FONT_BOLD, STYLE_TITLE_SIZE, ALIGN_START, LEVEL_TOP, STYLE_INK, PAGE_MARGIN, y,
                  l->title);
        y += STYLE_TITLE_SIZE + 8.0;
    }
    flow_legend(page, page->fonts, plot, y);
    for (int32_t r = 0; r < l->rows; r++) {
        if (plot->row_heads[r] == NULL) continue;
        draw_text(page, FONT_BOLD, STYLE_HEAD_SIZE, ALIGN_START, LEVEL_BASELINE, STYLE_INK, PAGE_MARGIN,
                  frames[r * l->columns].data.y - g->title_height[r] - 7.0, plot->row_heads[r]);
    }
    for (int32_t i = 0; i < l->rows * l->columns; i++) {
        const struct panel *p = &plot->panels[i];
        if (!p->used) continue;
        if (p->spec.title != NULL) {
            draw_text(page, FONT_BOLD, STYLE_PANEL_SIZE, ALIGN_START, LEVEL_BASELINE, STYLE_INK,
                      frames[i].data.x, frames[i].data.y - 8.0, p->spec.title);
        }
        draw_panel(page, p, &frames[i]);
    }
    const int32_t note_lines = flow_note(NULL, page->fonts, plot, 0.0);
    flow_note(page, page->fonts, plot, g->height - PAGE_MARGIN + 4.0 - NOTE_LINE * note_lines);
}

/* Surface -> RGB bytes. */
static moe_status copy_pixels(cairo_surface_t *surface, struct plot_image *image, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t width = cairo_image_surface_get_width(surface);
    const int32_t height = cairo_image_surface_get_height(surface);
    image->rgb = malloc((size_t)width * (size_t)height * 3);
    moe_check(image->rgb != NULL, err, MOE_ENOMEM, "cannot allocate an image of %d x %d pixels", width,
              height);
    image->width = width;
    image->height = height;
    cairo_surface_flush(surface);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    const int stride = cairo_image_surface_get_stride(surface);
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            uint32_t pixel;
            memcpy(&pixel, data + (size_t)y * (size_t)stride + 4 * (size_t)x, sizeof pixel);
            uint8_t *rgb = &image->rgb[3 * ((size_t)y * (size_t)width + (size_t)x)];
            rgb[0] = (uint8_t)(pixel >> 16);
            rgb[1] = (uint8_t)(pixel >> 8);
            rgb[2] = (uint8_t)pixel;
        }
    }
out:
    return status;
}

moe_status plot_render(const struct plot *plot, double scale, struct plot_image *out_image, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_fonts *fonts = NULL;
    struct panel_frame *frames = NULL;
    cairo_surface_t *surface = NULL;
    cairo_t *cr = NULL;
    struct grid g = {0};
    *out_image = (struct plot_image){0};
    if (plot->error.status != MOE_OK) return moe_fail(err, plot->error.status, "%s", plot->error.message);
    moe_try(plot_fonts_open(&fonts, err));
    frames = calloc((size_t)(plot->layout.rows * plot->layout.columns), sizeof *frames);
    moe_check(frames != NULL, err, MOE_ENOMEM, "cannot allocate the layout of a plot");
    lay_out(plot, fonts, &g, frames);

    surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(plot->layout.width * scale),
                                         (int)ceil(g.height * scale));
    cr = cairo_create(surface);
    cairo_set_antialias(cr, CAIRO_ANTIALIAS_GOOD);
    cairo_set_tolerance(cr, 0.1);
    cairo_set_source_rgb(cr, 1.0, 1.0, 1.0);
    cairo_paint(cr);
    cairo_scale(cr, scale, scale);
    draw_page(&(struct page){cr, fonts, scale}, plot, &g, frames);
    moe_check(cairo_status(cr) == CAIRO_STATUS_SUCCESS, err, MOE_ENOMEM, "cairo cannot draw the plot: %s",
              cairo_status_to_string(cairo_status(cr)));
    moe_try(copy_pixels(surface, out_image, err));
out:
    if (cr != NULL) cairo_destroy(cr);
    if (surface != NULL) cairo_surface_destroy(surface);
    free(frames);
    plot_fonts_close(fonts);
    return status;
}
