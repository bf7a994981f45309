/* experiment_axes.h - the axes of an experiment: their declarations, and its runs, one for each combination
 * of values that its conditions let through.
 */
#ifndef TRAIN_EXPERIMENT_AXES_H
#define TRAIN_EXPERIMENT_AXES_H

#include "train/experiment_suite.h"

/* Checks all declarations and uses once the files of a suite are merged: names, values, conditions.
 * MOE_ECONFIG with file, line and the nearest name. */
moe_status axes_check(const struct suite_file *suite, moe_err *err);

/* Appends the runs of an experiment to a list: the last axis runs fastest. The list is the caller's to free
 * in any case. `seeds` of a run comes from the nearest of the experiment and those that it inherits from,
 * else from the tier. */
moe_status axes_expand(const struct suite_file *suite, const struct suite_file_chain *chain,
                       const char *protocol, const char *tier, struct suite_file_run **runs, int32_t *count,
                       moe_err *err);

/* What a value of a declared axis means: a key and its value (new reference in *out_value), or a table like
 * an experiment's (borrowed); the other one is NULL. */
moe_status axes_meaning(const struct suite_file *suite, const char *axis, const json_t *value,
                        const char **out_key, json_t **out_value, const json_t **out_table, moe_err *err);

#endif
