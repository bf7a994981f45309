/* suite.h - trains what a plan lacks: one child process per run, several at a time.
 *
 * A child is this program's own `moe train` with --progress-fd: it resumes what was interrupted, and what
 * kills it kills no other run. The parent only starts, listens and counts.
 */
#ifndef TRAIN_SUITE_H
#define TRAIN_SUITE_H

#include <signal.h>

#include "train/plan.h"
#include "train/trainer.h"

enum suite_event_kind {
    SUITE_STARTED = 0,
    SUITE_PROGRESS,   /* report is set */
    SUITE_DONE,       /* the run is sealed; message: what it said on standard error, or NULL */
    SUITE_FAILED,     /* message says why; the others go on */
    SUITE_INTERRUPTED /* stopped by a signal; resumable */
};

struct suite_event {
    enum suite_event_kind kind;
    int32_t run; /* index into the plan */
    const struct trainer_report *report;
    const char *message;
};

struct suite_options {
    int jobs;            /* runs at a time; 0 = one per core */
    int threads;         /* per run; 0 = cores / jobs */
    const char *program; /* what to execute: "/proc/self/exe" */
    bool portable;
    bool keep_models; /* train --keep-model */
    const char *data_dir, *device;
    const char *const *sets;
    int32_t set_count;
    const volatile sig_atomic_t *stop; /* set by a signal: running children are told to checkpoint and end */
    void (*on_event)(void *user, const struct suite_event *event);
    void *user;
};

struct suite_summary {
    int32_t done, failed, interrupted, complete_before;
};

/* Runs every run of the plan that is not complete, in plan order. Returns MOE_OK if all ended well,
 * MOE_EINTERRUPTED after a signal, the first failure's status otherwise; *out_summary is filled in any case.
 * Largest models start only while the machine's memory holds all running ones. */
moe_status suite_run(const struct plan *plan, const struct suite_options *options,
                     struct suite_summary *out_summary, moe_err *err);

/* The line that a child writes to its progress descriptor after a step, and its reading: false if it is none.
 */
void suite_format_progress(const struct trainer_report *report, char *line, size_t size);
bool suite_parse_progress(const char *line, struct trainer_report *out_report);

#endif
