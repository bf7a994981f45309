/* Noisy top-k gates, a warp a row. Experts are few: a row lives in shared memory, and a warp takes a run of
 * rows one after the other, so that its sums have one order. */
#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"
#include "cuda/top_k.cuh"

enum { PIECES = 256 }; /* most warps, each with its own partial sums */

#define FARTHEST 13.0f /* deviations at which the normal distribution ends in float */

static int64_t row_grain(int64_t rows) {
    return cuda_pieces(rows, PIECES);
}

/* Sums over the rows of one piece, by piece. */
struct gate_partials {
    double *entropy; /* [PIECES, 2, A] */
    float *sums;     /* [PIECES, 3, A, E] */
    int32_t *counts; /* [PIECES, 2, A, E] */
};

static struct gate_partials partials_in(void *scratch, const struct gate_shape *shape) {
    const int64_t cells = (int64_t)shape->gates * shape->experts;
    struct gate_partials p;
    p.entropy = static_cast<double *>(scratch);
    p.sums = reinterpret_cast<float *>(p.entropy + PIECES * 2 * (int64_t)shape->gates);
    p.counts = reinterpret_cast<int32_t *>(p.sums + GATE_SUMS * cells * PIECES);
    return p;
}

size_t cuda_gate_scratch(const struct device_options *options) {
    return (size_t)PIECES * ((size_t)options->max_width + 1) *
           (2 * sizeof(double) + GATE_SUMS * sizeof(float) + GATE_COUNTS * sizeof(int32_t));
}

/* ---- one row
 * ---------------------------------------------------------------------------------------------- */

/* A row while it is looked at; arrays are shared memory of the warp. */
struct gate_row {
    int64_t r;
    int32_t gate;
    float scale;
    const float *scores; /* [E] */
    int32_t *order;      /* [min(K + 1, E)] largest scores first */
    float *q;            /* [E] softmax of the scores */
    float *gate_of;      /* [K] gates of order[0 .. K), before chance */
    float divisor;       /* of q in them */
};

static __device__ inline bool has_noise(const struct gate_shape &shape) {
    return shape.noisy && shape.kind != GATE_BY_CHANCE;
}

static __device__ inline bool has_load_estimate(const struct gate_shape &shape) {
    return has_noise(shape) && shape.top_k < shape.experts;
}

static __device__ inline float softplus(float x) {
    return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static __device__ inline float deviation_of(const struct gate_shape &shape, float spread) {
    return shape.noise_scale * (softplus(spread) + shape.noise_epsilon);
}

/* The standard normal number of (r, e), after the formula of core/normal.h. */
static __device__ inline float noise_of(const struct gate_shape &shape, int64_t r, int32_t e) {
    const uint64_t i = shape.first + (uint64_t)(r * shape.experts + e);
    const struct philox_block block = philox_block_at(shape.key, i / 2);
    const double u = ((double)block.v[i % 2 * 2] + 0.5) * 0x1p-32;
    const double turn = (double)block.v[i % 2 * 2 + 1] * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.28318530717958647693 * turn));
}

/* Whether choice k of the row is used. */
static __device__ inline bool is_used(const struct gate_shape &shape, const struct gate_row &row, int32_t k) {
    if (shape.kind != GATE_BY_CHANCE || !shape.noisy || k == 0) return true;
    const uint64_t i = shape.first + (uint64_t)(row.r * shape.top_k + k);
    return (float)shape.top_k * row.gate_of[k] > philox_uniform(shape.key, i);
}

/* Order, probabilities and gates of a row; score [E] is scratch. */
static __device__ inline void look_at(struct gate_row *row, float *score, const struct gate_shape &shape) {
    const int32_t experts = shape.experts, top_k = shape.top_k, lane = lane_of();
    const int32_t ordered = top_k < experts ? top_k + 1 : experts;
    const bool of_kept = shape.kind == GATE_TOP_K_SOFTMAX;
    float sum = 0.0f;
    __syncwarp(); /* the row before is done with the scratch */
    for (int32_t e = lane; e < experts; e += CUDA_WARP)
        score[e] = score_of(row->scores[e]);
    for (int32_t k = 0; k < ordered; k++) {
        const int32_t e = take_largest(score, experts);
        if (lane == 0) row->order[k] = e;
    }
    __syncwarp();
    const float most = row->scores[row->order[0]];
    for (int32_t e = lane; e < experts; e += CUDA_WARP) {
        row->q[e] = expf(row->scores[e] - most);
        sum += row->q[e];
    }
    sum = warp_sum(sum);
    for (int32_t e = lane; e < experts; e += CUDA_WARP)
        row->q[e] /= sum;
    __syncwarp();
    float kept = 0.0f;
    for (int32_t k = top_k - 1; k >= 0; k--)
        kept += of_kept ? expf(row->scores[row->order[k]] - most) : row->q[row->order[k]];
    row->divisor = of_kept ? kept : kept + shape.renormalize_eps;
    for (int32_t k = lane; k < top_k; k += CUDA_WARP) {
        const int32_t e = row->order[k];
        row->gate_of[k] = (of_kept ? expf(row->scores[e] - most) : row->q[e]) / row->divisor;
    }
    __syncwarp();
}

