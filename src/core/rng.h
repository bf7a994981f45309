/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, through Random123).
 *
 * A number is a pure function of (seed, stream, step, index). There is no state to save, so resuming, the
 * number of threads and the order of work cannot change it.
 */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include <math.h>
#include <stdint.h>

#include <Random123/philox.h>

#include "core/rng_key.h"

struct rng_block {
    uint32_t v[4];
};

/* Block number `index` of a key: four independent uniform 32-bit words. */
static inline struct rng_block rng_block_at(struct rng_key key, uint64_t index) {
    const philox4x32_ctr_t ctr = {{(uint32_t)index, (uint32_t)(index >> 32), key.stream, key.step}};
    const philox4x32_key_t k = {{(uint32_t)key.seed, (uint32_t)(key.seed >> 32)}};
    const philox4x32_ctr_t r = philox4x32(ctr, k);
    return (struct rng_block){{r.v[0], r.v[1], r.v[2], r.v[3]}};
}

/* Word number `index` of a key. */
static inline uint32_t rng_u32(struct rng_key key, uint64_t index) {
    return rng_block_at(key, index / 4).v[index % 4];
}

/* Uniform in [0, 1) with 24 random bits; exact in float. */
static inline float rng_uniform(struct rng_key key, uint64_t index) {
    return (float)(rng_u32(key, index) >> 8) * 0x1p-24f;
}

/* Uniform in [0, 1) with 53 random bits. */
static inline double rng_uniform_double(struct rng_key key, uint64_t index) {
    const struct rng_block b = rng_block_at(key, index);
    return (double)((((uint64_t)b.v[0] << 32) | b.v[1]) >> 11) * 0x1p-53;
}

/* Uniform integer in [0, n), n > 0, without bias worth the name (64-bit multiply-high; error < n / 2^64). */
static inline uint64_t rng_below(struct rng_key key, uint64_t index, uint64_t n) {
    const struct rng_block b = rng_block_at(key, index);
    const uint64_t x = ((uint64_t)b.v[0] << 32) | b.v[1];
    return (uint64_t)(((unsigned __int128)x * n) >> 64);
}

#endif
