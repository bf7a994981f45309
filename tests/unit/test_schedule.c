/* test: rooms=train label=fast */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nn/routing.h"
#include "train/schedule.h"
#include "train/suite.h"

static void assert_near(double got, double want) {
    if (fabs(got - want) > 1e-12 * (1 + fabs(want))) fail_msg("%.17g, expected %.17g", got, want);
}

static void constant_after_warmup(void **state) {
    (void)state;
    const struct train_config t = {.lr = 0.4, .schedule = SCHEDULE_CONSTANT, .warmup_steps = 4};
    assert_near(schedule_lr(&t, 1, 100), 0.1);
    assert_near(schedule_lr(&t, 4, 100), 0.4);
    assert_near(schedule_lr(&t, 100, 100), 0.4);
    const struct train_config none = {.lr = 0.4, .schedule = SCHEDULE_CONSTANT};
    assert_near(schedule_lr(&none, 1, 100), 0.4);
}

static void linear_and_cosine_end_at_their_floor(void **state) {
    (void)state;
    struct train_config t = {
        .lr = 1.0, .min_lr_ratio = 0.1, .schedule = SCHEDULE_LINEAR, .warmup_ratio = 0.1};
    assert_int_equal(schedule_warmup_steps(&t, 100), 10);
    assert_near(schedule_lr(&t, 10, 100), 1.0);
    assert_near(schedule_lr(&t, 55, 100), 0.55);
    assert_near(schedule_lr(&t, 100, 100), 0.1);
    t.schedule = SCHEDULE_COSINE;
    assert_near(schedule_lr(&t, 10, 100), 1.0);
    assert_near(schedule_lr(&t, 55, 100), 0.55); /* half way: the mean of both ends */
    assert_near(schedule_lr(&t, 100, 100), 0.1);
    assert_near(schedule_lr(&t, 32, 92 + 6), 0.1 + 0.9 * 0.5 * (1 + cos(3.14159265358979323846 * 22 / 88)));
}

/* Source A: 1.0 to 0.5 over five epochs, set at the start of each. */
static void temperature_steps_down_by_epoch(void **state) {
    (void)state;
    const struct moe_config moe = {.temperature_start = 1.0, .temperature_end = 0.5, .temperature_epochs = 5};
    static const double want[] = {1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5};
    for (int epoch = 0; epoch < 7; epoch++)
        assert_near(schedule_temperature(&moe, epoch), want[epoch]);
    const struct moe_config fixed = {.temperature_start = 2.0, .temperature_end = 0.5};
    assert_near(schedule_temperature(&fixed, 3), 2.0);
}

/* Switch's loss is alpha when balanced and alpha E when one expert takes everything with certainty. */
static void balance_losses_in_closed_form(void **state) {
    (void)state;
    enum { E = 4, ROWS = 8 };
    struct routing r;
    struct balance_settings settings = {.lb_coeff = 0.01f};
    assert_int_equal(routing_create(&r, 2, E, NULL), MOE_OK);
    for (int e = 0; e < E; e++) { /* layer 0 balanced, layer 1 collapsed */
        r.host.load[e] = ROWS / E;
        r.host.prob_mass[e] = (float)ROWS / E;
        r.host.load[E + e] = e == 0 ? ROWS : 0;
        r.host.prob_mass[E + e] = e == 0 ? ROWS : 0;
    }
    struct balance_result result = routing_balance(&r, &settings, ROWS);
    assert_true(fabs(result.aux - 0.01 * (1 + E)) < 1e-8);
    /* pooled: f = P = (1/2 + 1/8, 1/8, 1/8, 1/8) */
    settings.pooled = true;
    result = routing_balance(&r, &settings, ROWS);
    assert_true(fabs(result.aux - 0.01 * E * (0.625 * 0.625 + 3 * 0.125 * 0.125)) < 1e-8);
    /* the selection bias rises for experts below the mean, falls above it, and rests on it */
    const int64_t load[2 * E] = {2, 2, 2, 2, 9, 1, 4, 2};
    routing_update_bias(&r, load, 0.5f, BIAS_SIGN);
    static const float want[2 * E] = {0, 0, 0, 0, -0.5f, 0.5f, 0, 0.5f};
    for (int i = 0; i < 2 * E; i++)
        assert_true(r.host.bias[i] == want[i]);
    routing_free(&r);
}

/* Source D's two rules: proportional to the excess of a layer's shares (9, 1, 4, 2 of 16), one E times the
 * other; a layer without load rests. */
static void proportional_bias_follows_the_shares(void **state) {
    enum { E = 4 };
    (void)state;
    const int64_t load[2 * E] = {9, 1, 4, 2, 0, 0, 0, 0};
    static const float code[2 * E] = {-1.25f, 0.75f, 0, 0.5f, 0, 0, 0, 0};
    for (int r = 0; r < 2; r++) {
        struct routing routing;
        assert_int_equal(routing_create(&routing, 2, E, NULL), MOE_OK);
        const float scale = r == 0 ? 1.0f : 0.25f;
        routing_update_bias(&routing, load, 1.0f, r == 0 ? BIAS_PROPORTIONAL_E : BIAS_PROPORTIONAL);
        for (int i = 0; i < 2 * E; i++)
            assert_true(routing.host.bias[i] == scale * code[i]);
        routing_free(&routing);
    }
}

static void progress_lines_read_back(void **state) {
    (void)state;
    const struct trainer_report report = {.step = 7,
                                          .total_steps = 500,
                                          .epoch = 1,
                                          .max_epochs = 20,
                                          .loss = 9.123456789,
                                          .validation = NAN,
                                          .tokens_per_second = 1234.5,
                                          .seconds_left = 60};
    struct trainer_report back;
    char line[256];
    suite_format_progress(&report, line, sizeof line);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_true(suite_parse_progress(line, &back));
    assert_int_equal(back.step, 7);
    assert_int_equal(back.total_steps, 500);
    assert_true(back.loss == report.loss && isnan(back.validation) && back.seconds_left == 60);
    assert_false(suite_parse_progress("moe: something else", &back));
    assert_false(suite_parse_progress("", &back));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_after_warmup),
        cmocka_unit_test(linear_and_cosine_end_at_their_floor),
        cmocka_unit_test(temperature_steps_down_by_epoch),
        cmocka_unit_test(balance_losses_in_closed_form),
        cmocka_unit_test(proportional_bias_follows_the_shares),
        cmocka_unit_test(progress_lines_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
