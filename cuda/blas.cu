/* blas.cu - matrix products by cuBLASLt
 *
 * cuBLASLt counts in columns: a row-major c = a b is, read by columns, c' = b' a'. The first operand it is
 * given is therefore b, the second a. */
#include "cuda/blas.cuh"

#include <cstdlib>
#include <cstring>

#include <cublasLt.h>

#define WORKSPACE_BYTES ((size_t)32 << 20)
#define PLANS           256 /* products of different shape that are remembered; a model has about ten */
#define BIAS_BYTES      16  /* that the library's kernels read of a bias at once */

/* How one shape is computed, found once. */
struct plan {
    struct blas_product shape;          /* of its pointers only whether there is a bias counts */
    uint32_t a_bytes, b_bytes, c_bytes; /* alignments: kernels that load many elements at once need them */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
};

struct cuda_blas {
    cublasLtHandle_t handle;
    void *workspace;
    int count;
    struct plan plans[PLANS];
};

moe_status blas_open(struct cuda_blas **out_blas, cudaStream_t stream, moe_err *err) {
    (void)stream;
    moe_status status = MOE_OK;
    struct cuda_blas *blas = static_cast<struct cuda_blas *>(calloc(1, sizeof *blas));
    moe_check(blas != NULL, err, MOE_ENOMEM, "cuda: no memory for the device");
    *out_blas = blas;
    moe_check(cublasLtCreate(&blas->handle) == CUBLAS_STATUS_SUCCESS, err, MOE_ENOTSUP, "cuda: no cuBLAS");
    moe_check(cudaMalloc(&blas->workspace, WORKSPACE_BYTES) == cudaSuccess, err, MOE_ENOMEM,
              "cuda: no %zu bytes of GPU memory for cuBLAS", WORKSPACE_BYTES);
out:
    return status;
}

static void drop_plan(struct plan *plan) {
    if (plan->operation != NULL) cublasLtMatmulDescDestroy(plan->operation);
    if (plan->a != NULL) cublasLtMatrixLayoutDestroy(plan->a);
    if (plan->b != NULL) cublasLtMatrixLayoutDestroy(plan->b);
    if (plan->c != NULL) cublasLtMatrixLayoutDestroy(plan->c);
    memset(plan, 0, sizeof *plan);
}

void blas_close(struct cuda_blas *blas) {
    if (blas == NULL) return;
    for (int i = 0; i < blas->count; i++)
        drop_plan(&blas->plans[i]);
    cudaFree(blas->workspace);
    if (blas->handle != NULL) cublasLtDestroy(blas->handle);
    free(blas);
}

/* The power of two, up to what cuBLAS can use, that an address is a multiple of. */
static uint32_t alignment_of(const void *pointer) {
    const uintptr_t low = reinterpret_cast<uintptr_t>(pointer) | 256;
    return static_cast<uint32_t>(low & (~low + 1));
}

static bool same_alignment(const struct plan *plan, const struct blas_product *p) {
    return plan->a_bytes == alignment_of(p->a) && plan->b_bytes == alignment_of(p->b) &&
           plan->c_bytes == alignment_of(p->c);
}

static bool same_shape(const struct blas_product *a, const struct blas_product *b) {
    return a->m == b->m && a->n == b->n && a->k == b->k && a->a_transposed == b->a_transposed &&
           a->b_transposed == b->b_transposed && a->is_bf16 == b->is_bf16 && a->c_is_float == b->c_is_float &&
           a->accumulate == b->accumulate && (a->bias != NULL) == (b->bias != NULL);
}

/* A matrix that by rows is [rows, columns] (before it is transposed). */
static bool make_layout(cublasLtMatrixLayout_t *layout, bool transposed, int64_t rows, int64_t columns,
                        cudaDataType_t type) {
    const uint64_t high = static_cast<uint64_t>(transposed ? columns : rows);
    const uint64_t wide = static_cast<uint64_t>(transposed ? rows : columns);
    return cublasLtMatrixLayoutCreate(layout, type, wide, high, static_cast<int64_t>(wide)) ==
           CUBLAS_STATUS_SUCCESS;
}

template <typename V>
static bool prefer(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                   V value) {
    return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

template <typename V>
static bool set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, V value) {
    return cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

static bool describe_product(struct plan *plan) {
    const struct blas_product *p = &plan->shape;
    const cudaDataType_t type = p->is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t first = p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    return make_layout(&plan->a, p->b_transposed, p->k, p->n, type) &&
           make_layout(&plan->b, p->a_transposed, p->m, p->k, type) &&
           make_layout(&plan->c, false, p->m, p->n, p->c_is_float ? CUDA_R_32F : type) &&
           cublasLtMatmulDescCreate(&plan->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F) ==
               CUBLAS_STATUS_SUCCESS &&
           set(plan->operation, CUBLASLT_MATMUL_DESC_TRANSA, first) &&
           set(plan->operation, CUBLASLT_MATMUL_DESC_TRANSB, second) &&
           (p->bias == NULL || (set(plan->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS) &&
                                set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type) &&
                                set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p->bias)));
}

