#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/suite_display.h"
#include "train/suite.h"

#define MAX_SETS 64

struct suite_arguments {
    struct plan_request request;
    const char *sets[MAX_SETS];
    const char *device, *data_dir;
    long long seeds, first_seed, jobs, threads;
    bool plan_only;
    moe_err *err;
};

enum { KEY_ONLY = 'o', KEY_JOBS = 'J', KEY_THREADS = 'j' };
enum { KEY_SHARD = 256, KEY_PLAN, KEY_SET, KEY_RUNS_DIR, KEY_DATA_DIR, KEY_FIRST_SEED, KEY_DEVICE };

static const struct argp_option options[] = {
    {"tier", 't', "NAME", 0, "smoke, desk, gpu or full (default: smoke)", 0},
    {"protocol", 'p', "NAME", 0, "as-published or corrected (default: both)", 0},
    {"seeds", 's', "N", 0, "seeds per experiment (default: 3)", 0},
    {"first-seed", KEY_FIRST_SEED, "N", 0, "the first of them (default: 1)", 0},
    {"only", KEY_ONLY, "GLOBS", 0, "experiments by name; patterns separated by commas", 0},
    {"jobs", KEY_JOBS, "N", 0, "runs at a time (default: one per core)", 0},
    {"threads", KEY_THREADS, "N", 0, "threads per run (default: cores / jobs)", 0},
    {"shard", KEY_SHARD, "I/N", 0,
     "only every N-th run, from the I-th: N calls share a suite without overlap", 0},
    {"plan", KEY_PLAN, NULL, 0, "print each run's parameters, FLOPs, memory and time; train nothing", 0},
    {"data-dir", KEY_DATA_DIR, "DIR", 0, "where data sets lie (default: $MOE_DATA_DIR, else data)", 0},
    {"runs-dir", KEY_RUNS_DIR, "DIR", 0, "where runs go (default: runs)", 0},
    {"device", KEY_DEVICE, "NAME", 0, "cpu (default)", 0},
    {"set", KEY_SET, "KEY=VALUE", 0, "override one configuration key in every run; may be repeated", 0},
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
    struct suite_arguments *a = state->input;
    switch (key) {
    case 't':
        a->request.tier = arg;
        return 0;
    case 'p':
        a->request.protocol = arg;
        return 0;
    case KEY_ONLY:
        a->request.only = arg;
        return 0;
    case KEY_RUNS_DIR:
        a->request.runs_dir = arg;
        return 0;
    case KEY_DATA_DIR:
        a->data_dir = arg;
        return 0;
    case KEY_DEVICE:
        a->device = arg;
        return 0;
    case KEY_PLAN:
        a->plan_only = true;
        return 0;
    case 's':
        return cli_integer("--seeds", arg, 1, 10000, &a->seeds, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_FIRST_SEED:
        return cli_integer("--first-seed", arg, 0, INT64_MAX / 2, &a->first_seed, a->err) == MOE_OK ? 0
                                                                                                    : EINVAL;
    case KEY_JOBS:
        return cli_integer("--jobs", arg, 1, 256, &a->jobs, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_THREADS:
        return cli_integer("--threads", arg, 1, 1024, &a->threads, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_SHARD:
        return parse_shard(arg, &a->request, a->err);
    case KEY_SET:
        if (a->request.set_count == MAX_SETS) argp_error(state, "at most %d --set", MAX_SETS);
        a->sets[a->request.set_count++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one suite at a time");
        a->request.suite = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which suite? e.g. moe-vs-dense");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *state_name(enum run_state state) {
    return state == RUN_COMPLETE ? "complete" : state == RUN_RESUMABLE ? "resumable" : "missing";
}

/* Hours at a stated speed are a guess; the FLOPs are not. */
static void print_plan(const struct plan *plan) {
    const double guess_gflops = 100;
    double hours = 0;
    printf("%-44s %-9s %11s %11s %9s %9s %8s\n", "run", "state", "parameters", "active", "PFLOP", "memory",
           "hours*");
    for (int32_t i = 0; i < plan->count; i++) {
        const struct planned_run *r = &plan->runs[i];
        const double h = r->flops / (guess_gflops * 1e9) / 3600;
        char name[2 * EXPERIMENT_NAME_MAX];
        snprintf(name, sizeof name, "%s.%s.s%llu", r->experiment->name, r->experiment->protocol,
                 (unsigned long long)r->experiment->train.seed);
        printf("%-44s %-9s %11lld %11lld %9.3f %5lld MiB %8.3f\n", name, state_name(r->state),
               (long long)r->counts.total, (long long)r->counts.active, r->flops * 1e-15,
               (long long)(r->memory >> 20), h);
        if (r->state != RUN_COMPLETE) hours += h;
    }
    printf("\n%d runs; what is missing: %.2f core hours\n* of one core at %.0f GFLOP/s, all epochs, no early "
           "stop\n",
           plan->count, hours, guess_gflops);
}

static moe_status run_plan(const struct suite_arguments *a, const struct plan *plan, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_summary summary = {0};
    struct suite_display *display = NULL;
    moe_try(suite_display_open(plan, stderr, &display, err));
    cli_catch_signals();
    const struct suite_options suite = {
        .jobs = (int)a->jobs,
        .threads = (int)a->threads,
        .program = "/proc/self/exe",
        .portable = cli_is_portable(),
        .data_dir = a->data_dir,
        .device = a->device,
        .sets = a->sets,
        .set_count = a->request.set_count,
        .stop = &cli_stop,
        .on_event = suite_display_event,
        .user = display,
    };
    status = suite_run(plan, &suite, &summary, err);
    suite_display_close(display);
    printf("%d runs: %d trained now, %d complete before, %d failed, %d interrupted\n", plan->count,
           summary.done, summary.complete_before, summary.failed, summary.interrupted);
out:
    return status;
}

moe_status cmd_suite(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    const char *env_data = getenv("MOE_DATA_DIR");
    struct plan plan = {0};
    struct suite_arguments a = {
        .request =
            {.suites_dir = cli_suites_dir(), .tier = "smoke", .runs_dir = "runs", .shard = 1, .shards = 1},
        .device = "cpu",
        .data_dir = env_data != NULL ? env_data : "data",
        .seeds = 3,
        .first_seed = 1,
        .err = err,
    };
    const struct argp argp = {
        options,
        parse,
        "SUITE",
        "Trains every run of a suite that is missing, several at a time; resumes what was cut off, never "
        "repeats a finished run, and goes on when one fails.",
        NULL,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    a.request.seeds = (int32_t)a.seeds;
    a.request.first_seed = (uint64_t)a.first_seed;
    a.request.sets = a.sets;
    moe_try(plan_make(&a.request, &plan, err));
    if (a.plan_only) {
        print_plan(&plan);
    } else {
        moe_try(run_plan(&a, &plan, err));
    }
out:
    plan_free(&plan);
    return status;
}
