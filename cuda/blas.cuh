/* blas.cuh - the matrix products that a library computes: one function over cuBLAS (tests without a GPU have
 * plain loops in its place). */
#ifndef CUDA_BLAS_CUH
#define CUDA_BLAS_CUH

#include "cuda/cuda_device.cuh"

moe_status blas_open(struct cuda_blas **out_blas, cudaStream_t stream, moe_err *err);
void blas_close(struct cuda_blas *blas); /* NULL is allowed */

/* A row-major matrix product  c [m, n] = or += (accumulate)  op(a) op(b) + bias [n],  sums in fp32. op(a) is
 * [m, k]: a itself with rows of k elements, or the transpose of a [k, m]; op(b) likewise is [k, n], or the
 * transpose of b [n, k]. Types: of a, b and bias bf16 or float, all the same; of c the same, or float. */
struct blas_product {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
    bool is_bf16;    /* a, b, bias */
    bool c_is_float; /* c is float even if a and b are bf16 */
    bool accumulate;
    const void *a, *b;
    const void *bias; /* NULL: none; not with accumulate */
    void *c;
};
void blas_multiply(struct cuda_device *dev, const struct blas_product *p, const char *where);

#endif
