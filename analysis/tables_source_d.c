#include "analysis/tables_source_d.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/audit.h"
#include "analysis/figures/source_d.h"
#include "analysis/measures.h"
#include "analysis/tables_lr_sweep.h"
#include "record/lr_sweep.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

/* A number of published row `row`; NaN if the source does not report it. */
static moe_status published_or_dash(struct report *report, const char *row, const char *key, double *out,
                                    moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    char name[160];
    *out = NAN;
    snprintf(name, sizeof name, "results.%s.%s", row, key);
    moe_try(report_published(report, "D", &p, err));
    if (published_has(p, name)) moe_try(published_number(p, name, out, err));
out:
    return status;
}

/* ---- results */

/* A row of the source, and the run that stands for it. */
struct result {
    const char *name;
    enum source_d_experiment experiment;
    const char *also; /* the run's own name if it is another row's; NULL */
};

static const struct result results[] = {
    {"00_llama2_ref", D_LLAMA, NULL},    {"01_moedl_dense", D_DENSE, NULL},
    {"a0_moedl_no_lb", D_A0, NULL},      {"a1_moedl_lb_penalty", D_A1, NULL},
    {"a2_moedl_lb_biasing", D_A2, NULL}, {"b1_moedl_e2_k1", D_B1, NULL},
    {"b2_moedl_e4_k1", D_B2, NULL},      {"b3_moedl_e8_k1", D_A2, "a2"},
    {"b4_moedl_e16_k1", D_B4, NULL},     {"b20_moedl_e4_k1_4ep", D_B20, NULL},
    {"c1_moedl_e8_k1", D_A2, "a2"},      {"c2_moedl_e16_k2", D_C2, NULL},
    {"c3_moedl_e32_k4", D_C3, NULL},     {"c4_moedl_e64_k8", D_C4, NULL},
    {"d1_moedl_s0_k4_e32", D_C3, "c3"},  {"d2_moedl_s1_k3_e31", D_D2, NULL},
    {"d3_moedl_s2_k2_e30", D_D3, NULL},  {"d4_moedl_s3_k1_e29", D_D4, NULL},
    {"e1_moedl_cf_1_0", D_E1, NULL},     {"e2_moedl_cf_1_5", D_E2, NULL},
    {"e3_moedl_cf_2_0", D_E3, NULL},     {"e4_moedl_cf_2_5", D_E4, NULL},
    {"a2_bias_text", D_A2_TEXT, NULL},   {"a2_bias_sign", D_A2_SIGN, NULL},
    {"a1_per_layer", D_A1_LAYERS, NULL}, {"a2_scaled", D_A2_SCALED, NULL},
    {"b1_scaled", D_B1_SCALED, NULL},    {"b4_scaled", D_B4_SCALED, NULL},
};

static const struct table_column result_columns[] = {
    {"experiment", CELL_TEXT, 0},
    {"published validation", CELL_NUMBER, 4},
    {"published training", CELL_NUMBER, 4},
    {"validation, as published", CELL_ESTIMATE, 4},
    {"validation, corrected", CELL_ESTIMATE, 4},
    {"training, as published", CELL_ESTIMATE, 4},
    {"training, corrected", CELL_ESTIMATE, 4},
    {"seeds", CELL_TEXT, 0},
    {"parameters", CELL_NUMBER, 0},
    {"active", CELL_NUMBER, 0},
};

