/* weave_format.h - how a number is written: ".4", ".1%", ".4 interval". */
#ifndef ANALYSIS_WEAVE_FORMAT_H
#define ANALYSIS_WEAVE_FORMAT_H

#include "analysis/stats.h"
#include "core/text.h"

enum number_style {
    STYLE_MEAN_CI = 0, /* 9.3698 ± 0.0012 */
    STYLE_MEAN,        /* 9.3698 */
    STYLE_INTERVAL,    /* 9.3686 to 9.3710 */
    STYLE_SEEDS        /* 5 */
};

struct number_format {
    int32_t digits;
    bool percent; /* times 100, with a percent sign */
    bool sign;    /* always */
    enum number_style style;
};

/* Reads "[.DIGITS][%][+] [mean|ci|interval|seeds]" ("" gives .4 ci). MOE_ECONFIG, place first. */
moe_status number_format_parse(const char *text, const char *place, struct number_format *out, moe_err *err);

/* Appends one number. */
void number_append(struct text *out, const struct number_format *format, double value);

/* Appends an estimate in the format's style; without an interval (one seed) just the mean. */
void number_append_estimate(struct text *out, const struct number_format *format,
                            const struct stats_estimate *e);

#endif
