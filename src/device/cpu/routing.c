#include <string.h>

#include "core/mathf.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/lanes.h"

enum { PIECE = 16384 }; /* elements */

static int64_t rows_per_piece(int64_t hidden) {
    return hidden >= PIECE ? 1 : PIECE / hidden;
}

/* ---- sorting the slots by expert
 * ------------------------------------------------------------------------------ */

/* Stable counting sort of the slots that have an expert: sorted[i] = slot, starts [experts + 1] = first of
 * each expert. Pieces of slots are counted apart (next [pieces, experts]), so that each knows where its slots
 * go. */
static void sort_slots(struct device *dev, int32_t *starts, int32_t *sorted, int32_t *place,
                       const int32_t *index, int64_t slots, int32_t experts) {
    int32_t *const next = cpu_device_of(dev)->scratch;
    const int64_t grain = cpu_partial_grain(slots), pieces = piece_count(slots, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (slots > PIECE)
    for (int64_t p = 0; p < pieces; p++) {
        int32_t *count = next + p * experts;
        memset(count, 0, (size_t)experts * sizeof *count);
        for (int64_t i = piece_begin(p, slots, grain); i < piece_begin(p + 1, slots, grain); i++)
            if (index[i] >= 0) count[index[i]]++;
    }
    int32_t total = 0;
    for (int32_t e = 0; e < experts; e++) {
        starts[e] = total;
        for (int64_t p = 0; p < pieces; p++) {
            const int32_t count = next[p * experts + e];
            next[p * experts + e] = total;
            total += count;
        }
    }
    starts[experts] = total;
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (slots > PIECE)
    for (int64_t p = 0; p < pieces; p++) {
        int32_t *at = next + p * experts;
        for (int64_t i = piece_begin(p, slots, grain); i < piece_begin(p + 1, slots, grain); i++) {
            place[i] = index[i] < 0 ? -1 : at[index[i]]++;
            if (place[i] >= 0) sorted[place[i]] = (int32_t)i;
        }
    }
}

/* ---- capacity
 * ------------------------------------------------------------------------------------------------- */

/* A key that orders floats as unsigned integers do. */
static uint32_t rank_key(float x) {
    const uint32_t u = mathf_bits(x + 0.0f); /* -0 equals 0 */
    return (u & 0x80000000u) != 0 ? ~u : u | 0x80000000u;
}

/* What ranks a slot in its expert under the policy; larger stays. */
static uint32_t slot_key(int32_t slot, const float *weight, const float *prob,
                         const struct route_shape *shape) {
    if (shape->policy == DROP_BY_WEIGHT) return rank_key(weight[slot]);
    const int64_t row = slot / shape->top_k, k = slot % shape->top_k;
    return rank_key(prob[row * shape->experts + k]);
}

/* The capacity-th largest key of n slots, and how many slots with just this key stay: the keys' bytes are
 * fixed one after the other from the top, by counting. */
static uint32_t threshold_key(const int32_t *slots, int64_t n, int64_t capacity, const float *weight,
                              const float *prob, const struct route_shape *shape, int64_t *out_equal) {
    uint32_t prefix = 0, mask = 0;
    int64_t wanted = capacity;
    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t count[256] = {0};
        for (int64_t i = 0; i < n; i++) {
            const uint32_t key = slot_key(slots[i], weight, prob, shape);
            count[(key >> shift) & 0xff] += (key & mask) == prefix;
        }
        uint32_t byte = 255;
        while (count[byte] < wanted)
            wanted -= count[byte--];
        prefix |= byte << shift;
        mask |= 0xffu << shift;
    }
    *out_equal = wanted;
    return prefix;
}

/* Marks the slots of an over-full expert that lose their place; of equals the earlier stay. */
static void drop_slots(int32_t *position, const int32_t *slots, int64_t n, const float *weight,
                       const float *prob, const struct route_shape *shape) {
    if (shape->policy == DROP_BY_POSITION) {
        for (int64_t i = shape->capacity; i < n; i++)
            position[slots[i]] = -1;
        return;
    }
    int64_t equal;
    const uint32_t threshold = threshold_key(slots, n, shape->capacity, weight, prob, shape, &equal);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t key = slot_key(slots[i], weight, prob, shape);
        const bool stays = key > threshold || (key == threshold && equal-- > 0);
        if (!stays) position[slots[i]] = -1;
    }
}

/* Drops what exceeds the capacity and closes the gaps; offsets hold the full starts on entry. */
static void apply_capacity(struct device *dev, int32_t *offsets, int32_t *position, int32_t *sorted,
                           const float *weight, const float *prob, const struct route_shape *shape) {
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int32_t e = 0; e < shape->experts; e++) {
        const int64_t n = offsets[e + 1] - offsets[e];
        if (n > shape->capacity) drop_slots(position, sorted + offsets[e], n, weight, prob, shape);
    }
    int32_t kept = 0, begin = 0;
    for (int32_t e = 0; e < shape->experts; e++) {
        const int32_t end = offsets[e + 1];
        offsets[e] = kept;
        for (int32_t i = begin; i < end; i++) {
            const int32_t slot = sorted[i];
            if (position[slot] < 0) continue;
            position[slot] = kept;
            sorted[kept++] = slot;
        }
        begin = end;
    }
    offsets[shape->experts] = kept;
}

