#include <math.h>
#include <string.h>

#include <cblas.h>

#include "core/mathf.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/lanes.h"

enum { DW_COLUMNS = 64 }; /* columns of dw per piece */

/* Sums over the rows of one piece. mass [experts] and load [experts] follow in the scratch. */
struct router_sums {
    double entropy, z;
};

struct router_partials {
    struct router_sums *sums; /* [pieces] */
    float *mass;              /* [pieces, experts] */
    int32_t *load;            /* [pieces, experts] */
    float *score;             /* [pieces, experts]: one row of scores while it is searched */
};

static struct router_partials partials_in(struct device *dev, int32_t experts) {
    struct router_partials parts;
    parts.sums = cpu_device_of(dev)->scratch;
    parts.mass = (float *)(parts.sums + CPU_PARTIALS);
    parts.load = (int32_t *)(parts.mass + (int64_t)CPU_PARTIALS * experts);
    parts.score = (float *)(parts.load + (int64_t)CPU_PARTIALS * experts);
    return parts;
}

/* sum of e^(x - shift) */
static float sum_exp(const float *x, int32_t n, float shift) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int32_t i = 0; i < n; i++)
        sum += mathf_exp(x[i] - shift);
    return sum;
}

/* ---- forward, one row
 * ----------------------------------------------------------------------------------------- */

/* prob = softmax(logits); returns log sum exp and adds the entropy. With m the maximum and s = sum e^(l - m):
 * -sum p ln p = ln s - sum p (l - m). */
static float softmax_row(float *restrict prob, const float *restrict logits, int32_t experts,
                         double *entropy) {
    const float max = lanes_max(logits, experts);
    float sum = 0.0f, moment = 0.0f;
#pragma omp simd reduction(+ : sum, moment)
    for (int32_t e = 0; e < experts; e++) {
        const float shifted = logits[e] - max, p = mathf_exp(shifted);
        prob[e] = p;
        sum += p;
        moment += p * shifted;
    }
    const float inverse = 1.0f / sum, log_sum = mathf_log(sum);
#pragma omp simd
    for (int32_t e = 0; e < experts; e++)
        prob[e] *= inverse;
    *entropy += (double)(log_sum - moment * inverse);
    return max + log_sum;
}

/* prob = sigmoid(logits); the entropy is that of prob / sum prob. */
static float sigmoid_row(float *restrict prob, const float *restrict logits, int32_t experts,
                         float *out_total, double *entropy) {
    float total = 0.0f, moment = 0.0f;
#pragma omp simd reduction(+ : total, moment)
    for (int32_t e = 0; e < experts; e++) {
        const float p = mathf_sigmoid(logits[e]);
        prob[e] = p;
        total += p;
        moment += p * mathf_log(p < 0x1p-126f ? 0x1p-126f : p);
    }
    *out_total = total;
    *entropy += (double)(mathf_log(total) - moment / total);
    const float max = lanes_max(logits, experts);
    return max + mathf_log(sum_exp(logits, experts, max));
}

/* Lowest expert not among the first k chosen: where scores are NaN, there still is a choice. */
static int32_t first_unchosen(const int32_t *index, int32_t k) {
    int32_t e = 0;
    for (int32_t j = 0; j < k; j++) {
        if (index[j] != e) continue;
        e++;
        j = -1;
    }
    return e;
}

/* index [K] = the largest of score [E] in descending order, the lowest expert first among equals; they become
 * -infinity. */
static void choose_directly(int32_t *index, float *score, int32_t experts, int32_t top_k) {
    for (int32_t k = 0; k < top_k; k++) {
        const float best = lanes_max(score, experts);
        index[k] = best > -INFINITY ? (int32_t)lanes_find(score, best, experts) : first_unchosen(index, k);
        score[index[k]] = -INFINITY;
    }
}

enum { BLOCK = 64, MOST_BLOCKS = 64 };

