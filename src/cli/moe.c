/* moe - trains the experiments. See `moe --help`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "device/blas_kernel.h"

struct command {
    const char *name, *summary;
    moe_status (*run)(int argc, char **argv, moe_err *err);
};

static const struct command commands[] = {
    {"train", "train one experiment of a suite, or go on with it", cmd_train},
    {"suite", "train everything of a suite that is missing", cmd_suite},
    {"lr-sweep", "train an experiment for a few steps at each of many learning rates", cmd_lr_sweep},
    {"generate", "write text with trained models, side by side", cmd_generate},
    {"data", "list, describe and fetch data sets", cmd_data},
    {"import", "turn a model of Hugging Face transformers or llama2.c into a model file", cmd_import},
    {"export", "turn a model file into a folder for Hugging Face transformers", cmd_export},
    {"bench", "measure matrix products and training steps", cmd_bench},
    {"info", "say what this build and machine can do; --keys lists every configuration key", cmd_info},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_usage(FILE *out) {
    fprintf(out, "usage: moe [--portable] COMMAND [ARGUMENT...]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n--portable pins the BLAS kernel, for equal bits on every x86-64 machine with AVX2.\n"
                 "`moe COMMAND --help` describes a command. Figures, tables and verdicts: moe-report.\n");
}

/* The kernel of the BLAS is chosen when its library is loaded, from the environment: a program that wants
 * another one must start again. MOE_KERNEL_SET keeps it from doing so twice. */
static void choose_blas_kernel(char **argv, bool portable) {
    const char *kernel = portable ? "Haswell" : blas_preferred_kernel();
    if (kernel == NULL || getenv("MOE_KERNEL_SET") != NULL) return;
    setenv("OPENBLAS_CORETYPE", kernel, 1);
    setenv("MOE_KERNEL_SET", portable ? "portable" : "preferred", 1);
    execv("/proc/self/exe", argv);
    /* without /proc the program runs on with the kernel it has */
}

int main(int argc, char **argv) {
    moe_err err = {0};
    int at = 1;
    argp_err_exit_status = moe_exit_code(MOE_EUSAGE);
    const bool portable = argc > 1 && strcmp(argv[1], "--portable") == 0;
    choose_blas_kernel(argv, portable);
    if (portable) at++;
    if (at >= argc || strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
        print_usage(at >= argc ? stderr : stdout);
        return at >= argc ? 2 : 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[at], commands[i].name) != 0) continue;
        const moe_status status = commands[i].run(argc - at, argv + at, &err);
        if (status != MOE_OK && err.message[0] != '\0')
            fprintf(stderr, "moe %s: %s\n", argv[at], err.message);
        return moe_exit_code(status);
    }
    fprintf(stderr, "moe: there is no command '%s'\n\n", argv[at]);
    print_usage(stderr);
    return 2;
}
