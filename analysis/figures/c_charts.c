/* Charts of source C: one number of the runs against one axis of the grid. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_c.h"
#include "analysis/style.h"

static bool same(double a, double b) {
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/* The 10M of grid@size=10M,g=1_8. */
static void read_size(const struct slicing_run *run, char out[24]) {
    const char *at = strstr(run->file->info.experiment, "size=");
    snprintf(out, 24, "%.*s", at != NULL ? (int)strcspn(at + 5, ",") : 0, at != NULL ? at + 5 : "");
}

bool c_is_in_row(const struct slicing_run *run, const struct c_row *row) {
    return row->protocol == run->protocol && row->width == run->at[AXIS_WIDTH] &&
           row->tokens == run->at[AXIS_TOKENS];
}

static bool is_behind(const struct c_row *a, const struct c_row *b) {
    if (a->protocol != b->protocol) return a->protocol > b->protocol;
    return a->width != b->width ? a->width > b->width : a->tokens > b->tokens;
}

moe_status c_rows(const struct slicing_grid *grid, struct c_row rows[C_ROWS], int32_t *out_count,
                  moe_err *err) {
    moe_status status = MOE_OK;
    int32_t n = 0;
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        struct c_row row = {
            .protocol = run->protocol, .width = run->at[AXIS_WIDTH], .tokens = run->at[AXIS_TOKENS]};
        bool known = false;
        for (int32_t j = 0; j < n && !known; j++)
            known = c_is_in_row(run, &rows[j]);
        if (known) continue;
        moe_check(n < C_ROWS, err, MOE_ENOTSUP,
                  "%s: figures and tables of source C show up to %d protocols and sizes, and there are more; "
                  "give fewer run files (--runs-dir)",
                  run->file->path, C_ROWS);
        read_size(run, row.name);
        int32_t at = n++;
        for (; at > 0 && is_behind(&rows[at - 1], &row); at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
    *out_count = n;
out:
    return status;
}

void c_row_title(const struct c_row *row, char *out, size_t size) {
    const bool few = row->tokens < 1e6;
    char tokens[32] = "";
    if (!isnan(row->tokens))
        snprintf(tokens, sizeof tokens, few ? ", %.0f thousand tokens" : ", %.1f million tokens",
                 row->tokens * (few ? 1e-3 : 1e-6));
    snprintf(out, size, "%s%s%s: width %.0f%s", slicing_protocol_titles[row->protocol],
             row->name[0] != '\0' ? ", " : "", row->name, row->width, tokens);
}

void c_row_name(const struct c_row *row, char *out, size_t size) {
    if (row->name[0] != '\0')
        snprintf(out, size, "%s, %s", slicing_protocol_titles[row->protocol], row->name);
    else
        snprintf(out, size, "%s, %.0f, %.2g tokens", slicing_protocol_titles[row->protocol], row->width,
                 row->tokens);
}

static void free_axis(struct slicing_choice *c, enum slicing_axis axis) {
    if (axis != C_NONE) c->free |= 1u << axis;
}

/* Whether a run is off the usual value of an axis. */
static bool is_off(const struct slicing_grid *grid, const struct slicing_choice *choice,
                   const struct slicing_run *run, enum slicing_axis axis) {
    const bool has_base = axis == AXIS_GENERALIST || axis == AXIS_SECOND;
    const double base =
        has_base ? 0.0 : slicing_usual_value(grid, choice->protocol, choice->at[AXIS_WIDTH], axis);
    return !same(run->at[axis], base);
}

/* Granularity of most runs that are off the usual value of an axis. */
static double usual_g(const struct slicing_grid *grid, const struct slicing_choice *choice,
                      enum slicing_axis varied) {
    double best = NAN;
    int32_t most = 0;
    for (int32_t i = 0; i < grid->n; i++) {
        int32_t count = 0;
        if (!slicing_fits(choice, &grid->runs[i]) || !is_off(grid, choice, &grid->runs[i], varied)) continue;
        for (int32_t j = 0; j < grid->n; j++)
            count += slicing_fits(choice, &grid->runs[j]) && is_off(grid, choice, &grid->runs[j], varied) &&
                     same(grid->runs[j].at[AXIS_GRANULARITY], grid->runs[i].at[AXIS_GRANULARITY]);
        if (count <= most) continue;
        most = count;
        best = grid->runs[i].at[AXIS_GRANULARITY];
    }
    return best;
}

struct slicing_choice c_choice(const struct slicing_grid *grid, const struct c_row *row,
                               const struct c_chart *chart, enum slicing_axis column,
                               enum slicing_axis column_split) {
    struct slicing_choice c = slicing_usual(grid, row->protocol, row->width);
    c.at[AXIS_TOKENS] = row->tokens;
    free_axis(&c, chart->x);
    free_axis(&c, chart->line);
    free_axis(&c, chart->split);
    free_axis(&c, column);
    free_axis(&c, column_split);
    if (chart->at_usual_g) c_fix(&c, AXIS_GRANULARITY, usual_g(grid, &c, chart->varied));
    return c;
}

void c_fix(struct slicing_choice *choice, enum slicing_axis axis, double value) {
    if (axis == C_NONE) return;
    choice->at[axis] = value;
    choice->free &= ~(1u << axis);
}

struct slicing_choice c_dense(const struct slicing_grid *grid, const struct slicing_choice *of) {
    struct slicing_choice dense = slicing_dense(grid, of->protocol, of->at[AXIS_WIDTH]);
    if ((of->free & 1u << AXIS_TOKENS) == 0) dense.at[AXIS_TOKENS] = of->at[AXIS_TOKENS];
    return dense;
}

static bool before(const struct c_pair *a, const struct c_pair *b) {
    if (!same(a->b, b->b) && !isnan(a->b)) return a->b < b->b;
    return a->a < b->a;
}

static bool holds(const struct c_list *list, const struct c_pair *pair) {
    for (int32_t i = 0; i < list->n; i++)
        if (same(list->items[i].a, pair->a) && same(list->items[i].b, pair->b)) return true;
    return false;
}

void c_collect(const struct slicing_grid *grid, const struct slicing_choice *choice, enum slicing_axis a,
               enum slicing_axis b, enum slicing_axis varied, struct c_list *list) {
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        if (!slicing_fits(choice, run)) continue;
        if (varied != C_NONE && !is_off(grid, choice, run, varied)) continue;
        const struct c_pair pair = {run->at[a], b == C_NONE ? NAN : run->at[b]};
        if (holds(list, &pair)) continue;
        if (list->n == C_VALUES) {
            list->left_out++;
            continue;
        }
        int32_t at = list->n++;
        for (; at > 0 && before(&pair, &list->items[at - 1]); at--)
            list->items[at] = list->items[at - 1];
        list->items[at] = pair;
    }
}

