#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/config.h"
#include "device/backend.h"
#include "device/module.h"
#include "train/experiment.h"
#include "train/run_facts.h"

struct info_arguments {
    bool keys;
};

static const struct argp_option options[] = {
    {"keys", 'k', NULL, 0, "list every configuration key with type, default, range and meaning", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct info_arguments *a = state->input;
    (void)arg;
    if (key != 'k') return ARGP_ERR_UNKNOWN;
    a->keys = true;
    return 0;
}

/* What --device takes here, and what was found of CUDA or why nothing was. */
static void print_devices(void) {
    const struct device_module *module = NULL;
    char text[DEVICE_MODULE_TEXT];
    moe_err none = {0};
    const bool cuda = device_module_find(&module, &none) == MOE_OK && module->describe(text, &none) == MOE_OK;
    printf("%-14s cpu, %sreference (slow, the oracle of the tests)\n", "devices",
           cuda ? "cuda, cuda:fp32, " : "");
    printf("%-14s %s\n", "cuda", cuda ? text : none.message);
}

static moe_status print_machine(moe_err *err) {
    moe_status status = MOE_OK;
    struct device *dev = NULL;
    struct run_facts facts;
    const struct device_options options_of_cpu = {
        .max_rows = 16, .max_vocab = 16, .max_seq = 16, .max_width = 16};
    moe_try(device_open("cpu", &options_of_cpu, &dev, err));
    run_facts_begin(&facts, dev, cli_is_portable());
    for (int32_t i = 0; i < facts.count; i++) {
        if (strcmp(facts.items[i].name, "start") == 0) continue;
        printf("%-14s %s\n", facts.items[i].name, facts.items[i].value);
    }
    print_devices();
    printf("%-14s %s\n", "suites", cli_suites_dir());
out:
    device_close(dev);
    return status;
}

moe_status cmd_info(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct info_arguments a = {0};
    char *keys = NULL;
    const struct argp argp = {options, parse, NULL, "Says what this build and machine can do.",
                              NULL,    NULL,  NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    if (a.keys) {
        moe_try(config_document(&EXPERIMENT_KEYS, &keys, err));
        fputs(keys, stdout);
    } else {
        moe_try(print_machine(err));
    }
out:
    free(keys);
    return status;
}
