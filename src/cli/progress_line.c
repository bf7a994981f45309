#include "cli/progress_line.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "train/suite.h"

void progress_name(const struct experiment *e, char *name, size_t size) {
    snprintf(name, size, "%s.%s.s%llu", e->name, e->protocol, (unsigned long long)e->train.seed);
}

struct progress_report progress_report_of(const struct trainer_report *r) {
    return (struct progress_report){
        .step = r->step,
        .total_steps = r->total_steps,
        .loss = r->loss,
        .validation = r->validation,
        .tokens_per_second = r->tokens_per_second,
        .seconds_left = r->seconds_left,
    };
}

moe_status progress_line_begin(struct progress_line *line, const struct experiment *e, int fd, moe_err *err) {
    moe_status status = MOE_OK;
    const struct progress_options options = {
        .out = stderr, .terminal = progress_is_terminal(stderr), .log_seconds = 10, .runs = 1};
    *line = (struct progress_line){.fd = fd};
    if (fd >= 0) goto out;
    moe_try(progress_open(&options, clock_seconds(), &line->progress, err));
    progress_name(e, line->name, sizeof line->name);
out:
    return status;
}

void progress_line_report(void *user, const struct trainer_report *r) {
    struct progress_line *line = user;
    if (line->progress != NULL) {
        const struct progress_report report = progress_report_of(r);
        if (!line->started) progress_start(line->progress, 0, line->name, clock_seconds());
        line->started = true;
        progress_update(line->progress, 0, &report, clock_seconds());
    } else if (line->fd >= 0) {
        char text[256];
        suite_format_progress(r, text, sizeof text);
        if (write(line->fd, text, strlen(text)) < 0) line->fd = -1; /* the parent is gone: the run goes on */
    }
}

void progress_line_end(struct progress_line *line, moe_status status) {
    if (line->progress == NULL) {
        char text[64];
        suite_format_ending(status, text, sizeof text);
        if (line->fd >= 0 && write(line->fd, text, strlen(text)) < 0) line->fd = -1;
        return;
    }
    const enum progress_outcome outcome = status == MOE_OK             ? PROGRESS_DONE
                                          : status == MOE_EINTERRUPTED ? PROGRESS_INTERRUPTED
                                                                       : PROGRESS_FAILED;
    if (line->started) progress_end(line->progress, 0, outcome, NULL, clock_seconds());
    progress_close(line->progress, clock_seconds());
    line->progress = NULL;
}
