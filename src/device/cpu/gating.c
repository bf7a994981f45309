/* Noisy top-k gates, row by row: experts are few, so a row is short and the work is in its special functions.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/mathf.h"
#include "core/normal.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"

#define FARTHEST 13.0f /* deviations at which the normal distribution ends in float */

/* One row while it is looked at; the arrays are the scratch of its piece. */
struct gate_row {
    int64_t r;
    int32_t gate;
    float scale;
    const float *scores, *clean, *spread; /* [E] */
    int32_t *order;                       /* [min(K + 1, E)] largest scores first */
    float *q;                             /* [E] softmax of the scores */
    float *gate_of;                       /* [K] gates of order[0 .. K), before chance */
    float divisor;                        /* of q in them */
};

/* Sums over the rows of one piece. */
struct gate_partial {
    double *entropy; /* [2, A] */
    float *sums;     /* [3, A, E] */
    int32_t *counts; /* [2, A, E] */
};

static bool has_noise(const struct gate_shape *shape) {
    return shape->noisy && shape->kind != GATE_BY_CHANCE;
}

static bool has_load_estimate(const struct gate_shape *shape) {
    return has_noise(shape) && shape->top_k < shape->experts;
}

static float deviation_of(const struct gate_shape *shape, float spread) {
    return shape->noise_scale * (mathf_softplus(spread) + shape->noise_epsilon);
}

static float noise_of(const struct gate_shape *shape, int64_t r, int32_t e) {
    return (float)rng_normal(shape->key, shape->first + (uint64_t)(r * shape->experts + e));
}

/* Whether choice k of the row is used. */
static bool is_used(const struct gate_shape *shape, const struct gate_row *row, int32_t k) {
    if (shape->kind != GATE_BY_CHANCE || !shape->noisy || k == 0) return true;
    const uint64_t i = shape->first + (uint64_t)(row->r * shape->top_k + k);
    return (float)shape->top_k * row->gate_of[k] > rng_uniform(shape->key, i);
}

/* order = the n largest scores, the lowest expert first among equals; NaN comes last. */
static void order_scores(int32_t *order, const float *scores, int32_t experts, int32_t n) {
    for (int32_t k = 0; k < n; k++) {
        int32_t best = -1;
        for (int32_t e = 0; e < experts; e++) {
            bool taken = false;
            for (int32_t j = 0; j < k; j++)
                taken = taken || order[j] == e;
            if (!taken && (best < 0 || scores[e] > scores[best])) best = e;
        }
        order[k] = best;
    }
}

/* p may be x. */
static void softmax_row(float *p, const float *x, int32_t n) {
    float max = x[0], sum = 0.0f;
    for (int32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int32_t i = 0; i < n; i++) {
        p[i] = mathf_exp(x[i] - max);
        sum += p[i];
    }
    for (int32_t i = 0; i < n; i++)
        p[i] /= sum;
}

/* Order, probabilities and gates of a row. */
static void look_at(struct gate_row *row, const struct gate_shape *shape) {
    const int32_t experts = shape->experts, top_k = shape->top_k;
    order_scores(row->order, row->scores, experts, top_k < experts ? top_k + 1 : experts);
    if (shape->kind == GATE_TOP_K_SOFTMAX) {
        for (int32_t k = 0; k < top_k; k++)
            row->gate_of[k] = row->scores[row->order[k]];
        softmax_row(row->gate_of, row->gate_of, top_k);
        return;
    }
    softmax_row(row->q, row->scores, experts);
    row->divisor = shape->renormalize_eps;
    for (int32_t k = top_k - 1; k >= 0; k--)
        row->divisor += row->q[row->order[k]];
    for (int32_t k = 0; k < top_k; k++)
        row->gate_of[k] = row->q[row->order[k]] / row->divisor;
}

/* Place in row->order of the expert whose score (or probability) is e's threshold. */
static int32_t threshold_of(const struct gate_row *row, const struct gate_shape *shape, int32_t e) {
    const int32_t top_k = shape->top_k;
    if (shape->kind == GATE_SOFTMAX_TOP_K)
        return row->scores[e] > row->q[row->order[top_k]] ? top_k : top_k - 1;
    for (int32_t k = 0; k < top_k; k++)
        if (row->order[k] == e) return top_k;
    return top_k - 1;
}

