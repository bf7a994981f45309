/* Softmax of short rows, and the loss of a mixture of class probabilities. */
#include <string.h>

#include "core/mathf.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/rows.h"

enum { PIECE = 16384 }; /* elements */

static int64_t rows_per_piece(int64_t width) {
    return width >= PIECE ? 1 : PIECE / width;
}

void cpu_softmax_forward(struct device *dev, act_t *y, const act_t *x, int64_t rows, int32_t width) {
    const int64_t grain = rows_per_piece(width), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            const float *in = (const float *)x + r * width;
            float *out = (float *)y + r * width;
            row_exp(out, in, width, 1.0f, row_max(in, width));
            const float inverse = 1.0f / lanes_sum(out, width);
            for (int32_t i = 0; i < width; i++)
                out[i] *= inverse;
        }
    }
}

void cpu_softmax_backward(struct device *dev, act_t *dx, const act_t *dy, const act_t *y, int64_t rows,
                          int32_t width) {
    const int64_t grain = rows_per_piece(width), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            const float *out = (const float *)y + r * width, *top = (const float *)dy + r * width;
            float *grad = (float *)dx + r * width;
            const float mean = lanes_dot(top, out, width);
            for (int32_t i = 0; i < width; i++)
                grad[i] = out[i] * (top[i] - mean);
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

void cpu_mixture_loss(struct device *dev, float *nll, int32_t *correct, act_t *dy, const act_t *y,
                      const int32_t *targets, const struct mixture_shape *shape) {
    const int64_t rows = shape->rows, classes = shape->classes;
    const int64_t grain = rows_per_piece(classes), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            const float *row = (const float *)y + r * classes;
            float *grad = dy != NULL ? (float *)dy + r * classes : NULL;
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
