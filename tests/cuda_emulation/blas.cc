/* blas.cc - what cuda/blas.cu asks of cuBLAS, in plain loops. */
#include "cuda/blas.cuh"

#include "cuda/types.cuh"

moe_status blas_open(struct cuda_blas **out_blas, cudaStream_t, moe_err *) {
    *out_blas = NULL;
    return MOE_OK;
}

void blas_close(struct cuda_blas *) {
}

static float element(const struct blas_product *p, const void *x, int64_t i) {
    return p->is_bf16 ? act_load(static_cast<const bf16 *>(x), i)
                      : act_load(static_cast<const float *>(x), i);
}

static void put(const struct blas_product *p, int64_t i, float value) {
    if (p->is_bf16 && !p->c_is_float)
        act_put(static_cast<bf16 *>(p->c), i, value, p->accumulate);
    else
        act_put(static_cast<float *>(p->c), i, value, p->accumulate);
}

void blas_multiply(struct cuda_device *, const struct blas_product *p, const char *) {
    emulation_record(reinterpret_cast<const void *>(blas_multiply));
    const int64_t a_row = p->a_transposed ? 1 : p->k, a_column = p->a_transposed ? p->m : 1;
    const int64_t b_row = p->b_transposed ? 1 : p->n, b_column = p->b_transposed ? p->k : 1;
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            float sum = 0.0f;
            for (int64_t l = 0; l < p->k; l++)
                sum +=
                    element(p, p->a, i * a_row + l * a_column) * element(p, p->b, l * b_row + j * b_column);
            put(p, i * p->n + j, p->bias != NULL ? sum + element(p, p->bias, j) : sum);
        }
    }
}