static moe_status result_row(struct report *report, struct sheet *sheet, const struct result *r,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    int32_t seeds[D_PROTOCOLS] = {0};
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = r->also == NULL ? cell_text("%s", r->name) : cell_text("%s (= %s)", r->name, r->also);
    moe_try(published_or_dash(report, r->name, "eval_loss", &row[1].value, err));
    moe_try(published_or_dash(report, r->name, "train_loss", &row[2].value, err));
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        if (!source_d_runs_under(r->experiment, (enum source_d_protocol)p)) continue;
        const struct run_group group = source_d_group(report, r->experiment, (enum source_d_protocol)p);
        struct stats_estimate e;
        moe_try(measure_estimate(report->runs, &group, "last_ce", &e, err));
        row[3 + p] = cell_estimate(&e);
        moe_try(measure_estimate(report->runs, &group, "final_train_ce", &e, err));
        row[5 + p] = cell_estimate(&e);
        moe_try(measure_of_run(report->runs, &group.files[0], "parameters", &row[8].value, err));
        moe_try(measure_of_run(report->runs, &group.files[0], "active_parameters", &row[9].value, err));
        seeds[p] = group.n;
    }
    if (seeds[0] == 0 || seeds[1] == 0 || seeds[0] == seeds[1]) {
        row[7] = cell_text("%d", seeds[0] > seeds[1] ? seeds[0] : seeds[1]);
    } else {
        row[7] = cell_text("%d, %d", seeds[0], seeds[1]);
    }
out:
    return status;
}

static moe_status build_results(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < COUNT(results); i++)
        moe_try(result_row(report, sheet, &results[i], err));
out:
    return status;
}

/* ---- the question of the one active expert */

/* Validation loss of a less that of b. */
struct comparison {
    const char *label, *what;
    enum source_d_experiment a, b;
    const char *published_a, *published_b; /* NULL: a variant of the row above, run corrected only */
    enum source_d_experiment corrected_a, corrected_b;
};

static const struct comparison comparisons[] = {
    {"a2 - 01", "one of eight experts against dense", D_A2, D_DENSE, "a2_moedl_lb_biasing", "01_moedl_dense",
     D_A2, D_DENSE},
    {"a2 scaled - 01", "the same with the raw weight doubled", D_A2, D_DENSE, NULL, NULL, D_A2_SCALED,
     D_DENSE},
    {"b4 - b1", "one of sixteen against one of two", D_B4, D_B1, "b4_moedl_e16_k1", "b1_moedl_e2_k1", D_B4,
     D_B1},
    {"b4 scaled - b1 scaled", "the same with raw weights doubled", D_B4, D_B1, NULL, NULL, D_B4_SCALED,
     D_B1_SCALED},
    {"c1 - c2", "one of eight against two of sixteen", D_A2, D_C2, "c1_moedl_e8_k1", "c2_moedl_e16_k2", D_A2,
     D_C2},
    {"c1 scaled - c2", "the same with the raw weight doubled", D_A2, D_C2, NULL, NULL, D_A2_SCALED, D_C2},
    {"c2 - c3", "two of sixteen against four of thirty-two", D_C2, D_C3, "c2_moedl_e16_k2", "c3_moedl_e32_k4",
     D_C2, D_C3},
    {"d4 - d3", "one routed expert beside three against two beside two", D_D4, D_D3, "d4_moedl_s3_k1_e29",
     "d3_moedl_s2_k2_e30", D_D4, D_D3},
    {"d3 - d2", "two routed experts beside two against three beside one", D_D3, D_D2, "d3_moedl_s2_k2_e30",
     "d2_moedl_s1_k3_e31", D_D3, D_D2},
};

static const struct table_column question_columns[] = {
    {"difference", CELL_TEXT, 0},
    {"what it compares", CELL_TEXT, 0},
    {"published", CELL_NUMBER, 4},
    {"as published", CELL_ESTIMATE, 4},
    {"p", CELL_PROBABILITY, 3},
    {"corrected", CELL_ESTIMATE, 4},
    {"p", CELL_PROBABILITY, 3},
    {"corrected - as published", CELL_ESTIMATE, 4},
    {"p of the change", CELL_PROBABILITY, 3},
    {"seeds", CELL_NUMBER, 0},
};

