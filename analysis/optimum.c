#include "analysis/optimum.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/stats.h"
#include "core/rng.h"

struct range {
    double low, high;
};

/* Normal equations of a parabola in x - shift, solved by elimination; false if they are singular. */
static bool fit_parabola(const double *x, const double *y, int32_t n, double shift, double coefficient[3]) {
    double m[3][4] = {{0}};
    for (int32_t i = 0; i < n; i++) {
        const double u = x[i] - shift;
        const double powers[3] = {1.0, u, u * u};
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++)
                m[r][c] += powers[r] * powers[c];
            m[r][3] += powers[r] * y[i];
        }
    }
    for (int k = 0; k < 3; k++) {
        int pivot = k;
        for (int r = k + 1; r < 3; r++)
            if (fabs(m[r][k]) > fabs(m[pivot][k])) pivot = r;
        if (fabs(m[pivot][k]) < 1e-12) return false;
        for (int c = 0; c < 4; c++) {
            const double kept = m[k][c];
            m[k][c] = m[pivot][c];
            m[pivot][c] = kept;
        }
        for (int r = 0; r < 3; r++) {
            const double factor = r == k ? 0.0 : m[r][k] / m[k][k];
            for (int c = k; c < 4; c++)
                m[r][c] -= factor * m[k][c];
        }
    }
    for (int k = 0; k < 3; k++)
        coefficient[k] = m[k][3] / m[k][k];
    return true;
}

static double height(const double coefficient[3], double u) {
    return coefficient[0] + u * (coefficient[1] + u * coefficient[2]);
}

/* Minimum within the range, of a parabola in x - shift. */
static double minimum(const double coefficient[3], double shift, const struct range *range, bool *is_inside) {
    const double low = range->low - shift, high = range->high - shift;
    const double vertex = -coefficient[1] / (2.0 * coefficient[2]);
    *is_inside = coefficient[2] > 0.0 && vertex > low && vertex < high;
    if (*is_inside) return vertex + shift;
    return height(coefficient, low) <= height(coefficient, high) ? range->low : range->high;
}

/* Number of different x; *least is the least number of points at one. */
static int32_t count_places(const double *x, int32_t n, int32_t *least) {
    int32_t places = 0;
    *least = n;
    for (int32_t i = 0; i < n; i++) {
        int32_t same = 0;
        bool first = true;
        for (int32_t j = 0; j < n; j++) {
            same += x[j] == x[i];
            first = first && !(j < i && x[j] == x[i]);
        }
        places += first;
        if (same < *least) *least = same;
    }
    return places;
}

/* A value for the place of point i: one of the m values there, its distance from their mean enlarged by
 * sqrt(m / (m - 1)), since few values lie closer together than what they were drawn from. */
static double draw_at(const double *x, const double *y, int32_t n, int32_t i, struct rng_key key) {
    int32_t same = 0;
    double mean = 0.0, drawn = NAN;
    for (int32_t j = 0; j < n; j++) {
        if (x[j] != x[i]) continue;
        mean += y[j];
        same++;
    }
    mean /= same;
    int64_t wanted = (int64_t)rng_below(key, (uint64_t)i, (uint64_t)same);
    for (int32_t j = 0; j < n; j++)
        if (x[j] == x[i] && wanted-- == 0) drawn = y[j];
    return mean + sqrt((double)same / (same - 1)) * (drawn - mean);
}

/* A sample drawn anew: points at the same x, or fitted values with residuals of any point. */
static void resample(const double *x, const double *y, int32_t n, bool by_place, const double coefficient[3],
                     double shift, struct rng_key key, double *out) {
    const double enlarged = by_place ? 0.0 : sqrt((double)n / (n - 3));
    for (int32_t i = 0; i < n; i++) {
        if (by_place) {
            out[i] = draw_at(x, y, n, i, key);
            continue;
        }
        const int32_t j = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)n);
        out[i] = height(coefficient, x[i] - shift) + enlarged * (y[j] - height(coefficient, x[j] - shift));
    }
}

moe_status optimum_fit(const double *x, const double *y, int32_t n, int32_t resamples, uint64_t seed,
                       double level, struct optimum *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *sample = NULL;
    double *places = NULL;
    int32_t least = 0;
    double fitted[3];
    struct optimum o = {.points = n, .places = count_places(x, n, &least), .low = NAN, .high = NAN};
    moe_check(n >= 3 && o.places >= 3, err, MOE_EARG, "a parabola needs three different positions, got %d",
              o.places);
    struct range range = {x[0], x[0]};
    for (int32_t i = 1; i < n; i++) {
        range.low = fmin(range.low, x[i]);
        range.high = fmax(range.high, x[i]);
    }
    const double shift = stats_mean(x, n);
    moe_check(fit_parabola(x, y, n, shift, fitted), err, MOE_EARG,
              "the positions are too close for a parabola");
    o.at = minimum(fitted, shift, &range, &o.is_inside);
    o.value = height(fitted, o.at - shift);
    o.c = fitted[2];
    o.b = fitted[1] - 2.0 * fitted[2] * shift;
    o.a = fitted[0] - fitted[1] * shift + fitted[2] * shift * shift;
    o.inside = NAN;
    if (resamples == 0 || (least < 2 && n < 5)) goto done;
    sample = malloc((size_t)n * sizeof *sample);
    places = malloc((size_t)resamples * sizeof *places);
    moe_check(sample != NULL && places != NULL && resamples >= 2, err, MOE_ENOMEM,
              "cannot allocate %d bootstrap samples", resamples);
    int32_t inside = 0;
    for (int32_t r = 0; r < resamples; r++) {
        double drawn[3];
        bool is_inside = false;
        resample(x, y, n, least >= 2, fitted, shift, (struct rng_key){seed, RNG_BOOTSTRAP, (uint32_t)r},
                 sample);
        moe_check(fit_parabola(x, sample, n, shift, drawn), err, MOE_EARG,
                  "the positions are too close for a parabola");
        places[r] = minimum(drawn, shift, &range, &is_inside);
        inside += is_inside;
    }
    o.inside = (double)inside / resamples;
    stats_sort(places, resamples);
    o.low = stats_quantile_sorted(places, resamples, 0.5 - 0.5 * level);
    o.high = stats_quantile_sorted(places, resamples, 0.5 + 0.5 * level);
done:
    *out = o;
out:
    free(sample);
    free(places);
    return status;
}
