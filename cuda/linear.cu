/* linear.cu - y = x w^T + b by the library, and sums of columns */
#include "cuda/blas.cuh"
#include "cuda/cuda_operations.cuh"

#define COLUMNS 32  /* of dy that a block sums, */
#define LINES   8   /* with so many threads a column */
#define GRAIN   256 /* rows of a partial sum */

/* partial [pieces, out]: sums of GRAIN rows each */
template <typename T>
static __global__ void column_sums_kernel(float *partial, const T *dy, int64_t rows, int out) {
    __shared__ float part[LINES][COLUMNS];
    const int line = static_cast<int>(threadIdx.x) / COLUMNS, lane = static_cast<int>(threadIdx.x) % COLUMNS;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * COLUMNS + lane;
    const int64_t begin = static_cast<int64_t>(blockIdx.y) * GRAIN,
                  end = begin + GRAIN < rows ? begin + GRAIN : rows;
    float sum = 0.0f;
    for (int64_t r = begin + line; r < end && column < out; r += LINES)
        sum += act_load(dy, r * out + column);
    part[line][lane] = sum;
    __syncthreads();
    if (line != 0 || column >= out) return;
    for (int i = 1; i < LINES; i++)
        sum += part[i][lane];
    partial[blockIdx.y * static_cast<int64_t>(out) + column] = sum;
}

static __global__ void add_partials_kernel(float *dbias, const float *partial, int pieces, int out) {
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (column >= out) return;
    float sum = 0.0f;
    for (int p = 0; p < pieces; p++)
        sum += partial[static_cast<int64_t>(p) * out + column];
    dbias[column] += sum;
}

size_t cuda_linear_scratch(const struct device_options *options) {
    return static_cast<size_t>(cuda_pieces(options->max_rows, GRAIN)) *
           static_cast<size_t>(options->max_width) * sizeof(float);
}

static void add_column_sums(struct device *dev, float *dbias, const act_t *dy, int64_t rows, int32_t out) {
    float *partial = static_cast<float *>(cuda_device_of(dev)->scratch);
    const unsigned pieces = cuda_pieces(rows, GRAIN);
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "linear_backward", column_sums_kernel<T>, dim3(cuda_pieces(out, COLUMNS), pieces),
                    COLUMNS * LINES, 0, partial, static_cast<const T *>(dy), rows, out);
    });
    cuda_launch(dev, "linear_backward", add_partials_kernel, dim3(cuda_pieces(out, 128)), 128, 0, dbias,
                partial, static_cast<int>(pieces), out);
}

static void multiply_forward(struct device *base, void *y, bool y_is_float, const act_t *x, const act_t *w,
                             const act_t *bias, int64_t rows, int32_t in, int32_t out) {
    struct cuda_device *dev = cuda_device_of(base);
    const struct blas_product product = {
        .m = rows,
        .n = out,
        .k = in,
        .a_transposed = false,
        .b_transposed = true,
        .is_bf16 = dev->is_bf16,
        .c_is_float = y_is_float || !dev->is_bf16,
        .accumulate = false,
        .a = x,
        .b = w,
        .bias = bias,
        .c = y,
    };
    blas_multiply(dev, &product, "linear_forward");
}

void cuda_linear_forward(struct device *dev, act_t *y, const act_t *x, const act_t *w, const act_t *bias,
                         int64_t rows, int32_t in, int32_t out) {
    multiply_forward(dev, y, false, x, w, bias, rows, in, out);
}

void cuda_linear_forward_float(struct device *dev, float *y, const act_t *x, const act_t *w,
                               const act_t *bias, int64_t rows, int32_t in, int32_t out) {
    multiply_forward(dev, y, true, x, w, bias, rows, in, out);
}

void cuda_linear_backward(struct device *base, act_t *dx, float *dw, float *dbias, const act_t *dy,
                          const act_t *x, const act_t *w, int64_t rows, int32_t in, int32_t out,
                          bool accumulate_dx) {
    struct cuda_device *dev = cuda_device_of(base);
    const struct blas_product input = {
        .m = rows,
        .n = in,
        .k = out,
        .a_transposed = false,
        .b_transposed = false,
        .is_bf16 = dev->is_bf16,
        .c_is_float = !dev->is_bf16,
        .accumulate = accumulate_dx,
        .a = dy,
        .b = w,
        .bias = NULL,
        .c = dx,
    };
    const struct blas_product weights = {
        .m = out,
        .n = in,
        .k = rows,
        .a_transposed = true,
        .b_transposed = false,
        .is_bf16 = dev->is_bf16,
        .c_is_float = true,
        .accumulate = true,
        .a = dy,
        .b = x,
        .bias = NULL,
        .c = dw,
    };
    if (dx != NULL) blas_multiply(dev, &input, "linear_backward");
    if (dw != NULL) blas_multiply(dev, &weights, "linear_backward");
    if (dbias != NULL) add_column_sums(base, dbias, dy, rows, out);
}
