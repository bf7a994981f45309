/* test: rooms=analysis,record,core label=fast */
/* What only runs of image classifiers record: the training log, and shares at one moment of levels of
 * different size. One run is written whose numbers are known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/expert_shares.h"
#include "analysis/train_log.h"
#include "fixture_paper.h"
#include "record/writer.h"

enum { STEPS = 10, EVERY = 4, LEVELS = 2, EXPERTS = 4, GROUPS = 2, DOMAINS = 3 };

static char root[] = "/tmp/moe-log-XXXXXX";
static struct run_list *list;
static const struct run_file *file;

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-7 * (1.0 + fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

/* Expert e of step s is chosen s + e times at level 0 and has 2 + e of the gates; groups the other way round.
 */
static moe_status routing(struct run_writer *w, enum run_series series, int64_t step, moe_err *err) {
    int32_t load[LEVELS * EXPERTS] = {0}, dropped[LEVELS * EXPERTS] = {0};
    float mass[LEVELS * EXPERTS] = {0}, none[LEVELS * EXPERTS] = {0}, entropy[LEVELS] = {0};
    int64_t updates[LEVELS * EXPERTS] = {0};
    uint16_t hist[LEVELS * EXPERTS] = {0};
    for (int e = 0; e < EXPERTS; e++) {
        load[e] = (int32_t)step + e;
        mass[e] = (float)(2 + e);
        load[EXPERTS + e] = e < GROUPS ? 5 - e : -1;
        mass[EXPERTS + e] = e < GROUPS ? (float)(1 + 2 * e) : 0.0f;
    }
    return run_writer_routing(w, series,
                              &(struct run_routing_row){.step = step,
                                                        .load = load,
                                                        .dropped_load = dropped,
                                                        .prob_mass = mass,
                                                        .bias = none,
                                                        .expert_grad_norm = none,
                                                        .expert_updates = updates,
                                                        .batch_hist = hist,
                                                        .entropy_token = entropy},
                              err);
}

/* Domain 0 has 100 + step, the training batches step: loss and accuracy can be told apart. */
static moe_status evaluation(struct run_writer *w, int64_t step, moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t d = 0; d < DOMAINS; d++) {
        const double base = d == DOMAINS - 1 ? 0.0 : 100.0;
        const struct run_eval_row row = {.step = step,
                                         .domain = d,
                                         .loss = base + (double)step,
                                         .loss_ce = base + (double)step,
                                         .loss_aux = base + 0.1 * (double)step,
                                         .accuracy = base + 0.01 * (double)step,
                                         .perplexity = 1.0,
                                         .tokens = 32};
        moe_try(run_writer_eval(w, &row, err));
    }
    moe_try(routing(w, RUN_ROUTING_EVAL, step, err));
out:
    return status;
}

static moe_status steps(struct run_writer *w, moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t step = 1; step <= STEPS; step++) {
        const double seconds = step == 6 ? 1000.0 : (double)step; /* one that a busy machine held up */
        moe_try(run_writer_train(
            w, &(struct run_train_row){.step = step, .tokens = 32 * step, .loss = 1.0, .grad_norm = 1.0},
            err));
        moe_try(run_writer_timing(w, &(struct run_timing_row){.step = step, .step_seconds = seconds}, err));
        moe_try(routing(w, RUN_ROUTING, step, err));
        if (step % EVERY == 0 || step == STEPS) moe_try(evaluation(w, step, err));
    }
out:
    return status;
}

static moe_status write_run(const char *experiment, const char *last_domain, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_writer *w = NULL;
    char path[512];
    const char *const domains[] = {"all", "a class", last_domain};
    static const int32_t levels[] = {0, 1};
    snprintf(path, sizeof path, "%s/cifar-hierarchy/%s.corrected.s1.h5", root, experiment);
    const struct run_begin begin = {
        .path = path,
        .identity = {"cifar-hierarchy", "B", experiment, "corrected", "smoke", 1},
        .axes = {LEVELS, EXPERTS, DOMAINS, 1},
        .domain_names = domains,
        .moe_layer_numbers = levels,
        .config_json = "{}",
        .config_toml = "",
        .counts_json = "{\"total\": 1, \"active\": 1}",
    };
    moe_try(run_writer_begin(&begin, &w, err));
    moe_try(steps(w, err));
    moe_try(run_writer_commit(w, err));
    struct run_writer *sealed = w;
    w = NULL;
    moe_try(run_writer_seal(sealed, "max_epochs", NULL, 0, NULL, err));
out:
    run_writer_close(w);
    return status;
}

