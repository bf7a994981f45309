/* platform.cuh - the CUDA runtime, or what stands for it in tests without a GPU.
 *
 * Kernels keep to the subset that tests/cuda_emulation supplies, so that the same source runs in both:
 * blockIdx, threadIdx, blockDim, gridDim (x, y, z), __shared__ arrays of fixed size, __syncthreads,
 * __syncwarp, warp shuffles and votes of all lanes, integer atomics, fmaf and the float functions of math.h,
 * bf16 conversion, and cuda_launch(). Every thread of a block reaches every __syncthreads(), every lane every
 * shuffle. What only a GPU has (tensor cores, copies beside the work) stands behind a function of tile.cuh,
 * what only a library has behind blas.cuh. No dynamic shared memory through `extern`: CUDA_SHARED() below.
 */
#ifndef CUDA_PLATFORM_CUH
#define CUDA_PLATFORM_CUH

#ifdef MOE_CUDA_EMULATION
#include "tests/cuda_emulation/emulation.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* T *name: the block's dynamic shared memory, as many bytes as its launch says. */
#define CUDA_SHARED(T, name)                                                                                 \
    extern __shared__ __align__(16) unsigned char cuda_shared_bytes[];                                       \
    T *name = reinterpret_cast<T *>(cuda_shared_bytes)
#endif

#include <cmath>
#include <cstdint>

extern "C" {
#include "device/backend.h"
#include "device/module.h"
}

#define CUDA_WARP 32
#define CUDA_ALL  0xffffffffu /* every lane of a warp */

typedef __nv_bfloat16 bf16;

#endif
