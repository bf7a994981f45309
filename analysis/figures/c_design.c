/* What was trained: layers side by side, and the grid of configurations. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_c.h"
#include "analysis/style.h"

/* ---- layers */

/* Two groups of experts at most, and a generalist: k g + k2 g2 + generalist = 1. */
struct layer {
    const char *name;
    double generalist, g, g2;
    int32_t n, k, n2, k2;
};

static const struct layer layers[] = {
    {"dense", 0, 1, 0, 1, 1, 0, 0},
    {"g = 1, n = 4", 0, 1, 0, 4, 1, 0, 0},
    {"g = 1/2, n = 8", 0, 0.5, 0, 8, 2, 0, 0},
    {"g = 1/4, n = 16", 0, 0.25, 0, 16, 4, 0, 0},
    {"g = 1/8, no sparsity", 0, 0.125, 0, 8, 8, 0, 0},
    {"two sizes, 1/2 and 1/8", 0, 0.5, 0.125, 4, 1, 16, 4},
    {"generalist 1/2", 0.5, 0.25, 0, 14, 2, 0, 0},
};
#define LAYERS ((int32_t)(sizeof layers / sizeof layers[0]))

/* A segment of a row. */
static void add_expert(struct plot *plot, int32_t row, double *from, double width, struct plot_colour colour,
                       bool active) {
    const double gap = 0.008; /* an edge between neighbours */
    const double position = row, base = *from + gap, value = *from + width - gap;
    const struct plot_pen pen = {.colour = colour, .width = 1.0, .hollow = !active};
    plot_add_series(plot, 0,
                    &(struct plot_series){.geom = GEOM_BARS,
                                          .n = 1,
                                          .position = &position,
                                          .value = &value,
                                          .base = &base,
                                          .bar_width = 0.62,
                                          .pen = pen});
    *from += width;
}

/* Which of n experts are the k active ones: spread, as a router's choice is. */
static bool is_active(int32_t expert, int32_t n, int32_t k) {
    for (int32_t i = 0; i < k; i++)
        if (expert == (2 * i + 1) * n / (2 * k)) return true;
    return false;
}

static void add_layer(struct plot *plot, int32_t row, const struct layer *l) {
    double from = 0.0;
    if (l->generalist > 0.0) add_expert(plot, row, &from, l->generalist, STYLE_INK, true);
    for (int32_t e = 0; e < l->n; e++)
        add_expert(plot, row, &from, l->g, STYLE_BLUE, is_active(e, l->n, l->k));
    for (int32_t e = 0; e < l->n2; e++)
        add_expert(plot, row, &from, l->g2, STYLE_VERMILLION, is_active(e, l->n2, l->k2));
}

