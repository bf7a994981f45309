#include <string.h>

#include "core/mathf.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/dropout_mask.h"

/* A piece is what one thread takes; a chunk stays in the first-level cache between its passes. */
enum { PIECE = 16384, CHUNK = 1024 };

/* ---- chunks: n <= CHUNK elements
 * ------------------------------------------------------------------------------ */

static inline float gelu(float x) {
    return 0.5f * x * (1.0f + mathf_erf(x * 0x1.6a09e6p-1f));
}

/* Phi(x) + x phi(x) */
static inline float gelu_derivative(float x) {
    const float cdf = 0.5f * (1.0f + mathf_erf(x * 0x1.6a09e6p-1f));
    return fmaf(x * 0x1.988454p-2f, mathf_exp(-0.5f * x * x), cdf);
}

static inline float silu_derivative(float x) {
    const float s = mathf_sigmoid(x);
    return s * fmaf(x, 1.0f - s, 1.0f);
}

/* y = f(x), up used by gated kinds only */
static void chunk_forward(enum activation_kind kind, float *restrict y, const float *restrict x,
                          const float *restrict up, int64_t n) {
    switch (kind) {
    case ACTIVATION_GELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = gelu(x[i]);
        break;
    case ACTIVATION_RELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] < 0.0f ? 0.0f : x[i];
        break;
    case ACTIVATION_SILU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * mathf_sigmoid(x[i]);
        break;
    case ACTIVATION_SWIGLU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * mathf_sigmoid(x[i]) * up[i];
        break;
    }
}

/* dx = f'(x) g for an ungated kind */
static void chunk_backward(enum activation_kind kind, float *restrict dx, const float *restrict g,
                           const float *restrict x, int64_t n) {
    switch (kind) {
    case ACTIVATION_GELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = g[i] * gelu_derivative(x[i]);
        break;
    case ACTIVATION_RELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = x[i] > 0.0f ? g[i] : 0.0f;
        break;
    case ACTIVATION_SILU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            dx[i] = g[i] * silu_derivative(x[i]);
        break;
    case ACTIVATION_SWIGLU: /* has its own function */
        break;
    }
}

static void chunk_backward_swiglu(float *restrict dgate, float *restrict dup, const float *restrict g,
                                  const float *restrict gate, const float *restrict up, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float s = mathf_sigmoid(gate[i]);
        dgate[i] = g[i] * up[i] * (s * fmaf(gate[i], 1.0f - s, 1.0f));
        dup[i] = g[i] * (gate[i] * s);
    }
}

/* y = x dropout; y may be x */
static void chunk_dropout(float *y, const float *x, uint64_t index, int64_t n, struct dropout drop) {
    float factor[CHUNK];
    cpu_dropout_factors(factor, index, n, drop);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * factor[i];
}

/* The gradient behind the dropout, in buffer if it must be computed. */
static const float *chunk_gradient(float *buffer, const float *dy, uint64_t index, int64_t n,
                                   struct dropout drop) {
    if (drop.threshold == 0) {
        memcpy(buffer, dy, (size_t)n * sizeof(float));
    } else {
        chunk_dropout(buffer, dy, index, n, drop);
    }
    return buffer;
}

/* ---- operations
 * ----------------------------------------------------------------------------------------------- */

/* Columns [begin, begin + n) of one row of y. */
static void forward_part(enum activation_kind kind, float *y, const float *x, int64_t row, int64_t begin,
                         int64_t n, int64_t width, struct dropout drop) {
    const int64_t at = row * width + begin;
    const float *in = kind == ACTIVATION_SWIGLU ? x + row * 2 * width + begin : x + at;
    chunk_forward(kind, y + at, in, in + width, n);
    if (drop.threshold != 0) chunk_dropout(y + at, y + at, (uint64_t)at, n, drop);
}

static void backward_part(enum activation_kind kind, float *dx, const float *dy, const float *x, int64_t row,
                          int64_t begin, int64_t n, int64_t width, struct dropout drop) {
    float buffer[CHUNK];
    const int64_t at = row * width + begin;
    const float *g = chunk_gradient(buffer, dy + at, (uint64_t)at, n, drop);
    if (kind == ACTIVATION_SWIGLU) {
        const int64_t gate = row * 2 * width + begin;
        chunk_backward_swiglu(dx + gate, dx + gate + width, g, x + gate, x + gate + width, n);
    } else {
        chunk_backward(kind, dx + at, g, x + at, n);
    }
}

