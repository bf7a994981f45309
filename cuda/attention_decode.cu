/* attention_decode.cu - attention of new rows over a cache: a block has one query of one head, its warps take
 * turns at the keys, the lanes share a head's elements. */
#include "cuda/attention.cuh"
#include "cuda/reduce.cuh"

#define WARPS 4
#define EACH  (ATTENTION_MAX_DIM / CUDA_WARP) /* elements of a head in a lane: lane, lane + 32, ... */

template <typename T>
static __global__ void cache_append_kernel(T *k_cache, T *v_cache, const T *k, const T *v,
                                           struct attention_shape s, struct cache_shape cache) {
    const int64_t width = static_cast<int64_t>(s.kv_heads) * s.head_dim;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= s.batch * s.seq * width) return;
    const int64_t row = at / width, i = at % width;
    const int64_t to = (row / s.seq * cache.capacity + cache.first + row % s.seq) * width + i;
    k_cache[to] = k[row * s.kv_stride + i];
    v_cache[to] = v[row * s.kv_stride + i];
}

/* What a warp has seen of the keys: maximum and sum of the scores, and the mix of values. */
struct mix {
    float most, sum, value[EACH];
};

template <typename T>
static __device__ inline void see_key(struct mix &m, const float *q, const T *k, const T *v, float scale,
                                      int head_dim) {
    float dot = 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int d = tile_lane() + i * CUDA_WARP;
        if (d < head_dim) dot += q[i] * act_load(k, d);
    }
    const float score = warp_sum(dot) * scale, most = fmaxf(m.most, score);
    const float shrink = exp2f(m.most - most), p = exp2f(score - most);
    m.sum = m.sum * shrink + p;
    m.most = most;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int d = tile_lane() + i * CUDA_WARP;
        if (d < head_dim) m.value[i] = m.value[i] * shrink + p * act_load(v, d);
    }
}

template <typename T>
static __global__ void attention_decode_kernel(T *out, const T *k_cache, const T *v_cache, const T *q,
                                               struct attention_shape s, struct cache_shape cache) {
    __shared__ struct mix parts[WARPS][CUDA_WARP];
    const int64_t row = blockIdx.x, width = static_cast<int64_t>(s.kv_heads) * s.head_dim;
    const int h = static_cast<int>(blockIdx.y), warp = static_cast<int>(threadIdx.x) / CUDA_WARP,
              lane = tile_lane();
    const int64_t head =
        row / s.seq * cache.capacity * width + static_cast<int64_t>(h / (s.heads / s.kv_heads)) * s.head_dim;
    const int64_t keys = cache.first + row % s.seq + 1;
    float own[EACH];
    struct mix m = {-INFINITY, 0.0f, {}};
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int d = lane + i * CUDA_WARP;
        own[i] =
            d < s.head_dim ? act_load(q, row * s.q_stride + static_cast<int64_t>(h) * s.head_dim + d) : 0.0f;
    }
    for (int64_t j = warp; j < keys; j += WARPS)
        see_key(m, own, k_cache + head + j * width, v_cache + head + j * width, s.scale * ATTENTION_LOG2_E,
                s.head_dim);
    parts[warp][lane] = m;
    __syncthreads();
    if (warp != 0) return;
    float most = parts[0][lane].most, sum = 0.0f, value[EACH] = {};
    for (int w = 1; w < WARPS; w++)
        most = fmaxf(most, parts[w][lane].most);
    for (int w = 0; w < WARPS; w++) {
        const float shrink = exp2f(parts[w][lane].most - most); /* 0 of a warp without keys */
        sum += parts[w][lane].sum * shrink;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            value[i] += parts[w][lane].value[i] * shrink;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int d = lane + i * CUDA_WARP;
        if (d < s.head_dim) act_store(out, (row * s.heads + h) * s.head_dim + d, value[i] / sum);
    }
}

void cuda_attention_decode(struct device *dev, act_t *out, act_t *k_cache, act_t *v_cache, const act_t *q,
                           const act_t *k, const act_t *v, const struct attention_shape *shape,
                           const struct cache_shape *cache) {
    const int64_t rows = shape->batch * shape->seq,
                  width = static_cast<int64_t>(shape->kv_heads) * shape->head_dim;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "attention_decode", cache_append_kernel<T>, dim3(cuda_pieces(rows * width, 256)),
                    256, 0, static_cast<T *>(k_cache), static_cast<T *>(v_cache), static_cast<const T *>(k),
                    static_cast<const T *>(v), *shape, *cache);
        cuda_launch(dev, "attention_decode", attention_decode_kernel<T>,
                    dim3(static_cast<unsigned>(rows), static_cast<unsigned>(shape->heads)), WARPS * CUDA_WARP,
                    0, static_cast<T *>(out), static_cast<const T *>(k_cache),
                    static_cast<const T *>(v_cache), static_cast<const T *>(q), *shape, *cache);
    });
}
