/* test: rooms=analysis,record,core label=fast */
/* Claims over synthetic runs whose truth is known (fixture_runs.h): three seeds of five experiments, both
 * protocols. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "analysis/claims_text.h"
#include "analysis/load_change.h"
#include "fixture_paper.h"
#include "fixture_runs.h"

static char root[] = "/tmp/moe-judge-XXXXXX";

#define CLAIM(id)      "[[claim]]\nid = \"" id "\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"measured\"\n"
#define TEST(quantity) "[claim.runs]\nquantity = [\"" quantity "\"]\nsays = \"q\"\n"

/* In the runs the cross-entropy of baseline is 0.003 below dense's and that of top2 0.006 above, give or take
 * 0.002; as published the loss of both holds 0.0201 more. Parameters, batches and step times are exact. */
/* clang-format off */
static const char ledger[] =
    "source = \"A\"\nsuite = \"moe-vs-dense\"\ndocument = \"D\"\n"
    CLAIM("A-01-loss") TEST("best_loss@baseline - best_loss@dense") "above = \"0\"\n"
    CLAIM("A-02-ce") TEST("best_ce@top2 - best_ce@dense") "above = \"0\"\nbelow = \"margin.loss\"\n"
    CLAIM("A-03-ce-equal") TEST("best_ce@top2 - best_ce@dense") "near = \"0\"\nwithin = \"0.05\"\n"
    CLAIM("A-04-wrong") TEST("best_ce@throughput_opt - best_ce@dense") "below = \"0\"\n"
    CLAIM("A-05-parameters") TEST("parameters@{}")
        "every = [\"dense\", \"baseline\"]\nnear = \"9924608\"\nwithin = \"0\"\nexact = true\n"
    CLAIM("A-06-batch") TEST("config.train.batch_size@throughput_opt / config.train.batch_size@baseline")
        "near = \"2\"\nwithin = \"0\"\nexact = true\n"
    CLAIM("A-07-follow-up") TEST("best_ce@\\\"top2_lb@moe.lb_coeff=0.1\\\" - best_ce@top2") "below = \"0\"\n"
    CLAIM("A-08-tier") "tiers = [\"gpu\"]\n" TEST("best_ce@dense") "below = \"0\"\n"
    CLAIM("A-09-reason") "untested = \"nobody can\"\n"
    CLAIM("A-10-printed")
        "[claim.printed]\nquantity = [\"audit.tokens.dense\"]\nsays = \"q\"\nnear = \"rate.tokens\"\n"
        "within = \"0.05\"\nrelative = true\n"
    CLAIM("A-11-series") TEST("slope(eval_ce[]@{})") "every = [\"dense\", \"top2\"]\nabove = \"0\"\n"
    CLAIM("A-12-shares") TEST("sum(shares.2@top2)") "near = \"1\"\nwithin = \"1e-9\"\n"
    CLAIM("A-13-undefined") TEST("slope(from(eval_ce[]@dense, 99))") "above = \"0\"\n"
    CLAIM("A-14-rows") TEST("rows.routing.load@baseline") "above = \"0\"\nexact = true\n"
    CLAIM("A-15-floor") "protocols = [\"as-published\"]\n" TEST("entropy_floor@dense")
        "near = \"ln(10000)\"\nwithin = \"1e-9\"\nexact = true\n"
    CLAIM("A-16-other-protocol") "protocols = [\"corrected\"]\n"
        TEST("best_ce@dense - best_ce@\\\"dense:as-published\\\"") "near = \"6.2 - 9.366\"\nwithin = \"0.01\"\n"
    CLAIM("A-17-words") TEST("config_is.data.source.text@dense")
        "near = \"1\"\nwithin = \"0\"\nexact = true\n"
    CLAIM("A-18-layers")
        TEST("mean(gini.shallow[]@top2) - mean(gini.2[]@top2)\", \"mean(gini.deep[]@top2) - mean(gini.4[]@top2)")
        "near = \"0\"\nwithin = \"1e-12\"\n"
    CLAIM("A-19-least-and-most")
        TEST("max(abs(gini.least[]@top2 + gini.most[]@top2 - gini.2[]@top2 - gini.4[]@top2))\","
             "\"max(gini.least[]@top2 - gini.most[]@top2)")
        "below = \"1e-12\"\nexact = true\n"
    CLAIM("A-20-load-change") TEST("count(load_change[]@top2) - rows.routing.load@top2")
        "near = \"-1\"\nwithin = \"0\"\nexact = true\n"
    CLAIM("A-21-founded") "presumes = [\"A-03\", \"A-05-parameters:as-published\", \"A-06\"]\n"
        TEST("best_ce@top2 - best_ce@dense") "above = \"0\"\n"
    CLAIM("A-22-unfounded") "presumes = [\"A-03\", \"A-01:corrected\"]\n"
        TEST("best_ce@top2 - best_ce@dense") "above = \"0\"\n"
    CLAIM("A-23-untested-ground") "presumes = [\"A-07\"]\n"
        TEST("best_ce@top2 - best_ce@dense") "below = \"0\"\n"
    CLAIM("A-24-chain") "presumes = [\"A-22\"]\n" TEST("best_ce@top2 - best_ce@dense") "above = \"0\"\n"
    CLAIM("A-26-well-founded") "presumes = [\"A-03\", \"A-01:as-published\"]\n"
        TEST("best_ce@top2 - best_ce@dense") "above = \"0\"\n"
    CLAIM("A-25-still-untested") "presumes = [\"A-04\"]\n"
        TEST("best_ce@\\\"top2_lb@moe.lb_coeff=0.1\\\" - best_ce@top2") "below = \"0\"\n";
