/* reduce.cuh - sums and maxima over a warp and a block, always added in the same order. */
#ifndef CUDA_REDUCE_CUH
#define CUDA_REDUCE_CUH

#include "cuda/platform.cuh"

/* Sum over the 32 lanes, the same bits in every lane: partners add the same two numbers. */
template <typename V> static __device__ inline V warp_sum(V value) {
    for (int offset = CUDA_WARP / 2; offset > 0; offset /= 2)
        value += __shfl_xor_sync(CUDA_ALL, value, offset);
    return value;
}

static __device__ inline float warp_max(float value) {
    for (int offset = CUDA_WARP / 2; offset > 0; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(CUDA_ALL, value, offset));
    return value;
}

/* Sum over a block of whole warps, at most 1024 threads, in every thread: warps are added in their order.
 * part is shared memory for 32 values; it is free again when the call returns. */
template <typename V> static __device__ inline V block_sum(V value, V *part) {
    const int warps = static_cast<int>(blockDim.x) / CUDA_WARP,
              lane = static_cast<int>(threadIdx.x) % CUDA_WARP;
    value = warp_sum(value);
    if (lane == 0) part[threadIdx.x / CUDA_WARP] = value;
    __syncthreads();
    V total = part[0];
    for (int w = 1; w < warps; w++)
        total += part[w];
    __syncthreads();
    return total;
}

static __device__ inline float block_max(float value, float *part) {
    const int warps = static_cast<int>(blockDim.x) / CUDA_WARP,
              lane = static_cast<int>(threadIdx.x) % CUDA_WARP;
    value = warp_max(value);
    if (lane == 0) part[threadIdx.x / CUDA_WARP] = value;
    __syncthreads();
    float most = part[0];
    for (int w = 1; w < warps; w++)
        most = fmaxf(most, part[w]);
    __syncthreads();
    return most;
}

#endif
