#include <math.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"

/* Angles and their sines are computed in double with own series: libm's differ between releases, and the
 * angle of a late position needs more digits than float has. */
enum {
    PAIRS = 64, /* pairs of one head whose sines are held at a time */
    PLACES = 8  /* positions per piece */
};

/* ln x for x > 0 by 2 artanh((m - 1) / (m + 1)) */
static double natural_log(double x) {
    int exponent;
    double m = frexp(x, &exponent); /* [0.5, 1) */
    if (m < 0.7071) {
        m *= 2.0;
        exponent--;
    }
    const double s = (m - 1.0) / (m + 1.0);
    double sum = 0.0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * (s * s) + 2.0 / k;
    return sum * s + exponent * 0x1.62e42fefa39efp-1;
}

/* e^x for |x| < 700 by 2^n times the Taylor series of the rest */
static double exponential(double x) {
    const double n = floor(x * 0x1.71547652b82fep0 + 0.5);
    const double r = fma(-n, 0x1.abc9e3b39803fp-56, fma(-n, 0x1.62e42fefa39efp-1, x));
    double sum = 1.0;
    for (int k = 14; k >= 1; k--)
        sum = 1.0 + sum * r / k;
    return ldexp(sum, (int)n);
}

/* cos and sin of 0 <= angle < 2^30: Taylor series within an eighth of a turn */
static void cosine_sine(double angle, float *out_cos, float *out_sin) {
    const double n = floor(angle * 0x1.45f306dc9c883p-1 + 0.5); /* quarter turns */
    const double x = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p0, angle)), y = x * x;
    double s = 1.0 / 355687428096000.0, c = 1.0 / 20922789888000.0;
    s = fma(s, y, -1.0 / 1307674368000.0), c = fma(c, y, -1.0 / 87178291200.0);
    s = fma(s, y, 1.0 / 6227020800.0), c = fma(c, y, 1.0 / 479001600.0);
    s = fma(s, y, -1.0 / 39916800.0), c = fma(c, y, -1.0 / 3628800.0);
    s = fma(s, y, 1.0 / 362880.0), c = fma(c, y, 1.0 / 40320.0);
    s = fma(s, y, -1.0 / 5040.0), c = fma(c, y, -1.0 / 720.0);
    s = fma(s, y, 1.0 / 120.0), c = fma(c, y, 1.0 / 24.0);
    s = fma(s, y, -1.0 / 6.0), c = fma(c, y, -1.0 / 2.0);
    s = fma(s * y, x, x), c = fma(c, y, 1.0);
    const int32_t quarter = (int32_t)n & 3;
    const double cosine = (quarter & 1) != 0 ? s : c, sine = (quarter & 1) != 0 ? c : s;
    *out_cos = (float)(quarter == 1 || quarter == 2 ? -cosine : cosine);
    *out_sin = (float)(quarter >= 2 ? -sine : sine);
}

/* Turns n pairs (a[i * step], b[i * step]) by their angles. */
static void rotate(float *a, float *b, int64_t step, const float *restrict c, const float *restrict s,
                   int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        const float p = a[i * step], q = b[i * step];
        a[i * step] = p * c[i] - q * s[i];
        b[i * step] = p * s[i] + q * c[i];
    }
}

/* Pairs [first, first + n) of every head of every row number t of its sequence. */
static void rotate_place(float *x, int64_t t, int64_t rows, int64_t seq, int32_t heads, int32_t head_dim,
                         int64_t stride, const float *c, const float *s, int32_t first, int32_t n,
                         bool interleaved) {
    for (int64_t r = t; r < rows; r += seq) {
        for (int32_t h = 0; h < heads; h++) {
            float *head = x + r * stride + (int64_t)h * head_dim;
            if (interleaved) {
                rotate(head + 2 * first, head + 2 * first + 1, 2, c, s, n);
            } else {
                rotate(head + first, head + first + head_dim / 2, 1, c, s, n);
            }
        }
    }
}

void cpu_rope(struct device *dev, act_t *x, int64_t rows, int64_t seq, int64_t first_place, int32_t heads,
              int32_t head_dim, int64_t stride, float theta, bool interleaved, bool inverse) {
    const int64_t places = seq < rows ? seq : rows, pieces = piece_count(places, PLACES);
    const int32_t half = head_dim / 2;
    const double log_theta = natural_log(theta);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int32_t first = 0; first < half; first += PAIRS) {
            const int32_t n = half - first < PAIRS ? half - first : PAIRS;
            double frequency[PAIRS];
            float c[PAIRS], s[PAIRS];
            for (int32_t i = 0; i < n; i++)
                frequency[i] = exponential(-log_theta * (first + i) / half);
            for (int64_t t = piece_begin(p, places, PLACES); t < piece_begin(p + 1, places, PLACES); t++) {
                for (int32_t i = 0; i < n; i++) {
                    cosine_sine((double)(first_place + t) * frequency[i], &c[i], &s[i]);
                    s[i] = inverse ? -s[i] : s[i];
                }
                rotate_place(x, t, rows, seq, heads, head_dim, stride, c, s, first, n, interleaved);
            }
        }
    }
}
