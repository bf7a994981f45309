#include "analysis/lr_sweeps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The set of an experiment and protocol, made if it is not there. */
static moe_status find_set(struct lr_sweeps *s, const char *experiment, const char *protocol,
                           struct lr_sweep_set **out_set, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < s->count; i++) {
        *out_set = &s->sets[i];
        if (strcmp((*out_set)->experiment, experiment) == 0 && strcmp((*out_set)->protocol, protocol) == 0)
            return MOE_OK;
    }
    struct lr_sweep_set *larger = realloc(s->sets, ((size_t)s->count + 1) * sizeof *larger);
    moe_check(larger != NULL, err, MOE_ENOMEM, "no memory for a list of sweeps");
    s->sets = larger;
    *out_set = &larger[s->count++];
    **out_set = (struct lr_sweep_set){.count = 0};
    snprintf((*out_set)->experiment, sizeof(*out_set)->experiment, "%s", experiment);
    snprintf((*out_set)->protocol, sizeof(*out_set)->protocol, "%s", protocol);
out:
    return status;
}

static moe_status add_run(struct run_list *list, const struct run_file *file, struct lr_sweep_set *set,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct lr_sweep_run *larger = realloc(set->runs, ((size_t)set->count + 1) * sizeof *larger);
    moe_check(larger != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
    set->runs = larger;
    moe_try(run_list_reader(list, file, &reader, err));
    moe_try(lr_sweep_run_of(reader, &larger[set->count], err));
    set->count++;
out:
    return status;
}

moe_status lr_sweeps_of(struct run_list *list, const char *suite, struct lr_sweeps *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweeps s = {0};
    for (int32_t i = 0; i < run_list_count(list); i++) {
        const struct run_file *file = run_list_at(list, i);
        struct lr_sweep_set *set = NULL;
        char experiment[LR_SWEEP_NAME_MAX];
        double rate;
        if (strcmp(file->info.suite, suite) != 0) continue;
        if (!lr_sweep_parse_name(file->info.experiment, experiment, &rate)) continue;
        moe_try(find_set(&s, experiment, file->info.protocol, &set, err));
        moe_try(add_run(list, file, set, err));
    }
    for (int32_t i = 0; i < s.count; i++)
        moe_try(lr_sweep_summarize(s.sets[i].runs, s.sets[i].count, &s.sets[i].summary, err));
    *out = s;
    s = (struct lr_sweeps){0};
out:
    lr_sweeps_free(&s);
    return status;
}

void lr_sweeps_free(struct lr_sweeps *sweeps) {
    for (int32_t i = 0; i < sweeps->count; i++)
        free(sweeps->sets[i].runs);
    free(sweeps->sets);
    *sweeps = (struct lr_sweeps){0};
}

struct stats_estimate lr_sweep_estimate(const struct lr_sweep_set *set, int32_t rate, bool validation) {
    const struct lr_sweep_rate *r = &set->summary.rates[rate];
    double values[LR_SWEEP_SEEDS_MAX];
    int32_t n = 0;
    for (int32_t i = r->first; i < r->first + r->seeds; i++)
        if (!set->runs[i].diverged)
            values[n++] = validation ? set->runs[i].validation_loss : set->runs[i].train_loss;
    return stats_mean_interval(values, n, 0.95);
}

struct stats_difference lr_sweep_excess(const struct lr_sweep_set *set, int32_t rate) {
    const struct lr_sweep_summary *s = &set->summary;
    double a[LR_SWEEP_SEEDS_MAX], b[LR_SWEEP_SEEDS_MAX];
    int32_t n = 0;
    if (s->suggested < 0 || s->suggested == rate)
        return (struct stats_difference){.value = NAN, .low = NAN, .high = NAN};
    const struct lr_sweep_rate *r = &s->rates[rate], *best = &s->rates[s->suggested];
    for (int32_t i = r->first; i < r->first + r->seeds; i++) {
        for (int32_t j = best->first; j < best->first + best->seeds; j++) {
            if (set->runs[i].seed != set->runs[j].seed || set->runs[i].diverged) continue;
            a[n] = set->runs[i].train_loss;
            b[n++] = set->runs[j].train_loss;
        }
    }
    return stats_paired(a, b, n, 0.95);
}