/* clang-format on */

static struct report *report;
static struct claim_results *results;

static const struct claim_result *result(const char *id, const char *setting) {
    const struct claim *claim = NULL;
    assert_int_equal(ledger_find(results->ledger, id, &claim, NULL), MOE_OK);
    const struct claim_result *r = claims_result(results, claim, setting);
    assert_non_null(r);
    return r;
}

static void expect(const char *id, const char *setting, enum verdict verdict) {
    const struct claim_result *r = result(id, setting);
    if (r->verdict != verdict)
        fail_msg("%s %s: %s, expected %s: %s", id, setting, verdict_word(r->verdict), verdict_word(verdict),
                 r->reason);
}

static void test_verdicts(void **state) {
    (void)state;
    expect("A-01", "as-published", VERDICT_REPRODUCED); /* 0.0201 is added */
    expect("A-01", "corrected", VERDICT_CONTRADICTED);  /* and is not */
    expect("A-02", "corrected", VERDICT_REPRODUCED);
    expect("A-03", "corrected", VERDICT_REPRODUCED);
    expect("A-04", "corrected", VERDICT_CONTRADICTED);
    expect("A-05", "corrected", VERDICT_CONTRADICTED); /* baseline has more */
    assert_int_equal(result("A-05", "corrected")->parts_that_hold, 1);
    expect("A-06", "as-published", VERDICT_REPRODUCED);
    expect("A-10", "printed", VERDICT_IMPOSSIBLE);
    expect("A-12", "corrected", VERDICT_REPRODUCED);
    expect("A-14", "corrected", VERDICT_REPRODUCED);
    expect("A-15", "as-published", VERDICT_REPRODUCED);
    expect("A-16", "corrected", VERDICT_REPRODUCED);
    expect("A-17", "corrected", VERDICT_REPRODUCED);
    expect("A-17", "as-published", VERDICT_CONTRADICTED); /* there it is uniform */
    expect("A-18", "corrected", VERDICT_REPRODUCED);
    expect("A-19", "corrected", VERDICT_REPRODUCED);
    expect("A-20", "corrected", VERDICT_REPRODUCED);
}

static void test_not_tested(void **state) {
    (void)state;
    expect("A-07", "corrected", VERDICT_NOT_TESTED);
    assert_non_null(strstr(result("A-07", "corrected")->reason, "top2_lb@moe.lb_coeff=0.1"));
    expect("A-08", "corrected", VERDICT_NOT_TESTED);
    assert_non_null(strstr(result("A-08", "corrected")->reason, "desk tier"));
    expect("A-09", "corrected", VERDICT_NOT_TESTED);
    assert_string_equal(result("A-09", "corrected")->reason, "Nobody can.");
    assert_string_equal(result("A-09", "corrected")->effect, "");
    expect("A-13", "corrected", VERDICT_INCONCLUSIVE);
    assert_null(claims_result(results, &results->ledger->claims[9], "as-published"));
}

