/* fixture_runs_c.h - synthetic run files of the suite slicing, written through record/writer.h.
 *
 * Losses follow a formula that a test can repeat: a parabola in the logarithm of g whose minimum is at
 * FIXTURE_C_BEST, less with every doubling of s.
 */
#ifndef TEST_FIXTURE_RUNS_C_H
#define TEST_FIXTURE_RUNS_C_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/slicing.h"
#include "fixture_record.h"
#include "record/writer.h"

#define FIXTURE_C_BEST    (-2.5)
#define FIXTURE_C_STEPS   60
#define FIXTURE_C_LAYERS  2
#define FIXTURE_C_EXPERTS 4 /* of the routing that is recorded, whatever the configuration says */

struct fixture_c_run {
    const char *root;
    int32_t protocol, width;
    bool dense;
    double g, g2, s, generalist, capacity, alpha, gamma;
    double rate; /* 0 = the usual one */
    int64_t tokens_per_step;
    uint64_t seed;
};

static inline double fixture_c_loss(const struct fixture_c_run *r) {
    const double noise = 0.004 * ((double)r->seed - 1.5), x = log2(r->g) - FIXTURE_C_BEST;
    const double size = 6.0 - (r->width > 48 ? 0.2 : 0.0) - (r->protocol == 1 ? 0.3 : 0.0) -
                        0.0001 * (double)r->tokens_per_step;
    if (r->dense) return size + noise;
    return size - 0.02 - 0.03 * log2(r->s) + 0.01 * x * x + noise + (r->generalist > 0 ? 0.02 : 0.0) -
           (r->capacity == 0 ? 0.01 : 0.0) + (r->gamma > 0 ? 0.005 : 0.0) + (r->rate > 0 ? 0.5 : 0.0);
}

static inline void fixture_c_name(const struct fixture_c_run *r, char *out, size_t size) {
    if (r->dense)
        snprintf(out, size, "dense@w=%d,t=%d,lr=%g", r->width, (int)r->tokens_per_step, r->rate);
    else
        snprintf(out, size, "moe@w=%d,g=%g,h=%g,s=%g,x=%g,c=%g,a=%g,b=%g,t=%d,lr=%g", r->width, r->g, r->g2,
                 r->s, r->generalist, r->capacity, r->alpha, r->gamma, (int)r->tokens_per_step, r->rate);
}

static inline void fixture_c_config(const struct fixture_c_run *r, char *out, size_t size) {
    const int width = 4 * r->width, groups = r->g2 > 0 ? 2 : 1;
    int used = snprintf(out, size,
                        "{\"model\":{\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":2,"
                        "\"num_attention_heads\":3,\"vocab_size\":512},",
                        r->width, width);
    used += snprintf(out + used, size - (size_t)used,
                     "\"train\":{\"lr\":%.17g,\"warmup_steps\":0,\"warmup_ratio\":0.02},\"moe\":{",
                     r->rate > 0 ? r->rate : 0.004);
    if (r->dense) {
        snprintf(out + used, size - (size_t)used, "\"layers\":[]}}");
        return;
    }
    used += snprintf(
        out + used, size - (size_t)used,
        "\"layers\":[0,1],\"num_experts\":%.0f,\"intermediate_size\":%.0f,\"granularity\":%.17g,"
        "\"capacity_factor\":%.17g,\"drop_policy\":\"position\",\"lb_coeff\":%.17g,\"lb_gamma\":%.17g",
        r->s / r->g / groups, r->g * width, r->g, r->capacity, r->alpha, r->gamma);
    if (r->g2 > 0)
        used += snprintf(out + used, size - (size_t)used,
                         ",\"num_experts_2\":%.0f,\"granularity_2\":%.17g,\"intermediate_size_2\":%.0f",
                         r->s / r->g2 / groups, r->g2, r->g2 * width);
    if (r->generalist > 0)
        used += snprintf(out + used, size - (size_t)used, ",\"generalist_granularity\":%.17g", r->generalist);
    snprintf(out + used, size - (size_t)used, "}}");
}

static inline moe_status fixture_c_routing(struct run_writer *w, enum run_series series, int64_t step,
                                           moe_err *err) {
    enum { CELLS = FIXTURE_C_LAYERS * FIXTURE_C_EXPERTS };
    const int32_t load[CELLS] = {20, 10, 5, 5, 10, 10, 10, 10}; /* largest over mean: 2 and 1 */
    const int32_t dropped[CELLS] = {0};
    const float zero[CELLS] = {0};
    const int64_t updates[CELLS] = {0};
    const uint16_t hist[CELLS] = {0};
    const float entropy[FIXTURE_C_LAYERS] = {1.0f, 1.0f};
    return run_writer_routing(w, series,
                              &(struct run_routing_row){.step = step,
                                                        .load = load,
                                                        .dropped_load = dropped,
                                                        .prob_mass = zero,
                                                        .bias = zero,
                                                        .expert_grad_norm = zero,
                                                        .expert_updates = updates,
                                                        .batch_hist = hist,
                                                        .entropy_token = entropy},
                              err);
}