/* The dense run of the same seed, or NULL. */
static const struct slicing_run *dense_of(const struct slicing_grid *grid, const struct slicing_choice *dense,
                                          uint64_t seed) {
    for (int32_t i = 0; i < grid->n; i++)
        if (slicing_fits(dense, &grid->runs[i]) && grid->runs[i].file->info.seed == seed)
            return &grid->runs[i];
    return NULL;
}

static moe_status differences(const struct slicing_grid *grid, const struct slicing_choice *choice,
                              const struct c_chart *chart, struct stats_estimate *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct slicing_choice dense = c_dense(grid, choice);
    double *values = malloc(((size_t)grid->n + 1) * sizeof *values);
    int32_t n = 0;
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", grid->n);
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i], *base = NULL;
        double value = 0.0, from = 0.0;
        if (slicing_fits(choice, run)) base = dense_of(grid, &dense, run->file->info.seed);
        if (base == NULL) continue;
        moe_try(slicing_number_of(grid, run, chart->number, chart->domain, &value, err));
        moe_try(slicing_number_of(grid, base, chart->number, chart->domain, &from, err));
        values[n++] = value - from;
    }
    *out = stats_mean_interval(values, n, 0.95);
out:
    free(values);
    return status;
}

moe_status c_estimate(const struct slicing_grid *grid, const struct slicing_choice *choice,
                      const struct c_chart *chart, struct stats_estimate *out, moe_err *err) {
    return chart->minus_dense ? differences(grid, choice, chart, out, err)
                              : slicing_estimate(grid, choice, chart->number, chart->domain, out, err);
}

moe_status c_add_line(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                      const struct slicing_choice *choice, const struct c_chart *chart,
                      const struct c_list *x, const struct plot_pen *pen, double shift, moe_err *err) {
    moe_status status = MOE_OK;
    double at[C_VALUES], value[C_VALUES], low[C_VALUES], high[C_VALUES];
    int32_t n = 0;
    struct slicing_choice c = *choice;
    for (int32_t i = 0; i < x->n; i++) {
        struct stats_estimate e;
        c_fix(&c, chart->x, x->items[i].a);
        moe_try(c_estimate(grid, &c, chart, &e, err));
        if (e.n == 0) continue;
        at[n] = i;
        value[n] = e.value;
        low[n] = e.low;
        high[n++] = e.high;
    }
    if (n == 0) goto out;
    if (n == 1) at[0] += shift;
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = n,
                                          .position = at,
                                          .value = value,
                                          .low = low,
                                          .high = high,
                                          .pen = *pen});
out:
    return status;
}

/* Adds a value unless it is there; returns how many there are then. */
static int32_t add_new(double *values, int32_t n, double value) {
    for (int32_t i = 0; i < n; i++)
        if (same(values[i], value)) return n;
    values[n] = value;
    return n + 1;
}

static int32_t place_of(const double *values, int32_t n, double value) {
    int32_t at = 0;
    while (at + 1 < n && !same(values[at], value))
        at++;
    return at;
}

