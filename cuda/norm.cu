/* LayerNorm and RMSNorm. A block takes one row after the other; a thread owns the same columns of each, so
 * that the gradients of gamma and beta gather in registers while dx is made: backward reads x and dy once. */
#include <algorithm>

#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"

enum {
    PIECES = 1024,     /* most blocks, each with its own partial sums of dgamma and dbeta */
    MOST_THREADS = 512 /* of a block; wider rows take turns of MOST_THREADS packs */
};

/* Threads of a block: a pack each as far as they go. */
static int team(int32_t width) {
    const int packs = (width + PACK - 1) / PACK;
    return std::min<int>(MOST_THREADS, (packs + CUDA_WARP - 1) / CUDA_WARP * CUDA_WARP);
}

static unsigned norm_pieces(int64_t rows) {
    return (unsigned)std::min<int64_t>(rows, PIECES);
}

size_t cuda_norm_scratch(const struct device_options *options) {
    return (size_t)norm_pieces(options->max_rows) * (size_t)options->max_width * 2 * sizeof(float);
}

template <typename T>
__global__ void norm_forward_kernel(enum norm_kind kind, T *y, float *mean, float *rstd, const T *x,
                                    const T *gamma, const T *beta, int64_t rows, int32_t width,
                                    int64_t x_stride, int64_t y_stride, float eps) {
    __shared__ float part[CUDA_WARP];
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const T *from = x + r * x_stride;
        T *to = y + r * y_stride;
        float m = 0.0f;
        if (kind == NORM_LAYER) {
            float sum = 0.0f;
            for (int32_t i = threadIdx.x * PACK; i < width; i += blockDim.x * PACK) {
                const struct pack in = pack_load(from + i, width - i);
                for (int j = 0; j < PACK; j++)
                    sum += in.v[j];
            }
            m = block_sum(sum, part) / (float)width;
        }
        float squares = 0.0f;
        for (int32_t i = threadIdx.x * PACK; i < width; i += blockDim.x * PACK) {
            const struct pack in = pack_load(from + i, width - i);
            for (int j = 0; j < PACK; j++)
                squares += i + j < width ? (in.v[j] - m) * (in.v[j] - m) : 0.0f;
        }
        const float s = rsqrtf(block_sum(squares, part) / (float)width + eps);
        for (int32_t i = threadIdx.x * PACK; i < width; i += blockDim.x * PACK) {
            const struct pack g = pack_load(gamma + i, width - i);
            struct pack out = pack_load(from + i, width - i), b = {{0}};
            if (kind == NORM_LAYER) b = pack_load(beta + i, width - i);
            for (int j = 0; j < PACK; j++)
                out.v[j] = (out.v[j] - m) * s * g.v[j] + b.v[j];
            pack_store(to + i, out, width - i);
        }
        if (threadIdx.x == 0) {
            if (kind == NORM_LAYER) mean[r] = m;
            rstd[r] = s;
        }
    }
}

/* What one thread adds up over its block's rows: the first pack of its columns here, any others in the
 * block's partial sums. */
struct norm_sums {
    struct pack gamma, beta;
};

static __device__ inline void add_pack(float *to, struct pack value, int64_t n) {
    struct pack sum = pack_load(to, n);
    for (int j = 0; j < PACK; j++)
        sum.v[j] += value.v[j];
    pack_store(to, sum, n);
}

/* With n = (x - mean) rstd and g = dy gamma: dx = rstd (g - mean(g) - n mean(g n)); mean(g) is absent for
 * rms. */
template <typename T>
static __device__ inline void norm_row(enum norm_kind kind, T *dx, const T *dy, const T *x, float m, float s,
                                       const T *gamma, int32_t width, bool accumulate, struct norm_sums *sums,
                                       float *partial) {
    __shared__ float part[CUDA_WARP];
    float g_sum = 0.0f, gn_sum = 0.0f;
    for (int32_t i = threadIdx.x * PACK; i < width; i += blockDim.x * PACK) {
        const struct pack in = pack_load(x + i, width - i);
        const struct pack g = pack_times(pack_load(dy + i, width - i), pack_load(gamma + i, width - i));
        for (int j = 0; j < PACK; j++) {
            g_sum += g.v[j];
            gn_sum += g.v[j] * (in.v[j] - m) * s;
        }
    }
    const float g_mean = kind == NORM_LAYER ? block_sum(g_sum, part) / (float)width : 0.0f;
    const float gn_mean = block_sum(gn_sum, part) / (float)width;
    for (int32_t i = threadIdx.x * PACK; i < width; i += blockDim.x * PACK) {
        const struct pack in = pack_load(x + i, width - i), top = pack_load(dy + i, width - i);
        const struct pack g = pack_times(top, pack_load(gamma + i, width - i));
        struct pack out = {{0}}, to_gamma;
        if (accumulate) out = pack_load(dx + i, width - i);
        for (int j = 0; j < PACK; j++) {
            const float n = (in.v[j] - m) * s;
            out.v[j] += s * (g.v[j] - g_mean - n * gn_mean);
            to_gamma.v[j] = top.v[j] * n;
        }
        pack_store(dx + i, out, width - i);
        if (i < (int32_t)(blockDim.x * PACK)) {
            for (int j = 0; j < PACK; j++) {
                sums->gamma.v[j] += to_gamma.v[j];
                sums->beta.v[j] += top.v[j];
            }
        } else {
            add_pack(partial + i, to_gamma, width - i);
            add_pack(partial + width + i, top, width - i);
        }
    }
}

