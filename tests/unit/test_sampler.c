/* test: rooms=train label=fast */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "train/sampler.h"

enum { DRAWS = 100000 };

static struct sampler *open_sampler(struct sampler_settings settings, int32_t vocab) {
    struct sampler *s = NULL;
    moe_err err = {0};
    if (sampler_create(&settings, vocab, &s, &err) != MOE_OK) fail_msg("%s", err.message);
    return s;
}

static int32_t draw(struct sampler *s, const float *logits, uint32_t number) {
    int32_t token = -1;
    moe_err err = {0};
    if (sampler_draw(s, logits, number, &token, &err) != MOE_OK) fail_msg("%s", err.message);
    return token;
}

/* How often each token comes in DRAWS draws. */
static void count_draws(struct sampler_settings settings, const float *logits, int32_t vocab,
                        int64_t *counts) {
    struct sampler *s = open_sampler(settings, vocab);
    memset(counts, 0, (size_t)vocab * sizeof *counts);
    for (uint32_t i = 0; i < DRAWS; i++)
        counts[draw(s, logits, i)]++;
    sampler_destroy(s);
}

/* Chi-square of counts against probabilities. Tokens of probability 0 must not come at all; returns the
 * degrees of freedom. */
static int chi_square(const int64_t *counts, const double *p, int32_t vocab, double *out_statistic) {
    int cells = 0;
    double sum = 0;
    for (int32_t v = 0; v < vocab; v++) {
        if (p[v] == 0) {
            assert_int_equal(counts[v], 0);
            continue;
        }
        sum += pow((double)counts[v] - DRAWS * p[v], 2) / (DRAWS * p[v]);
        cells++;
    }
    *out_statistic = sum;
    return cells - 1;
}

/* Mean and variance of chi-square are n and 2n; five standard deviations, and a fixed seed. */
static void assert_distribution(struct sampler_settings settings, const float *logits, const double *p,
                                int32_t vocab, const char *what) {
    int64_t counts[64];
    double statistic = 0;
    count_draws(settings, logits, vocab, counts);
    const int freedom = chi_square(counts, p, vocab, &statistic);
    print_message("%-34s chi-square %6.2f with %d degrees of freedom\n", what, statistic, freedom);
    assert_true(statistic <= freedom + 5 * sqrt(2.0 * freedom));
}

/* p_v = (v + 1) / 55 for v = 0 .. 9, at temperature 1 */
enum { V = 10 };
static void ramp_logits(float *logits) {
    for (int v = 0; v < V; v++)
        logits[v] = (float)log((v + 1) / 55.0);
}

/* Normalises w to a distribution. */
static void normalise(double *w, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += w[i];
    for (int32_t i = 0; i < n; i++)
        w[i] /= sum;
}

static void draws_follow_the_softmax(void **state) {
    (void)state;
    float logits[V];
    double p[V];
    ramp_logits(logits);
    for (int v = 0; v < V; v++)
        p[v] = v + 1;
    normalise(p, V);
    assert_distribution((struct sampler_settings){1, 0, 1, 1}, logits, p, V, "softmax");
    for (int v = 0; v < V; v++)
        p[v] = pow(v + 1, 2); /* p^(1/T), T = 1/2 */
    normalise(p, V);
    assert_distribution((struct sampler_settings){0.5, 0, 1, 2}, logits, p, V, "temperature 1/2");
    for (int v = 0; v < V; v++)
        p[v] = sqrt(v + 1.0);
    normalise(p, V);
    assert_distribution((struct sampler_settings){2, 0, 1, 3}, logits, p, V, "temperature 2");
    for (int v = 0; v < V; v++)
        p[v] = 1.0 / V;
    assert_distribution((struct sampler_settings){1e9, 0, 1, 4}, logits, p, V, "temperature 1e9: uniform");
}

