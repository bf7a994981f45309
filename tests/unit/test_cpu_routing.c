/* test: rooms=device label=fast */
#include "cpu_fixture.h"

/* ---- router: data and a reference in double
 * ------------------------------------------------------------------- */

enum { MOST_EXPERTS = 200 };

struct router_data {
    struct router_shape shape;
    float *x, *w, *bias;                  /* [rows, D], [E, D], [E] or NULL */
    float *logits, *prob, *weight, *mass; /* outputs of forward */
    int32_t *index, *load;
    float entropy, z;
    float *dweight, *prob_grad, *dx, *dw, *dlogits;
};

static struct router_data router_data_make(struct router_shape s, bool biased) {
    struct router_data d = {
        .shape = s,
        .x = random_floats(s.rows * s.hidden, 1),
        .w = random_floats((int64_t)s.experts * s.hidden, 2),
        .bias = biased ? random_floats(s.experts, 3) : NULL,
        .logits = zeroed_floats(s.rows * s.experts),
        .prob = zeroed_floats(s.rows * s.experts),
        .weight = zeroed_floats(s.rows * s.top_k),
        .mass = random_floats(s.experts, 4),
        .index = zeroed_ints(s.rows * s.top_k),
        .load = zeroed_ints(s.experts),
        .dweight = random_floats(s.rows * s.top_k, 5),
        .prob_grad = random_floats(s.experts, 6),
        .dx = random_floats(s.rows * s.hidden, 7),
        .dw = random_floats((int64_t)s.experts * s.hidden, 8),
        .dlogits = zeroed_floats(s.rows * s.experts),
    };
    for (int64_t i = 0; i < (int64_t)s.experts * s.hidden; i++)
        d.w[i] *= 2.0f / sqrtf((float)s.hidden);
    return d;
}

static void router_data_free(struct router_data *d) {
    free(d->x), free(d->w), free(d->bias), free(d->logits), free(d->prob), free(d->weight), free(d->mass);
    free(d->index), free(d->load), free(d->dweight), free(d->prob_grad), free(d->dx), free(d->dw),
        free(d->dlogits);
}

static void router_forward(struct device *dev, struct router_data *d) {
    dev->ops->router_forward(dev, d->logits, d->prob, d->index, d->weight, d->load, d->mass, &d->entropy,
                             &d->z, d->x, d->w, d->bias, &d->shape);
}

static void router_backward(struct device *dev, struct router_data *d, float z_grad) {
    dev->ops->router_backward(dev, d->dx, d->dw, d->dlogits, d->dweight, d->prob_grad, z_grad, d->logits,
                              d->prob, d->index, d->x, d->w, &d->shape);
}

struct exact_row {
    double logits[MOST_EXPERTS], prob[MOST_EXPERTS], share[MOST_EXPERTS]; /* share = prob / sum prob */
    double lse;
};

static struct exact_row exact_router_row(const struct router_shape *s, const double *x, const double *w) {
    struct exact_row row;
    double sum = 0.0, total = 0.0;
    for (int32_t e = 0; e < s->experts; e++) {
        double dot = 0.0;
        for (int32_t i = 0; i < s->hidden; i++)
            dot += x[i] * w[e * s->hidden + i];
        row.logits[e] = dot / (double)s->temperature;
        sum += exp(row.logits[e]);
    }
    row.lse = log(sum);
    for (int32_t e = 0; e < s->experts; e++) {
        row.prob[e] =
            s->kind == ROUTER_SOFTMAX ? exp(row.logits[e] - row.lse) : 1.0 / (1.0 + exp(-row.logits[e]));
        total += row.prob[e];
    }
    for (int32_t e = 0; e < s->experts; e++)
        row.share[e] = row.prob[e] / total;
    return row;
}

static double exact_weight(const struct router_shape *s, const struct exact_row *row, const int32_t *index,
                           int32_t k) {
    double divisor = 1.0;
    if (s->renormalize) {
        divisor = (double)s->renormalize_eps;
        for (int32_t j = 0; j < s->top_k; j++)
            divisor += row->prob[index[j]];
    }
    return row->prob[index[k]] / divisor * (double)s->weight_scale;
}