/* partial [blocks, 2, width]: dgamma, then dbeta, of each block's rows */
template <typename T>
__global__ void norm_backward_kernel(enum norm_kind kind, T *dx, float *partial, const T *dy, const T *x,
                                     const float *mean, const float *rstd, const T *gamma, int64_t rows,
                                     int32_t width, int64_t x_stride, int64_t y_stride, bool accumulate) {
    const struct pack zero = {{0}};
    struct norm_sums sums = {{{0}}, {{0}}};
    partial += (int64_t)blockIdx.x * 2 * width;
    for (int32_t i = (threadIdx.x + blockDim.x) * PACK; i < width; i += blockDim.x * PACK) {
        pack_store(partial + i, zero, width - i);
        pack_store(partial + width + i, zero, width - i);
    }
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x)
        norm_row(kind, dx + r * x_stride, dy + r * y_stride, x + r * x_stride,
                 kind == NORM_LAYER ? mean[r] : 0.0f, rstd[r], gamma, width, accumulate, &sums, partial);
    const int32_t i = threadIdx.x * PACK;
    if (i >= width) return;
    pack_store(partial + i, sums.gamma, width - i);
    pack_store(partial + width + i, sums.beta, width - i);
}

enum { COLUMNS = 32, LANES = 8 }; /* of a block that adds partial sums up */

/* dgamma, dbeta += sums over the pieces, in a tree that the shapes alone decide. */
__global__ void norm_partials_kernel(float *dgamma, float *dbeta, const float *partial, int32_t pieces,
                                     int32_t width) {
    __shared__ float lane_sum[LANES][COLUMNS];
    const int32_t lane = threadIdx.x / COLUMNS, column = threadIdx.x % COLUMNS;
    const int32_t i = blockIdx.x * COLUMNS + column; /* of [2, width] */
    float sum = 0.0f;
    for (int32_t p = lane; p < pieces && i < 2 * width; p += LANES)
        sum += partial[(int64_t)p * 2 * width + i];
    lane_sum[lane][column] = sum;
    __syncthreads();
    if (lane > 0 || i >= 2 * width) return;
    sum = 0.0f;
    for (int32_t l = 0; l < LANES; l++)
        sum += lane_sum[l][column];
    if (i < width)
        dgamma[i] += sum;
    else if (dbeta != NULL)
        dbeta[i - width] += sum;
}

void cuda_norm_forward(struct device *dev, enum norm_kind kind, act_t *y, float *mean, float *rstd,
                       const act_t *x, const act_t *gamma, const act_t *beta, int64_t rows, int32_t width,
                       int64_t x_stride, int64_t y_stride, float eps) {
    const unsigned blocks = (unsigned)(rows < INT32_MAX ? rows : INT32_MAX);
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "norm_forward", norm_forward_kernel<T>, blocks, team(width), 0, kind, y, mean, rstd,
                    x, gamma, beta, rows, width, x_stride, y_stride, eps);
    });
}

void cuda_norm_backward(struct device *dev, enum norm_kind kind, act_t *dx, float *dgamma, float *dbeta,
                        const act_t *dy, const act_t *x, const float *mean, const float *rstd,
                        const act_t *gamma, int64_t rows, int32_t width, int64_t x_stride, int64_t y_stride,
                        bool accumulate_dx) {
    const unsigned pieces = norm_pieces(rows);
    void *partial = cuda_device_of(dev)->scratch;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "norm_backward", norm_backward_kernel<T>, pieces, team(width), 0, kind, dx, partial,
                    dy, x, mean, rstd, gamma, rows, width, x_stride, y_stride, accumulate_dx);
    });
    cuda_launch(dev, "norm_backward", norm_partials_kernel, cuda_pieces(2 * width, COLUMNS), COLUMNS * LANES,
                0, dgamma, dbeta, partial, (int32_t)pieces, width);
}
