#include "cuda/sort.cuh"

/* How many earlier threads of the block hold the same bin. key [SORT_BLOCK] is shared memory. */
static __device__ inline int32_t rank_among(int32_t *key, int32_t mine) {
    __syncthreads();
    key[threadIdx.x] = mine;
    __syncthreads();
    int32_t rank = 0;
    for (int32_t i = 0; i < SORT_BLOCK; i++)
        rank += key[i] == mine && i < (int32_t)threadIdx.x;
    return rank;
}

/* One block a piece. */
__global__ void sort_rank_kernel(int32_t *counts, int32_t *rank, struct sort_keys keys, int64_t n,
                                 int64_t grain, int32_t bins) {
    __shared__ int32_t key[SORT_BLOCK];
    int32_t *count = counts + (int64_t)blockIdx.x * bins;
    for (int32_t b = (int32_t)threadIdx.x; b < bins; b += SORT_BLOCK)
        count[b] = 0;
    const int64_t begin = blockIdx.x * grain;
    for (int64_t at = begin; at < begin + grain && at < n; at += SORT_BLOCK) {
        const int64_t i = at + threadIdx.x;
        const int32_t bin = i < n ? sort_bin(keys, i) : -1;
        const int32_t before = rank_among(key, bin);
        if (i < n) rank[i] = bin >= 0 ? count[bin] + before : -1;
        __syncthreads();
        if (bin >= 0) atomicAdd(&count[bin], 1);
    }
}

/* counts [pieces, bins] to their exclusive sums over the pieces; one block a bin. */
__global__ void sort_scan_kernel(int32_t *counts, int32_t *totals, int32_t pieces, int32_t bins) {
    __shared__ int32_t sum[SORT_PIECES];
    const int32_t bin = (int32_t)blockIdx.x, p = (int32_t)threadIdx.x;
    const int32_t mine = p < pieces ? counts[(int64_t)p * bins + bin] : 0;
    sum[p] = mine;
    __syncthreads();
    for (int32_t step = 1; step < SORT_PIECES; step *= 2) {
        const int32_t before = p >= step ? sum[p - step] : 0;
        __syncthreads();
        sum[p] += before;
        __syncthreads();
    }
    if (p < pieces) counts[(int64_t)p * bins + bin] = sum[p] - mine;
    if (p == SORT_PIECES - 1) totals[bin] = sum[p];
}

void sort_count(struct device *dev, const char *where, int32_t *counts, int32_t *totals, int32_t *rank,
                struct sort_keys keys, int64_t n, int32_t bins) {
    const int64_t grain = sort_grain(n);
    const unsigned pieces = n > 0 ? cuda_pieces(n, grain) : 0;
    cuda_launch(dev, where, sort_rank_kernel, pieces, SORT_BLOCK, 0, counts, rank, keys, n, grain, bins);
    cuda_launch(dev, where, sort_scan_kernel, bins, SORT_PIECES, 0, counts, totals, pieces, bins);
}
