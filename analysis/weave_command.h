/* weave_command.h - moe-report weave */
#ifndef ANALYSIS_WEAVE_COMMAND_H
#define ANALYSIS_WEAVE_COMMAND_H

#include <stdio.h>

#include "core/status.h"

/* moe-report weave [--runs-dir DIR] [--tier T] [--paper DIR] [--figures DIR] [--out DIR] [--check]
 * argv[0] is the command's name. MOE_EUSAGE for a wrong command line. */
moe_status weave_command(int argc, char **argv, FILE *out, moe_err *err);

#endif
