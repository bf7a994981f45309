/* grouped.cu - matrix products of experts over rows that stand sorted by expert.
 *
 * Where an expert's rows begin is known on the GPU only, so the grid is made for the worst case: every expert
 * may leave one piece of BLOCK rows unfilled. A block finds its expert from the offsets; blocks past the last
 * piece have nothing to do. Rows of x may be read where the tokens stand, so that none is moved beforehand.
 * Each element is summed by one thread in ascending order. cuBLAS's grouped product wants the sizes in the
 * host's memory, which would be a wait a layer; tests/gpu/grouped_bench.c compares the two. */
#include "cuda/cuda_operations.cuh"
#include "cuda/tile.cuh"

#define BLOCK   128 /* rows and columns of c that a block computes */
#define DEPTH   32  /* of the inner dimension at a time: a part */
#define THREADS 128 /* 2 x 2 warps of 64 x 64 */

#define BIAS_LINES 8

/* Blocks that share a multiprocessor, and parts that stand in shared memory: in bf16 two are on their way
 * while one is multiplied. */
#define BLOCKS_OF(T) (sizeof(T) == 2 ? 2 : 1)
#define PARTS_OF(T)  (sizeof(T) == 2 ? 3 : 2)

/* Chunks of an operand's part that a thread copies. */
#define LANES (BLOCK * DEPTH / TILE_CHUNK / THREADS)

/* One operand of a product: element (i, k), i along c, at x[i * stride + k], or at x[k * stride + i] if
 * `turned`. */
template <typename T> struct operand {
    const T *x;
    const int32_t *source; /* rows of x stand at these places; NULL: where they are counted */
    int64_t stride;
    int64_t count; /* of i; beyond them lie zeros */
    bool aligned;
};

/* A part in shared memory: [BLOCK][DEPTH] or, turned, [DEPTH][BLOCK], rows TILE_PAD apart. */
template <bool TURNED> struct area {
    static constexpr int wide = TURNED ? BLOCK : DEPTH;
    static constexpr int high = TURNED ? DEPTH : BLOCK;
    static constexpr int stride = wide + TILE_PAD;
    static constexpr int elements = high * stride;
};

template <bool TURNED> static __device__ inline int lane_row(int i) {
    return (static_cast<int>(threadIdx.x) + i * THREADS) / (area<TURNED>::wide / TILE_CHUNK);
}

template <bool TURNED> static __device__ inline int lane_column(int i) {
    return (static_cast<int>(threadIdx.x) + i * THREADS) % (area<TURNED>::wide / TILE_CHUNK) * TILE_CHUNK;
}

/* Rows of x that a thread copies from, -1 for zeros. Turned, each part has its own, and they are looked up
 * while the part before is copied. */
struct lane_rows {
    int32_t at[LANES];
};

template <bool TURNED, typename T>
static __device__ inline void find_rows(struct lane_rows &rows, const struct operand<T> &o, int64_t from,
                                        int64_t end) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int64_t row = from + lane_row<TURNED>(i);
        rows.at[i] = row >= end ? -1 : o.source != NULL ? o.source[row] : static_cast<int32_t>(row);
    }
}

/* Starts the copy of an operand's part: from `first` along c, from k along the inner dimension, which ends at
 * `end`. */
template <bool TURNED, typename T>
static __device__ inline void copy_part(T *shared, const struct operand<T> &o, const struct lane_rows &rows,
                                        int64_t first, int64_t k, int64_t end) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int column = lane_column<TURNED>(i);
        const int64_t wide = (TURNED ? first : k) + column;
        const bool some = rows.at[i] >= 0;
        tile_copy(shared + lane_row<TURNED>(i) * area<TURNED>::stride + column,
                  o.x + (some ? rows.at[i] * o.stride + wide : 0), some ? (TURNED ? o.count : end) - wide : 0,
                  o.aligned);
    }
}

