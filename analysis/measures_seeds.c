/* Measures over the seeds of a group, and of several groups over the seeds that they share. */
#include "analysis/measures.h"

#include <math.h>
#include <stdlib.h>

moe_status measure_of_group(struct run_list *list, const struct run_group *group, const char *name,
                            double **out_values, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    moe_check(group->n > 0, err, MOE_ENOTFOUND, "no runs of %s/%s %s, tier %s, below %s", group->suite,
              group->experiment, group->protocol, run_list_tier(list), run_list_roots(list));
    values = malloc((size_t)group->n * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", group->n);
    for (int32_t i = 0; i < group->n; i++)
        moe_try(measure_of_run(list, &group->files[i], name, &values[i], err));
    *out_values = values;
    values = NULL;
out:
    free(values);
    return status;
}

moe_status measure_estimate(struct run_list *list, const struct run_group *group, const char *name,
                            struct stats_estimate *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    moe_try(measure_of_group(list, group, name, &values, err));
    *out = stats_mean_interval(values, group->n, 0.95);
out:
    free(values);
    return status;
}

/* Whether every group has a run of this seed. */
static bool all_have(const struct run_group *groups, int32_t count, uint64_t seed) {
    for (int32_t g = 0; g < count; g++) {
        int32_t i = 0;
        while (i < groups[g].n && groups[g].files[i].info.seed != seed)
            i++;
        if (i == groups[g].n) return false;
    }
    return true;
}

moe_status measure_shared(struct run_list *list, const struct run_group *groups, int32_t count,
                          const char *name, double **out_values, int32_t *out_seeds, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int32_t seeds = 0;
    for (int32_t i = 0; i < groups[0].n; i++)
        seeds += all_have(groups, count, groups[0].files[i].info.seed);
    values = malloc(((size_t)count * (size_t)seeds + 1) * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", count * seeds);
    for (int32_t g = 0; g < count; g++) {
        int32_t s = 0;
        moe_check(groups[g].n > 0, err, MOE_ENOTFOUND, "no runs of %s/%s %s, tier %s, below %s",
                  groups[g].suite, groups[g].experiment, groups[g].protocol, run_list_tier(list),
                  run_list_roots(list));
        for (int32_t i = 0; i < groups[g].n; i++) {
            if (!all_have(groups, count, groups[g].files[i].info.seed)) continue;
            moe_try(measure_of_run(list, &groups[g].files[i], name, &values[g * seeds + s], err));
            s++;
        }
    }
    moe_check(seeds > 0, err, MOE_ENOTFOUND, "%s/%s and %s/%s %s have no seed in common", groups[0].suite,
              groups[0].experiment, groups[count - 1].suite, groups[count - 1].experiment,
              groups[count - 1].protocol);
    *out_values = values;
    *out_seeds = seeds;
    values = NULL;
out:
    free(values);
    return status;
}

moe_status measure_paired(struct run_list *list, const struct run_group *a, const struct run_group *b,
                          const char *name, struct stats_difference *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int32_t seeds = 0;
    moe_try(measure_shared(list, (const struct run_group[]){*a, *b}, 2, name, &values, &seeds, err));
    *out = stats_paired(values, values + seeds, seeds, 0.95);
out:
    free(values);
    return status;
}

moe_status measure_ratio(struct run_list *list, const struct run_group *a, const struct run_group *b,
                         const char *name, struct stats_estimate *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int32_t seeds = 0;
    moe_try(measure_shared(list, (const struct run_group[]){*a, *b}, 2, name, &values, &seeds, err));
    for (int32_t i = 0; i < seeds; i++) {
        values[i] /= values[seeds + i];
        moe_check(isfinite(values[i]), err, MOE_ENUMERIC, "%s/%s %s: %s of seed %d of the shared ones is 0",
                  b->suite, b->experiment, b->protocol, name, i);
    }
    *out = stats_mean_interval(values, seeds, 0.95);
out:
    free(values);
    return status;
}
