/* The best size of experts: a fitted curve and where its minimum lies. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_c.h"
#include "analysis/optimum.h"
#include "analysis/style.h"

#define CURVE_POINTS 41
#define RESAMPLES    2000

/* Runs of one total. */
struct total {
    double *x, *y; /* [n] binary logarithm of g; validation loss */
    int32_t n, places;
};

static void total_free(struct total *t) {
    free(t->x);
    free(t->y);
}

static moe_status read_total(const struct slicing_grid *grid, const struct slicing_choice *choice,
                             struct total *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct total t = {0};
    t.x = malloc(((size_t)grid->n + 1) * sizeof *t.x);
    t.y = malloc(((size_t)grid->n + 1) * sizeof *t.y);
    moe_check(t.x != NULL && t.y != NULL, err, MOE_ENOMEM, "cannot allocate %d values", grid->n);
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        bool known = false;
        if (!slicing_fits(choice, run)) continue;
        t.x[t.n] = log2(run->at[AXIS_GRANULARITY]);
        moe_try(slicing_number_of(grid, run, NUMBER_EVAL_CE, NULL, &t.y[t.n], err));
        for (int32_t j = 0; j < t.n && !known; j++)
            known = t.x[j] == t.x[t.n];
        t.places += !known;
        t.n++;
    }
    *out = t;
    t = (struct total){0};
out:
    total_free(&t);
    return status;
}

/* Through three points a parabola always goes: only seeds can tell how well. */
static bool has_curve(const struct total *t) {
    return t->places > 3 || (t->places == 3 && t->n >= 6);
}

static void draw_curve(struct plot *plot, int32_t panel, const struct total *t, const struct optimum *o,
                       struct plot_pen pen) {
    double x[CURVE_POINTS], y[CURVE_POINTS], low = t->x[0], high = t->x[0];
    for (int32_t i = 1; i < t->n; i++) {
        low = fmin(low, t->x[i]);
        high = fmax(high, t->x[i]);
    }
    for (int32_t i = 0; i < CURVE_POINTS; i++) {
        x[i] = low + (high - low) * i / (CURVE_POINTS - 1);
        y[i] = o->a + x[i] * (o->b + x[i] * o->c);
    }
    pen.marker = MARKER_NONE;
    plot_add_series(
        plot, panel,
        &(struct plot_series){.geom = GEOM_LINE, .n = CURVE_POINTS, .position = x, .value = y, .pen = pen});
}

/* One total: its points, the curve, and the minimum in the panel beside. */
static moe_status draw_total(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                             const struct slicing_choice *choice, int32_t place, struct plot_pen pen,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct total t = {0};
    struct optimum o;
    moe_try(read_total(grid, choice, &t, err));
    if (t.n == 0) goto out;
    struct plot_pen points = pen;
    points.width = 0.0;
    plot_add_series(
        plot, panel,
        &(struct plot_series){.geom = GEOM_POINTS, .n = t.n, .position = t.x, .value = t.y, .pen = points});
    if (!has_curve(&t)) goto out;
    moe_try(optimum_fit(t.x, t.y, t.n, RESAMPLES, 1, 0.95, &o, err));
    draw_curve(plot, panel, &t, &o, pen);
    const double position = place;
    points.hollow = !o.is_inside;
    plot_add_series(plot, panel + 1,
                    &(struct plot_series){.geom = GEOM_POINTS,
                                          .n = 1,
                                          .position = &position,
                                          .value = &o.at,
                                          .low = &o.low,
                                          .high = &o.high,
                                          .pen = points});
out:
    total_free(&t);
    return status;
}

/* What the best total of a row allows. */
enum richness { ONE_SIZE, SOME_SIZES, A_CURVE };

static moe_status row_richness(const struct slicing_grid *grid, const struct c_chart *chart,
                               const struct c_row *row, enum richness *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct slicing_choice c = c_choice(grid, row, chart, C_NONE, C_NONE);
    struct c_list totals = {0};
    *out = ONE_SIZE;
    c_collect(grid, &c, AXIS_SPARSITY, C_NONE, C_NONE, &totals);
    for (int32_t i = 0; i < totals.n; i++) {
        struct total t = {0};
        c_fix(&c, AXIS_SPARSITY, totals.items[i].a);
        moe_try(read_total(grid, &c, &t, err));
        const enum richness this = has_curve(&t) ? A_CURVE : t.places > 1 ? SOME_SIZES : ONE_SIZE;
        if (this > *out) *out = this;
        total_free(&t);
    }
out:
    return status;
}

