/* suite_command.h - what `moe suite` and `moe lr-sweep` share: options, the plan in print, and the training
 * of it. */
#ifndef CLI_SUITE_COMMAND_H
#define CLI_SUITE_COMMAND_H

#include "cli/cli.h"
#include "train/suite.h"

/* Of both commands. request.sets and request.set_count are those of `sets`. */
struct suite_command {
    struct plan_request request;
    const char *sets[SUITE_MAX_SETS];
    struct cli_place place;
    long long seeds, first_seed, jobs, threads;
    int64_t memory; /* bytes; 0: the machine's */
    bool plan_only, dry_run;
    bool keep_models; /* leave the weights of each run beside it */
    moe_err *err;
};

/* Defaults; options write their errors to err. */
struct suite_command suite_command_defaults(moe_err *err);

/* The common options, as a child of a command's own argp; its input is the struct suite_command. */
extern const struct argp suite_command_argp;

/* Puts the numbers that were parsed into the request. */
void suite_command_finish(struct suite_command *command);

/* The plan as a table on standard output, below it each damaged file and what to do about it. MOE_EFORMAT if
 * there is one. */
moe_status suite_command_print_plan(const struct suite_command *command, const struct plan *plan,
                                    moe_err *err);

/* What suite_command_train() would do, in its order, on standard output; damaged files likewise. */
moe_status suite_command_print_order(const struct suite_command *command, const struct plan *plan,
                                     moe_err *err);

/* Trains what the plan lacks, showing it on standard error, and says on standard output what became of it.
 * Errors of suite_run(). */
moe_status suite_command_train(const struct suite_command *command, const struct plan *plan, moe_err *err);

#endif
