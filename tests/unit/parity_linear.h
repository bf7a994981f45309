/* parity_linear.h - linear, grouped linear, embedding */
#ifndef PARITY_LINEAR_H
#define PARITY_LINEAR_H

#include "parity_harness.h"

struct linear_case {
    int64_t rows;
    int32_t in, out;
    bool bias, dx, dw, dbias, accumulate;
};

static const struct linear_case linear_cases[] = {
    {1, 1, 1, false, true, true, true, false},      {1, 8, 8, true, true, true, false, false},
    {3, 5, 7, true, true, true, true, true},        {3, 64, 33, false, false, true, true, false},
    {130, 31, 65, true, true, true, true, false},   {130, 256, 96, true, true, false, true, true},
    {64, 128, 1, false, true, true, true, true},    {257, 17, 130, true, true, true, true, false},
    {200, 300, 513, true, true, true, true, true},  {130, 3, 1000, false, true, false, false, false},
    {600, 40, 24, true, false, true, false, false}, {129, 1000, 9, true, true, true, true, false},
};

static void call_linear_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct linear_case *c = args;
    dev->ops->linear_forward(dev, p[0], p[1], p[2], c->bias ? p[3] : NULL, c->rows, c->in, c->out);
}

static void call_linear_forward_float(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct linear_case *c = args;
    dev->ops->linear_forward_float(dev, p[0], p[1], p[2], c->bias ? p[3] : NULL, c->rows, c->in, c->out);
}

static void linear_outputs_agree(struct parity *t, enum parity_type type, parity_call call) {
    for (int i = 0; i < PARITY_COUNT(linear_cases); i++) {
        const struct linear_case *c = &linear_cases[i];
        parity_case(t, "rows %d in %d out %d bias %d", (int)c->rows, c->in, c->out, c->bias);
        parity_needs(t, c->rows, 0, 0, c->in > c->out ? c->in : c->out);
        parity_rows(t, "y", PARITY_OUT, type, c->rows, c->out, c->out, 0.0f);
        parity_floor(t, 1.0);
        parity_acts(t, "x", PARITY_IN, c->rows * c->in, 1.0f);
        parity_acts(t, "w", PARITY_IN, (int64_t)c->out * c->in, 0.1f);
        parity_acts(t, "bias", PARITY_IN, c->out, 1.0f);
        parity_run(t, call, c);
    }
    parity_end(t);
}

static void linear_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, linear_forward, 2e-6);
    linear_outputs_agree(t, PARITY_ACT, call_linear_forward);
}

static void linear_forward_float_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, linear_forward_float, 2e-6);
    t->in_float = true;
    linear_outputs_agree(t, PARITY_F32, call_linear_forward_float);
}

static void call_linear_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct linear_case *c = args;
    dev->ops->linear_backward(dev, c->dx ? p[0] : NULL, c->dw ? p[1] : NULL, c->dbias ? p[2] : NULL, p[3],
                              p[4], p[5], c->rows, c->in, c->out, c->accumulate);
}

static void linear_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, linear_backward, 2e-6);
    for (int i = 0; i < PARITY_COUNT(linear_cases); i++) {
        const struct linear_case *c = &linear_cases[i];
        parity_case(t, "rows %d in %d out %d dx %d dw %d dbias %d accumulate %d", (int)c->rows, c->in, c->out,
                    c->dx, c->dw, c->dbias, c->accumulate);
        parity_needs(t, c->rows, 0, 0, c->in > c->out ? c->in : c->out);
        parity_acts(t, "dx", c->accumulate ? PARITY_INOUT : PARITY_OUT, c->rows * c->in, 0.1f);
        parity_floor(t, 0.1);
        parity_floats(t, "dw", PARITY_INOUT, (int64_t)c->out * c->in, 0.1f);
        parity_floor(t, 1.0);
        parity_floats(t, "dbias", PARITY_INOUT, c->out, 0.1f);
        parity_floor(t, sqrt((double)c->rows));
        parity_acts(t, "dy", PARITY_IN, c->rows * c->out, 1.0f);
        parity_acts(t, "x", PARITY_IN, c->rows * c->in, 1.0f);
        parity_acts(t, "w", PARITY_IN, (int64_t)c->out * c->in, 0.1f);
        parity_run(t, call_linear_backward, c);
    }
    parity_end(t);
}

/* ---- grouped
 * ------------------------------------------------------------------------------------------------------ */

enum group_fill { GROUPS_EVEN, GROUPS_RANDOM, GROUPS_ONE_HAS_ALL, GROUPS_ENDS_EMPTY, GROUPS_ALL_EMPTY };

struct grouped_case {
    int32_t experts;
    int64_t max_rows;
    int64_t used; /* offsets[E] */
    int32_t in, out;
    enum group_fill fill;
    bool bias, dx;
    int64_t tokens; /* rows of x, which are read where they stand; 0: x is in expert order */
};

