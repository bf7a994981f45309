#include <math.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"

enum {
    PIECE = 16384,  /* least elements per piece */
    SPAN_GROUP = 32 /* spans whose partial sums are held at a time */
};

/* ---- sum of squares
 * ------------------------------------------------------------------------------------------- */

static double piece_squares(const float *x, int64_t n) {
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0; /* four quarters, to hide the latency of the addition */
    const int64_t quarter = n / 4;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < quarter; i++) {
        const double p = x[i], q = x[quarter + i], r = x[2 * quarter + i], s = x[3 * quarter + i];
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    for (int64_t i = 4 * quarter; i < n; i++)
        a += (double)x[i] * x[i];
    return (a + b) + (c + d);
}

/* Pieces of a span: never more than CPU_PARTIALS. */
static int64_t span_grain(int64_t count) {
    const int64_t grain = piece_count(count, CPU_PARTIALS);
    return grain < PIECE ? PIECE : grain;
}

static void group_squares(struct device *dev, double *out, const float *x, const struct span *spans,
                          int32_t n) {
    double partial[SPAN_GROUP][CPU_PARTIALS];
#pragma omp parallel num_threads(dev->options.threads)
    for (int32_t s = 0; s < n; s++) {
        const int64_t count = spans[s].count, grain = span_grain(count);
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < piece_count(count, grain); p++) {
            const int64_t begin = piece_begin(p, count, grain), end = piece_begin(p + 1, count, grain);
            partial[s][p] = piece_squares(x + spans[s].offset + begin, end - begin);
        }
    }
    for (int32_t s = 0; s < n; s++) {
        out[s] = 0.0;
        const int64_t pieces = piece_count(spans[s].count, span_grain(spans[s].count));
        for (int64_t p = 0; p < pieces; p++)
            out[s] += partial[s][p];
    }
}

void cpu_sum_squares(struct device *dev, double *out, const float *x, const struct span *spans, int32_t n) {
    for (int32_t s = 0; s < n; s += SPAN_GROUP) {
        group_squares(dev, out + s, x, spans + s, n - s < SPAN_GROUP ? n - s : SPAN_GROUP);
    }
}

/* ---- AdamW
 * ---------------------------------------------------------------------------------------------------- */

/* What the inner loop needs, with the bias corrections folded in. */
struct adamw_factors {
    float beta1, beta2, eps, grad_scale;
    float decay;      /* lr weight_decay */
    float rate;       /* lr / bias_correction1 */
    float root_scale; /* 1 / sqrt(bias_correction2) */
};

static inline float adamw_element(float p, float *g, float *m, float *v, struct adamw_factors f) {
    const float grad = f.grad_scale * *g;
    const float m1 = fmaf(f.beta1, *m, (1.0f - f.beta1) * grad);
    const float v1 = fmaf(f.beta2, *v, (1.0f - f.beta2) * grad * grad);
    *m = m1;
    *v = v1;
    *g = 0.0f;
    return fmaf(-f.decay, p, p) - f.rate * m1 / fmaf(sqrtf(v1), f.root_scale, f.eps);
}

static void adamw_piece(float *restrict params, float *restrict compute, float *restrict grads,
                        float *restrict m, float *restrict v, int64_t n, struct adamw_factors f) {
    if (compute == NULL) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            params[i] = adamw_element(params[i], &grads[i], &m[i], &v[i], f);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            params[i] = adamw_element(params[i], &grads[i], &m[i], &v[i], f);
            compute[i] = params[i];
        }
    }
}

void cpu_adamw(struct device *dev, float *params, act_t *compute, float *grads, float *m, float *v,
               const struct adamw_segment *segments, int32_t count, const struct adamw_step *step,
               const float *grad_scale) {
    float *const copy = compute == params ? NULL : compute;
    if (isnan(*grad_scale)) return;
#pragma omp parallel num_threads(dev->options.threads)
    for (int32_t s = 0; s < count; s++) {
        const struct adamw_factors f = {
            .beta1 = step->beta1,
            .beta2 = step->beta2,
            .eps = step->eps,
            .grad_scale = *grad_scale,
            .decay = segments[s].lr * segments[s].weight_decay,
            .rate = segments[s].lr / step->bias_correction1,
            .root_scale = 1.0f / sqrtf(step->bias_correction2),
        };
        const int64_t n = segments[s].count;
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < piece_count(n, PIECE); p++) {
            const int64_t at = segments[s].offset + piece_begin(p, n, PIECE);
            const int64_t size = segments[s].offset + piece_begin(p + 1, n, PIECE) - at;
            adamw_piece(params + at, copy == NULL ? NULL : copy + at, grads + at, m + at, v + at, size, f);
        }
    }
}
