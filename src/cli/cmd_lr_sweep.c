#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/suite_command.h"
#include "train/lr_sweep.h"

#define SWEEP_USER_SETS (SUITE_MAX_SETS - LR_SWEEP_SETS)
#define CURVE_COLUMNS   40

enum { KEY_PROTOCOL = 'p', KEY_LR = 256, KEY_STEPS, KEY_WARMUP, KEY_REPORT_ONLY };

struct sweep_arguments {
    struct suite_command command;
    char target[2 * EXPERIMENT_NAME_MAX]; /* SUITE/EXPERIMENT; the slash becomes 0 */
    const char *experiment;               /* in target */
    const char *lr;                       /* NULL: the suite's list */
    long long steps, warmup_steps;        /* -1: the suite's */
    bool report_only;
};

static const struct argp_option options[] = {
    {"protocol", KEY_PROTOCOL, "NAME", 0, "as-published or corrected (default: corrected)", 0},
    {"lr", KEY_LR, "LIST", 0, "rates, separated by commas (default: the suite's list)", 0},
    {"steps", KEY_STEPS, "N", 0, "steps of each run (default: the suite's, else 150)", 0},
    {"warmup", KEY_WARMUP, "N", 0, "warm-up steps of them (default: the suite's, else 30)", 0},
    {"report-only", KEY_REPORT_ONLY, NULL, 0, "train nothing: the report of the runs there are", 0},
    {0},
};