/* Place in row.order of the expert whose score (or probability) is e's threshold. */
static __device__ inline int32_t threshold_of(const struct gate_row &row, const struct gate_shape &shape,
                                              int32_t e) {
    const int32_t top_k = shape.top_k;
    if (shape.kind == GATE_SOFTMAX_TOP_K) return row.scores[e] > row.q[row.order[top_k]] ? top_k : top_k - 1;
    for (int32_t k = 0; k < top_k; k++)
        if (row.order[k] == e) return top_k;
    return top_k - 1;
}

static __device__ inline float distance_of(const struct gate_row &row, const struct gate_shape &shape,
                                           float clean, int32_t threshold, float deviation) {
    const int32_t j = row.order[threshold];
    const float t = shape.kind == GATE_SOFTMAX_TOP_K ? row.q[j] : row.scores[j];
    const float z = (clean - t) / deviation;
    return z > FARTHEST ? FARTHEST : z < -FARTHEST ? -FARTHEST : z;
}

static __device__ inline float entropy_term(float p) {
    return p > 0.0f ? -p * logf(p) : 0.0f;
}

/* Dynamic shared memory of a warp: E floats for each array. */
enum row_array { ORDER, Q, GATE_OF, SCORE, D_SCORES, D_Q, D_CLEAN, D_DEVIATION, D_GATE, ROW_ARRAYS };

static size_t row_shared(const struct gate_shape *shape) {
    return ROW_ARRAYS * (size_t)shape->experts * sizeof(float);
}

static __device__ inline struct gate_row row_at(float *shared, int64_t r, const float *scores,
                                                const float *scale, const struct gate_shape &shape) {
    struct gate_row row;
    row.r = r;
    row.gate = (int32_t)(r % shape.gates);
    row.scale = scale != nullptr ? scale[r] : 1.0f;
    row.scores = scores + r * shape.experts;
    row.order = reinterpret_cast<int32_t *>(shared + ORDER * shape.experts);
    row.q = shared + Q * shape.experts;
    row.gate_of = shared + GATE_OF * shape.experts;
    row.divisor = 1.0f;
    return row;
}

/* ---- forward
 * ---------------------------------------------------------------------------------------------- */

struct gate_outputs {
    float *scores, *gates;
    int32_t *index;
    float *weight;
};

/* The lane that adds up what concerns an expert: no two lanes touch one sum. */
static __device__ inline bool is_owner(int32_t expert) {
    return expert % CUDA_WARP == lane_of();
}

/* gates [E], index [K] and weight [K] of a row, and what is counted of them; sums and counts are its piece's.
 */
static __device__ inline void choose_row(const struct gate_outputs &out, float *sums, int32_t *counts,
                                         const struct gate_row &row, const struct gate_shape &shape) {
    const int64_t experts = shape.experts, cells = experts * shape.gates, at = row.gate * experts;
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP)
        out.gates[row.r * experts + e] = 0.0f;
    for (int32_t k = 0; k < shape.top_k; k++) {
        const bool used = row.scale != 0.0f && is_used(shape, row, k);
        const int32_t e = used ? row.order[k] : -1;
        const float g = used ? row.gate_of[k] : 0.0f;
        if (lane_of() == 0) {
            out.index[row.r * shape.top_k + k] = used ? (int32_t)at + e : -1;
            out.weight[row.r * shape.top_k + k] = row.scale * g;
        }
        if (!used || !is_owner(e)) continue;
        out.gates[row.r * experts + e] = row.scale * g;
        counts[GATE_CHOSEN * cells + at + e]++;
        sums[GATE_IMPORTANCE * cells + at + e] += g;
        sums[GATE_MASS * cells + at + e] += row.scale * g;
    }
    if (row.scale != 0.0f && is_owner(row.order[0])) counts[GATE_FIRST * cells + at + row.order[0]]++;
}

