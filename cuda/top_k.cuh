/* top_k.cuh - a warp takes the largest of a row of scores, one after the other. */
#ifndef CUDA_TOP_K_CUH
#define CUDA_TOP_K_CUH

#include "cuda/platform.cuh"

static __device__ inline int32_t lane_of(void) {
    return (int32_t)threadIdx.x % CUDA_WARP;
}

/* What take_largest() reads for a score: NaN counts as the smallest number, as it must not be taken for a
 * mark. */
static __device__ inline float score_of(float x) {
    return x == x ? x : -INFINITY;
}

/* The largest of score [n], the first of equals, in every lane; it is marked with NaN, and what is marked is
 * not taken again. Each lane reads and marks the scores at lane, lane + 32, ... only: it must have written
 * them. Fewer than n may be marked on entry. */
static __device__ inline int32_t take_largest(float *score, int32_t n) {
    float best = -INFINITY;
    int32_t at = n;
    for (int32_t e = lane_of(); e < n; e += CUDA_WARP) {
        if (score[e] != score[e] || (at < n && !(score[e] > best))) continue;
        best = score[e];
        at = e;
    }
    for (int offset = CUDA_WARP / 2; offset > 0; offset /= 2) {
        const float other = __shfl_xor_sync(CUDA_ALL, best, offset);
        const int32_t other_at = __shfl_xor_sync(CUDA_ALL, at, offset);
        if (other_at < n && (at == n || other > best || (other == best && other_at < at))) {
            best = other;
            at = other_at;
        }
    }
    if (at < n && at % CUDA_WARP == lane_of()) score[at] = NAN;
    return at;
}

#endif
