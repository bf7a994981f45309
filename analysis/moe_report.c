/* moe-report: tables, figures and checks of runs, from run files alone. */
#include "analysis/moe_report.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_command.h"
#include "analysis/figure.h"
#include "analysis/figure_all.h"
#include "analysis/report_needs.h"
#include "analysis/weave.h"
#include "analysis/weave_command.h"
#include "core/text.h"

const char *argp_program_version = "moe-report " MOE_VERSION;

static const char usage_args[] = "runs ls|show|diff|digest|verify [FILE...]\n"
                                 "table ID...\n"
                                 "figure ID...\n"
                                 "claims|weave [OPTION...]\n"
                                 "all";

static const char usage_doc[] =
    "Tables and figures from run files.\n"
    "\v"
    "  runs ls [PATH...]        lists runs, complete or in progress\n"
    "  runs show FILE...        what a run is and what came out\n"
    "  runs diff FILE FILE      what differs: configuration, datasets, provenance\n"
    "  runs digest FILE...      content digests, computed from the data\n"
    "  runs verify FILE...      recomputes digest and routing measures and compares\n"
    "  table ID... | --all      prints tables (--list: which there are)\n"
    "  figure ID... | --all     draws figures into files (--list: which there are)\n"
    "  claims                   judges the published claims; options: --source A (default: all),\n"
    "                           --format text|json, --protocol P, --runs-dir, --tier, --paper\n"
    "  weave                    writes the report; options: --figures FOLDER, --out FOLDER, --check (only\n"
    "                           compares), --runs-dir, --tier, --paper\n"
    "  all                      draws all figures and writes the report\n"
    "\n"
    "Runs are looked for below runs/reference unless --runs-dir says otherwise. A report is made from one "
    "tier "
    "at a time, the "
    "largest that is there. Exit status: 0 done, 1 failed (runs diff: the contents differ), 2 wrong usage.";

enum { OPTION_PAPER = 256, OPTION_REPORT, OPTION_FORMAT, OPTION_ALL, OPTION_LIST };

static const struct argp_option argp_options[] = {
    {"runs-dir", 'r', "PATH", 0,
     "Folder with run files, or a run file; may be repeated (default: runs/reference)", 0},
    {"tier", 't', "TIER", 0, "Tier of the runs: smoke, desk, gpu or full (default: the largest there is)", 0},
    {"out", 'o', "FOLDER", 0, "Where figures are written (default: figures)", 0},
    {"paper", OPTION_PAPER, "FOLDER", 0,
     "Folder with chapters, claims and published numbers (default: paper)", 0},
    {"report", OPTION_REPORT, "FOLDER", 0,
     "Where `all` writes report.md and report.html (default: that of --paper)", 0},
    {"format", OPTION_FORMAT, "FORMAT", 0, "Of tables: text, markdown or csv (default: text)", 0},
    {"all", OPTION_ALL, NULL, 0, "All tables or figures", 0},
    {"list", OPTION_LIST, NULL, 0, "List tables or figures", 0},
    {0},
};

