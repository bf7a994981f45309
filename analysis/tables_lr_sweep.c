#include "analysis/tables_lr_sweep.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/figures/source_d.h"
#include "analysis/lr_sweeps.h"
#include "core/text.h"

const struct table_column lr_sweep_columns[LR_SWEEP_COLUMNS] = {
    {"experiment", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"learning rate", CELL_TEXT, 0},
    {"seeds", CELL_NUMBER, 0},
    {"training loss", CELL_ESTIMATE, 4},
    {"validation loss", CELL_ESTIMATE, 4},
    {"above the smallest", CELL_ESTIMATE, 4},
    {"", CELL_TEXT, 0},
};

/* What is to be said of a rate: the suggestion, or that seeds diverged and when a number was first not
 * finite. */
static struct table_cell remark(const struct lr_sweep_set *set, int32_t rate) {
    const struct lr_sweep_summary *s = &set->summary;
    const struct lr_sweep_rate *r = &s->rates[rate];
    int64_t first = INT64_MAX;
    if (rate == s->suggested) return cell_text("smallest");
    if (rate == s->largest) return cell_text("largest within the noise");
    if (r->diverged == 0) return cell_text("%s", r->seeds < s->seeds ? "a seed is missing" : "");
    for (int32_t i = r->first; i < r->first + r->seeds; i++)
        if (!set->runs[i].finite && set->runs[i].steps + 1 < first) first = set->runs[i].steps + 1;
    if (first == INT64_MAX) return cell_text("%d diverged", r->diverged);
    return cell_text("%d diverged, not finite at step %lld", r->diverged, (long long)first);
}

static moe_status add_row(struct sheet *sheet, const struct lr_sweep_set *set, int32_t protocol, int32_t rate,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    char number[TEXT_NUMBER_MAX];
    const struct lr_sweep_rate *r = &set->summary.rates[rate];
    const struct stats_estimate train = lr_sweep_estimate(set, rate, false);
    const struct stats_estimate validation = lr_sweep_estimate(set, rate, true);
    const struct stats_difference excess = lr_sweep_excess(set, rate);
    text_number(r->rate, number);
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", set->experiment);
    row[1] = cell_text("%s", source_d_protocol_titles[protocol]);
    row[2] = cell_text("%s", number);
    row[3] = cell_number(r->seeds);
    row[4] = cell_estimate(&train);
    row[5] = cell_estimate(&validation);
    row[6] = cell_difference(&excess);
    row[7] = remark(set, rate);
out:
    return status;
}

moe_status build_lr_sweep(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweeps s = {0};
    moe_try(lr_sweeps_of(report->runs, SOURCE_D_SUITE, &s, err));
    for (int32_t i = 0; i < s.count; i++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            for (int32_t r = 0;
                 strcmp(s.sets[i].protocol, source_d_protocols[p]) == 0 && r < s.sets[i].summary.count; r++)
                moe_try(add_row(sheet, &s.sets[i], p, r, err));
out:
    lr_sweeps_free(&s);
    return status;
}