/* Leaves the rows that allow the most. */
static moe_status choose_rows(const struct slicing_grid *grid, const struct c_chart *chart,
                              struct c_row *rows, int32_t *num_rows, bool *out_curves, moe_err *err) {
    moe_status status = MOE_OK;
    enum richness each[C_ROWS], most = ONE_SIZE;
    int32_t n = 0;
    for (int32_t r = 0; r < *num_rows; r++) {
        moe_try(row_richness(grid, chart, &rows[r], &each[r], err));
        if (each[r] > most) most = each[r];
    }
    for (int32_t r = 0; r < *num_rows; r++)
        if (each[r] == most) rows[n++] = rows[r];
    *num_rows = n;
    *out_curves = most == A_CURVE;
out:
    return status;
}

/* sizes: all binary logarithms of g that are there, which the minimum lies between. */
static void set_panels(struct plot *plot, int32_t row, int32_t columns, const struct c_list *totals,
                       const char *const *names, const struct c_list *sizes) {
    struct plot_panel_spec spec = {
        .title = "loss and fitted curve", .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = "binary logarithm of g";
    spec.position.whole = true;
    spec.value.label = slicing_number_labels[NUMBER_EVAL_CE];
    spec.value.room = true;
    plot_set_panel(plot, columns * row, &spec);
    if (columns < 2) return;
    spec.title = "its minimum";
    spec.position = plot_axis_auto();
    spec.position.label = slicing_axis_titles[AXIS_SPARSITY];
    spec.position.names = names;
    spec.position.num_names = totals->n;
    spec.value.label = "binary logarithm of g";
    if (sizes->n > 0) {
        spec.value.min = log2(sizes->items[0].a) - 0.2;
        spec.value.max = log2(sizes->items[sizes->n - 1].a) + 0.2;
    }
    plot_set_panel(plot, columns * row + 1, &spec);
}

moe_status draw_c_optimum(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    static const char title[] = "The best size of experts";
    static const struct c_chart chart = {
        .x = AXIS_GRANULARITY, .line = AXIS_SPARSITY, .split = C_NONE, .varied = C_NONE};
    moe_status status = MOE_OK;
    struct slicing_grid grid = {0};
    struct c_row rows[C_ROWS];
    struct c_list totals = {0}, sizes = {0};
    struct plot *plot = NULL;
    int32_t num_rows = 0;
    bool curves = false;
    char note[640], heading[96];
    struct c_names names;
    (void)frame;
    moe_try(c_open(report, &grid, rows, &num_rows, err));
    moe_try(choose_rows(&grid, &chart, rows, &num_rows, &curves, err));
    const int32_t columns = curves ? 2 : 1; /* without a curve there is no minimum to show */
    for (int32_t r = 0; r < num_rows; r++) {
        const struct slicing_choice c = c_choice(&grid, &rows[r], &chart, C_NONE, C_NONE);
        c_collect(&grid, &c, AXIS_SPARSITY, C_NONE, C_NONE, &totals);
        c_collect(&grid, &c, AXIS_GRANULARITY, C_NONE, C_NONE, &sizes);
    }
    c_name_values(&totals, &names);
    c_note(&grid,
           "A curve takes four sizes, or three and two seeds each. Hollow: no minimum between them, the "
           "better end. "
           "Whiskers: 95 % bootstrap intervals.",
           note, sizeof note);
    moe_try(
        plot_new(&(struct plot_layout){title, note, STYLE_PAGE_WIDTH, 170.0, num_rows, columns}, &plot, err));
    c_add_legend(plot, AXIS_SPARSITY, C_NONE, &totals);
    for (int32_t r = 0; r < num_rows; r++) {
        c_row_title(&rows[r], heading, sizeof heading);
        plot_head_row(plot, r, heading);
        set_panels(plot, r, columns, &totals, names.names, &sizes);
        for (int32_t i = 0; i < totals.n; i++) {
            struct slicing_choice c = c_choice(&grid, &rows[r], &chart, C_NONE, C_NONE);
            c_fix(&c, AXIS_SPARSITY, totals.items[i].a);
            moe_try(draw_total(&grid, plot, columns * r, &c, i, c_pen(&totals, i), err));
        }
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    slicing_close(&grid);
    return status;
}
