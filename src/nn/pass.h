/* pass.h - what one forward (and backward) pass over a micro-batch is about, and the memory that layers
 * share.
 *
 * Every layer has the same five functions, side by side in its file:
 *   X_declare   parameters into the registry, no memory
 *   X_plan      takes its saved activations from one arena and its gradient scratch from another; called once
 * to measure and once for real, so nothing is allocated later X_forward   y from x; keeps what backward needs
 *   X_backward  dx from dy; parameter gradients accumulate
 */
#ifndef NN_PASS_H
#define NN_PASS_H

#include "core/arena.h"
#include "device/backend.h"
#include "nn/params.h"

struct nn_pass {
    struct device *dev;
    const struct params *params;
    int64_t batch, seq, rows; /* rows = batch * seq */
    bool training;            /* dropout, capacity and expert dropout act only then */
    uint64_t seed;
    uint32_t step;  /* key of this step's random numbers */
    uint32_t micro; /* micro-batch within the step */
};

/* Largest sizes that the memory plan provides for. */
struct nn_limits {
    int64_t max_batch, max_seq;
};

struct nn_memory {
    struct arena kept;    /* activations that backward reads */
    struct arena scratch; /* reused from layer to layer through mark and rewind */
    size_t act_size;
};

static inline act_t *nn_kept(struct nn_memory *memory, int64_t elements) {
    return arena_take(&memory->kept, (size_t)elements, memory->act_size);
}

static inline act_t *nn_scratch(struct nn_memory *memory, int64_t elements) {
    return arena_take(&memory->scratch, (size_t)elements, memory->act_size);
}

/* Element `at` of an array of activations. */
static inline act_t *nn_at(const struct nn_pass *pass, act_t *x, int64_t at) {
    return (char *)x + (size_t)at * pass->dev->ops->act_size;
}

/* Dropout of one site in this pass; sites are numbered layer * 8 + place. */
enum nn_place {
    PLACE_ATTENTION = 0,
    PLACE_AFTER_ATTENTION = 1,
    PLACE_FFN = 2,
    PLACE_AFTER_FFN = 3,
    PLACE_SHARED = 4
};
#define NN_SITES_PER_PASS 4096u /* more than 8 * layers; site NN_SITES_PER_PASS - 1 is the embedding's */

static inline struct dropout nn_dropout(const struct nn_pass *pass, float p, uint32_t site) {
    return dropout_make(pass->training ? p : 0.0f, pass->seed, pass->micro * NN_SITES_PER_PASS + site,
                        pass->step);
}

#endif
