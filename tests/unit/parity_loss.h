/* parity_loss.h - head with cross-entropy, sums, search for NaN and Inf, AdamW */
#ifndef PARITY_LOSS_H
#define PARITY_LOSS_H

#include "parity_harness.h"

enum head_targets { TARGETS_ALL, TARGETS_SOME, TARGETS_NONE };

struct head_case {
    int64_t rows;
    int32_t hidden, vocab;
    float label_smoothing, z_coeff, grad_scale;
    enum head_targets targets;
    bool gradient, correct, tied; /* tied: equal logits, so that "first of equals" decides */
};

static const struct head_case head_cases[] = {
    {1, 5, 3, 0.0f, 0.0f, 1.0f, TARGETS_ALL, true, true, false},
    {3, 32, 100, 0.1f, 0.0f, 0.33f, TARGETS_SOME, true, true, false},
    {130, 33, 257, 0.0f, 1e-4f, 1.0f / 130, TARGETS_SOME, true, false, false},
    {130, 64, 1000, 0.1f, 1e-2f, 1.0f / 520, TARGETS_ALL, true, true, false},
    {130, 64, 1000, 0.1f, 1e-2f, 1.0f / 520, TARGETS_SOME, false, true, false},
    {3, 16, 10, 0.0f, 0.0f, 1.0f, TARGETS_NONE, true, true, false},
    {300, 20, 61, 0.05f, 0.0f, 1.0f, TARGETS_SOME, true, true, false},
    {1, 1000, 2, 0.0f, 0.0f, 1.0f, TARGETS_ALL, false, false, false},
    {130, 4, 129, 0.0f, 0.0f, 1.0f, TARGETS_ALL, false, true, true},
    {1030, 12, 1000, 0.0f, 0.0f, 1.0f / 1030, TARGETS_SOME, true, true, false},
};

static void call_head_loss(struct device *dev, void *const *p, const void *args, double *host) {
    const struct head_case *c = args;
    const struct head_shape shape = {.rows = c->rows,
                                     .hidden = c->hidden,
                                     .vocab = c->vocab,
                                     .label_smoothing = c->label_smoothing,
                                     .z_coeff = c->z_coeff,
                                     .grad_scale = c->grad_scale};
    double seconds = 1.0;
    dev->ops->head_loss(dev, p[0], p[1], p[2], c->correct ? p[3] : NULL, c->gradient ? p[4] : NULL,
                        c->gradient ? p[5] : NULL, p[6], p[7], p[8], &shape, &seconds);
    /* time is only ever added, and none where there are no gradients */
    host[0] = c->gradient ? seconds >= 1.0 && seconds < 1e3 : seconds == 1.0;
}

static void head_loss_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, head_loss, 5e-6);
    for (int i = 0; i < PARITY_COUNT(head_cases); i++) {
        const struct head_case *c = &head_cases[i];
        const int64_t weights = (int64_t)c->vocab * c->hidden;
        parity_case(t, "rows %d hidden %d vocab %d smoothing %g z %g targets %d gradient %d tied %d",
                    (int)c->rows, c->hidden, c->vocab, (double)c->label_smoothing, (double)c->z_coeff,
                    (int)c->targets, c->gradient, c->tied);
        parity_needs(t, c->rows, c->vocab, 0, c->hidden);
        parity_floats(t, "nll", PARITY_OUT, c->rows, 0.0f);
        parity_floor(t, 0.5 * sqrt(c->hidden));
        parity_floats(t, "lse", PARITY_OUT, c->rows, 0.0f);
        parity_floor(t, 0.5 * sqrt(c->hidden));
        parity_floats(t, "mean_logit", PARITY_OUT, c->rows, 0.0f);
        parity_floor(t, 0.5 * sqrt(c->hidden));
        parity_ints(t, "correct", PARITY_OUT, c->rows);
        parity_acts(t, "dx", PARITY_OUT, c->rows * c->hidden, 0.0f);
        parity_floats(t, "dw", PARITY_INOUT, weights, 1e-3f);
        float *x = parity_acts(t, "x", PARITY_IN, c->rows * c->hidden, 1.0f);
        float *w = parity_acts(t, "w", PARITY_IN, weights, 0.5f);
        int32_t *targets = parity_ints(t, "targets", PARITY_IN, c->rows);
        for (int64_t r = 0; r < c->rows; r++) {
            targets[r] = (int32_t)parity_below(t, c->vocab);
            if (c->targets == TARGETS_NONE || (c->targets == TARGETS_SOME && r % 3 == 1)) targets[r] = -1;
        }
        /* small integers: sums are exact in any order, and the largest logit occurs more than once */
        for (int64_t j = 0; c->tied && j < c->rows * c->hidden; j++)
            x[j] = (float)(1 + parity_below(t, 3));
        for (int64_t j = 0; c->tied && j < weights; j++)
            w[j] = (float)parity_below(t, 2);
        for (int64_t r = 0; c->tied && r < c->rows; r++)
            targets[r] = (int32_t)(r % 8);
        parity_run(t, call_head_loss, c);
    }
    parity_end(t);
}

/* ---- sums and search
 * ---------------------------------------------------------------------------------------------- */

