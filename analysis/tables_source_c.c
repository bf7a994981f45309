/* Configurations of source C, read from the runs that are there, and what came of them. */
#include "analysis/tables_source_c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_c.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

/* The first run of a row, with experts or without. */
static const struct slicing_run *any_run(const struct slicing_grid *grid, const struct c_row *row) {
    for (int32_t i = 0; i < grid->n; i++)
        if (c_is_in_row(&grid->runs[i], row)) return &grid->runs[i];
    return NULL;
}

static struct table_cell size_cell(const struct c_row *row) {
    return row->name[0] != '\0' ? cell_text("%s", row->name) : cell_text("width %.0f", row->width);
}

/* Fills a sheet from the runs and their rows (protocols and sizes). */
typedef moe_status fill_fn(const struct slicing_grid *grid, const struct c_row *rows, int32_t n,
                           struct sheet *sheet, moe_err *err);

static moe_status build(struct report *report, struct sheet *sheet, fill_fn *fill, moe_err *err) {
    moe_status status = MOE_OK;
    struct slicing_grid grid = {0};
    struct c_row rows[C_ROWS];
    int32_t n = 0;
    moe_try(c_open(report, &grid, rows, &n, err));
    moe_try(fill(&grid, rows, n, sheet, err));
out:
    slicing_close(&grid);
    return status;
}

/* ---- sizes */

static const struct table_column size_columns[] = {
    {"size", CELL_TEXT, 0},           {"protocol", CELL_TEXT, 0},        {"width", CELL_NUMBER, 0},
    {"layers", CELL_NUMBER, 0},       {"heads", CELL_NUMBER, 0},         {"vocabulary", CELL_NUMBER, 0},
    {"tokens", CELL_NUMBER, 0},       {"warm-up steps", CELL_NUMBER, 0}, {"dense parameters", CELL_NUMBER, 0},
    {"dense loss", CELL_ESTIMATE, 4},
};

static moe_status size_row(const struct slicing_grid *grid, const struct c_row *row, struct sheet *sheet,
                           moe_err *err) {
    static const char *const keys[] = {"model.hidden_size", "model.num_hidden_layers",
                                       "model.num_attention_heads", "model.vocab_size"};
    moe_status status = MOE_OK;
    struct table_cell *cells = NULL;
    struct stats_estimate loss;
    const struct slicing_run *run = any_run(grid, row);
    struct slicing_choice dense = slicing_dense(grid, row->protocol, row->width);
    dense.at[AXIS_TOKENS] = row->tokens;
    moe_try(sheet_add_row(sheet, &cells, err));
    cells[0] = size_cell(row);
    cells[1] = cell_text("%s", slicing_protocol_titles[row->protocol]);
    for (int32_t i = 0; i < COUNT(keys); i++)
        moe_try(report_config_number(grid->report, run->file, keys[i], &cells[2 + i].value, err));
    cells[6].value = row->tokens;
    const double warmup = dense.at[AXIS_WARMUP];
    cells[7].value = warmup < 1.0 ? ceil(warmup * run->steps) : warmup;
    for (int32_t i = 0; i < grid->n; i++)
        if (slicing_fits(&dense, &grid->runs[i])) cells[8].value = grid->runs[i].parameters;
    moe_try(slicing_estimate(grid, &dense, NUMBER_EVAL_CE, NULL, &loss, err));
    cells[9] = cell_estimate(&loss);
out:
    return status;
}

static moe_status fill_sizes(const struct slicing_grid *grid, const struct c_row *rows, int32_t n,
                             struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t r = 0; r < n; r++)
        moe_try(size_row(grid, &rows[r], sheet, err));
out:
    return status;
}

static moe_status build_sizes(struct report *report, struct sheet *sheet, moe_err *err) {
    return build(report, sheet, fill_sizes, err);
}

/* ---- grid */

static const struct table_column grid_columns[] = {
    {"size", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"g", CELL_TEXT, 0},
    {"s", CELL_TEXT, 0},
    {"experts", CELL_NUMBER, 0},
    {"active", CELL_NUMBER, 0},
    {"parameters", CELL_NUMBER, 0},
    {"validation loss", CELL_ESTIMATE, 4},
    {"minus dense", CELL_ESTIMATE, 4},
    {"seeds", CELL_NUMBER, 0},
};

