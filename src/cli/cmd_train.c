#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress_line.h"
#include "record/lr_sweep.h"
#include "train/trainer.h"

#define MAX_SETS 64

struct train_arguments {
    char target[256]; /* SUITE/EXPERIMENT */
    const char *protocol, *tier, *out, *runs_dir;
    struct cli_place place;
    long long seed, threads, progress_fd;
    const char *sets[MAX_SETS];
    int set_count;
    moe_err *err;
    bool keep_model;
};

enum { KEY_PROTOCOL = 'p', KEY_TIER = 't', KEY_SEED = 's', KEY_THREADS = 'j', KEY_OUT = 'o' };
enum { KEY_SET = 256, KEY_RUNS_DIR, KEY_PROGRESS_FD, KEY_KEEP_MODEL };

static const struct argp_option options[] = {
    {"protocol", KEY_PROTOCOL, "NAME", 0, "as-published or corrected (default: corrected)", 0},
    {"tier", KEY_TIER, "NAME", 0, "smoke, desk, gpu or full (default: smoke)", 0},
    {"seed", KEY_SEED, "N", 0, "seed of parameters, order and dropout (default: 1)", 0},
    {"threads", KEY_THREADS, "N", 0, "CPU threads (default: all cores); any number gives the same bits", 0},
    {"set", KEY_SET, "KEY=VALUE", 0, "override one configuration key; may be repeated", 0},
    {"out", KEY_OUT, "FILE", 0, "the run file (default: RUNS/TIER/SUITE/EXPERIMENT.PROTOCOL.sSEED.h5)", 0},
    {"keep-model", KEY_KEEP_MODEL, NULL, 0,
     "leave the trained weights beside the run file, as RUN.safetensors (default: a run leaves none)", 0},
    {"runs-dir", KEY_RUNS_DIR, "DIR", 0, "RUNS of the default run file (default: runs)", 0},
    {"progress-fd", KEY_PROGRESS_FD, "N", OPTION_HIDDEN, "report progress as lines to this descriptor", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct train_arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->place;
        return 0;
    case KEY_PROTOCOL:
        a->protocol = arg;
        return 0;
    case KEY_TIER:
        a->tier = arg;
        return 0;
    case KEY_OUT:
        a->out = arg;
        return 0;
    case KEY_KEEP_MODEL:
        a->keep_model = true;
        return 0;
    case KEY_RUNS_DIR:
        a->runs_dir = arg;
        return 0;
    case KEY_SEED:
        return cli_integer("--seed", arg, 0, INT64_MAX, &a->seed, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_THREADS:
        return cli_integer("--threads", arg, 1, 1024, &a->threads, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_PROGRESS_FD:
        return cli_integer("--progress-fd", arg, 0, 1 << 20, &a->progress_fd, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_SET:
        if (a->set_count == MAX_SETS) argp_error(state, "at most %d --set", MAX_SETS);
        a->sets[a->set_count++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one experiment at a time; `moe suite` trains many");
        snprintf(a->target, sizeof a->target, "%s", arg);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which experiment? SUITE/EXPERIMENT, e.g. moe-vs-dense/baseline");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What became of the run; a suite, which knows its file, reads that it diverged from standard error. */
static void print_result(const struct train_arguments *a, const char *path,
                         const struct trainer_result *result) {
    const bool diverged = result->divergence[0] != '\0';
    if (a->progress_fd >= 0) {
        if (diverged) fprintf(stderr, "diverged: %s\n", result->divergence);
    } else if (diverged) {
        printf("%s: diverged: %s; digest %.16s\n", path, result->divergence, result->digest);
    } else {
        printf("%s: %s after %lld steps, best validation loss %.4f, digest %.16s\n", path, result->outcome,
               (long long)result->steps, result->best, result->digest);
    }
}

static moe_status load(struct train_arguments *a, struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    char *slash = strchr(a->target, '/');
    moe_check(slash != NULL && slash != a->target && slash[1] != '\0', err, MOE_EUSAGE,
              "'%s' is not SUITE/EXPERIMENT, e.g. moe-vs-dense/baseline", a->target);
    *slash = '\0';
    const struct experiment_choice choice = {
        .suites_dir = cli_suites_dir(),
        .suite = a->target,
        .experiment = slash + 1,
        .protocol = a->protocol,
        .tier = a->tier,
        .seed = (uint64_t)a->seed,
        .sets = a->sets,
        .set_count = a->set_count,
    };
    moe_try(experiment_load(&choice, out_experiment, err));
out:
    return status;
}

moe_status cmd_train(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *e = NULL;
    char *path = NULL;
    struct progress_line line = {0};
    struct trainer_result result;
    char swept[LR_SWEEP_NAME_MAX];
    double rate;
    struct train_arguments a = {
        .protocol = "corrected",
        .tier = "smoke",
        .place = cli_place_default(),
        .runs_dir = "runs",
        .seed = 1,
        .progress_fd = -1,
        .err = err,
    };
    const struct argp_child children[] = {{&cli_place_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "SUITE/EXPERIMENT",
        "Trains one experiment into one run file. An interrupted run goes on where it stood; a complete "
        "one is not repeated.",
        children,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    moe_try(load(&a, &e, err));
    path = a.out != NULL ? strdup(a.out) : trainer_default_path(a.runs_dir, e);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    cli_catch_signals();
    moe_try(progress_line_begin(&line, e, (int)a.progress_fd, err));
    const struct trainer_options trainer = {
        .path = path,
        .data_dir = a.place.data_dir,
        .suites_dir = cli_suites_dir(),
        .device = a.place.device,
        .threads = (int)a.threads,
        .portable = cli_is_portable(),
        .keep_model = a.keep_model,
        .seal_diverged = lr_sweep_parse_name(e->name, swept, &rate),
        .stop = &cli_stop,
        .report = progress_line_report,
        .user = &line,
    };
    status = trainer_run(e, &trainer, &result, err);
    progress_line_end(&line, status);
    if (status == MOE_OK) print_result(&a, path, &result);
out:
    experiment_free(e);
    free(path);
    return status;
}
