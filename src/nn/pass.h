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

/* Keys and values of the positions that a sequence already has, for passes that go on with it. */
struct kv_cache {
    int64_t capacity, length; /* positions: room, and held */
    int64_t width;            /* kv_heads * head_dim */
    act_t *keys, *values;     /* [layers, batch, capacity, width] */
};

struct nn_pass {
    struct device *dev;
    const struct params *params;
    int64_t batch, seq, rows; /* rows = batch * seq */
    bool training;            /* dropout, capacity and expert dropout act only then */
    uint64_t seed;
    uint32_t step;  /* key of this step's random numbers */
    uint32_t micro; /* micro-batch within the step */
    /* NULL: rows are sequences from their first position on. Else they go on where the cache ends; layers add
     * to it but leave its length. Forward only. */
    const struct kv_cache *cache;
};

/* Largest sizes that the memory plan provides for. */
struct nn_limits {
    int64_t max_batch, max_seq;
};

struct nn_memory {
    struct arena kept;    /* activations that backward reads */
    struct arena scratch; /* reused from layer to layer through mark and rewind */
    size_t act_size;
    bool grouped_source; /* of the backend: rows are not moved into expert order */
};

static inline act_t *nn_kept(struct nn_memory *memory, int64_t elements) {
    return arena_take(&memory->kept, (size_t)elements, memory->act_size);
}

static inline act_t *nn_scratch(struct nn_memory *memory, int64_t elements) {
    return arena_take(&memory->scratch, (size_t)elements, memory->act_size);
}

/* Rows for a grouped product: those that gather() has moved, or, without such memory, all of them where they
 * stand and the places of those that experts take. */
struct nn_rows {
    const act_t *x;
    const int32_t *source;
};

static inline struct nn_rows nn_rows_of(const act_t *x_sorted, const act_t *x, const int32_t *source) {
    return x_sorted != NULL ? (struct nn_rows){x_sorted, NULL} : (struct nn_rows){x, source};
}

/* Element `at` of an array of activations. */
static inline act_t *nn_at(const struct nn_pass *pass, act_t *x, int64_t at) {
    return (char *)x + (size_t)at * pass->dev->ops->act_size;
}

/* n activations to the host, as float; waits for them. */
void nn_download(const struct nn_pass *pass, float *host, const act_t *x, int64_t n);

/* Position of each sequence's first row. */
static inline int64_t nn_first_position(const struct nn_pass *pass) {
    return pass->cache != NULL ? pass->cache->length : 0;
}

/* Dropout of one site in this pass; sites are numbered layer * 8 + place. */
enum nn_place {
    PLACE_ATTENTION = 0,
    PLACE_AFTER_ATTENTION = 1,
    PLACE_FFN = 2,
    PLACE_AFTER_FFN = 3,
    PLACE_SHARED = 4,
    PLACE_AFTER_MOE = 5, /* of experts beside attention */
    PLACE_FFN_2 = 6      /* of the second group of experts */
};
#define NN_SITES_PER_PASS 4096u /* more than 8 * layers; site NN_SITES_PER_PASS - 1 is the embedding's */

static inline struct dropout nn_dropout(const struct nn_pass *pass, float p, uint32_t site) {
    return dropout_make(pass->training ? p : 0.0f, pass->seed, pass->micro * NN_SITES_PER_PASS + site,
                        pass->step);
}

#endif
