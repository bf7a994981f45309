#include "analysis/verdict.h"

#include <math.h>

const char *verdict_word(enum verdict verdict) {
    static const char *const words[VERDICT_COUNT] = {
        [VERDICT_REPRODUCED] = "reproduced",     [VERDICT_CONTRADICTED] = "contradicted",
        [VERDICT_INCONCLUSIVE] = "inconclusive", [VERDICT_IMPOSSIBLE] = "impossible as printed",
        [VERDICT_NOT_TESTED] = "not tested",
    };
    return words[verdict];
}

bool verdict_inside(const struct verdict_region *region, double low, double high) {
    return region->closed ? low >= region->low && high <= region->high
                          : low > region->low && high < region->high;
}

bool verdict_outside(const struct verdict_region *region, double low, double high) {
    return region->closed ? high < region->low || low > region->high
                          : high <= region->low || low >= region->high;
}

static enum verdict by_interval(const struct verdict_region *region, const struct stats_estimate *e) {
    if (verdict_inside(region, e->low, e->high)) return VERDICT_REPRODUCED;
    if (verdict_outside(region, e->low, e->high)) return VERDICT_CONTRADICTED;
    return VERDICT_INCONCLUSIVE;
}

/* Probability of a mean at least this far above `end` if the true mean were `end`. */
static double p_above(const struct stats_estimate *e, double end) {
    const double error = e->sd / sqrt((double)e->n);
    if (!isfinite(end)) return 0.0;
    if (error == 0.0) return e->value > end ? 0.0 : 1.0;
    return 1.0 - stats_t_cdf((e->value - end) / error, e->n - 1.0);
}

static double p_below(const struct stats_estimate *e, double end) {
    const struct stats_estimate mirrored = {.value = -e->value, .sd = e->sd, .n = e->n};
    return p_above(&mirrored, -end);
}

static double p_of_region(const struct stats_estimate *e, const struct verdict_region *region) {
    if (e->n < 2 || isnan(e->sd)) return NAN;
    const double above = p_above(e, region->low);
    const double below = p_below(e, region->high);
    if (isfinite(region->low) && isfinite(region->high)) return fmax(above, below);
    const double one_sided = isfinite(region->low) ? above : below;
    return fmin(1.0, 2.0 * fmin(one_sided, 1.0 - one_sided));
}

struct verdict_part verdict_of_runs(const double *values, int32_t n, int32_t parts,
                                    struct verdict_region region) {
    struct verdict_part part = {.region = region, .verdict = VERDICT_INCONCLUSIVE};
    part.estimate = stats_mean_interval(values, n, VERDICT_LEVEL);
    part.corrected = stats_mean_interval(values, n, 1.0 - (1.0 - VERDICT_LEVEL) / parts);
    part.p = p_of_region(&part.estimate, &region);
    if (n >= VERDICT_MIN_SEEDS && isfinite(part.estimate.low))
        part.verdict = by_interval(&region, &part.estimate);
    return part;
}

struct verdict_part verdict_of_exact(const double *values, int32_t n, struct verdict_region region) {
    struct verdict_part part = {.region = region, .p = NAN, .certain = true, .verdict = VERDICT_REPRODUCED};
    part.estimate =
        (struct stats_estimate){.value = stats_mean(values, n), .sd = stats_sd(values, n), .n = n};
    part.estimate.low = part.estimate.high = n > 0 ? values[0] : NAN;
    for (int32_t i = 0; i < n; i++) {
        part.estimate.low = fmin(part.estimate.low, values[i]);
        part.estimate.high = fmax(part.estimate.high, values[i]);
        if (!verdict_inside(&region, values[i], values[i])) part.verdict = VERDICT_CONTRADICTED;
    }
    if (n < 1) part.verdict = VERDICT_NOT_TESTED;
    part.corrected = part.estimate;
    return part;
}

struct verdict_part verdict_of_printed(double value, struct verdict_region region, enum verdict failed) {
    struct verdict_part part = verdict_of_exact(&value, 1, region);
    if (part.verdict != VERDICT_REPRODUCED) part.verdict = failed;
    return part;
}

/* How far the interval reaches beyond the nearest end of the region into it; negative when it reaches out.
 * Larger is safer. Parts of one claim are compared in units of their own region's distance from the mean. */
static double reserve(const struct verdict_part *part) {
    const double from_low = part->estimate.low - part->region.low;
    const double to_high = part->region.high - part->estimate.high;
    return fmin(from_low, to_high);
}

static double excess(const struct verdict_part *part) {
    return fmax(part->region.low - part->corrected.high, part->corrected.low - part->region.high);
}

static bool excludes(const struct verdict_part *part) {
    if (part->verdict != VERDICT_CONTRADICTED && part->verdict != VERDICT_IMPOSSIBLE) return false;
    return part->certain || verdict_outside(&part->region, part->corrected.low, part->corrected.high);
}

enum verdict verdict_combine(const struct verdict_part *parts, int32_t n, int32_t *out_decisive) {
    int32_t against = -1, open = -1, least = 0;
    for (int32_t i = 0; i < n; i++) {
        if (excludes(&parts[i]) && (against < 0 || excess(&parts[i]) > excess(&parts[against]))) against = i;
        if (parts[i].verdict != VERDICT_REPRODUCED && open < 0) open = i;
        if (reserve(&parts[i]) < reserve(&parts[least])) least = i;
    }
    *out_decisive = against >= 0 ? against : open >= 0 ? open : least;
    if (against >= 0) return parts[against].verdict;
    if (open < 0) return VERDICT_REPRODUCED;
    return parts[open].verdict == VERDICT_NOT_TESTED ? VERDICT_NOT_TESTED : VERDICT_INCONCLUSIVE;
}
