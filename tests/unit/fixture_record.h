/* fixture_record.h - what synthetic runs share: rows of routing whose loads alone matter, and their end. */
#ifndef TEST_FIXTURE_RECORD_H
#define TEST_FIXTURE_RECORD_H

#include "record/writer.h"

#define FIXTURE_MAX_CELLS 64

/* load and dropped (NULL = none) [layers, experts]; one bin. The entropies of tokens are 1, 1/2, 1/4, ... */
static inline moe_status fixture_routing_row(struct run_writer *w, enum run_series series, int64_t step,
                                             int32_t layers, int32_t experts, const int32_t *load,
                                             const int32_t *dropped, moe_err *err) {
    static const int32_t none[FIXTURE_MAX_CELLS];
    static const float zero[FIXTURE_MAX_CELLS];
    static const uint16_t hist[FIXTURE_MAX_CELLS];
    int64_t updates[FIXTURE_MAX_CELLS];
    float entropy[FIXTURE_MAX_CELLS], mass[FIXTURE_MAX_CELLS];
    moe_status status = MOE_OK;
    moe_check(layers * experts <= FIXTURE_MAX_CELLS, err, MOE_EARG, "%d x %d are too many", layers, experts);
    for (int32_t c = 0; c < layers * experts; c++) {
        updates[c] = step;
        /* what is chosen often weighs more, too */
        mass[c] = load[c] > 0 ? (float)(load[c] * load[c]) : 0.0f;
    }
    for (int32_t l = 0; l < layers; l++)
        entropy[l] = 1.0f / (float)(1 << l);
    moe_try(run_writer_routing(w, series,
                               &(struct run_routing_row){.step = step,
                                                         .load = load,
                                                         .dropped_load = dropped != NULL ? dropped : none,
                                                         .prob_mass = mass,
                                                         .bias = zero,
                                                         .expert_grad_norm = zero,
                                                         .expert_updates = updates,
                                                         .batch_hist = hist,
                                                         .entropy_token = entropy},
                               err));
out:
    return status;
}

/* Commits and seals a run; *w is NULL after. */
static inline moe_status fixture_seal(struct run_writer **w, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_writer *sealed = *w;
    moe_try(run_writer_commit(*w, err));
    *w = NULL;
    moe_try(run_writer_seal(sealed, "completed", NULL, 0, NULL, err));
out:
    return status;
}

#endif
