/* fixture_runs_d.h - synthetic run files of the suite moedl, written through record/writer.h.
 *
 * Every number follows a formula that a test can repeat. Experiments are those of
 * analysis/figures/source_d.h.
 */
#ifndef TEST_FIXTURE_RUNS_D_H
#define TEST_FIXTURE_RUNS_D_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_d.h"
#include "core/file.h"
#include "fixture_record.h"
#include "record/writer.h"

#define FIXTURE_D_STEPS   8 /* two epochs; every second one ends with an evaluation */
#define FIXTURE_D_LAYERS  2
#define FIXTURE_D_EXPERTS 4
#define FIXTURE_D_CELLS   (FIXTURE_D_LAYERS * FIXTURE_D_EXPERTS)

struct fixture_d_run {
    const char *root;
    enum source_d_experiment experiment;
    enum source_d_protocol protocol;
    uint64_t seed;
    double shift; /* added to every validation loss of D_A2 */
};

static inline bool fixture_d_routes(const struct fixture_d_run *run) {
    return run->experiment != D_LLAMA && run->experiment != D_DENSE;
}

/* Validation cross-entropy after step 2, 4, 6, 8. Between experiments a and b the final ones differ by (a -
 * b) (0.01 + 0.001 seed), corrected by (a - b) (0.002 + 0.001 seed). */
static inline double fixture_d_eval_ce(const struct fixture_d_run *run, int64_t step) {
    const double slope = (run->protocol == D_CORRECTED ? 0.002 : 0.01) + 0.001 * (double)run->seed;
    const double shift = run->experiment == D_A2 ? run->shift : 0.0;
    return 2.0 + 0.1 * (double)run->seed + slope * run->experiment + shift +
           0.3 * (double)(FIXTURE_D_STEPS - step);
}

static inline double fixture_d_router_gradient(const struct fixture_d_run *run, int64_t step) {
    if (!fixture_d_routes(run)) return 0.0;
    const bool one = run->experiment < D_C2 || run->experiment == D_D4 || run->experiment >= D_E1;
    return (one && run->protocol == D_AS_PUBLISHED ? 1e-7 : 1e-2) * (double)(step + 1 + (int64_t)run->seed);
}

/* Of 40 slots of a layer the first expert gets most, the others share the rest. */
static inline int32_t fixture_d_load(int64_t step, int32_t expert) {
    const int32_t rest = (int32_t)step;
    return expert == 0 ? 40 - 3 * rest : rest;
}

/* Only experts with a capacity drop slots: the first expert, one of its slots in each layer. */
static inline int32_t fixture_d_dropped(const struct fixture_d_run *run, int32_t expert) {
    return expert == 0 && run->experiment >= D_E1 && run->experiment <= D_E4 ? 1 : 0;
}

static inline void fixture_d_path(const struct fixture_d_run *run, char *path, size_t size) {
    snprintf(path, size, "%s/moedl/%s.%s.s%llu.h5", run->root, source_d_experiments[run->experiment],
             source_d_protocols[run->protocol], (unsigned long long)run->seed);
}

static inline moe_status fixture_d_routing(struct run_writer *w, enum run_series series,
                                           const struct fixture_d_run *run, int64_t step, moe_err *err) {
    int32_t load[FIXTURE_D_CELLS];
    int32_t dropped[FIXTURE_D_CELLS];
    for (int32_t c = 0; c < FIXTURE_D_CELLS; c++) {
        load[c] = fixture_d_load(step, c % FIXTURE_D_EXPERTS);
        dropped[c] = fixture_d_dropped(run, c % FIXTURE_D_EXPERTS);
    }
    return fixture_routing_row(w, series, step, FIXTURE_D_LAYERS, FIXTURE_D_EXPERTS, load, dropped, err);
}

