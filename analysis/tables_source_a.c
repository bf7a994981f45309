#include "analysis/tables_source_a.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_a.h"
#include "analysis/measures.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

/* Where the numbers of a row come from: published, then one row per protocol. */
#define ORIGINS (1 + SOURCE_A_PROTOCOLS)
static const char *const origins[ORIGINS] = {"published", "ours, as published", "ours, corrected"};

/* ---- key numbers */

struct key_number {
    const char *published, *measure;
};

static const struct key_number key_numbers[] = {
    {"parameters", "parameters"},
    {"best_validation_loss", "best_loss"},
    {"tokens_per_second", "tokens_per_second"},
    {"forward_seconds", "forward_seconds"},
    {"backward_seconds", "backward_seconds"},
    {"optimizer_seconds", "optimizer_seconds"},
    {"total_seconds", "timed_seconds"},
};

static const struct table_column key_columns[] = {
    {"model", CELL_TEXT, 0},
    {"numbers", CELL_TEXT, 0},
    {"seeds", CELL_NUMBER, 0},
    {"parameters", CELL_NUMBER, 0},
    {"best validation loss", CELL_ESTIMATE, 4},
    {"tokens/s", CELL_ESTIMATE, 0},
    {"forward (s)", CELL_ESTIMATE, 2},
    {"backward (s)", CELL_ESTIMATE, 2},
    {"optimizer (s)", CELL_ESTIMATE, 2},
    {"total (s)", CELL_ESTIMATE, 2},
};

static moe_status key_row(struct report *report, struct sheet *sheet, int32_t experiment, int32_t origin,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    const bool published = origin == 0;
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_a_experiments[experiment]);
    row[1] = cell_text("%s", origins[origin]);
    row[2] = cell_number(published ? 1.0 : source_a_group(report, experiment, origin - 1).n);
    for (int32_t i = 0; i < COUNT(key_numbers); i++) {
        if (published) {
            moe_try(source_a_published(report, "key_numbers", experiment, key_numbers[i].published,
                                       &row[3 + i].value, err));
            continue;
        }
        const struct run_group group = source_a_group(report, experiment, origin - 1);
        struct stats_estimate e;
        moe_try(measure_estimate(report->runs, &group, key_numbers[i].measure, &e, err));
        row[3 + i] = cell_estimate(&e);
    }
out:
    return status;
}

static moe_status build_key_numbers(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++)
        for (int32_t o = 0; o < ORIGINS; o++)
            moe_try(key_row(report, sheet, e, o, err));
out:
    return status;
}

/* ---- cross-entropy alone */

static const struct table_column ce_columns[] = {
    {"model", CELL_TEXT, 0},
    {"numbers", CELL_TEXT, 0},
    {"seeds", CELL_NUMBER, 0},
    {"reported loss", CELL_ESTIMATE, 4},
    {"epoch", CELL_ESTIMATE, 1},
    {"cross-entropy there", CELL_ESTIMATE, 4},
    {"reported - dense", CELL_ESTIMATE, 4},
    {"cross-entropy - dense", CELL_ESTIMATE, 4},
    {"p", CELL_PROBABILITY, 3},
};

/* The published reported loss, and the lowest point of the published cross-entropy curve. */
static moe_status published_losses(struct report *report, int32_t experiment, double *out_reported,
                                   double *out_ce, double *out_epoch, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *curve = NULL;
    int32_t n = 0;
    char name[96];
    snprintf(name, sizeof name, "curves.validation_ce.%s", source_a_experiments[experiment]);
    moe_try(report_published(report, "A", &p, err));
    moe_try(source_a_published(report, "key_numbers", experiment, "best_validation_loss", out_reported, err));
    moe_try(published_array(p, name, &curve, &n, err));
    moe_check(n > 0, err, MOE_ECONFIG, "%s: %s is empty", published_path(p), name);
    int32_t lowest = 0;
    for (int32_t i = 1; i < n; i++)
        if (curve[i] < curve[lowest]) lowest = i;
    *out_ce = curve[lowest];
    *out_epoch = lowest + 1.0;
out:
    free(curve);
    return status;
}

static moe_status ce_row_published(struct report *report, struct table_cell *row, int32_t experiment,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    double dense[3];
    double own[3];
    moe_try(published_losses(report, 0, &dense[0], &dense[1], &dense[2], err));
    moe_try(published_losses(report, experiment, &own[0], &own[1], &own[2], err));
    row[2] = cell_number(1.0);
    row[3] = cell_number(own[0]);
    row[4] = cell_number(own[2]);
    row[5] = cell_number(own[1]);
    if (experiment == 0) goto out;
    row[6] = cell_number(own[0] - dense[0]);
    row[7] = cell_number(own[1] - dense[1]);
out:
    return status;
}

static moe_status ce_row_ours(struct report *report, struct table_cell *row, int32_t experiment,
                              int32_t protocol, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const measures[] = {"best_loss", "best_epoch", "ce_at_best_loss"};
    const struct run_group dense = source_a_group(report, 0, protocol);
    const struct run_group group = source_a_group(report, experiment, protocol);
    row[2] = cell_number(group.n);
    for (int32_t i = 0; i < COUNT(measures); i++) {
        struct stats_estimate e;
        moe_try(measure_estimate(report->runs, &group, measures[i], &e, err));
        row[3 + i] = cell_estimate(&e);
    }
    if (experiment == 0) goto out;
    struct stats_difference d;
    moe_try(measure_paired(report->runs, &group, &dense, "best_loss", &d, err));
    row[6] = cell_difference(&d);
    moe_try(measure_paired(report->runs, &group, &dense, "ce_at_best_loss", &d, err));
    row[7] = cell_difference(&d);
    row[8] = cell_number(d.p);
out:
    return status;
}

