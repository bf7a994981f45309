#include "analysis/stats.h"

#include <float.h>
#include <math.h>

/* Continued fraction of the incomplete beta function (DLMF 8.17.22), modified Lentz. Converges fast for
 * x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1.0;
    double d = 1.0 - (a + b) * x / (a + 1.0);
    if (fabs(d) < tiny) d = tiny;
    d = 1.0 / d;
    double f = d;
    for (int m = 1; m <= 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 + even * d;
        c = 1.0 + even / c;
        if (fabs(d) < tiny) d = tiny;
        if (fabs(c) < tiny) c = tiny;
        d = 1.0 / d;
        f *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 + odd * d;
        c = 1.0 + odd / c;
        if (fabs(d) < tiny) d = tiny;
        if (fabs(c) < tiny) c = tiny;
        d = 1.0 / d;
        const double step = d * c;
        f *= step;
        if (fabs(step - 1.0) < 4.0 * DBL_EPSILON) break;
    }
    return f;
}

double stats_beta_inc(double a, double b, double x) {
    if (!(a > 0.0) || !(b > 0.0) || !(x >= 0.0) || !(x <= 1.0)) return NAN;
    if (x == 0.0 || x == 1.0) return x;
    const double log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);
    const double front = exp(log_front);
    if (x < (a + 1.0) / (a + b + 2.0)) return front * beta_fraction(a, b, x) / a;
    return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

/* Probability beyond |t| on one side. */
static double t_tail(double t, double df) {
    const double t2 = t * t;
    /* I_x with x = df / (df + t^2); for small t the complement keeps the accuracy */
    if (t2 < df) return 0.5 - 0.5 * stats_beta_inc(0.5, 0.5 * df, t2 / (df + t2));
    return 0.5 * stats_beta_inc(0.5 * df, 0.5, df / (df + t2));
}

double stats_t_cdf(double t, double df) {
    if (isnan(t) || !(df > 0.0)) return NAN;
    if (isinf(t)) return t > 0.0 ? 1.0 : 0.0;
    const double tail = t_tail(fabs(t), df);
    return t > 0.0 ? 1.0 - tail : tail;
}

double stats_t_quantile(double p, double df) {
    if (!(p > 0.0) || !(p < 1.0) || !(df > 0.0)) return NAN;
    if (p == 0.5) return 0.0;
    const double tail = p < 0.5 ? p : 1.0 - p;
    double low = 0.0;
    double high = 1.0;
    while (t_tail(high, df) > tail && high < 1e300)
        high *= 2.0;
    /* bisection down to neighbouring doubles: about 60 steps, and never wrong */
    for (int i = 0; i < 200; i++) {
        const double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) break;
        if (t_tail(middle, df) > tail) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const double t = 0.5 * (low + high);
    return p < 0.5 ? -t : t;
}