static const struct grouped_case grouped_cases[] = {
    {1, 1, 1, 1, 1, GROUPS_EVEN, true, true, 0},
    {1, 130, 130, 31, 17, GROUPS_EVEN, false, true, 0},
    {2, 7, 7, 8, 24, GROUPS_RANDOM, true, true, 0},
    {8, 130, 130, 33, 65, GROUPS_RANDOM, true, true, 0},
    {8, 300, 201, 64, 48, GROUPS_RANDOM, false, true, 0},
    {8, 130, 130, 20, 9, GROUPS_ONE_HAS_ALL, true, false, 0},
    {5, 64, 60, 16, 100, GROUPS_ENDS_EMPTY, true, true, 0},
    {64, 520, 520, 24, 40, GROUPS_RANDOM, true, true, 0},
    {64, 130, 3, 40, 24, GROUPS_RANDOM, false, true, 0},
    {4, 16, 0, 8, 8, GROUPS_ALL_EMPTY, true, true, 0},
    {3, 700, 700, 72, 130, GROUPS_EVEN, true, true, 0},
    {16, 1030, 1030, 96, 64, GROUPS_RANDOM, true, true, 0},
    {8, 130, 130, 33, 65, GROUPS_RANDOM, true, true, 40},
    {8, 300, 201, 64, 48, GROUPS_RANDOM, false, true, 100},
    {4, 16, 0, 8, 8, GROUPS_ALL_EMPTY, true, true, 8},
    {3, 700, 650, 200, 136, GROUPS_EVEN, true, false, 350},
};

/* offsets [E+1] of c->used rows */
static void grouped_offsets(struct parity *t, const struct grouped_case *c, int32_t *offsets) {
    int32_t count[64] = {0};
    for (int64_t r = 0; r < c->used; r++) {
        int64_t e = r % c->experts;
        if (c->fill == GROUPS_RANDOM) e = parity_below(t, c->experts);
        if (c->fill == GROUPS_ONE_HAS_ALL) e = c->experts / 2;
        if (c->fill == GROUPS_ENDS_EMPTY) e = 1 + r % (c->experts - 2);
        count[e]++;
    }
    offsets[0] = 0;
    for (int32_t e = 0; e < c->experts; e++)
        offsets[e + 1] = offsets[e] + count[e];
}

static void grouped_label(struct parity *t, const struct grouped_case *c) {
    parity_case(t, "experts %d rows %d of %d in %d out %d fill %d bias %d dx %d", c->experts, (int)c->used,
                (int)c->max_rows, c->in, c->out, (int)c->fill, c->bias, c->dx);
    parity_needs(t, c->max_rows, 0, 0, c->in > c->out ? c->in : c->out);
}

/* Backends that want rows in expert order are not asked for others. */
static bool grouped_case_is_offered(const struct parity *t, const struct grouped_case *c) {
    return c->tokens == 0 || t->one->ops->grouped_source;
}

/* x, of which those rows that no one may read are poisoned, and its source */
static void grouped_rows(struct parity *t, const struct grouped_case *c) {
    const int64_t rows = c->tokens > 0 ? c->tokens : c->max_rows;
    float *x = parity_acts(t, "x", PARITY_IN, rows * c->in, 1.0f);
    int32_t *source = parity_ints(t, "source", PARITY_IN, c->max_rows);
    for (int64_t i = 0; i < c->max_rows; i++)
        source[i] = i < c->used && c->tokens > 0 ? (int32_t)parity_below(t, c->tokens) : INT32_MIN;
    if (c->tokens == 0)
        memset(x + c->used * c->in, PARITY_POISON, (size_t)((c->max_rows - c->used) * c->in) * sizeof *x);
}

static void call_grouped_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct grouped_case *c = args;
    dev->ops->grouped_linear_forward(dev, p[0], p[1], c->tokens > 0 ? p[2] : NULL, p[3],
                                     c->bias ? p[4] : NULL, p[5], c->experts, c->max_rows, c->in, c->out);
}

static void call_grouped_forward_float(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct grouped_case *c = args;
    dev->ops->grouped_linear_forward_float(dev, p[0], p[1], c->tokens > 0 ? p[2] : NULL, p[3],
                                           c->bias ? p[4] : NULL, p[5], c->experts, c->max_rows, c->in,
                                           c->out);
}

static void grouped_outputs_agree(struct parity *t, enum parity_type type, parity_call call) {
    for (int i = 0; i < PARITY_COUNT(grouped_cases); i++) {
        const struct grouped_case *c = &grouped_cases[i];
        if (!grouped_case_is_offered(t, c)) continue;
        grouped_label(t, c);
        parity_rows(t, "y", PARITY_OUT, type, c->max_rows, c->out, c->out, 0.0f);
        parity_floor(t, 1.0);
        grouped_rows(t, c);
        parity_acts(t, "w", PARITY_IN, (int64_t)c->experts * c->out * c->in, 0.1f);
        parity_acts(t, "bias", PARITY_IN, (int64_t)c->experts * c->out, 1.0f);
        grouped_offsets(t, c, parity_ints(t, "offsets", PARITY_IN, c->experts + 1));
        parity_run(t, call, c);
    }
    parity_end(t);
}

static void grouped_linear_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, grouped_linear_forward, 2e-6);
    grouped_outputs_agree(t, PARITY_ACT, call_grouped_forward);
}

