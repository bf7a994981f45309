/* parity_gating.h - noisy top-k gates, mixtures of class probabilities and their loss */
#ifndef PARITY_GATING_H
#define PARITY_GATING_H

#include "parity_harness.h"
#include "parity_routing.h"

struct gate_case {
    struct gate_shape shape;
    float clean;  /* size of the clean scores */
    bool scale;   /* rows are scaled; every third by 0 */
    bool dscale;  /* backward returns the gradient of scale */
    bool from[3]; /* backward is given dweight, dgates, dsums */
};

#define GATE(rows_, e, k, gates_, kind_, noisy_, noise_scale_, eps, renormalize)                             \
    {                                                                                                        \
        .rows = (rows_), .experts = (e), .top_k = (k), .gates = (gates_), .kind = (kind_),                   \
        .noisy = (noisy_), .noise_scale = (noise_scale_), .noise_epsilon = (eps),                            \
        .renormalize_eps = (renormalize), .key = {.seed = 77, .stream = RNG_ROUTER_NOISE, .step = 9},        \
        .first = UINT64_C(1) << 40                                                                           \
    }
#define SHAZEER GATE_TOP_K_SOFTMAX
#define CODE    GATE_SOFTMAX_TOP_K
#define CHANCE  GATE_BY_CHANCE