/* (a - b corrected) - (a - b as published), seed by seed. */
static moe_status change_of(struct report *report, const struct comparison *c, struct stats_difference *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int32_t seeds = 0;
    const struct run_group groups[] = {source_d_group(report, c->corrected_a, D_CORRECTED),
                                       source_d_group(report, c->corrected_b, D_CORRECTED),
                                       source_d_group(report, c->a, D_AS_PUBLISHED),
                                       source_d_group(report, c->b, D_AS_PUBLISHED)};
    moe_try(measure_shared(report->runs, groups, COUNT(groups), "last_ce", &values, &seeds, err));
    for (int32_t s = 0; s < seeds; s++) {
        values[s] -= values[seeds + s];
        values[2 * seeds + s] -= values[3 * seeds + s];
    }
    *out = stats_paired(values, values + 2 * (size_t)seeds, seeds, 0.95);
out:
    free(values);
    return status;
}

static moe_status question_row(struct report *report, struct sheet *sheet, const struct comparison *c,
                               moe_err *err) {
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    struct stats_difference d;
    double published[2];
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", c->label);
    row[1] = cell_text("%s", c->what);
    if (c->published_a != NULL) {
        const struct run_group a = source_d_group(report, c->a, D_AS_PUBLISHED);
        const struct run_group b = source_d_group(report, c->b, D_AS_PUBLISHED);
        moe_try(published_or_dash(report, c->published_a, "eval_loss", &published[0], err));
        moe_try(published_or_dash(report, c->published_b, "eval_loss", &published[1], err));
        row[2] = cell_number(published[0] - published[1]);
        moe_try(measure_paired(report->runs, &a, &b, "last_ce", &d, err));
        row[3] = cell_difference(&d);
        row[4] = cell_number(d.p);
    }
    const struct run_group a = source_d_group(report, c->corrected_a, D_CORRECTED);
    const struct run_group b = source_d_group(report, c->corrected_b, D_CORRECTED);
    moe_try(measure_paired(report->runs, &a, &b, "last_ce", &d, err));
    row[5] = cell_difference(&d);
    row[6] = cell_number(d.p);
    moe_try(change_of(report, c, &d, err));
    row[7] = cell_difference(&d);
    row[8] = cell_number(d.p);
    row[9] = cell_number(d.na);
out:
    return status;
}

static moe_status build_question(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < COUNT(comparisons); i++)
        moe_try(question_row(report, sheet, &comparisons[i], err));
out:
    return status;
}

/* ---- parameters */

static const enum source_d_experiment shapes[] = {D_DENSE, D_B1, D_B2, D_A2, D_B4, D_C2,
                                                  D_C3,    D_C4, D_D2, D_D3, D_D4};

static const struct table_column parameter_columns[] = {
    {"experiment", CELL_TEXT, 0},
    {"experts", CELL_NUMBER, 0},
    {"active", CELL_NUMBER, 0},
    {"shared", CELL_NUMBER, 0},
    {"expert width", CELL_NUMBER, 0},
    {"published parameters", CELL_NUMBER, 0},
    {"from the sizes", CELL_NUMBER, 0},
    {"difference", CELL_NUMBER, 0},
    {"parameters of our runs", CELL_NUMBER, 0},
    {"active in our runs", CELL_NUMBER, 0},
};

static moe_status parameter_row(struct report *report, const struct audit *audit, struct sheet *sheet,
                                enum source_d_experiment experiment, moe_err *err) {
    static const char *const shape[] = {"e", "k", "es", "width"};
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    char name[96];
    const char *experiment_name = source_d_experiments[experiment];
    const struct run_group group = source_d_group(report, experiment, D_CORRECTED);
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", experiment_name);
    for (int32_t i = 0; i < COUNT(shape); i++)
        moe_try(source_published(report, "D", "shape", experiment_name, shape[i], &row[1 + i].value, err));
    moe_try(published_or_dash(report, experiment_name, "parameters", &row[5].value, err));
    snprintf(name, sizeof name, "parameters.%s", experiment_name);
    moe_try(audit_number(audit, name, &row[6].value, err));
    row[7] = cell_number(row[6].value - row[5].value);
    moe_try(measure_of_run(report->runs, &group.files[0], "parameters", &row[8].value, err));
    moe_try(measure_of_run(report->runs, &group.files[0], "active_parameters", &row[9].value, err));
out:
    return status;
}

