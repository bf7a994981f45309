#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"

volatile sig_atomic_t cli_stop = 0;

static void on_signal(int number) {
    (void)number;
    cli_stop = 1;
}

void cli_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

moe_status cli_parse(const struct argp *argp, int argc, char **argv, void *input, moe_err *err) {
    moe_status status = MOE_OK;
    char name[64];
    char *own_name = argv[0];
    snprintf(name, sizeof name, "moe %s", own_name);
    argv[0] = name;
    const int code = argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = own_name;
    if (code != 0 && err->status == MOE_OK) {
        status = moe_fail(err, MOE_EUSAGE, "%s; try `moe %s --help`", strerror(code), own_name);
    } else {
        status = err->status;
    }
    return status;
}

/* ---- --device and --data-dir */

enum { KEY_DEVICE = 'd', KEY_DATA_DIR = 768 }; /* beyond the keys of the commands themselves */

static const struct argp_option place_options[] = {
    {"device", KEY_DEVICE, "NAME", 0, "cpu, cuda, cuda:fp32, or reference: the slow oracle (default: cpu)",
     0},
    {"data-dir", KEY_DATA_DIR, "DIR", 0,
     "where data sets and tokenizers lie (default: $MOE_DATA_DIR, else data)", 0},
    {0},
};

static error_t parse_place(int key, char *arg, struct argp_state *state) {
    struct cli_place *place = state->input;
    switch (key) {
    case KEY_DEVICE:
        place->device = arg;
        return 0;
    case KEY_DATA_DIR:
        place->data_dir = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cli_place_argp = {place_options, parse_place, NULL, NULL, NULL, NULL, NULL};

struct cli_place cli_place_default(void) {
    const char *data_dir = getenv("MOE_DATA_DIR");
    return (struct cli_place){.device = "cpu", .data_dir = data_dir != NULL ? data_dir : "data"};
}

/* ---- numbers */

moe_status cli_integer(const char *option, const char *text, long long least, long long most, long long *out,
                       moe_err *err) {
    moe_status status = MOE_OK;
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    moe_check(errno == 0 && end != text && *end == '\0' && value >= least && value <= most, err, MOE_EUSAGE,
              "%s wants a whole number from %lld to %lld, not '%s'", option, least, most, text);
    *out = value;
out:
    return status;
}

moe_status cli_real(const char *option, const char *text, double least, double most, double *out,
                    moe_err *err) {
    moe_status status = MOE_OK;
    char *end = NULL;
    const double value = strtod(text, &end);
    moe_check(end != text && *end == '\0' && value >= least && value <= most, err, MOE_EUSAGE,
              "%s wants a number from %g to %g, not '%s'", option, least, most, text);
    *out = value;
out:
    return status;
}

const char *cli_suites_dir(void) {
    const char *dir = getenv("MOE_SUITES");
    if (dir != NULL && dir[0] != '\0') return dir;
    return file_is_folder("runs/suites") ? "runs/suites" : MOE_SUITES_DIR;
}

bool cli_is_portable(void) {
    const char *kernel = getenv("MOE_KERNEL_SET");
    return kernel != NULL && strcmp(kernel, "portable") == 0;
}
