/* test: rooms=device label=fast */
/* The reference's selection, dropping and counting on cases small enough to work out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "device/backend.h"

static int open_device(void **state) {
    struct device *dev = NULL;
    if (device_open_reference(&(struct device_options){0}, &dev, NULL) != MOE_OK) return -1;
    *state = dev;
    return 0;
}

static int close_device(void **state) {
    device_close_reference(*state);
    return 0;
}

/* ---- router
 * ------------------------------------------------------------------------------------------------------ */

enum { ROWS = 3, EXPERTS = 4 };

struct router_result {
    float logits[ROWS * EXPERTS], prob[ROWS * EXPERTS], weight[ROWS * EXPERTS], mass[EXPERTS], entropy, z;
    int32_t index[ROWS * EXPERTS], load[EXPERTS];
};

/* x is the identity as far as it goes: row r's logits are column r of w. */
static struct router_result route_rows(struct device *dev, const float *logits, const float *bias,
                                       struct router_shape shape) {
    const float x[ROWS * ROWS] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    float w[EXPERTS * ROWS];
    struct router_result o;
    for (int e = 0; e < EXPERTS; e++)
        for (int r = 0; r < ROWS; r++)
            w[e * ROWS + r] = logits[r * EXPERTS + e];
    shape.rows = ROWS;
    shape.hidden = ROWS;
    shape.experts = EXPERTS;
    dev->ops->router_forward(dev, o.logits, o.prob, o.index, o.weight, o.load, o.mass, &o.entropy, &o.z, x, w,
                             bias, &shape);
    return o;
}

static void equal_logits_give_uniform_statistics_and_the_lowest_expert(void **state) {
    const float logits[ROWS * EXPERTS] = {0};
    const struct router_result o = route_rows(
        *state, logits, NULL, (struct router_shape){.top_k = 2, .temperature = 1.0f, .weight_scale = 1.0f});
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(o.index[2 * r], 0);
        assert_int_equal(o.index[2 * r + 1], 1);
        assert_true(o.weight[2 * r] == 0.25f);
    }
    for (int e = 0; e < EXPERTS; e++) {
        assert_int_equal(o.load[e], e < 2 ? ROWS : 0);
        assert_true(o.mass[e] == 0.25f * ROWS);
    }
    assert_true(fabs((double)o.entropy - ROWS * log(4.0)) < 1e-6);
    assert_true(fabs((double)o.z - ROWS * log(4.0) * log(4.0)) < 1e-6);
}

static void temperature_divides_logits_and_weights_renormalise(void **state) {
    const float l2 = 0.69314718f, l4 = 2.0f * l2; /* probabilities 1 : 4 : 16 : 1 at temperature 1/2 */
    const float logits[ROWS * EXPERTS] = {0, l2, l4, 0, l4, l2, 0, 0, 0, 0, 0, 0};
    const struct router_shape shape = {
        .top_k = 2, .temperature = 0.5f, .renormalize = true, .weight_scale = 1.0f};
    const struct router_result o = route_rows(*state, logits, NULL, shape);
    assert_true(fabsf(o.prob[2] - 16.0f / 22.0f) < 1e-6f);
    assert_int_equal(o.index[0], 2);
    assert_int_equal(o.index[1], 1);
    assert_int_equal(o.index[2], 0);
    assert_int_equal(o.index[3], 1);
    assert_true(fabsf(o.weight[0] - 0.8f) < 1e-6f && fabsf(o.weight[1] - 0.2f) < 1e-6f);
}

static void selection_bias_moves_the_choice_but_not_the_weight(void **state) {
    const float logits[ROWS * EXPERTS] = {0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, -3};
    const float bias[EXPERTS] = {0.0f, 0.0f, 0.1f, 0.3f};
    const struct router_shape shape = {
        .top_k = 1, .temperature = 1.0f, .kind = ROUTER_SIGMOID, .weight_scale = 1.0f};
    const struct router_result o = route_rows(*state, logits, bias, shape);
    assert_int_equal(o.index[0], 3);
    assert_true(o.weight[0] == 0.5f);
    assert_int_equal(o.index[1], 0); /* sigmoid(3) = 0.953 against 0.5 + 0.3 */
    assert_int_equal(o.index[2], 2); /* sigmoid(-3) + 0.3 = 0.347 against 0.5 + 0.1 */
    assert_true(fabsf(o.mass[3] - (0.25f + 0.5f / (1.5f + 0.95257413f) + 0.04742587f / 1.54742587f)) < 1e-6f);
}