static double *in_double(const float *x, int64_t n) {
    double *y = zeroed(n, sizeof *y);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* What router_backward differentiates, the choice of experts held fixed. */
static double router_objective(const struct router_data *d, const double *x, const double *w, double z_grad) {
    const struct router_shape *s = &d->shape;
    double sum = 0.0;
    for (int64_t r = 0; r < s->rows; r++) {
        const struct exact_row row = exact_router_row(s, x + r * s->hidden, w);
        const int32_t *index = d->index + r * s->top_k;
        for (int32_t k = 0; k < s->top_k; k++)
            sum += (double)d->dweight[r * s->top_k + k] * exact_weight(s, &row, index, k);
        for (int32_t e = 0; d->prob_grad != NULL && e < s->experts; e++)
            sum += row.share[e] * (double)d->prob_grad[e];
        sum += z_grad * row.lse * row.lse;
    }
    return sum;
}

/* ---- router: forward
 * ------------------------------------------------------------------------------------------ */

static void check_choice(const struct router_data *d, int64_t r) {
    const struct router_shape *s = &d->shape;
    const float *prob = d->prob + r * s->experts;
    const int32_t *index = d->index + r * s->top_k;
    for (int32_t k = 0; k < s->top_k; k++) {
        const int32_t chosen = index[k];
        assert_in_range(chosen, 0, s->experts - 1);
        const float score = prob[chosen] + (d->bias != NULL ? d->bias[chosen] : 0.0f);
        for (int32_t e = 0; e < s->experts; e++) { /* every expert before it has been taken already */
            const float other = prob[e] + (d->bias != NULL ? d->bias[e] : 0.0f);
            if (!(other > score || (other == score && e < chosen))) continue;
            bool taken = false;
            for (int32_t j = 0; j < k; j++)
                taken = taken || index[j] == e;
            assert_true(taken);
        }
    }
}

static void check_router_forward(struct device *dev, struct router_shape s, bool biased) {
    struct router_data d = router_data_make(s, biased);
    router_forward(dev, &d);
    double *x = in_double(d.x, s.rows * s.hidden), *w = in_double(d.w, (int64_t)s.experts * s.hidden);
    double mass[MOST_EXPERTS] = {0}, entropy = 0.0, z = 0.0;
    int32_t load[MOST_EXPERTS] = {0}, slots = 0;
    for (int64_t r = 0; r < s.rows; r++) {
        const struct exact_row row = exact_router_row(&s, x + r * s.hidden, w);
        for (int32_t e = 0; e < s.experts; e++) {
            assert_close(d.logits[r * s.experts + e], row.logits[e], 3e-6, "logits", r * s.experts + e);
            assert_close(d.prob[r * s.experts + e], row.prob[e], 2e-6, "prob", r * s.experts + e);
            mass[e] += row.share[e];
            entropy -= row.share[e] * log(row.share[e]);
        }
        z += row.lse * row.lse;
        check_choice(&d, r);
        for (int32_t k = 0; k < s.top_k; k++) {
            const int32_t *index = d.index + r * s.top_k;
            assert_close(d.weight[r * s.top_k + k], exact_weight(&s, &row, index, k), 3e-6, "weight", r);
            load[index[k]]++;
        }
    }
    for (int32_t e = 0; e < s.experts; e++) {
        assert_int_equal(d.load[e], load[e]);
        assert_close(d.mass[e], mass[e], 2e-6, "prob_mass", e);
        slots += d.load[e];
    }
    assert_int_equal(slots, s.rows * s.top_k);
    assert_close(d.entropy, entropy, 2e-6, "entropy", 0);
    assert_close(d.z, z, 3e-6, "z", 0);
    free(x), free(w);
    router_data_free(&d);
}

static const struct router_shape shapes[] = {
    {1, 1, 1, 1, ROUTER_SOFTMAX, 1.0f, false, 0.0f, 1.0f},
    {9, 7, 6, 1, ROUTER_SOFTMAX, 0.5f, false, 0.0f, 2.5f},
    {13, 5, 8, 2, ROUTER_SOFTMAX, 1.0f, true, 0.0f, 1.0f},
    {11, 16, 5, 3, ROUTER_SOFTMAX, 0.7f, true, 1e-2f, 2.5f},
    {17, 9, 7, 7, ROUTER_SOFTMAX, 1.3f, true, 1e-9f, 1.0f},
    {7, 6, 9, 4, ROUTER_SOFTMAX, 1.0f, false, 0.0f, 2.5f},
    {9, 7, 6, 1, ROUTER_SIGMOID, 1.0f, false, 0.0f, 1.0f},
    {19, 8, 33, 4, ROUTER_SIGMOID, 0.6f, true, 1e-9f, 2.5f},
    {6, 130, 3, 2, ROUTER_SIGMOID, 1.0f, false, 0.0f, 1.0f},
    {5, 11, 64, 8, ROUTER_SIGMOID, 1.5f, true, 0.05f, 2.5f},
    {1100, 24, 12, 3, ROUTER_SOFTMAX, 0.8f, true, 0.0f, 1.0f},
    {7, 11, 200, 17, ROUTER_SOFTMAX, 1.0f, false, 0.0f, 1.0f},
    {3, 9, 129, 129, ROUTER_SIGMOID, 1.0f, true, 1e-9f, 1.0f},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void router_matches_double(void **state) {
    (void)state;
    struct device *dev = open_cpu(2);
    for (int i = 0; i < SHAPES; i++) {
        check_router_forward(dev, shapes[i], false);
        check_router_forward(dev, shapes[i], true);
    }
    device_close(dev);
}

static void ties_go_to_the_lowest_expert(void **state) {
    static const struct router_shape ties[] = {{6, 4, 8, 3, ROUTER_SOFTMAX, 1.0f, true, 0.0f, 1.0f},
                                               {6, 4, 150, 70, ROUTER_SOFTMAX, 1.0f, true, 0.0f, 1.0f}};
    (void)state;
    struct device *dev = open_cpu(1);
    for (int i = 0; i < 2; i++) {
        const int32_t experts = ties[i].experts, top_k = ties[i].top_k;
        struct router_data d = router_data_make(ties[i], false);
        memset(d.w, 0, (size_t)experts * 4 * sizeof *d.w);
        router_forward(dev, &d);
        for (int64_t r = 0; r < 6; r++) {
            for (int32_t k = 0; k < top_k; k++) {
                assert_int_equal(d.index[r * top_k + k], k);
                assert_close(d.weight[r * top_k + k], 1.0 / top_k, 1e-6, "weight", r);
            }
        }
        assert_close(d.entropy / 6.0f, log(experts), 1e-6, "entropy of the uniform distribution", 0);
        assert_close(d.z, 6.0 * log(experts) * log(experts), 1e-6, "z of zero logits", 0);
        router_data_free(&d);
    }
    device_close(dev);
}

static void many_experts_of_nan_give_a_choice(void **state) {
    enum { EXPERTS = 130, TOP_K = 5 };
    (void)state;
    struct device *dev = open_cpu(1);
    const struct router_shape s = {1, 1, EXPERTS, TOP_K, ROUTER_SOFTMAX, 1.0f, false, 0.0f, 1.0f};
    struct router_data d = router_data_make(s, false);
    d.x[0] = NAN;
    router_forward(dev, &d);
    for (int32_t k = 0; k < TOP_K; k++)
        assert_int_equal(d.index[k], k);
    router_data_free(&d);
    device_close(dev);
}

static void extreme_logits_stay_finite_and_nan_stays_in_range(void **state) {
    (void)state;
    struct device *dev = open_cpu(1);
    for (int kind = ROUTER_SOFTMAX; kind <= ROUTER_SIGMOID; kind++) {
        const struct router_shape s = {2, 1, 4, 2, (enum router_kind)kind, 1.0f, true, 1e-20f, 1.0f};
        struct router_data d = router_data_make(s, false);
        memcpy(d.w, (float[4]){1.0f, -1.0f, 0.5f, 0.0f}, 4 * sizeof *d.w);
        d.x[0] = 1000.0f, d.x[1] = -1000.0f;
        router_forward(dev, &d);
        router_backward(dev, &d, 1e-3f);
        assert_int_equal(d.index[0], 0);
        assert_int_equal(d.index[2], 1);
        assert_true(isfinite(d.entropy) && isfinite(d.z) && d.z > 1.9e6f);
        for (int32_t i = 0; i < 8; i++)
            assert_true(isfinite(d.prob[i]) && isfinite(d.dlogits[i]));
        d.x[0] = NAN;
        router_forward(dev, &d);
        for (int32_t i = 0; i < 4; i++)
            assert_in_range(d.index[i], 0, 3);
        assert_true(d.index[0] != d.index[1] && isnan(d.entropy));
        router_data_free(&d);
    }
    device_close(dev);
}

/* ---- router: backward
 * ----------------------------------------------------------------------------------------- */

static void check_slope(const struct router_data *d, double *x, double *w, double *moved, double z_grad,
                        double got, const char *what, int64_t at) {
    const double h = 1e-5, kept = *moved;
    *moved = kept + h;
    const double above = router_objective(d, x, w, z_grad);
    *moved = kept - h;
    const double below = router_objective(d, x, w, z_grad);
    *moved = kept;
    assert_close(got, (above - below) / (2.0 * h), 2e-5, what, at);
}

static void check_router_backward(struct device *dev, struct router_shape s, float z_grad, bool balance) {
    if (s.rows > 50) s.rows = 50;
    struct router_data d = router_data_make(s, true);
    if (!balance) free(d.prob_grad), d.prob_grad = NULL;
    router_forward(dev, &d);
    router_backward(dev, &d, z_grad);
    const int64_t nx = s.rows * s.hidden, nw = (int64_t)s.experts * s.hidden;
    double *x = in_double(d.x, nx), *w = in_double(d.w, nw);
    float *dx0 = random_floats(nx, 7), *dw0 = random_floats(nw, 8); /* what the gradients are added to */
    for (int64_t i = 0; i < nx; i++) {
        check_slope(&d, x, w, &x[i], (double)z_grad, (double)d.dx[i] - (double)dx0[i], "dx", i);
    }
    for (int64_t i = 0; i < nw; i++) {
        check_slope(&d, x, w, &w[i], (double)z_grad, (double)d.dw[i] - (double)dw0[i], "dw", i);
    }
    float *dw = random_floats(nw, 8); /* dx NULL: the same dw */
    dev->ops->router_backward(dev, NULL, dw, d.dlogits, d.dweight, d.prob_grad, z_grad, d.logits, d.prob,
                              d.index, d.x, d.w, &s);
    assert_same_bits(dw, d.dw, (size_t)nw * sizeof *dw, "dw without dx");
    free(x), free(w), free(dx0), free(dw0), free(dw);
    router_data_free(&d);
}

static void router_gradients_match_finite_differences(void **state) {
    (void)state;
    struct device *dev = open_cpu(2);
    for (int i = 0; i < SHAPES; i++) {
        check_router_backward(dev, shapes[i], 0.0f, false);
        check_router_backward(dev, shapes[i], 0.0f, true);
        check_router_backward(dev, shapes[i], 0.3f, true);
    }
    device_close(dev);
}

/* With one expert and w = s / (s + eps), dw/ds = eps / (s + eps)^2: tiny, and not noise. */
static void a_renormalised_single_expert_gets_only_the_eps_gradient(void **state) {
    (void)state;
    enum { R = 40, E = 8 };
    struct device *dev = open_cpu(1);
    const double eps = (double)1e-9f;
    struct router_data d =
        router_data_make((struct router_shape){R, 6, E, 1, ROUTER_SIGMOID, 1.0f, true, 1e-9f, 1.0f}, false);
    free(d.prob_grad), d.prob_grad = NULL;
    router_forward(dev, &d);
    router_backward(dev, &d, 0.0f);
    for (int64_t r = 0; r < R; r++) {
        for (int32_t e = 0; e < E; e++) {
            const double s = (double)d.prob[r * E + e];
            const double want =
                e == d.index[r] ? (double)d.dweight[r] * eps / ((s + eps) * (s + eps)) * s * (1.0 - s) : 0.0;
            const double got = (double)d.dlogits[r * E + e];
            assert_true(fabs(got - want) <= 1e-5 * fabs(want));
        }
    }
    router_data_free(&d);
    device_close(dev);
}

/* ---- route
 * ---------------------------------------------------------------------------------------------------- */

struct route_data {
    struct route_shape shape;
    int32_t *index, *offsets, *position, *source, *dropped;
    float *weight, *prob;
};

static struct route_data route_data_make(struct route_shape s, int32_t used, uint32_t id) {
    struct route_data d = {
        .shape = s,
        .index = zeroed_ints(s.rows * s.top_k),
        .offsets = zeroed_ints(s.experts + 1),
        .position = zeroed_ints(s.rows * s.top_k),
        .source = zeroed_ints(s.rows * s.top_k),
        .dropped = zeroed_ints(s.experts),
        .weight = random_floats(s.rows * s.top_k, id),
        .prob = random_floats(s.rows * s.experts, id + 1),
    };
    for (int64_t i = 0; i < s.rows * s.top_k; i++) { /* different experts per row, among the first `used` */
        const int32_t first =
            (int32_t)rng_below((struct rng_key){1, RNG_TEST, id}, (uint64_t)(i / s.top_k), (uint64_t)used);
        d.index[i] = (first + (int32_t)(i % s.top_k)) % used;
        d.weight[i] = roundf(d.weight[i] * 8.0f) / 8.0f; /* few values: ties */
    }
    for (int64_t i = 0; i < s.rows * s.experts; i++)
        d.prob[i] = roundf(d.prob[i] * 16.0f) / 16.0f;
    return d;
}

static void route_data_free(struct route_data *d) {
    free(d->index), free(d->offsets), free(d->position), free(d->source), free(d->dropped), free(d->weight);
    free(d->prob);
}

static void route(struct device *dev, struct route_data *d) {
    dev->ops->route(dev, d->offsets, d->position, d->source, d->dropped, d->index, d->weight, d->prob,
                    &d->shape);
}

static float rank_of(const struct route_data *d, int64_t slot) {
    const int64_t row = slot / d->shape.top_k, k = slot % d->shape.top_k;
    if (d->shape.policy == DROP_BY_WEIGHT) return d->weight[slot];
    return d->shape.policy == DROP_PUBLISHED_SLOT ? d->prob[row * d->shape.experts + k] : 0.0f;
}

/* A slot stays if fewer than capacity slots of its expert rank before it. */
static bool slot_stays(const struct route_data *d, int64_t slot) {
    int64_t before = 0;
    for (int64_t s = 0; s < d->shape.rows * d->shape.top_k; s++) {
        if (d->index[s] != d->index[slot]) continue;
        before += rank_of(d, s) > rank_of(d, slot) || (rank_of(d, s) == rank_of(d, slot) && s < slot);
    }
    return d->shape.capacity == 0 || before < d->shape.capacity;
}

static void check_route(struct device *dev, struct route_shape s, int32_t used) {
    struct route_data d = route_data_make(s, used, 11);
    route(dev, &d);
    int32_t next = 0, lost = 0;
    assert_int_equal(d.offsets[0], 0);
    for (int32_t e = 0; e < s.experts; e++) { /* expert by expert, slots in order */
        int32_t lost_here = 0;
        for (int64_t slot = 0; slot < s.rows * s.top_k; slot++) {
            if (d.index[slot] != e) continue;
            if (!slot_stays(&d, slot)) {
                assert_int_equal(d.position[slot], -1);
                lost_here++;
                continue;
            }
            assert_int_equal(d.position[slot], next);
            assert_int_equal(d.source[next], slot / s.top_k);
            next++;
        }
        assert_int_equal(d.offsets[e + 1], next);
        assert_int_equal(d.dropped[e], lost_here);
        lost += lost_here;
    }
    assert_int_equal(next + lost, s.rows * s.top_k); /* tokens are conserved */
    route_data_free(&d);
}

static void slots_are_sorted_stably_and_dropped_by_policy(void **state) {
    (void)state;
    struct device *dev = open_cpu(2);
    static const int64_t capacities[] = {0, 1, 5, 20, 1000};
    for (int policy = DROP_BY_POSITION; policy <= DROP_PUBLISHED_SLOT; policy++) {
        for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
            const enum drop_policy by = (enum drop_policy)policy;
            check_route(dev, (struct route_shape){1, 1, 1, capacities[c], by}, 1);
            check_route(dev, (struct route_shape){61, 8, 2, capacities[c], by},
                        5); /* three experts stay empty */
            check_route(dev, (struct route_shape){33, 4, 4, capacities[c], by}, 4); /* K = E */
            check_route(dev, (struct route_shape){97, 64, 3, capacities[c], by}, 64);
            check_route(dev, (struct route_shape){40, 3, 1, capacities[c], by}, 1); /* all to one */
        }
    }
    device_close(dev);
}

/* ---- moving rows
 * ---------------------------------------------------------------------------------------------- */

/* Gather, weigh and add back, against plain loops over the slots; the gradients too. */
static void check_moves(struct device *dev, struct route_shape s, int32_t hidden, bool accumulate) {
    struct route_data d = route_data_make(s, s.experts, 21);
    route(dev, &d);
    const int64_t slots = s.rows * s.top_k, n = s.rows * hidden, kept = d.offsets[s.experts];
    float *x = random_floats(n, 1), *y = random_floats(slots * hidden, 2),
          *sorted = random_floats(slots * hidden, 3);
    float *out = random_floats(n, 4), *dx = random_floats(n, 4), *base = random_floats(n, 4);
    float *dout = random_floats(n, 5), *dy = random_floats(slots * hidden, 6),
          *dweight = random_floats(slots, 7);
    float *untouched = random_floats(slots * hidden, 3);
    dev->ops->gather(dev, sorted, x, d.source, d.offsets, s.experts, slots, hidden);
    dev->ops->gather_backward(dev, dx, y, d.position, s.rows, s.top_k, hidden, accumulate);
    dev->ops->combine(dev, out, y, d.weight, d.position, s.rows, s.top_k, hidden, accumulate);
    dev->ops->combine_backward(dev, dy, dweight, dout, y, d.weight, d.position, s.rows, s.top_k, hidden);
    assert_same_bits(sorted + kept * hidden, untouched + kept * hidden,
                     (size_t)((slots - kept) * hidden) * sizeof *x, "rows past the last offset");
    for (int64_t r = 0; r < s.rows; r++) {
        for (int32_t i = 0; i < hidden; i++) {
            double sum = accumulate ? (double)base[r * hidden + i] : 0.0, weighted = sum;
            for (int64_t slot = r * s.top_k; slot < (r + 1) * s.top_k; slot++) {
                if (d.position[slot] < 0) continue;
                const int64_t at = (int64_t)d.position[slot] * hidden + i;
                sum += (double)y[at];
                weighted += (double)d.weight[slot] * (double)y[at];
                assert_close(sorted[at], x[r * hidden + i], 0.0, "gather", at);
                assert_close(dy[at], (double)d.weight[slot] * (double)dout[r * hidden + i], 1e-7, "dy", at);
            }
            assert_close(dx[r * hidden + i], sum, 1e-6, "gather_backward", r);
            assert_close(out[r * hidden + i], weighted, 1e-6, "combine", r);
        }
    }
    for (int64_t slot = 0; slot < slots; slot++) {
        double dot = 0.0;
        for (int32_t i = 0; d.position[slot] >= 0 && i < hidden; i++) {
            dot +=
                (double)y[(int64_t)d.position[slot] * hidden + i] * (double)dout[slot / s.top_k * hidden + i];
        }
        assert_close(dweight[slot], dot, 1e-6, "dweight", slot);
    }
    free(x), free(y), free(sorted), free(out), free(dx), free(base), free(dout), free(dy), free(dweight);
    free(untouched);
    route_data_free(&d);
}

static void rows_travel_to_their_experts_and_back(void **state) {
    (void)state;
    struct device *dev = open_cpu(2);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        check_moves(dev, (struct route_shape){1, 1, 1, 0, DROP_BY_POSITION}, 1, accumulate == 1);
        check_moves(dev, (struct route_shape){61, 8, 2, 0, DROP_BY_POSITION}, 37, accumulate == 1);
        check_moves(dev, (struct route_shape){61, 8, 3, 5, DROP_BY_WEIGHT}, 48, accumulate == 1);
        check_moves(dev, (struct route_shape){50, 4, 4, 1, DROP_BY_WEIGHT}, 7, accumulate == 1);
        check_moves(dev, (struct route_shape){300, 8, 2, 40, DROP_BY_POSITION}, 129, accumulate == 1);
    }
    device_close(dev);
}

