/* claims_command.h - moe-report claims */
#ifndef ANALYSIS_CLAIMS_COMMAND_H
#define ANALYSIS_CLAIMS_COMMAND_H

#include <stdio.h>

#include "core/status.h"

/* moe-report claims [--source A] [--format text|json] [--runs-dir DIR] [--tier T] [--protocol P]
 *                   [--paper DIR]
 * Without --source all sources; in JSON one array. argv[0] is the command's name. MOE_EUSAGE for a wrong
 * command line. */
moe_status claims_command(int argc, char **argv, FILE *out, moe_err *err);

#endif
