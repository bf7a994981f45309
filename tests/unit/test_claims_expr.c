/* test: rooms=analysis,record,core label=fast */
/* The arithmetic of ledger, audit and chapters; and that a mistake is named with its place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/claims_expr.h"

#define assert_near(a, b, tolerance)                                                                         \
    assert_true(fabs((a) - (b)) <= (tolerance)) /* cmocka compares floats                                    \
                                                 */

/* Names: "v" is 3 1 4 1 5, "x@run" is 7, 'x@a b=1' (quoted) is 8, anything else is not found. */
static moe_status resolve(void *context, const char *name, double **out, int32_t *count, moe_err *err) {
    static const double v[] = {3, 1, 4, 1, 5};
    (void)context;
    *out = calloc(5, sizeof **out);
    *count = 1;
    if (strcmp(name, "v") == 0) {
        memcpy(*out, v, sizeof v);
        *count = 5;
    } else if (strcmp(name, "x@run") == 0) {
        **out = 7;
    } else if (strcmp(name, "x.2[]@a b=1") == 0) {
        **out = 8;
    } else {
        free(*out);
        *out = NULL;
        return moe_fail(err, MOE_ENOTFOUND, "no %s", name);
    }
    return MOE_OK;
}

static const struct expr_scope scope = {NULL, resolve};

static double value(const char *text) {
    double result = NAN;
    moe_err err = {0};
    if (expr_number(text, "f:1", &scope, &result, &err) != MOE_OK) fail_msg("%s: %s", text, err.message);
    return result;
}

static void refuse(const char *text, const char *part) {
    double result = 0.0;
    moe_err err = {0};
    const moe_status status = expr_number(text, "file.toml:7: claim X", &scope, &result, &err);
    assert_int_not_equal(status, MOE_OK);
    if (strstr(err.message, part) == NULL) fail_msg("%s: \"%s\" lacks \"%s\"", text, err.message, part);
    if (strncmp(err.message, "file.toml:7: claim X", 20) != 0) fail_msg("no place: %s", err.message);
}

static void test_arithmetic(void **state) {
    (void)state;
    assert_near(value("1 + 2 * 3 - 4 / 8"), 6.5, 0);
    assert_near(value("(1 + 2) * -3"), -9.0, 0);
    assert_near(value("8 - 2 - 1"), 5.0, 0); /* from the left */
    assert_near(value("8 / 2 / 2"), 2.0, 0);
    assert_near(value("2 - -3"), 5.0, 0);
    assert_near(value("1e-3 * 1e3"), 1.0, 1e-15);
    assert_near(value("ln(exp(2)) + sqrt(9) + abs(-1)"), 6.0, 1e-15);
    assert_near(value("1 + 1 > 1"), 1.0, 0); /* comparison binds least */
    assert_near(value("2 <= 1"), 0.0, 0);
    assert_near(value("2 >= 2"), 1.0, 0);
    assert_true(isinf(value("1 / 0")));
}

static void test_names(void **state) {
    (void)state;
    assert_near(value("x@run * 2"), 14.0, 0);
    assert_near(value("x.2[]@\"a b=1\" - 1"), 7.0, 0);
}

