/* Source C by evaluation domain, and what loss says about the questions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_c.h"
#include "analysis/style.h"

#define COLUMNS     4
#define MAX_DOMAINS 16

struct domain_names {
    char names[MAX_DOMAINS][40];
    int32_t n;
};

/* Domains of text that any run was evaluated on, in their order. */
static moe_status find_domains(const struct slicing_grid *grid, struct domain_names *out, moe_err *err) {
    moe_status status = MOE_OK;
    out->n = 0;
    for (int32_t i = 0; i < grid->n; i++) {
        struct run_reader *reader = NULL;
        moe_try(run_list_reader(grid->report->runs, grid->runs[i].file, &reader, err));
        for (int32_t d = 0; d < grid->runs[i].file->info.axes.domains; d++) {
            const char *name = run_reader_domain(reader, d);
            bool known = out->n == MAX_DOMAINS || strcmp(name, DOMAIN_QUESTIONS) == 0;
            for (int32_t j = 0; j < out->n && !known; j++)
                known = strcmp(out->names[j], name) == 0;
            if (!known) snprintf(out->names[out->n++], sizeof out->names[0], "%s", name);
        }
    }
    run_list_forget_used(grid->report->runs);
out:
    return status;
}

/* The row (protocol, size) with the most runs of the usual settings; of equals the last: corrected, larger.
 */
static struct c_row main_row(const struct slicing_grid *grid, const struct c_row *rows, int32_t n,
                             const struct c_chart *chart) {
    struct c_row best = rows[0];
    int32_t most = -1;
    for (int32_t r = 0; r < n; r++) {
        const struct slicing_choice c = c_choice(grid, &rows[r], chart, C_NONE, C_NONE);
        int32_t count = 0;
        for (int32_t i = 0; i < grid->n; i++)
            count += slicing_fits(&c, &grid->runs[i]);
        if (count < most) continue;
        most = count;
        best = rows[r];
    }
    return best;
}

/* What the panels share. */
struct pages {
    struct slicing_grid grid;
    struct c_chart chart;
    struct slicing_choice choice, dense;
    struct c_list x, lines;
    struct c_names names;
};

static moe_status draw_domain_line(struct pages *p, struct plot *plot, int32_t panel, int32_t line,
                                   moe_err *err) {
    struct slicing_choice c = p->choice;
    const struct plot_pen pen = c_pen(&p->lines, line);
    c_fix(&c, p->chart.line, p->lines.items[line].a);
    return c_add_line(&p->grid, plot, panel, &c, &p->chart, &p->x, &pen, 0.0, err);
}

