#include <math.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/lanes.h"

enum { PIECE = 16384 }; /* elements */

static int64_t rows_per_piece(int32_t width) {
    return width >= PIECE ? 1 : PIECE / width;
}

static void row_forward(enum norm_kind kind, float *restrict y, float *mean, float *rstd,
                        const float *restrict x, const float *restrict gamma, const float *restrict beta,
                        int32_t width, float eps) {
    if (kind == NORM_LAYER) {
        const float mu = lanes_sum(x, width) / (float)width;
        const float r = 1.0f / sqrtf(lanes_square_sum(x, mu, width) / (float)width + eps);
#pragma omp simd
        for (int32_t i = 0; i < width; i++)
            y[i] = fmaf((x[i] - mu) * r, gamma[i], beta[i]);
        *mean = mu;
        *rstd = r;
    } else {
        const float r = 1.0f / sqrtf(lanes_dot(x, x, width) / (float)width + eps);
#pragma omp simd
        for (int32_t i = 0; i < width; i++)
            y[i] = x[i] * r * gamma[i];
        *rstd = r;
    }
}

void cpu_norm_forward(struct device *dev, enum norm_kind kind, act_t *y, float *mean, float *rstd,
                      const act_t *x, const act_t *gamma, const act_t *beta, int64_t rows, int32_t width,
                      int64_t x_stride, int64_t y_stride, float eps) {
    float *out = y;
    const float *in = x;
    const int64_t grain = rows_per_piece(width), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            row_forward(kind, out + r * y_stride, mean == NULL ? NULL : mean + r, rstd + r, in + r * x_stride,
                        gamma, beta, width, eps);
        }
    }
}

/* Adds one row to the sums for gamma and beta; leaves in *along the sum of dy gamma xhat. */
static float row_parameters_layer(float *restrict dgamma, float *restrict dbeta, const float *restrict dy,
                                  const float *restrict x, const float *restrict gamma, float mean,
                                  float rstd, int32_t width, float *along) {
    float total = 0.0f, dot = 0.0f;
#pragma omp simd reduction(+ : total, dot)
    for (int32_t i = 0; i < width; i++) {
        const float xhat = (x[i] - mean) * rstd, g = dy[i] * gamma[i];
        dgamma[i] = fmaf(dy[i], xhat, dgamma[i]);
        dbeta[i] += dy[i];
        total += g;
        dot += g * xhat;
    }
    *along = dot;
    return total;
}

static float row_parameters_rms(float *restrict dgamma, const float *restrict dy, const float *restrict x,
                                const float *restrict gamma, float rstd, int32_t width) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int32_t i = 0; i < width; i++) {
        const float xhat = x[i] * rstd;
        dgamma[i] = fmaf(dy[i], xhat, dgamma[i]);
        dot += dy[i] * gamma[i] * xhat;
    }
    return dot;
}

/* dx = rstd (dy gamma - mean(dy gamma) - xhat mean(dy gamma xhat)); rms has no first mean */
static inline void row_input(float *restrict dx, const float *restrict dy, const float *restrict x,
                             const float *restrict gamma, float mean, float rstd, float total, float along,
                             int32_t width, bool accumulate) {
    const float shift = total / (float)width, slope = along / (float)width;
    if (accumulate) {
#pragma omp simd
        for (int32_t i = 0; i < width; i++) {
            const float xhat = (x[i] - mean) * rstd;
            dx[i] = fmaf(rstd, fmaf(-xhat, slope, dy[i] * gamma[i] - shift), dx[i]);
        }
    } else {
#pragma omp simd
        for (int32_t i = 0; i < width; i++) {
            const float xhat = (x[i] - mean) * rstd;
            dx[i] = rstd * fmaf(-xhat, slope, dy[i] * gamma[i] - shift);
        }
    }
}

/* grad += the pieces' partial sums, in the order of the pieces */
static void add_partials(float *grad, const float *partials, int64_t pieces, int64_t stride, int32_t width) {
    for (int64_t p = 0; p < pieces; p++) {
        const float *part = partials + p * stride;
#pragma omp simd
        for (int32_t i = 0; i < width; i++)
            grad[i] += part[i];
    }
}

void cpu_norm_backward(struct device *dev, enum norm_kind kind, act_t *dx, float *dgamma, float *dbeta,
                       const act_t *dy, const act_t *x, const float *mean, const float *rstd,
                       const act_t *gamma, int64_t rows, int32_t width, int64_t x_stride, int64_t y_stride,
                       bool accumulate_dx) {
    float *const partials = cpu_device_of(dev)->scratch; /* [pieces, 2, width]: gamma's, then beta's */
    float *out = dx;
    const float *grad = dy, *in = x;
    const int64_t grain = cpu_partial_grain(rows), pieces = piece_count(rows, grain),
                  stride = 2 * (int64_t)width;
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        float *dgamma_part = partials + p * stride, *dbeta_part = dgamma_part + width;
        for (int64_t i = 0; i < stride; i++)
            dgamma_part[i] = 0.0f;
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            const float *dy_row = grad + r * y_stride, *x_row = in + r * x_stride;
            float total = 0.0f, along, mu = 0.0f;
            if (kind == NORM_LAYER) {
                mu = mean[r];
                total = row_parameters_layer(dgamma_part, dbeta_part, dy_row, x_row, gamma, mu, rstd[r],
                                             width, &along);
            } else {
                along = row_parameters_rms(dgamma_part, dy_row, x_row, gamma, rstd[r], width);
            }
            row_input(out + r * x_stride, dy_row, x_row, gamma, mu, rstd[r], total, along, width,
                      accumulate_dx);
        }
    }
    add_partials(dgamma, partials, pieces, stride, width);
    if (dbeta != NULL) add_partials(dbeta, partials + width, pieces, stride, width);
}
