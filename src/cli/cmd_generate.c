/* cmd_generate.c - text from trained models: one as it comes, several side by side. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text_output.h"
#include "core/columns.h"
#include "core/progress.h"
#include "core/text.h"
#include "train/generate.h"

enum { MAX_MODELS = 16, COLUMN_GAP = 3, LEAST_COLUMN = 30, TITLE_LINES = 3, TITLE_CHARS = 160 };

struct generate_arguments {
    const char *models[MAX_MODELS];
    int32_t model_count;
    struct generate_options generate;
    struct cli_place place;
    long long tokens, top_k, seed, threads;
    bool plain;
    moe_err *err;
};

enum { KEY_PROMPT = 'p', KEY_TOKENS = 'n', KEY_TEMPERATURE = 't', KEY_SEED = 's', KEY_THREADS = 'j' };
enum { KEY_TOP_K = 256, KEY_TOP_P, KEY_NO_STOP, KEY_PLAIN };

static const struct argp_option options[] = {
    {"prompt", KEY_PROMPT, "TEXT", 0, "what the text begins with (default: whatever begins a text)", 0},
    {"tokens", KEY_TOKENS, "N", 0, "most new tokens (default: 256)", 0},
    {"temperature", KEY_TEMPERATURE, "T", 0,
     "logits are divided by it; 0 takes the most likely token every time (default: 1)", 0},
    {"top-k", KEY_TOP_K, "K", 0, "draw from the K most likely tokens only (default: 0, all)", 0},
    {"top-p", KEY_TOP_P, "P", 0,
     "draw from the fewest most likely tokens that together have a share of P (default: 0.9; 1 is all)", 0},
    {"seed", KEY_SEED, "N", 0, "of the draws: another seed, another text (default: 1)", 0},
    {"no-stop", KEY_NO_STOP, NULL, 0, "go on behind the end of a text", 0},
    {"plain", KEY_PLAIN, NULL, 0, "texts of several models one below the other", 0},
    {"threads", KEY_THREADS, "N", 0,
     "CPU threads (default: as many as are worth it); any number gives the same text", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct generate_arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->place;
        return 0;
    case KEY_PROMPT:
        a->generate.prompt = arg;
        return 0;
    case KEY_NO_STOP:
        a->generate.no_stop = true;
        return 0;
    case KEY_PLAIN:
        a->plain = true;
        return 0;
    case KEY_TOKENS:
        return cli_integer("--tokens", arg, 1, INT32_MAX, &a->tokens, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_TOP_K:
        return cli_integer("--top-k", arg, 0, INT32_MAX, &a->top_k, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_SEED:
        return cli_integer("--seed", arg, 0, INT64_MAX, &a->seed, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_THREADS:
        return cli_integer("--threads", arg, 1, 1024, &a->threads, a->err) == MOE_OK ? 0 : EINVAL;
    case KEY_TEMPERATURE:
        return cli_real("--temperature", arg, 0, 1e6, &a->generate.sampler.temperature, a->err) == MOE_OK
                   ? 0
                   : EINVAL;
    case KEY_TOP_P:
        return cli_real("--top-p", arg, 1e-9, 1, &a->generate.sampler.top_p, a->err) == MOE_OK ? 0 : EINVAL;
    case ARGP_KEY_ARG:
        if (a->model_count == MAX_MODELS) argp_error(state, "at most %d models", MAX_MODELS);
        a->models[a->model_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which model? a model file (MODEL.safetensors) or a checkpoint (RUN.h5.ckpt)");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- what is shown ---------------------------------------------------------------------------------- */

/* 260k, 13.0M, 1.62G */
static void format_count(int64_t count, char *out, size_t size) {
    const double n = (double)count;
    const char *unit = n < 1e3 ? "" : n < 1e6 ? "k" : n < 1e9 ? "M" : "G";
    const double scaled = n < 1e3 ? n : n < 1e6 ? n * 1e-3 : n < 1e9 ? n * 1e-6 : n * 1e-9;
    const int digits = n < 1e3 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
    snprintf(out, size, "%.*f%s", digits, scaled, unit);
}