static moe_status build_ce_only(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t o = 0; o < ORIGINS; o++) {
            struct table_cell *row = NULL;
            moe_try(sheet_add_row(sheet, &row, err));
            row[0] = cell_text("%s", source_a_experiments[e]);
            row[1] = cell_text("%s", origins[o]);
            if (o == 0) {
                moe_try(ce_row_published(report, row, e, err));
            } else {
                moe_try(ce_row_ours(report, row, e, o - 1, err));
            }
        }
    }
out:
    return status;
}

/* ---- routing */

static const struct table_column routing_columns[] = {
    {"model", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"layer", CELL_NUMBER, 0},
    {"seeds", CELL_NUMBER, 0},
    {"usage entropy (nats)", CELL_ESTIMATE, 4},
    {"token entropy (nats)", CELL_ESTIMATE, 3},
    {"Gini", CELL_ESTIMATE, 3},
    {"CV\xc2\xb2", CELL_ESTIMATE, 4},
    {"max / mean", CELL_ESTIMATE, 3},
    {"smallest share (%)", CELL_ESTIMATE, 1},
    {"largest share (%)", CELL_ESTIMATE, 1},
};

static moe_status build_routing(struct report *report, struct sheet *sheet, moe_err *err) {
    static const char *const measures[] = {"usage_entropy", "token_entropy", "gini",     "cv2",
                                           "max_over_mean", "min_share",     "max_share"};
    moe_status status = MOE_OK;
    int32_t layers[SOURCE_A_LAYERS];
    moe_try(source_a_layers(report, layers, err));
    for (int32_t e = 1; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t k = 0; k < SOURCE_A_PROTOCOLS * SOURCE_A_LAYERS; k++) {
            const int32_t protocol = k / SOURCE_A_LAYERS;
            const int32_t layer = layers[k % SOURCE_A_LAYERS];
            const struct run_group group = source_a_group(report, e, protocol);
            struct table_cell *row = NULL;
            moe_try(sheet_add_row(sheet, &row, err));
            row[0] = cell_text("%s", source_a_experiments[e]);
            row[1] = cell_text("%s", source_a_protocol_titles[protocol]);
            row[2] = cell_number(layer);
            row[3] = cell_number(group.n);
            for (int32_t i = 0; i < COUNT(measures); i++) {
                char name[48];
                struct stats_estimate value;
                snprintf(name, sizeof name, "%s.%d", measures[i], (int)layer);
                moe_try(measure_estimate(report->runs, &group, name, &value, err));
                const double scale = i >= 5 ? 100.0 : 1.0; /* shares in percent */
                value.value *= scale;
                value.low *= scale;
                value.high *= scale;
                row[4 + i] = cell_estimate(&value);
            }
        }
    }
out:
    return status;
}

/* ---- the runs themselves */

static const struct table_column run_columns[] = {
    {"model", CELL_TEXT, 0},    {"protocol", CELL_TEXT, 0}, {"seed", CELL_NUMBER, 0},
    {"epochs", CELL_NUMBER, 0}, {"outcome", CELL_TEXT, 0},  {"best validation loss", CELL_NUMBER, 4},
    {"digest", CELL_TEXT, 0},
};

static moe_status build_runs(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++) {
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++) {
            const struct run_group group = source_a_group(report, e, p);
            for (int32_t s = 0; s < group.n; s++) {
                const struct run_file *file = &group.files[s];
                struct table_cell *row = NULL;
                double epochs = NAN;
                double best = NAN;
                moe_try(sheet_add_row(sheet, &row, err));
                moe_try(measure_of_run(report->runs, file, "epochs", &epochs, err));
                moe_try(measure_of_run(report->runs, file, "best_loss", &best, err));
                row[0] = cell_text("%s", source_a_experiments[e]);
                row[1] = cell_text("%s", source_a_protocol_titles[p]);
                row[2] = cell_number((double)file->info.seed);
                row[3] = cell_number(epochs);
                row[4] = cell_text("%s", file->info.outcome);
                row[5] = cell_number(best);
                row[6] = cell_text("%.16s", file->info.digest);
            }
        }
    }
out:
    return status;
}

const struct table source_a_tables[] = {
    {"a-key-numbers", "A", "Key numbers, published beside ours",
     "Mean and 95 % interval over seeds. Seconds are sums over an epoch, and like tokens per second the "
     "median of the epochs; published ones are means. The best validation loss is the one "
     "that early "
     "stopping saw: as published it contains the auxiliary loss of the MoE models, corrected it is "
     "cross-entropy alone.",
     &source_a_need, key_columns, COUNT(key_columns), build_key_numbers},
    {"a-ce-only", "A", "Validation loss with and without the auxiliary loss",
     "Each run's best epoch by its reported loss, and the cross-entropy at that epoch. Differences from "
     "dense are taken "
     "seed by seed; p is of the paired t test of the cross-entropies. Published cross-entropies were read "
     "off the "
     "published plot.",
     &source_a_need, ce_columns, COUNT(ce_columns), build_ce_only},
    {"a-routing", "A", "Balance of routing at the end of training",
     "Validation split after the last epoch; mean and 95 % interval over seeds. Usage entropy is of the "
     "experts' shares "
     "of all tokens, token entropy the mean over tokens of the router's own uncertainty.",
     &source_a_moe_need, routing_columns, COUNT(routing_columns), build_routing},
    {"a-runs", "A", "Runs of source A", "Every run that the tables and figures of source A are made from.",
     &source_a_need, run_columns, COUNT(run_columns), build_runs},
};
const int32_t source_a_table_count = COUNT(source_a_tables);