static inline moe_status fixture_c_rows(struct run_writer *w, const void *run, moe_err *err) {
    moe_status status = MOE_OK;
    const struct fixture_c_run *r = run;
    const double loss = fixture_c_loss(r);
    for (int64_t step = 1; step <= FIXTURE_C_STEPS; step++) {
        moe_try(run_writer_train(
            w,
            &(struct run_train_row){.step = step,
                                    .tokens = step * r->tokens_per_step,
                                    /* the first ten steps are not of the last fifty */
                                    .loss_ce = loss + (step > 10 ? 0.1 : 100.0),
                                    .loss_aux = r->dense ? 0.0 : 1.5 * r->alpha * FIXTURE_C_LAYERS},
            err));
        if (!r->dense) moe_try(fixture_c_routing(w, RUN_ROUTING, step, err));
    }
    for (int64_t domain = 0; domain < 3; domain++) {
        const double ce = loss + 0.5 * (double)domain;
        moe_try(
            run_writer_eval(w,
                            &(struct run_eval_row){.step = FIXTURE_C_STEPS,
                                                   .domain = domain,
                                                   .loss = ce,
                                                   .loss_ce = ce,
                                                   .accuracy = domain == 2 ? 0.25 + 0.1 * (6.1 - loss) : 0.1,
                                                   .perplexity = exp(ce),
                                                   .tokens = 100},
                            err));
    }
    if (!r->dense) moe_try(fixture_c_routing(w, RUN_ROUTING_EVAL, FIXTURE_C_STEPS, err));
out:
    return status;
}

/* Writes and seals one run. */
static inline moe_status fixture_c_write(const struct fixture_c_run *r, moe_err *err) {
    char path[1024], name[192], config[1024];
    fixture_c_name(r, name, sizeof name);
    fixture_c_config(r, config, sizeof config);
    snprintf(path, sizeof path, "%s/slicing/%s.%s.s%llu.h5", r->root, name, slicing_protocols[r->protocol],
             (unsigned long long)r->seed);
    static const char *const domains[] = {"all", "sea", "endings"};
    static const int32_t layers[] = {0, 1};
    const struct run_fact facts[] = {{"host", "test"}};
    const struct run_begin begin = {
        .path = path,
        .identity = {SLICING_SUITE, "C", name, slicing_protocols[r->protocol], "desk", r->seed},
        .axes = {r->dense ? 0 : FIXTURE_C_LAYERS, r->dense ? 0 : FIXTURE_C_EXPERTS, 3, 1},
        .domain_names = domains,
        .moe_layer_numbers = layers,
        .config_json = config,
        .config_toml = "",
        .counts_json = "{\"active\":10000000,\"data\":[],\"parts\":{},\"total\":20000000}",
        .facts = facts,
        .fact_count = 1};
    return fixture_seal_run(&begin, fixture_c_rows, r, "completed", err);
}

/* A grid of both protocols and `seeds` seeds from 1 on, with some runs off the usual settings. */
static inline moe_status fixture_c_write_suite(const char *root, int32_t seeds, moe_err *err) {
    static const double gs[] = {0.0625, 0.125, 0.25, 0.5, 1.0}, ss[] = {1, 4, 16};
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < 2 * seeds; i++) {
        const struct fixture_c_run usual = {.root = root,
                                            .protocol = i % 2,
                                            .width = 48,
                                            .g = 1,
                                            .s = 1,
                                            .capacity = 1.2,
                                            .alpha = 0.01,
                                            .tokens_per_step = 1000,
                                            .seed = 1 + (uint64_t)i / 2};
        struct fixture_c_run r = usual;
        r.dense = true;
        moe_try(fixture_c_write(&r, err));
        r.tokens_per_step = 4000;
        moe_try(fixture_c_write(&r, err));
        r.tokens_per_step = 1000;
        r.rate = 0.0004;
        moe_try(fixture_c_write(&r, err));
        r.dense = false;
        r.g = 0.25;
        r.s = 4;
        moe_try(fixture_c_write(&r, err));
        for (int32_t j = 0; j < 5 * 3; j++) {
            r = usual;
            r.g = gs[j % 5];
            r.s = ss[j / 5];
            moe_try(fixture_c_write(&r, err));
        }
        for (int32_t j = 0; j < 3; j++) {
            r = usual;
            r.g = gs[1 + j];
            r.s = 4;
            r.capacity = 0;
            moe_try(fixture_c_write(&r, err));
            r.capacity = 1.2;
            r.gamma = 0.001;
            moe_try(fixture_c_write(&r, err));
            r.alpha = 0.0001;
            moe_try(fixture_c_write(&r, err));
            r.gamma = 0;
            moe_try(fixture_c_write(&r, err));
            r.alpha = 0.01;
            r.tokens_per_step = 4000;
            moe_try(fixture_c_write(&r, err));
            r.tokens_per_step = 1000;
            r.generalist = 0.5;
            moe_try(fixture_c_write(&r, err));
            r.generalist = 0;
            r.g = 0.5;
            r.g2 = 0.125;
            r.s = ss[j];
            if (j > 0) moe_try(fixture_c_write(&r, err));
        }
    }
out:
    return status;
}

#endif