/* Colour by the first value's place among the different ones, mark and dash by the second's. */
struct plot_pen c_pen(const struct c_list *lines, int32_t i) {
    static const enum plot_marker markers[] = {MARKER_CIRCLE, MARKER_SQUARE, MARKER_TRIANGLE, MARKER_DIAMOND};
    static const enum plot_dash dashes[] = {DASH_SOLID, DASH_DASHED, DASH_DOTTED, DASH_DASHED};
    double firsts[C_VALUES], seconds[C_VALUES];
    int32_t n = 0, m = 0;
    for (int32_t j = 0; j < lines->n; j++) {
        n = add_new(firsts, n, lines->items[j].a);
        m = add_new(seconds, m, lines->items[j].b);
    }
    stats_sort(firsts, n);
    const int32_t first = place_of(firsts, n, lines->items[i].a),
                  second = place_of(seconds, m, lines->items[i].b);
    return (struct plot_pen){.colour = style_sequential(n > 1 ? 0.05 + 0.8 * first / (n - 1) : 0.05),
                             .width = 1.5,
                             .dash = dashes[second % 4],
                             .marker = markers[second % 4],
                             .marker_size = 5.5};
}

static void one_label(enum slicing_axis axis, double value, char *out, size_t size) {
    char text[24];
    slicing_fraction(value, text, sizeof text);
    switch (axis) {
    case AXIS_GRANULARITY:
        snprintf(out, size, "g = %s", text);
        break;
    case AXIS_EXPERTS:
        snprintf(out, size, "n = %s", text);
        break;
    case AXIS_SPARSITY:
        snprintf(out, size, "s = %s", text);
        break;
    case AXIS_SECOND:
        snprintf(out, size, value > 0 ? "and %s" : "", text);
        break;
    case AXIS_GENERALIST:
        snprintf(out, size, value > 0 ? "generalist %s" : "no generalist", text);
        break;
    case AXIS_CAPACITY:
        snprintf(out, size, value > 0 ? "capacity %.3g" : "dropless", value);
        break;
    case AXIS_ALPHA:
        snprintf(out, size, "\xce\xb1 = %.3g", value);
        break;
    case AXIS_GAMMA:
        snprintf(out, size, "\xce\xb3 = %.3g", value);
        break;
    case AXIS_TOKENS:
        snprintf(out, size, value < 1e6 ? "%.0f thousand tokens" : "%.1f million tokens",
                 value < 1e6 ? value * 1e-3 : value * 1e-6);
        break;
    default:
        snprintf(out, size, "%s %s", slicing_axis_titles[axis], text);
    }
}

void c_label(enum slicing_axis a, enum slicing_axis b, const struct c_pair *pair, char *out, size_t size) {
    char second[48] = "";
    one_label(a, pair->a, out, size);
    if (b != C_NONE && !isnan(pair->b)) one_label(b, pair->b, second, sizeof second);
    const size_t used = strlen(out);
    if (second[0] != '\0') snprintf(out + used, size - used, "%s%s", b == AXIS_SECOND ? " " : ", ", second);
}

void c_add_legend(struct plot *plot, enum slicing_axis a, enum slicing_axis b, const struct c_list *lines) {
    for (int32_t i = 0; i < lines->n; i++) {
        const struct plot_pen pen = c_pen(lines, i);
        char label[64];
        c_label(a, b, &lines->items[i], label, sizeof label);
        plot_add_legend(plot, label, GEOM_LINE, &pen);
    }
}

void c_name_values(const struct c_list *list, struct c_names *out) {
    for (int32_t i = 0; i < list->n; i++) {
        slicing_fraction(list->items[i].a, out->text[i], sizeof out->text[i]);
        out->names[i] = out->text[i];
    }
}

void c_note(const struct slicing_grid *grid, const char *more, char *out, size_t size) {
    int32_t seeds = 0;
    uint64_t seen[64];
    for (int32_t i = 0; i < grid->n; i++) {
        bool known = false;
        for (int32_t j = 0; j < seeds && !known; j++)
            known = seen[j] == grid->runs[i].file->info.seed;
        if (!known && seeds < 64) seen[seeds++] = grid->runs[i].file->info.seed;
    }
    snprintf(
        out, size,
        "Drawn from the %d runs of the suite that are there, with up to %d seed%s a point%s; what has no "
        "run is left out. %s",
        grid->n, seeds, seeds == 1 ? "" : "s",
        seeds > 1 ? " (bands and bars: 95 % intervals where there is more than one)"
                  : ", so without intervals",
        more);
}

moe_status c_open(struct report *report, struct slicing_grid *out_grid, struct c_row rows[C_ROWS],
                  int32_t *out_rows, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(slicing_open(report, out_grid, err));
    moe_try(c_rows(out_grid, rows, out_rows, err));
    moe_check(*out_rows > 0, err, MOE_ENOTFOUND, "there is no run of the suite " SLICING_SUITE);
out:
    return status;
}
