#include "record/routing_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Natural logarithm of x > 0 by + - * / alone, so that every machine records the same bits, which libm does
 * not promise: x = m 2^e with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1), ln m = 2 (s + s^3/3 + s^5/5 +
 * ...). |s| < 0.172, so the terms left out are below 1e-18. */
static double portable_log(double x) {
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return exponent * 0.69314718055994530942 + 2 * s * sum;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted first, so that the sums, and with them every bit of the result, do not depend on the order of
 * experts. */
static struct routing_stats of_sorted(const double *x, int32_t n) {
    struct routing_stats stats = {0};
    double total = 0, ranked = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) {
        total += x[i];
        ranked += (2.0 * (i + 1) - n - 1) * x[i];
    }
    if (!(total > 0)) return stats;
    const double mean = total / n;
    for (int32_t i = 0; i < n; i++) {
        const double p = x[i] / total, d = x[i] - mean;
        if (p > 0) stats.entropy -= p * portable_log(p);
        squares += d * d;
    }
    stats.gini = ranked / (n * total);
    stats.cv2 = squares / n / (mean * mean);
    stats.max_over_mean = x[n - 1] / mean;
    return stats;
}

struct routing_stats routing_stats_of_shares(const double *x, int32_t n) {
    double sorted[ROUTING_STATS_MAX_EXPERTS];
    if (n < 1 || n > ROUTING_STATS_MAX_EXPERTS) return (struct routing_stats){0};
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return of_sorted(sorted, n);
}

struct routing_stats routing_stats_of_load(const int32_t *load, int32_t n) {
    double x[ROUTING_STATS_MAX_EXPERTS];
    if (n < 1 || n > ROUTING_STATS_MAX_EXPERTS) return (struct routing_stats){0};
    for (int32_t i = 0; i < n; i++)
        x[i] = load[i];
    qsort(x, (size_t)n, sizeof *x, ascending);
    return of_sorted(x, n);
}

double routing_cv2_unbiased(const double *x, int32_t n) {
    return n < 2 ? 0 : routing_stats_of_shares(x, n).cv2 * n / (n - 1);
}

double routing_gini_unbiased(const double *x, int32_t n) {
    return n < 2 ? 0 : routing_stats_of_shares(x, n).gini * n / (n - 1);
}
