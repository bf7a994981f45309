#include "analysis/tables.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot_axis.h"
#include "analysis/tables_source_a.h"
#include "analysis/tables_source_b.h"
#include "analysis/tables_source_c.h"
#include "analysis/tables_source_d.h"
#include "core/text.h"

#define MAX_TABLES  256
#define CELL_LENGTH 160

const struct table *table_at(int32_t index) {
    const struct {
        const struct table *tables;
        int32_t count;
    } sources[] = {{source_a_tables, source_a_table_count},
                   {source_b_tables, source_b_table_count},
                   {source_c_tables, source_c_table_count},
                   {source_d_tables, source_d_table_count}};
    int32_t rest = index;
    for (size_t s = 0; rest >= 0 && s < sizeof sources / sizeof sources[0]; s++) {
        if (rest < sources[s].count) return &sources[s].tables[rest];
        rest -= sources[s].count;
    }
    return NULL;
}

moe_status table_find(const char *id, const struct table **out_table, moe_err *err) {
    const char *ids[MAX_TABLES];
    size_t count = 0;
    const struct table *table;
    for (int32_t i = 0; (table = table_at(i)) != NULL && count < MAX_TABLES; i++) {
        if (strcmp(table->id, id) == 0) {
            *out_table = table;
            return MOE_OK;
        }
        ids[count++] = table->id;
    }
    const char *nearest = text_nearest(id, ids, count);
    return nearest != NULL
               ? moe_fail(err, MOE_ENOTFOUND, "no table \"%s\"; did you mean \"%s\"?", id, nearest)
               : moe_fail(err, MOE_ENOTFOUND, "no table \"%s\"; `moe-report table --list` lists them", id);
}

moe_status sheet_add_row(struct sheet *sheet, struct table_cell **out_row, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t columns = (size_t)sheet->num_columns;
    struct table_cell *grown =
        realloc(sheet->cells, ((size_t)sheet->num_rows + 1) * columns * sizeof *sheet->cells);
    moe_check(grown != NULL, err, MOE_ENOMEM, "cannot allocate row %d of a table", sheet->num_rows + 1);
    sheet->cells = grown;
    *out_row = grown + (size_t)sheet->num_rows * columns;
    for (size_t i = 0; i < columns; i++)
        (*out_row)[i] = cell_number(NAN);
    sheet->num_rows++;
out:
    return status;
}

void sheet_free(struct sheet *sheet) {
    free(sheet->cells);
    *sheet = (struct sheet){0};
}

struct table_cell cell_text(const char *fmt, ...) {
    struct table_cell cell = {.value = NAN, .low = NAN, .high = NAN};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cell.text, sizeof cell.text, fmt, ap);
    va_end(ap);
    return cell;
}

struct table_cell cell_number(double value) {
    return (struct table_cell){.value = value, .low = NAN, .high = NAN};
}

struct table_cell cell_estimate(const struct stats_estimate *e) {
    return (struct table_cell){.value = e->value, .low = e->low, .high = e->high};
}

struct table_cell cell_difference(const struct stats_difference *d) {
    return (struct table_cell){.value = d->value, .low = d->low, .high = d->high};
}

/* A cell as people read it: "9.3698 ± 0.0012". */
static void readable(const struct table_column *column, const struct table_cell *cell,
                     char out[CELL_LENGTH]) {
    if (column->kind == CELL_TEXT) {
        snprintf(out, CELL_LENGTH, "%s", cell->text);
        return;
    }
    if (!isfinite(cell->value)) {
        snprintf(out, CELL_LENGTH, "\xe2\x80\x93"); /* en dash */
        return;
    }
    char value[64];
    const double least = pow(10.0, -column->decimals);
    const bool bound = column->kind == CELL_PROBABILITY && cell->value < 0.5 * least;
    axis_format(value, sizeof value, bound ? least : cell->value, column->decimals);
    if (column->kind != CELL_ESTIMATE || !isfinite(cell->low) || !isfinite(cell->high)) {
        snprintf(out, CELL_LENGTH, "%s%s", bound ? "< " : "", value);
        return;
    }
    char half[64];
    axis_format(half, sizeof half, 0.5 * (cell->high - cell->low), column->decimals);
    snprintf(out, CELL_LENGTH, "%s \xc2\xb1 %s", value, half);
}

static const struct table_cell *cell_at(const struct sheet *sheet, int32_t row, int32_t column) {
    return &sheet->cells[(size_t)row * (size_t)sheet->num_columns + (size_t)column];
}

/* Columns of the terminal that a column of the table takes. */
static size_t column_width(const struct sheet *sheet, int32_t column) {
    size_t width = text_columns(sheet->columns[column].name);
    for (int32_t row = 0; row < sheet->num_rows; row++) {
        char text[CELL_LENGTH];
        readable(&sheet->columns[column], cell_at(sheet, row, column), text);
        const size_t columns = text_columns(text);
        width = columns > width ? columns : width;
    }
    return width < 3 ? 3 : width;
}

