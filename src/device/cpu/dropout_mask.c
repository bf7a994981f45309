#include "device/cpu/dropout_mask.h"

#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "core/rng.h"

/* One block of Philox gives eight 16-bit words, hence eight factors. */
enum { WORDS_PER_BLOCK = 8, GROUP_BLOCKS = 4, GROUPS = 2, BATCH = WORDS_PER_BLOCK * GROUP_BLOCKS * GROUPS };

#ifdef __AVX2__

/* Philox4x32-10 (Salmon et al. 2011) on four blocks a vector, each 32-bit word in the low half of a 64-bit
 * lane: the widening multiply reads only that half, so the halves that hold leftovers of products need no
 * masking. */
struct philox_state {
    __m256i c0, c1, c2, c3;
};

static inline struct philox_state philox_begin(uint64_t first_block, struct rng_key key) {
    const __m256i block =
        _mm256_add_epi64(_mm256_set1_epi64x((long long)first_block), _mm256_set_epi64x(3, 2, 1, 0));
    return (struct philox_state){
        .c0 = block,
        .c1 = _mm256_srli_epi64(block, 32),
        .c2 = _mm256_set1_epi64x((long long)key.stream),
        .c3 = _mm256_set1_epi64x((long long)key.step),
    };
}

static inline struct philox_state philox_round(struct philox_state s, __m256i k0, __m256i k1) {
    const __m256i p0 = _mm256_mul_epu32(s.c0, _mm256_set1_epi64x(0xD2511F53));
    const __m256i p1 = _mm256_mul_epu32(s.c2, _mm256_set1_epi64x(0xCD9E8D57));
    return (struct philox_state){
        .c0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(s.c1, k0)),
        .c1 = p1,
        .c2 = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(s.c3, k1)),
        .c3 = p0,
    };
}

/* Eight words of one block to eight factors: scale where word > below, else 0. */
static inline void store_block(float *factor, __m128i words, __m256i below, __m256 scale) {
    const __m256i kept = _mm256_cmpgt_epi32(_mm256_cvtepu16_epi32(words), below);
    _mm256_storeu_ps(factor, _mm256_and_ps(_mm256_castsi256_ps(kept), scale));
}

static inline void store_group(float *factor, struct philox_state s, __m256i below, __m256 scale) {
    const __m256i low = _mm256_blend_epi32(s.c0, _mm256_slli_epi64(s.c1, 32), 0xAA);
    const __m256i high = _mm256_blend_epi32(s.c2, _mm256_slli_epi64(s.c3, 32), 0xAA);
    const __m256i blocks02 = _mm256_unpacklo_epi64(low, high);
    const __m256i blocks13 = _mm256_unpackhi_epi64(low, high);
    store_block(factor, _mm256_castsi256_si128(blocks02), below, scale);
    store_block(factor + WORDS_PER_BLOCK, _mm256_castsi256_si128(blocks13), below, scale);
    store_block(factor + 2 * WORDS_PER_BLOCK, _mm256_extracti128_si256(blocks02, 1), below, scale);
    store_block(factor + 3 * WORDS_PER_BLOCK, _mm256_extracti128_si256(blocks13, 1), below, scale);
}

/* Factors of the BATCH elements that begin with block first_block. */
static inline void factor_batch(float *factor, uint64_t first_block, struct dropout drop, float scale) {
    const __m256i below = _mm256_set1_epi32((int)drop.threshold - 1);
    const __m256 scales = _mm256_set1_ps(scale);
    struct philox_state s[GROUPS];
    uint32_t k0 = (uint32_t)drop.key.seed, k1 = (uint32_t)(drop.key.seed >> 32);
    for (int g = 0; g < GROUPS; g++)
        s[g] = philox_begin(first_block + (uint64_t)(g * GROUP_BLOCKS), drop.key);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const __m256i key0 = _mm256_set1_epi64x((long long)k0), key1 = _mm256_set1_epi64x((long long)k1);
#pragma GCC unroll 8
        for (int g = 0; g < GROUPS; g++)
            s[g] = philox_round(s[g], key0, key1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 8
    for (int g = 0; g < GROUPS; g++)
        store_group(factor + g * GROUP_BLOCKS * WORDS_PER_BLOCK, s[g], below, scales);
}

#else

static inline void factor_batch(float *factor, uint64_t first_block, struct dropout drop, float scale) {
    for (int i = 0; i < GROUPS * GROUP_BLOCKS; i++) {
        const struct rng_block b = rng_block_at(drop.key, first_block + (uint64_t)i);
        for (int w = 0; w < WORDS_PER_BLOCK; w++) {
            const uint32_t word = (b.v[w / 2] >> (16 * (w % 2))) & 0xffffu;
            factor[i * WORDS_PER_BLOCK + w] = word >= drop.threshold ? scale : 0.0f;
        }
    }
}

#endif

void cpu_dropout_factors(float *factor, uint64_t first_index, int64_t n, struct dropout drop) {
    if (drop.threshold == 0) {
        for (int64_t i = 0; i < n; i++)
            factor[i] = 1.0f;
        return;
    }
    const float scale = dropout_scale(drop);
    uint64_t block = first_index / WORDS_PER_BLOCK;
    int64_t skip = (int64_t)(first_index % WORDS_PER_BLOCK);
    for (int64_t done = 0; done < n; block += BATCH / WORDS_PER_BLOCK) {
        const int64_t take = n - done < BATCH - skip ? n - done : BATCH - skip;
        if (take == BATCH) {
            factor_batch(factor + done, block, drop, scale);
        } else {
            float edge[BATCH];
            factor_batch(edge, block, drop, scale);
            memcpy(factor + done, edge + skip, (size_t)take * sizeof(float));
        }
        done += take;
        skip = 0;
    }
}
