/* rng_key.h - what names a sequence of random numbers; rng.h draws them. Apart from rng.h so that code for
 * other processors than the host's can name them too. */
#ifndef CORE_RNG_KEY_H
#define CORE_RNG_KEY_H

#include <stdint.h>

/* Streams: what a number is for. Dropout sites use RNG_DROPOUT + site, site < 2^16. */
enum rng_stream {
    RNG_INIT = 1,           /* parameters; step = index of the parameter tensor */
    RNG_SHUFFLE = 2,        /* order of training sequences; step = epoch */
    RNG_DATA = 3,           /* generated corpora; step = split */
    RNG_EXPERT_DROPOUT = 4, /* which experts sit out; step = training step */
    RNG_ROUTER_NOISE = 5,   /* noisy gating; step = training step */
    RNG_SAMPLE = 6,         /* text generation; step = token */
    RNG_BOOTSTRAP = 7,      /* resampling in the analysis */
    RNG_TEST = 8,
    RNG_DROPOUT = 0x10000
};

struct rng_key {
    uint64_t seed;
    uint32_t stream;
    uint32_t step;
};

#endif
