/* A figure of charts: rows of protocols and sizes, columns of charts or of values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_c.h"
#include "analysis/style.h"

#define MAX_CHARTS  5
#define POINT_STEP  0.05 /* of the way to the next value */
#define MAX_COLUMNS 4    /* of values of an axis */

/* What all panels of a chart share. */
struct sheet_of_chart {
    struct c_chart chart;
    struct c_list x, lines;
    struct c_names names; /* of x */
};

struct drawing {
    struct slicing_grid grid;
    const struct c_figure *figure;
    struct c_row rows[C_ROWS];
    int32_t num_rows, num_columns;
    struct c_list columns; /* values, if there is a column axis */
    struct sheet_of_chart sheets[MAX_CHARTS];
    int32_t drawn[C_ROWS]; /* the column drawn last in a row; -1 = none */
    struct plot *plot;
};

static bool has_column_axis(const struct c_figure *figure) {
    return figure->column != C_NONE;
}

/* Of many columns the first, the last, and some between. */
static void thin(struct c_list *list) {
    if (list->n <= MAX_COLUMNS) return;
    struct c_list few = {.n = MAX_COLUMNS, .left_out = list->left_out + list->n - MAX_COLUMNS};
    for (int32_t i = 0; i < MAX_COLUMNS; i++)
        few.items[i] = list->items[i * (list->n - 1) / (MAX_COLUMNS - 1)];
    *list = few;
}

static void find_columns(struct drawing *d) {
    const struct c_figure *f = d->figure;
    d->num_columns = f->num_charts;
    if (!has_column_axis(f)) return;
    for (int32_t r = 0; r < d->num_rows; r++) {
        const struct slicing_choice c =
            c_choice(&d->grid, &d->rows[r], f->charts, f->column, f->column_split);
        c_collect(&d->grid, &c, f->column, f->column_split, f->charts->varied, &d->columns);
    }
    thin(&d->columns);
    d->num_columns = d->columns.n > 0 ? d->columns.n : 1;
}

/* Different places in a panel's charts. */
static int32_t count_places(const struct drawing *d, const struct c_row *row) {
    const struct c_figure *f = d->figure;
    int32_t places = 0;
    for (int32_t i = 0; i < f->num_charts; i++) {
        const struct c_chart *chart = &f->charts[i];
        const struct slicing_choice c = c_choice(&d->grid, row, chart, f->column, f->column_split);
        struct c_list varied = {0}, at = {0};
        const enum slicing_axis second = f->column == AXIS_SPARSITY ? AXIS_GRANULARITY : AXIS_SPARSITY;
        if (chart->varied != C_NONE)
            c_collect(&d->grid, &c, chart->line, chart->split, chart->varied, &varied);
        if (chart->varied != C_NONE && varied.n == 0) continue;
        c_collect(&d->grid, &c, chart->line, second, C_NONE, &at);
        places = at.n > places ? at.n : places;
    }
    return places;
}

/* With a column for each number of tokens, rows do not differ in them. */
static void merge_tokens(struct drawing *d) {
    int32_t n = 0;
    for (int32_t r = 0; r < d->num_rows; r++) {
        struct c_row row = d->rows[r];
        row.tokens = NAN;
        row.name[0] = '\0';
        if (n > 0 && d->rows[n - 1].protocol == row.protocol && d->rows[n - 1].width == row.width) continue;
        d->rows[n++] = row;
    }
    d->num_rows = n;
}

/* Leaves the rows that have more than one point to show; where none has, those with one; else all. */
static void choose_rows(struct drawing *d) {
    if (d->figure->column == AXIS_TOKENS) merge_tokens(d);
    for (int32_t least = 2; least > 0; least--) {
        struct c_row kept[C_ROWS];
        int32_t n = 0;
        for (int32_t r = 0; r < d->num_rows; r++)
            if (count_places(d, &d->rows[r]) >= least) kept[n++] = d->rows[r];
        if (n == 0) continue;
        memcpy(d->rows, kept, (size_t)n * sizeof kept[0]);
        d->num_rows = n;
        return;
    }
}

