#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/suite_command.h"

/* --only has no letter: -o is the output of other commands */
enum { KEY_PROTOCOL = 'p', KEY_ONLY = 256, KEY_SHARD, KEY_KEEP_MODELS };

static const struct argp_option options[] = {
    {"protocol", KEY_PROTOCOL, "NAME", 0, "as-published or corrected (default: both)", 0},
    {"only", KEY_ONLY, "GLOBS", 0, "runs by name; patterns separated by commas", 0},
    {"shard", KEY_SHARD, "I/N", 0,
     "only the I-th of N parts of about equal cost: N calls share a suite without overlap", 0},
    {"keep-models", KEY_KEEP_MODELS, NULL, 0,
     "leave the trained weights of each run beside it, as RUN.safetensors (default: none)", 0},
    {0},
};

static error_t parse_shard(const char *text, struct plan_request *request, moe_err *err) {
    int shard = 0, shards = 0, end = 0;
    if (sscanf(text, "%d/%d%n", &shard, &shards, &end) == 2 && text[end] == '\0' && shard >= 1 &&
        shard <= shards) {
        request->shard = shard;
        request->shards = shards;
        return 0;
    }
    moe_fail(err, MOE_EUSAGE, "--shard wants I/N with 1 <= I <= N, e.g. 2/8, not '%s'", text);
    return EINVAL;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct suite_command *c = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = c;
        return 0;
    case KEY_PROTOCOL:
        c->request.protocol = arg;
        return 0;
    case KEY_KEEP_MODELS:
        c->keep_models = true;
        return 0;
    case KEY_ONLY:
        c->request.only = arg;
        return 0;
    case KEY_SHARD:
        return parse_shard(arg, &c->request, c->err);
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one suite at a time");
        c->request.suite = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which suite? e.g. moe-vs-dense");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

moe_status cmd_suite(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct plan plan = {0};
    struct suite_command c = suite_command_defaults(err);
    const struct argp_child children[] = {{&suite_command_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "SUITE",
        "Trains every run of a suite that is missing, several at a time; resumes what was cut off, never "
        "repeats a finished run, and goes on when one fails.",
        children,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &c, err));
    suite_command_finish(&c);
    moe_try(plan_make(&c.request, &plan, err));
    if (c.plan_only) {
        moe_try(suite_command_print_plan(&c, &plan, err));
    } else if (c.dry_run) {
        moe_try(suite_command_print_order(&c, &plan, err));
    } else {
        moe_try(suite_command_train(&c, &plan, err));
    }
out:
    plan_free(&plan);
    return status;
}
