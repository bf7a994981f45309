/* attention_backward.cu - gradient of causal attention, probabilities made again from q, k and lse
 *
 * Two passes: one over the keys for dq, one over the queries for dk and dv. Each recomputes the scores, and
 * in return every element is summed by one thread in one order: no atomics, no buffer. */
#include "cuda/attention.cuh"

#define KEYS ATTENTION_TILE

template <typename T> struct attention_gradients {
    const T *dout, *out;
    const float *lse;
    bool aligned; /* dout and out can be read in chunks */
};

/* Of HEIGHT queries from `first` on: lse times log2 e (+inf behind the last one: its probabilities are 0),
 * and delta = dout . out. */
template <int HEIGHT, typename T>
static __device__ inline void row_facts(float *lse2, float *delta, const struct attention_gradients<T> &g,
                                        const struct attention_shape &s, int64_t b, int h, int64_t first) {
    constexpr int share = ATTENTION_THREADS / HEIGHT; /* threads of a row */
    const int row = static_cast<int>(threadIdx.x) / share, part = static_cast<int>(threadIdx.x) % share;
    const int64_t t = first + row;
    float sum = 0.0f;
    for (int d = part * TILE_CHUNK; t < s.seq && d < s.head_dim; d += share * TILE_CHUNK) {
        const int64_t at = attention_out_at(s, b, h, t) + d;
        const struct tile_chunk<T> top = tile_read(g.dout + at, s.head_dim - d, g.aligned);
        const struct tile_chunk<T> below = tile_read(g.out + at, s.head_dim - d, g.aligned);
#pragma unroll
        for (int i = 0; i < TILE_CHUNK; i++)
            sum += act_load(top.v, i) * act_load(below.v, i);
    }
#pragma unroll
    for (int step = 1; step < share; step *= 2)
        sum += __shfl_xor_sync(CUDA_ALL, sum, step);
    if (part == 0) {
        lse2[row] = t < s.seq ? g.lse[attention_row_at(s, b, h, t)] * ATTENTION_LOG2_E : INFINITY;
        delta[row] = sum;
    }
}

/* From a score and dp = dout . v to the kept probability (in p) and the score's gradient (in dp). Of scores
 * so large that lse's own rounding reaches the exponent, a probability stays at most 1. */
static __device__ inline void pair_gradient(float &p, float &dp, float scale, float lse2, float delta,
                                            float keep, bool seen) {
    const float probability = seen ? exp2f(fminf(p * (scale * ATTENTION_LOG2_E) - lse2, 0.0f)) : 0.0f;
    dp = scale * probability * (keep * dp - delta);
    p = probability * keep;
}

