/* Sorting slots by expert, moving rows to and from expert order, histograms. Nothing waits for the host. */
#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "cuda/sort.cuh"

enum {
    SLOTS = SORT_BLOCK, /* slots that a block looks at together */
    ROW_WARPS = 8       /* rows that a block moves side by side, one a warp */
};

/* counts [pieces, E], starts [E + 1] */
size_t cuda_route_scratch(const struct device_options *options) {
    return sort_counts_bytes(options->max_width) + ((size_t)options->max_width + 1) * sizeof(int32_t);
}

/* ---- sorting the slots by expert
 * -------------------------------------------------------------------------- */

/* From total [E] in starts: starts [E + 1] of all slots, offsets [E + 1] of those within the capacity, and
 * dropped [E]. One block. */
__global__ void route_offsets_kernel(int32_t *offsets, int32_t *starts, int32_t *dropped, int32_t experts,
                                     int64_t capacity) {
    __shared__ int32_t sum[SLOTS];
    int32_t all = 0, kept = 0;
    for (int32_t at = 0; at < experts; at += SLOTS) {
        const int32_t e = at + (int32_t)threadIdx.x;
        const int32_t total = e < experts ? starts[e] : 0;
        const int32_t stay = capacity > 0 && total > capacity ? (int32_t)capacity : total;
        int32_t totals, stays;
        const int32_t before = block_rank(sum, total, &totals), stay_before = block_rank(sum, stay, &stays);
        if (e < experts) {
            starts[e] = all + before;
            offsets[e] = kept + stay_before;
            dropped[e] = total - stay;
        }
        all += totals;
        kept += stays;
    }
    if (threadIdx.x > 0) return;
    starts[experts] = all;
    offsets[experts] = kept;
}

/* Ranks to places. With a capacity by position the later slots go; `sorted` [slots] = slots by expert, all of
 * them, where that is wanted instead of the final order. */
__global__ void route_place_kernel(int32_t *position, int32_t *source, int32_t *sorted, const int32_t *index,
                                   const int32_t *counts, const int32_t *first, int64_t slots, int64_t grain,
                                   struct route_shape shape) {
    const int64_t slot = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (slot >= slots || index[slot] < 0) return;
    const int32_t e = index[slot];
    const int32_t rank = counts[slot / grain * shape.experts + e] + position[slot];
    const int32_t at = first[e] + rank;
    if (sorted != NULL) {
        sorted[at] = (int32_t)slot;
        position[slot] = rank;
    } else if (shape.capacity > 0 && rank >= shape.capacity) {
        position[slot] = -1;
    } else {
        position[slot] = at;
        source[at] = (int32_t)(slot / shape.top_k);
    }
}

/* ---- capacity by rank
 * ------------------------------------------------------------------------------------ */

/* A key that orders floats as unsigned integers do. */
static __device__ inline uint32_t rank_key(float x) {
    const uint32_t u = __float_as_uint(x + 0.0f); /* -0 equals 0 */
    return (u & 0x80000000u) != 0 ? ~u : u | 0x80000000u;
}

/* What ranks a slot in its expert under the policy; larger stays. */
static __device__ inline uint32_t slot_key(int32_t slot, const float *weight, const float *prob,
                                           const struct route_shape *shape) {
    if (shape->policy == DROP_BY_WEIGHT) return rank_key(weight[slot]);
    const int64_t row = slot / shape->top_k, k = slot % shape->top_k;
    return rank_key(prob[row * shape->experts + k]);
}

/* One block an expert: its slots' places, -1 for those that the capacity leaves out. The capacity-th largest
 * key is found byte by byte from the top, by counting; of slots with just that key the earliest stay. */