static const struct gate_case gate_cases[] = {
    {GATE(1, 1, 1, 1, SHAZEER, true, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {true, false, true}},
    {GATE(32, 10, 4, 1, SHAZEER, true, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {true, false, true}},
    {GATE(32, 10, 4, 1, SHAZEER, true, 1.0f, 0.0f, 0.0f), 0.0f, false, false, {true, false, true}},
    {GATE(131, 10, 4, 1, SHAZEER, false, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {true, false, true}},
    {GATE(130, 7, 1, 1, SHAZEER, true, 0.3f, 0.01f, 0.0f), 1.0f, false, false, {true, true, true}},
    {GATE(67, 5, 2, 1, SHAZEER, true, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {false, true, true}},
    {GATE(670, 2, 2, 5, SHAZEER, true, 1.0f, 0.0f, 0.0f), 1.0f, true, true, {true, false, true}},
    {GATE(666, 4, 2, 3, SHAZEER, true, 1.0f, 0.0f, 0.0f), 1.0f, true, true, {true, false, true}},
    {GATE(32, 10, 4, 1, CODE, true, 1.0f, 0.01f, 1e-6f), 1.0f, false, false, {true, false, true}},
    {GATE(32, 10, 4, 1, CODE, true, 1.0f, 0.01f, 1e-6f), 0.0f, false, false, {true, false, true}},
    {GATE(131, 10, 4, 1, CODE, false, 1.0f, 0.01f, 1e-6f), 1.0f, false, false, {true, false, true}},
    {GATE(300, 40, 4, 1, CODE, true, 1.0f, 0.01f, 1e-6f), 1.0f, false, false, {true, false, true}},
    {GATE(670, 2, 2, 5, CODE, true, 1.0f, 0.01f, 1e-6f), 1.0f, true, true, {true, false, true}},
    {GATE(67, 5, 2, 1, CODE, true, 1.0f, 0.01f, 1e-6f), 1.0f, false, false, {false, true, false}},
    {GATE(67, 5, 2, 1, CHANCE, true, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {false, true, true}},
    {GATE(670, 2, 2, 5, CHANCE, true, 1.0f, 0.0f, 0.0f), 1.0f, true, true, {true, false, true}},
    {GATE(131, 8, 2, 1, CHANCE, false, 1.0f, 0.0f, 0.0f), 1.0f, false, false, {true, false, true}},
    {GATE(131, 8, 3, 1, CHANCE, true, 1.0f, 0.0f, 1e-6f), 2.0f, false, false, {true, false, true}},
};

/* Adds clean, spread and scale. */
static void gate_inputs(struct parity *t, const struct gate_case *c) {
    const int64_t cells = c->shape.rows * c->shape.experts;
    parity_floats(t, "clean", PARITY_IN, cells, c->clean);
    parity_floats(t, "spread", PARITY_IN, cells, 1.0f);
    float *scale = parity_floats(t, "scale", PARITY_IN, c->shape.rows, 0.5f);
    for (int64_t r = 0; r < c->shape.rows; r++)
        scale[r] = r % 3 == 1 ? 0.0f : 0.05f + fabsf(scale[r]);
}

static void gate_label(struct parity *t, const struct gate_case *c) {
    const struct gate_shape *s = &c->shape;
    parity_case(t, "rows %d experts %d top_k %d gates %d kind %d noisy %d clean %g scale %d", (int)s->rows,
                s->experts, s->top_k, s->gates, (int)s->kind, s->noisy, (double)c->clean, c->scale);
    parity_needs(t, s->rows, 0, 0, 4 * s->experts * s->gates);
}

enum {
    GATE_SCORES,
    GATE_GATES,
    GATE_INDEX,
    GATE_WEIGHT,
    GATE_COUNTED,
    GATE_SUMMED,
    GATE_ENTROPY,
    GATE_CLEAN,
    GATE_SPREAD,
    GATE_SCALE
};

static void call_gate_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct gate_case *c = args;
    dev->ops->gate_forward(dev, p[GATE_SCORES], p[GATE_GATES], p[GATE_INDEX], p[GATE_WEIGHT], p[GATE_COUNTED],
                           p[GATE_SUMMED], p[GATE_ENTROPY], p[GATE_CLEAN], p[GATE_SPREAD],
                           c->scale ? p[GATE_SCALE] : NULL, &c->shape);
}

/* softmax of a row of scores on the host */
static void gate_probabilities(double *q, const float *scores, int32_t experts) {
    double sum = 0.0;
    for (int32_t e = 0; e < experts; e++)
        sum += q[e] = exp((double)scores[e]);
    for (int32_t e = 0; e < experts; e++)
        q[e] /= sum;
}

/* Whether rounding could change a choice: two scores of a row nearer than 1e-5; source B's threshold, where a
 * score lies beside a probability; a chance beside its number. */
static bool gate_is_close(struct parity *t, const struct gate_case *c) {
    parity_execute(t, 0, call_gate_forward, c);
    const float *scores = t->slot[GATE_SCORES].result[0];
    const struct gate_shape *s = &c->shape;
    for (int64_t r = 0; r < s->rows; r++) {
        const float *row = scores + r * s->experts;
        double q[64];
        gate_probabilities(q, row, s->experts);
        for (int32_t e = 0; e < s->experts; e++) {
            for (int32_t j = 0; j < s->experts; j++) {
                /* without noise scores are inputs: equal ones are equal on both sides */
                const bool same = !s->noisy && row[e] == row[j];
                if (e != j && fabsf(row[e] - row[j]) < 1e-5f && !same) return true;
                if (s->kind == CODE && fabs((double)row[e] - q[j]) < 1e-5) return true;
            }
        }
        for (int32_t k = 1; s->kind == CHANCE && s->noisy && k < s->top_k; k++) {
            /* the chance of every expert, whichever is k-th */
            double kept = 0.0, sorted[64];
            memcpy(sorted, q, (size_t)s->experts * sizeof *q);
            for (int32_t a = 0; a < s->top_k; a++) {
                int32_t best = a;
                for (int32_t b = a; b < s->experts; b++)
                    best = sorted[b] > sorted[best] ? b : best;
                const double largest = sorted[best];
                sorted[best] = sorted[a];
                sorted[a] = largest;
                kept += largest;
            }
            const double chance = s->top_k * sorted[k] / (kept + (double)s->renormalize_eps);
            const double number = (double)rng_uniform(s->key, s->first + (uint64_t)(r * s->top_k + k));
            if (fabs(chance - number) < 1e-5) return true;
        }
    }
    return false;
}

static void gate_forward_case(struct parity *t, const struct gate_case *c) {
    const struct gate_shape *s = &c->shape;
    const int64_t cells = (int64_t)s->gates * s->experts;
    parity_floats(t, "scores", PARITY_OUT, s->rows * s->experts, 0.0f);
    parity_floor(t, 1.0);
    parity_floats(t, "gates", PARITY_OUT, s->rows * s->experts, 0.0f);
    parity_ints(t, "index", PARITY_OUT, s->rows * s->top_k);
    parity_floats(t, "weight", PARITY_OUT, s->rows * s->top_k, 0.0f);
    parity_ints(t, "counts", PARITY_OUT, GATE_COUNTS * cells);
    parity_floats(t, "sums", PARITY_OUT, GATE_SUMS * cells, 0.0f);
    parity_floor(t, 1.0);
    parity_floats(t, "entropy", PARITY_OUT, 2 * (int64_t)s->gates, 0.0f);
    parity_floor(t, 1.0);
    gate_inputs(t, c);
}

static void gate_draw(struct parity *t, const struct gate_case *c) {
    for (int attempt = 0; attempt < 200; attempt++) {
        gate_label(t, c);
        gate_forward_case(t, c);
        if (!gate_is_close(t, c)) return;
    }
    fail_msg("%s: no inputs without near ties", t->label);
}

static void gate_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gate_forward, 2e-6);
    t->in_float = true;
    for (int i = 0; i < PARITY_COUNT(gate_cases); i++) {
        gate_draw(t, &gate_cases[i]);
        parity_run(t, call_gate_forward, &gate_cases[i]);
    }
    parity_end(t);
}

static void call_gate_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct gate_case *c = args;
    dev->ops->gate_backward(dev, p[0], p[1], c->dscale ? p[2] : NULL, c->from[0] ? p[3] : NULL,
                            c->from[1] ? p[4] : NULL, c->from[2] ? p[5] : NULL, p[6], p[7], p[8],
                            c->scale ? p[9] : NULL, &c->shape);
}

static void gate_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gate_backward, 1e-5);
    t->in_float = true;
    for (int i = 0; i < PARITY_COUNT(gate_cases); i++) {
        const struct gate_case *c = &gate_cases[i];
        const struct gate_shape *s = &c->shape;
        const int64_t cells = s->rows * s->experts;
        gate_draw(t, c); /* inputs without near ties, and the reference's scores of them */
        float *scores = parity_need((size_t)cells * sizeof *scores), *inputs[3];
        memcpy(scores, t->slot[GATE_SCORES].result[0], (size_t)cells * sizeof *scores);
        for (int j = 0; j < 3; j++) {
            const size_t bytes = (size_t)t->slot[GATE_CLEAN + j].count * sizeof(float);
            inputs[j] = memcpy(parity_need(bytes), t->slot[GATE_CLEAN + j].initial, bytes);
        }
        gate_label(t, c);
        parity_acts(t, "dclean", PARITY_OUT, cells, 0.0f);
        parity_floor(t, 0.1);
        parity_acts(t, "dspread", PARITY_OUT, cells, 0.0f);
        parity_floor(t, 0.1);
        parity_floats(t, "dscale", c->dscale ? PARITY_OUT : PARITY_SCRATCH, s->rows, 0.0f);
        parity_floor(t, 1.0);
        parity_floats(t, "dweight", PARITY_IN, s->rows * s->top_k, 1.0f);
        parity_floats(t, "dgates", PARITY_IN, cells, 1.0f);
        parity_floats(t, "dsums", PARITY_IN, GATE_SUMS * (int64_t)s->gates * s->experts, 1.0f);
        memcpy(parity_floats(t, "scores", PARITY_IN, cells, 0.0f), scores, (size_t)cells * sizeof *scores);
        gate_inputs(t, c);
        for (int j = 0; j < 3; j++) {
            memcpy(t->slot[7 + j].initial, inputs[j], (size_t)t->slot[7 + j].count * sizeof(float));
            free(inputs[j]);
        }
        free(scores);
        parity_run(t, call_gate_backward, c);
    }
    parity_end(t);
}