static void histograms_count_sequences_by_share(void **state) {
    (void)state;
    enum { SEQ = 10, ROWS = 3 * SEQ, E = 4, BINS = 10 };
    struct device *dev = open_cpu(1);
    int32_t index[ROWS];
    uint16_t hist[E * BINS];
    for (int r = 0; r < ROWS; r++)
        index[r] = r < SEQ ? 0 : r < 2 * SEQ ? (r % SEQ < 3 ? 1 : 2) : r % 2;
    memset(hist, 0xff, sizeof hist);
    dev->ops->sequence_histogram(dev, hist, index, ROWS, SEQ, 1, E, BINS);
    uint16_t want[E * BINS] = {0}; /* shares: expert 0: 1, 0, .5; 1: 0, .3, .5; 2: 0, .7, 0; 3: 0, 0, 0 */
    want[0 * BINS + 9] = want[0 * BINS + 0] = want[0 * BINS + 5] = 1;
    want[1 * BINS + 0] = want[1 * BINS + 3] = want[1 * BINS + 5] = 1;
    want[2 * BINS + 0] = 2, want[2 * BINS + 7] = 1, want[3 * BINS + 0] = 3;
    assert_same_bits(hist, want, sizeof hist, "histogram");
    device_close(dev);
}

/* ---- threads
 * -------------------------------------------------------------------------------------------------- */

