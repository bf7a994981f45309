#define _GNU_SOURCE /* pipe2 */
#include "train/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/parallel.h"

enum { MAX_JOBS = 256, LINE_MAX_CHARS = 1024, PROGRESS_FD = 3, MAX_ARGUMENTS = 160 };

/* One running child. */
struct job {
    pid_t pid;
    int32_t run;
    int progress, errors;      /* read ends of its pipes; -1 when closed */
    char line[LINE_MAX_CHARS]; /* of progress, unfinished */
    size_t line_length;
    char last_error[LINE_MAX_CHARS]; /* the last line it wrote to standard error */
    char error_line[LINE_MAX_CHARS];
    size_t error_length;
};

struct suite {
    const struct plan *plan;
    const struct suite_options *options;
    struct suite_summary *summary;
    struct job jobs[MAX_JOBS];
    int running, job_limit, threads;
    int64_t memory_limit, memory_used; /* bytes */
    bool stop_sent;
    moe_status first_failure;
    moe_err *err;
};

void suite_format_progress(const struct trainer_report *r, char *line, size_t size) {
    snprintf(line, size, "%lld %lld %lld %lld %a %a %a %a\n", (long long)r->step, (long long)r->total_steps,
             (long long)r->epoch, (long long)r->max_epochs, r->loss, r->validation, r->tokens_per_second,
             r->seconds_left);
}

bool suite_parse_progress(const char *line, struct trainer_report *out) {
    long long step, total, epoch, epochs;
    const int fields = sscanf(line, "%lld %lld %lld %lld %la %la %la %la", &step, &total, &epoch, &epochs,
                              &out->loss, &out->validation, &out->tokens_per_second, &out->seconds_left);
    if (fields != 8) return false;
    out->step = step;
    out->total_steps = total;
    out->epoch = epoch;
    out->max_epochs = epochs;
    return true;
}

static void tell(const struct suite *s, enum suite_event_kind kind, int32_t run,
                 const struct trainer_report *report, const char *message) {
    const struct suite_event event = {.kind = kind, .run = run, .report = report, .message = message};
    if (s->options->on_event != NULL) s->options->on_event(s->options->user, &event);
}

