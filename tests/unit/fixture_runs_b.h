/* fixture_runs_b.h - synthetic run files of the suite cifar-hierarchy, written through record/writer.h.
 *
 * Every number follows a formula that a test can repeat. Experiments are those of
 * analysis/figures/source_b.h.
 */
#ifndef TEST_FIXTURE_RUNS_B_H
#define TEST_FIXTURE_RUNS_B_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_b.h"
#include "core/file.h"
#include "fixture_record.h"
#include "record/writer.h"

/* Two epochs of four records; each record ends with an evaluation, and is of so many steps. */
#define FIXTURE_B_RECORDS 8
#define FIXTURE_B_STEPS   100
#define FIXTURE_B_EXPERTS 10
#define FIXTURE_B_GROUPS  5

struct fixture_b_run {
    const char *root;
    enum source_b_experiment experiment;
    enum source_b_protocol protocol;
    uint64_t seed;
    double
        shift; /* added to losses, and a tenth of it to accuracies, of B_FLAT; whole: to its largest load */
};

static inline double fixture_b_shift(const struct fixture_b_run *run) {
    return run->experiment == B_FLAT ? run->shift : 0.0;
}

/* Rows of the layer axis. */
static inline int32_t fixture_b_levels(const struct fixture_b_run *run) {
    if (run->experiment == B_DENSE_ACTIVE || run->experiment == B_DENSE_TOTAL) return 0;
    return strncmp(source_b_experiments[run->experiment], "flat", 4) == 0 ? 1 : 2;
}

/* Cross-entropy on test images; on training images 0.5 less. k-th record, from 1. */
static inline double fixture_b_ce(const struct fixture_b_run *run, int32_t k) {
    return 2.0 - 0.05 * k + 0.01 * run->experiment + 0.03 * (double)run->seed + 0.3 * run->protocol +
           fixture_b_shift(run);
}

/* Accuracy on test images; on training images 0.1 more. */
static inline double fixture_b_accuracy(const struct fixture_b_run *run, int32_t k) {
    return 0.2 + 0.02 * k + 0.01 * run->experiment + 0.005 * (double)run->seed + 0.1 * fixture_b_shift(run);
}

/* A multiple of what a record keeps of times. */
static inline double fixture_b_seconds(const struct fixture_b_run *run) {
    return (1.0 + run->experiment + (double)run->seed) / 64.0;
}

/* Of experts 12 but for the first, which has k more, and the last, which has k less; of groups twice that
 * many and the same differences. */
static inline int32_t fixture_b_load(const struct fixture_b_run *run, int32_t level, int32_t k,
                                     int32_t index) {
    const int32_t count = level == B_OF_GROUPS ? FIXTURE_B_GROUPS : FIXTURE_B_EXPERTS;
    const int32_t even = level == B_OF_GROUPS ? 24 : 12;
    if (index >= count) return -1;
    if (index == 0) return even + k + (int32_t)fixture_b_shift(run);
    return index == count - 1 ? even - k : even;
}

static inline void fixture_b_path(const struct fixture_b_run *run, char *path, size_t size) {
    snprintf(path, size, "%s/cifar-hierarchy/%s.%s.s%llu.h5", run->root,
             source_b_experiments[run->experiment], source_b_protocols[run->protocol],
             (unsigned long long)run->seed);
}

static inline moe_status fixture_b_routing(struct run_writer *w, enum run_series series,
                                           const struct fixture_b_run *run, int32_t k, moe_err *err) {
    int32_t load[2 * FIXTURE_B_EXPERTS];
    const int32_t levels = fixture_b_levels(run);
    for (int32_t c = 0; c < levels * FIXTURE_B_EXPERTS; c++)
        load[c] = fixture_b_load(run, c / FIXTURE_B_EXPERTS, k, c % FIXTURE_B_EXPERTS);
    return fixture_routing_row(w, series, (int64_t)k * FIXTURE_B_STEPS, levels, FIXTURE_B_EXPERTS, load, NULL,
                               err);
}

static inline moe_status fixture_b_eval(struct run_writer *w, const struct fixture_b_run *run, int32_t k,
                                        moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t domain = 0; domain < 2; domain++) {
        const double ce = fixture_b_ce(run, k) - 0.5 * (double)domain;
        moe_try(run_writer_eval(
            w,
            &(struct run_eval_row){.step = (int64_t)k * FIXTURE_B_STEPS,
                                   .epoch = (k - 1) / (FIXTURE_B_RECORDS / 2),
                                   .domain = domain,
                                   .loss = ce,
                                   .loss_ce = ce,
                                   .loss_aux = 0.04 - 0.001 * k,
                                   .accuracy = fixture_b_accuracy(run, k) + 0.1 * (double)domain,
                                   .perplexity = exp(ce),
                                   .tokens = 1000},
            err));
    }
    if (fixture_b_levels(run) > 0) moe_try(fixture_b_routing(w, RUN_ROUTING_EVAL, run, k, err));
