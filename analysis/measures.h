/* measures.h - one number per run, by name; and per group of seeds, with an interval.
 *
 * This is what tables print and claims test. The table measure_infos says what each number is. Measures of
 * routing are means over the layers that route, or of one decoder layer: "usage_entropy.2". A run that has no
 * such number (a routing measure of a dense run) is an error, not 0.
 */
#ifndef ANALYSIS_MEASURES_H
#define ANALYSIS_MEASURES_H

#include "analysis/select.h"
#include "analysis/stats.h"

struct measure_info {
    const char *name;
    const char *unit;
    const char *description;
    bool layered; /* may take ".L" */
};

extern const struct measure_info measure_infos[];
extern const int32_t measure_count;

/* MOE_ENOTFOUND: no such measure (names the nearest), layer, or number in this run. MOE_ENUMERIC: not a
 * finite number. */
moe_status measure_of_run(struct run_list *list, const struct run_file *file, const char *name,
                          double *out_value, moe_err *err);

/* Values of all runs of a group, by ascending seed: malloc'ed [group->n]. MOE_ENOTFOUND if the group is
 * empty. */
moe_status measure_of_group(struct run_list *list, const struct run_group *group, const char *name,
                            double **out_values, moe_err *err);

/* Mean and 95 % interval over the seeds of a group. */
moe_status measure_estimate(struct run_list *list, const struct run_group *group, const char *name,
                            struct stats_estimate *out, moe_err *err);

/* Values of `count` groups over the seeds that all of them have, by ascending seed: malloc'ed [count,
 * *out_seeds]. MOE_ENOTFOUND if they share none, or one is empty. */
moe_status measure_shared(struct run_list *list, const struct run_group *groups, int32_t count,
                          const char *name, double **out_values, int32_t *out_seeds, moe_err *err);

/* Mean difference a - b over the seeds that both groups have, paired by seed. MOE_ENOTFOUND if they share
 * none. */
moe_status measure_paired(struct run_list *list, const struct run_group *a, const struct run_group *b,
                          const char *name, struct stats_difference *out, moe_err *err);

/* Ratio a / b, taken seed by seed over the seeds that both groups have; mean and 95 % interval. MOE_ENOTFOUND
 * if they share none. */
moe_status measure_ratio(struct run_list *list, const struct run_group *a, const struct run_group *b,
                         const char *name, struct stats_estimate *out, moe_err *err);

#endif