static float distance_of(const struct gate_row *row, const struct gate_shape *shape, int32_t e,
                         int32_t threshold, float deviation) {
    const int32_t j = row->order[threshold];
    const float t = shape->kind == GATE_SOFTMAX_TOP_K ? row->q[j] : row->scores[j];
    const float z = (row->clean[e] - t) / deviation;
    return z > FARTHEST ? FARTHEST : z < -FARTHEST ? -FARTHEST : z;
}

static float entropy_term(float p) {
    return p >= 0x1p-126f ? -p * mathf_log(p) : 0.0f;
}

/* ---- scratch
 * ------------------------------------------------------------------------------------------------ */

/* Every piece has its own run of scratch: sums, then 9 E words for the row. */
static size_t piece_bytes(const struct gate_shape *shape) {
    const size_t cells = (size_t)shape->gates * (size_t)shape->experts;
    const size_t words = 5 * cells + 9 * (size_t)shape->experts;
    return 2 * (size_t)shape->gates * sizeof(double) + (words + words % 2) * sizeof(float);
}

static struct gate_partial partial_at(struct device *dev, const struct gate_shape *shape, int64_t piece) {
    const size_t cells = (size_t)shape->gates * (size_t)shape->experts;
    struct cpu_device *cpu = cpu_device_of(dev);
    assert(CPU_PARTIALS * piece_bytes(shape) <= cpu->scratch_bytes);
    struct gate_partial partial;
    partial.entropy = (double *)((char *)cpu->scratch + (size_t)piece * piece_bytes(shape));
    partial.sums = (float *)(partial.entropy + 2 * shape->gates);
    partial.counts = (int32_t *)(partial.sums + GATE_SUMS * cells);
    return partial;
}

/* A row's arrays, behind the piece's sums; *out_rest [6 E] is free. */
static struct gate_row row_in(const struct gate_partial *partial, const struct gate_shape *shape,
                              float **out_rest) {
    const size_t experts = (size_t)shape->experts, cells = (size_t)shape->gates * experts;
    struct gate_row row = {.q = (float *)(partial->counts + GATE_COUNTS * cells)};
    row.gate_of = row.q + experts;
    row.order = (int32_t *)(row.gate_of + experts);
    *out_rest = (float *)(row.order + experts);
    return row;
}

static void move_to(struct gate_row *row, const struct gate_shape *shape, int64_t r, const float *scores,
                    const float *clean, const float *spread, const float *scale) {
    row->r = r;
    row->gate = (int32_t)(r % shape->gates);
    row->scale = scale != NULL ? scale[r] : 1.0f;
    row->scores = scores + r * shape->experts;
    row->clean = clean + r * shape->experts;
    row->spread = spread != NULL ? spread + r * shape->experts : NULL;
    if (row->scale != 0.0f) look_at(row, shape);
}

/* ---- forward
 * -------------------------------------------------------------------------------------------------- */

static void score_row(float *scores, const float *clean, const float *spread, int64_t r,
                      const struct gate_shape *shape) {
    memcpy(scores, clean, (size_t)shape->experts * sizeof *scores);
    for (int32_t e = 0; has_noise(shape) && e < shape->experts; e++)
        scores[e] += noise_of(shape, r, e) * deviation_of(shape, spread[e]);
}

/* gates [E], index [K] and weight [K] of a row, and what is counted of them. */
static void choose_row(float *gates, int32_t *index, float *weight, const struct gate_partial *partial,
                       const struct gate_row *row, const struct gate_shape *shape) {
    const int64_t experts = shape->experts, cells = experts * shape->gates, at = row->gate * experts;
    memset(gates, 0, (size_t)experts * sizeof *gates);
    for (int32_t k = 0; k < shape->top_k; k++) {
        index[k] = -1;
        weight[k] = 0.0f;
        if (row->scale == 0.0f || !is_used(shape, row, k)) continue;
        const int32_t e = row->order[k];
        index[k] = (int32_t)at + e;
        weight[k] = gates[e] = row->scale * row->gate_of[k];
        partial->counts[GATE_CHOSEN * cells + at + e]++;
        partial->sums[GATE_IMPORTANCE * cells + at + e] += row->gate_of[k];
        partial->sums[GATE_MASS * cells + at + e] += weight[k];
    }
    if (row->scale != 0.0f) partial->counts[GATE_FIRST * cells + at + row->order[0]]++;
}

