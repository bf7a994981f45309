/* attention_backward.cu - gradient of causal attention, probabilities made again from q, k and lse
 *
 * Two passes: one over the keys for dq, one over the queries for dk and dv. Each recomputes the scores, and
 * in return every element is summed by one thread in one order: no atomics, no large buffer. The next tile is
 * on its way while one is worked on. */
#include "cuda/attention.cuh"

#define KEYS ATTENTION_TILE

/* Tiles of keys that dq has room for, and of queries that dk and dv have: two where registers leave a
 * multiprocessor few blocks anyway. */
#define KEY_PLACES(D, T) (sizeof(T) == 2 && (D) <= 64 ? 2 : 1)
#define QUERY_PLACES(T)  (sizeof(T) == 2 ? 2 : 1)

template <typename T> struct attention_gradients {
    const T *dout, *out;
    const float *lse;
    bool aligned; /* dout and out can be read in chunks */
};

/* Of a tile of queries from `first` on: lse times log2 e (+inf behind the last one: its probabilities are 0),
 * and delta = dout . out, which goes to memory too. */
template <typename T>
static __device__ inline void row_facts(float *lse2, float *delta, float *delta_out,
                                        const struct attention_gradients<T> &g,
                                        const struct attention_shape &s, int64_t b, int h, int64_t first) {
    constexpr int share = ATTENTION_THREADS / ATTENTION_TILE; /* threads of a row */
    const int row = static_cast<int>(threadIdx.x) / share, part = static_cast<int>(threadIdx.x) % share;
    const int64_t t = first + row, at = attention_row_at(s, b, h, t);
    float sum = 0.0f;
    for (int d = part * TILE_CHUNK; t < s.seq && d < s.head_dim; d += share * TILE_CHUNK) {
        const int64_t from = attention_out_at(s, b, h, t) + d;
        const struct tile_chunk<T> top = tile_read(g.dout + from, s.head_dim - d, g.aligned);
        const struct tile_chunk<T> below = tile_read(g.out + from, s.head_dim - d, g.aligned);
#pragma unroll
        for (int i = 0; i < TILE_CHUNK; i++)
            sum += act_load(top.v, i) * act_load(below.v, i);
    }
#pragma unroll
    for (int step = 1; step < share; step *= 2)
        sum += __shfl_xor_sync(CUDA_ALL, sum, step);
    if (part == 0) {
        lse2[row] = t < s.seq ? g.lse[at] * ATTENTION_LOG2_E : INFINITY;
        delta[row] = sum;
        if (t < s.seq) delta_out[at] = sum;
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
    attention_dq_kernel(T *dq, float *delta_out, struct attention_gradients<T> g,
                        struct attention_inputs<T> in, bool paired) {
    CUDA_SHARED(T, q_shared);
    __shared__ unsigned char keep[ATTENTION_TILE * KEYS];
    __shared__ float lse2[ATTENTION_TILE], delta[ATTENTION_TILE];
    constexpr int stride = ATTENTION_STRIDE(D), PLACES = KEY_PLACES(D, T);
    T *dout_shared = q_shared + ATTENTION_TILE * stride, *v_shared = dout_shared + ATTENTION_TILE * stride;
    T *k_shared = v_shared + KEYS * stride;
    const struct attention_shape &s = in.shape;
    const int h = static_cast<int>(blockIdx.y), kv_head = h / (s.heads / s.kv_heads);
    const int64_t b = blockIdx.z;
    const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * ATTENTION_TILE;
    const int warp_row = static_cast<int>(threadIdx.x) / CUDA_WARP * 16;
    const bool drops = in.drop.threshold > 0;
    const float keep_scale = attention_keep_scale(in.drop);
    struct tile_c sum[D / 8], p[KEYS / 8], dp[KEYS / 8];
    const auto fill = [&](T *shared, const T *x, int64_t key) {
        attention_fill<D>(shared, x, in, b, kv_head, key, first);
    };
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        sum[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    tile_fill<ATTENTION_TILE, D>(q_shared, in.q + attention_q_at(s, b, h, first), s.q_stride, s.seq - first,
                                 s.head_dim, in.q_aligned);
    tile_fill<ATTENTION_TILE, D>(dout_shared, g.dout + attention_out_at(s, b, h, first),
                                 static_cast<int64_t>(s.heads) * s.head_dim, s.seq - first, s.head_dim,
                                 g.aligned);
    fill(k_shared, in.k, 0);
    fill(v_shared, in.v, 0);
    row_facts(lse2, delta, delta_out, g, s, b, h, first);
    for (int64_t key = 0; key <= first; key += KEYS) {
        const int place = static_cast<int>(key / KEYS) % PLACES;
        const T *keys = k_shared + place * KEYS * stride;
        tile_copies_wait<0>();
        __syncthreads(); /* keys and values are there; the keys before them no longer needed */
        if (PLACES == 2) fill(k_shared + (1 - place) * KEYS * stride, in.k, key + KEYS);
        if (drops)
            attention_mask<ATTENTION_TILE>(keep, in.drop, attention_row_at(s, b, h, first), s.seq, key);
        attention_products<D>(p, q_shared + warp_row * stride, keys);
        attention_products<D>(dp, dout_shared + warp_row * stride, v_shared);
        __syncthreads(); /* the mask is there; the values no longer needed */
        fill(v_shared, in.v, key + KEYS);
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
        attention_accumulate<D>(sum, dp, keys);
        if (PLACES == 1) {
            __syncthreads();
            fill(k_shared, in.k, key + KEYS);
        }
    }
    const int64_t row = first + warp_row;
    attention_store<D>(dq + attention_q_at(s, b, h, row), s.q_stride, sum, s.seq - row, s.head_dim, 1.0f,
                       1.0f, paired);
}

/* Where the n-th tile of queries stands that see a tile of keys: through the heads, in each from the key on.
 */
struct query_tile {
    int h;
    int64_t first;
};

/* dk and dv of a tile of keys, over the queries of all heads that read them. Here rows are keys, columns
 * queries. */
template <int D, int QUERIES, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_dkv_kernel(T *dk, T *dv, const float *delta_in, struct attention_gradients<T> g,
                         struct attention_inputs<T> in, bool paired) {
    CUDA_SHARED(T, k_shared);
    __shared__ unsigned char keep[2][QUERIES * KEYS];
    __shared__ float lse2[2][QUERIES], delta[2][QUERIES];
    constexpr int stride = ATTENTION_STRIDE(D), PLACES = QUERY_PLACES(T);
    T *v_shared = k_shared + KEYS * stride, *q_shared = v_shared + KEYS * stride;
    T *dout_shared = q_shared + PLACES * QUERIES * stride;
    const struct attention_shape &s = in.shape;
    const int kv_head = static_cast<int>(blockIdx.y), group = s.heads / s.kv_heads;
    const int64_t b = blockIdx.z, key = static_cast<int64_t>(blockIdx.x) * KEYS;
    const int64_t kv_at = attention_kv_at(s, b, kv_head, key);
    const int tiles = static_cast<int>((s.seq - key + QUERIES - 1) / QUERIES), count = tiles * group;
    const int warp_row = static_cast<int>(threadIdx.x) / CUDA_WARP * 16,
              thread = static_cast<int>(threadIdx.x);
    const bool drops = in.drop.threshold > 0;
    const float keep_scale = attention_keep_scale(in.drop);
    struct tile_c dk_sum[D / 8], dv_sum[D / 8], p[QUERIES / 8], dp[QUERIES / 8];
    const auto tile_of = [&](int n) {
        return query_tile{kv_head * group + n / tiles, key + static_cast<int64_t>(n % tiles) * QUERIES};
    };
    const auto fill = [&](int n) {
        const struct query_tile at = tile_of(n);
        const int64_t place = n % PLACES * QUERIES * stride;
        tile_fill<QUERIES, D>(q_shared + place, in.q + attention_q_at(s, b, at.h, at.first), s.q_stride,
                              s.seq - at.first, s.head_dim, in.q_aligned);
        tile_fill<QUERIES, D>(dout_shared + place, g.dout + attention_out_at(s, b, at.h, at.first),
                              static_cast<int64_t>(s.heads) * s.head_dim, s.seq - at.first, s.head_dim,
                              g.aligned);
        tile_copies_given();
    };
    /* of the thread's query: lse times log2 e, delta */
    const auto facts_of = [&](int n) {
        const struct query_tile at = tile_of(n);
        const int64_t row = attention_row_at(s, b, at.h, at.first + thread);
        if (thread >= QUERIES || at.first + thread >= s.seq) return make_float2(INFINITY, 0.0f);
        return make_float2(g.lse[row] * ATTENTION_LOG2_E, delta_in[row]);
    };
    const auto keep_facts = [&](float2 facts, int n) {
        if (thread >= QUERIES) return;
        lse2[n % 2][thread] = facts.x;
        delta[n % 2][thread] = facts.y;
    };
    const auto draw = [&](int n) {
        const struct query_tile at = tile_of(n);
        if (drops)
            attention_mask<QUERIES>(keep[n % 2], in.drop, attention_row_at(s, b, at.h, at.first), s.seq, key);
    };
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        dk_sum[n] = dv_sum[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    tile_fill<KEYS, D>(k_shared, in.k + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
    tile_fill<KEYS, D>(v_shared, in.v + kv_at, s.kv_stride, s.seq - key, s.head_dim, in.kv_aligned);
    fill(0);
    keep_facts(facts_of(0), 0);
    draw(0);
    for (int at = 0; at < count; at++) {
        const bool more = at + 1 < count;
        const T *queries = q_shared + at % PLACES * QUERIES * stride;
        const T *dout = dout_shared + at % PLACES * QUERIES * stride;
        tile_copies_wait<0>();
        __syncthreads(); /* the tile and what belongs to it are there; the one before no longer needed */
        if (PLACES == 2 && more) fill(at + 1);
        const float2 facts = more ? facts_of(at + 1) : make_float2(0.0f, 0.0f);
        if (more) draw(at + 1);
        attention_products<D>(p, k_shared + warp_row * stride, queries);
        attention_products<D>(dp, v_shared + warp_row * stride, dout);
        const int64_t first = tile_of(at).first;
#pragma unroll
        for (int n = 0; n < QUERIES / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = warp_row + tile_row(i), column = 8 * n + tile_column(i);
                const float kept = !drops ? 1.0f : keep[at % 2][column * KEYS + row] != 0 ? keep_scale : 0.0f;
                pair_gradient(p[n].v[i], dp[n].v[i], s.scale, lse2[at % 2][column], delta[at % 2][column],
                              kept, key + row <= first + column);
            }
        }
        attention_accumulate<D>(dv_sum, p, dout);
        attention_accumulate<D>(dk_sum, dp, queries);
        if (more) keep_facts(facts, at + 1);
        if (PLACES == 1 && more) {
            __syncthreads();
            fill(at + 1);
        }
    }
    const int64_t row = key + warp_row, to = attention_kv_at(s, b, kv_head, row);
    attention_store<D>(dk + to, s.kv_stride, dk_sum, s.seq - row, s.head_dim, 1.0f, 1.0f, paired);
    attention_store<D>(dv + to, s.kv_stride, dv_sum, s.seq - row, s.head_dim, 1.0f, 1.0f, paired);
}

template <int D, typename T> static size_t dq_shared(void) {
    return (2 * ATTENTION_TILE + (1 + KEY_PLACES(D, T)) * KEYS) * ATTENTION_STRIDE(D) * sizeof(T);
}

/* No kernel takes more than dq's, which has a mask, lse and delta beside its tiles. */
size_t cuda_attention_shared(void) {
    return dq_shared<ATTENTION_MAX_DIM, float>() + ATTENTION_TILE * KEYS + 2 * ATTENTION_TILE * sizeof(float);
}

void cuda_attention_backward(struct device *dev, act_t *dq_, act_t *dk_, act_t *dv_, float *delta,
                             const act_t *dout, const act_t *out, const float *lse, const act_t *q,
                             const act_t *k, const act_t *v, const struct attention_shape *shape,
                             struct dropout drop) {
    const unsigned tiles = cuda_pieces(shape->seq, ATTENTION_TILE),
                   batch = static_cast<unsigned>(shape->batch);
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        const struct attention_inputs<T> in = attention_inputs_of<T>(q, k, v, shape, drop);
        T *dq = static_cast<T *>(dq_), *dk = static_cast<T *>(dk_), *dv = static_cast<T *>(dv_);
        const int32_t dim = shape->head_dim;
        const T *gradient = static_cast<const T *>(dout), *result = static_cast<const T *>(out);
        const struct attention_gradients<T> g = {
            gradient, result, lse,
                tile_aligned(gradient, shape->head_dim) && tile_aligned(result, shape->head_dim)
        };
        attention_for_width(shape->head_dim, [&](auto width) {
            constexpr int D = decltype(width)::value;
            constexpr int QUERIES = D > 64 ? 16 : 64; /* of dk and dv, so that all fits the registers */
            const size_t row = ATTENTION_STRIDE(D) * sizeof(T);
            cuda_launch(dev, "attention_backward", attention_dq_kernel<D, T>,
                        dim3(tiles, static_cast<unsigned>(shape->heads), batch), ATTENTION_THREADS,
                        dq_shared<D, T>(), dq, delta, g, in, attention_paired(dq, shape->q_stride, dim));
            cuda_launch(dev, "attention_backward", attention_dkv_kernel<D, QUERIES, T>,
                        dim3(tiles, static_cast<unsigned>(shape->kv_heads), batch), ATTENTION_THREADS,
                        2 * (KEYS + QUERY_PLACES(T) * QUERIES) * row, dk, dv, delta, g, in,
                        attention_paired(dk, shape->kv_stride, dim) &&
                            attention_paired(dv, shape->kv_stride, dim));
        });
    });
}
