/* attention.cu - causal attention in one pass over the keys (Dao et al. 2022): the running maximum and sum of
 * a row correct what has been added before. Values come while scores are made, the next keys while values are
 * added. */
#include "cuda/attention.cuh"

#define KEYS ATTENTION_TILE

/* A row's share in four lanes; [0] of the warp's row tile_row(0), [1] of tile_row(2). */
struct running {
    float most[2], sum[2];
};

/* s = scores of a tile, times log2 e; -inf where a query must not see a key. */
static __device__ inline void mask_scores(struct tile_c (&s)[KEYS / 8], float scale, int64_t query,
                                          int64_t key, int64_t seq) {
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t column = key + 8 * n + tile_column(i);
            const bool seen = column <= query + tile_row(i) && column < seq;
            s[n].v[i] = seen ? s[n].v[i] * scale : -INFINITY;
        }
    }
}

/* s = exp of the scores over the row's new maximum; what was summed before shrinks to it. */
template <int D>
static __device__ inline void advance(struct running &r, struct tile_c (&o)[D / 8],
                                      struct tile_c (&s)[KEYS / 8]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float most = r.most[half];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            most = fmaxf(most, fmaxf(s[n].v[2 * half], s[n].v[2 * half + 1]));
        most = attention_row_max(most);
        const float shrink = exp2f(r.most[half] - most);
        float sum = r.sum[half] * shrink;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                s[n].v[i] = exp2f(s[n].v[i] - most);
                sum += s[n].v[i];
            }
        }
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            o[n].v[2 * half] *= shrink;
            o[n].v[2 * half + 1] *= shrink;
        }
        r.most[half] = most;
        r.sum[half] = sum;
    }
}

/* Of the probabilities of 16 rows, the dropped ones become 0; the others are scaled in the end. */
static __device__ inline void drop_scores(struct tile_c (&s)[KEYS / 8], const unsigned char *keep) {
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (keep[tile_row(i) * KEYS + 8 * n + tile_column(i)] == 0) s[n].v[i] = 0.0f;
        }
    }
}

template <int D, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS)
    attention_forward_kernel(T *out, float *lse, struct attention_inputs<T> in, bool paired) {
    CUDA_SHARED(T, q_shared);
    __shared__ unsigned char keep[ATTENTION_TILE * KEYS];
    constexpr int stride = ATTENTION_STRIDE(D);
    T *k_shared = q_shared + ATTENTION_TILE * stride, *v_shared = k_shared + KEYS * stride;
    const struct attention_shape &s = in.shape;
    const int h = static_cast<int>(blockIdx.y), kv_head = h / (s.heads / s.kv_heads);
    const int64_t b = blockIdx.z;
    const int64_t first =
        static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * ATTENTION_TILE; /* longest rows first */
    const int warp_row = static_cast<int>(threadIdx.x) / CUDA_WARP * 16;
    struct tile_c o[D / 8], p[KEYS / 8];
    struct running r = {{-INFINITY, -INFINITY}, {0.0f, 0.0f}};
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        o[n] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    const auto fill = [&](T *shared, const T *x, int64_t key) {
        attention_fill<D>(shared, x, in, b, kv_head, key, first);
    };
    tile_fill<ATTENTION_TILE, D>(q_shared, in.q + attention_q_at(s, b, h, first), s.q_stride, s.seq - first,
                                 s.head_dim, in.q_aligned);
    fill(k_shared, in.k, 0);
    for (int64_t key = 0; key <= first; key += KEYS) {
        tile_copies_wait<0>();
        __syncthreads(); /* the keys are there, and the values before them no longer needed */
        fill(v_shared, in.v, key);
        if (in.drop.threshold > 0)
            attention_mask<ATTENTION_TILE>(keep, in.drop, attention_row_at(s, b, h, first), s.seq, key);
        attention_products<D>(p, q_shared + warp_row * stride, k_shared);
        mask_scores(p, s.scale * ATTENTION_LOG2_E, first + warp_row, key, s.seq);
        advance<D>(r, o, p);
        tile_copies_wait<0>();
        __syncthreads(); /* the values are there, and so is the mask; the keys no longer needed */
        fill(k_shared, in.k, key + KEYS);
        if (in.drop.threshold > 0) drop_scores(p, keep + warp_row * KEYS);
        attention_accumulate<D>(o, p, v_shared);
    }
    const float sum[2] = {attention_row_sum(r.sum[0]), attention_row_sum(r.sum[1])};
    const float scale = attention_keep_scale(in.drop);
    const int64_t row = first + warp_row;
    attention_store<D>(out + attention_out_at(s, b, h, row), static_cast<int64_t>(s.heads) * s.head_dim, o,
                       s.seq - row, s.head_dim, scale / sum[0], scale / sum[1], paired);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t t = row + tile_row(2 * half);
        if (t < s.seq && tile_lane() % 4 == 0)
            lse[attention_row_at(s, b, h, t)] = (r.most[half] + log2f(sum[half])) * ATTENTION_LN_2;
    }
}

void cuda_attention_forward(struct device *dev, act_t *out, float *lse, const act_t *q, const act_t *k,
                            const act_t *v, const struct attention_shape *shape, struct dropout drop) {
    const dim3 grid(cuda_pieces(shape->seq, ATTENTION_TILE), static_cast<unsigned>(shape->heads),
                    static_cast<unsigned>(shape->batch));
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        attention_for_width(shape->head_dim, [&](auto width) {
            constexpr int D = decltype(width)::value;
            const size_t shared = (ATTENTION_TILE + 2 * KEYS) * ATTENTION_STRIDE(D) * sizeof(T);
            cuda_launch(dev, "attention_forward", attention_forward_kernel<D, T>, grid, ATTENTION_THREADS,
                        shared, static_cast<T *>(out), lse, attention_inputs_of<T>(q, k, v, shape, drop),
                        attention_paired(static_cast<T *>(out), shape->head_dim, shape->head_dim));
        });
    });
}