/* Name, size and state of a model, a line each. */
static void make_titles(const struct generator *g, char titles[TITLE_LINES][TITLE_CHARS]) {
    const struct experiment *e = generator_experiment(g);
    const struct decoder_counts *counts = generator_counts(g);
    char total[16], active[16];
    const bool imported = strcmp(e->suite, "imported") == 0;
    format_count(counts->total, total, sizeof total);
    format_count(counts->active, active, sizeof active);
    snprintf(titles[0], TITLE_CHARS, "%.60s%s%.90s", imported ? "" : e->suite, imported ? "" : "/", e->name);
    if (counts->active < counts->total) {
        snprintf(titles[1], TITLE_CHARS, "%s parameters, %s active", total, active);
    } else {
        snprintf(titles[1], TITLE_CHARS, "%s parameters", total);
    }
    if (imported) {
        snprintf(titles[2], TITLE_CHARS, "imported");
    } else {
        snprintf(titles[2], TITLE_CHARS, "%s, seed %llu, step %lld", e->protocol,
                 (unsigned long long)e->train.seed, (long long)generator_step(g));
    }
}

/* Speed, for those who watch; and that there is less text than was asked for, for everybody. */
static void report(const char *path, const struct generator *g) {
    const struct generate_state *s = generator_state(g);
    const bool watched = isatty(STDERR_FILENO), full = s->end == GENERATE_FULL;
    char rate[PROGRESS_TIME_MAX];
    if (!watched && !full) return;
    fprintf(stderr, "%s: %lld tokens", path, (long long)s->tokens);
    progress_rate(s->seconds > 0 ? (double)(s->tokens - 1) / s->seconds : NAN, rate);
    if (watched) fprintf(stderr, ", %s tokens/s", rate);
    if (watched && s->prompt_tokens > 1)
        fprintf(stderr, " (prompt: %lld in %.2f s)", (long long)s->prompt_tokens, s->prompt_seconds);
    fprintf(stderr, "%s\n", full ? "; the model has no positions for more" : "");
}

/* ---- one below the other ---------------------------------------------------------------------------- */

static moe_status write_text(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK, ended = MOE_OK;
    struct text_output out;
    text_output_begin(&out);
    while (generator_state(g)->end == GENERATE_RUNNING) {
        const char *text = NULL;
        size_t size = 0;
        moe_try(generator_next(g, &text, &size, err));
        moe_try(text_output_put(&out, text, size, err));
    }
out:
    ended = text_output_end(&out, status == MOE_OK ? err : NULL);
    return status != MOE_OK ? status : ended;
}

static moe_status write_below(const struct generate_arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    struct generator *g = NULL;
    for (int32_t i = 0; i < a->model_count; i++) {
        char titles[TITLE_LINES][TITLE_CHARS];
        moe_try(generator_open(a->models[i], &a->generate, &g, err));
        make_titles(g, titles);
        if (a->model_count > 1)
            printf("%s== %s\n   %s; %s\n\n", i > 0 ? "\n" : "", titles[0], titles[1], titles[2]);
        moe_try(write_text(g, err));
        if (isatty(STDERR_FILENO)) fputc('\n', stderr);
        report(a->models[i], g);
        generator_close(g);
        g = NULL;
    }
out:
    generator_close(g);
    return status;
}

/* ---- side by side ----------------------------------------------------------------------------------- */

/* Width of a column, or 0 if the models do not fit side by side. */
static int32_t column_width(const struct generate_arguments *a) {
    if (a->plain || a->model_count < 2) return 0;
    const int32_t width = (text_output_width() - COLUMN_GAP * (a->model_count - 1)) / a->model_count;
    return width >= LEAST_COLUMN ? width : 0;
}

