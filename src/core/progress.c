#include "core/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/text.h"

#define REDRAW_SECONDS 0.1
#define NAME_COLUMNS   48 /* at most */
#define NAME_LEAST     12 /* fewer only if nothing else is left to drop */
#define BAR_COLUMNS    24 /* at most */
#define BAR_LEAST      8

struct shown_run {
    char *name; /* NULL: not started */
    bool active;
    struct progress_report report;
    double started, last_line;
};

struct progress {
    struct progress_options options;
    struct shown_run *runs; /* [options.runs] */
    double opened, last_redraw;
    int drawn; /* lines on the screen that the next redraw writes over */
    int32_t ended[PROGRESS_OUTCOME_COUNT];
};

static const char *const outcome_words[] = {[PROGRESS_DONE] = "done",
                                            [PROGRESS_FAILED] = "FAILED",
                                            [PROGRESS_INTERRUPTED] = "interrupted",
                                            [PROGRESS_PUT_OFF] = "put off"};
_Static_assert(sizeof outcome_words / sizeof *outcome_words == PROGRESS_OUTCOME_COUNT,
               "every outcome has a word");

bool progress_is_terminal(FILE *stream) {
    const char *term = getenv("TERM");
    return isatty(fileno(stream)) && term != NULL && strcmp(term, "dumb") != 0;
}

