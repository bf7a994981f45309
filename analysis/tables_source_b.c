#include "analysis/tables_source_b.h"

#include "analysis/figures/source_b.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

static const struct table_column later_columns[] = {{"model", CELL_TEXT, 0}};

static moe_status build_later(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    (void)report;
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("not made yet");
out:
    return status;
}

const struct table source_b_tables[] = {
    {"b-log", "B", "The published log beside ours",
     "Mean and 95 % interval over seeds. The published lines are of one run of the flat model.",
     &source_b_routed_need, later_columns, COUNT(later_columns), build_later},
    {"b-usage", "B", "Expert usage, published and measured",
     "Shares of assignments in percent, experts of each run ordered by their share, and what they come to.",
     &source_b_routed_need, later_columns, COUNT(later_columns), build_later},
    {"b-summary", "B", "Experiments of source B",
     "Mean and 95 % interval over seeds. Experiments that have no runs are left out.", &source_b_need,
     later_columns, COUNT(later_columns), build_later},
};
const int32_t source_b_table_count = COUNT(source_b_tables);
