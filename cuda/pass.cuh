/* pass.cuh - the work of a pass started as one graph. */
#ifndef CUDA_PASS_CUH
#define CUDA_PASS_CUH

#include "cuda/cuda_device.cuh"

moe_status pass_open(struct cuda_pass **out_pass, moe_err *err);
void pass_close(struct cuda_pass *pass); /* NULL is allowed */

#endif
