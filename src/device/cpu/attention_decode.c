/* Attention of new rows over a cache of keys and values. One query of one head is a piece of work: with one
 * row at a time there is nothing for a matrix product to reuse, the cache is read once whatever the order. */
#include <assert.h>
#include <string.h>

#include <omp.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/rows.h"

#define ALONE_WORK 16384 /* multiplications that are not worth waking other threads for */

/* Copies the new rows of keys (or values) to their positions in the cache. */
static void append(float *to, const float *from, const struct attention_shape *shape,
                   const struct cache_shape *cache) {
    const int64_t width = (int64_t)shape->kv_heads * shape->head_dim;
    for (int64_t b = 0; b < shape->batch; b++) {
        for (int64_t t = 0; t < shape->seq; t++) {
            memcpy(to + (b * cache->capacity + cache->first + t) * width,
                   from + (b * shape->seq + t) * shape->kv_stride, (size_t)width * sizeof(float));
        }
    }
}

/* out [dim] = softmax(scale q . k) v over `keys` rows that stand `width` apart; p [keys] is scratch. */
static void attend(float *out, float *p, const float *q, const float *k, const float *v, int64_t keys,
                   int64_t width, const struct attention_shape *shape) {
    const int64_t dim = shape->head_dim;
    for (int64_t j = 0; j < keys; j++) {
        p[j] = lanes_dot(q, k + j * width, dim);
    }
    row_exp(p, p, keys, shape->scale, shape->scale * row_max(p, keys));
    const float inverse_sum = 1.0f / lanes_sum(p, keys);
    memset(out, 0, (size_t)dim * sizeof(float));
    for (int64_t j = 0; j < keys; j++) {
        lanes_add_scaled(out, v + j * width, p[j] * inverse_sum, dim);
    }
}

void cpu_attention_decode(struct device *dev, act_t *out, act_t *k_cache, act_t *v_cache, const act_t *q,
                          const act_t *k, const act_t *v, const struct attention_shape *shape,
                          const struct cache_shape *cache) {
    struct cpu_device *cpu = cpu_device_of(dev);
    const int64_t heads = shape->heads, group = heads / shape->kv_heads, dim = shape->head_dim;
    const int64_t width = shape->kv_heads * dim, tasks = shape->batch * shape->seq * heads;
    assert(cache->first + shape->seq <= cache->capacity && cache->capacity <= dev->options.max_seq);
    append(k_cache, k, shape, cache);
    append(v_cache, v, shape, cache);
#pragma omp parallel for num_threads(dev->options.threads)                                                   \
    schedule(dynamic, 1) if (tasks * (cache->first + shape->seq) * dim > ALONE_WORK)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t row = task / heads, h = task % heads;
        const int64_t at = row / shape->seq * cache->capacity * width + h / group * dim;
        attend((float *)out + task * dim, cpu->attention + omp_get_thread_num() * cpu->attention_floats,
               (const float *)q + row * shape->q_stride + h * dim, (const float *)k_cache + at,
               (const float *)v_cache + at, cache->first + row % shape->seq + 1, width, shape);
    }
}
