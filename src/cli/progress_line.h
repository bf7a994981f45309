/* progress_line.h - shows one run's progress on standard error, or passes it on to `moe suite`. */
#ifndef CLI_PROGRESS_LINE_H
#define CLI_PROGRESS_LINE_H

#include "train/trainer.h"

struct progress_line {
    char name[2 * EXPERIMENT_NAME_MAX];
    int fd;      /* >= 0: lines for the parent process */
    double last; /* clock of the latest line shown */
    bool shown;
};

void progress_line_begin(struct progress_line *line, const struct experiment *e, int fd);
/* A trainer_options.report; user is the struct progress_line. */
void progress_line_report(void *user, const struct trainer_report *report);
void progress_line_end(struct progress_line *line);

#endif