/* ---- balance losses
 * ------------------------------------------------------------------------------------------------ */

struct balance_case {
    struct gate_balance balance;
    bool empty; /* one gate's rows are none */
};

static const struct balance_case balance_cases[] = {
    {{1, 1, SHAZEER, 0.1, 0.2, 1}, false},   {{1, 10, SHAZEER, 0.1, 0.2, 4}, false},
    {{5, 2, SHAZEER, 0.1, 0.0, 2}, true},    {{3, 40, SHAZEER, 10.0, 0.2, 4}, false},
    {{1, 10, CODE, 0.1, 0.2, 4}, false},     {{5, 2, CODE, 0.1, 0.2, 2}, true},
    {{1, 8, CHANCE, 0.01, 0.0, 2}, false},   {{5, 300, CHANCE, 0.01, 0.0, 2}, true},
    {{130, 3, SHAZEER, 0.1, 0.2, 2}, false},
};

/* Declares sums and counts of a case: as many rows first as chosen. */
static void balance_inputs(struct parity *t, const struct balance_case *c) {
    const int64_t cells = (int64_t)c->balance.gates * c->balance.experts;
    float *sums = parity_floats(t, "sums", PARITY_IN, GATE_SUMS * cells, 1.0f);
    for (int64_t i = 0; i < GATE_SUMS * cells; i++)
        sums[i] = fabsf(sums[i]) * 20.0f + 0.1f;
    int32_t *counts = parity_ints(t, "counts", PARITY_IN, GATE_COUNTS * cells);
    for (int64_t i = 0; i < GATE_COUNTS * cells; i++)
        counts[i] = c->empty && i % cells < c->balance.experts ? 0 : 1 + (int32_t)parity_below(t, 50);
}

