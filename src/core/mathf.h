/* mathf.h - float exp, log, tanh, erf, the logistic function and softplus with bits of our own.
 *
 * libm's versions differ between releases; these are the same on every machine that has IEEE arithmetic and a
 * fused multiply-add. They are branch-free, so that a loop over an array becomes vector code (`#pragma omp
 * simd`). Polynomials: minimax fits in 40-digit arithmetic, coefficients rounded to float. NaN in gives NaN
 * out. Errors stated are bounds checked against double-precision libm over the whole range
 * (tests/unit/test_mathf.c).
 */
#ifndef CORE_MATHF_H
#define CORE_MATHF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t mathf_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float mathf_from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Splits x = n ln 2 + r, |r| <= ln 2 / 2: returns r and leaves n. |x| <= 2^15. Adding 1.5 * 2^23 rounds to an
 * integer and leaves it in the low bits. */
static inline float mathf_reduce_ln2(float x, int32_t *n) {
    const float magic = 0x1.8p23f;
    const float t = fmaf(x, 0x1.715476p0f, magic);
    const float k = t - magic;
    *n = (int32_t)(mathf_bits(t) - 0x4b400000u);
    return fmaf(k, 0x1.05c61p-29f, fmaf(k, -0x1.62e43p-1f, x));
}

/* e^r - 1 for |r| <= ln 2 / 2 */
static inline float mathf_expm1_reduced(float r) {
    float q = 0x1.6a2352p-10f;
    q = fmaf(q, r, 0x1.123a6cp-7f);
    q = fmaf(q, r, 0x1.5558f4p-5f);
    q = fmaf(q, r, 0x1.555490p-3f);
    q = fmaf(q, r, 0x1.fffffcp-2f);
    return fmaf(r * r, q, r);
}

/* 2^n, -126 <= n <= 127 */
static inline float mathf_exp2i(int32_t n) {
    return mathf_from_bits(((uint32_t)n + 127u) << 23);
}

/* e^x, at most 1.1 ulp; subnormal results are rounded, inf above 88.73, 0 below -103.98. */
static inline float mathf_exp(float x) {
    int32_t n;
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float r = mathf_reduce_ln2(x, &n);
    const int32_t half = n >> 1; /* two factors: n reaches from -150 to 128 */
    return (1.0f + mathf_expm1_reduced(r)) * mathf_exp2i(half) * mathf_exp2i(n - half);
}

/* ln x for positive normal x, at most 1.0 ulp. Zero, subnormal, negative and infinite x give no meaningful
 * result. */
static inline float mathf_log(float x) {
    const uint32_t shifted =
        mathf_bits(x) - 0x3f3504f3u; /* sqrt(1/2): the mantissa below lies in [sqrt(1/2), sqrt 2) */
    const float k = (float)((int32_t)shifted >> 23);
    const float f = mathf_from_bits((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    float p = -0x1.38b57ap-4f;
    p = fmaf(p, f, 0x1.055b68p-3f);
    p = fmaf(p, f, -0x1.0d8544p-3f);
    p = fmaf(p, f, 0x1.22da1ep-3f);
    p = fmaf(p, f, -0x1.547244p-3f);
    p = fmaf(p, f, 0x1.99a008p-3f);
    p = fmaf(p, f, -0x1.000226p-2f);
    p = fmaf(p, f, 0x1.555554p-2f);
    const float f2 = f * f;
    float y = fmaf(f2 * f, p, k * 0x1.7f7d1cp-20f);
    y = fmaf(f2, -0.5f, y);
    return fmaf(k, 0x1.62e4p-1f, f + y);
}

/* tanh x = expm1(2|x|) / (expm1(2|x|) + 2) with the sign of x, at most 2.7 ulp; +-1 at +-inf. */
static inline float mathf_tanh(float x) {
    int32_t n;
    const uint32_t sign = mathf_bits(x) & 0x80000000u;
    float a = mathf_from_bits(mathf_bits(x) & 0x7fffffffu);
    a = a > 10.0f ? 10.0f : a;
    const float r = mathf_reduce_ln2(2.0f * a, &n);
    const float scale = mathf_exp2i(n);
    const float t = fmaf(scale, mathf_expm1_reduced(r), scale - 1.0f);
    return mathf_from_bits(mathf_bits(t / (t + 2.0f)) | sign);
}

/* erf x: an odd polynomial below 0.9, 1 - e^(-x S(x)) above; at most 1.2 ulp; +-1 at +-inf. */
static inline float mathf_erf(float x) {
    const uint32_t sign = mathf_bits(x) & 0x80000000u;
    float a = mathf_from_bits(mathf_bits(x) & 0x7fffffffu);
    a = a > 4.0f ? 4.0f : a;

    const float a2 = a * a;
    float p = -0x1.3f4f74p-11f;
    p = fmaf(p, a2, 0x1.4876cap-8f);
    p = fmaf(p, a2, -0x1.b6bee2p-6f);
    p = fmaf(p, a2, 0x1.ce1dd2p-4f);
    p = fmaf(p, a2, -0x1.8126fap-2f);
    p = fmaf(p, a2, 0x1.06eba6p-3f);
    const float small = fmaf(p, a, a);

    float s = 0x1.5e11cep-17f;
    s = fmaf(s, a, -0x1.4a267ep-12f);
    s = fmaf(s, a, 0x1.d936b0p-9f);
    s = fmaf(s, a, -0x1.843624p-6f);
    s = fmaf(s, a, 0x1.b2d3d0p-4f);
    s = fmaf(s, a, 0x1.4538aep-1f);
    s = fmaf(s, a, 0x1.20ee5cp0f);
    int32_t n;
    const float r = mathf_reduce_ln2(-a * s, &n);
    const float scale = mathf_exp2i(n);
    const float large = (1.0f - scale) - scale * mathf_expm1_reduced(r);

    return mathf_from_bits(mathf_bits(a < 0.9f ? small : large) | sign);
}

/* 1 / (1 + e^-x), at most 2.5 ulp; keeps its relative accuracy down to subnormal results. */
static inline float mathf_sigmoid(float x) {
    const float e = mathf_exp(-mathf_from_bits(mathf_bits(x) & 0x7fffffffu));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* ln(1 + e^x), at most 2.7 ulp; keeps its relative accuracy down to subnormal results. ln(1 + e) of a rounded
 * sum u is put right by e / (u - 1) (Kahan). */
static inline float mathf_softplus(float x) {
    const float e = mathf_exp(-mathf_from_bits(mathf_bits(x) & 0x7fffffffu));
    const float u = 1.0f + e;
    const float log1p = u == 1.0f ? e : mathf_log(u) * (e / (u - 1.0f));
    return (x > 0.0f ? x : 0.0f) + log1p;
}

#endif
