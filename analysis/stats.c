#include "analysis/stats.h"

#include <math.h>
#include <stdlib.h>

#include "core/rng.h"

double stats_mean(const double *x, int32_t n) {
    if (n <= 0) return NAN;
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i];
    return sum / n;
}

/* Sum of squared deviations from the mean. */
static double sum_of_squares(const double *x, int32_t n) {
    const double mean = stats_mean(x, n);
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

double stats_sd(const double *x, int32_t n) {
    return n < 2 ? NAN : sqrt(sum_of_squares(x, n) / (n - 1));
}

struct stats_estimate stats_mean_interval(const double *x, int32_t n, double level) {
    return stats_mean_within(x, n, stats_t_quantile(0.5 + 0.5 * level, n - 1));
}

struct stats_estimate stats_mean_within(const double *x, int32_t n, double quantile) {
    struct stats_estimate e = {
        .value = stats_mean(x, n), .sd = stats_sd(x, n), .low = NAN, .high = NAN, .n = n};
    if (n < 2) return e;
    const double half = quantile * e.sd / sqrt(n);
    e.low = e.value - half;
    e.high = e.value + half;
    return e;
}

/* Fills interval, t and p from the difference's standard error. */
static void finish_difference(struct stats_difference *d, double standard_error, double level) {
    const double half = stats_t_quantile(0.5 + 0.5 * level, d->df) * standard_error;
    d->low = d->value - half;
    d->high = d->value + half;
    if (standard_error > 0.0) {
        d->t = d->value / standard_error;
        d->p = 2.0 * stats_t_cdf(-fabs(d->t), d->df);
    } else {
        d->t = d->value == 0.0 ? 0.0 : copysign(INFINITY, d->value);
        d->p = d->value == 0.0 ? 1.0 : 0.0;
    }
}

struct stats_difference stats_welch(const double *a, int32_t na, const double *b, int32_t nb, double level) {
    struct stats_difference d = {.value = stats_mean(a, na) - stats_mean(b, nb),
                                 .low = NAN,
                                 .high = NAN,
                                 .t = NAN,
                                 .df = NAN,
                                 .p = NAN,
                                 .na = na,
                                 .nb = nb};
    if (na < 2 || nb < 2) return d;
    const double va = sum_of_squares(a, na) / (na - 1) / na;
    const double vb = sum_of_squares(b, nb) / (nb - 1) / nb;
    const double v = va + vb;
    d.df = v > 0.0 ? v * v / (va * va / (na - 1) + vb * vb / (nb - 1)) : (double)na + nb - 2.0;
    finish_difference(&d, sqrt(v), level);
    return d;
}

struct stats_difference stats_paired(const double *a, const double *b, int32_t n, double level) {
    struct stats_difference d = {.value = stats_mean(a, n) - stats_mean(b, n),
                                 .low = NAN,
                                 .high = NAN,
                                 .t = NAN,
                                 .df = NAN,
                                 .p = NAN,
                                 .na = n,
                                 .nb = n};
    if (n < 1) return d;
    double mean = 0.0;
    for (int32_t i = 0; i < n; i++)
        mean += a[i] - b[i];
    mean /= n;
    d.value = mean;
    if (n < 2) return d;
    double squares = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double deviation = a[i] - b[i] - mean;
        squares += deviation * deviation;
    }
    d.df = n - 1;
    finish_difference(&d, sqrt(squares / (n - 1) / n), level);
    return d;
}

double stats_sign_test(const double *x, int32_t n) {
    int32_t positive = 0;
    int32_t negative = 0;
    for (int32_t i = 0; i < n; i++) {
        positive += x[i] > 0.0;
        negative += x[i] < 0.0;
    }
    const int32_t total = positive + negative;
    if (total == 0) return 1.0;
    const int32_t fewer = positive < negative ? positive : negative;
    double tail = 0.0;
    for (int32_t k = 0; k <= fewer; k++)
        tail += exp(lgamma(total + 1.0) - lgamma(k + 1.0) - lgamma(total - k + 1.0) - total * log(2.0));
    return fmin(1.0, 2.0 * tail);
}

moe_status stats_sign_permutation(const double *differences, int32_t n, double *out_p, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(n >= 1 && n <= 20, err, MOE_EARG, "permutation test: 1 to 20 pairs, got %d", n);
    double observed = 0.0;
    double scale = 0.0;
    for (int32_t i = 0; i < n; i++) {
        observed += differences[i];
        scale += fabs(differences[i]);
    }
    /* sums in another order differ in their last bits: equal ones count as equal */
    const double bar = fabs(observed) - 1e-12 * scale;
    int32_t extreme = 0;
    const int32_t patterns = (int32_t)1 << n;
    for (int32_t pattern = 0; pattern < patterns; pattern++) {
        double sum = 0.0;
        for (int32_t i = 0; i < n; i++)
            sum += (pattern >> i) & 1 ? -differences[i] : differences[i];
        extreme += fabs(sum) >= bar;
    }
    *out_p = (double)extreme / patterns;
out:
    return status;
}