moe_status draw_c_schematic(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const char *names[LAYERS];
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct plot_panel_spec spec = {
        .position = plot_axis_auto(), .value = plot_axis_auto(), .horizontal = true};
    (void)report;
    (void)frame;
    moe_try(
        plot_new(&(struct plot_layout){"Layers of experts with the same active width",
                                       "Filled: experts that a token uses; their widths add up to that of "
                                       "the dense layer. Total width is s times as much.",
                                       STYLE_PAGE_WIDTH, 230.0, 1, 1},
                 &plot, err));
    for (int32_t i = 0; i < LAYERS; i++)
        names[i] = layers[i].name;
    spec.position.names = names;
    spec.position.num_names = LAYERS;
    spec.value.label = "width, in widths of the dense layer";
    spec.value.min = 0.0;
    plot_set_panel(plot, 0, &spec);
    const struct plot_pen routed = {.colour = STYLE_BLUE, .width = 1.0},
                          idle = {.colour = STYLE_BLUE, .width = 1.0, .hollow = true},
                          second = {.colour = STYLE_VERMILLION, .width = 1.0},
                          shared = {.colour = STYLE_INK, .width = 1.0};
    plot_add_legend(plot, "active", GEOM_BARS, &routed);
    plot_add_legend(plot, "not active", GEOM_BARS, &idle);
    plot_add_legend(plot, "second group, with a router of its own", GEOM_BARS, &second);
    plot_add_legend(plot, "generalist", GEOM_BARS, &shared);
    for (int32_t i = 0; i < LAYERS; i++)
        add_layer(plot, i, &layers[i]);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* ---- grid */

/* Number of runs at each granularity (columns) and sparsity (rows). */
static void add_counts(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                       const struct slicing_choice *choice, const struct c_list *g, const struct c_list *s) {
    double cells[C_VALUES * C_VALUES];
    for (int32_t r = 0; r < s->n; r++) {
        for (int32_t c = 0; c < g->n; c++) {
            struct slicing_choice at = *choice;
            int32_t count = 0;
            c_fix(&at, AXIS_GRANULARITY, g->items[c].a);
            c_fix(&at, AXIS_SPARSITY, s->items[r].a);
            for (int32_t i = 0; i < grid->n; i++)
                count += slicing_fits(&at, &grid->runs[i]);
            cells[r * g->n + c] = count > 0 ? count : NAN;
        }
    }
    plot_add_counts(plot, panel, s->n, g->n, cells);
}

static struct c_list upside_down(const struct c_list *list) {
    struct c_list out = *list;
    for (int32_t i = 0; i < list->n; i++)
        out.items[i] = list->items[list->n - 1 - i];
    return out;
}

moe_status draw_c_grid(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const struct c_chart chart = {
        .x = AXIS_GRANULARITY, .line = AXIS_SPARSITY, .split = C_NONE, .varied = C_NONE};
    moe_status status = MOE_OK;
    struct slicing_grid grid = {0};
    struct c_row rows[C_ROWS];
    struct c_list g = {0}, s = {0};
    struct plot *plot = NULL;
    int32_t num_rows = 0;
    char note[640], heading[96];
    struct c_names g_names, s_names;
    (void)frame;
    moe_try(c_open(report, &grid, rows, &num_rows, err));
    /* runs counted here are used: the figure shows that they are there */
    for (int32_t r = 0; r < num_rows; r++) {
        const struct slicing_choice c = c_choice(&grid, &rows[r], &chart, C_NONE, C_NONE);
        c_collect(&grid, &c, AXIS_GRANULARITY, C_NONE, C_NONE, &g);
        c_collect(&grid, &c, AXIS_SPARSITY, C_NONE, C_NONE, &s);
    }
    s = upside_down(&s); /* rows begin at the top, where the largest stands */
    c_name_values(&g, &g_names);
    c_name_values(&s, &s_names);
    c_note(&grid, "Numbers: seeds; white: not trained. n = s / g experts, of which 1 / g are active.", note,
           sizeof note);
    moe_try(plot_new(&(struct plot_layout){"Configurations that were trained", note, STYLE_PAGE_WIDTH, 130.0,
                                           (num_rows + 1) / 2, num_rows > 1 ? 2 : 1},
                     &plot, err));
    for (int32_t r = 0; r < num_rows; r++) {
        struct plot_panel_spec spec = {
            .title = heading, .position = plot_axis_auto(), .value = plot_axis_auto()};
        const struct slicing_choice c = c_choice(&grid, &rows[r], &chart, C_NONE, C_NONE);
        c_row_name(&rows[r], heading, sizeof heading);
        spec.position.label = slicing_axis_titles[AXIS_GRANULARITY];
        spec.position.names = g_names.names;
        spec.position.num_names = g.n;
        spec.value.label = slicing_axis_titles[AXIS_SPARSITY];
        spec.value.names = s_names.names;
        spec.value.num_names = s.n;
        plot_set_panel(plot, r, &spec);
        if (g.n > 0) add_counts(&grid, plot, r, &c, &g, &s);
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    slicing_close(&grid);
    return status;
}
