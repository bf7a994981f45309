/* fixture_record.h - what synthetic runs share: their folder, their file from begin to seal, and rows of
 * routing whose loads alone matter. */
#ifndef TEST_FIXTURE_RECORD_H
#define TEST_FIXTURE_RECORD_H

#include <stdio.h>
#include <stdlib.h>

#include "fixture_remove.h"
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

/* Writes the rows of a run. */
typedef moe_status fixture_rows(struct run_writer *w, const void *run, moe_err *err);

/* Begins a run, has its rows written, and seals it. Such runs need not survive a power cut, and would wait
 * for the disk most of the time. */
static inline moe_status fixture_seal_run(const struct run_begin *begin, fixture_rows *rows, const void *run,
                                          const char *outcome, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_writer *w = NULL;
    setenv("MOE_NO_FSYNC", "1", 1);
    moe_try(run_writer_begin(begin, &w, err));
    moe_try(rows(w, run, err));
    moe_try(run_writer_commit(w, err));
    struct run_writer *sealed = w;
    w = NULL;
    moe_try(run_writer_seal(sealed, outcome, NULL, 0, NULL, err));
out:
    run_writer_close(w);
    return status;
}

/* What the set-up of a test returns: 0, or -1 with a word on why its runs could not be written. */
static inline int fixture_result(moe_status status, const moe_err *err) {
    if (status != MOE_OK) fprintf(stderr, "%s\n", err->message);
    return status == MOE_OK ? 0 : -1;
}

#endif