static inline moe_status fixture_d_step(struct run_writer *w, const struct fixture_d_run *run, int64_t step,
                                        moe_err *err) {
    moe_status status = MOE_OK;
    const double ce = fixture_d_eval_ce(run, step) - 0.05;
    const int64_t epoch = step > FIXTURE_D_STEPS / 2 ? 1 : 0;
    moe_try(
        run_writer_train(w,
                         &(struct run_train_row){.step = step,
                                                 .epoch = epoch,
                                                 .tokens = 40 * step,
                                                 .loss = ce + 0.01,
                                                 .loss_ce = ce,
                                                 .loss_aux = 0.01,
                                                 .lr = 1e-3,
                                                 .grad_norm = 2.0,
                                                 .temperature = 1.0,
                                                 .router_grad_norm = fixture_d_router_gradient(run, step)},
                         err));
    if (fixture_d_routes(run)) moe_try(fixture_d_routing(w, RUN_ROUTING, run, step, err));
    if (step % 2 != 0) goto out;
    const double eval = fixture_d_eval_ce(run, step);
    moe_try(run_writer_eval(w,
                            &(struct run_eval_row){.step = step,
                                                   .epoch = epoch,
                                                   .loss = eval,
                                                   .loss_ce = eval,
                                                   .accuracy = 0.3,
                                                   .perplexity = exp(eval),
                                                   .tokens = 1000},
                            err));
    if (fixture_d_routes(run)) moe_try(fixture_d_routing(w, RUN_ROUTING_EVAL, run, step, err));
out:
    return status;
}

static inline moe_status fixture_d_rows(struct run_writer *w, const void *run, moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t step = 1; step <= FIXTURE_D_STEPS; step++)
        moe_try(fixture_d_step(w, run, step, err));
out:
    return status;
}

/* Writes and seals one run. */
static inline moe_status fixture_d_write(const struct fixture_d_run *run, moe_err *err) {
    char path[1024];
    char counts[128];
    const bool routes = fixture_d_routes(run);
    fixture_d_path(run, path, sizeof path);
    snprintf(counts, sizeof counts, "{\"active\":%d,\"data\":[],\"parts\":{},\"total\":%d}",
             1000 + (int)run->experiment, 2000 + (int)run->experiment);
    static const char *const domains[] = {"all"};
    static const int32_t layers[] = {0, 1};
    const struct run_fact facts[] = {{"host", "test"}};
    const struct run_begin begin = {
        .path = path,
        .identity = {SOURCE_D_SUITE, "D", source_d_experiments[run->experiment],
                     source_d_protocols[run->protocol], "desk", run->seed},
        .axes = {routes ? FIXTURE_D_LAYERS : 0, routes ? FIXTURE_D_EXPERTS : 0, 1, 1},
        .domain_names = domains,
        .moe_layer_numbers = layers,
        .config_json = "{\"data\":{\"source\":\"text\"}}",
        .config_toml = "",
        .counts_json = counts,
        .facts = facts,
        .fact_count = 1};
    return fixture_seal_run(&begin, fixture_d_rows, run, "completed", err);
}

static inline bool fixture_d_exists(enum source_d_experiment experiment, enum source_d_protocol protocol) {
    if (experiment == D_LLAMA) return protocol == D_AS_PUBLISHED;
    return experiment < D_A2_TEXT || protocol == D_CORRECTED;
}

/* All experiments under the protocols that they have, `seeds` seeds from 0 on, below root. */
static inline moe_status fixture_d_write_suite(const char *root, int32_t seeds, double shift, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < D_EXPERIMENTS; e++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            for (int32_t s = 0; s < seeds; s++)
                if (fixture_d_exists((enum source_d_experiment)e, (enum source_d_protocol)p))
                    moe_try(fixture_d_write(&(struct fixture_d_run){root, (enum source_d_experiment)e,
                                                                    (enum source_d_protocol)p, (uint64_t)s,
                                                                    shift},
                                            err));
out:
    return status;
}

#endif
