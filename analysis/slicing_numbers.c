/* Numbers of the runs of source C. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "analysis/domain_losses.h"
#include "analysis/slicing.h"

#define LAST_STEPS 50  /* that a mean at the end is over, */
#define LAST_SHARE 0.1 /* or of a long run so much of its steps */

const char *const slicing_number_labels[SLICING_NUMBERS] = {
    "validation loss (nats per token)", "accuracy", "training loss (nats per token)",
    "balance loss (1 = balanced)", "largest over mean load"};

/* NULL: all. */
static moe_status last_evaluation(const struct slicing_grid *grid, const struct slicing_run *run,
                                  const char *column, const char *domain, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_list *runs = grid->report->runs;
    const int32_t number = domain != NULL ? run_list_domain(runs, run->file, domain) : 0;
    moe_check(number >= 0, err, MOE_ENOTFOUND, "%s: no domain \"%s\" was evaluated", run->file->path, domain);
    moe_try(domain_last(runs, run->file, column, number, out, err));
out:
    return status;
}

/* Mean of a dataset, GROUP/NAME, over the rows of the last steps: those of the record, which may not hold
 * every step. */
static moe_status late_mean(const struct slicing_grid *grid, const struct slicing_run *run, const char *group,
                            const char *name, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL, *steps = NULL;
    int64_t dims[4] = {0}, step_dims[4] = {0}, first = 0;
    int32_t rank = 0, step_rank = 0;
    char path[64];
    snprintf(path, sizeof path, "%s/%s", group, name);
    moe_try(run_list_array(grid->report->runs, run->file, path, &values, dims, &rank, err));
    snprintf(path, sizeof path, "%s/step", group);
    moe_try(run_list_array(grid->report->runs, run->file, path, &steps, step_dims, &step_rank, err));
    const int64_t width = rank > 1 ? dims[1] : 1, rows = dims[0];
    moe_check(rows > 0 && width > 0 && step_dims[0] == rows, err, MOE_ENOTFOUND, "%s: %s has no rows",
              run->file->path, path);
    const double last = fmax(LAST_STEPS, LAST_SHARE * steps[rows - 1]);
    while (steps[first] <= steps[rows - 1] - last)
        first++;
    *out = stats_mean(values + first * width, (int32_t)((rows - first) * width));
out:
    free(values);
    free(steps);
    return status;
}

/* /train/loss_aux is alpha times the sum over the routers, or their mean where the configuration says so; the
 * groups of a layer add up in both. */
static moe_status balance_loss(const struct slicing_grid *grid, const struct slicing_run *run, double *out,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *config, *counts;
    const int32_t routers = run->file->info.axes.moe_layers;
    const double groups = run->at[AXIS_SECOND] > 0 ? 2.0 : 1.0;
    moe_check(routers > 0 && run->at[AXIS_ALPHA] > 0, err, MOE_ENOTFOUND, "%s: the run has no balance loss",
              run->file->path);
    moe_try(late_mean(grid, run, "/train", "loss_aux", out, err));
    moe_try(run_list_json(grid->report->runs, run->file, &config, &counts, err));
    const bool mean = json_is_true(json_object_get(json_object_get(config, "moe"), "aux_mean_over_layers"));
    *out /= run->at[AXIS_ALPHA] * (mean ? groups : (double)routers);
out:
    return status;
}

moe_status slicing_number_of(const struct slicing_grid *grid, const struct slicing_run *run,
                             enum slicing_number number, const char *domain, double *out, moe_err *err) {
    switch (number) {
    case NUMBER_EVAL_CE:
        return last_evaluation(grid, run, "/eval/loss_ce", domain, out, err);
    case NUMBER_ACCURACY:
        return last_evaluation(grid, run, "/eval/accuracy", domain, out, err);
    case NUMBER_TRAIN_CE:
        return late_mean(grid, run, "/train", "loss_ce", out, err);
    case NUMBER_BALANCE:
        return balance_loss(grid, run, out, err);
    default:
        if (run->file->info.axes.moe_layers == 0)
            return moe_fail(err, MOE_ENOTFOUND, "%s: the model has no router", run->file->path);
        return late_mean(grid, run, "/routing", "max_over_mean", out, err);
    }
}

moe_status slicing_estimate(const struct slicing_grid *grid, const struct slicing_choice *choice,
                            enum slicing_number number, const char *domain, struct stats_estimate *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    double *values = malloc(((size_t)grid->n + 1) * sizeof *values);
    int32_t n = 0;
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", grid->n);
    for (int32_t i = 0; i < grid->n; i++) {
        if (!slicing_fits(choice, &grid->runs[i])) continue;
        moe_try(slicing_number_of(grid, &grid->runs[i], number, domain, &values[n], err));
        n++;
    }
    *out = stats_mean_interval(values, n, 0.95);
out:
    free(values);
    return status;
}