struct vector_case {
    int64_t n;
    int64_t bad;  /* first element that is not finite, or -1 */
    int64_t bad2; /* another, later one */
    float value;
};

/* host = what an operation left in `count` numbers of the device, which it frees */
static void take_doubles(struct device *dev, double *host, double *numbers, int count) {
    dev->ops->download(dev, host, numbers, (size_t)count * sizeof *host);
    dev->ops->release(dev, numbers);
}

static double *give_doubles(struct device *dev, int count) {
    void *numbers = NULL;
    if (dev->ops->alloc(dev, (size_t)count * sizeof(double), &numbers, NULL) != MOE_OK) abort();
    return numbers;
}

static void call_sum(struct device *dev, void *const *p, const void *args, double *host) {
    const struct vector_case *c = args;
    double *sum = give_doubles(dev, 1);
    dev->ops->sum(dev, sum, p[0], c->n);
    take_doubles(dev, host, sum, 1);
}

static void sum_agrees(void **state) {
    static const int64_t counts[] = {0, 1, 3, 7, 64, 1000, 4097, 100003};
    struct parity *t = *state;
    PARITY_BEGIN(t, sum, 1e-12);
    for (int i = 0; i < PARITY_COUNT(counts); i++) {
        const struct vector_case c = {.n = counts[i]};
        parity_case(t, "n %d", (int)c.n);
        parity_floats(t, "x", PARITY_IN, c.n, 1.0f);
        parity_run(t, call_sum, &c);
    }
    parity_end(t);
}

static void call_find_nonfinite(struct device *dev, void *const *p, const void *args, double *host) {
    const struct vector_case *c = args;
    host[0] = (double)dev->ops->find_nonfinite(dev, p[0], c->n);
}

static void find_nonfinite_agrees(void **state) {
    static const struct vector_case cases[] = {
        {0, -1, -1, 0.0f},         {1, -1, -1, 0.0f},          {1, 0, -1, NAN},
        {1000, 999, -1, INFINITY}, {1000, 3, 7, -INFINITY},    {100003, 99990, 100002, NAN},
        {100003, -1, -1, 0.0f},    {70000, 40000, 69999, NAN}, {100003, 17, 50000, INFINITY},
        {100, 64, 65, -NAN},
    };
    struct parity *t = *state;
    PARITY_BEGIN(t, find_nonfinite, 0.0);
    for (int i = 0; i < PARITY_COUNT(cases); i++) {
        const struct vector_case *c = &cases[i];
        parity_case(t, "n %d bad %d %d value %g", (int)c->n, (int)c->bad, (int)c->bad2, (double)c->value);
        float *x = parity_floats(t, "x", PARITY_IN, c->n, 1e37f);
        if (c->bad >= 0) x[c->bad] = c->value;
        if (c->bad2 >= 0) x[c->bad2] = c->value;
        parity_run(t, call_find_nonfinite, c);
    }
    parity_end(t);
}

static const struct span sum_square_spans[] = {{0, 1}, {1, 0}, {1, 7}, {8, 1000}, {1500, 66000}, {67500, 3}};

static void call_sum_squares(struct device *dev, void *const *p, const void *args, double *host) {
    (void)args;
    double *squares = give_doubles(dev, PARITY_COUNT(sum_square_spans));
    dev->ops->sum_squares(dev, squares, p[0], sum_square_spans, PARITY_COUNT(sum_square_spans));
    take_doubles(dev, host, squares, PARITY_COUNT(sum_square_spans));
}

static void sum_squares_agrees(void **state) {
    static const float scales[] = {1.0f, 1e-12f, 1e12f};
    struct parity *t = *state;
    PARITY_BEGIN(t, sum_squares, 1e-12);
    for (int i = 0; i < PARITY_COUNT(scales); i++) {
        parity_case(t, "scale %g", (double)scales[i]);
        float *x = parity_floats(t, "x", PARITY_IN, 67503, scales[i]);
        for (int64_t j = 1008; j < 1500; j++)
            x[j] = NAN; /* between spans */
        parity_run(t, call_sum_squares, NULL);
    }
    parity_end(t);
}

/* ---- clipping
 * ----------------------------------------------------------------------------------------------------- */

struct clip_case {
    int32_t n;     /* squares */
    double square; /* each of them; of the norm n * square */
    double clip;
};

static const struct clip_case clip_cases[] = {
    {1, 4.0, 1.0},   {1, 4.0, 3.0},    {1, 4.0, 0.0},   {700, 0.01, 0.5},   {513, 1e-20, 1.0},
    {3, 0.0, 1.0},   {256, 4.0, 32.0}, {2, 1e300, 1.0}, {2, INFINITY, 1.0}, {300, (double)NAN, 1.0},
    {1, 4.0, 1e-30}, {5, 1e308, 1.0},  {5, 1e308, 0.0},
};