void progress_time(double seconds, char out[PROGRESS_TIME_MAX]) {
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(out, PROGRESS_TIME_MAX, "-");
        return;
    }
    const int64_t s = (int64_t)seconds;
    if (s < 3600)
        snprintf(out, PROGRESS_TIME_MAX, "%d:%02d", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(out, PROGRESS_TIME_MAX, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    else
        snprintf(out, PROGRESS_TIME_MAX, "%dd %02dh", (int)(s / 86400), (int)(s / 3600 % 24));
}

void progress_rate(double per_second, char out[PROGRESS_TIME_MAX]) {
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    if (!(per_second >= 0) || per_second > 1e15) {
        snprintf(out, PROGRESS_TIME_MAX, "-");
        return;
    }
    while (per_second >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        per_second /= 1000;
        unit++;
    }
    const int decimals = unit == 0 || per_second >= 99.95 ? 0 : per_second >= 9.995 ? 1 : 2;
    snprintf(out, PROGRESS_TIME_MAX, "%.*f%s", decimals, per_second, units[unit]);
}

moe_status progress_open(const struct progress_options *options, double now, struct progress **out_progress,
                         moe_err *err) {
    moe_status status = MOE_OK;
    struct progress *p = calloc(1, sizeof *p);
    moe_check(p != NULL, err, MOE_ENOMEM, "no memory to show progress");
    p->options = *options;
    p->opened = now;
    p->last_redraw = -INFINITY;
    p->runs = calloc((size_t)options->runs + 1, sizeof *p->runs);
    moe_check(p->runs != NULL, err, MOE_ENOMEM, "no memory to show progress");
    *out_progress = p;
    p = NULL;
out:
    free(p);
    return status;
}

static void put(struct progress *p, struct text *t) {
    if (!t->failed && t->length > 0) {
        fwrite(t->data, 1, t->length, p->options.out);
        fflush(p->options.out);
    }
    text_free(t);
}

/* The pieces of a run's line to the right of its name, in the order in which they stand. */
enum piece { PIECE_BAR, PIECE_STEPS, PIECE_LOSS, PIECE_VALIDATION, PIECE_RATE, PIECE_LEFT, PIECE_COUNT };

/* Which goes first when a line is too narrow. */
static const enum piece dropped_first[] = {PIECE_BAR,  PIECE_VALIDATION, PIECE_RATE,
                                           PIECE_LOSS, PIECE_LEFT,       PIECE_STEPS};
_Static_assert(sizeof dropped_first / sizeof *dropped_first == PIECE_COUNT, "every piece can be dropped");

static void number_piece(const char *label, double value, char *out, size_t size) {
    if (isfinite(value))
        snprintf(out, size, "  %s %7.4f", label, value);
    else
        snprintf(out, size, "  %s %7s", label, isnan(value) ? "-" : "inf");
}

static void make_pieces(const struct progress_report *r, char pieces[PIECE_COUNT][64]) {
    char number[PROGRESS_TIME_MAX];
    memset(pieces, 0, PIECE_COUNT * sizeof pieces[0]);
    if (r->total_steps > 0)
        snprintf(pieces[PIECE_STEPS], sizeof pieces[0], "  %6lld/%-6lld", (long long)r->step,
                 (long long)r->total_steps);
    else
        snprintf(pieces[PIECE_STEPS], sizeof pieces[0], "  step %-8lld", (long long)r->step);
    number_piece("loss", r->loss, pieces[PIECE_LOSS], sizeof pieces[0]);
    number_piece("val", r->validation, pieces[PIECE_VALIDATION], sizeof pieces[0]);
    progress_rate(r->tokens_per_second, number);
    snprintf(pieces[PIECE_RATE], sizeof pieces[0], "  %5s tok/s", number);
    progress_time(r->seconds_left, number);
    snprintf(pieces[PIECE_LEFT], sizeof pieces[0], "  %7s left", number);
}

static void append_bar(struct text *t, const struct progress_report *r, size_t columns) {
    const size_t inside = columns - 4; /* two spaces and two brackets */
    const double share = r->total_steps > 0 ? (double)r->step / (double)r->total_steps : 0;
    const size_t full = share >= 1 ? inside : share > 0 ? (size_t)(share * (double)inside) : 0;
    text_append_bytes(t, "  [", 3);
    for (size_t i = 0; i < inside; i++)
        text_append_bytes(t, i < full ? "#" : "-", 1);
    text_append_bytes(t, "]", 1);
}

/* One run in at most `columns` columns; names take `name_columns` if there is room. */
static void append_run_line(struct text *t, const struct shown_run *run, size_t columns,
                            size_t name_columns) {
    char pieces[PIECE_COUNT][64];
    size_t used = 0, bar;
    make_pieces(&run->report, pieces);
    for (int i = 0; i < PIECE_COUNT; i++)
        used += strlen(pieces[i]);
    for (int i = 0;
         i < PIECE_COUNT && used + (name_columns < NAME_LEAST ? name_columns : NAME_LEAST) > columns; i++) {
        used -= strlen(pieces[dropped_first[i]]);
        pieces[dropped_first[i]][0] = 0;
    }
    if (name_columns + used > columns) name_columns = columns - used;
    bar = columns - used - name_columns;
    if (bar > BAR_COLUMNS) bar = BAR_COLUMNS;
    text_append_clipped(t, run->name, name_columns);
    if (bar >= BAR_LEAST) append_bar(t, &run->report, bar);
    for (int i = 0; i < PIECE_COUNT; i++)
        text_append_bytes(t, pieces[i], strlen(pieces[i]));
}

/* Seconds until all runs have ended, from the share of the work that is done; NaN if too little is. */
static double summary_seconds_left(const struct progress *p, double now) {
    double work = 0;
    for (int i = 0; i < PROGRESS_OUTCOME_COUNT; i++)
        work += p->ended[i];
    for (int32_t i = 0; i < p->options.runs; i++) {
        const struct progress_report *r = &p->runs[i].report;
        if (p->runs[i].active && r->total_steps > 0)
            work += fmin(1, (double)r->step / (double)r->total_steps);
    }
    return work > 0.02 * p->options.runs ? (now - p->opened) * (p->options.runs - work) / work : NAN;
}

static void append_summary(const struct progress *p, struct text *t, double now) {
    char elapsed[PROGRESS_TIME_MAX], left[PROGRESS_TIME_MAX];
    int32_t active = 0;
    for (int32_t i = 0; i < p->options.runs; i++)
        active += p->runs[i].active;
    progress_time(now - p->opened, elapsed);
    progress_time(summary_seconds_left(p, now), left);
    text_append(t, "%d of %d runs done", p->ended[PROGRESS_DONE] + p->options.done_before,
                p->options.runs + p->options.done_before);
    if (p->ended[PROGRESS_FAILED] > 0) text_append(t, ", %d failed", p->ended[PROGRESS_FAILED]);
    if (p->ended[PROGRESS_INTERRUPTED] > 0)
        text_append(t, ", %d interrupted", p->ended[PROGRESS_INTERRUPTED]);
    text_append(t, ", %d running, %s elapsed, %s left", active, elapsed, left);
}

/* The terminal's size; the last column stays free, as some terminals wrap when it is written. */
static void terminal_size(const struct progress *p, size_t *columns, int *rows) {
    struct winsize size = {0};
    const bool asked = p->options.columns > 0 && p->options.rows > 0;
    if (!asked && ioctl(fileno(p->options.out), TIOCGWINSZ, &size) != 0) size.ws_col = 0;
    const int c = p->options.columns > 0 ? p->options.columns : size.ws_col > 0 ? size.ws_col : 80;
    *columns = c > 1 ? (size_t)c - 1 : 1;
    *rows = p->options.rows > 0 ? p->options.rows : size.ws_row > 0 ? size.ws_row : 24;
}

/* To the start of the lines that are redrawn. */
static void append_home(const struct progress *p, struct text *t) {
    if (p->drawn > 0) text_append(t, "\033[%dA", p->drawn);
    text_append_bytes(t, "\r", 1);
}

static void append_line_end(struct text *t) {
    text_append_bytes(t, "\033[K\n", 4); /* clears what an earlier, longer line left */
}

/* The active runs and the summary, as many as the terminal has rows for. */
static void append_screen(struct progress *p, struct text *t, double now) {
    size_t columns, name_columns = 0;
    int rows, lines = 0, hidden = 0;
    terminal_size(p, &columns, &rows);
    const int most = rows > 3 ? rows - 3 : 1; /* the summary, the hidden ones and the cursor need one each */
    for (int32_t i = 0; i < p->options.runs; i++) {
        const size_t width = p->runs[i].active ? text_columns(p->runs[i].name) : 0;
        if (width > name_columns) name_columns = width < NAME_COLUMNS ? width : NAME_COLUMNS;
    }
    for (int32_t i = 0; i < p->options.runs; i++) {
        if (!p->runs[i].active) continue;
        if (lines >= most) {
            hidden++;
            continue;
        }
        append_run_line(t, &p->runs[i], columns, name_columns);
        append_line_end(t);
        lines++;
    }
    struct text line = {0};
    if (hidden > 0) {
        text_append(&line, "and %d more", hidden);
        text_append_clipped(t, line.data != NULL ? line.data : "", columns);
        append_line_end(t);
        lines++;
        text_free(&line);
    }
    if (p->options.runs > 1) {
        append_summary(p, &line, now);
        text_append_clipped(t, line.data != NULL ? line.data : "", columns);
        append_line_end(t);
        lines++;
        text_free(&line);
    }
    text_append_bytes(t, "\033[J", 3); /* and lines that are no longer there */
    p->drawn = lines;
}

static void redraw(struct progress *p, double now) {
    struct text t = {0};
    append_home(p, &t);
    append_screen(p, &t, now);
    p->last_redraw = now;
    put(p, &t);
}

/* A line that stays: above the redrawn ones, or in the log. */
static void say(struct progress *p, const struct text *line, double now) {
    struct text t = {0};
    if (line->data == NULL || line->failed) return;
    if (p->options.terminal) append_home(p, &t);
    text_append_clipped(&t, line->data, text_columns(line->data));
    if (p->options.terminal)
        append_line_end(&t);
    else
        text_append_bytes(&t, "\n", 1);
    if (p->options.terminal) append_screen(p, &t, now);
    put(p, &t);
}

static struct shown_run *run_of(struct progress *p, int32_t run) {
    return run >= 0 && run < p->options.runs ? &p->runs[run] : NULL;
}

void progress_start(struct progress *p, int32_t run, const char *name, double now) {
    struct shown_run *r = run_of(p, run);
    if (r == NULL) return;
    free(r->name);
    *r = (struct shown_run){.name = strdup(name), .started = now, .last_line = now};
    r->report = (struct progress_report){
        .loss = NAN, .validation = NAN, .tokens_per_second = NAN, .seconds_left = NAN};
    r->active = r->name != NULL;
    if (!r->active) return;
    if (p->options.terminal) {
        redraw(p, now);
    } else {
        struct text line = {0};
        text_append(&line, "%s: started", name);
        say(p, &line, now);
        text_free(&line);
    }
}

static void append_log_line(struct text *t, const struct shown_run *run) {
    const struct progress_report *r = &run->report;
    char number[PROGRESS_TIME_MAX];
    text_append(t, "%s: step %lld", run->name, (long long)r->step);
    if (r->total_steps > 0) text_append(t, "/%lld", (long long)r->total_steps);
    if (!isnan(r->loss)) text_append(t, ", loss %.4f", r->loss);
    if (!isnan(r->validation)) text_append(t, ", validation %.4f", r->validation);
    progress_rate(r->tokens_per_second, number);
    if (!isnan(r->tokens_per_second)) text_append(t, ", %s tokens/s", number);
    progress_time(r->seconds_left, number);
    if (!isnan(r->seconds_left)) text_append(t, ", %s left", number);
}

void progress_update(struct progress *p, int32_t run, const struct progress_report *report, double now) {
    struct shown_run *r = run_of(p, run);
    if (r == NULL || !r->active) return;
    r->report = *report;
    if (p->options.terminal) {
        progress_tick(p, now);
    } else if (now - r->last_line >= p->options.log_seconds) {
        struct text line = {0};
        append_log_line(&line, r);
        say(p, &line, now);
        text_free(&line);
        r->last_line = now;
    }
}

void progress_end(struct progress *p, int32_t run, enum progress_outcome outcome, const char *message,
                  double now) {
    struct shown_run *r = run_of(p, run);
    struct text line = {0};
    char number[PROGRESS_TIME_MAX];
    if (r == NULL || !r->active) return;
    r->active = false;
    if (outcome != PROGRESS_PUT_OFF) p->ended[outcome]++;
    progress_time(now - r->started, number);
    if (p->options.runs > 1)
        text_append(&line, "[%d/%d] ", p->ended[PROGRESS_DONE] + p->options.done_before,
                    p->options.runs + p->options.done_before);
    text_append(&line, "%s: %s after %lld steps in %s", r->name, outcome_words[outcome],
                (long long)r->report.step, number);
    if (isfinite(r->report.validation)) text_append(&line, ", validation %.4f", r->report.validation);
    if (message != NULL) text_append(&line, ": %s", message);
    say(p, &line, now);
    text_free(&line);
}

void progress_say(struct progress *p, const char *text, double now) {
    struct text line = {0};
    text_append(&line, "%s", text);
    say(p, &line, now);
    text_free(&line);
}

void progress_tick(struct progress *p, double now) {
    if (p->options.terminal && now - p->last_redraw >= REDRAW_SECONDS) redraw(p, now);
}

void progress_close(struct progress *p, double now) {
    if (p == NULL) return;
    if (p->options.terminal) redraw(p, now);
    for (int32_t i = 0; i < p->options.runs; i++)
        free(p->runs[i].name);
    free(p->runs);
    free(p);
}