static moe_status build_parameters(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    struct audit *audit = NULL;
    moe_try(report_published(report, "D", &p, err));
    moe_try(audit_open(report->paper_dir, "D", p, &audit, err));
    for (int32_t i = 0; i < COUNT(shapes); i++)
        moe_try(parameter_row(report, audit, sheet, shapes[i], err));
out:
    audit_close(audit);
    return status;
}

/* ---- routers and balance */

static const enum source_d_experiment routed[] = {
    D_A0,        D_A1, D_A1_LAYERS, D_A2, D_A2_TEXT, D_A2_SIGN, D_A2_SCALED, D_B1, D_B1_SCALED, D_B2, D_B4,
    D_B4_SCALED, D_C2, D_C3,        D_C4, D_D2,      D_D3,      D_D4,        D_E1, D_E2,        D_E3, D_E4};

static const struct table_column routing_columns[] = {
    {"experiment", CELL_TEXT, 0},
    {"protocol", CELL_TEXT, 0},
    {"seeds", CELL_NUMBER, 0},
    {"router gradient (log10)", CELL_ESTIMATE, 2},
    {"share of all gradients (log10)", CELL_ESTIMATE, 2},
    {"token entropy (nats)", CELL_ESTIMATE, 3},
    {"usage entropy (nats)", CELL_ESTIMATE, 3},
    {"max / mean load", CELL_ESTIMATE, 3},
    {"dropped slots (%)", CELL_ESTIMATE, 2},
};

/* Mean and interval of the decimal logarithm of a measure; empty where it is 0. */
static moe_status log_estimate(struct report *report, const struct run_group *group, const char *measure,
                               struct table_cell *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    moe_try(measure_of_group(report->runs, group, measure, &values, err));
    for (int32_t i = 0; i < group->n; i++)
        values[i] = values[i] > 0.0 ? log10(values[i]) : NAN;
    const struct stats_estimate e = stats_mean_interval(values, group->n, 0.95);
    *out = cell_estimate(&e);
out:
    free(values);
    return status;
}

static moe_status routing_row(struct report *report, struct sheet *sheet, enum source_d_experiment experiment,
                              int32_t protocol, moe_err *err) {
    static const char *const logarithms[] = {"late_router_grad_norm", "late_router_grad_share"};
    static const char *const measures[] = {"late_token_entropy", "late_usage_entropy", "late_imbalance",
                                           "late_dropped_share"};
    moe_status status = MOE_OK;
    struct table_cell *row = NULL;
    const struct run_group group = source_d_group(report, experiment, (enum source_d_protocol)protocol);
    moe_try(sheet_add_row(sheet, &row, err));
    row[0] = cell_text("%s", source_d_experiments[experiment]);
    row[1] = cell_text("%s", source_d_protocol_titles[protocol]);
    row[2] = cell_number(group.n);
    for (int32_t i = 0; i < COUNT(logarithms); i++)
        moe_try(log_estimate(report, &group, logarithms[i], &row[3 + i], err));
    for (int32_t i = 0; i < COUNT(measures); i++) {
        struct stats_estimate e;
        moe_try(measure_estimate(report->runs, &group, measures[i], &e, err));
        if (i == 3 && (experiment < D_E1 || experiment > D_E4)) continue; /* nothing is ever dropped */
        const double scale = i == 3 ? 100.0 : 1.0;                        /* percent */
        e.value *= scale;
        e.low *= scale;
        e.high *= scale;
        row[5 + i] = cell_estimate(&e);
    }
out:
    return status;
}

static moe_status build_routing(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < COUNT(routed); i++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            if (source_d_runs_under(routed[i], (enum source_d_protocol)p))
                moe_try(routing_row(report, sheet, routed[i], p, err));
out:
    return status;
}

