/* attention.cuh - what forward and backward of attention share: where a head's rows stand, scores of a tile,
 * dropout.
 *
 * Tiles of 64 queries by 64 keys (or fewer queries); a warp has 16 of the tile's rows. Scores are kept times
 * log2 e, so that exponentials are powers of two. */
#ifndef CUDA_ATTENTION_CUH
#define CUDA_ATTENTION_CUH

#include "cuda/cuda_operations.cuh"
#include "cuda/tile.cuh"

#define ATTENTION_TILE      64  /* positions */
#define ATTENTION_THREADS   128 /* 4 warps */
#define ATTENTION_MAX_DIM   128 /* widest head */
#define ATTENTION_LOG2_E    1.4426950408889634f
#define ATTENTION_LN_2      0.6931471805599453f
#define ATTENTION_STRIDE(D) ((D) + TILE_PAD) /* of a head's rows in shared memory */

template <typename T> struct attention_inputs {
    const T *q, *k, *v;
    struct attention_shape shape;
    struct dropout drop;
    bool q_aligned, kv_aligned;
};

template <typename T>
static inline struct attention_inputs<T> attention_inputs_of(const act_t *q, const act_t *k, const act_t *v,
                                                             const struct attention_shape *shape,
                                                             struct dropout drop) {
    const bool whole = shape->head_dim % TILE_CHUNK == 0;
    struct attention_inputs<T> in = {
        static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v), *shape, drop, false,
            false
    };
    in.q_aligned = whole && tile_aligned(in.q, shape->q_stride);
    in.kv_aligned = whole && tile_aligned(in.k, shape->kv_stride) && tile_aligned(in.v, shape->kv_stride);
    return in;
}

/* Elements from a tensor's base to position t of a head. */
static __device__ inline int64_t
attention_q_at(const struct attention_shape &s, int64_t b, int h, int64_t t) {
    return (b * s.seq + t) * s.q_stride + static_cast<int64_t>(h) * s.head_dim;
}

static __device__ inline int64_t attention_kv_at(const struct attention_shape &s, int64_t b, int kv_head,
                                                 int64_t t) {
    return (b * s.seq + t) * s.kv_stride + static_cast<int64_t>(kv_head) * s.head_dim;
}

static __device__ inline int64_t attention_out_at(const struct attention_shape &s, int64_t b, int h,
                                                  int64_t t) {
    return ((b * s.seq + t) * s.heads + h) * s.head_dim;
}

/* Row of lse, and of the dropout mask. */
static __device__ inline int64_t attention_row_at(const struct attention_shape &s, int64_t b, int h,
                                                  int64_t t) {
    return (b * s.heads + h) * s.seq + t;
}

/* Starts to copy a tile of keys or values (x) of a query tile's head, unless it lies behind the tile: no
 * query sees it. A batch of its own in any case. */
template <int D, typename T>
static __device__ inline void attention_fill(T *shared, const T *x, const struct attention_inputs<T> &in,
                                             int64_t b, int kv_head, int64_t key, int64_t first_query) {
    const struct attention_shape &s = in.shape;
    if (key <= first_query)
        tile_fill<ATTENTION_TILE, D>(shared, x + attention_kv_at(s, b, kv_head, key), s.kv_stride,
                                     s.seq - key, s.head_dim, in.kv_aligned);
    tile_copies_given();
}

/* c [16, 8 N] = a b^T over D: a's 16 rows and b's 8 N rows stand in shared memory. */
template <int D, int N, typename T>
static __device__ inline void attention_products(struct tile_c (&c)[N], const T *a, const T *b) {
    constexpr int stride = ATTENTION_STRIDE(D);
#pragma unroll
    for (int n = 0; n < N; n++)
        c[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        const struct tile_a<T> left = tile_load_a(a + k, stride);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            struct tile_b<T> right[2];
            tile_load_b_turned(right, b + 8 * n * stride + k, stride);
            tile_multiply(c[n], left, right[0]);
            tile_multiply(c[n + 1], left, right[1]);
        }
    }
}

