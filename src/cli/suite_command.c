#include "cli/suite_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/suite_display.h"

enum { KEY_TIER = 't', KEY_SEEDS = 's', KEY_JOBS = 'J', KEY_THREADS = 'j' };
/* beyond those of the commands themselves */
enum { KEY_FIRST_SEED = 512, KEY_PLAN, KEY_DRY_RUN, KEY_SET, KEY_RUNS_DIR, KEY_MEMORY };

static const struct argp_option options[] = {
    {"tier", KEY_TIER, "NAME", 0, "smoke, desk, gpu or full (default: smoke)", 0},
    {"seeds", KEY_SEEDS, "N", 0, "seeds of each (default: what the suite says, else 3; of a sweep 1)", 0},
    {"first-seed", KEY_FIRST_SEED, "N", 0, "the first of them (default: 1)", 0},
    {"jobs", KEY_JOBS, "N", 0, "runs at a time (default: one per core)", 0},
    {"threads", KEY_THREADS, "N", 0, "threads per run (default: cores / jobs)", 0},
    {"memory", KEY_MEMORY, "SIZE", 0,
     "most that the runs of one moment may need together, e.g. 12G (default: nine tenths of what there is)",
     0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "say what would be trained, in which order; train nothing", 0},
    {"plan", KEY_PLAN, NULL, 0, "print each run's parameters, FLOPs, memory and time; train nothing", 0},
    {"runs-dir", KEY_RUNS_DIR, "DIR", 0, "where runs go (default: runs)", 0},
    {"set", KEY_SET, "KEY=VALUE", 0, "override one configuration key in every run; may be repeated", 0},
    {0},
};

/* Bytes with a unit of powers of 1024: 900M, 12G, 1.5T. */
static moe_status parse_memory(const char *text, int64_t *out_bytes, moe_err *err) {
    moe_status status = MOE_OK;
    static const char units[] = "KMGT";
    char *end = NULL;
    double size = strtod(text, &end);
    const char *unit = *end != '\0' ? strchr(units, *end) : NULL;
    moe_check(end != text && unit != NULL && end[1] == '\0' && size > 0 && size < 1e6, err, MOE_EUSAGE,
              "--memory wants a size with its unit, e.g. 900M or 12G, not '%s'", text);
    for (const char *u = units; u <= unit; u++)
        size *= 1024;
    *out_bytes = (int64_t)size;
out:
    return status;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct suite_command *c = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &c->place;
        return 0;
    case KEY_TIER:
        c->request.tier = arg;
        return 0;
    case KEY_RUNS_DIR:
        c->request.runs_dir = arg;
        return 0;
    case KEY_PLAN:
        c->plan_only = true;
        return 0;
    case KEY_DRY_RUN:
        c->dry_run = true;
        return 0;
    case KEY_MEMORY:
        return parse_memory(arg, &c->memory, c->err) == MOE_OK ? 0 : EINVAL;
    case KEY_SEEDS:
        return cli_integer("--seeds", arg, 1, 10000, &c->seeds, c->err) == MOE_OK ? 0 : EINVAL;
    case KEY_FIRST_SEED:
        return cli_integer("--first-seed", arg, 0, INT64_MAX / 2, &c->first_seed, c->err) == MOE_OK ? 0
                                                                                                    : EINVAL;
    case KEY_JOBS:
        return cli_integer("--jobs", arg, 1, 256, &c->jobs, c->err) == MOE_OK ? 0 : EINVAL;
    case KEY_THREADS:
        return cli_integer("--threads", arg, 1, 1024, &c->threads, c->err) == MOE_OK ? 0 : EINVAL;
    case KEY_SET:
        if (c->request.set_count == SUITE_MAX_SETS) argp_error(state, "at most %d --set", SUITE_MAX_SETS);
        c->sets[c->request.set_count++] = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_place_argp, 0, NULL, 0}, {0}};
const struct argp suite_command_argp = {options, parse, NULL, NULL, children, NULL, NULL};

