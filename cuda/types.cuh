/* types.cuh - reading and writing activations of either type as float, and the random numbers of dropout. */
#ifndef CUDA_TYPES_CUH
#define CUDA_TYPES_CUH

#include "cuda/platform.cuh"

static __device__ inline float act_load(const float *x, int64_t i) {
    return x[i];
}

static __device__ inline float act_load(const bf16 *x, int64_t i) {
    return __bfloat162float(x[i]);
}

static __device__ inline void act_store(float *x, int64_t i, float value) {
    x[i] = value;
}

/* Rounds to nearest, ties to even. */
static __device__ inline void act_store(bf16 *x, int64_t i, float value) {
    x[i] = __float2bfloat16(value);
}

/* x[i] = value, or += value with one rounding */
template <typename T> static __device__ inline void act_put(T *x, int64_t i, float value, bool accumulate) {
    act_store(x, i, accumulate ? act_load(x, i) + value : value);
}

/* Two neighbouring elements, which one instruction moves where every pair of a row is aligned. */
template <typename T> struct alignas(2 * sizeof(T)) act_pair { T v[2]; };

/* True if that is so for rows of `stride` elements from x on. */
template <typename T> static inline bool act_paired(const T *x, int64_t stride) {
    return reinterpret_cast<uintptr_t>(x) % sizeof(struct act_pair<T>) == 0 && stride % 2 == 0;
}

/* x [0 .. count - 1], count 1 or 2, zero behind */
static __device__ inline float2 act_load_pair(const float *x, int count, bool paired) {
    if (paired) return *reinterpret_cast<const float2 *>(x);
    return {x[0], count > 1 ? x[1] : 0.0f};
}

/* x [0 .. count - 1] = value, count 1 or 2 */
template <typename T>
static __device__ inline void act_store_pair(T *x, float2 value, int count, bool paired) {
    if (paired) {
        struct act_pair<T> pair;
        act_store(pair.v, 0, value.x);
        act_store(pair.v, 1, value.y);
        *reinterpret_cast<struct act_pair<T> *>(x) = pair;
        return;
    }
    act_store(x, 0, value.x);
    if (count > 1) act_store(x, 1, value.y);
}

/* Four random words: block `index` of a key, equal to rng_block_at() of core/rng.h (Philox4x32-10, Salmon et
 * al. 2011). */
struct philox_block {
    uint32_t v[4];
};

static __device__ inline struct philox_block philox_block_at(struct rng_key key, uint64_t index) {
    uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32);
    uint32_t c2 = key.stream, c3 = key.step;
    uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        const uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

/* Word `index` of a key, as rng_u32(). */
static __device__ inline uint32_t philox_u32(struct rng_key key, uint64_t index) {
    return philox_block_at(key, index / 4).v[index % 4];
}

/* Uniform in [0, 1), as rng_uniform(). */
static __device__ inline float philox_uniform(struct rng_key key, uint64_t index) {
    return static_cast<float>(philox_u32(key, index) >> 8) * 0x1p-24f;
}

/* 16-bit word i (0 to 7) of a block, as struct dropout counts them. */
static __device__ inline uint32_t dropout_word(const struct philox_block &block, int i) {
    return (block.v[i / 2] >> (16 * (i % 2))) & 0xffffu;
}

/* What dropout multiplies element i by: 0 or 65536 / (65536 - threshold). */
static __device__ inline float dropout_factor(struct dropout drop, uint64_t i) {
    if (drop.threshold == 0) return 1.0f;
    const struct philox_block block = philox_block_at(drop.key, i / 8);
    return dropout_word(block, static_cast<int>(i % 8)) >= drop.threshold
               ? 65536.0f / (65536.0f - static_cast<float>(drop.threshold))
               : 0.0f;
}

#endif