/* The library's first choice among what fits the workspace, and gives the same bits each time. */
static bool choose_algorithm(const struct cuda_blas *blas, struct plan *plan) {
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t choice;
    int count = 0;
    const uint32_t parts = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* sums of parts of k stay in fp32 */
    const bool ok =
        cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, WORKSPACE_BYTES) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, parts) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, plan->b_bytes) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, plan->a_bytes) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, plan->c_bytes) &&
        prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, plan->c_bytes) &&
        cublasLtMatmulAlgoGetHeuristic(blas->handle, plan->operation, plan->a, plan->b, plan->c, plan->c,
                                       preference, 1, &choice, &count) == CUBLAS_STATUS_SUCCESS &&
        count == 1 && choice.state == CUBLAS_STATUS_SUCCESS;
    if (preference != NULL) cublasLtMatmulPreferenceDestroy(preference);
    if (ok) plan->algorithm = choice.algo;
    return ok;
}

/* The plan of a product of this shape; when the table is full its last entry is given up. NULL: cuBLAS
 * refuses. */
static struct plan *find_plan(struct cuda_blas *blas, const struct blas_product *p) {
    for (int i = 0; i < blas->count; i++) {
        if (same_shape(&blas->plans[i].shape, p) && same_alignment(&blas->plans[i], p))
            return &blas->plans[i];
    }
    if (blas->count == PLANS) drop_plan(&blas->plans[--blas->count]);
    struct plan *plan = &blas->plans[blas->count];
    plan->shape = *p;
    plan->a_bytes = alignment_of(p->a);
    plan->b_bytes = alignment_of(p->b);
    plan->c_bytes = alignment_of(p->c);
    if (!describe_product(plan) || !choose_algorithm(blas, plan)) {
        drop_plan(plan);
        return NULL;
    }
    blas->count++;
    return plan;
}

/* c [m, n] = bias [n] in each row */
template <typename T, typename C>
static __global__ void bias_rows_kernel(C *c, const T *bias, int64_t m, int64_t n) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < m * n) act_store(c, i, act_load(bias, i % n));
}

/* Whether the library adds the bias itself: it wants it aligned, and of the type of c. */
static bool adds_bias(const struct blas_product *p) {
    return alignment_of(p->bias) >= BIAS_BYTES && !(p->is_bf16 && p->c_is_float);
}

/* Where the library does not: the product is added to rows of it. */
static void multiply_onto_bias(struct cuda_device *dev, const struct blas_product *p, const char *where) {
    struct blas_product onto = *p;
    onto.bias = NULL;
    onto.accumulate = true;
    cuda_for_act(&dev->base, [&](auto act) {
        using T = decltype(act);
        const T *bias = static_cast<const T *>(p->bias);
        const dim3 grid(cuda_pieces(p->m * p->n, 256));
        if (p->c_is_float)
            cuda_launch(&dev->base, where, bias_rows_kernel<T, float>, grid, 256, 0,
                        static_cast<float *>(p->c), bias, p->m, p->n);
        else
            cuda_launch(&dev->base, where, bias_rows_kernel<T, T>, grid, 256, 0, static_cast<T *>(p->c), bias,
                        p->m, p->n);
    });
    blas_multiply(dev, &onto, where);
}

static bool carry_out(struct cuda_device *dev, struct plan *plan, const struct blas_product *p) {
    const float one = 1.0f, beta = p->accumulate ? 1.0f : 0.0f;
    if (p->bias != NULL && !set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p->bias)) return false;
    return cublasLtMatmul(dev->blas->handle, plan->operation, &one, p->b, plan->a, p->a, plan->b, &beta, p->c,
                          plan->c, p->c, plan->c, &plan->algorithm, dev->blas->workspace, WORKSPACE_BYTES,
                          dev->stream) == CUBLAS_STATUS_SUCCESS;
}

/* Of some sizes the library has the plain product only. */
void blas_multiply(struct cuda_device *dev, const struct blas_product *p, const char *where) {
    if (p->m == 0 || p->n == 0 || (p->k == 0 && p->accumulate) || dev->failure != cudaSuccess) return;
    struct plan *plan = p->bias == NULL || adds_bias(p) ? find_plan(dev->blas, p) : NULL;
    if (plan != NULL && carry_out(dev, plan, p)) return;
    if (p->bias != NULL)
        multiply_onto_bias(dev, p, where);
    else
        cuda_note(dev, plan != NULL ? cudaErrorUnknown : cudaErrorNotSupported, where);
}