/* Ungated kinds see one row of rows * width elements, so that narrow rows cost nothing. */
static void flatten(enum activation_kind kind, int64_t *rows, int64_t *width) {
    if (kind == ACTIVATION_SWIGLU) return;
    *width *= *rows;
    *rows = 1;
}

void cpu_activation_forward(struct device *dev, enum activation_kind kind, act_t *y, const act_t *x,
                            int64_t rows, int32_t width, struct dropout drop) {
    int64_t r = rows, w = width;
    flatten(kind, &r, &w);
    const int64_t chunks = piece_count(w, CHUNK), total = r * chunks, grain = PIECE / CHUNK;
    const int64_t pieces = piece_count(total, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t c = piece_begin(p, total, grain); c < piece_begin(p + 1, total, grain); c++) {
            const int64_t begin = c % chunks * CHUNK, n = piece_begin(c % chunks + 1, w, CHUNK) - begin;
            forward_part(kind, y, x, c / chunks, begin, n, w, drop);
        }
    }
}

void cpu_activation_backward(struct device *dev, enum activation_kind kind, act_t *dx, const act_t *dy,
                             const act_t *x, int64_t rows, int32_t width, struct dropout drop) {
    int64_t r = rows, w = width;
    flatten(kind, &r, &w);
    const int64_t chunks = piece_count(w, CHUNK), total = r * chunks, grain = PIECE / CHUNK;
    const int64_t pieces = piece_count(total, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t c = piece_begin(p, total, grain); c < piece_begin(p + 1, total, grain); c++) {
            const int64_t begin = c % chunks * CHUNK, n = piece_begin(c % chunks + 1, w, CHUNK) - begin;
            backward_part(kind, dx, dy, x, c / chunks, begin, n, w, drop);
        }
    }
}

void cpu_to_act(struct device *dev, act_t *y, const float *x, int64_t n) {
    (void)dev;
    if (y != (const act_t *)x) memcpy(y, x, (size_t)n * sizeof *x);
}

void cpu_dropout(struct device *dev, act_t *y, const act_t *x, int64_t n, struct dropout drop) {
    float *out = y;
    const float *in = x;
    if (drop.threshold == 0 && out == in) return;
    const int64_t pieces = piece_count(n, PIECE);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t end = piece_begin(p + 1, n, PIECE);
        for (int64_t i = piece_begin(p, n, PIECE); i < end; i += CHUNK) {
            const int64_t m = end - i < CHUNK ? end - i : CHUNK;
            if (drop.threshold == 0) {
                memcpy(out + i, in + i, (size_t)m * sizeof(float));
            } else {
                chunk_dropout(out + i, in + i, (uint64_t)i, m, drop);
            }
        }
    }
}

void cpu_residual_dropout(struct device *dev, act_t *y, const act_t *residual, const act_t *x, int64_t n,
                          struct dropout drop) {
    float *out = y;
    const float *base = residual, *in = x;
    const int64_t pieces = piece_count(n, PIECE);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t end = piece_begin(p + 1, n, PIECE);
        for (int64_t i = piece_begin(p, n, PIECE); i < end; i += CHUNK) {
            const int64_t m = end - i < CHUNK ? end - i : CHUNK;
            float factor[CHUNK];
            cpu_dropout_factors(factor, (uint64_t)i, m, drop);
#pragma omp simd
            for (int64_t j = 0; j < m; j++)
                out[i + j] = fmaf(in[i + j], factor[j], base[i + j]);
        }
    }
}

void cpu_add_scaled(struct device *dev, act_t *y, const act_t *x, float alpha, int64_t n) {
    float *out = y;
    const float *in = x;
    const int64_t pieces = piece_count(n, PIECE);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        const int64_t end = piece_begin(p + 1, n, PIECE);
#pragma omp simd
        for (int64_t i = piece_begin(p, n, PIECE); i < end; i++)
            out[i] = fmaf(alpha, in[i], out[i]);
    }
}
