/* parity_elementwise.h - activations, dropout, residual, scaled addition */
#ifndef PARITY_ELEMENTWISE_H
#define PARITY_ELEMENTWISE_H

#include "parity_harness.h"

struct activation_case {
    enum activation_kind kind;
    int64_t rows;
    int32_t width;
    float p;
    bool alias; /* dx is dy, ungated kinds only */
};

static const struct activation_case activation_cases[] = {
    {ACTIVATION_GELU, 1, 1, 0.0f, false},      {ACTIVATION_GELU, 3, 37, 0.1f, true},
    {ACTIVATION_GELU, 130, 65, 0.0f, false},   {ACTIVATION_RELU, 3, 9, 0.0f, true},
    {ACTIVATION_RELU, 130, 129, 0.5f, false},  {ACTIVATION_SILU, 3, 5, 0.0f, false},
    {ACTIVATION_SILU, 130, 70, 0.2f, true},    {ACTIVATION_SWIGLU, 1, 1, 0.0f, false},
    {ACTIVATION_SWIGLU, 3, 21, 0.1f, false},   {ACTIVATION_SWIGLU, 130, 72, 0.0f, false},
    {ACTIVATION_SWIGLU, 257, 33, 0.3f, false}, {ACTIVATION_GELU, 257, 1000, 0.9f, false},
};

static int64_t activation_inputs(const struct activation_case *c) {
    return c->rows * c->width * (c->kind == ACTIVATION_SWIGLU ? 2 : 1);
}

/* Inputs from where the functions bend to where they are 0 or x to the last bit. */
static void activation_input(struct parity *t, const struct activation_case *c, const char *name) {
    static const float extremes[] = {0.0f, -0.0f, 100.0f, -100.0f, 20.0f, -20.0f, 9.0f, -9.0f, 1e-6f, -5.5f};
    float *x = parity_acts(t, name, PARITY_IN, activation_inputs(c), 2.0f);
    for (int i = 0; i < PARITY_COUNT(extremes) && i < activation_inputs(c) / 2; i++)
        x[i] = extremes[i];
}

static void activation_label(struct parity *t, const struct activation_case *c) {
    parity_case(t, "kind %d rows %d width %d dropout %g alias %d", (int)c->kind, (int)c->rows, c->width,
                (double)c->p, c->alias);
    parity_needs(t, c->rows, 0, 0, activation_inputs(c) / c->rows);
}

static void call_activation_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct activation_case *c = args;
    dev->ops->activation_forward(dev, c->kind, p[0], p[1], c->rows, c->width,
                                 dropout_make(c->p, 12345678901ull, 9, 4));
}

static void activation_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, activation_forward, 1e-6);
    for (int i = 0; i < PARITY_COUNT(activation_cases); i++) {
        const struct activation_case *c = &activation_cases[i];
        activation_label(t, c);
        parity_acts(t, "y", PARITY_OUT, c->rows * c->width, 0.0f);
        parity_floor(t, 1.0);
        activation_input(t, c, "x");
        parity_run(t, call_activation_forward, c);
    }
    parity_end(t);
}

static void call_activation_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct activation_case *c = args;
    dev->ops->activation_backward(dev, c->kind, p[0], c->alias ? p[0] : p[2], p[1], c->rows, c->width,
                                  dropout_make(c->p, 12345678901ull, 9, 4));
}

static void activation_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, activation_backward, 2e-6);
    for (int i = 0; i < PARITY_COUNT(activation_cases); i++) {
        const struct activation_case *c = &activation_cases[i];
        activation_label(t, c);
        parity_acts(t, "dx", c->alias ? PARITY_INOUT : PARITY_OUT, activation_inputs(c), 1.0f);
        parity_floor(t, 1.0);
        activation_input(t, c, "x");
        if (!c->alias) parity_acts(t, "dy", PARITY_IN, c->rows * c->width, 1.0f);
        parity_run(t, call_activation_backward, c);
    }
    parity_end(t);
}

struct dropout_case {
    int64_t n;
    uint32_t threshold;
    uint32_t site, step;
    bool alias;
};

