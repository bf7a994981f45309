/* fixture_runs.h - synthetic run files of the suite moe-vs-dense, written through record/writer.h.
 *
 * Their numbers are made up but follow formulas that a test can repeat; they have the shapes of real runs. */
#ifndef TEST_FIXTURE_RUNS_H
#define TEST_FIXTURE_RUNS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/rng.h"
#include "fixture_record.h"
#include "record/writer.h"

#define FIXTURE_EXPERIMENTS     5
#define FIXTURE_EXPERTS         8
#define FIXTURE_BINS            4
#define FIXTURE_STEPS_PER_EPOCH 4

static const char *const fixture_experiments[FIXTURE_EXPERIMENTS] = {"dense", "baseline", "top2",
                                                                     "strong_reg", "throughput_opt"};

struct fixture_run {
    const char *root, *tier;
    int32_t experiment; /* index into fixture_experiments */
    const char *protocol;
    uint64_t seed;
    int32_t epochs; /* 0 = 4 + seed % 3 */
};

/* A number in [-1, 1) that depends on the run. */
static inline double fixture_noise(const struct fixture_run *run, uint32_t what, uint64_t index) {
    const struct rng_key key = {
        run->seed * 16 + (uint64_t)run->experiment + (run->protocol[0] == 'c' ? 1000 : 0), RNG_TEST, what};
    return 2.0 * rng_uniform_double(key, index) - 1.0;
}

static inline int32_t fixture_epochs(const struct fixture_run *run) {
    return run->epochs > 0 ? run->epochs : 4 + (int32_t)(run->seed % 3);
}

/* Validation cross-entropy after epoch e (0-based): lowest at e = 1. */
static inline double fixture_eval_ce(const struct fixture_run *run, int32_t e) {
    const double base = run->protocol[0] == 'c' ? 6.2 : 9.366;
    return base + 0.003 * run->experiment * (run->experiment % 2 ? -1.0 : 1.0) + 0.001 * (e - 1) * (e - 1) +
           0.0008 * fixture_noise(run, 1, 0) + 0.0002 * fixture_noise(run, 1, 1 + (uint64_t)e);
}

static inline double fixture_eval_aux(const struct fixture_run *run) {
    return run->experiment == 0 ? 0.0 : 0.0201;
}

/* Load of an expert in evaluation e; sums to anything. */
static inline int32_t fixture_load(const struct fixture_run *run, int32_t e, int32_t layer, int32_t expert) {
    return 1200 + (int32_t)(160.0 * fixture_noise(run, 10 + (uint32_t)layer, (uint64_t)expert)) +
           3 * e * (expert % 3);
}

static inline void fixture_path(const struct fixture_run *run, char *path, size_t size) {
    snprintf(path, size, "%s/moe-vs-dense/%s.%s.s%llu.h5", run->root, fixture_experiments[run->experiment],
             run->protocol, (unsigned long long)run->seed);
}

static inline moe_status fixture_step(struct run_writer *w, const struct fixture_run *run, int32_t e,
                                      int32_t i, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t step = (int64_t)e * FIXTURE_STEPS_PER_EPOCH + i + 1;
    const double ce =
        fixture_eval_ce(run, 0) + 0.1 - 0.03 * e - 0.005 * i + 0.002 * fixture_noise(run, 2, (uint64_t)step);
    const double aux = fixture_eval_aux(run);
    moe_try(run_writer_train(w,
                             &(struct run_train_row){.step = step,
                                                     .epoch = e,
                                                     .tokens = 4096 * step,
                                                     .loss = ce + aux,
                                                     .loss_ce = ce,
                                                     .loss_aux = aux,
                                                     .lr = 3e-4,
                                                     .grad_norm = 1.0,
                                                     .temperature = 1.0},
                             err));
    const double slow = 1.0 + 0.1 * run->experiment + 0.02 * fixture_noise(run, 3, (uint64_t)step);
    moe_try(run_writer_timing(w,
                              &(struct run_timing_row){.step = step,
                                                       .forward = 0.4 * slow,
                                                       .backward = 0.8 * slow,
                                                       .optimizer = 0.05,
                                                       .data = 0.001,
                                                       .step_seconds = 1.2 * slow + 0.06,
                                                       .tokens_per_second = 4096.0 / (1.2 * slow + 0.06)},
                              err));
out:
    return status;
}

static inline moe_status fixture_routing(struct run_writer *w, enum run_series series,
                                         const struct fixture_run *run, int32_t e, int64_t step,
                                         moe_err *err) {
    enum { CELLS = 2 * FIXTURE_EXPERTS };
    int32_t load[CELLS], dropped[CELLS] = {0};
    float mass[CELLS], bias[CELLS] = {0}, grad[CELLS];
    int64_t updates[CELLS];
    uint16_t hist[CELLS * FIXTURE_BINS] = {0};
    float entropy[2];
    for (int32_t c = 0; c < CELLS; c++) {
        load[c] = fixture_load(run, e, c / FIXTURE_EXPERTS, c % FIXTURE_EXPERTS);
        mass[c] = 1.0f / FIXTURE_EXPERTS;
        grad[c] = 0.1f;
        updates[c] = step;
    }
    for (int32_t l = 0; l < 2; l++)
        entropy[l] = (float)(1.9 - 0.1 * e - 0.05 * l + 0.02 * fixture_noise(run, 4, (uint64_t)(2 * e + l)));
    return run_writer_routing(w, series,
                              &(struct run_routing_row){.step = step,
                                                        .load = load,
                                                        .dropped_load = dropped,
                                                        .prob_mass = mass,
                                                        .bias = bias,
                                                        .expert_grad_norm = grad,
                                                        .expert_updates = updates,
                                                        .batch_hist = hist,
                                                        .entropy_token = entropy},
                              err);
}

