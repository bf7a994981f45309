/* experiment_internal.h - what the files of train/experiment share. */
#ifndef TRAIN_EXPERIMENT_INTERNAL_H
#define TRAIN_EXPERIMENT_INTERNAL_H

#include "train/experiment.h"
#include "train/experiment_suite.h"

/* Puts in the values that TOML leaves to others (0 and "all"), checking what that needs. config tells where
 * values were written and may be NULL. */
moe_status experiment_resolve(struct experiment *e, const struct config *config, moe_err *err);

/* experiment_validate() with the places of values in the messages. */
moe_status experiment_check(const struct experiment *e, const struct config *config, moe_err *err);

/* experiment_load() of a suite that is read already. */
moe_status experiment_from_suite(const struct suite_file *suite, const struct experiment_choice *choice,
                                 struct experiment **out_experiment, moe_err *err);

/* The same of a run that suite_file_runs() gave for the choice's protocol and tier, neither of them NULL;
 * what the choice calls the experiment is not read. */
moe_status experiment_from_run(const struct suite_file *suite, const struct suite_file_run *run,
                               const struct experiment_choice *choice, struct experiment **out_experiment,
                               moe_err *err);

#endif