/* The differentiable load and the entropies of a row. */
static __device__ inline void add_statistics(double *entropy, float *sums, const float *clean,
                                             const float *spread, const struct gate_row &row,
                                             const struct gate_shape &shape) {
    const int64_t experts = shape.experts, cells = experts * shape.gates;
    float *load = sums + GATE_LOAD * cells + row.gate * experts;
    float most = -INFINITY, sum = 0.0f, of_gates = 0.0f, of_all = 0.0f;
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP)
        most = fmaxf(most, clean[e]);
    most = warp_max(most);
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP)
        sum += expf(clean[e] - most);
    sum = warp_sum(sum);
    for (int32_t k = lane_of(); k < shape.top_k; k += CUDA_WARP)
        of_gates += entropy_term(row.gate_of[k]);
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP) {
        const float p = expf(clean[e] - most) / sum;
        of_all += entropy_term(p);
        if (shape.kind == GATE_BY_CHANCE) {
            load[e] += p;
        } else if (has_load_estimate(shape)) {
            const float deviation = deviation_of(shape, spread[e]);
            const int32_t threshold = threshold_of(row, shape, e);
            const float z = distance_of(row, shape, clean[e], threshold, deviation);
            load[e] += 0.5f + 0.5f * erff(z * 0.70710678f);
        }
    }
    for (int32_t k = 0; shape.kind != GATE_BY_CHANCE && !has_load_estimate(shape) && k < shape.top_k; k++)
        if (is_owner(row.order[k])) load[row.order[k]] += 1.0f;
    of_gates = warp_sum(of_gates);
    of_all = warp_sum(of_all);
    if (lane_of() > 0) return;
    entropy[row.gate] += (double)of_gates;
    entropy[shape.gates + row.gate] += (double)of_all;
}

__global__ void gate_forward_kernel(struct gate_outputs out, struct gate_partials parts, const float *clean,
                                    const float *spread, const float *scale, struct gate_shape shape,
                                    int64_t grain) {
    CUDA_SHARED(float, shared);
    const int64_t experts = shape.experts, cells = experts * shape.gates;
    double *entropy = parts.entropy + blockIdx.x * 2 * (int64_t)shape.gates;
    float *sums = parts.sums + blockIdx.x * GATE_SUMS * cells;
    int32_t *counts = parts.counts + blockIdx.x * GATE_COUNTS * cells;
    for (int64_t i = lane_of(); i < 2 * (int64_t)shape.gates; i += CUDA_WARP)
        entropy[i] = 0.0;
    for (int64_t i = lane_of(); i < GATE_SUMS * cells; i += CUDA_WARP)
        sums[i] = 0.0f;
    for (int64_t i = lane_of(); i < GATE_COUNTS * cells; i += CUDA_WARP)
        counts[i] = 0;
    __syncwarp();
    const int64_t begin = blockIdx.x * grain, end = begin + grain < shape.rows ? begin + grain : shape.rows;
    for (int64_t r = begin; r < end; r++) {
        for (int32_t e = lane_of(); e < experts; e += CUDA_WARP) {
            float h = clean[r * experts + e];
            if (has_noise(shape)) h += noise_of(shape, r, e) * deviation_of(shape, spread[r * experts + e]);
            out.scores[r * experts + e] = h;
        }
        __syncwarp();
        struct gate_row row = row_at(shared, r, out.scores, scale, shape);
        look_at(&row, shared + SCORE * experts, shape);
        choose_row(out, sums, counts, row, shape);
        if (row.scale != 0.0f)
            add_statistics(entropy, sums, clean + r * experts,
                           spread != nullptr ? spread + r * experts : nullptr, row, shape);
    }
}

/* A thread a sum: the pieces in their order. */
__global__ void gate_sums_kernel(int32_t *counts, float *sums, float *entropy, struct gate_partials parts,
                                 int32_t pieces, struct gate_shape shape) {
    const int64_t cells = (int64_t)shape.gates * shape.experts;
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    double sum = 0.0, of_entropy = 0.0;
    int32_t count = 0;
    for (int32_t p = 0; p < pieces; p++) {
        if (i < GATE_SUMS * cells) sum += (double)parts.sums[p * GATE_SUMS * cells + i];
        if (i < GATE_COUNTS * cells) count += parts.counts[p * GATE_COUNTS * cells + i];
        if (i < 2 * (int64_t)shape.gates) of_entropy += parts.entropy[p * 2 * (int64_t)shape.gates + i];
    }
    if (i < GATE_SUMS * cells) sums[i] = (float)sum;
    if (i < GATE_COUNTS * cells) counts[i] = count;
    if (i < 2 * (int64_t)shape.gates) entropy[i] = (float)of_entropy;
}

