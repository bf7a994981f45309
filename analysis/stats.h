/* stats.h - the statistics of the report: few seeds, small samples, intervals beside every mean.
 *
 * Intervals are two-sided at the level given (0.95). Where a sample is too small for a quantity (a spread of
 * one value, a fit through two points) the quantity is NaN, never 0: the report prints it as a dash.
 */
#ifndef ANALYSIS_STATS_H
#define ANALYSIS_STATS_H

#include "core/status.h"

/* An estimate with its interval. */
struct stats_estimate {
    double value;     /* NaN when n == 0 */
    double sd;        /* standard deviation of the sample (n - 1); NaN when n < 2 */
    double low, high; /* interval; NaN when n < 2 */
    int32_t n;
};

/* A difference between two samples. */
struct stats_difference {
    double value;     /* mean(a) - mean(b) */
    double low, high; /* interval */
    double t, df, p;  /* Student statistic, its degrees of freedom, two-sided p */
    int32_t na, nb;   /* sizes; equal for a paired difference */
};

/* y = intercept + slope x, least squares. */
struct stats_fit {
    double slope, slope_low, slope_high;
    double intercept, intercept_low, intercept_high;
    double residual_sd; /* sqrt(SSE / (n - 2)) */
    double r2;
    double p; /* two-sided, slope = 0 */
    int32_t n;
};

/* A rank correlation. */
struct stats_rank_correlation {
    double rho; /* Spearman: Pearson's correlation of mid-ranks; NaN when a sample is constant or n < 2 */
    double p;   /* two-sided, Student approximation with n - 2 degrees of freedom; NaN when n < 3 */
    int32_t n;
};

/* Mean; NaN when n <= 0. */
double stats_mean(const double *x, int32_t n);

/* Standard deviation with n - 1 in the denominator; NaN when n < 2. */
double stats_sd(const double *x, int32_t n);

/* Regularised incomplete beta function I_x(a, b), 0 <= x <= 1, a, b > 0 (continued fraction, DLMF 8.17.22, by
 * the method of Lentz). NaN outside. Relative error about 1e-13. */
double stats_beta_inc(double a, double b, double x);

/* Distribution function of Student's t with df > 0 degrees of freedom (df need not be whole). */
double stats_t_cdf(double t, double df);

/* Its inverse: the t below which probability p lies, 0 < p < 1. */
double stats_t_quantile(double p, double df);

/* Mean with Student's interval: mean +- t(1 - (1 - level) / 2, n - 1) sd / sqrt(n). */
struct stats_estimate stats_mean_interval(const double *x, int32_t n, double level);

/* The same with the quantile t(...) given, which takes longer than all else: for many samples of one size. */
struct stats_estimate stats_mean_within(const double *x, int32_t n, double quantile);

/* Difference of the means of two independent samples of unequal variance (Welch 1947, Satterthwaite's degrees
 * of freedom). Interval, t and p are NaN when a sample has fewer than 2 values. Two samples without any
 * spread give df = na + nb - 2, an interval of zero width, and p = 0 (or 1 if the means are equal). */
struct stats_difference stats_welch(const double *a, int32_t na, const double *b, int32_t nb, double level);

/* Mean of a_i - b_i, where a_i and b_i belong together (the same seed). As above without spread: df = n - 1.
 */
struct stats_difference stats_paired(const double *a, const double *b, int32_t n, double level);

/* Two-sided sign test that the median of x is 0: exact binomial, zeros left out (no other value: p = 1). */
double stats_sign_test(const double *x, int32_t n);

/* Two-sided permutation test that the mean of paired differences is 0: all 2^n changes of sign, n <= 20
 * (MOE_EARG beyond). p is the share of sign patterns whose |mean| is at least the one observed. */
moe_status stats_sign_permutation(const double *differences, int32_t n, double *out_p, moe_err *err);

/* Spearman's rank correlation with mid-ranks for ties. MOE_ENOMEM. */
moe_status stats_spearman(const double *x, const double *y, int32_t n, struct stats_rank_correlation *out,
                          moe_err *err);

/* Straight line through n points. n < 3: intervals, residual_sd and p are NaN; constant x: all NaN. */
struct stats_fit stats_linear_fit(const double *x, const double *y, int32_t n, double level);

/* A statistic of one resampled sample. */
typedef double (*stats_statistic)(const double *x, int32_t n, const void *context);

/* Percentile bootstrap (Efron) of a statistic: `resamples` samples drawn with replacement, random numbers
 * from stream RNG_BOOTSTRAP of `seed`, so the same call gives the same interval everywhere. value is the
 * statistic of x itself, sd that of the resampled values. Percentiles interpolate linearly. n < 2: interval
 * NaN. MOE_EARG, MOE_ENOMEM. */
moe_status stats_bootstrap(const double *x, int32_t n, stats_statistic statistic, const void *context,
                           int32_t resamples, uint64_t seed, double level, struct stats_estimate *out,
                           moe_err *err);

/* The mean as a statistic for stats_bootstrap(); context is not used. */
double stats_statistic_mean(const double *x, int32_t n, const void *context);

/* Quantile q in [0, 1] of an ascending sample, linear interpolation (type 7 of Hyndman and Fan 1996); NaN if
 * n < 1. */
double stats_quantile_sorted(const double *ascending, int32_t n, double q);

/* Ascending order, in place. No NaN. */
void stats_sort(double *x, int32_t n);

#endif
