#include "analysis/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot_model.h"

/* Memory that lives as long as the plot; NULL (remembered) if there is none. */
static void *plot_take(struct plot *plot, size_t bytes) {
    struct plot_block *block = calloc(1, sizeof *block + bytes);
    if (block == NULL) {
        if (plot->error.status == MOE_OK)
            moe_fail(&plot->error, MOE_ENOMEM, "cannot allocate %zu bytes of a plot", bytes);
        return NULL;
    }
    block->next = plot->blocks;
    plot->blocks = block;
    return block->data;
}

static const void *plot_copy(struct plot *plot, const void *from, size_t bytes) {
    if (from == NULL) return NULL;
    void *copy = plot_take(plot, bytes == 0 ? 1 : bytes);
    if (copy != NULL && bytes > 0) memcpy(copy, from, bytes);
    return copy;
}

static const char *plot_string(struct plot *plot, const char *text) {
    return text == NULL ? NULL : plot_copy(plot, text, strlen(text) + 1);
}

/* [n] strings, any of them NULL. */
static const char *const *plot_strings(struct plot *plot, const char *const *texts, int32_t n) {
    if (texts == NULL) return NULL;
    const char **copy = plot_take(plot, (size_t)(n > 0 ? n : 1) * sizeof *copy);
    for (int32_t i = 0; copy != NULL && i < n; i++)
        copy[i] = plot_string(plot, texts[i]);
    return copy;
}