static int ascending_double(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

void stats_sort(double *x, int32_t n) {
    if (n > 1) qsort(x, (size_t)n, sizeof *x, ascending_double);
}

/* ranks[i] = mid-rank of x[i]: 1 + values below + half of the other equal ones. Quadratic: n is a number of
 * runs. */
static void mid_ranks(const double *x, int32_t n, double *ranks) {
    for (int32_t i = 0; i < n; i++) {
        int32_t below = 0;
        int32_t equal = 0;
        for (int32_t j = 0; j < n; j++) {
            below += x[j] < x[i];
            equal += x[j] == x[i];
        }
        ranks[i] = below + 0.5 * (equal + 1.0);
    }
}

static double pearson(const double *x, const double *y, int32_t n) {
    const double mx = stats_mean(x, n);
    const double my = stats_mean(y, n);
    double xy = 0.0;
    double xx = 0.0;
    double yy = 0.0;
    for (int32_t i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : NAN;
}

moe_status stats_spearman(const double *x, const double *y, int32_t n, struct stats_rank_correlation *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    double *ranks = NULL;
    *out = (struct stats_rank_correlation){.rho = NAN, .p = NAN, .n = n};
    if (n < 2) goto out;
    ranks = malloc(2 * (size_t)n * sizeof *ranks);
    moe_check(ranks != NULL, err, MOE_ENOMEM, "cannot allocate ranks of %d values", n);
    mid_ranks(x, n, ranks);
    mid_ranks(y, n, ranks + n);
    out->rho = pearson(ranks, ranks + n, n);
    if (n >= 3 && !isnan(out->rho)) {
        const double rest = 1.0 - out->rho * out->rho;
        out->p = rest > 0.0 ? 2.0 * stats_t_cdf(-fabs(out->rho) * sqrt((n - 2) / rest), n - 2) : 0.0;
    }
out:
    free(ranks);
    return status;
}

struct stats_fit stats_linear_fit(const double *x, const double *y, int32_t n, double level) {
    struct stats_fit f = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, n};
    if (n < 2) return f;
    const double mx = stats_mean(x, n);
    const double my = stats_mean(y, n);
    double xx = 0.0;
    double xy = 0.0;
    for (int32_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        xy += (x[i] - mx) * (y[i] - my);
    }
    if (!(xx > 0.0)) return f;
    f.slope = xy / xx;
    f.intercept = my - f.slope * mx;
    double errors = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const double e = y[i] - f.intercept - f.slope * x[i];
        errors += e * e;
    }
    const double total = sum_of_squares(y, n);
    f.r2 = total > 0.0 ? 1.0 - errors / total : NAN;
    if (n < 3) return f;
    f.residual_sd = sqrt(errors / (n - 2));
    const double quantile = stats_t_quantile(0.5 + 0.5 * level, n - 2);
    const double slope_error = f.residual_sd / sqrt(xx);
    const double intercept_error = f.residual_sd * sqrt(1.0 / n + mx * mx / xx);
    f.slope_low = f.slope - quantile * slope_error;
    f.slope_high = f.slope + quantile * slope_error;
    f.intercept_low = f.intercept - quantile * intercept_error;
    f.intercept_high = f.intercept + quantile * intercept_error;
    f.p = slope_error > 0.0 ? 2.0 * stats_t_cdf(-fabs(f.slope / slope_error), n - 2) : 0.0;
    return f;
}

double stats_quantile_sorted(const double *ascending, int32_t n, double q) {
    if (n < 1) return NAN;
    const double at = q * (n - 1);
    const int32_t below = (int32_t)floor(at);
    if (below >= n - 1) return ascending[n - 1];
    return ascending[below] + (at - below) * (ascending[below + 1] - ascending[below]);
}

double stats_statistic_mean(const double *x, int32_t n, const void *context) {
    (void)context;
    return stats_mean(x, n);
}

moe_status stats_bootstrap(const double *x, int32_t n, stats_statistic statistic, const void *context,
                           int32_t resamples, uint64_t seed, double level, struct stats_estimate *out,
                           moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    double *sample = NULL;
    moe_check(n >= 1 && resamples >= 2, err, MOE_EARG,
              "bootstrap: at least 1 value and 2 resamples, got %d and %d", n, resamples);
    *out = (struct stats_estimate){
        .value = statistic(x, n, context), .sd = NAN, .low = NAN, .high = NAN, .n = n};
    if (n < 2) goto out;
    values = malloc((size_t)resamples * sizeof *values);
    sample = malloc((size_t)n * sizeof *sample);
    moe_check(values != NULL && sample != NULL, err, MOE_ENOMEM, "cannot allocate %d bootstrap samples",
              resamples);
    for (int32_t r = 0; r < resamples; r++) {
        const struct rng_key key = {seed, RNG_BOOTSTRAP, (uint32_t)r};
        for (int32_t i = 0; i < n; i++)
            sample[i] = x[rng_below(key, (uint64_t)i, (uint64_t)n)];
        values[r] = statistic(sample, n, context);
    }
    out->sd = stats_sd(values, resamples);
    stats_sort(values, resamples);
    out->low = stats_quantile_sorted(values, resamples, 0.5 - 0.5 * level);
    out->high = stats_quantile_sorted(values, resamples, 0.5 + 0.5 * level);
out:
    free(sample);
    free(values);
    return status;
}