void cuda_gate_forward(struct device *dev, float *scores, float *gates, int32_t *index, float *weight,
                       int32_t *counts, float *sums, float *entropy, const float *clean, const float *spread,
                       const float *scale, const struct gate_shape *shape) {
    const struct gate_partials parts = partials_in(cuda_device_of(dev)->scratch, shape);
    const struct gate_outputs out = {scores, gates, index, weight};
    const int64_t grain = row_grain(shape->rows), cells = (int64_t)shape->gates * shape->experts;
    const unsigned pieces = shape->rows > 0 ? cuda_pieces(shape->rows, grain) : 0;
    cuda_launch(dev, "gate_forward", gate_forward_kernel, pieces, CUDA_WARP, row_shared(shape), out, parts,
                clean, spread, scale, *shape, grain);
    cuda_launch(dev, "gate_forward", gate_sums_kernel, cuda_pieces(GATE_SUMS * cells, 64), 64, 0, counts,
                sums, entropy, parts, (int32_t)pieces, *shape);
}

/* ---- backward
 * --------------------------------------------------------------------------------------------- */

/* Upstream gradients, each NULL for 0, and the accumulators of one row, [E] each in shared memory. */
struct gate_gradient {
    const float *dweight, *dgates, *dsums;
    float *dscores, *dq, *dclean, *ddeviation; /* dq: with respect to softmax(scores) */
    float *dgate;                              /* [K] */
};

/* dgate [K] with respect to the gates before scale and chance; returns d / d scale. */
static __device__ inline float gradient_of_gates(const struct gate_gradient &g, const struct gate_row &row,
                                                 const struct gate_shape &shape) {
    const int64_t experts = shape.experts, cells = experts * shape.gates;
    float dscale = 0.0f;
    for (int32_t k = lane_of(); k < shape.top_k; k += CUDA_WARP) {
        const int64_t e = row.order[k], cell = row.gate * experts + e;
        g.dgate[k] = 0.0f;
        if (!is_used(shape, row, k)) continue;
        float joint = g.dweight != nullptr ? g.dweight[row.r * shape.top_k + k] : 0.0f;
        if (g.dgates != nullptr) joint += g.dgates[row.r * experts + e];
        if (g.dsums != nullptr) joint += g.dsums[GATE_MASS * cells + cell];
        dscale += row.gate_of[k] * joint;
        g.dgate[k] = row.scale * joint;
        if (g.dsums != nullptr) g.dgate[k] += g.dsums[GATE_IMPORTANCE * cells + cell];
    }
    return warp_sum(dscale);
}

static __device__ inline void gradient_through_gates(const struct gate_gradient &g,
                                                     const struct gate_row &row,
                                                     const struct gate_shape &shape) {
    float mean = 0.0f;
    for (int32_t k = lane_of(); k < shape.top_k; k += CUDA_WARP)
        mean += g.dgate[k] * row.gate_of[k];
    mean = warp_sum(mean);
    for (int32_t k = lane_of(); k < shape.top_k; k += CUDA_WARP) {
        if (shape.kind == GATE_TOP_K_SOFTMAX)
            g.dscores[row.order[k]] += row.gate_of[k] * (g.dgate[k] - mean);
        else
            g.dq[row.order[k]] += (g.dgate[k] - mean) / row.divisor;
    }
    __syncwarp();
}

/* Of the two thresholds, each gets the sum over the experts that it holds back. */
static __device__ inline void gradient_of_load(const struct gate_gradient &g, const float *clean,
                                               const float *spread, const struct gate_row &row,
                                               const struct gate_shape &shape) {
    const int64_t experts = shape.experts, cells = experts * shape.gates;
    const float *dload = g.dsums + GATE_LOAD * cells + row.gate * experts;
    float inner = 0.0f, outer = 0.0f;
    for (int32_t e = lane_of(); shape.kind == GATE_BY_CHANCE && e < experts; e += CUDA_WARP)
        g.dq[e] += dload[e];
    for (int32_t e = lane_of(); has_load_estimate(shape) && e < experts; e += CUDA_WARP) {
        const int32_t threshold = threshold_of(row, shape, e);
        const float deviation = deviation_of(shape, spread[e]);
        const float z = distance_of(row, shape, clean[e], threshold, deviation);
        if (z == FARTHEST || z == -FARTHEST) continue;
        const float d = dload[e] * 0.39894228f * expf(-0.5f * z * z) / deviation;
        g.dclean[e] += d;
        g.ddeviation[e] -= d * z;
        if (threshold == shape.top_k)
            inner += d;
        else
            outer += d;
    }
    inner = warp_sum(inner);
    outer = warp_sum(outer);
    if (lane_of() == 0 && has_load_estimate(shape)) {
        float *to = shape.kind == GATE_SOFTMAX_TOP_K ? g.dq : g.dscores;
        to[row.order[shape.top_k]] -= inner;
        to[row.order[shape.top_k - 1]] -= outer;
    }
    __syncwarp();
}