/* ---- the runs themselves */

static const struct table_column run_columns[] = {
    {"experiment", CELL_TEXT, 0}, {"protocol", CELL_TEXT, 0},     {"seed", CELL_NUMBER, 0},
    {"outcome", CELL_TEXT, 0},    {"validation", CELL_NUMBER, 4}, {"digest", CELL_TEXT, 0},
};

static moe_status build_runs(struct report *report, struct sheet *sheet, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < run_list_count(report->runs); i++) {
        const struct run_file *file = run_list_at(report->runs, i);
        struct table_cell *row = NULL;
        char swept[LR_SWEEP_NAME_MAX];
        double rate;
        if (strcmp(file->info.suite, source_d_need_all.suite) != 0 || run_is_of_sweep(file->info.experiment))
            continue;
        if (lr_sweep_parse_name(file->info.experiment, swept, &rate)) continue; /* table d-lr-sweep */
        moe_try(sheet_add_row(sheet, &row, err));
        row[0] = cell_text("%s", file->info.experiment);
        row[1] = cell_text("%s", file->info.protocol);
        row[2] = cell_number((double)file->info.seed);
        row[3] = cell_text("%s", file->info.outcome);
        moe_try(measure_of_run(report->runs, file, "last_ce", &row[4].value, err));
        row[5] = cell_text("%.16s", file->info.digest);
    }
out:
    return status;
}

const struct table source_d_tables[] = {
    {"d-results", "D", "Results of all experiments, published beside ours",
     "Ours: cross-entropy, mean and 95 % interval over seeds; validation after the last step, training over "
     "the last twentieth of the steps. Published: one seed, another size of model and data, so that "
     "differences between rows can be compared and losses cannot. Parameters are those of our runs. Rows "
     "with an equals sign are the same configuration as another.",
     &source_d_need_all, result_columns, COUNT(result_columns), build_results},
    {"d-question", "D", "One active expert under both protocols",
     "Differences of the validation loss in nats per token, taken seed by seed, with their 95 % intervals "
     "and the p of a paired t test; above zero the first of the two is worse. The change is the corrected "
     "difference less the one as published, which scaled rows (the weight of the single expert is twice "
     "its raw score) have from the row above. Seeds are those of the change. No model in c2 - c3 and in d3 - "
     "d2 has one active expert.",
     &source_d_need_question, question_columns, COUNT(question_columns), build_question},
    {"d-parameters", "D", "Parameters, published and computed",
     "Totals that the source reports, beside those that follow from the sizes in its code, and those of our "
     "runs, whose models are smaller.",
     &source_d_need_shapes, parameter_columns, COUNT(parameter_columns), build_parameters},
    {"d-routing", "D", "Routers and balance late in training",
     "Training batches of the last quarter of the steps, mean over layers; mean and 95 % interval over "
     "seeds. The router's gradient is the norm over all routers before clipping, as a decimal logarithm.",
     &source_d_need_routing, routing_columns, COUNT(routing_columns), build_routing},
    {"d-runs", "D", "Runs of source D",
     "Every run of the suite, short ones of learning-rate sweeps apart. The validation cross-entropy is that "
     "after the last step.",
     &source_d_need_all, run_columns, COUNT(run_columns), build_runs},
    {"d-lr-sweep", "D", "Learning rates",
     "Short runs of the same length at each rate: mean loss of the last training steps, and validation loss "
     "after them; mean and 95 % interval over the seeds that did not diverge. A run has diverged if a number "
     "was not finite, or if its loss ended above that of its first step. Differences from the smallest loss "
     "are taken seed by seed; a rate is called within the noise if its difference is at most twice the "
     "difference's standard error.",
     &source_d_need_lr_sweep, lr_sweep_columns, LR_SWEEP_COLUMNS, build_lr_sweep},
};
const int32_t source_d_table_count = COUNT(source_d_tables);