__global__ void route_capacity_kernel(int32_t *position, const int32_t *sorted, const int32_t *starts,
                                      const int32_t *offsets, const float *weight, const float *prob,
                                      struct route_shape shape) {
    __shared__ int32_t count[256], shared[SLOTS];
    __shared__ uint32_t chosen_byte;
    __shared__ int32_t chosen_wanted;
    const int32_t e = blockIdx.x, begin = starts[e], end = starts[e + 1];
    uint32_t threshold = 0, mask = 0;
    int32_t wanted = (int32_t)(shape.capacity < end - begin ? shape.capacity : end - begin);
    for (int shift = 24; shift >= 0; shift -= 8) {
        count[threadIdx.x] = 0;
        __syncthreads();
        for (int32_t i = begin + threadIdx.x; i < end; i += SLOTS) {
            const uint32_t key = slot_key(sorted[i], weight, prob, &shape);
            if ((key & mask) == threshold) atomicAdd(&count[key >> shift & 0xff], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int32_t byte = 255, left = wanted;
            while (byte > 0 && count[byte] < left)
                left -= count[byte--];
            chosen_byte = (uint32_t)byte;
            chosen_wanted = left;
        }
        __syncthreads();
        threshold |= chosen_byte << shift;
        mask |= 0xffu << shift;
        wanted = chosen_wanted;
        __syncthreads();
    }
    int32_t place = offsets[e];
    for (int32_t at = begin; at < end; at += SLOTS) {
        const int32_t i = at + threadIdx.x;
        const uint32_t key = i < end ? slot_key(sorted[i], weight, prob, &shape) : 0;
        const bool equal = i < end && key == threshold;
        int32_t equals, kept;
        const int32_t before = block_rank(shared, equal, &equals);
        const bool stays = i < end && (key > threshold || (equal && before < wanted));
        const int32_t rank = block_rank(shared, stays, &kept);
        if (i < end) position[sorted[i]] = stays ? place + rank : -1;
        wanted = wanted > equals ? wanted - equals : 0;
        place += kept;
    }
}

__global__ void route_source_kernel(int32_t *source, const int32_t *position, int64_t slots, int32_t top_k) {
    const int64_t slot = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (slot < slots && position[slot] >= 0) source[position[slot]] = (int32_t)(slot / top_k);
}

void cuda_route(struct device *dev, int32_t *offsets, int32_t *position, int32_t *source, int32_t *dropped,
                const int32_t *index, const float *weight, const float *prob,
                const struct route_shape *shape) {
    const int64_t slots = shape->rows * shape->top_k;
    const int32_t experts = shape->experts;
    int32_t *counts = static_cast<int32_t *>(cuda_device_of(dev)->scratch);
    int32_t *starts = counts + sort_counts_bytes(experts) / sizeof *counts;
    const struct sort_keys keys = {.key = index, .order = nullptr, .shift = 0, .mask = INT32_MAX};
    const bool by_rank = shape->capacity > 0 && shape->policy != DROP_BY_POSITION;
    sort_count(dev, "route", counts, starts, position, keys, slots, experts);
    cuda_launch(dev, "route", route_offsets_kernel, 1, SLOTS, 0, offsets, starts, dropped, experts,
                shape->capacity);
    cuda_launch(dev, "route", route_place_kernel, cuda_pieces(slots, SLOTS), SLOTS, 0, position, source,
                by_rank ? source : nullptr, index, counts, by_rank ? starts : offsets, slots,
                sort_grain(slots), *shape);
    if (!by_rank) return;
    cuda_launch(dev, "route", route_capacity_kernel, experts, SLOTS, 0, position, source, starts, offsets,
                weight, prob, *shape);
    cuda_launch(dev, "route", route_source_kernel, cuda_pieces(slots, SLOTS), SLOTS, 0, source, position,
                slots, shape->top_k);
}

/* ---- moving rows
 * ----------------------------------------------------------------------------------------- */

static __device__ inline int64_t warp_row(void) {
    return (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / 32;
}

template <typename T>
__global__ void gather_kernel(T *y, const T *x, const int32_t *source, const int32_t *rows, int32_t hidden) {
    const int64_t i = warp_row();
    if (i >= *rows) return;
    const T *from = x + (int64_t)source[i] * hidden;
    for (int32_t d = threadIdx.x % 32 * PACK; d < hidden; d += 32 * PACK)
        pack_store(y + i * hidden + d, pack_load(from + d, hidden - d), hidden - d);
}

/* out = or += sum over k of weight[k] y[position[k]]; weight NULL = 1 */
template <typename T>
__global__ void combine_kernel(T *out, const T *y, const float *weight, const int32_t *position, int64_t rows,
                               int32_t top_k, int32_t hidden, bool accumulate) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    for (int32_t d = threadIdx.x % 32 * PACK; d < hidden; d += 32 * PACK) {
        struct pack sum = {{0}};
        if (accumulate) sum = pack_load(out + r * hidden + d, hidden - d);
        for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
            if (position[slot] < 0) continue;
            const float w = weight != NULL ? weight[slot] : 1.0f;
            const struct pack in = pack_load(y + (int64_t)position[slot] * hidden + d, hidden - d);
#pragma unroll
            for (int j = 0; j < PACK; j++)
                sum.v[j] += w * in.v[j];
        }
        pack_store(out + r * hidden + d, sum, hidden - d);
    }
}