static inline moe_status fixture_epoch(struct run_writer *w, const struct fixture_run *run, int32_t e,
                                       moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < FIXTURE_STEPS_PER_EPOCH; i++) {
        moe_try(fixture_step(w, run, e, i, err));
        const int64_t step = (int64_t)e * FIXTURE_STEPS_PER_EPOCH + i + 1;
        if (run->experiment > 0) moe_try(fixture_routing(w, RUN_ROUTING, run, e, step, err));
    }
    const int64_t step = (int64_t)(e + 1) * FIXTURE_STEPS_PER_EPOCH;
    const double ce = fixture_eval_ce(run, e);
    const double aux = run->protocol[0] == 'c' ? 0.0 : fixture_eval_aux(run);
    for (int64_t domain = 0; domain < 2; domain++)
        moe_try(run_writer_eval(w,
                                &(struct run_eval_row){.step = step,
                                                       .epoch = e,
                                                       .domain = domain,
                                                       .loss = ce + aux + (double)domain,
                                                       .loss_ce = ce + (double)domain,
                                                       .loss_aux = fixture_eval_aux(run),
                                                       .accuracy = 0.01,
                                                       .perplexity = exp(ce + (double)domain),
                                                       .tokens = 9984},
                                err));
    if (run->experiment > 0) moe_try(fixture_routing(w, RUN_ROUTING_EVAL, run, e, step, err));
    moe_try(run_writer_epoch(w,
                             &(struct run_epoch_row){.epoch = e,
                                                     .step = step,
                                                     .tokens = 4096 * FIXTURE_STEPS_PER_EPOCH,
                                                     .train_seconds = 5.0,
                                                     .eval_seconds = 0.5,
                                                     .peak_memory = 123456789},
                             err));
out:
    return status;
}

static inline moe_status fixture_epochs_of(struct run_writer *w, const void *run, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < fixture_epochs(run); e++)
        moe_try(fixture_epoch(w, run, e, err));
out:
    return status;
}

/* Writes and seals one run. */
static inline moe_status fixture_write(const struct fixture_run *run, moe_err *err) {
    char path[1024], config[1024], counts[256];
    const bool moe = run->experiment > 0;
    fixture_path(run, path, sizeof path);
    snprintf(
        config, sizeof config,
        "{\"data\":{\"seed\":1,\"sequence_length\":256,\"source\":\"%s\"},"
        "\"model\":{\"hidden_size\":256,\"intermediate_size\":1024,\"num_attention_heads\":8,"
        "\"num_hidden_layers\":6,\"vocab_size\":10000},"
        "\"moe\":{\"intermediate_size\":1024,\"lb_coeff\":0.01,\"num_active_experts\":%d,\"num_experts\":%d,"
        "\"temperature_end\":0.5,\"temperature_epochs\":5,\"temperature_start\":1.0},"
        "\"train\":{\"batch_size\":%d,\"label_smoothing\":0.0,\"lr\":3e-4,\"max_epochs\":20,\"patience\":3,"
        "\"seed\":%llu,"
        "\"weight_decay\":0.01}}",
        run->protocol[0] == 'c' ? "text" : "uniform", run->experiment == 2 ? 2 : 1, FIXTURE_EXPERTS,
        run->experiment == 4 ? 32 : 16, (unsigned long long)run->seed);
    snprintf(counts, sizeof counts,
             "{\"active\":9924608,\"data\":[],\"entropy_floor\":{\"all\":%s},\"parts\":{},\"total\":%d}",
             run->protocol[0] == 'c' ? "null" : "9.210340371976184", moe ? 17286656 : 9924608);
    static const char *const domains[] = {"all", "other"};
    static const int32_t layers[] = {2, 4};
    const struct run_fact facts[] = {{"host", "test"}, {"device", "cpu"}};
    const struct run_begin begin = {.path = path,
                                    .identity = {"moe-vs-dense", "A", fixture_experiments[run->experiment],
                                                 run->protocol, run->tier, run->seed},
                                    .axes = {moe ? 2 : 0, moe ? FIXTURE_EXPERTS : 0, 2, FIXTURE_BINS},
                                    .domain_names = domains,
                                    .moe_layer_numbers = layers,
                                    .config_json = config,
                                    .config_toml = "",
                                    .counts_json = counts,
                                    .facts = facts,
                                    .fact_count = 2};
    return fixture_seal_run(&begin, fixture_epochs_of, run, "early_stopped", err);
}

/* All experiments, both protocols, `seeds` seeds from 0 on, below root. */
static inline moe_status fixture_write_suite(const char *root, const char *tier, int32_t seeds,
                                             moe_err *err) {
    static const char *const protocols[] = {"as-published", "corrected"};
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < FIXTURE_EXPERIMENTS; e++)
        for (int32_t p = 0; p < 2; p++)
            for (int32_t s = 0; s < seeds; s++)
                moe_try(
                    fixture_write(&(struct fixture_run){root, tier, e, protocols[p], (uint64_t)s, 0}, err));
out:
    return status;
}

#endif