/* The differentiable load and the entropies of a row; p [E] is scratch. */
static void add_statistics(const struct gate_partial *partial, const struct gate_row *row,
                           const struct gate_shape *shape, float *p) {
    const int64_t experts = shape->experts, cells = experts * shape->gates;
    float *load = partial->sums + GATE_LOAD * cells + row->gate * experts;
    float gates = 0.0f, all = 0.0f;
    softmax_row(p, row->clean, shape->experts);
    for (int32_t k = 0; k < shape->top_k; k++)
        gates += entropy_term(row->gate_of[k]);
    for (int32_t e = 0; e < shape->experts; e++)
        all += entropy_term(p[e]);
    partial->entropy[row->gate] += (double)gates;
    partial->entropy[shape->gates + row->gate] += (double)all;
    if (shape->kind == GATE_BY_CHANCE) {
        for (int32_t e = 0; e < shape->experts; e++)
            load[e] += p[e];
    } else if (has_load_estimate(shape)) {
        for (int32_t e = 0; e < shape->experts; e++) {
            const float z =
                distance_of(row, shape, e, threshold_of(row, shape, e), deviation_of(shape, row->spread[e]));
            load[e] += 0.5f + 0.5f * mathf_erf(z * 0.70710678f);
        }
    } else {
        for (int32_t k = 0; k < shape->top_k; k++)
            load[row->order[k]] += 1.0f;
    }
}

static void add_partials(struct device *dev, int32_t *counts, float *sums, float *entropy, int64_t pieces,
                         const struct gate_shape *shape) {
    const int64_t cells = (int64_t)shape->experts * shape->gates;
    for (int64_t i = 0; i < GATE_COUNTS * cells; i++) {
        counts[i] = 0;
        for (int64_t p = 0; p < pieces; p++)
            counts[i] += partial_at(dev, shape, p).counts[i];
    }
    for (int64_t i = 0; i < GATE_SUMS * cells; i++) {
        double sum = 0.0;
        for (int64_t p = 0; p < pieces; p++)
            sum += (double)partial_at(dev, shape, p).sums[i];
        sums[i] = (float)sum;
    }
    for (int64_t i = 0; i < 2 * (int64_t)shape->gates; i++) {
        double sum = 0.0;
        for (int64_t p = 0; p < pieces; p++)
            sum += partial_at(dev, shape, p).entropy[i];
        entropy[i] = (float)sum;
    }
}

void cpu_gate_forward(struct device *dev, float *scores, float *gates, int32_t *index, float *weight,
                      int32_t *counts, float *sums, float *entropy, const float *clean, const float *spread,
                      const float *scale, const struct gate_shape *shape) {
    const int64_t rows = shape->rows, experts = shape->experts;
    const int64_t grain = cpu_partial_grain(rows), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const struct gate_partial partial = partial_at(dev, shape, p);
        memset(partial.entropy, 0, piece_bytes(shape));
        float *rest;
        struct gate_row row = row_in(&partial, shape, &rest);
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            score_row(scores + r * experts, clean + r * experts, spread != NULL ? spread + r * experts : NULL,
                      r, shape);
            move_to(&row, shape, r, scores, clean, spread, scale);
            choose_row(gates + r * experts, index + r * shape->top_k, weight + r * shape->top_k, &partial,
                       &row, shape);
            if (row.scale != 0.0f) add_statistics(&partial, &row, shape, rest);
        }
    }
    add_partials(dev, counts, sums, entropy, pieces, shape);
}

/* ---- backward
 * ------------------------------------------------------------------------------------------------- */

/* Upstream gradients and the accumulators of one row, [E] each. */
struct gate_gradient {
    const float *dweight, *dgates, *dsums;
    float *dscores, *dq, *dclean, *ddeviation; /* dq: with respect to softmax(scores) */
    float *dgate;                              /* [K] */
};

/* dgate [K] with respect to the gates before scale and chance; returns d / d scale. */
static float gradient_of_gates(const struct gate_gradient *g, const struct gate_row *row,
                               const struct gate_shape *shape) {
    const int64_t experts = shape->experts, cells = experts * shape->gates;
    float dscale = 0.0f;
    for (int32_t k = 0; k < shape->top_k; k++) {
        const int64_t e = row->order[k], cell = row->gate * experts + e;
        g->dgate[k] = 0.0f;
        if (!is_used(shape, row, k)) continue;
        float joint = g->dweight != NULL ? g->dweight[row->r * shape->top_k + k] : 0.0f;
        if (g->dgates != NULL) joint += g->dgates[row->r * experts + e];
        if (g->dsums != NULL) joint += g->dsums[GATE_MASS * cells + cell];
        dscale += row->gate_of[k] * joint;
        g->dgate[k] = row->scale * joint;
        if (g->dsums != NULL) g->dgate[k] += g->dsums[GATE_IMPORTANCE * cells + cell];
    }
    return dscale;
}