moe_status plot_new(const struct plot_layout *layout, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    moe_check(layout->rows >= 1 && layout->columns >= 1 && layout->rows <= 64 && layout->columns <= 64, err,
              MOE_EARG, "a plot has 1 to 64 rows and columns of panels, got %d x %d", layout->rows,
              layout->columns);
    moe_check(layout->width >= 50.0 && layout->width <= 8000.0 && layout->panel_height >= 10.0 &&
                  layout->panel_height <= 8000.0,
              err, MOE_EARG, "a plot of width %g with panels %g high cannot be drawn", layout->width,
              layout->panel_height);
    plot = calloc(1, sizeof *plot);
    moe_check(plot != NULL, err, MOE_ENOMEM, "cannot allocate a plot");
    plot->layout = *layout;
    plot->legend_end = &plot->legend;
    plot->layout.title = plot_string(plot, layout->title);
    plot->layout.note = plot_string(plot, layout->note);
    const int32_t count = layout->rows * layout->columns;
    plot->panels = plot_take(plot, (size_t)count * sizeof *plot->panels);
    plot->row_heads = plot_take(plot, (size_t)layout->rows * sizeof *plot->row_heads);
    moe_check(plot->panels != NULL && plot->row_heads != NULL, err, MOE_ENOMEM, "cannot allocate %d panels",
              count);
    for (int32_t i = 0; i < count; i++) {
        plot->panels[i].link = i;
        plot->panels[i].series_end = &plot->panels[i].series;
        plot->panels[i].references_end = &plot->panels[i].references;
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

void plot_free(struct plot *plot) {
    if (plot == NULL) return;
    while (plot->blocks != NULL) {
        struct plot_block *block = plot->blocks;
        plot->blocks = block->next;
        free(block);
    }
    free(plot);
}

/* The panel of that number, or NULL (remembered). */
static struct panel *panel_at(struct plot *plot, int32_t panel) {
    const int32_t count = plot->layout.rows * plot->layout.columns;
    if (panel >= 0 && panel < count) return &plot->panels[panel];
    if (plot->error.status == MOE_OK)
        moe_fail(&plot->error, MOE_EARG, "panel %d of a plot that has %d", panel, count);
    return NULL;
}

struct plot_axis plot_axis_auto(void) {
    return (struct plot_axis){.min = NAN, .max = NAN};
}

static struct plot_axis copy_axis(struct plot *plot, const struct plot_axis *axis) {
    struct plot_axis copy = *axis;
    copy.label = plot_string(plot, axis->label);
    copy.names = plot_strings(plot, axis->names, axis->num_names);
    return copy;
}

void plot_set_panel(struct plot *plot, int32_t panel, const struct plot_panel_spec *spec) {
    struct panel *p = panel_at(plot, panel);
    if (p == NULL) return;
    p->used = true;
    p->spec = (struct plot_panel_spec){.title = plot_string(plot, spec->title),
                                       .position = copy_axis(plot, &spec->position),
                                       .value = copy_axis(plot, &spec->value),
                                       .horizontal = spec->horizontal};
}

void plot_head_row(struct plot *plot, int32_t row, const char *heading) {
    if (panel_at(plot, row * plot->layout.columns) == NULL) return;
    plot->row_heads[row] = plot_string(plot, heading);
}

void plot_add_series(struct plot *plot, int32_t panel, const struct plot_series *series) {
    struct panel *p = panel_at(plot, panel);
    struct panel_series *added = plot_take(plot, sizeof *added);
    if (p == NULL || added == NULL || series->n <= 0) return;
    const size_t bytes = (size_t)series->n * sizeof(double);
    added->s = *series;
    added->s.position = plot_copy(plot, series->position, bytes);
    added->s.value = plot_copy(plot, series->value, bytes);
    added->s.low = plot_copy(plot, series->low, bytes);
    added->s.high = plot_copy(plot, series->high, bytes);
    added->s.base = plot_copy(plot, series->base, bytes);
    added->s.labels = plot_strings(plot, series->labels, series->n);
    if (plot->error.status != MOE_OK) return; /* half a copy is not drawn */
    *p->series_end = added;
    p->series_end = &added->next;
}

void plot_link(struct plot *plot, int32_t panel, int32_t other) {
    const struct panel *a = panel_at(plot, panel);
    const struct panel *b = panel_at(plot, other);
    if (a == NULL || b == NULL) return;
    const int32_t from = b->link;
    for (int32_t i = 0; i < plot->layout.rows * plot->layout.columns; i++)
        if (plot->panels[i].link == from) plot->panels[i].link = a->link;
}

static void add_reference(struct plot *plot, int32_t panel, const struct panel_reference *reference) {
    struct panel *p = panel_at(plot, panel);
    struct panel_reference *added = plot_take(plot, sizeof *added);
    if (p == NULL || added == NULL) return;
    *added = *reference;
    *p->references_end = added;
    p->references_end = &added->next;
}

void plot_add_reference(struct plot *plot, int32_t panel, double value, const struct plot_pen *pen) {
    add_reference(plot, panel, &(struct panel_reference){.low = value, .high = value, .pen = *pen});
}

void plot_add_span(struct plot *plot, int32_t panel, double low, double high, struct plot_colour colour) {
    add_reference(plot, panel,
                  &(struct panel_reference){.low = low, .high = high, .pen = {.colour = colour}});
}

static void add_cells(struct plot *plot, int32_t panel, const struct panel_heatmap *cells) {
    struct panel *p = panel_at(plot, panel);
    struct panel_heatmap *added = plot_take(plot, sizeof *added);
    if (p == NULL || added == NULL || cells->rows <= 0 || cells->columns <= 0) return;
    *added = *cells;
    added->values =
        plot_copy(plot, cells->values, (size_t)cells->rows * (size_t)cells->columns * sizeof *cells->values);
    added->bar_label = plot_string(plot, cells->bar_label);
    if (plot->error.status == MOE_OK) p->heatmap = added;
}

void plot_add_heatmap(struct plot *plot, int32_t panel, int32_t rows, int32_t columns, const double *values,
                      double low, double high, const char *bar_label) {
    add_cells(plot, panel,
              &(struct panel_heatmap){.rows = rows,
                                      .columns = columns,
                                      .values = values,
                                      .low = low,
                                      .high = high,
                                      .bar_label = bar_label});
}

void plot_add_counts(struct plot *plot, int32_t panel, int32_t rows, int32_t columns, const double *values) {
    add_cells(plot, panel,
              &(struct panel_heatmap){.rows = rows, .columns = columns, .values = values, .numbers = true});
}

static void add_legend(struct plot *plot, const struct legend_entry *entry) {
    struct legend_entry *added = plot_take(plot, sizeof *added);
    if (added == NULL) return;
    *added = *entry;
    added->label = plot_string(plot, entry->label);
    added->new_line = plot->break_legend;
    added->heading = plot->legend_heading;
    plot->break_legend = false;
    plot->legend_heading = NULL;
    if (plot->error.status != MOE_OK) return;
    *plot->legend_end = added;
    plot->legend_end = &added->next;
}

void plot_add_legend(struct plot *plot, const char *label, enum plot_geom geom, const struct plot_pen *pen) {
    add_legend(plot, &(struct legend_entry){.label = label, .geom = geom, .pen = *pen});
}

void plot_add_legend_span(struct plot *plot, const char *label, struct plot_colour colour) {
    add_legend(plot, &(struct legend_entry){.label = label, .pen = {.colour = colour}, .stripe = true});
}

void plot_break_legend(struct plot *plot) {
    plot->break_legend = true;
    plot->legend_heading = NULL;
}

void plot_head_legend(struct plot *plot, const char *heading) {
    plot->break_legend = true;
    plot->legend_heading = plot_string(plot, heading);
}

double plot_dodge(int32_t i, int32_t n, double share) {
    return share * ((i + 0.5) / n - 0.5);
}

void plot_image_free(struct plot_image *image) {
    free(image->rgb);
    *image = (struct plot_image){0};
}

static void widen(double *low, double *high, double value) {
    if (!isfinite(value)) return;
    if (isnan(*low) || value < *low) *low = value;
    if (isnan(*high) || value > *high) *high = value;
}

/* Widens a range by the values of one panel. */
static void widen_by_values(const struct panel *panel, double *low, double *high) {
    const bool log = panel->spec.value.log;
    for (const struct panel_series *p = panel->series; p != NULL; p = p->next) {
        for (int32_t i = 0; i < p->s.n; i++) {
            const double ends[] = {p->s.value[i], p->s.low != NULL ? p->s.low[i] : NAN,
                                   p->s.high != NULL ? p->s.high[i] : NAN,
                                   p->s.base != NULL ? p->s.base[i] : NAN};
            for (int k = 0; k < 4; k++)
                if (!log || ends[k] > 0.0) widen(low, high, ends[k]);
        }
        const bool stands = p->s.geom == GEOM_BARS || p->s.geom == GEOM_AREA;
        if (stands && p->s.base == NULL && !log) widen(low, high, 0.0);
    }
    for (const struct panel_reference *r = panel->references; r != NULL; r = r->next) {
        if (!log || r->low > 0.0) widen(low, high, r->low);
        if (!log || r->high > 0.0) widen(low, high, r->high);
    }
    if (panel->spec.value.zero && !log) widen(low, high, 0.0);
}

void panel_value_range(const struct plot *plot, const struct panel *panel, double *low, double *high) {
    *low = *high = NAN;
    for (int32_t i = 0; i < plot->layout.rows * plot->layout.columns; i++)
        if (plot->panels[i].link == panel->link) widen_by_values(&plot->panels[i], low, high);
}

/* The same of positions. */
static void widen_by_positions(const struct panel *panel, double *low, double *high) {
    const struct plot_axis *axis = &panel->spec.position;
    for (const struct panel_series *p = panel->series; p != NULL; p = p->next) {
        const double half = p->s.geom == GEOM_BARS ? 0.5 * p->s.bar_width : 0.0;
        for (int32_t i = 0; i < p->s.n; i++) {
            if (isnan(p->s.value[i]) || (axis->log && !(p->s.position[i] > 0.0))) continue;
            widen(low, high, p->s.position[i] - half);
            widen(low, high, p->s.position[i] + half);
        }
    }
    if (axis->zero && !axis->log) widen(low, high, 0.0);
}

void panel_position_range(const struct plot *plot, const struct panel *panel, double *low, double *high) {
    *low = *high = NAN;
    for (int32_t i = 0; i < plot->layout.rows * plot->layout.columns; i++)
        if (plot->panels[i].link == panel->link) widen_by_positions(&plot->panels[i], low, high);
}
