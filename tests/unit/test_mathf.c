/* test: rooms=device label=fast */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/mathf.h"

typedef float float_fn(float x);
typedef double double_fn(double x);

static double logistic(double x) {
    return 1.0 / (1.0 + exp(-x));
}

static double softplus(double x) {
    return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Functions of an array, as the layers call them. */
#define array_function(name)                                                                                 \
    static void name##_array(float *restrict y, const float *restrict x, int n) {                            \
        _Pragma("omp simd") for (int i = 0; i < n; i++) y[i] = mathf_##name(x[i]);                           \
    }                                                                                                        \
    static float name##_one(float x) {                                                                       \
        return mathf_##name(x);                                                                              \
    }                                                                                                        \
    _Static_assert(sizeof(float) == 4, #name)
array_function(exp);
array_function(log);
array_function(tanh);
array_function(erf);
array_function(sigmoid);
array_function(softplus);

static const struct function {
    const char *name;
    float_fn *one;
    void (*array)(float *restrict y, const float *restrict x, int n);
    double_fn *exact;
    float low, high; /* where the bound holds */
    double ulps;     /* as stated in mathf.h */
} functions[] = {
    {"exp", exp_one, exp_array, exp, -103.9f, 88.72f, 1.1},
    {"log", log_one, log_array, log, FLT_MIN, FLT_MAX, 1.0},
    {"tanh", tanh_one, tanh_array, tanh, -FLT_MAX, FLT_MAX, 2.7},
    {"erf", erf_one, erf_array, erf, -FLT_MAX, FLT_MAX, 1.2},
    {"sigmoid", sigmoid_one, sigmoid_array, logistic, -103.9f, FLT_MAX, 2.5},
    {"softplus", softplus_one, softplus_array, softplus, -103.9f, FLT_MAX, 2.7},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* Error in units of the last place of a float of the exact value's size; subnormals have the least normal's.
 */
static double error_in_ulps(float got, double exact) {
    int exponent;
    const double size = fabs(exact) < (double)FLT_MIN ? (double)FLT_MIN : fabs(exact);
    frexp(size, &exponent);
    return fabs((double)got - exact) / ldexp(1.0, exponent - 24);
}

static void errors_stay_within_the_stated_bounds(void **state) {
    (void)state;
    for (int f = 0; f < FUNCTIONS; f++) {
        double worst = 0.0, sum = 0.0;
        float at = 0.0f;
        int64_t tried = 0;
        /* every exponent and sign, the mantissas a prime step apart */
        for (uint64_t bits = 0; bits < 0x100000000u; bits += 1021) {
            const float x = mathf_from_bits((uint32_t)bits);
            if (!(x >= functions[f].low && x <= functions[f].high)) continue;
            const double error = error_in_ulps(functions[f].one(x), functions[f].exact((double)x));
            sum += error;
            tried++;
            if (error > worst) worst = error, at = x;
        }
        print_message("%-8s largest error %.3f ulp at %.9g, mean %.3f, over %lld values\n", functions[f].name,
                      worst, (double)at, sum / (double)tried, (long long)tried);
        assert_true(tried > 1000000);
        assert_true(worst <= functions[f].ulps);
    }
}

static void limits_are_those_of_the_functions(void **state) {
    (void)state;
    assert_true(mathf_exp(0.0f) == 1.0f && mathf_exp(-0.0f) == 1.0f);
    assert_true(mathf_exp(INFINITY) == INFINITY && mathf_exp(FLT_MAX) == INFINITY);
    assert_true(mathf_exp(-INFINITY) == 0.0f && mathf_exp(-FLT_MAX) == 0.0f);
    assert_true(mathf_exp(88.72283f) < INFINITY && mathf_exp(88.73f) == INFINITY);
    assert_true(mathf_exp(-103.9f) > 0.0f && mathf_exp(-103.98f) == 0.0f);
    assert_true(mathf_log(1.0f) == 0.0f);
    assert_true(mathf_tanh(INFINITY) == 1.0f && mathf_tanh(-INFINITY) == -1.0f);
    assert_true(mathf_erf(INFINITY) == 1.0f && mathf_erf(-INFINITY) == -1.0f);
    assert_true(mathf_sigmoid(INFINITY) == 1.0f && mathf_sigmoid(-INFINITY) == 0.0f);
    assert_true(mathf_sigmoid(0.0f) == 0.5f);
    assert_int_equal(mathf_bits(mathf_tanh(-0.0f)), 0x80000000u);
    assert_int_equal(mathf_bits(mathf_erf(-0.0f)), 0x80000000u);
    for (int f = 0; f < FUNCTIONS; f++) {
        if (functions[f].exact != log) assert_true(isnan(functions[f].one(NAN)));
    }
}

static void odd_functions_are_odd_and_bounded(void **state) {
    (void)state;
    for (float x = 0x1p-40f; x < 200.0f; x *= 1.0009f) {
        assert_true(mathf_tanh(-x) == -mathf_tanh(x) && mathf_tanh(x) <= 1.0f);
        assert_true(mathf_erf(-x) == -mathf_erf(x) && mathf_erf(x) <= 1.0f);
        assert_true(mathf_sigmoid(x) <= 1.0f && mathf_sigmoid(-x) >= 0.0f);
    }
}

static void arrays_and_single_calls_give_the_same_bits(void **state) {
    (void)state;
    enum { N = 1003 };
    static float x[N], y[N];
    for (int f = 0; f < FUNCTIONS; f++) {
        for (int i = 0; i < N; i++) {
            x[i] = functions[f].exact == log ? (float)(i + 1) * 0.37f : ((float)i - 500.0f) * 0.21f;
        }
        functions[f].array(y, x, N);
        for (int i = 0; i < N; i++) {
            volatile float input = x[i];
            assert_int_equal(mathf_bits(functions[f].one(input)), mathf_bits(y[i]));
        }
    }
}

/* Known results, so that a change of coefficients or of the compiler cannot pass unseen. */
static void results_are_pinned_to_the_bit(void **state) {
    (void)state;
    uint32_t hash = 2166136261u;
    for (int f = 0; f < FUNCTIONS; f++) {
        for (int i = 1; i <= 4096; i++) {
            const float x =
                functions[f].exact == log ? (float)i * 0.0625f : ((float)i - 2048.0f) * 0.01171875f;
            hash = (hash ^ mathf_bits(functions[f].one(x))) * 16777619u;
        }
    }
    assert_int_equal(hash, 0x0396d29cu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_stay_within_the_stated_bounds),
        cmocka_unit_test(limits_are_those_of_the_functions),
        cmocka_unit_test(odd_functions_are_odd_and_bounded),
        cmocka_unit_test(arrays_and_single_calls_give_the_same_bits),
        cmocka_unit_test(results_are_pinned_to_the_bit),
    };
    return cmocka_run_group_tests_name("mathf", tests, NULL, NULL);
}