static moe_status draw_domain(struct pages *p, struct plot *plot, int32_t panel, const char *domain,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen pen = source_reference_pen();
    struct stats_estimate dense;
    struct plot_panel_spec spec = {.title = domain, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = slicing_axis_titles[p->chart.x];
    spec.position.names = p->names.names;
    spec.position.num_names = p->x.n;
    spec.value.label = panel % COLUMNS == 0 ? "nats per token" : NULL;
    spec.value.room = true;
    plot_set_panel(plot, panel, &spec);
    p->chart.domain = domain;
    for (int32_t line = 0; line < p->lines.n; line++)
        moe_try(draw_domain_line(p, plot, panel, line, err));
    moe_try(c_estimate(&p->grid, &p->dense, &p->chart, &dense, err));
    if (dense.n > 0) plot_add_reference(plot, panel, dense.value, &pen);
out:
    return status;
}

moe_status draw_c_domains(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct pages *p = calloc(1, sizeof *p);
    struct c_row rows[C_ROWS];
    struct domain_names domains = {.n = 0};
    struct plot *plot = NULL;
    int32_t num_rows = 0;
    char note[640], more[160], heading[96];
    (void)frame;
    moe_check(p != NULL, err, MOE_ENOMEM, "cannot allocate a figure");
    p->chart =
        (struct c_chart){.x = AXIS_GRANULARITY, .line = AXIS_SPARSITY, .split = C_NONE, .varied = C_NONE};
    moe_try(c_open(report, &p->grid, rows, &num_rows, err));
    moe_try(find_domains(&p->grid, &domains, err));
    const struct c_row row = main_row(&p->grid, rows, num_rows, &p->chart);
    p->choice = c_choice(&p->grid, &row, &p->chart, C_NONE, C_NONE);
    p->dense = c_dense(&p->grid, &p->choice);
    c_collect(&p->grid, &p->choice, p->chart.x, C_NONE, C_NONE, &p->x);
    c_collect(&p->grid, &p->choice, p->chart.line, C_NONE, C_NONE, &p->lines);
    c_name_values(&p->x, &p->names);
    c_row_title(&row, heading, sizeof heading);
    snprintf(more, sizeof more, "%s: of these there are most.", heading);
    c_note(&p->grid, more, note, sizeof note);
    moe_try(plot_new(&(struct plot_layout){"Validation loss by domain", note, STYLE_PAGE_WIDTH, 110.0,
                                           (domains.n + COLUMNS - 1) / COLUMNS, COLUMNS},
                     &plot, err));
    const struct plot_pen dense = source_reference_pen();
    c_add_legend(plot, p->chart.line, C_NONE, &p->lines);
    plot_add_legend(plot, "dense", GEOM_LINE, &dense);
    for (int32_t d = 0; d < domains.n; d++)
        moe_try(draw_domain(p, plot, d, domains.names[d], err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    if (p != NULL) slicing_close(&p->grid);
    free(p);
    return status;
}

/* ---- questions */

static moe_status add_answers(const struct slicing_grid *grid, struct plot *plot, int32_t panel,
                              const struct c_row *row, moe_err *err) {
    moe_status status = MOE_OK;
    double *loss[2] = {NULL, NULL}, *accuracy[2] = {NULL, NULL};
    int32_t n[2] = {0, 0};
    for (int32_t k = 0; k < 2; k++) {
        loss[k] = malloc(((size_t)grid->n + 1) * sizeof *loss[k]);
        accuracy[k] = malloc(((size_t)grid->n + 1) * sizeof *accuracy[k]);
        moe_check(loss[k] != NULL && accuracy[k] != NULL, err, MOE_ENOMEM, "cannot allocate %d values",
                  grid->n);
    }
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        const int32_t k = run->at[AXIS_ROUTED] == 0;
        if (!c_is_in_row(run, row)) continue;
        if (run_list_domain(grid->report->runs, run->file, DOMAIN_QUESTIONS) < 0) continue;
        moe_try(slicing_number_of(grid, run, NUMBER_EVAL_CE, NULL, &loss[k][n[k]], err));
        moe_try(slicing_number_of(grid, run, NUMBER_ACCURACY, DOMAIN_QUESTIONS, &accuracy[k][n[k]], err));
        n[k]++;
    }
    for (int32_t k = 0; k < 2; k++) {
        const struct plot_pen pen = {.colour = k == 0 ? STYLE_BLUE : STYLE_INK,
                                     .opacity = 0.75,
                                     .marker = k == 0 ? MARKER_CIRCLE : MARKER_SQUARE,
                                     .marker_size = 5.5};
        if (n[k] > 0)
            plot_add_series(
                plot, panel,
                &(struct plot_series){
                    .geom = GEOM_POINTS, .n = n[k], .position = loss[k], .value = accuracy[k], .pen = pen});
    }
out:
    for (int32_t k = 0; k < 2; k++) {
        free(loss[k]);
        free(accuracy[k]);
    }
    return status;
}

moe_status draw_c_accuracy(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct slicing_grid grid = {0};
    struct c_row rows[C_ROWS];
    struct plot *plot = NULL;
    int32_t num_rows = 0;
    char note[640], heading[96];
    const struct plot_pen routed = {.colour = STYLE_BLUE, .marker = MARKER_CIRCLE, .marker_size = 5.5},
                          dense = {.colour = STYLE_INK, .marker = MARKER_SQUARE, .marker_size = 5.5},
                          chance = source_reference_pen();
    (void)frame;
    moe_try(c_open(report, &grid, rows, &num_rows, err));
    c_note(&grid, "Every run of a size and protocol, whatever its settings.", note, sizeof note);
    moe_try(plot_new(&(struct plot_layout){"Right endings against validation loss", note, STYLE_PAGE_WIDTH,
                                           150.0, (num_rows + 1) / 2, num_rows > 1 ? 2 : 1},
                     &plot, err));
    plot_add_legend(plot, "with experts", GEOM_POINTS, &routed);
    plot_add_legend(plot, "dense", GEOM_POINTS, &dense);
    plot_add_legend(plot, "chance", GEOM_LINE, &chance);
    for (int32_t r = 0; r < num_rows; r++) {
        struct plot_panel_spec spec = {
            .title = heading, .position = plot_axis_auto(), .value = plot_axis_auto()};
        c_row_name(&rows[r], heading, sizeof heading);
        spec.position.label = slicing_number_labels[NUMBER_EVAL_CE];
        spec.value.label = "share of right endings";
        plot_set_panel(plot, r, &spec);
        plot_add_reference(plot, r, 0.25, &chance);
        moe_try(add_answers(&grid, plot, r, &rows[r], err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    slicing_close(&grid);
    return status;
}