static void balance_label(struct parity *t, const struct balance_case *c) {
    parity_case(t, "gates %d experts %d kind %d empty %d", c->balance.gates, c->balance.experts,
                (int)c->balance.kind, c->empty);
    parity_needs(t, 1, 0, 0, (int64_t)c->balance.gates * c->balance.experts);
}

static void call_gate_balance(struct device *dev, void *const *p, const void *args, double *host) {
    const struct balance_case *c = args;
    dev->ops->gate_balance(dev, p[0], p[1], p[2], p[3], &c->balance);
    dev->ops->download(dev, host, p[1], 2 * sizeof *host);
}

static void gate_balance_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gate_balance, 1e-6);
    for (int i = 0; i < PARITY_COUNT(balance_cases); i++) {
        const struct balance_case *c = &balance_cases[i];
        balance_label(t, c);
        parity_floats(t, "dsums", PARITY_OUT, GATE_SUMS * (int64_t)c->balance.gates * c->balance.experts,
                      0.0f);
        parity_floats(t, "loss", PARITY_SCRATCH, 4, 0.0f);
        balance_inputs(t, c);
        parity_run(t, call_gate_balance, c);
    }
    parity_end(t);
}

static void call_gate_balance_joint(struct device *dev, void *const *p, const void *args, double *host) {
    const struct balance_case *c = args;
    dev->ops->gate_balance_joint(dev, p[0], p[1], p[2], p[3], p[4], p[5], &c->balance);
    dev->ops->download(dev, host, p[2], 2 * sizeof *host);
}

static void gate_balance_joint_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, gate_balance_joint, 1e-6);
    for (int i = 0; i < PARITY_COUNT(balance_cases); i++) {
        const struct balance_case *c = &balance_cases[i];
        const int64_t groups = c->balance.gates;
        balance_label(t, c);
        parity_floats(t, "group dsums", PARITY_OUT, GATE_SUMS * groups, 0.0f);
        parity_floor(t, 1e-3); /* of one group: 0, but for rounding */
        parity_floats(t, "dsums", PARITY_OUT, GATE_SUMS * groups * c->balance.experts, 0.0f);
        parity_floats(t, "loss", PARITY_SCRATCH, 4, 0.0f);
        float *outer = parity_floats(t, "group sums", PARITY_IN, GATE_SUMS * groups, 1.0f);
        for (int64_t j = 0; j < GATE_SUMS * groups; j++)
            outer[j] = fabsf(outer[j]) * 20.0f + 0.1f;
        balance_inputs(t, c);
        parity_run(t, call_gate_balance_joint, c);
    }
    parity_end(t);
}

/* ---- mixtures of class probabilities
 * ------------------------------------------------------------------------------------------------------ */

/* Slots of the cases of routing, `hidden` classes; and rows that are their own only slot. */
struct single_case {
    int64_t rows;
    int32_t classes;
    float size;
};

static const struct single_case single_cases[] = {
    {1, 1, 1.0f}, {3, 2, 1.0f}, {128, 10, 3.0f}, {7, 33, 20.0f}, {1700, 10, 1.0f}, {3, 1000, 5.0f},
};

