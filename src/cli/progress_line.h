/* progress_line.h - shows one run's progress on standard error, or passes it on to `moe suite`. */
#ifndef CLI_PROGRESS_LINE_H
#define CLI_PROGRESS_LINE_H

#include "core/progress.h"
#include "train/trainer.h"

struct progress_line {
    struct progress *progress; /* NULL when the lines go to a parent process */
    int fd;                    /* >= 0: lines for the parent */
    bool started;              /* a run that cannot begin shows nothing but its error */
    char name[2 * EXPERIMENT_NAME_MAX];
};

/* fd < 0: show on standard error. */
moe_status progress_line_begin(struct progress_line *line, const struct experiment *e, int fd, moe_err *err);
/* A trainer_options.report; user is the struct progress_line. */
void progress_line_report(void *user, const struct trainer_report *report);
void progress_line_end(struct progress_line *line, moe_status status);

/* "NAME.PROTOCOL.sSEED" */
void progress_name(const struct experiment *e, char *name, size_t size);
struct progress_report progress_report_of(const struct trainer_report *report);

#endif
