/* progress.h - shows what one run or many concurrent ones are doing.
 *
 * On a terminal each active run has one line that is redrawn in place (name, bar, steps, loss, speed, time
 * left), runs that end leave a line above, and a summary stands below if there are several. Elsewhere (a
 * file, a pipe, CI) it is a plain log: a line when a run starts and ends, and one every so many seconds in
 * between.
 *
 * Nothing here reads a clock: the caller passes monotonic seconds. A write that fails is ignored; a run goes
 * on when nobody watches.
 */
#ifndef CORE_PROGRESS_H
#define CORE_PROGRESS_H

#include <stdio.h>

#include "core/status.h"

enum progress_outcome {
    PROGRESS_DONE = 0,
    PROGRESS_FAILED,
    PROGRESS_INTERRUPTED,
    PROGRESS_PUT_OFF, /* it will start again, and does not count as ended */
    PROGRESS_OUTCOME_COUNT
};

/* How far a run is; NaN for what is not known yet. */
struct progress_report {
    int64_t step, total_steps; /* total_steps 0: not known */
    double loss, validation;   /* nats per token; validation: the latest criterion */
    double tokens_per_second;
    double seconds_left;
};

struct progress_options {
    FILE *out;
    bool terminal;      /* redraw in place; see progress_is_terminal() */
    int columns, rows;  /* of the terminal; 0 = ask it before each redraw */
    double log_seconds; /* without a terminal: least time between two lines of one run */
    int32_t runs; /* that the caller will show, numbered from 0; a summary appears if there are several */
    int32_t done_before; /* runs in addition that were complete already; they count in the summary */
};

struct progress;

/* True if lines can be redrawn on this stream: a terminal that is not a dumb one. */
bool progress_is_terminal(FILE *stream);

moe_status progress_open(const struct progress_options *options, double now, struct progress **out_progress,
                         moe_err *err);

/* A run begins or is resumed. The name is copied; control characters and invalid UTF-8 in it show as '?'. */
void progress_start(struct progress *p, int32_t run, const char *name, double now);
void progress_update(struct progress *p, int32_t run, const struct progress_report *report, double now);

/* A run ends; message (may be NULL) says more, such as why it failed. */
void progress_end(struct progress *p, int32_t run, enum progress_outcome outcome, const char *message,
                  double now);

/* A line of text for people, above the lines that are redrawn. */
void progress_say(struct progress *p, const char *text, double now);

/* Redraws if time has passed, so that elapsed times move; for callers that wait. */
void progress_tick(struct progress *p, double now);

/* Leaves the last state on the screen and frees. NULL is allowed. */
void progress_close(struct progress *p, double now);

#define PROGRESS_TIME_MAX 24

/* Seconds as people read them: 0:42, 12:05, 3:07:09, 2d 04h. Negative and NaN: "-". */
void progress_time(double seconds, char out[PROGRESS_TIME_MAX]);

/* Tokens per second in three digits: 812, 12.3k, 1.23M. NaN: "-". */
void progress_rate(double per_second, char out[PROGRESS_TIME_MAX]);

#endif
