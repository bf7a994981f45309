/* suite.h - trains what a plan lacks: one child process per run, several at a time.
 *
 * A child is this program's own `moe train` with --progress-fd: it resumes what was interrupted, and what
 * kills it kills no other run. The parent only starts, listens and counts. Several suites, on one machine or
 * many, may work on the same folder: a run that another process writes is left to it.
 */
#ifndef TRAIN_SUITE_H
#define TRAIN_SUITE_H

#include <signal.h>

#include "train/plan.h"
#include "train/trainer.h"

enum suite_event_kind {
    SUITE_STARTED = 0,
    SUITE_PROGRESS,    /* report is set */
    SUITE_DONE,        /* the run is sealed; message: what it said on standard error, or NULL */
    SUITE_FAILED,      /* message says why; the others go on */
    SUITE_INTERRUPTED, /* stopped by a signal; resumable */
    SUITE_PUT_OFF,     /* it ended early and is tried again later in this call; message says why */
    SUITE_SKIPPED      /* not trained; message says why */
};

struct suite_event {
    enum suite_event_kind kind;
    int32_t run; /* index into the plan */
    const struct trainer_report *report;
    const char *message;
};

enum { SUITE_MAX_SETS = 64 };

struct suite_options {
    int jobs;       /* runs at a time; 0 = one per core */
    int threads;    /* per run; 0 = cores / jobs */
    int64_t memory; /* bytes that the runs of one moment may need together; 0 = 9/10 of machine_memory() */
    const char *program; /* what to execute: "/proc/self/exe" */
    bool portable;
    bool keep_models; /* train --keep-model */
    const char *data_dir, *device;
    const char *const *sets;
    int32_t set_count;                 /* at most SUITE_MAX_SETS */
    const volatile sig_atomic_t *stop; /* set by a signal: running children are told to checkpoint and end */
    void (*on_event)(void *user, const struct suite_event *event);
    void *user;
};

struct suite_summary {
    int32_t done, failed, skipped, complete_before;
    int32_t interrupted; /* by a signal, or put off when it came: resumable */
    int32_t not_started; /* when a signal or an error ended the suite */
};

/* What jobs, threads and memory are when options leave them to the machine. */
struct suite_limits {
    int jobs, threads;
    int64_t memory;
};
struct suite_limits suite_limits_of(const struct suite_options *options);

/* Bytes that a run is taken to need: its plan, and 96 MiB for program, libraries and corpus. */
int64_t suite_memory_of(const struct planned_run *run);

/* Runs every run of the plan that is not complete. The next to start is the first of the plan whose memory
 * fits beside what runs; one that needs more than the limit is skipped, and so is one whose file is damaged,
 * which is left as it is. A run that a signal killed is tried once more, after the others, from where it
 * stood. Returns MOE_OK if every run is complete at the end,
 * MOE_EINTERRUPTED after a signal, else the first failure's status; *out_summary is filled in any case. */
moe_status suite_run(const struct plan *plan, const struct suite_options *options,
                     struct suite_summary *out_summary, moe_err *err);

/* The line that a child writes to its progress descriptor after a step, and its reading: false if it is none.
 */
void suite_format_progress(const struct trainer_report *report, char *line, size_t size);
bool suite_parse_progress(const char *line, struct trainer_report *out_report);

/* The last line that it writes there: the status with which it ends. */
void suite_format_ending(moe_status status, char *line, size_t size);

#endif
