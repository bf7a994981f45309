#include "analysis/plot_axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void axis_format(char *text, size_t size, double value, int32_t decimals) {
    char digits[64];
    snprintf(digits, sizeof digits, "%.*f", (int)decimals, fabs(value));
    const bool zero = strspn(digits, "0.") == strlen(digits);
    const char *sign = value < 0.0 && !zero ? "\xe2\x88\x92" : ""; /* U+2212 */
    const size_t whole = strcspn(digits, ".");
    if (whole < 4 || size < sizeof digits * 2) {
        snprintf(text, size, "%s%s", sign, digits);
        if (whole < 4) return;
    }
    char grouped[128];
    size_t at = 0;
    for (size_t i = 0; i < strlen(digits) && at + 2 < sizeof grouped; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0) grouped[at++] = ',';
        grouped[at++] = digits[i];
    }
    grouped[at] = '\0';
    snprintf(text, size, "%s%s", sign, grouped);
}

int32_t axis_decimals(double step) {
    double scaled = fabs(step);
    for (int32_t d = 0; d < 12; d++) {
        if (fabs(scaled - round(scaled)) < 1e-6 * scaled) return d;
        scaled *= 10.0;
    }
    return 12;
}

/* Smallest nice number >= raw. */
static double nice_step(double raw, bool whole) {
    static const double nice[] = {1.0, 2.0, 2.5, 5.0, 10.0};
    if (whole && raw <= 1.0) return 1.0;
    const double power = pow(10.0, floor(log10(raw)));
    for (size_t i = 0; i < sizeof nice / sizeof nice[0]; i++) {
        const double step = nice[i] * power;
        if (whole && fabs(step - round(step)) > 1e-9) continue;
        if (step >= raw * (1.0 - 1e-9)) return step;
    }
    return 10.0 * power;
}

/* A range for data that has none, or only one value. */
static void repair_range(double *low, double *high) {
    if (isnan(*low) || isnan(*high)) {
        *low = 0.0;
        *high = 1.0;
    }
    if (!(*high - *low > 1e-12 * fmax(fabs(*low), fabs(*high)))) {
        const double room = *low == 0.0 ? 1.0 : 0.05 * fabs(*low);
        *low -= room;
        *high += room;
    }
}

void axis_linear(struct axis_scale *scale, double low, double high, double fixed_min, double fixed_max,
                 bool whole, int32_t target) {
    repair_range(&low, &high);
    const double pad = 0.04 * (high - low);
    scale->log = false;
    /* an end at zero stays there: bars stand on the axis */
    scale->min = !isnan(fixed_min) ? fixed_min : low == 0.0 ? 0.0 : low - pad;
    scale->max = !isnan(fixed_max) ? fixed_max : high == 0.0 ? 0.0 : high + pad;
    if (!(scale->max > scale->min)) scale->max = scale->min + 1.0;
    const double range = scale->max - scale->min;
    const double step = nice_step(range / (target < 2 ? 2 : target), whole);
    const int32_t decimals = axis_decimals(step);
    const double first = ceil(scale->min / step - 1e-9);
    scale->num_ticks = 0;
    for (int32_t i = 0; i < AXIS_MAX_TICKS; i++) {
        const double value = (first + i) * step;
        if (value > scale->max + 1e-9 * range) break;
        struct axis_tick *tick = &scale->ticks[scale->num_ticks++];
        tick->value = value;
        axis_format(tick->label, sizeof tick->label, value, decimals);
    }
}

static void power_label(char *text, size_t size, int32_t mantissa, int32_t exponent) {
    static const char *const superscripts[] = {"\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",
                                               "\xe2\x81\xb4", "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7",
                                               "\xe2\x81\xb8", "\xe2\x81\xb9"};
    if (exponent >= -3 && exponent <= 4) {
        axis_format(text, size, mantissa * pow(10.0, exponent), exponent < 0 ? -exponent : 0);
        return;
    }
    char raised[24] = "";
    char digits[8];
    snprintf(digits, sizeof digits, "%d", (exponent < 0 ? -exponent : exponent) % 1000);
    if (exponent < 0) strcat(raised, "\xe2\x81\xbb");
    for (const char *d = digits; *d != '\0'; d++)
        strcat(raised, superscripts[*d - '0']);
    if (mantissa == 1) {
        snprintf(text, size, "10%s", raised);
    } else {
        snprintf(text, size,
                 "%d\xc2\xb7"
                 "10%s",
                 mantissa, raised);
    }
}

/* Whether m times a power of ten has a label on an axis over less than two powers: 1 2 5, or where that is
 * more than `target` labels, 1 3. */
static bool mantissa_is_labelled(int32_t m, double powers, int32_t target) {
    const bool three = powers < 1.0 || 3.0 * powers <= target;
    return m == 1 || (three ? m == 2 || m == 5 : m == 3);
}

void axis_log(struct axis_scale *scale, double low, double high, double fixed_min, double fixed_max,
              int32_t target) {
    if (isnan(low) || isnan(high) || !(low > 0.0)) {
        low = 0.1;
        high = 10.0;
    }
    double from = log10(isnan(fixed_min) ? low : fixed_min);
    double to = log10(isnan(fixed_max) ? high : fixed_max);
    if (!(to - from > 1e-9)) {
        from -= 0.5;
        to += 0.5;
    }
    const double pad = 0.04 * (to - from);
    if (isnan(fixed_min)) from -= pad;
    if (isnan(fixed_max)) to += pad;
    scale->log = true;
    scale->min = pow(10.0, from);
    scale->max = pow(10.0, to);
    const bool fine = to - from < 2.0;
    const int32_t thin = fine ? 1 : 1 + (int32_t)((to - from) / (target < 2 ? 2 : target));
    scale->num_ticks = 0;
    for (int32_t e = (int32_t)floor(from); e <= (int32_t)ceil(to); e++) {
        for (int32_t m = 1; m <= 9; m++) {
            const double value = m * pow(10.0, e);
            if (value < scale->min * (1.0 - 1e-9) || value > scale->max * (1.0 + 1e-9)) continue;
            if (scale->num_ticks >= AXIS_MAX_TICKS || (m > 1 && thin > 1)) continue;
            struct axis_tick *tick = &scale->ticks[scale->num_ticks++];
            tick->value = value;
            tick->label[0] = '\0';
            const bool labelled =
                fine ? mantissa_is_labelled(m, to - from, target) : m == 1 && ((e % thin) + thin) % thin == 0;
            if (labelled) power_label(tick->label, sizeof tick->label, m, e);
        }
    }
}

double axis_fraction(const struct axis_scale *scale, double value) {
    if (scale->log) return log(value / scale->min) / log(scale->max / scale->min);
    return (value - scale->min) / (scale->max - scale->min);
}