static void test_vectors(void **state) {
    (void)state;
    assert_near(value("min(v) + 10 * max(v)"), 51.0, 0);
    assert_near(value("max(v, 9)"), 9.0, 0);
    assert_near(value("sum(2 * v + v)"), 42.0, 0);
    assert_near(value("mean(v)"), 2.8, 1e-15);
    assert_near(value("count(v)"), 5.0, 0);
    assert_near(value("first(v) * last(v)"), 15.0, 0);
    assert_near(value("argmin(v)"), 2.0, 0);
    assert_near(value("sum(from(v, 4))"), 6.0, 0);
    assert_near(value("count(from(v, 6))"), 0.0, 0);
    assert_near(value("max(steps(v))"), 4.0, 0);
    assert_near(value("slope(from(v, 4))"), 4.0, 1e-12);
    assert_near(value("slope(2 * from(v, 4) + 1)"), 8.0, 1e-12);
    assert_near(value("slope(1, 3, 5)"), 2.0, 1e-12);
    assert_near(value("valley(4, 1, 0, 1, 4)"), 3.0, 1e-12);
    assert_near(value("valley(3, 1, 2)"), 13.0 / 6.0, 1e-12);
    assert_near(value("valley(3, 2, 1)"), 3.0, 0); /* no minimum inside: the better end */
    assert_true(isnan(value("valley(1, 2)")));
    assert_near(value("sum(part(v, 0, 0.4))"), 4.0, 0);
    assert_near(value("sum(part(v, 0.4, 1))"), 10.0, 0);
    assert_near(value("count(part(v, 0.8, 0.2))"), 0.0, 0);
    assert_near(value("count(part(v, -1, 2))"), 5.0, 0);
    assert_near(value("reach(v, 1)"), 0.2, 1e-15);
    assert_near(value("reach(v, 3)"), 0.0, 0);
    assert_near(value("reach(v, 0)"), 1.0, 0);
    assert_true(isnan(value("reach(from(v, 9), 1)")));
    assert_near(value("inside(v, 1, 3)"), 0.6, 1e-15);
    assert_near(value("sum(v > 2)"), 3.0, 0);
    assert_near(value("entropy(v / v)"), log(5.0), 1e-12);
    assert_near(value("entropy(v - v + 0) > 0"), 0.0, 0); /* NaN is not above anything */
    assert_near(value("sd(1, 2, 3)"), 1.0, 1e-15);
    assert_near(value("round(2.5) + ceil(1.2) + ceil(-1.2)"), 4.0, 0);
    assert_near(value("sum(round(v / 2))"), 9.0, 0);
    assert_near(value("first(sort(v)) * 10 + last(sort(v))"), 51.0, 0);
    assert_near(value("sum(part(sort(v), 0, 0.4))"), 9.0, 0);
    assert_near(value("first(rank(v))"), 3.0, 0);
    assert_near(value("last(from(rank(v), 4))"), 5.0, 0);
    assert_near(value("first(from(rank(v), 2)) + first(from(rank(v), 4))"), 3.0, 0); /* a tie: 1.5 each */
    assert_near(value("corr(rank(v), rank(exp(v)))"), 1.0, 1e-15);
    assert_near(value("corr(rank(v), rank(-v))"), -1.0, 1e-15);
    assert_near(value("cv2(v)"), 2.56 / (2.8 * 2.8), 1e-15); /* population variance */
    assert_near(value("gini(v)"), (-4 * 1 - 2 * 1 + 2 * 4 + 4 * 5) / (5 * 14.0), 1e-15);
    assert_near(value("cv2(v / v) + gini(v / v)"), 0.0, 1e-15);
    assert_true(isnan(value("gini(v - v)")));
    assert_near(value("chance_gini(1, 1, 2)"), 0.5, 1e-12); /* one image, one of two experts */
    assert_true(isnan(value("chance_gini(1, 3, 2)")));
    assert_near(value("corr(1, 2, 3, 5, 7, 9)"), 1.0, 1e-15);
    assert_near(value("corr(1, 2, 3, 9, 7, 5)"), -1.0, 1e-15);
    assert_true(isnan(value("corr(1, 1, 3, 5)")));
    assert_true(isnan(value("slope(from(v, 5))")));
    assert_true(isnan(value("mean(from(v, 9))")));
}

static void test_mistakes(void **state) {
    (void)state;
    refuse("", "ends early");
    refuse("1 +", "ends early");
    refuse("1 2", "expected an operator");
    refuse("(1", "expected ')'");
    refuse("f(1)", "no function f()");
    refuse("v", "gives 5 numbers");
    refuse("v + from(v, 3)", "vectors of 5 and 3");
    refuse("unknown.name + 1", "no unknown.name");
    refuse("x@", "expected an experiment");
    refuse("x@\"run", "expected '\"'");
    refuse("from(v)", "takes a vector and a number");
    refuse("from(v, v)", "takes a vector and a number");
    refuse("count(v, v)", "takes one argument");
    refuse("chance_gini(v, 1, 2)", "takes three numbers");
    refuse("rank(v, 2)", "rank() takes one argument");
    refuse("cv2(1, 2)", "cv2() takes one argument");
    refuse("part(v, 1)", "takes a vector and two shares");
    refuse("reach(v, v)", "takes a vector and a number");
    refuse("1 $ 2", "at \"$ 2\"");
    char deep[400] = {0};
    memset(deep, '(', 300);
    refuse(deep, "nested too deeply");
    char longest[400];
    memset(longest, 'a', sizeof longest);
    longest[399] = '\0';
    refuse(longest, "too long");
}

static moe_status visit(void *context, const char *name, moe_err *err) {
    char *all = context;
    (void)err;
    strcat(all, name);
    strcat(all, ";");
    return MOE_OK;
}

static void test_scan(void **state) {
    (void)state;
    char names[200] = "";
    moe_err err = {0};
    assert_int_equal(expr_scan("slope(from(a@b, 4)) / c + d@\"e=1\"", "f:1", visit, names, &err), MOE_OK);
    assert_string_equal(names, "a@b;c;d@e=1;");
    assert_int_equal(expr_scan("a@b +", "f:1", visit, names, &err), MOE_ECONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_names), cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
