/* Mixtures of class probabilities, and their loss. */
#include <string.h>

#include "core/mathf.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/rows.h"

enum { PIECE = 16384 }; /* elements */

static int64_t rows_per_piece(int64_t width) {
    return width >= PIECE ? 1 : PIECE / width;
}

/* Row of prob and logits that a slot holds, -1 if none. */
static int64_t row_of(const int32_t *position, int64_t slot) {
    return position == NULL ? slot : position[slot];
}

static void softmax_row(float *y, const float *x, int32_t width) {
    row_exp(y, x, width, 1.0f, row_max(x, width));
    const float inverse = 1.0f / lanes_sum(y, width);
    for (int32_t i = 0; i < width; i++)
        y[i] *= inverse;
}

/* y [C] = sum over a row's K slots; prob is the array of all rows. */
static void mix_row(float *y, const float *prob, const float *weight, const int32_t *position, int32_t top_k,
                    int32_t classes) {
    memset(y, 0, (size_t)classes * sizeof *y);
    for (int32_t k = 0; k < top_k; k++) {
        if (position[k] < 0) continue;
        const float *from = prob + (int64_t)position[k] * classes;
        for (int32_t c = 0; c < classes; c++)
            y[c] += weight[k] * from[c];
    }
}

void cpu_mixture_forward(struct device *dev, float *y, float *prob, const float *logits, const float *weight,
                         const int32_t *position, int64_t rows, int32_t top_k, int32_t classes) {
    const int64_t grain = rows_per_piece((int64_t)classes * top_k), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
                const int64_t at = row_of(position, slot) * classes;
                if (at >= 0) softmax_row(prob + at, logits + at, classes);
            }
            float *out = y + r * classes;
            if (position != NULL)
                mix_row(out, prob, weight + r * top_k, position + r * top_k, top_k, classes);
            else if (y != prob)
                memcpy(out, prob + r * classes, (size_t)classes * sizeof *out);
        }
    }
}

/* dlogits [C] of a slot; returns dweight. */
static float slot_gradient(float *dlogits, const float *dy, const float *prob, float weight,
                           int32_t classes) {
    lanes_set_scaled(dlogits, dy, weight, classes);
    const float mean = lanes_dot(dlogits, prob, classes);
    for (int32_t c = 0; c < classes; c++)
        dlogits[c] = prob[c] * (dlogits[c] - mean);
    return lanes_dot(prob, dy, classes);
}

void cpu_mixture_backward(struct device *dev, act_t *dlogits, float *dweight, const float *dy,
                          const float *prob, const float *weight, const int32_t *position, int64_t rows,
                          int32_t top_k, int32_t classes) {
    float *grad = dlogits;
    const int64_t grain = rows_per_piece((int64_t)classes * top_k), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t begin = piece_begin(p, rows, grain) * top_k,
                      end = piece_begin(p + 1, rows, grain) * top_k;
        for (int64_t slot = begin; slot < end; slot++) {
            const int64_t at = row_of(position, slot) * classes;
            const float of_weight = at < 0 ? 0.0f
                                           : slot_gradient(grad + at, dy + slot / top_k * classes, prob + at,
                                                           weight != NULL ? weight[slot] : 1.0f, classes);
            if (dweight != NULL) dweight[slot] = of_weight;
        }
    }
}

/* Loss of one row whose target is >= 0, and its gradient (dy may be NULL). */
static float row_loss(float *dy, const float *y, int32_t target, const struct mixture_shape *shape) {
    const int32_t classes = shape->classes;
    if (shape->kind == MIXTURE_LOG) {
        const bool least = y[target] <= 0x1p-126f;
        if (dy != NULL) {
            memset(dy, 0, (size_t)classes * sizeof *dy);
            if (!least) dy[target] = -shape->grad_scale / y[target];
        }
        if (y[target] != y[target]) return y[target];
        return -mathf_log(least ? 0x1p-126f : y[target]);
    }
    const float max = row_max(y, classes);
    float sum = 0.0f;
    for (int32_t c = 0; c < classes; c++)
        sum += mathf_exp(y[c] - max);
    const float lse = max + mathf_log(sum);
    for (int32_t c = 0; dy != NULL && c < classes; c++)
        dy[c] = shape->grad_scale * (mathf_exp(y[c] - lse) - (c == target ? 1.0f : 0.0f));
    return lse - y[target];
}

void cpu_mixture_loss(struct device *dev, float *nll, int32_t *correct, float *dy, const float *y,
                      const int32_t *targets, const struct mixture_shape *shape) {
    const int64_t rows = shape->rows, classes = shape->classes;
    const int64_t grain = rows_per_piece(classes), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            const float *row = y + r * classes;
            float *grad = dy != NULL ? dy + r * classes : NULL;
            int32_t best = 0;
            for (int32_t c = 1; c < classes; c++)
                best = row[c] > row[best] ? c : best;
            correct[r] = best == targets[r];
            nll[r] = 0.0f;
            if (targets[r] >= 0)
                nll[r] = row_loss(grad, row, targets[r], shape);
            else if (grad != NULL)
                memset(grad, 0, (size_t)classes * sizeof *grad);
        }
    }
}