/* A claim that presumes another says nothing where that one does not hold. */
static void test_presumptions(void **state) {
    (void)state;
    expect("A-21", "corrected", VERDICT_INCONCLUSIVE); /* A-05 is contradicted */
    assert_non_null(strstr(result("A-21", "corrected")->reason,
                           "presumes A-05-parameters, which is contradicted (as-published)"));
    expect("A-22", "as-published", VERDICT_INCONCLUSIVE);
    const struct claim_result *r = result("A-22", "corrected");
    assert_int_equal(r->verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(r->reason, "all of it is. This decides nothing, because it presumes A-01-loss"));
    assert_true(r->part.verdict == VERDICT_REPRODUCED && r->effect[0] != '\0'); /* what was measured stays */
    expect("A-23", "corrected", VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(result("A-23", "corrected")->reason, "which is not tested (corrected)"));
    expect("A-24", "corrected", VERDICT_INCONCLUSIVE);
    expect("A-25", "corrected", VERDICT_NOT_TESTED);
    expect("A-26", "corrected", VERDICT_REPRODUCED);
}

/* The sentence holds the numbers of the test. */
static void test_reason(void **state) {
    (void)state;
    const struct claim_result *r = result("A-01", "as-published");
    char expected[128];
    snprintf(expected, sizeof expected, "%.4f", r->part.estimate.value);
    assert_non_null(strstr(r->reason, expected));
    assert_non_null(strstr(r->reason, "3 seeds"));
    assert_non_null(strstr(r->reason, "the claim needs more than 0"));
    assert_true(r->part.estimate.value > 0.01 && r->part.estimate.value < 0.03);
    assert_int_equal(r->seeds, 3);
    assert_non_null(strstr(result("A-05", "corrected")->reason, "exactly 9,924,608"));
}

static void test_listings(void **state) {
    (void)state;
    struct text text = {0};
    moe_err err = {0};
    assert_int_equal(claims_print(results, NULL, &text, &err), MOE_OK);
    assert_non_null(strstr(text.data, "26 claims; 30 runs, tier desk"));
    assert_non_null(strstr(text.data, "impossible as printed"));
    text_free(&text);
    text = (struct text){0};
    assert_int_equal(claims_print_json(results, "corrected", &text, &err), MOE_OK);
    json_t *root_object = json_loads(text.data, 0, NULL);
    assert_non_null(root_object);
    const json_t *claims = json_object_get(root_object, "claims");
    assert_int_equal(json_array_size(claims), 25); /* A-15 has no corrected result */
    assert_int_equal(json_array_size(json_object_get(json_array_get(claims, 19), "presumes")), 3); /* */
    const json_t *one = json_array_get(json_object_get(json_array_get(claims, 0), "results"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "verdict")), "contradicted");
    assert_true(fabs(json_real_value(json_object_get(one, "effect")) -
                     result("A-01", "corrected")->part.estimate.value) < 1e-9);
    json_decref(root_object);
    text_free(&text);
}