/* An operand on its way through shared memory. */
template <bool TURNED, typename T> struct stream {
    struct operand<T> o;
    T *shared; /* PARTS_OF(T) parts */
    int64_t first;
    struct lane_rows rows;
};

template <bool TURNED, typename T>
static __device__ inline void open_stream(struct stream<TURNED, T> &s, const struct operand<T> &o, T *shared,
                                          int64_t first, int64_t begin, int64_t end) {
    s.o = o;
    s.shared = shared;
    s.first = first;
    find_rows<TURNED>(s.rows, o, TURNED ? begin : first, TURNED ? end : o.count);
}

template <bool TURNED, typename T>
static __device__ inline void next_part(struct stream<TURNED, T> &s, int place, int64_t k, int64_t end) {
    copy_part<TURNED>(s.shared + place * area<TURNED>::elements, s.o, s.rows, s.first, k, end);
    if (TURNED) find_rows<TURNED>(s.rows, s.o, k + DEPTH, end);
}

/* What a warp sums: 64 x 64 of c, as 4 x 8 units. */
struct sums {
    struct tile_c c[4][8];
};

template <bool A_TURNED, bool B_TURNED, typename T>
static __device__ inline void multiply_part(struct sums &s, const T *a, const T *b, int row, int column) {
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        struct tile_b<T> right[8];
#pragma unroll
        for (int n = 0; n < 8; n += 2) {
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
            for (int n = 0; n < 8; n++)
                tile_multiply(s.c[m][n], left, right[n]);
        }
    }
}

/* This warp's place in the block's part of c. */
static __device__ inline int warp_row(void) {
    return static_cast<int>(threadIdx.x) / CUDA_WARP / 2 * 64;
}

static __device__ inline int warp_column(void) {
    return static_cast<int>(threadIdx.x) / CUDA_WARP % 2 * 64;
}

/* Bytes of shared memory that a product takes. */
template <bool A_TURNED, bool B_TURNED, typename T> static inline size_t block_shared(void) {
    return PARTS_OF(T) * (area<A_TURNED>::elements + area<!B_TURNED>::elements) * sizeof(T);
}

/* s = the product's block at (row, column) of c, summed over [begin, end) of the inner dimension. a is
 * A_TURNED where its rows run along c, b where its rows run along the inner dimension: B_TURNED says that b
 * stands as [column][k]. A part's place is free for the next one when all have passed the barrier after it.
 */
template <bool A_TURNED, bool B_TURNED, typename T>
static __device__ inline void multiply_block(struct sums &s, const struct operand<T> &a,
                                             const struct operand<T> &b, int64_t row, int64_t column,
                                             int64_t begin, int64_t end) {
    constexpr int PARTS = PARTS_OF(T);
    CUDA_SHARED(T, shared);
    struct stream<A_TURNED, T> left;
    struct stream<!B_TURNED, T> right;
    open_stream(left, a, shared, row, begin, end);
    open_stream(right, b, shared + PARTS * area<A_TURNED>::elements, column, begin, end);
    const bool used = row + warp_row() < a.count && column + warp_column() < b.count;
    int64_t copied = begin;
    const auto copy_next = [&](int place) {
        if (copied < end) {
            next_part(left, place, copied, end);
            next_part(right, place, copied, end);
        }
        tile_copies_given();
        copied += DEPTH;
    };
    memset(&s, 0, sizeof s);
    for (int place = 0; place < PARTS - 1; place++)
        copy_next(place);
    int place = 0, free_place = PARTS - 1;
    for (int64_t k = begin; k < end; k += DEPTH) {
        tile_copies_wait<PARTS - 2>();
        __syncthreads();
        copy_next(free_place);
        if (used)
            multiply_part<A_TURNED, B_TURNED>(s, left.shared + place * area<A_TURNED>::elements,
                                              right.shared + place * area<!B_TURNED>::elements, warp_row(),
                                              warp_column());
        free_place = place;
        place = place + 1 < PARTS ? place + 1 : 0;
    }
}

