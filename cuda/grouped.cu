/* grouped.cu - matrix products of experts over rows that stand sorted by expert.
 *
 * Where an expert's rows begin is known on the GPU only, so the grid is made for the worst case: every expert
 * may leave one piece of BLOCK rows unfilled. A block finds its expert from the offsets; blocks past the last
 * piece have nothing to do. Each element is summed by one thread in ascending order. */
#include "cuda/cuda_operations.cuh"
#include "cuda/tile.cuh"

#define BLOCK   128 /* rows and columns of c that a block computes */
#define DEPTH   32  /* of the inner dimension at a time */
#define THREADS 256 /* 2 x 4 warps of 64 x 32 */

/* Blocks that share a multiprocessor: in bf16 one multiplies while the other waits for memory. */
#define BLOCKS_OF(T) (sizeof(T) == 2 ? 2 : 1)

/* Chunks of an operand that a thread moves at a time. */
#define LANES (BLOCK * DEPTH / TILE_CHUNK / THREADS)

/* One operand of a product: element (i, k), i along c, at x[i * stride + k], or at x[k * stride + i] if
 * `turned`. */
template <typename T> struct operand {
    const T *x;
    int64_t stride;
    int64_t count, depth; /* of i and k; beyond them lie zeros */
    bool aligned;
};

template <typename T> struct stage { struct tile_chunk<T> chunk[LANES]; };

/* Shared memory of an operand: [BLOCK][DEPTH] or, turned, [DEPTH][BLOCK], rows TILE_PAD apart. */
template <bool TURNED> struct area {
    static constexpr int wide = TURNED ? BLOCK : DEPTH;
    static constexpr int high = TURNED ? DEPTH : BLOCK;
    static constexpr int stride = wide + TILE_PAD;
    static constexpr int elements = high * stride;
};

/* Reads the part of an operand from `first` along c and `k` on. */
template <bool TURNED, typename T>
static __device__ inline void read_stage(struct stage<T> &s, const struct operand<T> &o, int64_t first,
                                         int64_t k) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int at = static_cast<int>(threadIdx.x) + i * THREADS;
        const int row = at / (area<TURNED>::wide / TILE_CHUNK),
                  column = at % (area<TURNED>::wide / TILE_CHUNK) * TILE_CHUNK;
        const int64_t high = (TURNED ? k : first) + row, wide = (TURNED ? first : k) + column;
        const int64_t left = high < (TURNED ? o.depth : o.count) ? (TURNED ? o.count : o.depth) - wide : 0;
        s.chunk[i] = tile_read(o.x + high * o.stride + wide, left, o.aligned);
    }
}

template <bool TURNED, typename T>
static __device__ inline void write_stage(T *shared, const struct stage<T> &s) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int at = static_cast<int>(threadIdx.x) + i * THREADS;
        const int row = at / (area<TURNED>::wide / TILE_CHUNK),
                  column = at % (area<TURNED>::wide / TILE_CHUNK) * TILE_CHUNK;
        *reinterpret_cast<struct tile_chunk<T> *>(shared + row * area<TURNED>::stride + column) = s.chunk[i];
    }
}

/* What a warp sums: 64 x 32 of c, as 4 x 4 units. */
struct sums {
    struct tile_c c[4][4];
};

template <bool A_TURNED, bool B_TURNED, typename T>
static __device__ inline void multiply_stage(struct sums &s, const T *a, const T *b, int row, int column,
                                             bool used) {
    if (!used) return; /* the whole warp lies below the last row */
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        struct tile_b<T> right[4];
        for (int n = 0; n < 4; n += 2) {
            if (B_TURNED)
                tile_load_b_turned(right + n, b + (column + 8 * n) * area<false>::stride + k,
                                   area<false>::stride);
            else
                tile_load_b(right + n, b + k * area<true>::stride + column + 8 * n, area<true>::stride);
        }
#pragma unroll
        for (int m = 0; m < 4; m++) {
            const struct tile_a<T> left =
                A_TURNED ? tile_load_a_turned(a + k * area<true>::stride + row + 16 * m, area<true>::stride)
                         : tile_load_a(a + (row + 16 * m) * area<false>::stride + k, area<false>::stride);
#pragma unroll
            for (int n = 0; n < 4; n++)
                tile_multiply(s.c[m][n], left, right[n]);
        }
    }
}

/* s = the product's block at (row, column) of c. a is A_TURNED where its rows run along c, b where its rows
 * run along the inner dimension: B_TURNED says that b stands as [column][k]. The next part is read while one
 * is multiplied. */