/* The choice of a panel: with the column's value where there is one. */
static struct slicing_choice panel_choice(const struct drawing *d, int32_t row, int32_t column) {
    const struct c_figure *f = d->figure;
    const struct c_chart *chart = has_column_axis(f) ? f->charts : &f->charts[column];
    struct slicing_choice c = c_choice(&d->grid, &d->rows[row], chart, f->column, f->column_split);
    if (!has_column_axis(f) || d->columns.n == 0) return c;
    c_fix(&c, f->column, d->columns.items[column].a);
    c_fix(&c, f->column_split, d->columns.items[column].b);
    return c;
}

/* Values of x and lines that any panel of the chart has. */
static void find_values(struct drawing *d, int32_t column) {
    struct sheet_of_chart *s = &d->sheets[has_column_axis(d->figure) ? 0 : column];
    for (int32_t r = 0; r < d->num_rows; r++) {
        const struct slicing_choice c = panel_choice(d, r, column);
        const enum slicing_axis varied = has_column_axis(d->figure) ? C_NONE : s->chart.varied;
        c_collect(&d->grid, &c, s->chart.x, C_NONE, C_NONE, &s->x);
        if (varied == C_NONE || s->chart.split != C_NONE || s->chart.line == varied)
            c_collect(&d->grid, &c, s->chart.line, s->chart.split, C_NONE, &s->lines);
        else
            c_collect(&d->grid, &c, s->chart.line, s->chart.split, varied, &s->lines);
    }
    c_name_values(&s->x, &s->names);
    const bool crowded = s->x.n > (d->num_columns > 3 ? 4 : 7);
    for (int32_t i = 1; i < s->x.n && crowded; i += 2)
        s->names.names[i] = "";
}

static void set_panel(struct drawing *d, int32_t row, int32_t column) {
    const struct c_figure *f = d->figure;
    const struct sheet_of_chart *s = &d->sheets[has_column_axis(f) ? 0 : column];
    char value[64] = "";
    if (has_column_axis(f) && d->columns.n > 0)
        c_label(f->column, f->column_split, &d->columns.items[column], value, sizeof value);
    struct plot_panel_spec spec = {.title = has_column_axis(f) && value[0] != '\0' ? value : s->chart.title,
                                   .position = plot_axis_auto(),
                                   .value = plot_axis_auto()};
    spec.position.label = slicing_axis_titles[s->chart.x];
    spec.position.names = s->names.names;
    spec.position.num_names = s->x.n;
    const int32_t before = d->drawn[row];
    const struct c_chart *left = before < 0 ? NULL : has_column_axis(f) ? &s->chart : &f->charts[before];
    const bool again =
        left != NULL && left->number == s->chart.number && left->minus_dense == s->chart.minus_dense;
    spec.value.label = again                  ? NULL
                       : s->chart.minus_dense ? "minus dense (nats per token)"
                                              : slicing_number_labels[s->chart.number];
    spec.value.room = true;
    plot_set_panel(d->plot, row * d->num_columns + column, &spec);
    /* settings compare by height; losses after more tokens lie elsewhere */
    if (before >= 0 && has_column_axis(f) && f->column != AXIS_TOKENS)
        plot_link(d->plot, row * d->num_columns + before, row * d->num_columns + column);
    d->drawn[row] = column;
}

static moe_status draw_line(struct drawing *d, int32_t panel, const struct sheet_of_chart *s,
                            struct slicing_choice c, int32_t line, moe_err *err) {
    const struct c_pair *pair = &s->lines.items[line];
    const struct plot_pen pen = c_pen(&s->lines, line);
    c_fix(&c, s->chart.line, pair->a);
    c_fix(&c, s->chart.split, pair->b);
    return c_add_line(&d->grid, d->plot, panel, &c, &s->chart, &s->x, &pen,
                      POINT_STEP * (line - 0.5 * (s->lines.n - 1)), err);
}