/* The same from the largest scores of blocks of experts, of which a choice changes one. */
static void choose_by_blocks(int32_t *index, float *score, int32_t experts, int32_t top_k) {
    const int32_t blocks = (experts + BLOCK - 1) / BLOCK;
    float largest[MOST_BLOCKS];
    for (int32_t b = 0; b < blocks; b++)
        largest[b] = lanes_max(score + b * BLOCK, b < blocks - 1 ? BLOCK : experts - b * BLOCK);
    for (int32_t k = 0; k < top_k; k++) {
        const float best = lanes_max(largest, blocks);
        if (!(best > -INFINITY)) {
            index[k] = first_unchosen(index, k);
            continue;
        }
        const int32_t b = (int32_t)lanes_find(largest, best, blocks);
        const int32_t n = b < blocks - 1 ? BLOCK : experts - b * BLOCK;
        float *block = score + b * BLOCK;
        const int32_t at = (int32_t)lanes_find(block, best, n);
        index[k] = b * BLOCK + at;
        block[at] = -INFINITY;
        largest[b] = lanes_max(block, n);
    }
}

/* index [K] = the largest of prob + bias. score [E] is scratch. */
static void top_k_row(int32_t *index, float *restrict score, const float *restrict prob,
                      const float *restrict bias, int32_t experts, int32_t top_k) {
    if (bias == NULL) {
        memcpy(score, prob, (size_t)experts * sizeof *score);
    } else {
#pragma omp simd
        for (int32_t e = 0; e < experts; e++)
            score[e] = prob[e] + bias[e];
    }
    if (top_k > 2 && experts >= 2 * BLOCK && experts <= MOST_BLOCKS * BLOCK) {
        choose_by_blocks(index, score, experts, top_k);
    } else {
        choose_directly(index, score, experts, top_k);
    }
}

static void weight_row(float *weight, const float *prob, const int32_t *index,
                       const struct router_shape *shape) {
    float divisor = 1.0f;
    if (shape->renormalize) {
        float sum = 0.0f;
        for (int32_t k = 0; k < shape->top_k; k++)
            sum += prob[index[k]];
        divisor = sum + shape->renormalize_eps;
    }
    for (int32_t k = 0; k < shape->top_k; k++)
        weight[k] = prob[index[k]] / divisor * shape->weight_scale;
}

/* ---- forward
 * -------------------------------------------------------------------------------------------------- */

static void add_partials(int32_t *load, float *prob_mass, float *entropy, float *z,
                         const struct router_partials *parts, int64_t pieces, int32_t experts) {
    struct router_sums total = {0};
    for (int64_t p = 0; p < pieces; p++) {
        total.entropy += parts->sums[p].entropy;
        total.z += parts->sums[p].z;
    }
    *entropy = (float)total.entropy;
    *z = (float)total.z;
    for (int32_t e = 0; e < experts; e++) {
        double mass = 0.0;
        load[e] = 0;
        for (int64_t p = 0; p < pieces; p++) {
            mass += (double)parts->mass[p * experts + e];
            load[e] += parts->load[p * experts + e];
        }
        prob_mass[e] = (float)mass;
    }
}