static void grouped_linear_forward_float_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, grouped_linear_forward_float, 2e-6);
    t->in_float = true;
    grouped_outputs_agree(t, PARITY_F32, call_grouped_forward_float);
}

static void call_grouped_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct grouped_case *c = args;
    dev->ops->grouped_linear_backward(dev, c->dx ? p[0] : NULL, p[1], c->bias ? p[2] : NULL, p[3], p[4],
                                      c->tokens > 0 ? p[5] : NULL, p[6], p[7], c->experts, c->max_rows, c->in,
                                      c->out);
}

static void grouped_linear_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, grouped_linear_backward, 2e-6);
    for (int i = 0; i < PARITY_COUNT(grouped_cases); i++) {
        const struct grouped_case *c = &grouped_cases[i];
        if (!grouped_case_is_offered(t, c)) continue;
        grouped_label(t, c);
        parity_acts(t, "dx", PARITY_OUT, c->max_rows * c->in, 0.0f);
        parity_floor(t, 0.1);
        parity_floats(t, "dw", PARITY_INOUT, (int64_t)c->experts * c->out * c->in, 0.1f);
        parity_floor(t, 1.0);
        parity_floats(t, "dbias", PARITY_INOUT, (int64_t)c->experts * c->out, 0.1f);
        parity_floor(t, 1.0);
        float *dy = parity_acts(t, "dy", PARITY_IN, c->max_rows * c->out, 1.0f);
        grouped_rows(t, c);
        parity_acts(t, "w", PARITY_IN, (int64_t)c->experts * c->out * c->in, 0.1f);
        grouped_offsets(t, c, parity_ints(t, "offsets", PARITY_IN, c->experts + 1));
        memset(dy + c->used * c->out, PARITY_POISON, (size_t)((c->max_rows - c->used) * c->out) * sizeof *dy);
        parity_run(t, call_grouped_backward, c);
    }
    parity_end(t);
}

/* ---- embedding
 * ---------------------------------------------------------------------------------------------------- */

struct embedding_case {
    int64_t rows, seq;
    int32_t hidden, vocab;
    bool positions;
};

static const struct embedding_case embedding_cases[] = {
    {1, 1, 1, 1, true},        {3, 8, 7, 5, true},      {130, 65, 33, 10, true},
    {130, 10, 64, 300, false}, {512, 256, 40, 3, true}, {300, 100, 129, 997, true},
};

static void embedding_tokens(struct parity *t, const struct embedding_case *c, int32_t *tokens) {
    for (int64_t r = 0; r < c->rows; r++)
        tokens[r] = (int32_t)parity_below(t, c->vocab);
}

static void call_embedding_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct embedding_case *c = args;
    dev->ops->embedding_forward(dev, p[0], p[1], p[2], c->positions ? p[3] : NULL, c->rows, c->seq,
                                c->hidden);
}

static void embedding_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, embedding_forward, 1e-7);
    for (int i = 0; i < PARITY_COUNT(embedding_cases); i++) {
        const struct embedding_case *c = &embedding_cases[i];
        parity_case(t, "rows %d seq %d hidden %d vocab %d", (int)c->rows, (int)c->seq, c->hidden, c->vocab);
        parity_needs(t, c->rows, c->vocab, c->seq, c->hidden);
        parity_acts(t, "y", PARITY_OUT, c->rows * c->hidden, 0.0f);
        parity_floor(t, 1.0);
        embedding_tokens(t, c, parity_ints(t, "tokens", PARITY_IN, c->rows));
        parity_acts(t, "table", PARITY_IN, (int64_t)c->vocab * c->hidden, 1.0f);
        parity_acts(t, "positions", PARITY_IN, c->seq * c->hidden, 1.0f);
        parity_run(t, call_embedding_forward, c);
    }
    parity_end(t);
}

static void call_embedding_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct embedding_case *c = args;
    dev->ops->embedding_backward(dev, p[0], c->positions ? p[1] : NULL, p[2], p[3], c->rows, c->seq,
                                 c->hidden, c->vocab);
}

static void embedding_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, embedding_backward, 1e-6);
    for (int i = 0; i < PARITY_COUNT(embedding_cases); i++) {
        const struct embedding_case *c = &embedding_cases[i];
        parity_case(t, "rows %d seq %d hidden %d vocab %d", (int)c->rows, (int)c->seq, c->hidden, c->vocab);
        parity_needs(t, c->rows, c->vocab, c->seq, c->hidden);
        parity_floats(t, "dtable", PARITY_INOUT, (int64_t)c->vocab * c->hidden, 0.1f);
        parity_floor(t, 1.0);
        parity_floats(t, "dpositions", PARITY_INOUT, c->seq * c->hidden, 0.1f);
        parity_floor(t, 1.0);
        parity_acts(t, "dy", PARITY_IN, c->rows * c->hidden, 1.0f);
        embedding_tokens(t, c, parity_ints(t, "tokens", PARITY_IN, c->rows));
        parity_run(t, call_embedding_backward, c);
    }
    parity_end(t);
}

#endif