/* The child: its progress on descriptor 3, its errors to the parent, nothing on standard output. */
static void become_run(const struct suite *s, int32_t number, int progress, int errors) {
    const struct planned_run *run = &s->plan->runs[number];
    const struct experiment *e = run->experiment;
    const char *argv[MAX_ARGUMENTS];
    char target[2 * EXPERIMENT_NAME_MAX + 2], seed[32], threads[16];
    int n = 0;
    snprintf(target, sizeof target, "%s/%s", e->suite, e->name);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)e->train.seed);
    snprintf(threads, sizeof threads, "%d", s->threads);
    argv[n++] = "moe";
    if (s->options->portable) argv[n++] = "--portable";
    const char *const fixed[] = {
        "train",     target,  "--protocol", e->protocol,        "--tier", e->tier,   "--seed",        seed,
        "--threads", threads, "--device",   s->options->device, "--out",  run->path, "--progress-fd", "3"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        argv[n++] = fixed[i];
    if (s->options->data_dir != NULL) {
        argv[n++] = "--data-dir";
        argv[n++] = s->options->data_dir;
    }
    if (s->options->keep_models) argv[n++] = "--keep-model";
    for (int32_t i = 0; i < s->options->set_count && n + 3 < MAX_ARGUMENTS; i++) {
        argv[n++] = "--set";
        argv[n++] = s->options->sets[i];
    }
    argv[n] = NULL;
    const int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a suite that is killed takes its runs along: they checkpoint */
    setpgid(0, 0); /* the terminal's Ctrl-C goes to the parent alone, which then tells the children */
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
    if (progress == PROGRESS_FD) {
        fcntl(progress, F_SETFD, 0);
    } else if (dup2(progress, PROGRESS_FD) < 0) {
        _exit(127);
    }
    execv(s->options->program, (char *const *)argv);
    dprintf(2, "cannot execute %s: %s\n", s->options->program, strerror(errno));
    _exit(127);
}

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static moe_status start_run(struct suite *s, int32_t number, moe_err *err) {
    moe_status status = MOE_OK;
    int progress[2] = {-1, -1}, errors[2] = {-1, -1};
    struct job *job = &s->jobs[s->running];
    moe_check(pipe2(progress, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0, err, MOE_EIO,
              "cannot make a pipe: %s", strerror(errno));
    const pid_t pid = fork();
    moe_check(pid >= 0, err, MOE_EIO, "cannot start a process: %s", strerror(errno));
    if (pid == 0) become_run(s, number, progress[1], errors[1]);
    memset(job, 0, sizeof *job);
    *job = (struct job){.pid = pid, .run = number, .progress = progress[0], .errors = errors[0]};
    progress[0] = errors[0] = -1;
    s->running++;
    s->memory_used += s->plan->runs[number].memory;
    tell(s, SUITE_STARTED, number, NULL, NULL);
out:
    for (int i = 0; i < 2; i++) {
        close_end(&progress[i]);
        close_end(&errors[i]);
    }
    return status;
}

static void on_progress_line(struct suite *s, struct job *job) {
    struct trainer_report report;
    if (suite_parse_progress(job->line, &report)) tell(s, SUITE_PROGRESS, job->run, &report, NULL);
}

/* Reads what is there; calls back for each whole line. False at the end of the pipe. */
static bool read_lines(struct suite *s, struct job *job, bool errors) {
    char buffer[4096];
    char *line = errors ? job->error_line : job->line;
    size_t *length = errors ? &job->error_length : &job->line_length;
    const ssize_t n = read(errors ? job->errors : job->progress, buffer, sizeof buffer);
    if (n <= 0) return n < 0 && errno == EINTR;
    for (ssize_t i = 0; i < n; i++) {
        if (buffer[i] != '\n') {
            if (*length + 1 < LINE_MAX_CHARS) line[(*length)++] = buffer[i];
            continue;
        }
        line[*length] = '\0';
        *length = 0;
        if (errors) {
            snprintf(job->last_error, sizeof job->last_error, "%s", line);
        } else {
            on_progress_line(s, job);
        }
    }
    return true;
}

/* The reason why a child ended, for people. */
static void ending_text(const struct job *job, int wait_status, char *text, size_t size) {
    if (WIFSIGNALED(wait_status)) {
        snprintf(text, size, "killed by signal %d (%s); it is resumed when the suite is called again",
                 WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    } else if (job->last_error[0] != '\0') {
        snprintf(text, size, "%s", job->last_error);
    } else {
        snprintf(text, size, "ended with exit code %d and no message", WEXITSTATUS(wait_status));
    }
}

static void reap(struct suite *s, int index) {
    struct job *job = &s->jobs[index];
    const int32_t number = job->run;
    char text[LINE_MAX_CHARS];
    int wait_status = 0;
    while (waitpid(job->pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    close_end(&job->progress);
    close_end(&job->errors);
    ending_text(job, wait_status, text, sizeof text);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        s->summary->done++;
        tell(s, SUITE_DONE, number, NULL, job->last_error[0] != '\0' ? job->last_error : NULL);
    } else if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == moe_exit_code(MOE_EINTERRUPTED)) {
        s->summary->interrupted++;
        tell(s, SUITE_INTERRUPTED, number, NULL, text);
    } else {
        s->summary->failed++;
        if (s->first_failure == MOE_OK) s->first_failure = moe_fail(s->err, MOE_EIO, "%s", text);
        tell(s, SUITE_FAILED, number, NULL, text);
    }
    s->memory_used -= s->plan->runs[number].memory;
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
    if (poll(fds, (nfds_t)(2 * running), 500) <= 0) return;
    for (int i = running - 1; i >= 0; i--) {
        struct job *job = &s->jobs[i];
        if (fds[2 * i].revents != 0 && !read_lines(s, job, false)) close_end(&job->progress);
        if (fds[2 * i + 1].revents != 0 && !read_lines(s, job, true)) close_end(&job->errors);
        if (job->progress < 0 && job->errors < 0) reap(s, i);
    }
}

static bool stop_asked(const struct suite *s) {
    return s->options->stop != NULL && *s->options->stop != 0;
}

static void pass_on_stop(struct suite *s) {
    if (s->stop_sent || !stop_asked(s)) return;
    for (int i = 0; i < s->running; i++)
        kill(s->jobs[i].pid, SIGTERM);
    s->stop_sent = true;
}

/* Whether another run may start beside those that run. A run too large for the machine may try alone. */
static bool fits(const struct suite *s, int32_t number) {
    if (s->running == 0) return true;
    return s->running < s->job_limit && s->memory_used + s->plan->runs[number].memory <= s->memory_limit;
}

static int64_t physical_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
}

moe_status suite_run(const struct plan *plan, const struct suite_options *options,
                     struct suite_summary *out_summary, moe_err *err) {
    moe_status status = MOE_OK;
    const int cores = parallel_default_threads();
    struct suite *s = calloc(1, sizeof *s);
    int32_t next = 0;
    *out_summary = (struct suite_summary){0};
    moe_check(s != NULL, err, MOE_ENOMEM, "no memory for the suite's list of processes");
    s->plan = plan;
    s->options = options;
    s->summary = out_summary;
    s->err = err;
    s->job_limit = options->jobs > 0 ? options->jobs : cores;
    if (s->job_limit > MAX_JOBS) s->job_limit = MAX_JOBS;
    s->threads = options->threads > 0       ? options->threads
                 : cores / s->job_limit > 0 ? cores / s->job_limit
                                            : 1;
    s->memory_limit = physical_memory() / 10 * 9;
    while (next < plan->count || s->running > 0) {
        pass_on_stop(s);
        if (stop_asked(s) && s->running == 0) break;
        if (next < plan->count && plan->runs[next].state == RUN_COMPLETE) {
            out_summary->complete_before++;
            next++;
        } else if (next < plan->count && !stop_asked(s) && fits(s, next)) {
            moe_try(start_run(s, next++, err));
        } else {
            listen_once(s);
        }
    }
    status = s->first_failure;
    if (stop_asked(s)) status = moe_fail(err, MOE_EINTERRUPTED, "interrupted; the same command goes on");
out:
    for (int i = 0; s != NULL && i < s->running; i++)
        kill(s->jobs[i].pid, SIGTERM);
    while (s != NULL && s->running > 0)
        listen_once(s);
    free(s);
    return status;
}