static void top_k_keeps_the_k_likeliest(void **state) {
    (void)state;
    float logits[V];
    ramp_logits(logits);
    for (int k = 1; k <= V + 1; k++) {
        double p[V];
        for (int v = 0; v < V; v++)
            p[v] = v >= V - k ? v + 1 : 0;
        normalise(p, V);
        if (k == 1) {
            struct sampler *s = open_sampler((struct sampler_settings){1, 1, 1, 1}, V);
            for (uint32_t i = 0; i < 100; i++)
                assert_int_equal(draw(s, logits, i), V - 1);
            sampler_destroy(s);
        } else {
            assert_distribution((struct sampler_settings){1, k, 1, (uint64_t)k}, logits, p, V, "top-k");
        }
    }
}

/* The tokens that come, as a set. */
static int32_t tokens_seen(struct sampler_settings settings, const float *logits, int32_t vocab, bool *seen) {
    int64_t counts[64];
    int32_t n = 0;
    count_draws(settings, logits, vocab, counts);
    for (int32_t v = 0; v < vocab; v++) {
        seen[v] = counts[v] > 0;
        n += seen[v];
    }
    return n;
}

/* Sums of the ramp from the top: 10, 19, 27, 34, ... of 55. A bound just below or above such a sum decides
 * whether one token more is kept; shares are far above 1 in DRAWS, so each kept token is seen. */
static void top_p_keeps_the_smallest_set_of_that_mass(void **state) {
    (void)state;
    float logits[V];
    ramp_logits(logits);
    int sum = 0;
    for (int kept = 1; kept <= V; kept++) {
        bool seen[V];
        double p[V];
        sum += V + 1 - kept;
        const double mass = sum / 55.0;
        assert_int_equal(tokens_seen((struct sampler_settings){1, 0, mass - 1e-5, 1}, logits, V, seen), kept);
        for (int v = 0; v < V; v++) {
            assert_int_equal(seen[v], v >= V - kept);
            p[v] = seen[v] ? v + 1 : 0;
        }
        if (kept == V) break;
        assert_int_equal(tokens_seen((struct sampler_settings){1, 0, mass + 1e-5, 1}, logits, V, seen),
                         kept + 1);
        normalise(p, V);
        if (kept > 1)
            assert_distribution((struct sampler_settings){1, 0, mass - 1e-5, 7}, logits, p, V, "top-p");
    }
    /* of what top-k leaves: 10, 9, 8 of 27; 10 alone has 0.37 of that, though 0.18 of all */
    bool seen[V];
    assert_int_equal(tokens_seen((struct sampler_settings){1, 3, 0.36, 1}, logits, V, seen), 1);
    assert_int_equal(tokens_seen((struct sampler_settings){1, 3, 0.38, 1}, logits, V, seen), 2);
    assert_int_equal(tokens_seen((struct sampler_settings){1, 3, 0.71, 1}, logits, V, seen), 3);
    assert_int_equal(tokens_seen((struct sampler_settings){1, 0, 1e-12, 1}, logits, V, seen), 1);
}

static void temperature_goes_from_greedy_to_uniform(void **state) {
    (void)state;
    static const float logits[5] = {1.0f, 3.0f, 2.999f, 3.0f, -1e30f};
    struct sampler *greedy = open_sampler((struct sampler_settings){0, 0, 1, 1}, 5);
    struct sampler *cold = open_sampler((struct sampler_settings){1e-300, 0, 1, 1}, 5);
    bool seen[5] = {false};
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(draw(greedy, logits, i), 1); /* of equals the first */
        seen[draw(cold, logits, i)] = true;
    }
    assert_true(seen[1] && seen[3] && !seen[0] && !seen[2] && !seen[4]);
    sampler_destroy(greedy);
    sampler_destroy(cold);
}

static void ties_go_to_the_lower_ids(void **state) {
    (void)state;
    float logits[40];
    bool seen[40];
    for (int v = 0; v < 40; v++)
        logits[v] = v % 2 == 0 ? 1.0f : 0.0f;
    assert_int_equal(tokens_seen((struct sampler_settings){1, 22, 1, 1}, logits, 40, seen), 22);
    for (int v = 0; v < 40; v++)
        assert_int_equal(seen[v], v % 2 == 0 || v < 4);
}