static void parse_format(const char *text, struct options *o, struct argp_state *state) {
    static const char *const names[] = {
        [TABLE_MARKDOWN] = "markdown", [TABLE_TEXT] = "text", [TABLE_CSV] = "csv"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        o->format = (enum table_format)i;
        return;
    }
    argp_error(state, "--format %s: expected text, markdown or csv", text);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct options *o = state->input;
    switch (key) {
    case 'r':
        if (o->num_roots == MAX_ROOTS) argp_error(state, "--runs-dir: at most %d folders", MAX_ROOTS);
        o->roots[o->num_roots++] = arg;
        return 0;
    case 't':
        o->tier = arg;
        return 0;
    case 'o':
        o->figures_dir = arg;
        return 0;
    case OPTION_PAPER:
        o->paper_dir = arg;
        return 0;
    case OPTION_REPORT:
        o->report_dir = arg;
        return 0;
    case OPTION_FORMAT:
        parse_format(arg, o, state);
        return 0;
    case OPTION_ALL:
        o->all = true;
        return 0;
    case OPTION_LIST:
        o->list = true;
        return 0;
    case ARGP_KEY_ARGS:
        o->args = state->argv + state->next;
        o->num_args = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static moe_status open_report(const struct options *o, struct report **out_report, moe_err *err) {
    const struct run_selection selection = {.roots = o->roots, .num_roots = o->num_roots, .tier = o->tier};
    return report_open(&selection, o->paper_dir, out_report, err);
}

static moe_status command_table(const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    char *text = NULL;
    const struct table *table;
    if (o->list) {
        for (int32_t i = 0; (table = table_at(i)) != NULL; i++)
            printf("%-16s %s\n", table->id, table->title);
        goto out;
    }
    moe_check(o->all || o->num_args > 1, err, MOE_EUSAGE,
              "table: which? name one, or --all (--list lists them)");
    for (int32_t i = 1; !o->all && i < o->num_args; i++)
        moe_try(table_find(o->args[i], &table, err));
    moe_try(open_report(o, &report, err));
    for (int32_t i = 0; o->all ? table_at(i) != NULL : i + 1 < o->num_args; i++) {
        table = table_at(i);
        if (!o->all) moe_try(table_find(o->args[i + 1], &table, err));
        moe_try(table_print(report, table, o->format, &text, err));
        if (o->format == TABLE_TEXT) printf("%s%s\n\n", i > 0 ? "\n" : "", table->title);
        if (o->format == TABLE_MARKDOWN)
            printf("%s**%s.** %s\n\n", i > 0 ? "\n" : "", table->title, table->caption);
        fputs(text, stdout);
        free(text);
        text = NULL;
    }
out:
    free(text);
    report_close(report);
    return status;
}

static moe_status draw(struct report *report, const struct options *o, const struct figure *figure,
                       moe_err *err) {
    moe_status status = MOE_OK;
    char *path = NULL;
    moe_try(figure_write(report, figure, o->figures_dir, &path, err));
    printf("%s\n", path);
out:
    free(path);
    return status;
}

/* Draws all figures; those that these runs have nothing for are left out. */
static moe_status draw_all(struct report *report, const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    const struct figure *figure;
    char name[FIGURE_NAME_MAX];
    moe_try(figure_write_all(report, o->figures_dir, err));
    for (int32_t i = 0; (figure = figure_at(i)) != NULL; i++) {
        figure_file_name(figure, name);
        if (run_list_concerns(report->runs, figure->need)) {
            printf("%s/%s\n", o->figures_dir, name);
        } else {
            printf("%s: left out, no runs of %s for it\n", figure->id, figure->need->suite);
        }
    }
out:
    return status;
}

static moe_status command_figure(const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    const struct figure *figure;
    if (o->list) {
        for (int32_t i = 0; (figure = figure_at(i)) != NULL; i++)
            printf("%-20s %s\n", figure->id, figure->title);
        goto out;
    }
    moe_check(o->all || o->num_args > 1, err, MOE_EUSAGE,
              "figure: which? name one, or --all (--list lists them)");
    for (int32_t i = 1; !o->all && i < o->num_args; i++)
        moe_try(figure_find(o->args[i], &figure, err));
    moe_try(open_report(o, &report, err));
    if (o->all) moe_try(draw_all(report, o, err));
    for (int32_t i = 1; !o->all && i < o->num_args; i++) {
        moe_try(figure_find(o->args[i], &figure, err));
        moe_try(draw(report, o, figure, err));
    }
out:
    report_close(report);
    return status;
}

/* Says all that is missing at once, before anything is drawn. */
static moe_status require_whole(struct report *report, const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    struct text missing = {0};
    moe_check(run_list_count(report->runs) > 0, err, MOE_ENOTFOUND,
              "all: no complete runs%s%s; train some with `moe suite`, or name their folder with --runs-dir",
              o->tier != NULL ? " of tier " : "", o->tier != NULL ? o->tier : "");
    moe_try(report_missing_runs(report, &missing, err));
    if (missing.length == 0) goto out;
    fprintf(stderr, "These runs make no whole report. The rest of it is trained by\n%s", missing.data);
    fprintf(stderr, "with the options of before (--seeds, --runs-dir, --data-dir). Until then, `moe-report "
                    "claims` judges what there is.\n");
    status = moe_fail(err, MOE_ENOTFOUND, "all: runs are missing below %s; nothing was written",
                      run_list_roots(report->runs));
out:
    text_free(&missing);
    return status;
}

/* The text is woven before a figure is drawn: what the runs lack shows there, and nothing is half written. */
static moe_status command_all(const struct options *o, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    struct woven woven = {0};
    const char *folder = o->report_dir != NULL ? o->report_dir : o->paper_dir;
    moe_check(o->num_args == 1, err, MOE_EUSAGE, "all: takes no arguments");
    moe_try(open_report(o, &report, err));
    moe_try(require_whole(report, o, err));
    const struct weave_request request = {report, o->figures_dir, folder};
    moe_try(weave_markdown(&request, true, &woven, err));
    moe_try(draw_all(report, o, err));
    moe_try(weave_html(&request, &woven, err));
    moe_try(weave_save(&request, &woven, err));
    printf("%s/report.md\n%s/report.html\n", folder, folder);
out:
    woven_free(&woven);
    report_close(report);
    return status;
}

struct command {
    const char *name;
    moe_status (*run)(const struct options *options, moe_err *err);
};

/* Commands that read their own options: everything behind their name is theirs. */
struct own_command {
    const char *name;
    moe_status (*run)(int argc, char **argv, FILE *out, moe_err *err);
};

static const struct own_command own_commands[] = {
    {"claims", claims_command},
    {"weave", weave_command},
};

static const struct command commands[] = {
    {"runs", command_runs},
    {"table", command_table},
    {"figure", command_figure},
    {"all", command_all},
};

static const struct own_command *find_own_command(const char *name) {
    for (size_t i = 0; i < sizeof own_commands / sizeof own_commands[0]; i++)
        if (strcmp(own_commands[i].name, name) == 0) return &own_commands[i];
    return NULL;
}

static moe_status run_command(const struct options *o, moe_err *err) {
    if (find_own_command(o->args[0]) != NULL)
        return moe_fail(err, MOE_EUSAGE, "%s: its options come behind its name; see `moe-report %s --help`",
                        o->args[0], o->args[0]);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, o->args[0]) == 0) return commands[i].run(o, err);
    return moe_fail(err, MOE_EUSAGE, "no command \"%s\"; `moe-report --help` lists them", o->args[0]);
}

static moe_status parse_and_run(int argc, char **argv, moe_err *err) {
    const struct argp argp = {argp_options, parse_option, usage_args, usage_doc, NULL, NULL, NULL};
    struct options options = {.paper_dir = "paper", .figures_dir = "figures", .format = TABLE_TEXT};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (options.num_roots == 0) options.roots[options.num_roots++] = "runs/reference";
    return run_command(&options, err);
}

int main(int argc, char **argv) {
    moe_err err = {0};
    const bool help = argc > 2 && strcmp(argv[2], "--help") == 0;
    const struct own_command *own = argc > 1 && !help ? find_own_command(argv[1]) : NULL;
    moe_status status =
        own != NULL ? own->run(argc - 1, argv + 1, stdout, &err) : parse_and_run(argc, argv, &err);
    if (status == MOE_OK && fflush(stdout) != 0) status = moe_fail(&err, MOE_EIO, "cannot write the output");
    if (status != MOE_OK && err.message[0] != '\0') fprintf(stderr, "moe-report: %s\n", err.message);
    return moe_exit_code(status);
}