/* c [16, D] += p [16, 8 N] b: p in registers, b's 8 N rows in shared memory. */
template <int D, int N, typename T>
static __device__ inline void attention_accumulate(struct tile_c (&c)[D / 8], const struct tile_c (&p)[N],
                                                   const T *b) {
    constexpr int stride = ATTENTION_STRIDE(D);
#pragma unroll
    for (int k = 0; k < N; k += 2) {
        struct tile_a<T> left;
        tile_as_a(left, p[k], p[k + 1]);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            struct tile_b<T> right[2];
            tile_load_b(right, b + 8 * k * stride + 8 * n, stride);
            tile_multiply(c[n], left, right[0]);
            tile_multiply(c[n + 1], left, right[1]);
        }
    }
}

/* Rows of c times a factor, into 16 rows of a tensor of which `rows` exist. paired: attention_paired() of it.
 */
template <int D, typename T>
static __device__ inline void attention_store(T *to, int64_t stride, const struct tile_c (&c)[D / 8],
                                              int64_t rows, int head_dim, float above, float below,
                                              bool paired) {
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const int column = 8 * n + tile_column(i);
            const float factor = i < 2 ? above : below;
            const float2 pair = {c[n].v[i] * factor, c[n].v[i + 1] * factor};
            if (tile_row(i) < rows && column < head_dim)
                act_store_pair(to + tile_row(i) * stride + column, pair, column + 1 < head_dim ? 2 : 1,
                               paired);
        }
    }
}

/* True if two neighbours of a head of a tensor can be stored together. */
template <typename T> static inline bool attention_paired(const T *x, int64_t stride, int32_t head_dim) {
    return act_paired(x, stride) && head_dim % 2 == 0;
}

/* keep [HEIGHT, ATTENTION_TILE] = which probabilities dropout keeps: rows are queries from row_at on, columns
 * keys from `key` on. Each block of random words is drawn once. */
template <int HEIGHT>
static __device__ inline void attention_mask(unsigned char *keep, const struct dropout &drop, int64_t row_at,
                                             int64_t seq, int64_t key) {
    constexpr int blocks = ATTENTION_TILE / 8 + 1; /* that a row can touch */
    for (int i = static_cast<int>(threadIdx.x); i < HEIGHT * blocks; i += ATTENTION_THREADS) {
        const int row = i / blocks;
        const int64_t first = (row_at + row) * seq + key, block = first / 8 + i % blocks;
        const struct philox_block words = philox_block_at(drop.key, static_cast<uint64_t>(block));
#pragma unroll
        for (int w = 0; w < 8; w++) {
            const int64_t column = 8 * block + w - first;
            if (column >= 0 && column < ATTENTION_TILE)
                keep[row * ATTENTION_TILE + column] = dropout_word(words, w) >= drop.threshold;
        }
    }
}

static __device__ inline float attention_keep_scale(const struct dropout &drop) {
    return 65536.0f / (65536.0f - static_cast<float>(drop.threshold));
}

/* Sum and maximum over the four lanes that share a row of c. */
static __device__ inline float attention_row_sum(float x) {
    x += __shfl_xor_sync(CUDA_ALL, x, 1);
    return x + __shfl_xor_sync(CUDA_ALL, x, 2);
}

static __device__ inline float attention_row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(CUDA_ALL, x, 1));
    return fmaxf(x, __shfl_xor_sync(CUDA_ALL, x, 2));
}

/* Calls body with the smallest width of a kernel that holds a head, as a type: decltype(width)::value. */
template <int D> struct attention_width { static constexpr int value = D; };

template <typename Body> static inline void attention_for_width(int32_t head_dim, Body body) {
    if (head_dim <= 32)
        body(attention_width<32>());
    else if (head_dim <= 64)
        body(attention_width<64>());
    else
        body(attention_width<128>());
}

#endif