static const struct c_chart loss_chart = {.x = AXIS_GRANULARITY,
                                          .line = AXIS_SPARSITY,
                                          .split = C_NONE,
                                          .varied = C_NONE,
                                          .number = NUMBER_EVAL_CE};
static const struct c_chart difference_chart = {.x = AXIS_GRANULARITY,
                                                .line = AXIS_SPARSITY,
                                                .split = C_NONE,
                                                .varied = C_NONE,
                                                .number = NUMBER_EVAL_CE,
                                                .minus_dense = true};

/* Loss, difference from dense, and seeds of a choice, in the last three cells. */
static moe_status loss_cells(const struct slicing_grid *grid, const struct slicing_choice *choice,
                             struct table_cell *cells, moe_err *err) {
    moe_status status = MOE_OK;
    struct stats_estimate loss, difference;
    moe_try(c_estimate(grid, choice, &loss_chart, &loss, err));
    moe_try(c_estimate(grid, choice, &difference_chart, &difference, err));
    cells[0] = cell_estimate(&loss);
    cells[1] = cell_estimate(&difference);
    cells[2] = cell_number(loss.n);
out:
    return status;
}

static double parameters_of(const struct slicing_grid *grid, const struct slicing_choice *choice) {
    for (int32_t i = 0; i < grid->n; i++)
        if (slicing_fits(choice, &grid->runs[i])) return grid->runs[i].parameters;
    return NAN;
}

static moe_status grid_row(const struct slicing_grid *grid, const struct c_row *row, const struct c_pair *at,
                           struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *cells = NULL;
    char g[24], s[24];
    struct slicing_choice c = c_choice(grid, row, &loss_chart, C_NONE, C_NONE);
    c.at[AXIS_SPARSITY] = at->b;
    c.at[AXIS_GRANULARITY] = at->a;
    c.free = 1u << AXIS_EXPERTS;
    moe_try(sheet_add_row(sheet, &cells, err));
    slicing_fraction(at->a, g, sizeof g);
    slicing_fraction(at->b, s, sizeof s);
    cells[0] = size_cell(row);
    cells[1] = cell_text("%s", slicing_protocol_titles[row->protocol]);
    cells[2] = cell_text("%s", g);
    cells[3] = cell_text("%s", s);
    cells[4] = cell_number(at->b / at->a);
    cells[5] = cell_number(1.0 / at->a);
    cells[6] = cell_number(parameters_of(grid, &c));
    moe_try(loss_cells(grid, &c, cells + 7, err));
out:
    return status;
}

static moe_status fill_grid(const struct slicing_grid *grid, const struct c_row *rows, int32_t n,
                            struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t r = 0; r < n; r++) {
        const struct slicing_choice usual = c_choice(grid, &rows[r], &loss_chart, C_NONE, C_NONE);
        struct c_list totals = {0};
        c_collect(grid, &usual, AXIS_SPARSITY, C_NONE, C_NONE, &totals);
        for (int32_t t = 0; t < totals.n; t++) {
            struct slicing_choice one = usual;
            struct c_list sizes = {0};
            c_fix(&one, AXIS_SPARSITY, totals.items[t].a);
            c_collect(grid, &one, AXIS_GRANULARITY, C_NONE, C_NONE, &sizes);
            for (int32_t i = 0; i < sizes.n; i++) {
                const struct c_pair at = {sizes.items[i].a, totals.items[t].a};
                moe_try(grid_row(grid, &rows[r], &at, sheet, err));
            }
        }
    }
out:
    return status;
}

static moe_status build_grid(struct report *report, struct sheet *sheet, moe_err *err) {
    return build(report, sheet, fill_grid, err);
}

/* ---- two sizes */

