/* test: rooms=analysis,record,core label=fast */
/* Source C's own arithmetic: every finding of its audit, recomputed here from the printed numbers by other
 * means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOURCE "C"
enum { AUDIT_ENTRIES = 60 };
#include "fixture_audit.h"

static const char *const sizes[] = {"10M", "20M", "50M", "80M", "100M", "110M", "200M", "300M", "500M"};
#define SIZES (sizeof sizes / sizeof sizes[0])

static double found_of(const char *group, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "%s.%s", group, name);
    return found(path);
}

static double size(const char *name, const char *key) {
    char path[96];
    snprintf(path, sizeof path, "size.%s.%s", name, key);
    return printed_number(path);
}

/* Matrix by matrix: embedding, head, four of attention, three for each dense layer's worth of experts. */
static double parameters(const char *name, double s) {
    const double d = size(name, "width"), hidden = 4 * d;
    double total = 100352 * d + d * 100352;
    for (int layer = 0; layer < (int)size(name, "layers"); layer++) {
        for (int matrix = 0; matrix < 4; matrix++)
            total += d * d;
        for (int expert = 0; expert < (int)s; expert++)
            total += d * hidden + d * hidden + hidden * d;
    }
    return total;
}

static void test_parameters(void **state) {
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        near(found_of("dense", sizes[i]), parameters(sizes[i], 1), 0.5);
        near(found_of("dense_over_name", sizes[i]), parameters(sizes[i], 1) / size(sizes[i], "active"),
             1e-12);
    }
    static const char *const largest[] = {"10M", "20M", "50M", "300M"};
    static const double s[] = {64, 64, 256, 64}, million[] = {15.0, 47.7, 934, 6580};
    for (int i = 0; i < 4; i++) {
        near(found_of("total", largest[i]), parameters(largest[i], s[i]), 0.5);
        near(found_of("total", largest[i]) * 1e-6, million[i], million[i] < 100 ? 0.05 : 5);
        assert_true(fabs(found_of("total_over_printed", largest[i]) - 1) < 0.01);
    }
}

/* 99 % of the smallest model is embedding and head, and even 64 times the experts are less than that. */
static void test_small_models(void **state) {
    (void)state;
    near(found_of("embedding", "10M"), 1 - 16.0 * 3 * 48 * 48 / parameters("10M", 1), 1e-12);
    assert_true(found_of("embedding", "10M") > 0.985 && found_of("embedding", "10M") < 0.995);
    near(found_of("layers", "10M"), 110592, 0.5);
    assert_true(found_of("experts_over_embedding", "10M") < 1);
    near(found_of("budget", "per_layer_parameter"), 200e6 / 110592, 1e-6);
}

/* 191, 381, 954 and 1526 steps, of which 2,000 are warm-up. */
static void test_steps(void **state) {
    (void)state;
    static const char *const names[] = {"10M", "20M", "50M", "80M", "10M_4B", "20M_2B"};
    static const double tokens[] = {200e6, 400e6, 1e9, 1.6e9, 4e9, 2e9};
    static const int steps[] = {191, 381, 954, 1526, 3815, 1907};
    for (int i = 0; i < 6; i++) {
        near(found_of("steps", names[i]), tokens[i] / 1048576, 1e-6);
        assert_int_equal((int)round(found_of("steps", names[i])), steps[i]);
        near(found_of("warmup", names[i]), 2000.0 * 1048576 / tokens[i], 1e-9);
    }
    near(found_of("last_rate", "10M"), 200e6 / 1048576 / 2000, 1e-12);
    double mean = 0;
    for (int step = 1; step <= 191; step++)
        mean += step / 2000.0 / 191;
    near(found_of("mean_rate", "10M"), mean, 2e-4);
    near(found_of("warmup", "sizes_within"), 5, 0); /* 10M to 100M; 110M has 2,098 steps */
}

static void test_losses(void **state) {
    (void)state;
    near(found_of("loss", "uniform"), log(100352), 1e-12);
    near(found_of("loss", "below_uniform"), 11.5164 - 9.325, 1e-4);
    near(found_of("loss", "range"), 0.035, 1e-9);
    near(found_of("loss", "range_over_gain"), 0.035 / (11.5164 - 9.325), 1e-5);
}

static void test_ratio_rates_and_slots(void **state) {
    (void)state;
    int fitting = 0;
    for (size_t i = 2; i < SIZES; i++) {
        near(found_of("at_ratio", sizes[i]), parameters(sizes[i], 128), 0.5);
        fitting += parameters(sizes[i], 128) < 1.01 * 6.6e9;
    }
    near(found_of("at_ratio", "sizes"), fitting, 0);
    assert_int_equal(fitting, 5);
    near(found_of("rates", "conflict"), 10, 1e-12);
    near(found_of("rates", "both_swept"), 1, 0);
    near(found_of("experts", "slots"), 1.2 * 2048 * 512 / 512, 1e-9);
    near(found_of("experts", "narrowest"), 3, 0);
}

static void test_pairs(void **state) {
    (void)state;
    static const char *const pairs[] = {"p2_4", "p4_8", "p8_16", "p16_32"};
    for (int i = 0; i < 4; i++) {
        near(found_of("pairs", pairs[i]), 0, 0);
        near(found_of("halves", pairs[i]), 0, 0);
        near(found_of("half_totals", pairs[i]), 0, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_small_models),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_ratio_rates_and_slots),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_all_entries),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
