/* test: rooms=analysis,record,core label=fast */
/* The documents' own arithmetic: every finding of the audit, recomputed here from the printed numbers by
 * other means. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/audit.h"
#include "core/file.h"

#define assert_near(a, b, tolerance)                                                                         \
    assert_true(fabs((a) - (b)) <= (tolerance)) /* cmocka compares floats                                    \
                                                 */

static struct published *printed;
static struct audit *audit;
static char folder[] = "/tmp/moe-audit-XXXXXX";

static const char *const models[] = {"dense", "baseline", "top2", "strong_reg", "throughput_opt"};

static double cell(const char *model, const char *column) {
    char name[128];
    double value = NAN;
    snprintf(name, sizeof name, "key_numbers.%s.%s", model, column);
    assert_int_equal(published_number(printed, name, &value, NULL), MOE_OK);
    return value;
}

static double setup(const char *key) {
    char name[128];
    double value = NAN;
    snprintf(name, sizeof name, "setup.%s", key);
    assert_int_equal(published_number(printed, name, &value, NULL), MOE_OK);
    return value;
}

static double found(const char *group, const char *key) {
    char name[128];
    double value = NAN;
    moe_err err = {0};
    snprintf(name, sizeof name, "%s.%s", group, key);
    if (audit_number(audit, name, &value, &err) != MOE_OK) fail_msg("%s", err.message);
    return value;
}

static double smallest_ce(const char *model) {
    char name[128];
    double *curve = NULL;
    int32_t n = 0;
    snprintf(name, sizeof name, "curves.validation_ce.%s", model);
    assert_int_equal(published_array(printed, name, &curve, &n, NULL), MOE_OK);
    double best = curve[0];
    for (int32_t i = 1; i < n; i++)
        best = fmin(best, curve[i]);
    free(curve);
    return best;
}

/* Parameters of the dense model with a vocabulary of V, layer by layer. */
static double parameters(double vocabulary) {
    const double d = setup("hidden_size"), f = setup("intermediate_size");
    double total = vocabulary * d + setup("max_position_embeddings") * d;
    for (int layer = 0; layer < (int)setup("num_hidden_layers"); layer++) {
        for (int projection = 0; projection < 4; projection++)
            total += d * d + d;
        total += d * f + f + f * d + d;
        total += 2 * (d + d);
    }
    return total + (d + d) + d * vocabulary;
}

static void test_vocabulary(void **state) {
    (void)state;
    assert_near(found("vocabulary", "implied_by_dense"), setup("vocabulary"), 0);
    assert_near(parameters(setup("vocabulary")), cell("dense", "parameters"), 0);
    assert_near(found("vocabulary", "parameters_of_real_text"), parameters(setup("real_text_vocabulary")), 0);
    assert_true(found("vocabulary", "parameters_of_real_text") > 3.0 * cell("dense", "parameters"));
    for (int i = 1; i < 5; i++)
        assert_near(cell(models[i], "parameters") - cell("dense", "parameters"),
                    found("experts", "extra_parameters"), 0);
}

/* Finding: everything that is printed is worse than guessing. */
static void test_above_guessing(void **state) {
    (void)state;
    const double guessing = log(setup("vocabulary"));
    assert_near(found("uniform", "loss"), guessing, 1e-12);
    double least = INFINITY;
    for (int i = 0; i < 5; i++) {
        assert_true(cell(models[i], "best_validation_loss") > guessing);
        assert_true(smallest_ce(models[i]) > guessing);
        least = fmin(least, smallest_ce(models[i]));
    }
    assert_near(found("uniform", "excess"), least - guessing, 1e-12);
    assert_near(found("uniform", "smallest_reported"), cell("dense", "best_validation_loss"), 0);
}

/* Finding: on cross-entropy alone three MoE models beat dense, and the aux loss is what was added. */
static void test_cross_entropy_alone(void **state) {
    (void)state;
    int below = 0;
    double best = INFINITY;
    for (int i = 0; i < 5; i++) {
        const double ce = smallest_ce(models[i]);
        assert_near(found("ce_only", models[i]), ce, 0);
        assert_near(found("aux", models[i]), cell(models[i], "best_validation_loss") - ce, 1e-12);
        if (i == 0) continue;
        below += ce < smallest_ce("dense");
        best = fmin(best, ce);
        assert_near(found("aux", models[i]), found("aux", "balanced"), 0.001);
    }
    assert_int_equal(below, 3);
    assert_near(found("ce_only", "moe_below_dense"), 3, 0);
    assert_near(found("ce_only", "best_moe"), best, 0);
    assert_near(found("aux", "dense"), 0.0, 0.0005);
}

/* Finding: rate times seconds does not give the tokens of an epoch, by more than rounding can explain. */
static void test_clocks(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        const double rate = cell(models[i], "tokens_per_second"), seconds = cell(models[i], "total_seconds");
        assert_near(found("tokens_per_epoch", models[i]), rate * seconds, 1e-6);
        assert_true((rate + 0.5) * (seconds + 0.005) < 0.95 * setup("tokens_per_epoch"));
        assert_near(found("epoch_seconds", models[i]) * rate, setup("tokens_per_epoch"), 1e-6);
        const double parts = cell(models[i], "forward_seconds") + cell(models[i], "backward_seconds") +
                             cell(models[i], "optimizer_seconds");
        assert_near(parts, seconds, 0.02 + 1e-9);
    }
    assert_true(found("clock", "dense_backward_over_forward") < 1.0);
    assert_true(found("clock", "seen_of_dense") < 0.5);
    assert_true(found("tokens_per_epoch", "smallest_moe") <= found("tokens_per_epoch", "largest_moe"));
}