static void call_clip_scale(struct device *dev, void *const *p, const void *args, double *host) {
    const struct clip_case *c = args;
    double *squares = give_doubles(dev, c->n), values[1024];
    (void)host;
    for (int32_t i = 0; i < c->n; i++)
        values[i] = isfinite(c->square) || i == c->n - 1 ? c->square : 1.0;
    dev->ops->upload(dev, squares, values, (size_t)c->n * sizeof *values);
    dev->ops->clip_scale(dev, p[0], squares, c->n, c->clip);
    dev->ops->release(dev, squares);
    float scale;
    dev->ops->download(dev, &scale, p[0], sizeof scale);
    host[0] = isnan(scale) ? -1.0 : 1.0; /* images hold no NaN: it stands for what is not written */
    if (isnan(scale)) dev->ops->zero(dev, p[0], sizeof scale);
}

static void clip_scale_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, clip_scale, 1e-7);
    for (int i = 0; i < PARITY_COUNT(clip_cases); i++) {
        const struct clip_case *c = &clip_cases[i];
        parity_case(t, "%d squares of %g clip %g", c->n, c->square, c->clip);
        parity_floats(t, "scale", PARITY_OUT, 1, 0.0f);
        parity_run(t, call_clip_scale, c);
    }
    parity_end(t);
}

/* ---- AdamW
 * -------------------------------------------------------------------------------------------------------- */

struct adamw_case {
    int32_t t;           /* step, from 1 */
    float params, grads; /* scales */
    float grad_scale, eps;
    bool alias; /* compute is params, possible where act_t is float */
};

static const struct adamw_case adamw_cases[] = {
    {1, 1.0f, 1.0f, 1.0f, 1e-8f, true},     {1, 0.0f, 1e-3f, 0.37f, 1e-8f, false},
    {10, 1e-3f, 1.0f, 1.0f, 1e-8f, false},  {1000, 0.02f, 1e-6f, 0.5f, 1e-8f, true},
    {100, 1e-3f, 0.0f, 1.0f, 1e-8f, false}, {2, 0.1f, 1e-8f, 1.0f, 1e-5f, true},
    {3, 1.0f, 1.0f, NAN, 1e-8f, false},
};

static const struct adamw_segment adamw_segments[] = {{0, 1, 1e-3f, 0.0f},   {3, 130, 3e-4f, 0.1f},
                                                      {133, 17, 0.0f, 0.1f}, {160, 5003, 1e-2f, 0.01f},
                                                      {5170, 0, 1.0f, 1.0f}, {5170, 69999, 3e-4f, 0.0f}};
#define ADAMW_COUNT 75171 /* two elements after the last segment */

static void call_adamw(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct adamw_case *c = args;
    const struct adamw_step step = {.beta1 = 0.9f,
                                    .beta2 = 0.95f,
                                    .eps = c->eps,
                                    .bias_correction1 = (float)(1.0 - pow(0.9, c->t)),
                                    .bias_correction2 = (float)(1.0 - pow(0.95, c->t))};
    dev->ops->adamw(dev, p[0], c->alias ? p[0] : p[1], p[2], p[3], p[4], adamw_segments,
                    PARITY_COUNT(adamw_segments), &step, p[5]);
}

/* Elements outside every segment hold NaN, so that a touch shows. */
static void adamw_poison_gaps(float *x) {
    for (int64_t i = 0, s = 0; i < ADAMW_COUNT; i++) {
        while (s < PARITY_COUNT(adamw_segments) && i >= adamw_segments[s].offset + adamw_segments[s].count)
            s++;
        if (s == PARITY_COUNT(adamw_segments) || i < adamw_segments[s].offset)
            memset(&x[i], PARITY_POISON, sizeof x[i]);
    }
}

static void adamw_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, adamw, 1e-6);
    for (int i = 0; i < PARITY_COUNT(adamw_cases); i++) {
        struct adamw_case own = adamw_cases[i];
        own.alias = own.alias && t->one->ops->act_size == sizeof(float);
        const struct adamw_case *c = &own;
        const bool first = c->t == 1;
        parity_case(t, "step %d params %g grads %g scale %g eps %g alias %d", c->t, (double)c->params,
                    (double)c->grads, (double)c->grad_scale, (double)c->eps, c->alias);
        float *images[5];
        images[0] = parity_floats(t, "params", PARITY_INOUT, ADAMW_COUNT, c->params);
        images[1] = parity_acts(t, "compute", PARITY_OUT, ADAMW_COUNT, 0.0f);
        images[2] = parity_floats(t, "grads", PARITY_INOUT, ADAMW_COUNT, c->grads);
        images[3] = parity_floats(t, "m", PARITY_INOUT, ADAMW_COUNT, first ? 0.0f : 0.3f * c->grads);
        images[4] = parity_floats(t, "v", PARITY_INOUT, ADAMW_COUNT, first ? 0.0f : c->grads);
        for (int64_t j = 0; j < ADAMW_COUNT; j++)
            images[4][j] *= images[4][j];
        for (int j = 0; j < 5; j++)
            adamw_poison_gaps(images[j]);
        float *scale = parity_floats(t, "scale", PARITY_IN, 1, 0.0f);
        if (isnan(c->grad_scale))
            memset(scale, PARITY_POISON, sizeof *scale);
        else
            *scale = c->grad_scale;
        parity_run(t, call_adamw, c);
    }
    parity_end(t);
}

#endif