void cpu_route(struct device *dev, int32_t *offsets, int32_t *position, int32_t *source, int32_t *dropped,
               const int32_t *index, const float *weight, const float *prob,
               const struct route_shape *shape) {
    const int64_t slots = shape->rows * shape->top_k;
    sort_slots(dev, offsets, source, position, index, slots, shape->experts);
    for (int32_t e = 0; e < shape->experts; e++) {
        const int64_t count = offsets[e + 1] - offsets[e];
        dropped[e] = shape->capacity > 0 && count > shape->capacity ? (int32_t)(count - shape->capacity) : 0;
    }
    if (shape->capacity > 0) apply_capacity(dev, offsets, position, source, weight, prob, shape);
    const int32_t kept = offsets[shape->experts];
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (kept > PIECE)
    for (int32_t i = 0; i < kept; i++)
        source[i] /= shape->top_k;
}

/* ---- moving rows
 * ---------------------------------------------------------------------------------------------- */

void cpu_gather(struct device *dev, act_t *y, const act_t *x, const int32_t *source, const int32_t *offsets,
                int32_t experts, int64_t max_rows, int32_t hidden) {
    float *out = y;
    const float *in = x;
    (void)max_rows;
    const int64_t rows = offsets[experts], grain = rows_per_piece(hidden), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t i = piece_begin(p, rows, grain); i < piece_begin(p + 1, rows, grain); i++) {
            memcpy(out + i * hidden, in + (int64_t)source[i] * hidden, (size_t)hidden * sizeof(float));
        }
    }
}

/* Columns [begin, begin + 32) of out = or += sum over k of weight[k] y[position[k]]; weight NULL = 1. All K
 * rows are read side by side: they lie far apart, and one by one each would wait for memory. */
static void combine_columns(float *out, const float *y, const float *weight, const int32_t *position,
                            int32_t top_k, int32_t hidden, int32_t begin, bool accumulate) {
    lanes_vec a = {0}, b = {0}, c = {0}, d = {0};
    lanes_vec *to = (lanes_vec *)(out + begin);
    if (accumulate) a = to[0], b = to[1], c = to[2], d = to[3];
    for (int32_t k = 0; k < top_k; k++) {
        if (position[k] < 0) continue;
        const lanes_vec *from = (const lanes_vec *)(y + (int64_t)position[k] * hidden + begin);
        const float w = weight == NULL ? 1.0f : weight[k];
        a += w * from[0];
        b += w * from[1];
        c += w * from[2];
        d += w * from[3];
    }
    to[0] = a, to[1] = b, to[2] = c, to[3] = d;
}

static void combine_row(float *out, const float *y, const float *weight, const int32_t *position,
                        int32_t top_k, int32_t hidden, bool accumulate) {
    int32_t i = 0;
    for (; i + 32 <= hidden; i += 32)
        combine_columns(out, y, weight, position, top_k, hidden, i, accumulate);
    for (; i < hidden; i++) {
        float sum = accumulate ? out[i] : 0.0f;
        for (int32_t k = 0; k < top_k; k++) {
            if (position[k] < 0) continue;
            sum += (weight == NULL ? 1.0f : weight[k]) * y[(int64_t)position[k] * hidden + i];
        }
        out[i] = sum;
    }
}

static void combine_rows(struct device *dev, float *out, const float *y, const float *weight,
                         const int32_t *position, int64_t rows, int32_t top_k, int32_t hidden,
                         bool accumulate) {
    const int64_t grain = rows_per_piece((int64_t)hidden * top_k), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            combine_row(out + r * hidden, y, weight == NULL ? NULL : weight + r * top_k, position + r * top_k,
                        top_k, hidden, accumulate);
        }
    }
}

void cpu_gather_backward(struct device *dev, act_t *dx, const act_t *dy, const int32_t *position,
                         int64_t rows, int32_t top_k, int32_t hidden, bool accumulate) {
    combine_rows(dev, dx, dy, NULL, position, rows, top_k, hidden, accumulate);
}

void cpu_combine(struct device *dev, act_t *out, const act_t *y, const float *weight, const int32_t *position,
                 int64_t rows, int32_t top_k, int32_t hidden, bool accumulate) {
    combine_rows(dev, out, y, weight, position, rows, top_k, hidden, accumulate);
}

void cpu_combine_backward(struct device *dev, act_t *dy, float *dweight, const act_t *dout, const act_t *y,
                          const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                          int32_t hidden) {
    float *grad = dy;
    const float *top = dout, *in = y;
    const int64_t grain = rows_per_piece((int64_t)hidden * top_k), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t begin = piece_begin(p, rows, grain) * top_k,
                      end = piece_begin(p + 1, rows, grain) * top_k;
        for (int64_t slot = begin; slot < end; slot++) {
            const float *row = top + slot / top_k * hidden;
            const int64_t at = (int64_t)position[slot] * hidden;
            dweight[slot] = at < 0 ? 0.0f : lanes_dot(in + at, row, hidden);
            if (at >= 0) lanes_set_scaled(grad + at, row, weight[slot], hidden);
        }
    }
}

/* ---- statistics
 * ----------------------------------------------------------------------------------------------- */

void cpu_sequence_histogram(struct device *dev, uint16_t *hist, const int32_t *index, int64_t rows,
                            int64_t seq, int32_t top_k, int32_t experts, int32_t bins) {
    int32_t *const count = cpu_device_of(dev)->scratch; /* [experts] */
    memset(hist, 0, (size_t)experts * (size_t)bins * sizeof *hist);
    for (int64_t first = 0; first < rows; first += seq) {
        const int64_t slots = (rows - first < seq ? rows - first : seq) * top_k;
        memset(count, 0, (size_t)experts * sizeof *count);
        for (int64_t i = 0; i < slots; i++)
            count[index[first * top_k + i]]++;
        for (int32_t e = 0; e < experts; e++) {
            const int64_t bin = (int64_t)count[e] * bins / slots; /* floor of the share times bins, exactly */
            hist[(int64_t)e * bins + (bin < bins ? bin : bins - 1)]++;
        }
    }
}
