/* sort.cuh - stable counting sort on the device: items are counted by bin in pieces, piece after piece, so
 * that each knows where its items go. The order depends on nothing but the keys. */
#ifndef CUDA_SORT_CUH
#define CUDA_SORT_CUH

#include "cuda/cuda_device.cuh"

enum {
    SORT_BLOCK = 256, /* items that a block looks at together, one a thread */
    SORT_PIECES = 512 /* most pieces */
};

/* The bin of item i is (key[order[i]] >> shift) & mask, or -1 (the item goes nowhere) if the key is negative;
 * order NULL: 0, 1, 2, ... */
struct sort_keys {
    const int32_t *key, *order;
    int32_t shift, mask;
};

static __device__ inline int32_t sort_bin(struct sort_keys keys, int64_t i) {
    const int32_t key = keys.key[keys.order != nullptr ? keys.order[i] : i];
    return key < 0 ? -1 : key >> keys.shift & keys.mask;
}

/* Items of a piece: a function of n alone. */
static inline int64_t sort_grain(int64_t n) {
    return (int64_t)cuda_pieces(cuda_pieces(n, SORT_PIECES), SORT_BLOCK) * SORT_BLOCK;
}

/* Bytes of counts below for that many bins. */
static inline size_t sort_counts_bytes(int64_t bins) {
    return (size_t)SORT_PIECES * (size_t)bins * sizeof(int32_t);
}

/* rank [n] = items of the same bin before an item in its piece (-1: none); counts [pieces, bins] = items of
 * the bin in the pieces before; totals [bins]. An item's place in its bin is counts + rank. */
void sort_count(struct device *dev, const char *where, int32_t *counts, int32_t *totals, int32_t *rank,
                struct sort_keys keys, int64_t n, int32_t bins);

/* Exclusive sum of value over the threads of a block of SORT_BLOCK, *out_total of all. sum [SORT_BLOCK] is
 * shared memory. */
static __device__ inline int32_t block_rank(int32_t *sum, int32_t value, int32_t *out_total) {
    __syncthreads();
    sum[threadIdx.x] = value;
    __syncthreads();
    for (int32_t step = 1; step < SORT_BLOCK; step *= 2) {
        const int32_t before = (int32_t)threadIdx.x >= step ? sum[threadIdx.x - step] : 0;
        __syncthreads();
        sum[threadIdx.x] += before;
        __syncthreads();
    }
    *out_total = sum[SORT_BLOCK - 1];
    return sum[threadIdx.x] - value;
}

#endif
