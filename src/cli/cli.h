/* cli.h - what the sub-commands of `moe` share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <signal.h>

#include "core/status.h"

/* Every sub-command: argv[0] is its name ("train"). Failures are in err; the program prints them. */
moe_status cmd_train(int argc, char **argv, moe_err *err);
moe_status cmd_suite(int argc, char **argv, moe_err *err);
moe_status cmd_lr_sweep(int argc, char **argv, moe_err *err);
moe_status cmd_generate(int argc, char **argv, moe_err *err);
moe_status cmd_data(int argc, char **argv, moe_err *err);
moe_status cmd_import(int argc, char **argv, moe_err *err);
moe_status cmd_export(int argc, char **argv, moe_err *err);
moe_status cmd_bench(int argc, char **argv, moe_err *err);
moe_status cmd_info(int argc, char **argv, moe_err *err);

/* Set by SIGINT and SIGTERM once cli_catch_signals() has been called. */
extern volatile sig_atomic_t cli_stop;
void cli_catch_signals(void);

/* argp_parse with "moe NAME" as the program's name; MOE_EUSAGE (argp has printed why) or exits for --help. */
moe_status cli_parse(const struct argp *argp, int argc, char **argv, void *input, moe_err *err);

/* Where a command computes and finds its data: --device and --data-dir, which commands take as a child of
 * their own argp. Its input is a struct cli_place. */
struct cli_place {
    const char *device, *data_dir;
};
extern const struct argp cli_place_argp;

/* "cpu"; $MOE_DATA_DIR, else "data". */
struct cli_place cli_place_default(void);

/* Numbers of options; failures name the option. */
moe_status cli_integer(const char *option, const char *text, long long least, long long most, long long *out,
                       moe_err *err);
moe_status cli_real(const char *option, const char *text, double least, double most, double *out,
                    moe_err *err);

/* The folder with the suites: $MOE_SUITES, else runs/suites below the current folder, else the source tree's.
 */
const char *cli_suites_dir(void);

/* --portable: true if this process runs with the pinned BLAS kernel (set when the program re-executes
 * itself). */
bool cli_is_portable(void);

#endif
