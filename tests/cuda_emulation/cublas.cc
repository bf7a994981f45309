/* cublas.cc - what cuda/blas.cu asks of cuBLASLt, in plain loops. */
#include "tests/cuda_emulation/library/cublasLt.h"

#include <new>

#include "cuda/types.cuh"

#define WORKSPACE_ALIGNMENT 256
#define BIAS_ALIGNMENT      16

struct emulation_product {
    cublasOperation_t a, b;
    cublasLtEpilogue_t epilogue;
    cudaDataType_t bias_type;
    const void *bias;
};

struct emulation_layout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t stride; /* elements between columns */
};

struct emulation_preference {
    cublasLtMatmulAlgo_t algorithm;
    uint32_t schemes;
};

template <typename V> static cublasStatus_t make(V **out, const V &value) {
    *out = new (std::nothrow) V(value);
    return *out != NULL ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

template <typename V> static cublasStatus_t destroy(V *object) {
    delete object;
    return CUBLAS_STATUS_SUCCESS;
}

/* An attribute is given with its size. */
template <typename V> static cublasStatus_t take(V *to, const void *value, size_t bytes) {
    if (bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) {
    *out = reinterpret_cast<cublasLtHandle_t>(out); /* any address: nothing is kept in a handle */
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t) {
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return make(out, {CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, CUDA_R_32F, NULL});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
    return destroy(product);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product,
                                              cublasLtMatmulDescAttributes_t attribute, const void *value,
                                              size_t bytes) {
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&product->a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&product->b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&product->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(&product->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return take(&product->bias_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
    if (stride < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
    return make(out, {type, rows, columns, stride});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    return destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    return make(out, {{256, 256, 256, 256, 0}, 7});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    return destroy(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes) {
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return take(&preference->algorithm.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return take(&preference->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return take(&preference->algorithm.a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return take(&preference->algorithm.b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return take(&preference->algorithm.c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return take(&preference->algorithm.d, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

static bool is_same(const struct emulation_layout *a, const struct emulation_layout *b) {
    return a->type == b->type && a->rows == b->rows && a->columns == b->columns && a->stride == b->stride;
}

/* Adds a bias to results of its own type alone, and not where they have an odd number of rows: as the library
 * may have the plain product only. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *count) {
    const bool a_turned = product->a == CUBLAS_OP_T, b_turned = product->b == CUBLAS_OP_T;
    const uint64_t inner = a_turned ? a->rows : a->columns;
    const bool fits = d->rows == (a_turned ? a->columns : a->rows) &&
                      d->columns == (b_turned ? b->rows : b->columns) &&
                      inner == (b_turned ? b->columns : b->rows) && inner > 0 && is_same(c, d);
    const bool of_type = a->type == b->type && (d->type == a->type || d->type == CUDA_R_32F);
    *count = 0;
    if (!fits || wanted != 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (!of_type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (product->epilogue == CUBLASLT_EPILOGUE_BIAS &&
        (product->bias == NULL || product->bias_type != d->type || d->rows % 2 != 0))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *count = 1;
    results[0] = {preference->algorithm, CUBLAS_STATUS_SUCCESS};
    return CUBLAS_STATUS_SUCCESS;
}

static float element(const void *x, cudaDataType_t type, int64_t i) {
    return type == CUDA_R_16BF ? act_load(static_cast<const bf16 *>(x), i)
                               : act_load(static_cast<const float *>(x), i);
}

static void check_alignment(const void *pointer, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0)
        emulation_fail("cuBLAS gets a pointer that is not aligned as it was promised");
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes,
                              cudaStream_t) {
    const bool a_turned = product->a == CUBLAS_OP_T, b_turned = product->b == CUBLAS_OP_T;
    const bool adds_bias = product->epilogue == CUBLASLT_EPILOGUE_BIAS;
    const int64_t inner = static_cast<int64_t>(a_turned ? a_layout->rows : a_layout->columns);
    const int64_t a_row = a_turned ? a_layout->stride : 1, a_column = a_turned ? 1 : a_layout->stride;
    const int64_t b_row = b_turned ? b_layout->stride : 1, b_column = b_turned ? 1 : b_layout->stride;
    const float factor = *static_cast<const float *>(alpha), of_c = *static_cast<const float *>(beta);
    if (workspace_bytes < algorithm->workspace) return CUBLAS_STATUS_INVALID_VALUE;
    check_alignment(a, algorithm->a);
    check_alignment(b, algorithm->b);
    check_alignment(c, algorithm->c);
    check_alignment(d, algorithm->d);
    check_alignment(workspace, WORKSPACE_ALIGNMENT);
    if (adds_bias) check_alignment(product->bias, BIAS_ALIGNMENT);
    emulation_record(reinterpret_cast<const void *>(cublasLtMatmul));
    for (int64_t j = 0; j < static_cast<int64_t>(d_layout->columns); j++) {
        for (int64_t i = 0; i < static_cast<int64_t>(d_layout->rows); i++) {
            float sum = 0.0f;
            for (int64_t l = 0; l < inner; l++)
                sum += element(a, a_layout->type, i * a_row + l * a_column) *
                       element(b, b_layout->type, l * b_row + j * b_column);
            sum *= factor;
            if (of_c != 0.0f) sum = element(c, c_layout->type, i + j * c_layout->stride) * of_c + sum;
            if (adds_bias) sum += element(product->bias, product->bias_type, i);
            if (d_layout->type == CUDA_R_16BF)
                act_store(static_cast<bf16 *>(d), i + j * d_layout->stride, sum);
            else
                act_store(static_cast<float *>(d), i + j * d_layout->stride, sum);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}