/* Text in a field of `width`, numbers to the right; '|' is escaped where a table of Markdown would end its
 * cell. */
static void put_field(struct text *t, const char *text, size_t width, bool right, bool markdown) {
    const size_t columns = text_columns(text);
    const int pad = columns < width ? (int)(width - columns) : 0;
    if (right) text_append(t, "%*s", pad, "");
    for (const char *c = text; *c != '\0'; c++)
        text_append(t, "%s%c", markdown && *c == '|' ? "\\" : "", *c);
    if (!right) text_append(t, "%*s", pad, "");
}

/* One line of an aligned table; row -1 is the header. */
static void put_line(struct text *t, const struct sheet *sheet, const size_t *widths, int32_t row,
                     bool markdown) {
    for (int32_t c = 0; c < sheet->num_columns; c++) {
        char text[CELL_LENGTH];
        const struct table_column *column = &sheet->columns[c];
        if (row < 0) {
            snprintf(text, sizeof text, "%s", column->name);
        } else {
            readable(column, cell_at(sheet, row, c), text);
        }
        text_append(t, "%s", markdown ? "| " : c > 0 ? "  " : "");
        put_field(t, text, widths[c], column->kind != CELL_TEXT, markdown);
        if (markdown) text_append(t, " ");
    }
    if (markdown) text_append(t, "|");
    while (!markdown && t->length > 0 && t->data[t->length - 1] == ' ')
        t->data[--t->length] = '\0';
    text_append(t, "\n");
}

/* The line below the header. */
static void put_rule(struct text *t, const struct sheet *sheet, const size_t *widths, bool markdown) {
    for (int32_t c = 0; c < sheet->num_columns; c++) {
        const bool right = sheet->columns[c].kind != CELL_TEXT;
        text_append(t, "%s", markdown ? "| " : c > 0 ? "  " : "");
        for (size_t i = 0; i < widths[c]; i++)
            text_append(t, markdown && right && i + 1 == widths[c] ? ":" : "-");
        if (markdown) text_append(t, " ");
    }
    text_append(t, markdown ? "|\n" : "\n");
}

static void put_csv_text(struct text *t, const char *text) {
    if (text[strcspn(text, ",\"\r\n")] == '\0') {
        text_append(t, "%s", text);
        return;
    }
    text_append(t, "\"");
    for (const char *c = text; *c != '\0'; c++)
        text_append(t, "%s%c", *c == '"' ? "\"" : "", *c);
    text_append(t, "\"");
}

static void put_csv_number(struct text *t, double value) {
    char number[TEXT_NUMBER_MAX];
    if (!isfinite(value)) return;
    text_number(value, number);
    text_append(t, "%s", number);
}

static void put_csv(struct text *t, const struct sheet *sheet) {
    for (int32_t row = -1; row < sheet->num_rows; row++) {
        for (int32_t c = 0; c < sheet->num_columns; c++) {
            const struct table_column *column = &sheet->columns[c];
            if (c > 0) text_append(t, ",");
            if (row < 0) {
                put_csv_text(t, column->name);
                if (column->kind == CELL_ESTIMATE) text_append(t, ",low,high");
                continue;
            }
            const struct table_cell *cell = cell_at(sheet, row, c);
            if (column->kind == CELL_TEXT) {
                put_csv_text(t, cell->text);
                continue;
            }
            put_csv_number(t, cell->value);
            if (column->kind != CELL_ESTIMATE) continue;
            text_append(t, ",");
            put_csv_number(t, cell->low);
            text_append(t, ",");
            put_csv_number(t, cell->high);
        }
        text_append(t, "\r\n");
    }
}

moe_status sheet_print(const struct sheet *sheet, enum table_format format, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    size_t *widths = calloc((size_t)sheet->num_columns + 1, sizeof *widths);
    moe_check(widths != NULL, err, MOE_ENOMEM, "cannot allocate the columns of a table");
    if (format == TABLE_CSV) {
        put_csv(&t, sheet);
    } else {
        const bool markdown = format == TABLE_MARKDOWN;
        for (int32_t c = 0; c < sheet->num_columns; c++)
            widths[c] = column_width(sheet, c);
        put_line(&t, sheet, widths, -1, markdown);
        put_rule(&t, sheet, widths, markdown);
        for (int32_t row = 0; row < sheet->num_rows; row++)
            put_line(&t, sheet, widths, row, markdown);
    }
    moe_try(text_take(&t, out_text, err));
out:
    text_free(&t);
    free(widths);
    return status;
}

moe_status table_print(struct report *report, const struct table *table, enum table_format format,
                       char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    char what[128];
    struct sheet sheet = {.columns = table->columns, .num_columns = table->num_columns};
    snprintf(what, sizeof what, "table %s", table->id);
    moe_try(run_list_require(report->runs, table->need, what, err));
    moe_try(table->build(report, &sheet, err));
    moe_try(sheet_print(&sheet, format, out_text, err));
out:
    sheet_free(&sheet);
    return status;
}