/* ---- dropping
 * ---------------------------------------------------------------------------------------------------- */

/* Four rows, two slots each; expert 0 is chosen in slots 0, 3, 4 and 6 and has two places. */
static const int32_t chosen[8] = {0, 1, 2, 0, 0, 1, 0, 2};
static const float weights[8] = {0.3f, 0.7f, 0.1f, 0.9f, 0.5f, 0.5f, 0.5f, 0.5f};

struct dispatch {
    int32_t offsets[4], position[8], source[8], dropped[3];
};

static struct dispatch dispatch(struct device *dev, int64_t capacity, enum drop_policy policy,
                                const float *prob) {
    struct dispatch d;
    const struct route_shape shape = {
        .rows = 4, .experts = 3, .top_k = 2, .capacity = capacity, .policy = policy};
    dev->ops->route(dev, d.offsets, d.position, d.source, d.dropped, chosen, weights, prob, &shape);
    return d;
}

static void assert_kept(const struct dispatch *d, const int32_t (*position)[8]) {
    assert_memory_equal(d->position, *position, sizeof *position);
}

static void without_capacity_slots_are_sorted_stably(void **state) {
    const struct dispatch d = dispatch(*state, 0, DROP_BY_WEIGHT, weights);
    const int32_t offsets[4] = {0, 4, 6, 8}, source[8] = {0, 1, 2, 3, 0, 2, 1, 3};
    assert_memory_equal(d.offsets, offsets, sizeof offsets);
    assert_memory_equal(d.source, source, sizeof source);
    assert_kept(&d, &(const int32_t[8]){0, 4, 6, 1, 2, 5, 3, 7});
    assert_int_equal(d.dropped[0] + d.dropped[1] + d.dropped[2], 0);
}

static void by_position_the_last_tokens_lose(void **state) {
    const struct dispatch d = dispatch(*state, 2, DROP_BY_POSITION, weights);
    assert_kept(&d, &(const int32_t[8]){0, 2, 4, 1, -1, 3, -1, 5});
    assert_int_equal(d.dropped[0], 2);
    assert_int_equal(d.dropped[1], 0);
    assert_int_equal(d.offsets[3], 6);
}

static void by_weight_the_smallest_lose_and_of_equals_the_later(void **state) {
    const struct dispatch d = dispatch(*state, 2, DROP_BY_WEIGHT, weights);
    assert_kept(&d, &(const int32_t[8]){-1, 2, 4, 0, 1, 3, -1, 5}); /* 0.9 and the first 0.5 stay */
}

/* Row r's priority for its k-th slot is the probability of expert k, whichever expert the slot chose. */
static void the_published_policy_ranks_by_slot_number(void **state) {
    const float prob[12] = {0.1f, 0.9f, 0.0f, 0.2f, 0.3f, 0.5f, 0.6f, 0.2f, 0.2f, 0.4f, 0.4f, 0.2f};
    const struct dispatch d = dispatch(*state, 2, DROP_PUBLISHED_SLOT, prob);
    /* expert 0's slots rank by prob 0.1 (row 0, k 0), 0.3 (row 1, k 1), 0.6 (row 2, k 0), 0.4 (row 3, k 0) */
    assert_kept(&d, &(const int32_t[8]){-1, 2, 4, -1, 0, 3, 1, 5});
}

/* ---- counting
 * ---------------------------------------------------------------------------------------------------- */

/* Shares at a bin's edge fall into the upper bin: 3 of 10 slots in bin 3 of 10, however 0.3 * 10 is
 * rounded. */
