#include <stdio.h>

#include "cli/cli.h"
#include "data/data_command.h"

moe_status cmd_data(int argc, char **argv, moe_err *err) {
    return data_command(argc, argv, stdout, err);
}