static void gradient_through_gates(const struct gate_gradient *g, const struct gate_row *row,
                                   const struct gate_shape *shape) {
    float mean = 0.0f;
    for (int32_t k = 0; k < shape->top_k; k++)
        mean += g->dgate[k] * row->gate_of[k];
    for (int32_t k = 0; k < shape->top_k; k++) {
        if (shape->kind == GATE_TOP_K_SOFTMAX)
            g->dscores[row->order[k]] += row->gate_of[k] * (g->dgate[k] - mean);
        else
            g->dq[row->order[k]] += (g->dgate[k] - mean) / row->divisor;
    }
}

static void gradient_of_load(const struct gate_gradient *g, const struct gate_row *row,
                             const struct gate_shape *shape) {
    const int64_t experts = shape->experts, cells = experts * shape->gates;
    const float *dload = g->dsums + GATE_LOAD * cells + row->gate * experts;
    for (int32_t e = 0; shape->kind == GATE_BY_CHANCE && e < shape->experts; e++)
        g->dq[e] += dload[e];
    for (int32_t e = 0; has_load_estimate(shape) && e < shape->experts; e++) {
        const int32_t threshold = threshold_of(row, shape, e);
        const float deviation = deviation_of(shape, row->spread[e]);
        const float z = distance_of(row, shape, e, threshold, deviation);
        if (z == FARTHEST || z == -FARTHEST) continue;
        const float d = dload[e] * 0.39894228f * mathf_exp(-0.5f * z * z) / deviation;
        g->dclean[e] += d;
        g->ddeviation[e] -= d * z;
        (shape->kind == GATE_SOFTMAX_TOP_K ? g->dq : g->dscores)[row->order[threshold]] -= d;
    }
}

/* dclean and dspread [E] from the accumulators. */
static void store_gradient(float *dclean, float *dspread, const struct gate_gradient *g,
                           const struct gate_row *row, const struct gate_shape *shape) {
    float mean = 0.0f;
    for (int32_t e = 0; shape->kind != GATE_TOP_K_SOFTMAX && e < shape->experts; e++)
        mean += g->dq[e] * row->q[e];
    for (int32_t e = 0; e < shape->experts; e++) {
        if (shape->kind != GATE_TOP_K_SOFTMAX) g->dscores[e] += row->q[e] * (g->dq[e] - mean);
        dclean[e] = g->dclean[e] + g->dscores[e];
        if (dspread == NULL) continue;
        if (has_noise(shape)) g->ddeviation[e] += noise_of(shape, row->r, e) * g->dscores[e];
        dspread[e] = g->ddeviation[e] * shape->noise_scale * mathf_sigmoid(row->spread[e]);
    }
}

void cpu_gate_backward(struct device *dev, act_t *dclean, act_t *dspread, float *dscale, const float *dweight,
                       const float *dgates, const float *dsums, const float *scores, const float *clean,
                       const float *spread, const float *scale, const struct gate_shape *shape) {
    const int64_t rows = shape->rows, experts = shape->experts;
    const int64_t grain = cpu_partial_grain(rows), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const struct gate_partial partial = partial_at(dev, shape, p);
        float *rest;
        struct gate_row row = row_in(&partial, shape, &rest);
        const struct gate_gradient g = {.dweight = dweight,
                                        .dgates = dgates,
                                        .dsums = dsums,
                                        .dscores = rest,
                                        .dq = rest + experts,
                                        .dclean = rest + 2 * experts,
                                        .ddeviation = rest + 3 * experts,
                                        .dgate = rest + 4 * experts};
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            float *to_clean = (float *)dclean + r * experts;
            float *to_spread = dspread != NULL ? (float *)dspread + r * experts : NULL;
            move_to(&row, shape, r, scores, clean, spread, scale);
            if (dscale != NULL) dscale[r] = 0.0f;
            if (row.scale == 0.0f) {
                memset(to_clean, 0, (size_t)experts * sizeof *to_clean);
                if (to_spread != NULL) memset(to_spread, 0, (size_t)experts * sizeof *to_spread);
                continue;
            }
            memset(rest, 0, 4 * (size_t)experts * sizeof *rest);
            const float to_scale = gradient_of_gates(&g, &row, shape);
            if (dscale != NULL) dscale[r] = to_scale;
            gradient_through_gates(&g, &row, shape);
            if (dsums != NULL) gradient_of_load(&g, &row, shape);
            store_gradient(to_clean, to_spread, &g, &row, shape);
        }
    }
}
