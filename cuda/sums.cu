/* Sums, searches, squares: fixed pieces, each added in double by one block, the pieces in their order. */
#include <algorithm>

#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"

enum {
    THREADS = 256,
    PIECES = 256,       /* most blocks of a vector */
    LEAST_PIECE = 4096, /* elements */
    SPAN_PIECES = 64,   /* most blocks of a span of sum_squares */
    SPAN_GROUP = 128    /* spans of a launch: their table is a kernel's argument */
};

size_t cuda_sum_squares_scratch(const struct device_options *options) {
    (void)options;
    return SPAN_GROUP * SPAN_PIECES * sizeof(double);
}

/* Elements of a piece: a function of the count alone. */
static int64_t piece_grain(int64_t n, int64_t most) {
    return std::max<int64_t>((n + most - 1) / most, LEAST_PIECE);
}

__global__ void sum_kernel(double *partial, const float *x, int64_t n, int64_t grain) {
    __shared__ double part[CUDA_WARP];
    const int64_t begin = blockIdx.x * grain, end = begin + grain < n ? begin + grain : n;
    double sum = 0.0;
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS)
        sum += (double)x[i];
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void sum_pieces_kernel(double *out, const double *partial, int pieces) {
    __shared__ double part[PIECES];
    if (static_cast<int>(threadIdx.x) < pieces) part[threadIdx.x] = partial[threadIdx.x];
    __syncthreads();
    if (threadIdx.x != 0) return;
    double sum = 0.0;
    for (int p = 0; p < pieces; p++)
        sum += part[p];
    *out = sum;
}

void cuda_sum(struct device *dev, double *out, const float *x, int64_t n) {
    const int64_t grain = piece_grain(n, PIECES);
    const unsigned pieces = cuda_pieces(n, grain);
    void *scratch = cuda_device_of(dev)->scratch;
    cuda_launch(dev, "sum", sum_kernel, pieces, THREADS, 0, scratch, x, n, grain);
    cuda_launch(dev, "sum", sum_pieces_kernel, 1, PIECES, 0, out, scratch, pieces);
}

/* first [pieces] = the first element of the piece that is NaN or Inf, or n */
__global__ void find_nonfinite_kernel(int64_t *first, const float *x, int64_t n, int64_t grain) {
    __shared__ int64_t found[THREADS];
    const int64_t begin = blockIdx.x * grain, end = begin + grain < n ? begin + grain : n;
    int64_t i = begin + threadIdx.x;
    while (i < end && fabsf(x[i]) <= 3.402823466e38f)
        i += THREADS;
    found[threadIdx.x] = i < end ? i : n;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half && found[threadIdx.x + half] < found[threadIdx.x])
            found[threadIdx.x] = found[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) first[blockIdx.x] = found[0];
}

int64_t cuda_find_nonfinite(struct device *dev, const float *x, int64_t n) {
    const int64_t grain = piece_grain(n, PIECES);
    const unsigned pieces = cuda_pieces(n, grain);
    int64_t first[PIECES];
    void *scratch = cuda_device_of(dev)->scratch;
    cuda_launch(dev, "find_nonfinite", find_nonfinite_kernel, pieces, THREADS, 0, scratch, x, n, grain);
    for (unsigned p = 0; p < PIECES; p++)
        first[p] = n;
    if (pieces > 0) cuda_download(dev, first, scratch, pieces * sizeof *first);
    for (unsigned p = 0; p < pieces; p++)
        if (first[p] < n) return first[p];
    return -1;
}

/* ---- squares of spans
 * ------------------------------------------------------------------------------------- */

struct span_group {
    struct span span[SPAN_GROUP];
};

/* partial [SPAN_GROUP, SPAN_PIECES]; one block a piece of a span */
__global__ void squares_kernel(double *partial, const float *x, struct span_group group) {
    __shared__ double part[CUDA_WARP];
    const struct span span = group.span[blockIdx.y];
    int64_t grain = (span.count + SPAN_PIECES - 1) / SPAN_PIECES;
    if (grain < LEAST_PIECE) grain = LEAST_PIECE;
    const int64_t begin = blockIdx.x * grain, end = begin + grain < span.count ? begin + grain : span.count;
    double sum = 0.0;
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) {
        const double value = (double)x[span.offset + i];
        sum += value * value;
    }
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) partial[blockIdx.y * SPAN_PIECES + blockIdx.x] = sum;
}

__global__ void span_sums_kernel(double *out, const double *partial) {
    double sum = 0.0;
    for (int p = 0; p < SPAN_PIECES; p++)
        sum += partial[threadIdx.x * SPAN_PIECES + p];
    out[threadIdx.x] = sum;
}

void cuda_sum_squares(struct device *dev, double *out, const float *x, const struct span *spans, int32_t n) {
    void *partial = cuda_device_of(dev)->scratch;
    for (int32_t first = 0; first < n; first += SPAN_GROUP) {
        const int32_t count = std::min<int32_t>(n - first, SPAN_GROUP);
        struct span_group group = {};
        for (int32_t i = 0; i < count; i++)
            group.span[i] = spans[first + i];
        cuda_launch(dev, "sum_squares", squares_kernel, dim3(SPAN_PIECES, (unsigned)count), THREADS, 0,
                    partial, x, group);
        cuda_launch(dev, "sum_squares", span_sums_kernel, 1, count, 0, out + first, partial);
    }
}