static const struct dropout_case dropout_cases[] = {
    {1, 0, 0, 0, false},       {1, 6554, 0, 0, true},   {7, 6554, 1, 2, false},
    {8, 32768, 1, 3, true},    {9, 65535, 2, 4, false}, {1001, 6554, 3, 100, false},
    {4099, 1, 65535, 7, true}, {4096, 0, 5, 6, true},   {70001, 19661, 4, 0xffffffffu, false},
};

static struct dropout dropout_of(const struct dropout_case *c) {
    return (struct dropout){.key = {0xfeedface12345678ull, RNG_DROPOUT + c->site, c->step},
                            .threshold = c->threshold};
}

static void dropout_label(struct parity *t, const struct dropout_case *c) {
    parity_case(t, "n %d threshold %u site %u step %u alias %d", (int)c->n, c->threshold, c->site, c->step,
                c->alias);
}

static void call_dropout(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct dropout_case *c = args;
    dev->ops->dropout(dev, p[0], c->alias ? p[0] : p[1], c->n, dropout_of(c));
}

static void dropout_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, dropout, 2e-7);
    for (int i = 0; i < PARITY_COUNT(dropout_cases); i++) {
        const struct dropout_case *c = &dropout_cases[i];
        dropout_label(t, c);
        parity_acts(t, "y", c->alias ? PARITY_INOUT : PARITY_OUT, c->n, 1.0f);
        if (!c->alias) parity_acts(t, "x", PARITY_IN, c->n, 1.0f);
        parity_run(t, call_dropout, c);
    }
    parity_end(t);
}

static void call_to_act(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    dev->ops->to_act(dev, p[0], p[1], *(const int64_t *)args);
}

static void to_act_agrees(void **state) {
    static const int64_t counts[] = {0, 1, 7, 8, 1001, 70001};
    struct parity *t = *state;
    PARITY_BEGIN(t, to_act, 0.0);
    for (int i = 0; i < PARITY_COUNT(counts); i++) {
        parity_case(t, "n %d", (int)counts[i]);
        parity_acts(t, "y", PARITY_OUT, counts[i], 0.0f);
        parity_floats(t, "x", PARITY_IN, counts[i], 1.0f);
        parity_run(t, call_to_act, &counts[i]);
    }
    parity_end(t);
}

static void call_residual_dropout(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct dropout_case *c = args;
    dev->ops->residual_dropout(dev, p[0], c->alias ? p[0] : p[2], p[1], c->n, dropout_of(c));
}

static void residual_dropout_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, residual_dropout, 2e-7);
    for (int i = 0; i < PARITY_COUNT(dropout_cases); i++) {
        const struct dropout_case *c = &dropout_cases[i];
        dropout_label(t, c);
        parity_acts(t, "y", c->alias ? PARITY_INOUT : PARITY_OUT, c->n, 1.0f);
        parity_floor(t, 1.0);
        parity_acts(t, "x", PARITY_IN, c->n, 1.0f);
        if (!c->alias) parity_acts(t, "residual", PARITY_IN, c->n, 1.0f);
        parity_run(t, call_residual_dropout, c);
    }
    parity_end(t);
}

struct add_scaled_case {
    int64_t n;
    float alpha;
};

static void call_add_scaled(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct add_scaled_case *c = args;
    dev->ops->add_scaled(dev, p[0], p[1], c->alpha, c->n);
}

static void add_scaled_agrees(void **state) {
    static const struct add_scaled_case cases[] = {
        {1, 1.0f}, {3, -0.3f}, {8, 0.0f}, {1003, 2.5f}, {70001, 1e-3f}};
    struct parity *t = *state;
    PARITY_BEGIN(t, add_scaled, 2e-7);
    for (int i = 0; i < PARITY_COUNT(cases); i++) {
        parity_case(t, "n %d alpha %g", (int)cases[i].n, (double)cases[i].alpha);
        parity_acts(t, "y", PARITY_INOUT, cases[i].n, 1.0f);
        parity_floor(t, 1.0);
        parity_acts(t, "x", PARITY_IN, cases[i].n, 1.0f);
        parity_run(t, call_add_scaled, &cases[i]);
    }
    parity_end(t);
}

#endif
