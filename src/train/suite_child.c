#define _GNU_SOURCE /* pipe2 */
#include "train/suite_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRESS_FD = 3, MAX_ARGUMENTS = 32 + 2 * SUITE_MAX_SETS };

/* ---- the lines that a child writes to its progress descriptor */

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

void suite_format_ending(moe_status status, char *line, size_t size) {
    snprintf(line, size, "end %d\n", (int)status);
}

/* ---- starting */

static void become_run(const struct plan *plan, const struct suite_options *options, int threads_each,
                       int32_t number, pid_t parent, int progress, int errors) {
    const struct planned_run *run = &plan->runs[number];
    const struct experiment *e = run->experiment;
    const char *argv[MAX_ARGUMENTS];
    char target[2 * EXPERIMENT_NAME_MAX + 2], seed[32], threads[16];
    int n = 0;
    snprintf(target, sizeof target, "%s/%s", e->suite, e->name);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)e->train.seed);
    snprintf(threads, sizeof threads, "%d", threads_each);
    argv[n++] = "moe";
    if (options->portable) argv[n++] = "--portable";
    const char *const fixed[] = {
        "train",     target,  "--protocol", e->protocol,     "--tier", e->tier,   "--seed",        seed,
        "--threads", threads, "--device",   options->device, "--out",  run->path, "--progress-fd", "3"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        argv[n++] = fixed[i];
    if (options->data_dir != NULL) {
        argv[n++] = "--data-dir";
        argv[n++] = options->data_dir;
    }
    if (options->keep_models) argv[n++] = "--keep-model";
    for (int32_t i = 0; i < options->set_count; i++) {
        argv[n++] = "--set";
        argv[n++] = options->sets[i];
    }
    argv[n] = NULL;
    const int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGTERM);    /* a suite that is killed takes its runs along: they checkpoint */
    if (getppid() != parent) _exit(127); /* it was killed before that took effect */
    setpgid(0, 0); /* the terminal's Ctrl-C goes to the parent alone, which then tells the children */
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0) _exit(127);
    if (progress == PROGRESS_FD) {
        fcntl(progress, F_SETFD, 0);
    } else if (dup2(progress, PROGRESS_FD) < 0) {
        _exit(127);
    }
    execv(options->program, (char *const *)argv);
    dprintf(2, "cannot execute %s: %s\n", options->program, strerror(errno));
    _exit(127);
}

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

moe_status suite_child_start(const struct plan *plan, const struct suite_options *options, int threads,
                             int32_t run, struct suite_child *out, moe_err *err) {
    moe_status status = MOE_OK;
    int progress[2] = {-1, -1}, errors[2] = {-1, -1};
    moe_check(pipe2(progress, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0, err, MOE_EIO,
              "cannot make a pipe: %s", strerror(errno));
    const pid_t parent = getpid(), pid = fork();
    moe_check(pid >= 0, err, MOE_EIO, "cannot start a process: %s", strerror(errno));
    if (pid == 0) become_run(plan, options, threads, run, parent, progress[1], errors[1]);
    memset(out, 0, sizeof *out);
    out->pid = pid;
    out->run = run;
    out->progress = progress[0];
    out->errors = errors[0];
    out->ending = -1;
    progress[0] = errors[0] = -1;
out:
    for (int i = 0; i < 2; i++) {
        close_end(&progress[i]);
        close_end(&errors[i]);
    }
    return status;
}

/* ---- listening */

bool suite_child_read(struct suite_child *c, bool errors,
                      void (*on_report)(void *user, int32_t run, const struct trainer_report *report),
                      void *user) {
    char buffer[4096];
    int *fd = errors ? &c->errors : &c->progress;
    struct suite_line *line = errors ? &c->error_line : &c->progress_line;
    struct trainer_report report;
    const ssize_t n = read(*fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) {
        close_end(fd);
        return false;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buffer[i] != '\n') {
            if (line->length + 1 < sizeof line->text) line->text[line->length++] = buffer[i];
            continue;
        }
        line->text[line->length] = '\0';
        line->length = 0;
        if (errors) {
            snprintf(c->last_error, sizeof c->last_error, "%s", line->text);
        } else if (suite_parse_progress(line->text, &report)) {
            on_report(user, c->run, &report);
        } else {
            sscanf(line->text, "end %d", &c->ending);
        }
    }
    return true;
}

int suite_child_wait(struct suite_child *c) {
    int wait_status = 0;
    while (waitpid(c->pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    close_end(&c->progress);
    close_end(&c->errors);
    return wait_status;
}

void suite_child_reason(const struct suite_child *c, int wait_status, char *text, size_t size) {
    if (WIFSIGNALED(wait_status)) {
        snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    } else if (c->last_error[0] != '\0') {
        snprintf(text, size, "%s", c->last_error);
    } else {
        snprintf(text, size, "ended with exit code %d and no message", WEXITSTATUS(wait_status));
    }
}