/* dq of a tile of queries, over the keys. */
template <int D, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_dq_kernel(T *dq, struct attention_gradients<T> g, struct attention_inputs<T> in) {
    CUDA_SHARED(T, q_shared);
    __shared__ unsigned char keep[ATTENTION_TILE * KEYS];
    __shared__ float lse2[ATTENTION_TILE], delta[ATTENTION_TILE];
    constexpr int stride = ATTENTION_STRIDE(D);
    T *dout_shared = q_shared + ATTENTION_TILE * stride, *k_shared = dout_shared + ATTENTION_TILE * stride;
    T *v_shared = k_shared + KEYS * stride;
    const struct attention_shape &s = in.shape;
    const int h = static_cast<int>(blockIdx.y), kv_head = h / (s.heads / s.kv_heads);
    const int64_t b = blockIdx.z;
    const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * ATTENTION_TILE;
    const int warp_row = static_cast<int>(threadIdx.x) / CUDA_WARP * 16;
    const bool drops = in.drop.threshold > 0;
    const float keep_scale = attention_keep_scale(in.drop);
    struct tile_c sum[D / 8], p[KEYS / 8], dp[KEYS / 8];
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        sum[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    tile_fill<ATTENTION_TILE, D>(q_shared, in.q + attention_q_at(s, b, h, first), s.q_stride, s.seq - first,
                                 s.head_dim, in.q_aligned);
    tile_fill<ATTENTION_TILE, D>(dout_shared, g.dout + attention_out_at(s, b, h, first),
                                 static_cast<int64_t>(s.heads) * s.head_dim, s.seq - first, s.head_dim,
                                 g.aligned);
    row_facts<ATTENTION_TILE>(lse2, delta, g, s, b, h, first);
    for (int64_t key = 0; key <= first; key += KEYS) {
        const int64_t kv_at = attention_kv_at(s, b, kv_head, key);
        tile_fill<KEYS, D>(k_shared, in.k + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
        tile_fill<KEYS, D>(v_shared, in.v + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
        if (drops)
            attention_mask<ATTENTION_TILE>(keep, in.drop, attention_row_at(s, b, h, first), s.seq, key);
        __syncthreads();
        attention_products<D>(p, q_shared + warp_row * stride, k_shared);
        attention_products<D>(dp, dout_shared + warp_row * stride, v_shared);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = warp_row + tile_row(i), column = 8 * n + tile_column(i);
                const float kept = !drops ? 1.0f : keep[row * KEYS + column] != 0 ? keep_scale : 0.0f;
                pair_gradient(p[n].v[i], dp[n].v[i], s.scale, lse2[row], delta[row], kept,
                              key + column <= first + row);
            }
        }
        attention_accumulate<D>(sum, dp, k_shared);
        __syncthreads();
    }
    const int64_t row = first + warp_row;
    attention_store<D>(dq + attention_q_at(s, b, h, row), s.q_stride, sum, s.seq - row, s.head_dim, 1.0f,
                       1.0f);
}

/* dk and dv of a tile of keys, over the queries of all heads that read them. Here rows are keys, columns
 * queries. */
template <int D, int QUERIES, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_dkv_kernel(T *dk, T *dv, struct attention_gradients<T> g, struct attention_inputs<T> in) {
    CUDA_SHARED(T, k_shared);
    __shared__ unsigned char keep[QUERIES * KEYS];
    __shared__ float lse2[QUERIES], delta[QUERIES];
    constexpr int stride = ATTENTION_STRIDE(D);
    T *v_shared = k_shared + KEYS * stride, *q_shared = v_shared + KEYS * stride;
    T *dout_shared = q_shared + QUERIES * stride;
    const struct attention_shape &s = in.shape;
    const int kv_head = static_cast<int>(blockIdx.y), group = s.heads / s.kv_heads;
    const int64_t b = blockIdx.z, key = static_cast<int64_t>(blockIdx.x) * KEYS;
    const int64_t kv_at = attention_kv_at(s, b, kv_head, key);
    const int warp_row = static_cast<int>(threadIdx.x) / CUDA_WARP * 16;
    const bool drops = in.drop.threshold > 0;
    const float keep_scale = attention_keep_scale(in.drop);
    struct tile_c dk_sum[D / 8], dv_sum[D / 8], p[QUERIES / 8], dp[QUERIES / 8];
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        dk_sum[n] = dv_sum[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    tile_fill<KEYS, D>(k_shared, in.k + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
    tile_fill<KEYS, D>(v_shared, in.v + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
    for (int h = kv_head * group; h < (kv_head + 1) * group; h++) {
        for (int64_t first = key; first < s.seq; first += QUERIES) {
            tile_fill<QUERIES, D>(q_shared, in.q + attention_q_at(s, b, h, first), s.q_stride, s.seq - first,
                                  s.head_dim, in.q_aligned);
            tile_fill<QUERIES, D>(dout_shared, g.dout + attention_out_at(s, b, h, first),
                                  static_cast<int64_t>(s.heads) * s.head_dim, s.seq - first, s.head_dim,
                                  g.aligned);
            row_facts<QUERIES>(lse2, delta, g, s, b, h, first);
            if (drops) attention_mask<QUERIES>(keep, in.drop, attention_row_at(s, b, h, first), s.seq, key);
            __syncthreads();
            attention_products<D>(p, k_shared + warp_row * stride, q_shared);
            attention_products<D>(dp, v_shared + warp_row * stride, dout_shared);
#pragma unroll
            for (int n = 0; n < QUERIES / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int row = warp_row + tile_row(i), column = 8 * n + tile_column(i);
                    const float kept = !drops ? 1.0f : keep[column * KEYS + row] != 0 ? keep_scale : 0.0f;
                    pair_gradient(p[n].v[i], dp[n].v[i], s.scale, lse2[column], delta[column], kept,
                                  key + row <= first + column);
                }
            }
            attention_accumulate<D>(dv_sum, p, dout_shared);
            attention_accumulate<D>(dk_sum, dp, q_shared);
            __syncthreads();
        }
    }
    const int64_t row = key + warp_row, to = attention_kv_at(s, b, kv_head, row);
    attention_store<D>(dk + to, s.kv_stride, dk_sum, s.seq - row, s.head_dim, 1.0f, 1.0f);
    attention_store<D>(dv + to, s.kv_stride, dv_sum, s.seq - row, s.head_dim, 1.0f, 1.0f);
}

void cuda_attention_backward(struct device *dev, act_t *dq, act_t *dk, act_t *dv, const act_t *dout,
                             const act_t *out, const float *lse, const act_t *q, const act_t *k,
                             const act_t *v, const struct attention_shape *shape, struct dropout drop) {
    const unsigned tiles = cuda_pieces(shape->seq, ATTENTION_TILE),
                   batch = static_cast<unsigned>(shape->batch);
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        const struct attention_inputs<T> in = attention_inputs_of<T>(q, k, v, shape, drop);
        const T *gradient = static_cast<const T *>(dout), *result = static_cast<const T *>(out);
        const struct attention_gradients<T> g = {
            gradient, result, lse,
                tile_aligned(gradient, shape->head_dim) && tile_aligned(result, shape->head_dim)
        };
        attention_for_width(shape->head_dim, [&](auto width) {
            constexpr int D = decltype(width)::value;
            constexpr int QUERIES = D > 64 ? 32 : 64; /* of dk and dv: both sums and two tiles are held */
            const size_t row = ATTENTION_STRIDE(D) * sizeof(T);
            cuda_launch(dev, "attention_backward", attention_dq_kernel<D, T>,
                        dim3(tiles, static_cast<unsigned>(shape->heads), batch), ATTENTION_THREADS,
                        2 * (ATTENTION_TILE + KEYS) * row, static_cast<T *>(dq), g, in);
            cuda_launch(dev, "attention_backward", attention_dkv_kernel<D, QUERIES, T>,
                        dim3(tiles, static_cast<unsigned>(shape->kv_heads), batch), ATTENTION_THREADS,
                        2 * (KEYS + QUERIES) * row, static_cast<T *>(dk), static_cast<T *>(dv), g, in);
        });
    });
}
