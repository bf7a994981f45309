#include "analysis/weave_format.h"

#include <math.h>
#include <string.h>

#include "analysis/plot_axis.h"

#define NBSP "\xc2\xa0" /* a number and what belongs to it stay on one line */

moe_status number_format_parse(const char *text, const char *place, struct number_format *out, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const styles[] = {[STYLE_MEAN_CI] = "ci",
                                         [STYLE_MEAN] = "mean",
                                         [STYLE_INTERVAL] = "interval",
                                         [STYLE_SEEDS] = "seeds"};
    const char *at = text;
    *out = (struct number_format){.digits = 4};
    if (*at == '.') {
        moe_check(at[1] >= '0' && at[1] <= '9', err, MOE_ECONFIG,
                  "%s: format \"%s\": expected a digit behind '.'", place, text);
        out->digits = at[1] - '0';
        at += 2;
    }
    for (; *at == '%' || *at == '+'; at++) {
        if (*at == '%') out->percent = true;
        if (*at == '+') out->sign = true;
    }
    const size_t gap = strspn(at, " ");
    const bool apart = gap > 0 || at == text;
    at += gap;
    if (*at == '\0') goto out;
    for (int i = 0; apart && i < 4; i++) {
        if (strcmp(at, styles[i]) != 0) continue;
        out->style = (enum number_style)i;
        goto out;
    }
    status = moe_fail(err, MOE_ECONFIG,
                      "%s: format \"%s\": expected [.DIGITS][%%][+] [mean|ci|interval|seeds]", place, text);
out:
    return status;
}

static void append_plain(struct text *out, const struct number_format *format, double value, bool sign) {
    char number[64];
    if (!isfinite(value)) {
        text_append(out, "\xe2\x80\x93"); /* en dash, as in tables */
        return;
    }
    axis_format(number, sizeof number, format->percent ? 100.0 * value : value, format->digits);
    text_append(out, "%s%s", sign && value > 0.0 ? "+" : "", number);
}

void number_append(struct text *out, const struct number_format *format, double value) {
    append_plain(out, format, value, format->sign);
    if (format->percent) text_append(out, NBSP "%%");
}

void number_append_estimate(struct text *out, const struct number_format *format,
                            const struct stats_estimate *e) {
    const bool interval = isfinite(e->low) && isfinite(e->high);
    if (format->style == STYLE_SEEDS) {
        text_append(out, "%d", e->n);
        return;
    }
    if (format->style == STYLE_INTERVAL && interval) {
        append_plain(out, format, e->low, format->sign);
        text_append(out, " to ");
        append_plain(out, format, e->high, format->sign);
    } else {
        append_plain(out, format, e->value, format->sign);
        if (format->style == STYLE_MEAN_CI && interval) {
            text_append(out, NBSP "\xc2\xb1" NBSP);
            append_plain(out, format, 0.5 * (e->high - e->low), false);
        }
    }
    if (format->percent) text_append(out, NBSP "%%");
}
