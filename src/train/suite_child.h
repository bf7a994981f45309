/* suite_child.h - one run of a suite as a child process: how it is started and what it says. */
#ifndef TRAIN_SUITE_CHILD_H
#define TRAIN_SUITE_CHILD_H

#include <sys/types.h>

#include "train/suite.h"

enum { SUITE_LINE_MAX = 1024 };

/* What has been read of a line. */
struct suite_line {
    char text[SUITE_LINE_MAX];
    size_t length;
};

struct suite_child {
    pid_t pid;
    int32_t run;
    int progress, errors; /* read ends of its pipes; -1 when closed */
    struct suite_line progress_line, error_line;
    char last_error[SUITE_LINE_MAX]; /* the last whole line that it wrote to standard error */
    int ending;                      /* moe_status with which it says that it ended; -1: not said */
};

/* Starts `moe train` for run number `run` of the plan: its progress on descriptor 3, its errors to the
 * parent, nothing on standard output. */
moe_status suite_child_start(const struct plan *plan, const struct suite_options *options, int threads,
                             int32_t run, struct suite_child *out_child, moe_err *err);

/* Reads what is there on one of the two pipes; false at its end. on_report is called for each whole line of
 * progress. */
bool suite_child_read(struct suite_child *c, bool errors,
                      void (*on_report)(void *user, int32_t run, const struct trainer_report *report),
                      void *user);

/* Waits for its end and closes the pipes; returns the wait status. */
int suite_child_wait(struct suite_child *c);

/* The reason why it ended, for people. */
void suite_child_reason(const struct suite_child *c, int wait_status, char *text, size_t size);

#endif
