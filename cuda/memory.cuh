/* memory.cuh - page-locked host memory through which uploads pass without a wait for the GPU. */
#ifndef CUDA_MEMORY_CUH
#define CUDA_MEMORY_CUH

#include "cuda/cuda_device.cuh"

moe_status staging_open(struct cuda_staging **out_staging, moe_err *err);
void staging_close(struct cuda_staging *staging); /* NULL is allowed; the stream must be idle */

#endif
