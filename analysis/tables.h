/* tables.h - the registry of tables; building one from runs, and printing it. */
#ifndef ANALYSIS_TABLES_H
#define ANALYSIS_TABLES_H

#include "analysis/report.h"
#include "analysis/run_need.h"
#include "analysis/stats.h"

enum cell_kind {
    CELL_TEXT = 0,
    CELL_NUMBER,      /* value */
    CELL_PROBABILITY, /* value in [0, 1]; one that would be printed as 0 is given as a bound: "< 0.001" */
    CELL_ESTIMATE     /* value, with half the width of its interval where there is one */
};

struct table_column {
    const char *name; /* with the unit in brackets */
    enum cell_kind kind;
    int32_t decimals;
};

struct table_cell {
    char text[128];          /* CELL_TEXT */
    double value, low, high; /* NaN: printed as a dash (an interval: left out) */
};

/* A table being filled, row by row. */
struct sheet {
    const struct table_column *columns;
    int32_t num_columns, num_rows;
    struct table_cell *cells; /* [num_rows, num_columns] */
};

struct table {
    const char *id, *source, *title;
    const char *caption; /* for the report: how to read it; no numbers */
    const struct run_need *need;
    const struct table_column *columns;
    int32_t num_columns;
    moe_status (*build)(struct report *report, struct sheet *sheet, moe_err *err);
};

enum table_format { TABLE_MARKDOWN = 0, TABLE_TEXT, TABLE_CSV };

/* The index-th table, or NULL behind the last. */
const struct table *table_at(int32_t index);

/* MOE_ENOTFOUND names the nearest. */
moe_status table_find(const char *id, const struct table **out_table, moe_err *err);

/* Builds a table and prints it: Markdown with aligned columns, text for terminals, or CSV (RFC 4180; an
 * estimate takes three columns: value, low, high; numbers in full precision). malloc'ed. MOE_ENOTFOUND says
 * which runs are missing. */
moe_status table_print(struct report *report, const struct table *table, enum table_format format,
                       char **out_text, moe_err *err);

/* Adds a row of empty cells (texts "", numbers NaN); *out_row is good until the next call. MOE_ENOMEM. */
moe_status sheet_add_row(struct sheet *sheet, struct table_cell **out_row, moe_err *err);
void sheet_free(struct sheet *sheet);

/* Prints a filled sheet; see table_print(). */
moe_status sheet_print(const struct sheet *sheet, enum table_format format, char **out_text, moe_err *err);

/* Cells. */
struct table_cell cell_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct table_cell cell_number(double value);
struct table_cell cell_estimate(const struct stats_estimate *e);
struct table_cell cell_difference(const struct stats_difference *d);

#endif