static void compare_runs(const struct router_data *a, const struct router_data *b) {
    const struct router_shape *s = &a->shape;
    const size_t word = sizeof(float);
    assert_same_bits(a->logits, b->logits, (size_t)(s->rows * s->experts) * word, "logits");
    assert_same_bits(a->prob, b->prob, (size_t)(s->rows * s->experts) * word, "prob");
    assert_same_bits(a->index, b->index, (size_t)(s->rows * s->top_k) * word, "index");
    assert_same_bits(a->weight, b->weight, (size_t)(s->rows * s->top_k) * word, "weight");
    assert_same_bits(a->load, b->load, (size_t)s->experts * word, "load");
    assert_same_bits(a->mass, b->mass, (size_t)s->experts * word, "prob_mass");
    assert_same_bits(&a->entropy, &b->entropy, word, "entropy");
    assert_same_bits(&a->z, &b->z, word, "z");
    assert_same_bits(a->dx, b->dx, (size_t)(s->rows * s->hidden) * word, "dx");
    assert_same_bits(a->dw, b->dw, (size_t)(s->experts * s->hidden) * word, "dw");
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    const struct router_shape s = {3001, 200, 24, 6, ROUTER_SOFTMAX, 0.9f, true, 1e-9f, 2.5f};
    const struct route_shape r = {3001, 24, 6, 700, DROP_BY_WEIGHT};
    struct router_data first = {0};
    struct route_data sorted = {0};
    for (int threads = 1; threads <= 3; threads++) {
        struct device *dev = open_cpu(threads);
        struct router_data d = router_data_make(s, true);
        struct route_data q = route_data_make(r, 24, 31);
        router_forward(dev, &d);
        router_backward(dev, &d, 0.1f);
        route(dev, &q);
        device_close(dev);
        if (threads == 1) {
            first = d, sorted = q;
            continue;
        }
        compare_runs(&first, &d);
        const size_t kept = (size_t)sorted.offsets[24] * sizeof(int32_t);
        assert_same_bits(q.offsets, sorted.offsets, 25 * sizeof(int32_t), "offsets");
        assert_same_bits(q.position, sorted.position, (size_t)(r.rows * r.top_k) * sizeof(int32_t),
                         "position");
        assert_same_bits(q.source, sorted.source, kept, "source");
        router_data_free(&d), route_data_free(&q);
    }
    router_data_free(&first), route_data_free(&sorted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_matches_double),
        cmocka_unit_test(ties_go_to_the_lowest_expert),
        cmocka_unit_test(many_experts_of_nan_give_a_choice),
        cmocka_unit_test(extreme_logits_stay_finite_and_nan_stays_in_range),
        cmocka_unit_test(router_gradients_match_finite_differences),
        cmocka_unit_test(a_renormalised_single_expert_gets_only_the_eps_gradient),
        cmocka_unit_test(slots_are_sorted_stably_and_dropped_by_policy),
        cmocka_unit_test(rows_travel_to_their_experts_and_back),
        cmocka_unit_test(histograms_count_sequences_by_share),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("cpu routing", tests, NULL, NULL);
}
