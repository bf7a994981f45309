#include "cli/suite_display.h"

#include <stdlib.h>

#include "cli/progress_line.h"
#include "core/clock.h"
#include "core/text.h"

struct suite_display {
    const struct plan *plan;
    struct progress *progress;
    struct text missed; /* a line for each run that failed or was skipped */
};

moe_status suite_display_open(const struct plan *plan, FILE *out, struct suite_display **out_display,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct progress_options options = {.out = out, .terminal = progress_is_terminal(out), .log_seconds = 30};
    struct suite_display *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for the display");
    d->plan = plan;
    for (int32_t i = 0; i < plan->count; i++) {
        if (plan->runs[i].state == RUN_COMPLETE) options.done_before++;
    }
    options.runs = plan->count - options.done_before;
    moe_try(progress_open(&options, clock_seconds(), &d->progress, err));
    *out_display = d;
    d = NULL;
out:
    free(d);
    return status;
}

void suite_display_close(struct suite_display *display, FILE *out) {
    if (display == NULL) return;
    progress_close(display->progress, clock_seconds());
    if (display->missed.length > 0 && !display->missed.failed) fputs(display->missed.data, out);
    text_free(&display->missed);
    free(display);
}

/* The display numbers only the runs that it shows. */
static int32_t shown_number(const struct plan *plan, int32_t run) {
    int32_t number = 0;
    for (int32_t i = 0; i < run; i++)
        number += plan->runs[i].state != RUN_COMPLETE;
    return number;
}

static void note(struct suite_display *d, const char *what, const char *name, const char *reason) {
    text_append(&d->missed, "%s: %s: %s\n", what, name, reason);
}

void suite_display_event(void *user, const struct suite_event *event) {
    struct suite_display *d = user;
    const int32_t number = shown_number(d->plan, event->run);
    const double now = clock_seconds();
    char name[2 * EXPERIMENT_NAME_MAX];
    struct progress_report report;
    struct text line = {0};
    progress_name(d->plan->runs[event->run].experiment, name, sizeof name);
    switch (event->kind) {
    case SUITE_STARTED:
        progress_start(d->progress, number, name, now);
        break;
    case SUITE_PROGRESS:
        report = progress_report_of(event->report);
        progress_update(d->progress, number, &report, now);
        break;
    case SUITE_DONE:
        progress_end(d->progress, number, PROGRESS_DONE, event->message, now);
        break;
    case SUITE_FAILED:
        note(d, "failed", name, event->message);
        progress_end(d->progress, number, PROGRESS_FAILED, event->message, now);
        break;
    case SUITE_INTERRUPTED:
        progress_end(d->progress, number, PROGRESS_INTERRUPTED, event->message, now);
        break;
    case SUITE_PUT_OFF:
        progress_end(d->progress, number, PROGRESS_PUT_OFF, event->message, now);
        break;
    case SUITE_SKIPPED:
        note(d, "skipped", name, event->message);
        text_append(&line, "%s: skipped: %s", name, event->message);
        if (!line.failed) progress_say(d->progress, line.data, now);
        text_free(&line);
        break;
    }
}