/* The dense model: a line across, at 0 where differences from it are drawn. */
static moe_status draw_dense(struct drawing *d, int32_t panel, const struct sheet_of_chart *s,
                             const struct slicing_choice *c, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen pen = source_reference_pen();
    const struct slicing_choice dense = c_dense(&d->grid, c);
    struct stats_estimate e = {.value = 0.0, .n = 1};
    if (s->chart.number == NUMBER_BALANCE || s->chart.number == NUMBER_IMBALANCE)
        e.value = 1.0; /* even load */
    else if (!s->chart.minus_dense)
        moe_try(slicing_estimate(&d->grid, &dense, s->chart.number, s->chart.domain, &e, err));
    if (e.n > 0) plot_add_reference(d->plot, panel, e.value, &pen);
out:
    return status;
}

static moe_status draw_panel(struct drawing *d, int32_t row, int32_t column, moe_err *err) {
    moe_status status = MOE_OK;
    const struct sheet_of_chart *s = &d->sheets[has_column_axis(d->figure) ? 0 : column];
    const struct slicing_choice c = panel_choice(d, row, column);
    const int32_t panel = row * d->num_columns + column;
    struct c_list there = {0};
    c_collect(&d->grid, &c, s->chart.x, C_NONE, C_NONE, &there);
    if (there.n == 0 || s->lines.n == 0) return MOE_OK; /* nothing to show: the place stays empty */
    set_panel(d, row, column);
    for (int32_t line = 0; line < s->lines.n; line++)
        moe_try(draw_line(d, panel, s, c, line, err));
    moe_try(draw_dense(d, panel, s, &c, err));
out:
    return status;
}

static bool have_same_lines(const struct sheet_of_chart *a, const struct sheet_of_chart *b) {
    return a->chart.line == b->chart.line && a->chart.split == b->chart.split && a->lines.n == b->lines.n;
}

/* One line, or where charts have lines of different kinds one for each, headed by its title. */
static void add_legend(struct drawing *d) {
    const int32_t sheets = has_column_axis(d->figure) ? 1 : d->num_columns;
    const struct plot_pen dense = source_reference_pen();
    bool differ = false;
    for (int32_t i = 1; i < sheets; i++)
        differ = differ || !have_same_lines(&d->sheets[0], &d->sheets[i]);
    for (int32_t i = 0; i < (differ ? sheets : 1); i++) {
        const struct sheet_of_chart *s = &d->sheets[i];
        if (differ) plot_head_legend(d->plot, s->chart.title);
        c_add_legend(d->plot, s->chart.line, s->chart.split, &s->lines);
    }
    if (differ) plot_head_legend(d->plot, "all charts");
    const enum slicing_number number = d->figure->charts->number;
    const bool load = number == NUMBER_BALANCE || number == NUMBER_IMBALANCE;
    plot_add_legend(d->plot, load ? "even load" : "dense", GEOM_LINE, &dense);
}

moe_status c_draw(struct report *report, const struct c_figure *figure, struct plot **out_plot,
                  moe_err *err) {
    moe_status status = MOE_OK;
    struct drawing *d = calloc(1, sizeof *d);
    char note[640], heading[96];
    moe_check(d != NULL, err, MOE_ENOMEM, "cannot allocate a figure");
    d->figure = figure;
    moe_try(c_open(report, &d->grid, d->rows, &d->num_rows, err));
    for (int32_t i = 0; i < figure->num_charts; i++) {
        d->sheets[i].chart = figure->charts[i];
        if (figure->domain != NULL) d->sheets[i].chart.domain = figure->domain;
    }
    choose_rows(d);
    find_columns(d);
    for (int32_t column = 0; column < d->num_columns; column++)
        find_values(d, column);
    c_note(&d->grid, figure->note, note, sizeof note);
    moe_try(plot_new(&(struct plot_layout){.title = figure->title,
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = figure->panel_height,
                                           .rows = d->num_rows,
                                           .columns = d->num_columns},
                     &d->plot, err));
    add_legend(d);
    for (int32_t row = 0; row < d->num_rows; row++) {
        c_row_title(&d->rows[row], heading, sizeof heading);
        plot_head_row(d->plot, row, heading);
        d->drawn[row] = -1;
        for (int32_t column = 0; column < d->num_columns; column++)
            moe_try(draw_panel(d, row, column, err));
    }
    *out_plot = d->plot;
    d->plot = NULL;
out:
    if (d != NULL) {
        plot_free(d->plot);
        slicing_close(&d->grid);
    }
    free(d);
    return status;
}