/* Calls put(row, column, two sums, how many of them lie in c) for this thread's elements, two neighbours at a
 * time. */
template <typename Put>
static __device__ inline void each_pair(const struct sums &s, int64_t row, int64_t column, int64_t rows,
                                        int64_t columns, Put put) {
#pragma unroll
    for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int n = 0; n < 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i += 2) {
                const int64_t r = row + warp_row() + 16 * m + tile_row(i);
                const int64_t c = column + warp_column() + 8 * n + tile_column(i);
                const float2 pair = {s.c[m][n].v[i], s.c[m][n].v[i + 1]};
                if (r < rows && c < columns) put(r, c, pair, c + 1 < columns ? 2 : 1);
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
 * n]; row i of x at source[i]. Y: T or float. */
template <bool W_TURNED, typename T, typename Y>
static __global__ void __launch_bounds__(THREADS, BLOCKS_OF(T))
    rows_kernel(Y *y, const T *x, const int32_t *source, const T *w, const T *bias, const int32_t *offsets,
                int experts, int n, int depth, bool x_aligned, bool w_aligned, bool y_paired) {
    const struct piece p = find_piece(offsets, experts, blockIdx.y);
    if (p.expert < 0) return;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * BLOCK, expert = p.expert;
    const struct operand<T> a = { x, source, depth, p.end, x_aligned };
    const struct operand<T> b = { w + expert *n *depth, NULL, W_TURNED ? depth : n, n, w_aligned };
    struct sums s;
    multiply_block<false, W_TURNED>(s, a, b, p.first, column, 0, depth);
    each_pair(s, p.first, column, p.end, n, [=](int64_t r, int64_t c, float2 sum, int count) {
        if (bias != NULL) sum.x += act_load(bias, expert * n + c);
        if (bias != NULL && count > 1) sum.y += act_load(bias, expert * n + c + 1);
        act_store_pair(y + r * n + c, sum, count, y_paired);
    });
}

/* dw_e [out, in] += dy_e^T x_e; row i of x at source[i] */
template <typename T>
static __global__ void __launch_bounds__(THREADS, BLOCKS_OF(T))
    weights_kernel(float *dw, const T *dy, const T *x, const int32_t *source, const int32_t *offsets, int in,
                   int out, bool dy_aligned, bool x_aligned, bool dw_paired) {
    const int64_t expert = blockIdx.z, begin = offsets[expert], end = offsets[expert + 1];
    if (begin == end) return;
    const int64_t row = static_cast<int64_t>(blockIdx.y) * BLOCK,
                  column = static_cast<int64_t>(blockIdx.x) * BLOCK;
    const struct operand<T> a = { dy, NULL, out, out, dy_aligned };
    const struct operand<T> b = { x, source, in, in, x_aligned };
    struct sums s;
    multiply_block<true, false>(s, a, b, row, column, begin, end);
    float *to = dw + expert * out * in;
    each_pair(s, row, column, out, in, [=](int64_t r, int64_t c, float2 sum, int count) {
        const float2 before = act_load_pair(to + r * in + c, count, dw_paired);
        act_store_pair(to + r * in + c, make_float2(before.x + sum.x, before.y + sum.y), count, dw_paired);
    });
}

/* dbias_e [out] += sum of dy_e's rows; 32 columns by BIAS_LINES lines of rows a block */
template <typename T>
static __global__ void bias_kernel(float *dbias, const T *dy, const int32_t *offsets, int out) {
    __shared__ float part[BIAS_LINES][CUDA_WARP];
    const int64_t expert = blockIdx.y, end = offsets[expert + 1];
    const int line = static_cast<int>(threadIdx.x) / CUDA_WARP, lane = tile_lane();
    const int64_t column = static_cast<int64_t>(blockIdx.x) * CUDA_WARP + lane;
    float sum = 0.0f;
    for (int64_t r = offsets[expert] + line; r < end && column < out; r += BIAS_LINES)
        sum += act_load(dy, r * out + column);
    part[line][lane] = sum;
    __syncthreads();
    if (line != 0 || column >= out) return;
    for (int i = 1; i < BIAS_LINES; i++)
        sum += part[i][lane];
    dbias[expert * out + column] += sum;
}

