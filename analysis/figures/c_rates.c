/* Validation loss against the learning rate, with experts and without. */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_c.h"
#include "analysis/style.h"

#define LINES 2 /* the dense model; the experts whose rate was varied */

/* A protocol and size whose learning rate was varied. */
struct rates_row {
    struct c_row row;
    struct slicing_choice lines[LINES];
    char name[80]; /* of the experts */
};

/* The usual settings with the size and number of experts of the first run off the usual rate. */
static bool find_experts(const struct slicing_grid *grid, const struct c_row *row,
                         struct slicing_choice *out) {
    const double usual = slicing_usual_value(grid, row->protocol, row->width, AXIS_RATE);
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        if (!c_is_in_row(run, row) || run->at[AXIS_ROUTED] == 0 || run->at[AXIS_RATE] == usual) continue;
        *out = slicing_usual(grid, row->protocol, row->width);
        c_fix(out, AXIS_GRANULARITY, run->at[AXIS_GRANULARITY]);
        c_fix(out, AXIS_SPARSITY, run->at[AXIS_SPARSITY]);
        return true;
    }
    return false;
}

static bool find_row(const struct slicing_grid *grid, const struct c_row *row, struct rates_row *out,
                     struct c_list *rates) {
    struct rates_row found = {.row = *row};
    char s[24], g[24];
    if (!find_experts(grid, row, &found.lines[1])) return false;
    found.lines[0] = slicing_dense(grid, row->protocol, row->width);
    for (int32_t line = 0; line < LINES; line++) {
        found.lines[line].at[AXIS_TOKENS] = row->tokens;
        found.lines[line].free |= 1u << AXIS_RATE;
        c_collect(grid, &found.lines[line], AXIS_RATE, C_NONE, C_NONE, rates);
    }
    slicing_fraction(found.lines[1].at[AXIS_GRANULARITY], g, sizeof g);
    slicing_fraction(found.lines[1].at[AXIS_SPARSITY], s, sizeof s);
    snprintf(found.name, sizeof found.name, "experts, g = %s, s = %s", g, s);
    *out = found;
    return true;
}

static struct plot_pen rates_pen(int32_t line) {
    return (struct plot_pen){.colour = line == 0 ? STYLE_INK : STYLE_BLUE,
                             .width = 1.5,
                             .marker = line == 0 ? MARKER_SQUARE : MARKER_CIRCLE,
                             .marker_size = 5.5};
}

static moe_status draw_rates_panel(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                                   const struct rates_row *row, const struct c_list *rates,
                                   const char *const *names, moe_err *err) {
    static const struct c_chart chart = {.x = AXIS_RATE, .line = C_NONE, .split = C_NONE, .varied = C_NONE};
    moe_status status = MOE_OK;
    char heading[96];
    struct plot_panel_spec spec = {.title = heading, .position = plot_axis_auto(), .value = plot_axis_auto()};
    c_row_name(&row->row, heading, sizeof heading);
    spec.position.label = "peak learning rate";
    spec.position.names = names;
    spec.position.num_names = rates->n;
    spec.value.label = panel % 2 == 0 ? slicing_number_labels[NUMBER_EVAL_CE] : NULL;
    spec.value.room = true;
    plot_set_panel(plot, panel, &spec);
    for (int32_t line = 0; line < LINES; line++) {
        const struct plot_pen pen = rates_pen(line);
        moe_try(c_add_line(grid, plot, panel, &row->lines[line], &chart, rates, &pen, 0.0, err));
    }
out:
    return status;
}

moe_status draw_c_rates(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const char title[] = "Validation loss against the learning rate";
    moe_status status = MOE_OK;
    struct slicing_grid grid = {0};
    struct c_row rows[C_ROWS];
    struct rates_row *found = calloc(C_ROWS, sizeof *found);
    struct c_list rates = {0};
    struct plot *plot = NULL;
    int32_t num_rows = 0, n = 0;
    char note[640], text[C_VALUES][24];
    const char *names[C_VALUES];
    (void)frame;
    moe_check(found != NULL, err, MOE_ENOMEM, "cannot allocate a figure");
    moe_try(c_open(report, &grid, rows, &num_rows, err));
    for (int32_t r = 0; r < num_rows; r++)
        n += find_row(&grid, &rows[r], &found[n], &rates);
    for (int32_t i = 0; i < rates.n; i++) {
        snprintf(text[i], sizeof text[i], "%.3g", rates.items[i].a);
        names[i] = text[i];
    }
    c_note(&grid, n > 0 ? "All else is as usual." : "No rate was varied.", note, sizeof note);
    moe_try(plot_new(
        &(struct plot_layout){title, note, STYLE_PAGE_WIDTH, 170.0, n > 2 ? (n + 1) / 2 : 1, n > 1 ? 2 : 1},
        &plot, err));
    for (int32_t line = 0; line < LINES && n > 0; line++) {
        const struct plot_pen pen = rates_pen(line);
        plot_add_legend(plot, line == 0 ? "dense" : found[0].name, GEOM_LINE, &pen);
    }
    for (int32_t r = 0; r < n; r++)
        moe_try(draw_rates_panel(&grid, plot, r, &found[r], &rates, names, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    slicing_close(&grid);
    free(found);
    return status;
}