out:
    return status;
}

static inline moe_status fixture_b_record(struct run_writer *w, const struct fixture_b_run *run, int32_t k,
                                          moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t step = (int64_t)k * FIXTURE_B_STEPS;
    const int64_t epoch = (k - 1) / (FIXTURE_B_RECORDS / 2);
    const double ce = fixture_b_ce(run, k) - 0.5;
    moe_try(run_writer_train(w,
                             &(struct run_train_row){.step = step,
                                                     .epoch = epoch,
                                                     .tokens = 32 * step,
                                                     .loss = ce + 0.04,
                                                     .loss_ce = ce,
                                                     .loss_aux = 0.04,
                                                     .lr = 1e-3,
                                                     .grad_norm = 1.0,
                                                     .temperature = 1.0},
                             err));
    moe_try(run_writer_timing(
        w, &(struct run_timing_row){.step = step, .step_seconds = fixture_b_seconds(run)}, err));
    if (fixture_b_levels(run) > 0) moe_try(fixture_b_routing(w, RUN_ROUTING, run, k, err));
    moe_try(fixture_b_eval(w, run, k, err));
    if (k % (FIXTURE_B_RECORDS / 2) == 0)
        moe_try(run_writer_epoch(w, &(struct run_epoch_row){.epoch = epoch, .step = step}, err));
out:
    return status;
}

static inline moe_status fixture_b_rows(struct run_writer *w, const void *run, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t k = 1; k <= FIXTURE_B_RECORDS; k++)
        moe_try(fixture_b_record(w, run, k, err));
out:
    return status;
}

/* Writes and seals one run. */
static inline moe_status fixture_b_write(const struct fixture_b_run *run, moe_err *err) {
    char path[1024];
    char counts[128];
    const int32_t levels = fixture_b_levels(run);
    fixture_b_path(run, path, sizeof path);
    snprintf(counts, sizeof counts, "{\"active\":%d,\"data\":[],\"parts\":{},\"total\":%d}",
             1000 + (int)run->experiment, 2000 + (int)run->experiment);
    static const char *const domains[] = {"all", "training batches"};
    static const int32_t numbers[] = {B_OF_EXPERTS, B_OF_GROUPS};
    const struct run_fact facts[] = {{"host", "test"}};
    const struct run_begin begin = {
        .path = path,
        .identity = {SOURCE_B_SUITE, "B", source_b_experiments[run->experiment],
                     source_b_protocols[run->protocol], "desk", run->seed},
        .axes = {levels, levels > 0 ? FIXTURE_B_EXPERTS : 0, 2, 1},
        .domain_names = domains,
        .moe_layer_numbers = numbers,
        .config_json = levels == 2 ? "{\"classifier\":{\"experts\":10,\"groups\":5,\"top_k\":2,"
                                     "\"top_k_groups\":2},\"train\":{\"batch_size\":32,\"max_epochs\":2}}"
                                   : "{\"classifier\":{\"experts\":10,\"top_k\":4},"
                                     "\"train\":{\"batch_size\":32,\"max_epochs\":2}}",
        .config_toml = "",
        .counts_json = counts,
        .facts = facts,
        .fact_count = 1,
        .record_steps = FIXTURE_B_STEPS};
    return fixture_seal_run(&begin, fixture_b_rows, run, "completed", err);
}

static inline bool fixture_b_exists(enum source_b_experiment experiment, enum source_b_protocol protocol) {
    if (experiment < B_FLAT_10EP) return true;
    return (experiment < B_FLAT_X0) == (protocol == B_AS_PUBLISHED);
}

/* The experiments [first, end) under the protocols that they have, `seeds` seeds from 1 on, below root. */
static inline moe_status fixture_b_write_suite(const char *root, int32_t first, int32_t end, int32_t seeds,
                                               double shift, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = first; e < end; e++)
        for (int32_t p = 0; p < B_PROTOCOLS; p++)
            for (int32_t s = 1; s <= seeds; s++)
                if (fixture_b_exists((enum source_b_experiment)e, (enum source_b_protocol)p))
                    moe_try(fixture_b_write(&(struct fixture_b_run){root, (enum source_b_experiment)e,
                                                                    (enum source_b_protocol)p, (uint64_t)s,
                                                                    shift},
                                            err));
out:
    return status;
}

#endif