static const struct table_column pair_columns[] = {
    {"size", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"g", CELL_TEXT, 0},
    {"experts", CELL_TEXT, 0},
    {"active", CELL_TEXT, 0},
    {"s", CELL_TEXT, 0},
    {"bias step", CELL_TEXT, 0},
    {"validation loss", CELL_ESTIMATE, 4},
    {"minus dense", CELL_ESTIMATE, 4},
    {"seeds", CELL_NUMBER, 0},
};

/* Runs of two sizes of experts, without a generalist, of one kind. */
static struct slicing_choice pair_choice(const struct slicing_grid *grid, const struct slicing_run *run) {
    struct slicing_choice c = slicing_usual(grid, run->protocol, run->at[AXIS_WIDTH]);
    memcpy(c.at, run->at, sizeof c.at);
    c.free = 1u << AXIS_EXPERTS;
    return c;
}

static bool is_first(const struct slicing_grid *grid, int32_t i, const struct slicing_choice *choice) {
    for (int32_t j = 0; j < i; j++)
        if (slicing_fits(choice, &grid->runs[j])) return false;
    return true;
}

static moe_status pair_row(const struct slicing_grid *grid, const struct slicing_run *run,
                           const struct slicing_choice *choice, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *cells = NULL;
    char first[24], second[24], s[24];
    const double g = run->at[AXIS_GRANULARITY], g2 = run->at[AXIS_SECOND], half = run->at[AXIS_SPARSITY] / 2;
    const char *size = strstr(run->file->info.experiment, "size=");
    moe_try(sheet_add_row(sheet, &cells, err));
    slicing_fraction(g, first, sizeof first);
    slicing_fraction(g2, second, sizeof second);
    slicing_fraction(run->at[AXIS_SPARSITY], s, sizeof s);
    cells[0] = size != NULL ? cell_text("%.*s", (int)strcspn(size + 5, ","), size + 5)
                            : cell_text("width %.0f", run->at[AXIS_WIDTH]);
    const double usual = slicing_usual_value(grid, run->protocol, run->at[AXIS_WIDTH], AXIS_WARMUP);
    cells[1] = cell_text("%s%s%s", slicing_protocol_titles[run->protocol],
                         run->at[AXIS_FAULT] > 0 && run->protocol == 1 ? ", bias of one group" : "",
                         run->at[AXIS_WARMUP] != usual ? ", published warm-up" : "");
    cells[2] = cell_text("%s, %s", first, second);
    cells[3] = cell_text("%.0f, %.0f", half / g, half / g2);
    cells[4] = cell_text("%.0f, %.0f", 0.5 / g, 0.5 / g2);
    cells[5] = cell_text("%s", s);
    cells[6] = cell_text("%.3g", run->at[AXIS_GAMMA]);
    moe_try(loss_cells(grid, choice, cells + 7, err));
out:
    return status;
}

static moe_status fill_pairs(const struct slicing_grid *grid, const struct c_row *rows, int32_t n,
                             struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    (void)rows;
    (void)n;
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_choice c = pair_choice(grid, &grid->runs[i]);
        if (grid->runs[i].at[AXIS_SECOND] == 0 || grid->runs[i].at[AXIS_GENERALIST] > 0) continue;
        if (is_first(grid, i, &c)) moe_try(pair_row(grid, &grid->runs[i], &c, sheet, err));
    }
out:
    return status;
}

static moe_status build_pairs(struct report *report, struct sheet *sheet, moe_err *err) {
    return build(report, sheet, fill_pairs, err);
}

/* ---- registry */

const struct table source_c_tables[] = {
    {"c-sizes", "C", "Sizes of models",
     "Shapes of the models that were trained, how long, and the loss of the dense one.", &source_c_need,
     size_columns, COUNT(size_columns), build_sizes},
    {"c-grid", "C", "Experts of one size",
     "Each size and number of experts under the usual settings; differences from the dense model are taken "
     "seed by seed.",
     &source_c_need, grid_columns, COUNT(grid_columns), build_grid},
    {"c-pairs", "C", "Experts of two sizes",
     "Layers with two groups of experts, half of the active and of the total width each.", &source_c_need,
     pair_columns, COUNT(pair_columns), build_pairs},
};
const int32_t source_c_table_count = COUNT(source_c_tables);