struct suite_command suite_command_defaults(moe_err *err) {
    return (struct suite_command){
        .request =
            {.suites_dir = cli_suites_dir(), .tier = "smoke", .runs_dir = "runs", .shard = 1, .shards = 1},
        .place = cli_place_default(),
        .first_seed = 1,
        .err = err,
    };
}

void suite_command_finish(struct suite_command *command) {
    command->request.seeds = (int32_t)command->seeds;
    command->request.first_seed = (uint64_t)command->first_seed;
    command->request.sets = command->sets;
}

static const char *state_name(const struct planned_run *run) {
    if (run->damage != NULL) return "damaged";
    return run->state == RUN_COMPLETE ? "complete" : run->state == RUN_RESUMABLE ? "resumable" : "missing";
}

/* A number of a column, "?" where it is not known. */
static void print_cell(int width, double value, bool known) {
    if (known)
        printf(" %*.3f", width, value);
    else
        printf(" %*s", width, "?");
}

static void run_name(const struct planned_run *run, char *name, size_t size) {
    snprintf(name, size, "%s.%s.s%llu", run->experiment->name, run->experiment->protocol,
             (unsigned long long)run->experiment->train.seed);
}

static int name_columns(const struct plan *plan) {
    int columns = 44;
    char name[2 * EXPERIMENT_NAME_MAX];
    for (int32_t i = 0; i < plan->count; i++) {
        run_name(&plan->runs[i], name, sizeof name);
        if ((int)strlen(name) > columns) columns = (int)strlen(name);
    }
    return columns;
}

static void print_shard(const struct suite_command *c, const struct plan *plan) {
    if (c->request.shards > 1)
        printf("shard %d of %d: %d of %d runs\n", c->request.shard, c->request.shards, plan->count,
               plan->whole);
}

/* Every damaged file with what to do about it; MOE_EFORMAT if there is one. */
static moe_status print_damage(const struct plan *plan, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t damaged = 0;
    char name[2 * EXPERIMENT_NAME_MAX];
    for (int32_t i = 0; i < plan->count; i++) {
        if (plan->runs[i].damage == NULL) continue;
        run_name(&plan->runs[i], name, sizeof name);
        printf("damaged: %s: %s\n", name, plan->runs[i].damage);
        damaged++;
    }
    moe_check(damaged == 0, err, MOE_EFORMAT,
              "%d of %d runs have a damaged file, named above, and will not be trained", damaged,
              plan->count);
out:
    return status;
}

/* The unit in which the largest run has a number before the point. */
struct flops_unit {
    double scale;
    const char *name;
};

static struct flops_unit flops_unit_of(const struct plan *plan) {
    static const struct flops_unit units[] = {{1e15, "PFLOP"}, {1e12, "TFLOP"}, {1e9, "GFLOP"}};
    double most = 0;
    size_t u = 0;
    for (int32_t i = 0; i < plan->count; i++)
        if (plan->runs[i].flops > most) most = plan->runs[i].flops;
    while (u + 1 < sizeof units / sizeof units[0] && most < 10 * units[u].scale)
        u++;
    return units[u];
}