/* One warp a token row: dy of its slots, and their products with dout. */
template <typename T>
__global__ void combine_backward_kernel(T *dy, float *dweight, const T *dout, const T *y, const float *weight,
                                        const int32_t *position, int64_t rows, int32_t top_k,
                                        int32_t hidden) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    const int32_t lane = threadIdx.x % 32;
    for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
        const int64_t at = (int64_t)position[slot] * hidden;
        const float w = weight[slot];
        float dot = 0.0f;
        for (int32_t d = lane * PACK; at >= 0 && d < hidden; d += 32 * PACK) {
            const struct pack in = pack_load(y + at + d, hidden - d);
            struct pack g = pack_load(dout + r * hidden + d, hidden - d);
#pragma unroll
            for (int j = 0; j < PACK; j++) {
                dot += in.v[j] * g.v[j];
                g.v[j] *= w;
            }
            pack_store(dy + at + d, g, hidden - d);
        }
        dot = warp_sum(dot);
        if (lane == 0) dweight[slot] = dot;
    }
}

void cuda_gather(struct device *dev, act_t *y, const act_t *x, const int32_t *source, const int32_t *offsets,
                 int32_t experts, int64_t max_rows, int32_t hidden) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "gather", gather_kernel<T>, cuda_pieces(max_rows, ROW_WARPS), CUDA_WARP * ROW_WARPS,
                    0, y, x, source, offsets + experts, hidden);
    });
}

void cuda_gather_backward(struct device *dev, act_t *dx, const act_t *dy, const int32_t *position,
                          int64_t rows, int32_t top_k, int32_t hidden, bool accumulate) {
    cuda_combine(dev, dx, dy, NULL, position, rows, top_k, hidden, accumulate);
}

void cuda_combine(struct device *dev, act_t *out, const act_t *y, const float *weight,
                  const int32_t *position, int64_t rows, int32_t top_k, int32_t hidden, bool accumulate) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "combine", combine_kernel<T>, cuda_pieces(rows, ROW_WARPS), CUDA_WARP * ROW_WARPS, 0,
                    out, y, weight, position, rows, top_k, hidden, accumulate);
    });
}

void cuda_combine_backward(struct device *dev, act_t *dy, float *dweight, const act_t *dout, const act_t *y,
                           const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                           int32_t hidden) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "combine_backward", combine_backward_kernel<T>, cuda_pieces(rows, ROW_WARPS),
                    CUDA_WARP * ROW_WARPS, 0, dy, dweight, dout, y, weight, position, rows, top_k, hidden);
    });
}

/* ---- statistics
 * ------------------------------------------------------------------------------------------ */

enum { HIST_EXPERTS = 256 }; /* experts that a block counts together */

__global__ void hist_clear_kernel(uint16_t *hist, int64_t n) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) hist[i] = 0;
}

/* Adds 1 to a 16-bit counter by an atomic addition to the 32-bit word around it. */
static __device__ inline void add_one(uint16_t *counter) {
    const uintptr_t address = (uintptr_t)counter;
    atomicAdd((unsigned int *)(address / 4 * 4), address % 4 == 0 ? 1u : 1u << 16);
}

/* One block a sequence and a range of experts. */
__global__ void hist_kernel(uint16_t *hist, const int32_t *index, int64_t rows, int64_t seq, int32_t top_k,
                            int32_t experts, int32_t bins) {
    __shared__ int32_t count[HIST_EXPERTS];
    const int32_t first = (int32_t)blockIdx.y * HIST_EXPERTS, mine = first + (int32_t)threadIdx.x;
    const int64_t begin = blockIdx.x * seq, slots = (rows - begin < seq ? rows - begin : seq) * top_k;
    count[threadIdx.x] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < slots; i += HIST_EXPERTS) {
        const int32_t e = index[begin * top_k + i] - first;
        if (e >= 0 && e < HIST_EXPERTS) atomicAdd(&count[e], 1);
    }
    __syncthreads();
    if (mine >= experts) return;
    const int64_t bin =
        (int64_t)count[threadIdx.x] * bins / slots; /* floor of the share times bins, exactly */
    add_one(hist + (int64_t)mine * bins + (bin < bins ? bin : bins - 1));
}

void cuda_sequence_histogram(struct device *dev, uint16_t *hist, const int32_t *index, int64_t rows,
                             int64_t seq, int32_t top_k, int32_t experts, int32_t bins) {
    const int64_t cells = (int64_t)experts * bins;
    cuda_launch(dev, "sequence_histogram", hist_clear_kernel, cuda_pieces(cells, 256), 256, 0, hist, cells);
    cuda_launch(dev, "sequence_histogram", hist_kernel,
                dim3(cuda_pieces(rows, seq), cuda_pieces(experts, HIST_EXPERTS)), HIST_EXPERTS, 0, hist,
                index, rows, seq, top_k, experts, bins);
}