/* dclean and dspread [E] from the accumulators. */
template <typename T>
static __device__ inline void store_gradient(T *dclean, T *dspread, const float *spread,
                                             const struct gate_gradient &g, const struct gate_row &row,
                                             const struct gate_shape &shape) {
    float mean = 0.0f;
    for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP)
        mean += g.dq[e] * row.q[e];
    mean = warp_sum(mean);
    for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP) {
        float dh = g.dscores[e];
        if (shape.kind != GATE_TOP_K_SOFTMAX) dh += row.q[e] * (g.dq[e] - mean);
        act_store(dclean, e, g.dclean[e] + dh);
        if (dspread == nullptr) continue;
        float dd = g.ddeviation[e];
        if (has_noise(shape)) dd += noise_of(shape, row.r, e) * dh;
        act_store(dspread, e, dd * shape.noise_scale / (1.0f + expf(-spread[e])));
    }
}

template <typename T>
__global__ void gate_backward_kernel(T *dclean, T *dspread, float *dscale, const float *dweight,
                                     const float *dgates, const float *dsums, const float *scores,
                                     const float *clean, const float *spread, const float *scale,
                                     struct gate_shape shape, int64_t grain) {
    CUDA_SHARED(float, shared);
    const int64_t experts = shape.experts;
    const struct gate_gradient g = {dweight,
                                    dgates,
                                    dsums,
                                    shared + D_SCORES * experts,
                                    shared + D_Q * experts,
                                    shared + D_CLEAN * experts,
                                    shared + D_DEVIATION * experts,
                                    shared + D_GATE * experts};
    const int64_t begin = blockIdx.x * grain, end = begin + grain < shape.rows ? begin + grain : shape.rows;
    for (int64_t r = begin; r < end; r++) {
        const int64_t at = r * experts;
        T *to_spread = dspread != nullptr ? dspread + at : nullptr;
        const float *row_spread = spread != nullptr ? spread + at : nullptr;
        struct gate_row row = row_at(shared, r, scores, scale, shape);
        if (row.scale == 0.0f) {
            for (int32_t e = lane_of(); e < experts; e += CUDA_WARP) {
                act_store(dclean + at, e, 0.0f);
                if (to_spread != nullptr) act_store(to_spread, e, 0.0f);
            }
            if (dscale != nullptr && lane_of() == 0) dscale[r] = 0.0f;
            continue;
        }
        look_at(&row, shared + SCORE * experts, shape);
        for (int32_t e = lane_of(); e < experts; e += CUDA_WARP)
            g.dscores[e] = g.dq[e] = g.dclean[e] = g.ddeviation[e] = 0.0f;
        __syncwarp();
        const float to_scale = gradient_of_gates(g, row, shape);
        if (dscale != nullptr && lane_of() == 0) dscale[r] = to_scale;
        gradient_through_gates(g, row, shape);
        if (dsums != nullptr) gradient_of_load(g, clean + at, row_spread, row, shape);
        store_gradient(dclean + at, to_spread, row_spread, g, row, shape);
    }
}

void cuda_gate_backward(struct device *dev, act_t *dclean, act_t *dspread, float *dscale,
                        const float *dweight, const float *dgates, const float *dsums, const float *scores,
                        const float *clean, const float *spread, const float *scale,
                        const struct gate_shape *shape) {
    const int64_t grain = row_grain(shape->rows);
    const unsigned pieces = shape->rows > 0 ? cuda_pieces(shape->rows, grain) : 0;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "gate_backward", gate_backward_kernel<T>, pieces, CUDA_WARP, row_shared(shape),
                    dclean, dspread, dscale, dweight, dgates, dsums, scores, clean, spread, scale, *shape,
                    grain);
    });
}