template <bool A_TURNED, bool B_TURNED, typename T>
static __device__ inline void multiply_block(struct sums &s, const struct operand<T> &a,
                                             const struct operand<T> &b, int64_t row, int64_t column) {
    __shared__ __align__(16) T a_shared[area<A_TURNED>::elements];
    __shared__ __align__(16) T b_shared[area<!B_TURNED>::elements];
    struct stage<T> a_next, b_next;
    const int warp = static_cast<int>(threadIdx.x) / CUDA_WARP, warp_row = warp / 4 * 64,
              warp_column = warp % 4 * 32;
    const bool used = row + warp_row < a.count && column + warp_column < b.count;
    memset(&s, 0, sizeof s);
    read_stage<A_TURNED>(a_next, a, row, 0);
    read_stage<!B_TURNED>(b_next, b, column, 0);
    for (int64_t k = 0; k < a.depth; k += DEPTH) {
        write_stage<A_TURNED>(a_shared, a_next);
        write_stage<!B_TURNED>(b_shared, b_next);
        __syncthreads();
        if (k + DEPTH < a.depth) {
            read_stage<A_TURNED>(a_next, a, row, k + DEPTH);
            read_stage<!B_TURNED>(b_next, b, column, k + DEPTH);
        }
        multiply_stage<A_TURNED, B_TURNED>(s, a_shared, b_shared, warp_row, warp_column, used);
        __syncthreads();
    }
}

/* Calls put(row, column, sum) for this thread's elements that lie in c. */
template <typename Put>
static __device__ inline void each_sum(const struct sums &s, int64_t row, int64_t column, int64_t rows,
                                       int64_t columns, Put put) {
    const int warp = static_cast<int>(threadIdx.x) / CUDA_WARP;
#pragma unroll
    for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int64_t r = row + warp / 4 * 64 + 16 * m + tile_row(i);
                const int64_t c = column + warp % 4 * 32 + 8 * n + tile_column(i);
                if (r < rows && c < columns) put(r, c, s.c[m][n].v[i]);
            }
        }
    }
}

/* Piece number `piece` of BLOCK rows, counted through the experts: whose it is, and its first row. */
struct piece {
    int expert; /* -1: past the last one */
    int64_t first, end;
};

static __device__ inline struct piece find_piece(const int32_t *offsets, int experts, int64_t piece) {
    int64_t before = 0;
    for (int from = 0; from < experts; from += CUDA_WARP) {
        const int e = from + tile_lane();
        const int32_t begin = e < experts ? offsets[e] : 0, end = e < experts ? offsets[e + 1] : 0;
        int64_t through = (end - begin + BLOCK - 1) / BLOCK; /* pieces up to this lane's expert */
        for (int step = 1; step < CUDA_WARP; step *= 2) {
            const int64_t lower = __shfl_up_sync(CUDA_ALL, through, static_cast<unsigned>(step));
            if (tile_lane() >= step) through += lower;
        }
        const unsigned reached = __ballot_sync(CUDA_ALL, before + through > piece);
        if (reached != 0) {
            const int lane = __ffs(static_cast<int>(reached)) - 1;
            const int64_t pieces = (end - begin + BLOCK - 1) / BLOCK;
            const int64_t own = __shfl_sync(CUDA_ALL, piece - (before + through - pieces), lane);
            const int32_t its_begin = __shfl_sync(CUDA_ALL, begin, lane),
                          its_end = __shfl_sync(CUDA_ALL, end, lane);
            return {from + lane, its_begin + own * BLOCK, its_end};
        }
        before += __shfl_sync(CUDA_ALL, through, CUDA_WARP - 1);
    }
    return {-1, 0, 0};
}

/* y [rows, n] = x [rows, depth] times w_e, which stands as [n, depth] (W_TURNED) or [depth, n], + bias [E,
 * n]. Y: T or float. */
template <bool W_TURNED, typename T, typename Y>
static __global__ void __launch_bounds__(THREADS, BLOCKS_OF(T))
    rows_kernel(Y *y, const T *x, const T *w, const T *bias, const int32_t *offsets, int experts, int n,
                int depth, bool x_aligned, bool w_aligned) {
    const struct piece p = find_piece(offsets, experts, blockIdx.y);
    if (p.expert < 0) return;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * BLOCK, expert = p.expert;
    const struct operand<T> a = { x, depth, p.end, depth, x_aligned };
    const struct operand<T> b = { w + expert *n *depth, W_TURNED ? depth : n, n, depth, w_aligned };
    struct sums s;
    multiply_block<false, W_TURNED>(s, a, b, p.first, column);
    each_sum(s, p.first, column, p.end, n, [=](int64_t r, int64_t c, float sum) {
        act_store(y, r * n + c, bias != NULL ? sum + act_load(bias, expert * n + c) : sum);
    });
}