static moe_status take_target(struct sweep_arguments *a, const char *arg, moe_err *err) {
    moe_status status = MOE_OK;
    snprintf(a->target, sizeof a->target, "%s", arg);
    char *slash = strchr(a->target, '/');
    moe_check(strlen(arg) < sizeof a->target && slash != NULL && slash != a->target && slash[1] != '\0', err,
              MOE_EUSAGE, "'%s' is not SUITE/EXPERIMENT, e.g. moedl/c3_moedl_e32_k4", arg);
    *slash = '\0';
    a->command.request.suite = a->target;
    a->experiment = slash + 1;
out:
    return status;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct sweep_arguments *a = state->input;
    moe_err *err = a->command.err;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->command;
        return 0;
    case KEY_PROTOCOL:
        a->command.request.protocol = arg;
        return 0;
    case KEY_LR:
        a->lr = arg;
        return 0;
    case KEY_STEPS:
        return cli_integer("--steps", arg, 1, 1000000, &a->steps, err) == MOE_OK ? 0 : EINVAL;
    case KEY_WARMUP:
        return cli_integer("--warmup", arg, 0, 1000000, &a->warmup_steps, err) == MOE_OK ? 0 : EINVAL;
    case KEY_REPORT_ONLY:
        a->report_only = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one experiment at a time");
        return take_target(a, arg, err) == MOE_OK ? 0 : EINVAL;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which experiment? SUITE/EXPERIMENT, e.g. moedl/c3_moedl_e32_k4");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the suite says, changed by the command line. */
static moe_status settle(const struct sweep_arguments *a, struct lr_sweep_settings *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plan_request *r = &a->command.request;
    moe_try(lr_sweep_settings_read(r->suites_dir, r->suite, r->tier, out, err));
    if (a->lr != NULL) moe_try(lr_sweep_parse_rates(a->lr, out, err));
    if (a->steps >= 0) out->steps = a->steps;
    if (a->warmup_steps >= 0) out->warmup_steps = a->warmup_steps;
    moe_check(out->warmup_steps < out->steps, err, MOE_EUSAGE,
              "a sweep of %lld steps ends in its warm-up of %lld; see --steps and --warmup",
              (long long)out->steps, (long long)out->warmup_steps);
out:
    return status;
}

/* The name that an experiment's runs carry: what an alias stands for. */
static moe_status settle_name(struct sweep_arguments *a, char out_name[EXPERIMENT_NAME_MAX], moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *e = NULL;
    const struct plan_request *r = &a->command.request;
    const struct experiment_choice choice = {.suites_dir = r->suites_dir,
                                             .suite = r->suite,
                                             .experiment = a->experiment,
                                             .protocol = r->protocol,
                                             .tier = r->tier,
                                             .seed = 1,
                                             .sets = r->sets,
                                             .set_count = r->set_count};
    moe_try(experiment_load(&choice, &e, err));
    snprintf(out_name, EXPERIMENT_NAME_MAX, "%s", e->name);
out:
    experiment_free(e);
    return status;
}

/* Trains what is missing, or prints the plan. *out_reportable: runs were made, even if not all. */
static moe_status train(struct sweep_arguments *a, const struct lr_sweep_settings *settings,
                        const char *experiment, bool *out_reportable, moe_err *err) {
    moe_status status = MOE_OK;
    struct plan plan = {0};
    char sets[LR_SWEEP_SETS][LR_SWEEP_SET_CHARS];
    char names[LR_SWEEP_RATES_MAX][LR_SWEEP_NAME_MAX];
    const char *pointers[LR_SWEEP_RATES_MAX];
    struct suite_command *c = &a->command;
    lr_sweep_sets(settings, sets);
    for (int32_t i = 0; i < LR_SWEEP_SETS; i++)
        c->sets[c->request.set_count++] = sets[i];
    for (int32_t i = 0; i < settings->count; i++) {
        moe_try(lr_sweep_format_name(experiment, settings->rates[i], names[i], err));
        pointers[i] = names[i];
    }
    c->request.names = pointers;
    c->request.name_count = settings->count;
    moe_try(plan_make(&c->request, &plan, err));
    if (c->plan_only) {
        moe_try(suite_command_print_plan(c, &plan, err));
    } else if (c->dry_run) {
        moe_try(suite_command_print_order(c, &plan, err));
    } else {
        status = suite_command_train(c, &plan, err);
        *out_reportable = status != MOE_EINTERRUPTED;
    }
out:
    plan_free(&plan);
    return status;
}

/* ---- the report */

/* A mark for a loss between the lowest and the highest, or at the right edge for one that diverged. */
static void print_curve(double loss, double low, double high) {
    char line[CURVE_COLUMNS + 1];
    memset(line, ' ', CURVE_COLUMNS);
    line[CURVE_COLUMNS] = '\0';
    if (isfinite(loss)) {
        const double at = high > low ? (loss - low) / (high - low) : 0;
        line[(int)lround(at * (CURVE_COLUMNS - 2))] = 'o';
    } else {
        line[CURVE_COLUMNS - 1] = '>';
    }
    printf("  |%s|", line);
}

static void print_rate(const struct lr_sweep_summary *s, int32_t i, const struct lr_sweep_run *runs,
                       double low, double high) {
    const struct lr_sweep_rate *r = &s->rates[i];
    const bool complete = isfinite(r->train_loss) && r->diverged == 0;
    printf("%9g %6d", r->rate, r->seeds);
    if (isfinite(r->train_loss)) {
        printf(" %11.4f %11.4f", r->train_loss, r->validation_loss);
    } else {
        printf(" %11s %11s", "-", "-");
    }
    if (r->diverged == 0) {
        printf("  %-24s", "");
    } else {
        int64_t first = INT64_MAX; /* step at which a number was not finite */
        for (int32_t k = r->first; k < r->first + r->seeds; k++)
            if (!runs[k].finite && runs[k].steps + 1 < first) first = runs[k].steps + 1;
        char text[64];
        if (first == INT64_MAX) {
            snprintf(text, sizeof text, "%d diverged", r->diverged);
        } else {
            snprintf(text, sizeof text, "%d diverged (step %lld)", r->diverged, (long long)first);
        }
        printf("  %-24s", text);
    }
    print_curve(complete ? r->train_loss : NAN, low, high);
    printf("%s%s\n", i == s->suggested ? " suggested" : "",
           i == s->largest && i != s->suggested ? " largest within the noise" : "");
}

static void print_suggestion(const struct lr_sweep_summary *s) {
    int32_t incomplete = 0;
    for (int32_t i = 0; i < s->count; i++)
        incomplete += s->rates[i].seeds < s->seeds;
    if (s->suggested < 0) {
        printf("\nno rate to suggest: %s\n",
               s->count == 0 ? "there is no run" : "at each a seed diverged or is missing");
        return;
    }
    const struct lr_sweep_rate *best = &s->rates[s->suggested];
    if (incomplete > 0)
        printf("\n%d of %d rates lack a seed that others have and are left out; so far, of the others,",
               incomplete, s->count);
    printf("\nsuggested: train.lr = %g, the rate with the smallest training loss\n", best->rate);
    if (s->largest < 0) {
        printf("how far that is noise, one seed does not say: see --seeds\n");
    } else if (s->largest != s->suggested) {
        const struct lr_sweep_rate *r = &s->rates[s->largest];
        printf("largest within the noise: %g, %.4f +- %.4f above it (difference by seed, standard error)\n",
               r->rate, r->excess, r->excess_error);
    } else {
        printf("no larger rate comes within two standard errors of it\n");
    }
    if (s->suggested == 0 && s->count > 1)
        printf("it is the smallest rate of the list: a smaller one may do better\n");
    if (s->suggested == s->count - 1 && s->count > 1)
        printf("it is the largest rate of the list: a larger one may do better\n");
}

static void print_report(const struct sweep_arguments *a, const char *experiment,
                         const struct lr_sweep_run *runs, const struct lr_sweep_summary *s) {
    double low = INFINITY, high = -INFINITY;
    for (int32_t i = 0; i < s->count; i++) {
        if (s->rates[i].diverged > 0) continue;
        low = fmin(low, s->rates[i].train_loss);
        high = fmax(high, s->rates[i].train_loss);
    }
    printf("\n%s/%s, %s, tier %s", a->command.request.suite, experiment, a->command.request.protocol,
           a->command.request.tier);
    if (s->count > 0) {
        printf(": %lld steps, %lld of them warm-up\n", (long long)runs[0].max_steps,
               (long long)runs[0].warmup_steps);
        printf(
            "training loss: mean of the last %d steps; diverged: not finite, or above the first step's\n\n",
            LR_SWEEP_LAST_STEPS);
        printf("%9s %6s %11s %11s  %-24s  |%-*s|\n", "lr", "seeds", "train loss", "validation", "",
               CURVE_COLUMNS, "low               train loss        high");
    } else {
        printf("\n");
    }
    for (int32_t i = 0; i < s->count; i++)
        print_rate(s, i, runs, low, high);
    print_suggestion(s);
}

static moe_status read_sweep(const struct sweep_arguments *a, const char *experiment,
                             struct lr_sweep_run **runs, int32_t *count, moe_err *err) {
    const struct plan_request *r = &a->command.request;
    return lr_sweep_read(r->runs_dir, r->tier, r->suite, experiment, r->protocol, runs, count, err);
}

/* MOE_EMISMATCH if what is there was trained over other steps. */
static moe_status check_length(const struct sweep_arguments *a, const char *experiment,
                               const struct lr_sweep_settings *settings, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plan_request *r = &a->command.request;
    struct lr_sweep_run *runs = NULL;
    int32_t count = 0;
    moe_try(read_sweep(a, experiment, &runs, &count, err));
    moe_check(count == 0 ||
                  (runs[0].max_steps == settings->steps && runs[0].warmup_steps == settings->warmup_steps),
              err, MOE_EMISMATCH,
              "%s/%s/%s/" LR_SWEEP_FOLDER
              " has runs of %s with %lld steps, %lld of them warm-up, not %lld and "
              "%lld: delete them, or choose another --runs-dir",
              r->runs_dir, r->tier, r->suite, experiment, (long long)runs[0].max_steps,
              (long long)runs[0].warmup_steps, (long long)settings->steps, (long long)settings->warmup_steps);
out:
    free(runs);
    return status;
}

static moe_status report(const struct sweep_arguments *a, const char *experiment, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweep_summary summary;
    struct lr_sweep_run *runs = NULL;
    int32_t count = 0;
    moe_try(read_sweep(a, experiment, &runs, &count, err));
    moe_try(lr_sweep_summarize(runs, count, &summary, err));
    print_report(a, experiment, runs, &summary);
out:
    free(runs);
    return status;
}

moe_status cmd_lr_sweep(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweep_settings settings;
    char experiment[EXPERIMENT_NAME_MAX];
    bool reportable = true;
    struct sweep_arguments a = {.command = suite_command_defaults(err), .steps = -1, .warmup_steps = -1};
    const struct argp_child children[] = {{&suite_command_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "SUITE/EXPERIMENT",
        "Trains an experiment for a few steps at each learning rate of a list, several at a time, and says "
        "which rate has the smallest loss. What was cut off is resumed, what is finished is not repeated.",
        children,
        NULL,
        NULL};
    a.command.request.protocol = "corrected";
    a.command.seeds = 1;
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    suite_command_finish(&a.command);
    moe_check(a.command.request.set_count <= SWEEP_USER_SETS, err, MOE_EUSAGE, "at most %d --set",
              SWEEP_USER_SETS);
    moe_try(settle_name(&a, experiment, err));
    if (!a.report_only) {
        moe_try(settle(&a, &settings, err));
        moe_try(check_length(&a, experiment, &settings, err));
        reportable = false;
        status = train(&a, &settings, experiment, &reportable, err);
    }
    if (reportable && status == MOE_OK) {
        moe_try(report(&a, experiment, err));
    } else if (reportable) {
        moe_err unused = {0}; /* the failure of the training is what counts */
        report(&a, experiment, &unused);
    }
out:
    return status;
}