void cpu_router_forward(struct device *dev, float *logits, float *prob, int32_t *index, float *weight,
                        int32_t *load, float *prob_mass, float *entropy, float *z, const act_t *x,
                        const act_t *w, const float *select_bias, const struct router_shape *shape) {
    const int32_t experts = shape->experts, top_k = shape->top_k, hidden = shape->hidden;
    const int64_t rows = shape->rows, grain = cpu_partial_grain(rows), pieces = piece_count(rows, grain);
    const struct router_partials parts = partials_in(dev, experts);
    const float *in = x;
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t begin = piece_begin(p, rows, grain), end = piece_begin(p + 1, rows, grain);
        float *mass = parts.mass + p * experts;
        int32_t *chosen = parts.load + p * experts;
        struct router_sums sums = {0};
        memset(mass, 0, (size_t)experts * sizeof *mass);
        memset(chosen, 0, (size_t)experts * sizeof *chosen);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)(end - begin), experts, hidden,
                    1.0f / shape->temperature, in + begin * hidden, hidden, w, hidden, 0.0f,
                    logits + begin * experts, experts);
        for (int64_t r = begin; r < end; r++) {
            float *row_prob = prob + r * experts;
            float total = 1.0f, lse;
            if (shape->kind == ROUTER_SOFTMAX) {
                lse = softmax_row(row_prob, logits + r * experts, experts, &sums.entropy);
            } else {
                lse = sigmoid_row(row_prob, logits + r * experts, experts, &total, &sums.entropy);
            }
            const float inverse = 1.0f / total;
#pragma omp simd
            for (int32_t e = 0; e < experts; e++)
                mass[e] = fmaf(row_prob[e], inverse, mass[e]);
            sums.z += (double)lse * lse;
            top_k_row(index + r * top_k, parts.score + p * experts, row_prob, select_bias, experts, top_k);
            weight_row(weight + r * top_k, row_prob, index + r * top_k, shape);
            for (int32_t k = 0; k < top_k; k++)
                chosen[index[r * top_k + k]]++;
        }
        parts.sums[p] = sums;
    }
    add_partials(load, prob_mass, entropy, z, &parts, pieces, experts);
}

/* ---- balance between the passes
 * ------------------------------------------------------------------------------- */

/* Layers [first, first + pool) as one pool of rows. */
static void pool_gradient(float *prob_grad, const int32_t *load, int32_t pool,
                          const struct balance_shape *shape) {
    const int32_t experts = shape->experts;
    const double rows = (double)shape->rows * pool;
    for (int32_t e = 0; e < experts; e++) {
        double slots = 0;
        for (int32_t l = 0; l < pool; l++)
            slots += load[l * shape->stride + e];
        const double share = slots / (rows * shape->top_k);
        for (int32_t l = 0; l < pool; l++)
            prob_grad[l * shape->stride + e] = (float)(shape->scale * experts * share / rows);
    }
}

void cpu_balance_gradient(struct device *dev, float *prob_grad, const int32_t *load,
                          const struct balance_shape *shape) {
    const int32_t pool = shape->pooled ? shape->layers : 1;
    (void)dev;
    for (int32_t l = 0; l < shape->layers; l += pool)
        pool_gradient(prob_grad + l * shape->stride, load + l * shape->stride, pool, shape);
}

/* ---- backward, one row
 * ---------------------------------------------------------------------------------------- */

/* dprob += gradient through the combine weights. Renormalised, with P = sum p and s = P + eps:
 *   d/dp_k = (P (dw_k - mean) + eps dw_k) / s^2,  mean = sum p_j dw_j / P,
 * times weight_scale, where the mean is taken about dw_0, so that one expert, or equal gradients, leave
 * exactly the eps term. */
static void weight_gradient(float *dprob, const float *dweight, const float *prob, const int32_t *index,
                            const struct router_shape *shape) {
    const int32_t top_k = shape->top_k;
    if (!shape->renormalize) {
        for (int32_t k = 0; k < top_k; k++)
            dprob[index[k]] += dweight[k] * shape->weight_scale;
        return;
    }
    double total = 0.0, moment = 0.0;
    for (int32_t k = 0; k < top_k; k++) {
        total += (double)prob[index[k]];
        moment += (double)prob[index[k]] * ((double)dweight[k] - (double)dweight[0]);
    }
    const double eps = (double)shape->renormalize_eps, s = total + eps;
    for (int32_t k = 0; k < top_k; k++) {
        const double centred = ((double)dweight[k] - (double)dweight[0]) * total - moment;
        dprob[index[k]] +=
            (float)((centred + eps * (double)dweight[k]) / (s * s) * (double)shape->weight_scale);
    }
}

/* dprob = gradient through the balance loss: prob_grad about its mean under prob, over sum prob. Under a
 * softmax the mean falls out later and the sum is 1. */