/* Random logits: the kept set is what sorting gives. */
static void large_vocabularies_are_cut_right(void **state) {
    (void)state;
    enum { MANY = 5000 };
    const struct rng_key key = {.seed = 3, .stream = RNG_TEST};
    float *logits = malloc(MANY * sizeof *logits);
    assert_non_null(logits);
    for (int v = 0; v < MANY; v++)
        logits[v] = 8.0f * rng_uniform(key, (uint64_t)v);
    for (int k = 2; k < MANY; k = 3 * k + 1) {
        struct sampler *s = open_sampler((struct sampler_settings){1.5, k, 1, 9}, MANY);
        for (uint32_t i = 0; i < 300; i++) {
            const int32_t token = draw(s, logits, i);
            int above = 0;
            for (int v = 0; v < MANY; v++)
                above += logits[v] > logits[token];
            assert_true(above < k);
        }
        sampler_destroy(s);
    }
    free(logits);
}

static void the_seed_and_the_number_decide(void **state) {
    (void)state;
    float logits[V];
    ramp_logits(logits);
    struct sampler *a = open_sampler((struct sampler_settings){1, 5, 0.9, 42}, V);
    struct sampler *b = open_sampler((struct sampler_settings){1, 5, 0.9, 42}, V);
    struct sampler *c = open_sampler((struct sampler_settings){1, 5, 0.9, 43}, V);
    int32_t first[200];
    int differ = 0, changes = 0;
    for (uint32_t i = 0; i < 200; i++) {
        first[i] = draw(a, logits, i);
        differ += first[i] != draw(c, logits, i);
        changes += i > 0 && first[i] != first[i - 1];
    }
    for (uint32_t i = 200; i-- > 0;) /* in whatever order they are drawn */
        assert_int_equal(draw(b, logits, i), first[i]);
    assert_true(differ > 50 && changes > 50);
    sampler_destroy(a);
    sampler_destroy(b);
    sampler_destroy(c);
}

static void bad_settings_and_logits_are_refused(void **state) {
    (void)state;
    static const struct sampler_settings bad[] = {{-1, 0, 1, 1}, {NAN, 0, 1, 1}, {INFINITY, 0, 1, 1},
                                                  {1, -1, 1, 1}, {1, 0, 0, 1},   {1, 0, 1.01, 1},
                                                  {1, 0, NAN, 1}};
    struct sampler *s = NULL;
    int32_t token = 0;
    moe_err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sampler_create(&bad[i], V, &s, NULL), MOE_EARG);
    s = open_sampler((struct sampler_settings){1, 0, 0.9, 1}, 3);
    assert_int_equal(sampler_draw(s, (float[]){0, NAN, 0}, 0, &token, &err), MOE_ENUMERIC);
    assert_non_null(strstr(err.message, "token 1"));
    assert_int_equal(sampler_draw(s, (float[]){0, 0, INFINITY}, 0, &token, NULL), MOE_ENUMERIC);
    assert_int_equal(sampler_draw(s, (float[]){-INFINITY, -INFINITY, -INFINITY}, 0, &token, NULL),
                     MOE_ENUMERIC);
    for (uint32_t i = 0; i < 100; i++) /* masked tokens are fine */
        assert_int_equal(draw(s, (float[]){-INFINITY, 5, -INFINITY}, i), 1);
    sampler_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(top_k_keeps_the_k_likeliest),
        cmocka_unit_test(top_p_keeps_the_smallest_set_of_that_mass),
        cmocka_unit_test(temperature_goes_from_greedy_to_uniform),
        cmocka_unit_test(ties_go_to_the_lower_ids),
        cmocka_unit_test(large_vocabularies_are_cut_right),
        cmocka_unit_test(the_seed_and_the_number_decide),
        cmocka_unit_test(bad_settings_and_logits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