static void test_log(void **state) {
    (void)state;
    double line[LOG_COLUMNS];
    moe_err err = {0};
    assert_int_equal(train_log_at(list, file, 8, line, &err), MOE_OK);
    near(line[LOG_LOSS], 8.0);
    near(line[LOG_MOE_LOSS], 0.8);
    near(line[LOG_ACCURACY], 0.08);
    near(line[LOG_SECONDS], 7.5); /* of 5, 1000, 7, 8 */
    assert_int_equal(train_log_at(list, file, 4, line, &err), MOE_OK);
    near(line[LOG_SECONDS], 2.5); /* of 1, 2, 3, 4 */
    assert_int_equal(train_log_at(list, file, -1, line, &err), MOE_OK);
    near(line[LOG_LOSS], 10.0);
    near(line[LOG_SECONDS], 9.5); /* of 9 and 10: the last line may be of fewer batches */
    assert_int_equal(train_log_at(list, file, 5, line, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "step 5"));
    err = (moe_err){0};
    assert_int_equal(train_log_at(list, run_list_at(list, 1), 8, line, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "no domain \"training batches\""));
}

static void expect_shares(enum share_of what, int32_t level, int64_t step, int32_t n,
                          const double *expected) {
    double *shares = NULL;
    int32_t count = 0;
    moe_err err = {0};
    if (expert_shares_at(list, file, what, level, step, &shares, &count, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(count, n);
    for (int32_t e = 0; e < n; e++)
        near(shares[e], expected[e]);
    free(shares);
}

static void test_shares(void **state) {
    (void)state;
    double *shares = NULL;
    int32_t count = 0;
    moe_err err = {0};
    expect_shares(SHARE_OF_SLOTS, 0, 4, 4, (const double[]){4 / 22.0, 5 / 22.0, 6 / 22.0, 7 / 22.0});
    expect_shares(SHARE_OF_SLOTS, 0, -1, 4, (const double[]){10 / 46.0, 11 / 46.0, 12 / 46.0, 13 / 46.0});
    expect_shares(SHARE_OF_MASS, 0, -1, 4, (const double[]){2 / 14.0, 3 / 14.0, 4 / 14.0, 5 / 14.0});
    expect_shares(SHARE_OF_SLOTS, 1, 8, 2, (const double[]){5 / 9.0, 4 / 9.0}); /* two groups, not four */
    expect_shares(SHARE_OF_MASS, 1, 8, 2, (const double[]){1 / 4.0, 3 / 4.0});
    assert_int_equal(expert_shares_at(list, file, SHARE_OF_SLOTS, 0, 5, &shares, &count, &err),
                     MOE_ENOTFOUND);
    err = (moe_err){0};
    assert_int_equal(expert_shares_at(list, file, SHARE_OF_SLOTS, 2, 4, &shares, &count, &err),
                     MOE_ENOTFOUND);
}

/* Loads of steps 1 to 10 are 1 to 10 for the first expert, up to 3 more for the others. */
static void expect_trained(double from, double to, double first, double total) {
    double *shares = NULL;
    int32_t count = 0;
    moe_err err = {0};
    assert_int_equal(expert_shares_trained(list, file, SHARE_OF_SLOTS, 0, from, to, &shares, &count, &err),
                     MOE_OK);
    assert_int_equal(count, EXPERTS);
    near(shares[0], first / total);
    free(shares);
}

static void test_trained(void **state) {
    (void)state;
    expect_trained(0.0, 1.0, 55, 4 * 55 + 60);
    expect_trained(0.0, 0.2, 3, 4 * 3 + 12);
    expect_trained(0.8, 1.0, 19, 4 * 19 + 12);
    expect_trained(0.99, 1.0, 10, 4 * 10 + 6); /* at least one record */
}

static int set_up(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    moe_status status = write_run("flat", "training batches", &err);
    if (status == MOE_OK) status = write_run("text", "another class", &err);
    const char *const roots[] = {root};
    const struct run_selection selection = {roots, 1, NULL};
    if (status == MOE_OK) status = run_list_open(&selection, &list, &err);
    if (status != MOE_OK) print_error("%s\n", err.message);
    if (status == MOE_OK) file = run_list_at(list, 0);
    return status == MOE_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    run_list_close(list);
    return fixture_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_trained),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
