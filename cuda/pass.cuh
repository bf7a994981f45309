/* pass.cuh - the work of a pass started as one graph. */
#ifndef CUDA_PASS_CUH
#define CUDA_PASS_CUH

#include "cuda/cuda_device.cuh"

moe_status pass_open(struct cuda_pass **out_pass, moe_err *err);
void pass_close(struct cuda_pass *pass); /* NULL is allowed */

/* Drops the plans that are kept: one names what its last pass used. No pass is on its way. */
void pass_forget(struct cuda_pass *pass);

/* What is given to the stream now becomes part of a graph. */
bool pass_is_recorded(const struct cuda_pass *pass);

#endif
