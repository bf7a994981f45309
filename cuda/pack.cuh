/* pack.cuh - eight neighbouring elements at a time: one thread's share of an array of activations, and one
 * block of dropout's random words. */
#ifndef CUDA_PACK_CUH
#define CUDA_PACK_CUH

#include "cuda/cuda_device.cuh"

enum { PACK = 8 };

struct pack {
    float v[PACK];
};

/* What one instruction moves. */
template <typename T> struct alignas(16) pack_words {
    static constexpr int COUNT = 16 / sizeof(T);
    T item[COUNT];
};

/* The first n (1 to 8) elements at p, zeros behind them. */
template <typename T> static __device__ inline struct pack pack_load(const T *p, int64_t n) {
    constexpr int COUNT = pack_words<T>::COUNT;
    struct pack out;
    if (n >= PACK && (uintptr_t)p % sizeof(pack_words<T>) == 0) {
        const pack_words<T> *from = reinterpret_cast<const pack_words<T> *>(p);
#pragma unroll
        for (int w = 0; w < PACK / COUNT; w++) {
            const pack_words<T> words = from[w];
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                out.v[w * COUNT + i] = act_load(words.item, i);
        }
    } else {
#pragma unroll
        for (int i = 0; i < PACK; i++)
            out.v[i] = i < n ? act_load(p, i) : 0.0f;
    }
    return out;
}

template <typename T> static __device__ inline void pack_store(T *p, struct pack value, int64_t n) {
    constexpr int COUNT = pack_words<T>::COUNT;
    if (n >= PACK && (uintptr_t)p % sizeof(pack_words<T>) == 0) {
        pack_words<T> *to = reinterpret_cast<pack_words<T> *>(p);
#pragma unroll
        for (int w = 0; w < PACK / COUNT; w++) {
            pack_words<T> words;
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                act_store(words.item, i, value.v[w * COUNT + i]);
            to[w] = words;
        }
    } else {
#pragma unroll
        for (int i = 0; i < PACK; i++)
            if (i < n) act_store(p, i, value.v[i]);
    }
}

/* Factors of elements 8 block .. 8 block + 7 under inverted dropout; ones without dropout. */
static __device__ inline struct pack pack_mask(struct dropout drop, uint64_t block) {
    struct pack out;
    if (drop.threshold == 0) {
#pragma unroll
        for (int i = 0; i < PACK; i++)
            out.v[i] = 1.0f;
        return out;
    }
    const struct philox_block words = philox_block_at(drop.key, block);
    const float scale = 65536.0f / (65536.0f - (float)drop.threshold);
#pragma unroll
    for (int i = 0; i < PACK; i++)
        out.v[i] = dropout_word(words, i) >= drop.threshold ? scale : 0.0f;
    return out;
}

static __device__ inline struct pack pack_times(struct pack a, struct pack b) {
#pragma unroll
    for (int i = 0; i < PACK; i++)
        a.v[i] *= b.v[i];
    return a;
}

/* This thread's first element in a grid of packs. */
static __device__ inline int64_t pack_first(void) {
    return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * PACK;
}

#define PACK_BLOCK 256 /* threads of a block in such a grid */

static inline unsigned pack_grid(int64_t n) {
    return cuda_pieces(n, PACK * PACK_BLOCK);
}

#endif
