/* normal.h - normal random numbers from a counter-based key, with bits of our own.
 *
 * libm's log and cos differ between releases; these are the same on every machine that has IEEE arithmetic.
 */
#ifndef CORE_NORMAL_H
#define CORE_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/rng.h"

/* cos(2 pi turn) for turn in [0, 1), by Taylor series around the nearest quarter turn: error below 2e-9, far
 * below what a float can tell. */
static inline double normal_cosine_of_turn(double turn) {
    const int quarter = (int)(turn * 4.0 + 0.5);
    const double x = 6.283185307179586 * (turn - quarter * 0.25);
    const double x2 = x * x;
    const double c =
        1.0 + x2 * (-1.0 / 2 + x2 * (1.0 / 24 + x2 * (-1.0 / 720 + x2 * (1.0 / 40320 - x2 / 3628800))));
    const double s = x * (1.0 + x2 * (-1.0 / 6 + x2 * (1.0 / 120 + x2 * (-1.0 / 5040 + x2 / 362880))));
    switch (quarter % 4) {
    case 0:
        return c;
    case 1:
        return -s;
    case 2:
        return -c;
    default:
        return s;
    }
}

/* ln x for positive normal x: x = 2^k m with m in [sqrt(1/2), sqrt 2), ln m = 2 artanh((m - 1) / (m + 1));
 * relative error below 1e-14, also where x is near 1. */
static inline double normal_log(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t shifted = bits - 0x3fe6a09e667f3bcdu; /* sqrt(1/2) */
    const double k = (double)((int64_t)shifted >> 52);
    bits = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double series = 1.0 / 19;
    for (int odd = 17; odd >= 1; odd -= 2)
        series = series * s2 + 1.0 / odd;
    return 2.0 * s * series + k * 0.6931471805599453;
}

/* Standard normal number i of a key (Box and Muller 1958, the cosine branch): with words a and b = 2 (i % 2)
 * and the next of block i / 2, sqrt(-2 ln((a + 1/2) / 2^32)) cos(2 pi b / 2^32). */
static inline double rng_normal(struct rng_key key, uint64_t i) {
    const struct rng_block block = rng_block_at(key, i / 2);
    const uint32_t a = block.v[i % 2 * 2], b = block.v[i % 2 * 2 + 1];
    return sqrt(-2.0 * normal_log(((double)a + 0.5) * 0x1p-32)) * normal_cosine_of_turn((double)b * 0x1p-32);
}

#endif