/* Titles are cut rather than wrapped: the texts begin in one row. */
static moe_status write_titles(struct generator *const *generators, int32_t count, int32_t width,
                               moe_err *err) {
    moe_status status = MOE_OK;
    struct text rows[TITLE_LINES + 1] = {{0}};
    for (int32_t i = 0; i < count; i++) {
        char titles[TITLE_LINES][TITLE_CHARS];
        make_titles(generators[i], titles);
        for (int line = 0; line <= TITLE_LINES; line++) {
            if (i > 0) text_append(&rows[line], "%*s", COLUMN_GAP, "");
            if (line < TITLE_LINES) text_append_clipped(&rows[line], titles[line], (size_t)width);
            for (int32_t c = 0; line == TITLE_LINES && c < width; c++)
                text_append(&rows[line], "-");
        }
    }
    for (int line = 0; line <= TITLE_LINES; line++) {
        char *row = NULL;
        moe_try(text_take(&rows[line], &row, err));
        for (size_t n = strlen(row); n > 0 && row[n - 1] == ' '; n--)
            row[n - 1] = '\0';
        puts(row);
        free(row);
    }
out:
    for (int line = 0; line <= TITLE_LINES; line++)
        text_free(&rows[line]);
    return status;
}

static moe_status write_rows(struct columns *columns, moe_err *err) {
    moe_status status = MOE_OK;
    const char *row = NULL;
    do {
        moe_try(columns_next(columns, &row, err));
        if (row != NULL) puts(row);
    } while (row != NULL);
    moe_try(text_output_flush(err));
out:
    return status;
}

/* Every model makes a token in turn; a row is written when all columns have it. */
static moe_status write_columns(struct generator *const *generators, int32_t count, struct columns *columns,
                                moe_err *err) {
    moe_status status = MOE_OK;
    int32_t running = count;
    while (running > 0) {
        running = 0;
        for (int32_t i = 0; i < count; i++) {
            const char *text = NULL;
            size_t size = 0;
            if (generator_state(generators[i])->end != GENERATE_RUNNING) continue;
            moe_try(generator_next(generators[i], &text, &size, err));
            moe_try(columns_add(columns, i, text, size, err));
            if (generator_state(generators[i])->end == GENERATE_RUNNING) {
                running++;
            } else {
                columns_end(columns, i);
            }
        }
        moe_try(write_rows(columns, err));
    }
out:
    return status;
}

static moe_status write_beside(const struct generate_arguments *a, int32_t width, moe_err *err) {
    moe_status status = MOE_OK;
    struct generator *generators[MAX_MODELS] = {NULL};
    struct columns *columns = NULL;
    for (int32_t i = 0; i < a->model_count; i++)
        moe_try(generator_open(a->models[i], &a->generate, &generators[i], err));
    moe_try(columns_create(a->model_count, width, COLUMN_GAP, &columns, err));
    moe_try(write_titles(generators, a->model_count, width, err));
    moe_try(write_columns(generators, a->model_count, columns, err));
    if (isatty(STDERR_FILENO)) fputc('\n', stderr);
    for (int32_t i = 0; i < a->model_count; i++)
        report(a->models[i], generators[i]);
out:
    columns_destroy(columns);
    for (int32_t i = 0; i < a->model_count; i++)
        generator_close(generators[i]);
    return status;
}

moe_status cmd_generate(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct generate_arguments a = {
        .place = cli_place_default(),
        .generate = {.suites_dir = cli_suites_dir(),
                     .prompt = "",
                     .sampler = {.temperature = 1, .top_p = 0.9}},
        .tokens = 256,
        .seed = 1,
        .err = err,
    };
    const struct argp_child children[] = {{&cli_place_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "MODEL...",
        "Writes text that trained models make up.\v"
        "MODEL is a model file (MODEL.safetensors, of `moe train --keep-model` or `moe import`) or the "
        "checkpoint of a run that is not complete (RUN.h5.ckpt). Texts of several models stand side by side "
        "where the terminal is wide enough.",
        children,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    a.generate.device = a.place.device;
    a.generate.data_dir = a.place.data_dir;
    a.generate.tokens = a.tokens;
    a.generate.threads = (int)a.threads;
    a.generate.sampler.top_k = (int32_t)a.top_k;
    a.generate.sampler.seed = (uint64_t)a.seed;
    const int32_t width = column_width(&a);
    if (width > 0) {
        moe_try(write_beside(&a, width, err));
    } else {
        moe_try(write_below(&a, err));
    }
out:
    return status;
}