static void single_label(struct parity *t, const struct single_case *c) {
    parity_case(t, "rows %d classes %d", (int)c->rows, c->classes);
    parity_needs(t, c->rows, 0, 0, c->classes);
}

/* Rows of scores become rows of probabilities. */
static void mixture_probabilities(struct parity *t, float *x, int64_t rows, int32_t classes) {
    t->reference->ops->mixture_forward(t->reference, x, x, x, NULL, NULL, rows, 1, classes);
}

/* Makes rows of x [slots, classes] that no slot holds NaN: they must be neither read nor written. */
static void poison_unheld(float *x, const int32_t *position, int64_t slots, int32_t classes) {
    for (int64_t i = 0; i < slots; i++) {
        bool held = false;
        for (int64_t slot = 0; slot < slots; slot++)
            held = held || position[slot] == i;
        if (!held) memset(x + i * classes, PARITY_POISON, (size_t)classes * sizeof *x);
    }
}

/* Slots y, prob, offsets, position, source, weight, logits, y of logits in place, those logits. */
static void call_mixture_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    const struct route_shape *s = &c->shape;
    dev->ops->mixture_forward(dev, p[0], p[1], p[6], p[5], p[3], s->rows, s->top_k, c->hidden);
    dev->ops->mixture_forward(dev, p[7], p[8], p[8], p[5], p[3], s->rows, s->top_k, c->hidden);
}

static void call_single_forward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct single_case *c = args;
    dev->ops->mixture_forward(dev, p[0], p[1], p[2], NULL, NULL, c->rows, 1, c->classes);
    dev->ops->mixture_forward(dev, p[3], p[3], p[3], NULL, NULL, c->rows, 1, c->classes);
}

static void mixture_forward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, mixture_forward, 2e-6);
    t->in_float = true;
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        const int64_t rows = c->shape.rows, slots = rows * c->shape.top_k;
        route_label(t, c);
        parity_floats(t, "y", PARITY_OUT, rows * c->hidden, 0.0f);
        parity_floats(t, "prob", PARITY_OUT, slots * c->hidden, 0.0f);
        routed_slots(t, c);
        const int32_t *position = t->slot[3].initial;
        poison_unheld(parity_floats(t, "logits", PARITY_IN, slots * c->hidden, 3.0f), position, slots,
                      c->hidden);
        parity_floats(t, "y of logits in place", PARITY_OUT, rows * c->hidden, 0.0f);
        poison_unheld(parity_floats(t, "in place", PARITY_INOUT, slots * c->hidden, 3.0f), position, slots,
                      c->hidden);
        parity_run(t, call_mixture_forward, c);
    }
    for (int i = 0; i < PARITY_COUNT(single_cases); i++) {
        const struct single_case *c = &single_cases[i];
        single_label(t, c);
        parity_floats(t, "y", PARITY_OUT, c->rows * c->classes, 0.0f);
        parity_floats(t, "prob", PARITY_OUT, c->rows * c->classes, 0.0f);
        parity_floats(t, "logits", PARITY_IN, c->rows * c->classes, c->size);
        parity_floats(t, "in place", PARITY_INOUT, c->rows * c->classes, c->size);
        parity_run(t, call_single_forward, c);
    }
    parity_end(t);
}

/* Slots dlogits, dweight, offsets, position, source, weight, dy, prob. */
static void call_mixture_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct route_case *c = args;
    const struct route_shape *s = &c->shape;
    dev->ops->mixture_backward(dev, p[0], p[1], p[6], p[7], p[5], p[3], s->rows, s->top_k, c->hidden);
}

static void call_single_backward(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct single_case *c = args;
    dev->ops->mixture_backward(dev, p[0], NULL, p[1], p[2], NULL, NULL, c->rows, 1, c->classes);
}