/* Most pieces that max_rows rows can fall into. */
static unsigned most_pieces(int64_t max_rows, int32_t experts) {
    const int64_t whole = max_rows / BLOCK, most = whole + experts;
    return static_cast<unsigned>(most < max_rows ? most : max_rows);
}

template <typename T, typename Y>
static void forward(struct device *dev, Y *y, const T *x, const int32_t *source, const T *w, const T *bias,
                    const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in, int32_t out) {
    const dim3 grid(cuda_pieces(out, BLOCK), most_pieces(max_rows, experts));
    cuda_launch(dev, "grouped_linear_forward", rows_kernel<true, T, Y>, grid, THREADS,
                block_shared<false, true, T>(), y, x, source, w, bias, offsets, experts, out, in,
                tile_aligned(x, in), tile_aligned(w, in), act_paired(y, out));
}

void cuda_grouped_linear_forward(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                                 const act_t *w, const act_t *bias, const int32_t *offsets, int32_t experts,
                                 int64_t max_rows, int32_t in, int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        forward(dev, static_cast<T *>(y), static_cast<const T *>(x), source, static_cast<const T *>(w),
                static_cast<const T *>(bias), offsets, experts, max_rows, in, out);
    });
}

void cuda_grouped_linear_forward_float(struct device *dev, float *y, const act_t *x, const int32_t *source,
                                       const act_t *w, const act_t *bias, const int32_t *offsets,
                                       int32_t experts, int64_t max_rows, int32_t in, int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        forward(dev, y, static_cast<const T *>(x), source, static_cast<const T *>(w),
                static_cast<const T *>(bias), offsets, experts, max_rows, in, out);
    });
}

template <typename T>
static void rows_backward(struct device *dev, T *dx, const T *dy, const T *w, const int32_t *offsets,
                          int32_t experts, int64_t max_rows, int32_t in, int32_t out) {
    const T *no_bias = NULL;
    const int32_t *in_place = NULL;
    const dim3 grid(cuda_pieces(in, BLOCK), most_pieces(max_rows, experts));
    cuda_launch(dev, "grouped_linear_backward", rows_kernel<false, T, T>, grid, THREADS,
                block_shared<false, false, T>(), dx, dy, in_place, w, no_bias, offsets, experts, in, out,
                tile_aligned(dy, out), tile_aligned(w, in), act_paired(dx, in));
}

void cuda_grouped_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy_,
                                  const act_t *x_, const int32_t *source, const act_t *w,
                                  const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in,
                                  int32_t out) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        const T *dy = static_cast<const T *>(dy_), *x = static_cast<const T *>(x_);
        if (dx != NULL)
            rows_backward(dev, static_cast<T *>(dx), dy, static_cast<const T *>(w), offsets, experts,
                          max_rows, in, out);
        if (dw != NULL) {
            const dim3 grid(cuda_pieces(in, BLOCK), cuda_pieces(out, BLOCK), static_cast<unsigned>(experts));
            cuda_launch(dev, "grouped_linear_backward", weights_kernel<T>, grid, THREADS,
                        block_shared<true, false, T>(), dw, dy, x, source, offsets, in, out,
                        tile_aligned(dy, out), tile_aligned(x, in), act_paired(dw, in));
        }
        if (dbias != NULL) {
            const dim3 grid(cuda_pieces(out, CUDA_WARP), static_cast<unsigned>(experts));
            cuda_launch(dev, "grouped_linear_backward", bias_kernel<T>, grid, BIAS_LINES * CUDA_WARP, 0,
                        dbias, dy, offsets, out);
        }
    });
}
