/* lr_sweep.h - how long a learning-rate sweep trains, at which rates, and how its runs differ from the
 * experiment's.
 *
 * Every run of a sweep has the experiment's own configuration but for train.lr and its length: it makes
 * `steps` steps whatever the epochs, warms up over `warmup_steps` of them, decays over the rest as the
 * experiment's schedule says, is evaluated once, at its end, and does not stop early.
 */
#ifndef TRAIN_LR_SWEEP_H
#define TRAIN_LR_SWEEP_H

#include "record/lr_sweep.h"
#include "train/experiment_suite.h"

#define LR_SWEEP_FOLDER "lr-sweep" /* below RUNS/TIER/SUITE */

struct lr_sweep_settings {
    double rates[LR_SWEEP_RATES_MAX]; /* each once, in the order given */
    int32_t count;
    int64_t steps, warmup_steps;
    char place[256]; /* where the length was written, for messages */
};

/* What [tier.T.lr_sweep], or else [lr_sweep], or else source D says: 12 rates from 1e-5 to 8e-3, 150 steps,
 * 30 of them warm-up. */
moe_status lr_sweep_settings_of(const struct suite_file *suite, const char *tier,
                                struct lr_sweep_settings *out_settings, moe_err *err);

/* The same of a suite by name; tier NULL is the suite's first. */
moe_status lr_sweep_settings_read(const char *suites_dir, const char *suite, const char *tier,
                                  struct lr_sweep_settings *out_settings, moe_err *err);

/* Rates from a list such as "1e-3,3e-4". MOE_EUSAGE names what is no rate, or stands there twice. */
moe_status lr_sweep_parse_rates(const char *text, struct lr_sweep_settings *settings, moe_err *err);

/* Puts a rate and the sweep's length into a configuration. */
moe_status lr_sweep_apply(const struct lr_sweep_settings *settings, double rate, struct config *config,
                          moe_err *err);

/* The same as --set options, for settings that a command line has changed. */
#define LR_SWEEP_SETS      6
#define LR_SWEEP_SET_CHARS 48
int32_t lr_sweep_sets(const struct lr_sweep_settings *settings,
                      char out_sets[LR_SWEEP_SETS][LR_SWEEP_SET_CHARS]);

/* Every run of a sweep below RUNS/TIER/SUITE/lr-sweep, complete ones only, by rate and seed; malloc'ed. All
 * must have been trained as the first was: MOE_EMISMATCH names two that differ in length or warm-up. */
moe_status lr_sweep_read(const char *runs_dir, const char *tier, const char *suite, const char *experiment,
                         const char *protocol, struct lr_sweep_run **out_runs, int32_t *out_count,
                         moe_err *err);

#endif
