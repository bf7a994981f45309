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

#include "analysis/audit.h"

static struct published *printed;
static struct audit *audit;

static const char *const sizes[] = {"10M", "20M", "50M", "80M", "100M", "110M", "200M", "300M", "500M"};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", a, tolerance, b);
}

static double found(const char *group, const char *name) {
    char path[96];
    double value = NAN;
    moe_err err = {0};
    snprintf(path, sizeof path, "%s.%s", group, name);
    if (audit_number(audit, path, &value, &err) != MOE_OK) fail_msg("%s", err.message);
    return value;
}

static double size(const char *name, const char *key) {
    char path[96];
    double value = NAN;
    moe_err err = {0};
    snprintf(path, sizeof path, "size.%s.%s", name, key);
    if (published_number(printed, path, &value, &err) != MOE_OK) fail_msg("%s", err.message);
    return value;
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
        near(found("dense", sizes[i]), parameters(sizes[i], 1), 0.5);
        near(found("dense_over_name", sizes[i]), parameters(sizes[i], 1) / size(sizes[i], "active"), 1e-12);
    }
    static const char *const largest[] = {"10M", "20M", "50M", "300M"};
    static const double s[] = {64, 64, 256, 64}, million[] = {15.0, 47.7, 934, 6580};
    for (int i = 0; i < 4; i++) {
        near(found("total", largest[i]), parameters(largest[i], s[i]), 0.5);
        near(found("total", largest[i]) * 1e-6, million[i], million[i] < 100 ? 0.05 : 5);
        assert_true(fabs(found("total_over_printed", largest[i]) - 1) < 0.01);
    }
}

/* 99 % of the smallest model is embedding and head, and even 64 times the experts are less than that. */
static void test_small_models(void **state) {
    (void)state;
    near(found("embedding", "10M"), 1 - 16.0 * 3 * 48 * 48 / parameters("10M", 1), 1e-12);
    assert_true(found("embedding", "10M") > 0.985 && found("embedding", "10M") < 0.995);
    near(found("layers", "10M"), 110592, 0.5);
    assert_true(found("experts_over_embedding", "10M") < 1);
    near(found("budget", "per_layer_parameter"), 200e6 / 110592, 1e-6);
}

/* 191, 381, 954 and 1526 steps, of which 2,000 are warm-up. */
static void test_steps(void **state) {
    (void)state;
    static const char *const names[] = {"10M", "20M", "50M", "80M", "10M_4B", "20M_2B"};
    static const double tokens[] = {200e6, 400e6, 1e9, 1.6e9, 4e9, 2e9};
    static const int steps[] = {191, 381, 954, 1526, 3815, 1907};
    for (int i = 0; i < 6; i++) {
        near(found("steps", names[i]), tokens[i] / 1048576, 1e-6);
        assert_int_equal((int)round(found("steps", names[i])), steps[i]);
        near(found("warmup", names[i]), 2000.0 * 1048576 / tokens[i], 1e-9);
    }
    near(found("last_rate", "10M"), 200e6 / 1048576 / 2000, 1e-12);
    double mean = 0;
    for (int step = 1; step <= 191; step++)
        mean += step / 2000.0 / 191;
    near(found("mean_rate", "10M"), mean, 2e-4);
    near(found("warmup", "sizes_within"), 5, 0); /* 10M to 100M; 110M has 2,098 steps */
}

static void test_losses(void **state) {
    (void)state;
    near(found("loss", "uniform"), log(100352), 1e-12);
    near(found("loss", "below_uniform"), 11.5164 - 9.325, 1e-4);
    near(found("loss", "range"), 0.035, 1e-9);
    near(found("loss", "range_over_gain"), 0.035 / (11.5164 - 9.325), 1e-5);
}

static void test_ratio_rates_and_slots(void **state) {
    (void)state;
    int fitting = 0;
    for (size_t i = 2; i < SIZES; i++) {
        near(found("at_ratio", sizes[i]), parameters(sizes[i], 128), 0.5);
        fitting += parameters(sizes[i], 128) < 1.01 * 6.6e9;
    }
    near(found("at_ratio", "sizes"), fitting, 0);
    assert_int_equal(fitting, 5);
    near(found("rates", "conflict"), 10, 1e-12);
    near(found("rates", "both_swept"), 1, 0);
    near(found("experts", "slots"), 1.2 * 2048 * 512 / 512, 1e-9);
    near(found("experts", "narrowest"), 3, 0);
}

static void test_pairs(void **state) {
    (void)state;
    static const char *const pairs[] = {"p2_4", "p4_8", "p8_16", "p16_32"};
    for (int i = 0; i < 4; i++) {
        near(found("pairs", pairs[i]), 0, 0);
        near(found("halves", pairs[i]), 0, 0);
        near(found("half_totals", pairs[i]), 0, 0);
    }
}

static void test_every_entry(void **state) {
    (void)state;
    const struct audit_entry *entry;
    int32_t n = 0;
    for (; (entry = audit_at(audit, n)) != NULL; n++) {
        double value = NAN;
        moe_err err = {0};
        if (audit_number(audit, entry->name, &value, &err) != MOE_OK) fail_msg("%s", err.message);
        assert_true(isfinite(value));
        assert_true(strlen(entry->says) > 10);
    }
    assert_true(n > 60);
}

static int open_all(void **state) {
    (void)state;
    moe_err err = {0};
    moe_status status = published_open(MOE_SOURCE_DIR "/paper/published", "C", &printed, &err);
    if (status == MOE_OK) status = audit_open(MOE_SOURCE_DIR "/paper", "C", printed, &audit, &err);
    if (status != MOE_OK) print_error("%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    audit_close(audit);
    published_close(printed);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_small_models),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_ratio_rates_and_slots),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_every_entry),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