static void mixture_backward_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, mixture_backward, 2e-6);
    t->in_float = true;
    for (int i = 0; i < PARITY_COUNT(route_cases); i++) {
        const struct route_case *c = &route_cases[i];
        const int64_t rows = c->shape.rows, slots = rows * c->shape.top_k;
        route_label(t, c);
        parity_acts(t, "dlogits", PARITY_OUT, slots * c->hidden, 0.0f);
        parity_floor(t, 0.1);
        parity_floats(t, "dweight", PARITY_OUT, slots, 0.0f);
        parity_floor(t, 1.0);
        routed_slots(t, c);
        parity_floats(t, "dy", PARITY_IN, rows * c->hidden, 1.0f);
        float *prob = parity_floats(t, "prob", PARITY_IN, slots * c->hidden, 3.0f);
        mixture_probabilities(t, prob, slots, c->hidden);
        poison_unheld(prob, t->slot[3].initial, slots, c->hidden);
        parity_run(t, call_mixture_backward, c);
    }
    for (int i = 0; i < PARITY_COUNT(single_cases); i++) {
        const struct single_case *c = &single_cases[i];
        single_label(t, c);
        parity_acts(t, "dlogits", PARITY_OUT, c->rows * c->classes, 0.0f);
        parity_floor(t, 0.1);
        parity_floats(t, "dy", PARITY_IN, c->rows * c->classes, 1.0f);
        mixture_probabilities(t, parity_floats(t, "prob", PARITY_IN, c->rows * c->classes, c->size), c->rows,
                              c->classes);
        parity_run(t, call_single_backward, c);
    }
    parity_end(t);
}

/* ---- loss of a mixture
 * -------------------------------------------------------------------------------------------- */

struct mixture_case {
    struct mixture_shape shape;
    bool gradient;
    int32_t zeros; /* y of this class is 0: a probability that a softmax has lost */
};

static const struct mixture_case mixture_cases[] = {
    {{1, 1, MIXTURE_LOG, 1.0f}, true, -1},        {{1, 1, MIXTURE_SOFTMAX, 1.0f}, true, -1},
    {{32, 10, MIXTURE_LOG, 1.0f / 32}, true, -1}, {{32, 10, MIXTURE_SOFTMAX, 1.0f / 32}, true, -1},
    {{32, 10, MIXTURE_LOG, 1.0f}, false, -1},     {{1700, 10, MIXTURE_SOFTMAX, 1.0f}, false, -1},
    {{40, 3, MIXTURE_LOG, 0.1f}, true, 1},        {{1700, 10, MIXTURE_LOG, 0.01f}, true, -1},
};

static void call_mixture_loss(struct device *dev, void *const *p, const void *args, double *host) {
    (void)host;
    const struct mixture_case *c = args;
    dev->ops->mixture_loss(dev, p[0], p[1], c->gradient ? p[2] : NULL, p[3], p[4], &c->shape);
}

static void mixture_loss_agrees(void **state) {
    struct parity *t = *state;
    PARITY_BEGIN(t, mixture_loss, 2e-6);
    t->in_float = true;
    for (int i = 0; i < PARITY_COUNT(mixture_cases); i++) {
        const struct mixture_case *c = &mixture_cases[i];
        const struct mixture_shape *s = &c->shape;
        parity_case(t, "rows %d classes %d kind %d gradient %d zeros %d", (int)s->rows, s->classes,
                    (int)s->kind, c->gradient, c->zeros);
        parity_needs(t, s->rows, 0, 0, s->classes);
        parity_floats(t, "nll", PARITY_OUT, s->rows, 0.0f);
        parity_floor(t, 1.0);
        parity_ints(t, "correct", PARITY_OUT, s->rows);
        parity_floats(t, "dy", c->gradient ? PARITY_OUT : PARITY_SCRATCH, s->rows * s->classes, 0.0f);
        parity_floor(t, (double)s->grad_scale);
        float *y = parity_floats(t, "y", PARITY_IN, s->rows * s->classes, 2.0f);
        mixture_probabilities(t, y, s->rows, s->classes);
        int32_t *target = parity_ints(t, "targets", PARITY_IN, s->rows);
        for (int64_t r = 0; r < s->rows; r++) {
            target[r] = r % 11 == 5 ? -1 : (int32_t)parity_below(t, s->classes);
            if (c->zeros >= 0) y[r * s->classes + c->zeros] = 0.0f;
        }
        parity_run(t, call_mixture_loss, c);
    }
    parity_end(t);
}

#undef SHAZEER
#undef CODE
#undef CHANCE
#undef GATE

#endif