/* Hours at a stated speed are a guess; the FLOPs are not. */
moe_status suite_command_print_plan(const struct suite_command *command, const struct plan *plan,
                                    moe_err *err) {
    const int columns = name_columns(plan);
    double hours = 0, flops = 0;
    int64_t memory = 0;
    int32_t unknown = 0;
    char name[2 * EXPERIMENT_NAME_MAX];
    const struct flops_unit unit = flops_unit_of(plan);
    printf("%-*s %-9s %11s %11s %9s %9s %8s\n", columns, "run", "state", "parameters", "active", unit.name,
           "memory", "hours*");
    for (int32_t i = 0; i < plan->count; i++) {
        const struct planned_run *r = &plan->runs[i];
        const double h = r->tokens > 0 ? r->seconds / 3600 : 0;
        run_name(r, name, sizeof name);
        printf("%-*s %-9s %11lld %11lld", columns, name, state_name(r), (long long)r->counts.total,
               (long long)r->counts.active);
        print_cell(9, r->flops / unit.scale, r->tokens > 0);
        printf(" %5lld MiB", (long long)(r->memory >> 20));
        print_cell(8, h, r->tokens > 0);
        printf("\n");
        flops += r->flops;
        if (r->memory > memory) memory = r->memory;
        if (r->state == RUN_COMPLETE || r->damage != NULL) continue;
        hours += h;
        unknown += r->tokens <= 0;
    }
    printf("\n%d runs; what is missing: %.2f core hours", plan->count, hours);
    if (unknown > 0) printf(" and %d runs over all of a text (?), whose length is not known before", unknown);
    printf("\n* of one core at %g GFLOP/s, all epochs, no early stop\n", plan->speed.gflops);
    printf("in all %.3f %s; the largest run needs %lld MiB\n", flops / unit.scale, unit.name,
           (long long)(memory >> 20));
    print_shard(command, plan);
    return print_damage(plan, err);
}

static struct suite_options options_of(const struct suite_command *command) {
    return (struct suite_options){
        .jobs = (int)command->jobs,
        .threads = (int)command->threads,
        .memory = command->memory,
        .program = "/proc/self/exe",
        .portable = cli_is_portable(),
        .keep_models = command->keep_models,
        .data_dir = command->place.data_dir,
        .device = command->place.device,
        .sets = command->sets,
        .set_count = command->request.set_count,
        .stop = &cli_stop,
    };
}

moe_status suite_command_print_order(const struct suite_command *command, const struct plan *plan,
                                     moe_err *err) {
    const struct suite_options suite = options_of(command);
    const struct suite_limits limits = suite_limits_of(&suite);
    const int columns = name_columns(plan);
    int32_t trained = 0, complete = 0, skipped = 0;
    char name[2 * EXPERIMENT_NAME_MAX];
    for (int32_t i = 0; i < plan->count; i++) {
        const struct planned_run *r = &plan->runs[i];
        const char *hindrance = r->damage != NULL                    ? "; its file is damaged"
                                : suite_memory_of(r) > limits.memory ? "; it needs more memory than there is"
                                                                     : NULL;
        complete += r->state == RUN_COMPLETE;
        if (r->state == RUN_COMPLETE) continue;
        skipped += hindrance != NULL;
        trained += hindrance == NULL;
        run_name(r, name, sizeof name);
        printf("%-7s %-*s %7lld MiB",
               hindrance != NULL           ? "skip"
               : r->state == RUN_RESUMABLE ? "resume"
                                           : "train",
               columns, name, (long long)(r->memory >> 20));
        print_cell(9, r->seconds / 60, r->tokens > 0);
        printf(" core minutes%s\n", hindrance != NULL ? hindrance : "");
    }
    printf("%s%d runs: %d would be trained, %d are complete, %d would be skipped; up to %d at a time with %d "
           "threads each in %lld MiB\n",
           trained + skipped > 0 ? "\n" : "", plan->count, trained, complete, skipped, limits.jobs,
           limits.threads, (long long)(limits.memory >> 20));
    print_shard(command, plan);
    return print_damage(plan, err);
}

moe_status suite_command_train(const struct suite_command *command, const struct plan *plan, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_summary summary = {0};
    struct suite_display *display = NULL;
    moe_try(suite_display_open(plan, stderr, &display, err));
    cli_catch_signals();
    struct suite_options suite = options_of(command);
    suite.on_event = suite_display_event;
    suite.user = display;
    status = suite_run(plan, &suite, &summary, err);
    suite_display_close(display, stdout);
    printf("%d runs: %d trained now, %d complete before, %d failed, %d interrupted and resumable, %d not "
           "started, %d skipped\n",
           plan->count, summary.done, summary.complete_before, summary.failed, summary.interrupted,
           summary.not_started, summary.skipped);
out:
    return status;
}
