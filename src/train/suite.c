#include "train/suite.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/clock.h"
#include "core/machine.h"
#include "core/parallel.h"
#include "train/suite_child.h"

enum { MAX_JOBS = 256, POLL_MS = 500 };

#define PROGRAM_BYTES (96 << 20) /* measured: 30 MiB, and 85 where a text of 5 MB is cut into tokens */
#define BUSY_SECONDS  2.0        /* between two looks at a run that another process writes */
#define BUSY_LOOKS    5
#define DEATHS        2 /* of a run by a signal, then it has failed */

/* A run as the suite sees it. */
struct errand {
    bool ended; /* nothing is left to do for it in this call */
    bool running;
    int deaths, looks;
    double not_before; /* when it may be tried again */
};

struct suite {
    const struct plan *plan;
    const struct suite_options *options;
    struct suite_summary *summary;
    struct suite_limits limits;
    struct errand *errands;            /* [plan->count] */
    struct suite_child jobs[MAX_JOBS]; /* [running] */
    int running;
    int32_t left;        /* errands that have not ended */
    int64_t memory_used; /* bytes, by plan */
    bool stop_sent;
    moe_status first_failure;
    moe_err *err;
};

struct suite_limits suite_limits_of(const struct suite_options *options) {
    const int cores = parallel_default_threads();
    struct suite_limits limits = {
        .jobs = options->jobs > 0 ? options->jobs : cores,
        .memory = options->memory > 0 ? options->memory : machine_memory() / 10 * 9,
    };
    if (limits.jobs > MAX_JOBS) limits.jobs = MAX_JOBS;
    limits.threads = options->threads > 0 ? options->threads : cores / limits.jobs;
    if (limits.threads < 1) limits.threads = 1;
    return limits;
}

int64_t suite_memory_of(const struct planned_run *run) {
    return run->memory + PROGRAM_BYTES;
}

static void tell(const struct suite *s, enum suite_event_kind kind, int32_t run,
                 const struct trainer_report *report, const char *message) {
    const struct suite_event event = {.kind = kind, .run = run, .report = report, .message = message};
    if (s->options->on_event != NULL) s->options->on_event(s->options->user, &event);
}

static void on_report(void *user, int32_t run, const struct trainer_report *report) {
    tell(user, SUITE_PROGRESS, run, report, NULL);
}

static bool stop_asked(const struct suite *s) {
    return s->options->stop != NULL && *s->options->stop != 0;
}

/* ---- how an errand ends */

static void end(struct suite *s, int32_t number) {
    s->errands[number].ended = true;
    s->left--;
}

static void fail(struct suite *s, int32_t number, moe_status code, const char *reason) {
    s->summary->failed++;
    if (s->first_failure == MOE_OK) s->first_failure = moe_fail(s->err, code, "%s", reason);
    end(s, number);
    tell(s, SUITE_FAILED, number, NULL, reason);
}

static void skip(struct suite *s, int32_t number, moe_status code, const char *reason) {
    s->summary->skipped++;
    if (s->first_failure == MOE_OK) s->first_failure = moe_fail(s->err, code, "%s", reason);
    end(s, number);
    tell(s, SUITE_SKIPPED, number, NULL, reason);
}

/* Another process writes the run: it is looked at again, so that a suite that starts just after another was
 * killed finds the runs of that one free. */
static void leave_to_other(struct suite *s, int32_t number, const char *reason) {
    struct errand *errand = &s->errands[number];
    if (++errand->looks == BUSY_LOOKS) {
        skip(s, number, MOE_EBUSY, reason);
    } else {
        errand->not_before = clock_seconds() + BUSY_SECONDS;
        tell(s, SUITE_PUT_OFF, number, NULL, reason);
    }
}

/* A signal killed the run: the memory of the machine ended, or somebody's patience. */
static void mourn(struct suite *s, int32_t number, const char *reason) {
    struct errand *errand = &s->errands[number];
    if (++errand->deaths == DEATHS) {
        fail(s, number, MOE_EIO, reason);
    } else {
        tell(s, SUITE_PUT_OFF, number, NULL, reason);
    }
}

static void conclude(struct suite *s, const struct suite_child *child, int wait_status) {
    const int32_t number = child->run;
    const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    const bool told = s->stop_sent && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGTERM;
    char reason[SUITE_LINE_MAX];
    suite_child_reason(child, wait_status, reason, sizeof reason);
    if (code == 0) {
        s->summary->done++;
        end(s, number);
        tell(s, SUITE_DONE, number, NULL, child->last_error[0] != '\0' ? child->last_error : NULL);
    } else if (told || code == moe_exit_code(MOE_EINTERRUPTED)) {
        s->summary->interrupted++;
        end(s, number);
        tell(s, SUITE_INTERRUPTED, number, NULL, reason);
    } else if (child->ending == MOE_EEXIST) { /* completed by another process since this one looked */
        s->summary->complete_before++;
        end(s, number);
        tell(s, SUITE_DONE, number, NULL, reason);
    } else if (child->ending == MOE_EBUSY) {
        leave_to_other(s, number, reason);
    } else if (code < 0) {
        mourn(s, number, reason);
    } else {
        fail(s, number, MOE_EIO, reason);
    }
}

static void reap(struct suite *s, int index) {
    struct suite_child *child = &s->jobs[index];
    const int wait_status = suite_child_wait(child);
    s->errands[child->run].running = false;
    s->memory_used -= suite_memory_of(&s->plan->runs[child->run]);
    conclude(s, child, wait_status);
    s->jobs[index] = s->jobs[--s->running];
}