static void histogram_bins_are_exact_at_their_edges(void **state) {
    struct device *dev = *state;
    int32_t index[30];
    uint16_t hist[2 * 10];
    for (int i = 0; i < 30; i++)
        index[i] = i < 10 ? i >= 3 : i < 20 ? 1 : i >= 29;
    dev->ops->sequence_histogram(dev, hist, index, 30, 10, 1, 2, 10);
    for (int bin = 0; bin < 10; bin++) {
        assert_int_equal(hist[bin], (bin == 3) + (bin == 0) + (bin == 9)); /* 3, 0 and 9 of 10 */
        assert_int_equal(hist[10 + bin],
                         (bin == 7) + (bin == 9) + (bin == 1)); /* 7, 10 (the last bin) and 1 of 10 */
    }
}

/* ---- dropout
 * ----------------------------------------------------------------------------------------------------- */

/* The mask is a function of the documented words, and the kept are scaled so that the mean stays. */
static void dropout_keeps_what_its_words_say(void **state) {
    struct device *dev = *state;
    enum { N = 20000 };
    const struct dropout drop = dropout_make(0.25f, 99, 7, 3);
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++)
        x[i] = 1.0f;
    dev->ops->dropout(dev, x, x, N, drop);
    int kept = 0;
    for (int i = 0; i < N; i++) {
        const uint32_t word = rng_u32(drop.key, (uint64_t)i / 2) >> (i % 2 * 16) & 0xffff;
        assert_true(x[i] == (word >= 16384 ? 65536.0f / 49152.0f : 0.0f));
        kept += x[i] != 0.0f;
    }
    assert_true(abs(kept - 15000) < 4 * 61); /* four standard deviations of the binomial */
    free(x);
}

/* ---- AdamW
 * ------------------------------------------------------------------------------------------------------- */

/* First step from zero moments: m / bc1 = g and v / bc2 = g^2, so the step is lr g / (|g| + eps). */
static void first_adamw_step_is_the_sign_of_the_gradient(void **state) {
    struct device *dev = *state;
    float params[4] = {1.0f, -2.0f, 0.5f, 7.0f}, compute[4] = {0}, m[4] = {0}, v[4] = {0};
    float grads[4] = {3.0f, -0.01f, 0.0f, 1.0f};
    const struct adamw_segment segment = {.offset = 0, .count = 3, .lr = 0.1f, .weight_decay = 0.5f};
    const struct adamw_step step = {0.9f, 0.999f, 1e-8f, 1.0f - 0.9f, 1.0f - 0.999f};
    dev->ops->adamw(dev, params, compute, grads, m, v, &segment, 1, &step, &(float){2.0f});
    assert_true(fabsf(params[0] - (0.95f - 0.1f)) < 1e-6f);
    assert_true(fabsf(params[1] - (-1.9f + 0.1f)) < 1e-6f);
    assert_true(fabsf(params[2] - 0.475f) < 1e-7f);
    assert_true(params[3] == 7.0f && compute[3] == 0.0f && m[3] == 0.0f);
    assert_true(compute[0] == params[0] && compute[1] == params[1]);
    assert_true(grads[0] == 0.0f && grads[1] == 0.0f && grads[3] == 1.0f);
    assert_true(fabsf(m[0] - 0.6f) < 1e-6f && fabsf(v[0] - 0.036f) < 1e-6f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_logits_give_uniform_statistics_and_the_lowest_expert),
        cmocka_unit_test(temperature_divides_logits_and_weights_renormalise),
        cmocka_unit_test(selection_bias_moves_the_choice_but_not_the_weight),
        cmocka_unit_test(without_capacity_slots_are_sorted_stably),
        cmocka_unit_test(by_position_the_last_tokens_lose),
        cmocka_unit_test(by_weight_the_smallest_lose_and_of_equals_the_later),
        cmocka_unit_test(the_published_policy_ranks_by_slot_number),
        cmocka_unit_test(histogram_bins_are_exact_at_their_edges),
        cmocka_unit_test(dropout_keeps_what_its_words_say),
        cmocka_unit_test(first_adamw_step_is_the_sign_of_the_gradient),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
