/* optimum.h - where a measured curve has its minimum: a parabola through the points, and how sure that is.
 *
 * The minimum of y = a + b x + c x^2, least squares, is at -b / 2c. Where the parabola is not convex, or has
 * its minimum beyond the points, the better end of the range stands for it: the experiment says no more.
 */
#ifndef ANALYSIS_OPTIMUM_H
#define ANALYSIS_OPTIMUM_H

#include "core/status.h"

struct optimum {
    double a, b, c;         /* the parabola */
    double at, value;       /* its minimum within the range of x */
    double low, high;       /* percentile interval of `at`; NaN if there is none */
    double inside;          /* share of the resampled curves that have their minimum inside the range; NaN */
    int32_t points, places; /* points, and different x among them */
    bool is_inside;
};

/* Of points (x, y) [n], at least three different x (MOE_EARG). The interval is a bootstrap's, of `resamples`
 * samples; 0 gives none. Where every x has m >= 2 points (seeds), these are drawn anew with replacement, x by
 * x, and their spread is enlarged by sqrt(m / (m - 1)); else, from five points on, the residuals of the fit,
 * by sqrt(n / (n - 3)). Random numbers as in stats_bootstrap(). MOE_ENOMEM. */
moe_status optimum_fit(const double *x, const double *y, int32_t n, int32_t resamples, uint64_t seed,
                       double level, struct optimum *out, moe_err *err);

#endif
