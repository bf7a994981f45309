/* verdict.h - how numbers become a verdict. The rules stand here and nowhere else; the chapter on method
 * explains them.
 *
 * A claim says that a quantity lies in a region of the number line. Its 95 % interval over seeds decides: all
 * of it inside, reproduced; all of it outside, contradicted; else inconclusive. With fewer than
 * VERDICT_MIN_SEEDS seeds a measured quantity is inconclusive. A claim of several parts holds when each part
 * holds (an intersection-union test: no correction is due), and is contradicted when one part is, at a level
 * divided by the number of parts (Bonferroni).
 */
#ifndef ANALYSIS_VERDICT_H
#define ANALYSIS_VERDICT_H

#include "analysis/stats.h"

#define VERDICT_LEVEL     0.95
#define VERDICT_MIN_SEEDS 3

enum verdict {
    VERDICT_REPRODUCED = 0,
    VERDICT_CONTRADICTED,
    VERDICT_INCONCLUSIVE,
    VERDICT_IMPOSSIBLE, /* as printed: the document's own numbers exclude it */
    VERDICT_NOT_TESTED,
    VERDICT_COUNT
};

/* "reproduced", "contradicted", "inconclusive", "impossible as printed", "not tested"; never NULL. */
const char *verdict_word(enum verdict verdict);

/* Where a quantity must lie. */
struct verdict_region {
    double low, high; /* -INFINITY, INFINITY: open on that side */
    bool closed;      /* the ends belong to it */
};

/* One quantity of a claim. */
struct verdict_part {
    struct verdict_region region;
    struct stats_estimate estimate;  /* at VERDICT_LEVEL */
    struct stats_estimate corrected; /* at the level divided by the number of parts */
    double p; /* half-line: two-sided, mean = its end; both ends: the larger one-sided p of two tests; NaN if
                 n < 2 */
    bool certain;         /* no chance in it: counts and printed numbers */
    enum verdict verdict; /* by itself, at VERDICT_LEVEL; NOT_TESTED when it could not be computed */
};

/* Whether a value, or all of [low, high], lies in the region; and whether none of it does. */
bool verdict_inside(const struct verdict_region *region, double low, double high);
bool verdict_outside(const struct verdict_region *region, double low, double high);

/* Judges one of `parts` quantities measured in n runs. A value that is NaN makes it inconclusive. */
struct verdict_part verdict_of_runs(const double *values, int32_t n, int32_t parts,
                                    struct verdict_region region);

/* The same for a quantity without chance (a count, a configuration): every run decides. */
struct verdict_part verdict_of_exact(const double *values, int32_t n, struct verdict_region region);

/* A number that the document prints. `failed` is the verdict when it lies outside. */
struct verdict_part verdict_of_printed(double value, struct verdict_region region, enum verdict failed);

/* The verdict over parts [n >= 1] and, in *out_decisive, the part that decided it: the clearest
 * contradiction, the first that is open, or the one that holds by the least. */
enum verdict verdict_combine(const struct verdict_part *parts, int32_t n, int32_t *out_decisive);

#endif
