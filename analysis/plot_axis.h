/* plot_axis.h - ranges, ticks and their labels. */
#ifndef ANALYSIS_PLOT_AXIS_H
#define ANALYSIS_PLOT_AXIS_H

#include "core/status.h"

#define AXIS_MAX_TICKS 64
#define AXIS_LABEL_MAX 48

struct axis_tick {
    double value;
    char label[AXIS_LABEL_MAX]; /* "" for a minor tick */
};

/* A range and the ticks on it. */
struct axis_scale {
    double min, max; /* min < max; > 0 when log */
    bool log;
    int32_t num_ticks;
    struct axis_tick ticks[AXIS_MAX_TICKS];
};

/* Widens [low, high] (data; either may be NaN: no data) so that ticks of a nice step (1, 2, 2.5, 5 times a
 * power of ten) lie on it, about `target` of them. The range itself is padded by 4 % at an end that is
 * neither zero nor fixed by the caller (fixed_min / fixed_max not NaN). whole: only whole numbers are ticks.
 */
void axis_linear(struct axis_scale *scale, double low, double high, double fixed_min, double fixed_max,
                 bool whole, int32_t target);

/* Logarithmic: a labelled tick at each power of ten (thinned out to about `target`), also at 2 and 5 or at
 * 3 where less than two powers are in sight. Data <= 0 must have been left out by the caller. */
void axis_log(struct axis_scale *scale, double low, double high, double fixed_min, double fixed_max,
              int32_t target);

/* Where value lies between the ends: 0 at min, 1 at max. */
double axis_fraction(const struct axis_scale *scale, double value);

/* A number with `decimals` digits after the point, thousands set apart by commas, and a real
 * minus sign. Never "-0". */
void axis_format(char *text, size_t size, double value, int32_t decimals);

/* Digits after the point that a multiple of step needs: 0 for 20, 2 for 0.25. */
int32_t axis_decimals(double step);

#endif
