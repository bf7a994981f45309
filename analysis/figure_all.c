#include "analysis/figure_all.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/parallel.h"

#define MAX_WORKERS 4

/* Shared by the processes. */
struct work {
    int32_t next; /* figure that nobody draws yet */
    struct {
        int32_t figure;
        moe_err err;         /* its file is of the program's text: the same in all of them */
    } failures[MAX_WORKERS]; /* status MOE_OK: none */
};

/* Figures are taken one after the other until there are none, or one fails. */
static void draw_some(struct report *report, const char *folder, struct work *work, int32_t worker) {
    const struct figure *figure;
    int32_t i;
    while ((figure = figure_at(i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED))) != NULL) {
        moe_err err = {0};
        if (!run_list_concerns(report->runs, figure->need)) continue;
        if (figure_write(report, figure, folder, NULL, &err) == MOE_OK) continue;
        work->failures[worker].figure = i;
        work->failures[worker].err = err;
        return;
    }
}

/* The failure that comes first, if any. */
static moe_status first_failure(const struct work *work, moe_err *err) {
    int32_t first = -1;
    for (int32_t w = 0; w < MAX_WORKERS; w++) {
        if (work->failures[w].err.status == MOE_OK) continue;
        if (first < 0 || work->failures[w].figure < work->failures[first].figure) first = w;
    }
    if (first < 0) return MOE_OK;
    if (err != NULL && err->status == MOE_OK) *err = work->failures[first].err;
    return work->failures[first].err.status;
}

/* Waits for the processes; all of them, whatever becomes of one. */
static moe_status join(const pid_t *processes, int32_t count, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < count; i++) {
        int how = 0;
        while (waitpid(processes[i], &how, 0) < 0 && errno == EINTR)
            continue;
        if (status == MOE_OK && how != 0)
            status = moe_fail(err, MOE_EIO, "a process that draws figures was ended by signal %d",
                              WIFSIGNALED(how) ? WTERMSIG(how) : 0);
    }
    return status;
}

moe_status figure_write_all(struct report *report, const char *folder, moe_err *err) {
    moe_status status = MOE_OK;
    const int cores = parallel_default_threads();
    const int32_t workers = cores < MAX_WORKERS ? cores : MAX_WORKERS;
    pid_t processes[MAX_WORKERS];
    int32_t started = 0;
    struct work *work = mmap(NULL, sizeof *work, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    moe_check(work != MAP_FAILED, err, MOE_ENOMEM, "cannot allocate %zu bytes", sizeof *work);
    for (; started + 1 < workers; started++) {
        processes[started] = fork();
        if (processes[started] == 0) {
            draw_some(report, folder, work, started + 1);
            _exit(0);
        }
        if (processes[started] < 0) break; /* those that are there draw all */
    }
    draw_some(report, folder, work, 0);
    moe_try(join(processes, started, err));
    moe_try(first_failure(work, err));
out:
    if (work != MAP_FAILED) munmap(work, sizeof *work);
    return status;
}