/* Findings: a batch size, a weight decay, a temperature; top2's rise is not its own. */
static void test_one_factor(void **state) {
    (void)state;
    assert_near(found("batch", "throughput_opt_over_baseline"), 2.0, 0);
    assert_true(found("decay", "dense_less_moe") > 0.0);
    assert_true(found("temperature", "drop") > 0.0);
    assert_true(found("rise", "top2") - found("rise", "baseline") < 0.001);
    assert_true(found("rise", "baseline") > 0.0 && found("rise", "strong_reg") > 0.0);
}

static void test_routing(void **state) {
    (void)state;
    assert_near(found("routing", "maximum"), log(8.0), 1e-12);
    int outside = 0;
    for (int i = 1; i < 5; i++) {
        for (int layer = 2; layer <= 4; layer += 2) {
            char name[128];
            double *shares = NULL, sum = 0.0;
            int32_t n = 0;
            snprintf(name, sizeof name, "usage.%s.layer%d", models[i], layer);
            assert_int_equal(published_array(printed, name, &shares, &n, NULL), MOE_OK);
            assert_int_equal(n, 8);
            for (int32_t e = 0; e < n; e++) {
                outside += shares[e] < 10.6 || shares[e] > 14.7;
                sum += shares[e];
            }
            assert_near(sum, 100.0, 8 * 0.05 + 1e-9);
            free(shares);
        }
    }
    assert_near(found("routing", "shares_outside"), outside, 1e-9);
    assert_true(found("routing", "smallest_entropy_share") > 0.98);
}

/* Every entry can be computed, and has words. */
static void test_all_entries(void **state) {
    (void)state;
    const struct audit_entry *entry;
    int32_t count = 0;
    for (; (entry = audit_at(audit, count)) != NULL; count++) {
        double value = NAN;
        moe_err err = {0};
        if (audit_number(audit, entry->name, &value, &err) != MOE_OK) fail_msg("%s", err.message);
        assert_true(isfinite(value));
        assert_true(strlen(entry->says) > 5);
    }
    assert_true(count > 30);
}

/* ---------------------------------------------------------------- damaged files */

static void expect_failure(const char *toml, moe_status expected, const char *part) {
    struct audit *damaged = NULL;
    moe_err err = {0};
    double value;
    char path[128];
    snprintf(path, sizeof path, "%s/audit/A.toml", folder);
    assert_int_equal(file_make_parents(path, &err), MOE_OK);
    assert_int_equal(file_write_atomic(path, toml, strlen(toml), &err), MOE_OK);
    moe_status status = audit_open(folder, "A", printed, &damaged, &err);
    if (status == MOE_OK) status = audit_number(damaged, "a.b", &value, &err);
    audit_close(damaged);
    assert_int_equal(status, expected);
    if (strstr(err.message, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, part);
}

static void test_damaged(void **state) {
    (void)state;
    expect_failure("[a.b]\nvalue = \"1 +\"\nunit = \"\"\nsays = \"x\"\n", MOE_ECONFIG, "A.toml:1: a.b");
    expect_failure("[a.b]\nvalue = \"1\"\nunit = \"\"\n", MOE_ECONFIG, "expected three strings");
    expect_failure("a = 1\n", MOE_ECONFIG, "A.toml:1: a");
    expect_failure("[a.b]\nvalue = \"audit.a.b\"\nunit = \"\"\nsays = \"x\"\n", MOE_ECONFIG, "or of itself");
    expect_failure("[a.b]\nvalue = \"audit.a.c\"\nunit = \"\"\nsays = \"x\"\n", MOE_ENOTFOUND,
                   "did you mean a.b?");
    expect_failure("[a.b]\nvalue = \"key_numbers.dense.nothing\"\nunit = \"\"\nsays = \"x\"\n", MOE_ENOTFOUND,
                   "no key_numbers.dense.nothing");
    expect_failure("[a.b\n", MOE_ECONFIG, "A.toml:1");
}

static int open_all(void **state) {
    moe_err err = {0};
    (void)state;
    if (mkdtemp(folder) == NULL) return -1;
    moe_status status = published_open(MOE_SOURCE_DIR "/paper/published", "A", &printed, &err);
    if (status == MOE_OK) status = audit_open(MOE_SOURCE_DIR "/paper", "A", printed, &audit, &err);
    if (status != MOE_OK) fprintf(stderr, "%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    audit_close(audit);
    published_close(printed);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocabulary),  cmocka_unit_test(test_above_guessing),
        cmocka_unit_test(test_clocks),      cmocka_unit_test(test_cross_entropy_alone),
        cmocka_unit_test(test_one_factor),  cmocka_unit_test(test_routing),
        cmocka_unit_test(test_all_entries), cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