/* Within an epoch of these runs loads do not change; between two they do, by what the fixture says. */
static void test_load_change(void **state) {
    (void)state;
    const struct run_group group = run_list_group(report->runs, "moe-vs-dense", "top2", "corrected");
    const struct fixture_run run = {root, "desk", 2, "corrected", group.files[0].info.seed, 0};
    struct series change;
    moe_err err = {0};
    double share[2][FIXTURE_EXPERTS] = {{0}}, expected = 0.0;
    for (int32_t e = 0; e < 2; e++) {
        for (int32_t layer = 0; layer < 2; layer++) {
            double sum = 0.0;
            for (int32_t i = 0; i < FIXTURE_EXPERTS; i++)
                sum += fixture_load(&run, e, layer, i);
            for (int32_t i = 0; i < FIXTURE_EXPERTS; i++)
                share[e][i] += fixture_load(&run, e, layer, i) / sum / 2.0;
        }
    }
    for (int32_t i = 0; i < FIXTURE_EXPERTS; i++)
        expected += fabs(share[1][i] - share[0][i]) / 2.0;
    assert_int_equal(load_change_of_run(report->runs, &group.files[0], &change, &err), MOE_OK);
    assert_int_equal(change.n, fixture_epochs(&run) * FIXTURE_STEPS_PER_EPOCH - 1);
    assert_true(change.y[0] == 0.0 && change.x[0] == 2.0);
    assert_true(expected > 0.0 && fabs(change.y[FIXTURE_STEPS_PER_EPOCH - 1] - expected) < 1e-12);
    series_free(&change);
}

/* Mistakes that only runs can show are errors that name file and line, not verdicts. */
static void refuse(const char *quantity, const char *part) {
    char text[1024];
    struct claim_results *none = NULL;
    moe_err err = {0};
    snprintf(text, sizeof text,
             "source = \"A\"\nsuite = \"moe-vs-dense\"\ndocument = \"D\"\n%s[claim.runs]\nquantity = "
             "[\"%s\"]\nsays = \"q\"\nabove = \"0\"\n",
             CLAIM("A-01-x"), quantity);
    assert_int_equal(fixture_file(root, "claims/A.toml", text), 0);
    assert_int_not_equal(claims_judge(report, "A", &none, &err), MOE_OK);
    assert_null(none);
    if (strstr(err.message, part) == NULL || strstr(err.message, "claims/A.toml:5: claim A-01-x") == NULL)
        fail_msg("\"%s\" lacks \"%s\" or the place", err.message, part);
}

static void test_mistakes(void **state) {
    (void)state;
    refuse("best_los@dense", "did you mean \"best_loss\"?");
    refuse("1 + 2", "names no run");
    refuse("usage_entropy.2@dense", "does not route");
    refuse("usage_entropy.3@top2", "does not route");
    refuse("config.train.nothing@dense", "no number train.nothing");
    refuse("eval_ce[]@dense", "gives");
    refuse("max(gini.deep[]@dense)", "no router");
    refuse("max(eval_ce.deep[]@top2)", "no series");
    refuse("max(load_change[]@dense)", "no router");
    refuse("config_is.data.source@dense", "expected config_is.SECTION.KEY.WORD");
    refuse("rows.routing.nothing@top2", "routing/nothing");
    refuse("max(shares.2@dense)", "does not route");
    refuse("max(shares@top2)", "no measure");
    refuse("max(shares.2.3@top2)", "no evaluation after step 3");
    refuse("max(mass.x@top2)", "expected whole numbers behind mass");
    refuse("max(train_shares.2@top2)", "expected whole numbers behind train_shares");
    refuse("max(train_mass.2.50.20@top2)", "two percentages");
    refuse("log.loss@top2", "no domain \"training batches\"");
    refuse("log.los@top2", "expected log.loss");
    refuse("best_ce@dense + margin.none", "no margin none");
    refuse("best_ce@dense + audit.tokens.none", "no tokens.none");
    refuse("best_ce@dense + nowhere", "no nowhere");
}

static int set_up(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL || fixture_paper(root) != 0 || fixture_file(root, "claims/A.toml", ledger) != 0)
        return -1;
    moe_status status = fixture_write_suite(root, "desk", 3, &err);
    const char *const roots[] = {root};
    const struct run_selection selection = {roots, 1, NULL};
    if (status == MOE_OK) status = report_open(&selection, root, &report, &err);
    if (status == MOE_OK) status = claims_judge(report, "A", &results, &err);
    if (status != MOE_OK) print_error("%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    claims_free(results);
    report_close(report);
    return fixture_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),     cmocka_unit_test(test_not_tested),
        cmocka_unit_test(test_reason),       cmocka_unit_test(test_listings),
        cmocka_unit_test(test_mistakes),     cmocka_unit_test(test_load_change),
        cmocka_unit_test(test_presumptions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