/* Waits for something to read; a child whose two pipes have ended is reaped. */
static void listen_once(struct suite *s) {
    struct pollfd fds[2 * MAX_JOBS];
    const int running = s->running;
    for (int i = 0; i < running; i++) {
        fds[2 * i] = (struct pollfd){.fd = s->jobs[i].progress, .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = s->jobs[i].errors, .events = POLLIN};
    }
    if (poll(fds, (nfds_t)(2 * running), POLL_MS) <= 0) return;
    for (int i = running - 1; i >= 0; i--) {
        struct suite_child *child = &s->jobs[i];
        if (fds[2 * i].revents != 0) suite_child_read(child, false, on_report, s);
        if (fds[2 * i + 1].revents != 0) suite_child_read(child, true, on_report, s);
        if (child->progress < 0 && child->errors < 0) reap(s, i);
    }
}

/* ---- which run is next */

static bool fits(const struct suite *s, int32_t number) {
    return s->memory_used + suite_memory_of(&s->plan->runs[number]) <= s->limits.memory;
}

/* The first run of the plan that may start now, those that a signal killed after all others; -1: none. */
static int32_t next_run(const struct suite *s) {
    const double now = clock_seconds();
    int32_t again = -1;
    if (s->running >= s->limits.jobs || stop_asked(s)) return -1;
    for (int32_t i = 0; i < s->plan->count; i++) {
        const struct errand *e = &s->errands[i];
        if (e->ended || e->running || e->not_before > now || !fits(s, i)) continue;
        if (e->deaths == 0) return i;
        if (again < 0) again = i;
    }
    return again;
}

/* Starts it, unless somebody has completed or damaged it by now. */
static moe_status start_run(struct suite *s, int32_t number, moe_err *err) {
    moe_status status = MOE_OK;
    struct planned_run now = s->plan->runs[number];
    now.damage = NULL; /* what the plan had would have kept it from starting */
    moe_try(plan_look(&now, err));
    if (now.damage != NULL) {
        skip(s, number, MOE_EFORMAT, now.damage);
        goto out;
    }
    if (now.state == RUN_COMPLETE) {
        s->summary->complete_before++;
        end(s, number);
        goto out;
    }
    moe_try(suite_child_start(s->plan, s->options, s->limits.threads, number, &s->jobs[s->running], err));
    s->running++;
    s->errands[number].running = true;
    s->memory_used += suite_memory_of(&s->plan->runs[number]);
    tell(s, SUITE_STARTED, number, NULL, NULL);
out:
    free(now.damage);
    return status;
}

static void pass_on_stop(struct suite *s) {
    if (s->stop_sent || !stop_asked(s)) return;
    for (int i = 0; i < s->running; i++)
        kill(s->jobs[i].pid, SIGTERM);
    s->stop_sent = true;
}

/* Ends what runs, and counts what is left: each run of the plan stands in one column of the summary. */
static void wind_up(struct suite *s) {
    for (int i = 0; i < s->running; i++)
        kill(s->jobs[i].pid, SIGTERM);
    s->stop_sent = true;
    while (s->running > 0)
        listen_once(s);
    for (int32_t i = 0; i < s->plan->count; i++) {
        if (s->errands[i].ended) continue;
        if (s->errands[i].deaths > 0) {
            s->summary->interrupted++;
        } else {
            s->summary->not_started++;
        }
        end(s, i);
    }
}

/* What is complete, and what can never start. */
static void settle_first(struct suite *s) {
    char reason[256];
    for (int32_t i = 0; i < s->plan->count; i++) {
        const struct planned_run *run = &s->plan->runs[i];
        if (run->state == RUN_COMPLETE) {
            s->summary->complete_before++;
            end(s, i);
        } else if (run->damage != NULL) {
            skip(s, i, MOE_EFORMAT, run->damage);
        } else if (suite_memory_of(run) > s->limits.memory) {
            snprintf(reason, sizeof reason,
                     "needs %lld MiB of memory, more than the %lld MiB there are; --memory says otherwise",
                     (long long)(suite_memory_of(run) >> 20), (long long)(s->limits.memory >> 20));
            skip(s, i, MOE_ENOMEM, reason);
        }
    }
}

moe_status suite_run(const struct plan *plan, const struct suite_options *options,
                     struct suite_summary *out_summary, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite *s = calloc(1, sizeof *s);
    *out_summary = (struct suite_summary){0};
    moe_check(options->set_count <= SUITE_MAX_SETS, err, MOE_EARG, "%d keys are set, at most %d can be",
              (int)options->set_count, SUITE_MAX_SETS);
    moe_check(s != NULL, err, MOE_ENOMEM, "no memory for the suite's list of processes");
    s->errands = calloc((size_t)plan->count + 1, sizeof *s->errands);
    moe_check(s->errands != NULL, err, MOE_ENOMEM, "no memory for the suite's list of runs");
    s->plan = plan;
    s->options = options;
    s->summary = out_summary;
    s->limits = suite_limits_of(options);
    s->left = plan->count;
    s->err = err;
    settle_first(s);
    while (s->left > 0) {
        pass_on_stop(s);
        if (stop_asked(s) && s->running == 0) break;
        const int32_t next = next_run(s);
        if (next >= 0) {
            moe_try(start_run(s, next, err));
        } else {
            listen_once(s);
        }
    }
    wind_up(s);
    status = s->first_failure;
    if (stop_asked(s) && out_summary->interrupted + out_summary->not_started > 0) {
        *err = (moe_err){0}; /* of failures the summary tells */
        status = moe_fail(err, MOE_EINTERRUPTED,
                          "interrupted; the same command goes on with %d and starts the other %d",
                          (int)out_summary->interrupted, (int)out_summary->not_started);
    }
out:
    if (s != NULL && s->errands != NULL) wind_up(s);
    if (s != NULL) free(s->errands);
    free(s);
    return status;
}