/* dw_e [out, in] += dy_e^T x_e */
template <typename T>
static __global__ void __launch_bounds__(THREADS, BLOCKS_OF(T))
    weights_kernel(float *dw, const T *dy, const T *x, const int32_t *offsets, int in, int out,
                   bool dy_aligned, bool x_aligned) {
    const int64_t expert = blockIdx.z, begin = offsets[expert], rows = offsets[expert + 1] - begin;
    if (rows == 0) return;
    const int64_t row = static_cast<int64_t>(blockIdx.y) * BLOCK,
                  column = static_cast<int64_t>(blockIdx.x) * BLOCK;
    const struct operand<T> a = { dy + begin *out, out, out, rows, dy_aligned };
    const struct operand<T> b = { x + begin *in, in, in, rows, x_aligned };
    struct sums s;
    multiply_block<true, false>(s, a, b, row, column);
    float *to = dw + expert * out * in;
    each_sum(s, row, column, out, in, [=](int64_t r, int64_t c, float sum) { to[r * in + c] += sum; });
}

/* dbias_e [out] += sum of dy_e's rows; 32 columns by 8 lines of rows a block */
template <typename T>
static __global__ void bias_kernel(float *dbias, const T *dy, const int32_t *offsets, int out) {
    __shared__ float part[8][CUDA_WARP];
    const int64_t expert = blockIdx.y, end = offsets[expert + 1];
    const int line = static_cast<int>(threadIdx.x) / CUDA_WARP, lane = tile_lane();
    const int64_t column = static_cast<int64_t>(blockIdx.x) * CUDA_WARP + lane;
    float sum = 0.0f;
    for (int64_t r = offsets[expert] + line; r < end && column < out; r += 8)
        sum += act_load(dy, r * out + column);
    part[line][lane] = sum;
    __syncthreads();
    if (line != 0 || column >= out) return;
    for (int i = 1; i < 8; i++)
        sum += part[i][lane];
    dbias[expert * out + column] += sum;
}

/* Most pieces that max_rows rows can fall into. */
static unsigned most_pieces(int64_t max_rows, int32_t experts) {
    const int64_t whole = max_rows / BLOCK, most = whole + experts;
    return static_cast<unsigned>(most < max_rows ? most : max_rows);
}

template <typename T, typename Y>
static void forward(struct device *dev, Y *y, const T *x, const T *w, const T *bias, const int32_t *offsets,
                    int32_t experts, int64_t max_rows, int32_t in, int32_t out) {
    const dim3 grid(cuda_pieces(out, BLOCK), most_pieces(max_rows, experts));
    cuda_launch(dev, "grouped_linear_forward", rows_kernel<true, T, Y>, grid, THREADS, 0, y, x, w, bias,
                offsets, experts, out, in, tile_aligned(x, in), tile_aligned(w, in));
}

void cuda_grouped_linear_forward(struct device *dev, act_t *y, const act_t *x, const act_t *w,
                                 const act_t *bias, const int32_t *offsets, int32_t experts, int64_t max_rows,
                                 int32_t in, int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        forward(dev, static_cast<T *>(y), static_cast<const T *>(x), static_cast<const T *>(w),
                static_cast<const T *>(bias), offsets, experts, max_rows, in, out);
    });
}

void cuda_grouped_linear_forward_float(struct device *dev, float *y, const act_t *x, const act_t *w,
                                       const act_t *bias, const int32_t *offsets, int32_t experts,
                                       int64_t max_rows, int32_t in, int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        forward(dev, y, static_cast<const T *>(x), static_cast<const T *>(w), static_cast<const T *>(bias),
                offsets, experts, max_rows, in, out);
    });
}

void cuda_grouped_linear_backward(struct device *dev, act_t *dx_, float *dw, float *dbias, const act_t *dy_,
                                  const act_t *x_, const act_t *w_, const int32_t *offsets, int32_t experts,
                                  int64_t max_rows, int32_t in, int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        const T *dy = static_cast<const T *>(dy_), *x = static_cast<const T *>(x_),
                *w = static_cast<const T *>(w_);
        const T *no_bias = NULL;
        if (dx_ != NULL) {
            const dim3 grid(cuda_pieces(in, BLOCK), most_pieces(max_rows, experts));
            cuda_launch(dev, "grouped_linear_backward", rows_kernel<false, T, T>, grid, THREADS, 0,
                        static_cast<T *>(dx_), dy, w, no_bias, offsets, experts, in, out,
                        tile_aligned(dy, out), tile_aligned(w, in));
        }
        if (dw != NULL) {
            const dim3 grid(cuda_pieces(in, BLOCK), cuda_pieces(out, BLOCK), static_cast<unsigned>(experts));
            cuda_launch(dev, "grouped_linear_backward", weights_kernel<T>, grid, THREADS, 0, dw, dy, x,
                        offsets, in, out, tile_aligned(dy, out), tile_aligned(x, in));
        }
        if (dbias != NULL) {
            const dim3 grid(cuda_pieces(out, CUDA_WARP), static_cast<unsigned>(experts));
            cuda_launch(dev, "grouped_linear_backward", bias_kernel<T>, grid, THREADS, 0, dbias, dy, offsets,
                        out);
        }
    });
}
