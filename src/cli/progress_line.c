#include "cli/progress_line.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "train/suite.h"

void progress_line_begin(struct progress_line *line, const struct experiment *e, int fd) {
    *line = (struct progress_line){.fd = fd};
    snprintf(line->name, sizeof line->name, "%s.%s.s%llu", e->name, e->protocol,
             (unsigned long long)e->train.seed);
}

void progress_line_report(void *user, const struct trainer_report *r) {
    struct progress_line *line = user;
    if (line->fd >= 0) {
        char text[256];
        suite_format_progress(r, text, sizeof text);
        if (write(line->fd, text, strlen(text)) < 0) line->fd = -1; /* the parent is gone: the run goes on */
        return;
    }
    const double now = clock_seconds();
    if (line->shown && now - line->last < 5 && r->step < r->total_steps) return;
    line->shown = true;
    line->last = now;
    fprintf(stderr, "%s %lld/%lld loss %.4f val %.4f tok/s %.0f left %.0f\n", line->name, (long long)r->step,
            (long long)r->total_steps, r->loss, r->validation, r->tokens_per_second, r->seconds_left);
}

void progress_line_end(struct progress_line *line) {
    (void)line;
}