static void balance_gradient(float *restrict dprob, const float *restrict prob_grad,
                             const float *restrict prob, const struct router_shape *shape) {
    if (prob_grad == NULL) {
        memset(dprob, 0, (size_t)shape->experts * sizeof *dprob);
    } else if (shape->kind == ROUTER_SOFTMAX) {
        memcpy(dprob, prob_grad, (size_t)shape->experts * sizeof *dprob);
    } else {
        const float inverse = 1.0f / lanes_sum(prob, shape->experts);
        const float mean = lanes_dot(prob_grad, prob, shape->experts) * inverse;
#pragma omp simd
        for (int32_t e = 0; e < shape->experts; e++)
            dprob[e] = (prob_grad[e] - mean) * inverse;
    }
}

/* dlogits holds dprob on entry, the gradient with respect to x w^T (before the temperature) on return. */
static void logit_gradient(float *restrict dlogits, const float *restrict prob, const float *restrict logits,
                           float z_grad, const struct router_shape *shape) {
    const int32_t experts = shape->experts;
    const float inverse = 1.0f / shape->temperature;
    if (shape->kind == ROUTER_SOFTMAX) {
        const float mean = lanes_dot(prob, dlogits, experts);
#pragma omp simd
        for (int32_t e = 0; e < experts; e++)
            dlogits[e] = prob[e] * (dlogits[e] - mean) * inverse;
    } else {
#pragma omp simd
        for (int32_t e = 0; e < experts; e++)
            dlogits[e] *= prob[e] * (1.0f - prob[e]) * inverse;
    }
    if (z_grad == 0.0f) return;
    const float max = lanes_max(logits, experts);
    const float lse = max + mathf_log(sum_exp(logits, experts, max));
    const float scale = 2.0f * z_grad * lse * inverse;
#pragma omp simd
    for (int32_t e = 0; e < experts; e++)
        dlogits[e] = fmaf(scale, mathf_exp(logits[e] - lse), dlogits[e]);
}

/* ---- backward
 * ------------------------------------------------------------------------------------------------- */

/* dw += dlogits^T x, in pieces of columns: each sum over the rows is one product. */
static void weight_products(struct device *dev, float *dw, const float *dlogits, const float *x,
                            const struct router_shape *shape) {
    const int64_t hidden = shape->hidden, pieces = piece_count(hidden, DW_COLUMNS);
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t begin = piece_begin(p, hidden, DW_COLUMNS),
                      end = piece_begin(p + 1, hidden, DW_COLUMNS);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, shape->experts, (blasint)(end - begin),
                    (blasint)shape->rows, 1.0f, dlogits, shape->experts, x + begin, shape->hidden, 1.0f,
                    dw + begin, shape->hidden);
    }
}

void cpu_router_backward(struct device *dev, act_t *dx, float *dw, float *dlogits, const float *dweight,
                         const float *prob_grad, float z_grad, const float *logits, const float *prob,
                         const int32_t *index, const act_t *x, const act_t *w,
                         const struct router_shape *shape) {
    const int32_t experts = shape->experts, top_k = shape->top_k, hidden = shape->hidden;
    const int64_t rows = shape->rows, grain = cpu_partial_grain(rows), pieces = piece_count(rows, grain);
    float *out = dx;
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t begin = piece_begin(p, rows, grain), end = piece_begin(p + 1, rows, grain);
        for (int64_t r = begin; r < end; r++) {
            float *row = dlogits + r * experts;
            const float *row_prob = prob + r * experts;
            balance_gradient(row, prob_grad, row_prob, shape);
            weight_gradient(row, dweight + r * top_k, row_prob, index + r * top_k, shape);
            logit_gradient(row, row_prob, logits + r * experts, z_grad, shape);
        }
        if (out == NULL) continue;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)(end - begin), hidden, experts, 1.0f,
                    dlogits + begin * experts, experts, w, hidden, 1.0f, out + begin * hidden, hidden);
    }
    weight_products(dev, dw, dlogits, x, shape);
}
