#define _GNU_SOURCE /* memfd_create */
#include "record/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/envelope.h"
#include "record/hdf.h"

/* What the child tells its parent, in memory that both see. */
struct report {
    bool done;
    moe_err err;
};

/* Deflate makes data at most 1032 times smaller, so a file cannot hold more than this. */
static uint64_t most_bytes(uint64_t file_size) {
    return file_size * 1100 + 65536;
}

/* Bytes of address space in use; 0 when the kernel does not tell. */
static uint64_t address_space(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%llu", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void lower(int resource, uint64_t limit) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0 || now.rlim_cur <= limit) return;
    now.rlim_cur = limit;
    setrlimit(resource, &now);
}

/* Keeps only standard input, output and error and the stream: a lock of the parent's must not outlive it in
 * here. */
static void close_others(int stream) {
    if ((stream == 3 || close_range(3, (unsigned)stream - 1, 0) == 0) &&
        close_range((unsigned)stream + 1, ~0u, 0) == 0)
        return;
    for (int fd = 3; fd < 1024; fd++)
        if (fd != stream) close(fd);
}

/* Processor time bounds a loop, wall time a stuck file system, address space an absurd allocation. A signal
 * of the terminal is the parent's business; a crash leaves neither core file nor noise. */
static void confine(uint64_t file_size, pid_t parent, int stream) {
    enum { CPU_SECONDS = 20, WALL_SECONDS = 120 };
    const int defaults[] = {SIGALRM, SIGXCPU, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPIPE};
    const uint64_t in_use = address_space();
    const int nowhere = open("/dev/null", O_RDWR);
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        signal(defaults[i], SIG_DFL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_others(stream);
    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
    }
    lower(RLIMIT_CORE, 0);
    lower(RLIMIT_CPU, CPU_SECONDS + file_size / 2000000);
    if (in_use > 0) lower(RLIMIT_AS, in_use + (UINT64_C(1) << 30) + 32 * file_size);
    alarm(WALL_SECONDS);
}

static void child(const struct load_source *source, pid_t parent, int fd, struct report *report) {
    moe_err err = {0};
    FILE *out;
    confine(source->size, parent, fd);
    out = fdopen(fd, "wb");
    if (out == NULL)
        moe_fail(&err, MOE_ENOMEM, "%s: no memory to read it", source->path);
    else
        load_stream(source, most_bytes(source->size), out, &err);
    report->err = err;
    report->done = true;
    _exit(0); /* neither exit handlers nor buffers of the parent's belong to this process */
}

static moe_status wait_for(pid_t pid, const char *path, struct report *report, moe_err *err) {
    moe_status status = MOE_OK;
    int how = 0;
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    if (!report->done) {
        const int signal_number = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
        const bool late = signal_number == SIGXCPU || signal_number == SIGALRM || signal_number == SIGKILL;
        moe_check(!late, err, MOE_EFORMAT, "%s: reading it does not come to an end; the file is damaged",
                  path);
        status = moe_fail(err, MOE_EFORMAT, "%s: HDF5 fails on it (signal %d); the file is damaged", path,
                          signal_number);
        goto out;
    }
    report->err.message[sizeof report->err.message - 1] = 0;
    moe_check(report->err.status == MOE_OK, err, report->err.status, "%s", report->err.message);
out:
    return status;
}

/* ---- the parent's reading of the stream; sizes are checked although the child is ours: HDF5 may have
 * overrun it ---- */

struct cursor {
    const unsigned char *at;
    size_t left;
};

static const void *take(struct cursor *cursor, size_t *size) {
    uint64_t bytes, padded;
    const void *data;
    if (cursor->left < sizeof bytes) return NULL;
    memcpy(&bytes, cursor->at, sizeof bytes);
    if (bytes > cursor->left - sizeof bytes) return NULL;
    padded = (bytes + 7) & ~UINT64_C(7);
    if (padded > cursor->left - sizeof bytes) return NULL;
    data = cursor->at + sizeof bytes;
    cursor->at += sizeof bytes + padded;
    cursor->left -= sizeof bytes + padded;
    *size = bytes;
    return data;
}

static const char *take_text(struct cursor *cursor) {
    size_t size;
    const char *text = take(cursor, &size);
    return text != NULL && size > 0 && memchr(text, 0, size) == text + size - 1 ? text : NULL;
}

static bool take_texts(struct run_table *table, struct cursor *cursor) {
    const char **const texts[] = {
        &table->begin.identity.suite,
        &table->begin.identity.source,
        &table->begin.identity.experiment,
        &table->begin.identity.protocol,
        &table->begin.identity.tier,
        &table->status,
        &table->outcome,
        &table->digest,
        &table->begin.config_json,
        &table->begin.config_toml,
        &table->begin.counts_json,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if ((*texts[i] = take_text(cursor)) == NULL) return false;
    return true;
}

static bool take_lists(struct run_snapshot *s, struct cursor *cursor) {
    struct run_begin *begin = &s->table.begin;
    size_t size;
    for (int32_t i = 0; i < begin->axes.domains; i++)
        if ((s->domain_names[i] = take_text(cursor)) == NULL) return false;
    begin->domain_names = s->domain_names;
    begin->moe_layer_numbers = take(cursor, &size);
    if (begin->moe_layer_numbers == NULL || size != (size_t)begin->axes.moe_layers * sizeof(int32_t))
        return false;
    for (int32_t i = 0; i < begin->fact_count; i++)
        if ((s->facts[i].name = take_text(cursor)) == NULL || (s->facts[i].value = take_text(cursor)) == NULL)
            return false;
    begin->facts = s->facts;
    return true;
}

static bool take_columns(struct run_table *table, struct cursor *cursor) {
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        const struct run_column *column = &run_columns[i];
        size_t size;
        if (!run_has_series(&table->begin.axes, column->series)) continue;
        table->columns[i] = take(cursor, &size);
        if (table->columns[i] == NULL ||
            size / run_row_bytes(column, &table->begin.axes) != (uint64_t)table->rows[column->series])
            return false;
    }
    return true;
}

static moe_status parse(struct run_snapshot *s, enum run_file_kind kind, moe_err *err) {
    moe_status status = MOE_OK;
    struct cursor cursor = {s->mapping, s->size};
    size_t size = 0;
    const struct stream_head *head = take(&cursor, &size);
    moe_check(head != NULL && size == sizeof *head, err, MOE_EFORMAT,
              "%s: cannot be read; the file is damaged", s->path);
    moe_try(run_axes_check(&head->axes, err));
    moe_check(head->fact_count >= 0 && head->fact_count <= RUN_MAX_FACTS, err, MOE_EFORMAT,
              "%s: /provenance: cannot be read; the file is damaged", s->path);
    s->table.begin.path = s->path;
    s->table.begin.axes = head->axes;
    s->table.begin.identity.seed = head->seed;
    s->table.begin.fact_count = head->fact_count;
    memcpy(s->table.rows, head->rows, sizeof s->table.rows);
    s->domain_names = calloc((size_t)head->axes.domains, sizeof *s->domain_names);
    s->facts = calloc((size_t)head->fact_count + 1, sizeof *s->facts);
    moe_check(s->domain_names != NULL && s->facts != NULL, err, MOE_ENOMEM, "%s: no memory to read it",
              s->path);
    moe_check(take_texts(&s->table, &cursor) && take_lists(s, &cursor) && take_columns(&s->table, &cursor),
              err, MOE_EFORMAT, "%s: cannot be read; the file is damaged", s->path);
    moe_check(kind == RUN_FILE_SEALED || head->head_check == run_head_check(&s->table.begin), err,
              MOE_EFORMAT, "%s: configuration or axes are not those that were written; the file is damaged",
              s->path);
out:
    return status;
}

static moe_status map_stream(struct run_snapshot *s, int fd, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    void *mapping;
    moe_check(fstat(fd, &info) == 0 && info.st_size > 0, err, MOE_EFORMAT,
              "%s: cannot be read; the file is damaged", s->path);
    mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    moe_check(mapping != MAP_FAILED, err, MOE_ENOMEM, "%s: no memory to read it: %s", s->path,
              strerror(errno));
    s->mapping = mapping;
    s->size = (size_t)info.st_size;
out:
    return status;
}

static moe_status check_regular(const char *path, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    moe_check(stat(path, &info) == 0, err, errno == ENOENT || errno == ENOTDIR ? MOE_ENOTFOUND : MOE_EIO,
              "%s: cannot open: %s", path, strerror(errno));
    moe_check(S_ISREG(info.st_mode), err, MOE_EFORMAT, "%s: is no regular file", path);
    moe_check(access(path, R_OK) == 0, err, MOE_EIO, "%s: cannot open: %s", path, strerror(errno));
    *out_size = (size_t)info.st_size;
out:
    return status;
}

struct run_loading {
    struct run_snapshot *snapshot; /* the path, and later what was read */
    enum run_file_kind kind;
    struct report *report;
    int stream;
    pid_t pid;
};

static void free_loading(struct run_loading *l) {
    if (l->stream >= 0) close(l->stream);
    if (l->report != MAP_FAILED) munmap(l->report, sizeof *l->report);
    run_snapshot_free(l->snapshot);
    free(l);
}

/* What a child needs, without the child. */
static moe_status prepare(const char *path, enum run_file_kind kind, struct run_loading **out_loading,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct run_loading *l = calloc(1, sizeof *l);
    moe_check(l != NULL, err, MOE_ENOMEM, "%s: no memory to read it", path);
    *l = (struct run_loading){.kind = kind, .report = MAP_FAILED, .stream = -1};
    l->snapshot = calloc(1, sizeof *l->snapshot);
    moe_check(l->snapshot != NULL, err, MOE_ENOMEM, "%s: no memory to read it", path);
    l->snapshot->path = strdup(path);
    moe_check(l->snapshot->path != NULL, err, MOE_ENOMEM, "%s: no memory to read it", path);
    l->report = mmap(NULL, sizeof *l->report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    l->stream = memfd_create("run", MFD_CLOEXEC);
    moe_check(l->report != MAP_FAILED && l->stream >= 0, err, MOE_ENOMEM, "%s: no memory to read it: %s",
              path, strerror(errno));
    *out_loading = l;
    l = NULL;
out:
    if (l != NULL) free_loading(l);
    return status;
}

moe_status run_loading_start(const char *path, enum run_file_kind kind, struct run_loading **out_loading,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct run_loading *l = NULL;
    struct load_source source = {.path = path, .kind = kind};
    const pid_t parent = getpid();
    if (kind == RUN_FILE_SEALED) moe_try(envelope_read(path, &source.bytes, &source.size, err));
    if (kind == RUN_FILE_LIVE) moe_try(check_regular(path, &source.size, err));
    moe_try(prepare(path, kind, &l, err));
    hdf_quiet(); /* wakes HDF5 here once instead of in every child */
    l->pid = fork();
    if (l->pid == 0) child(&source, parent, l->stream, l->report);
    moe_check(l->pid > 0, err, MOE_ENOMEM, "%s: no process to read it: %s", path, strerror(errno));
    *out_loading = l;
    l = NULL;
out:
    if (l != NULL) free_loading(l);
    free(source.bytes);
    return status;
}

moe_status run_loading_finish(struct run_loading *l, struct run_snapshot **out_snapshot, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_snapshot *s = l->snapshot;
    moe_try(wait_for(l->pid, s->path, l->report, err));
    moe_try(map_stream(s, l->stream, err));
    moe_try(parse(s, l->kind, err));
    *out_snapshot = s;
    l->snapshot = NULL;
out:
    free_loading(l);
    return status;
}

void run_loading_abandon(struct run_loading *l) {
    if (l == NULL) return;
    kill(l->pid, SIGKILL);
    while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free_loading(l);
}

moe_status run_snapshot_load(const char *path, enum run_file_kind kind, struct run_snapshot **out_snapshot,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct run_loading *loading = NULL;
    moe_try(run_loading_start(path, kind, &loading, err));
    status = run_loading_finish(loading, out_snapshot, err);
out:
    return status;
}

void run_snapshot_free(struct run_snapshot *snapshot) {
    if (snapshot == NULL) return;
    if (snapshot->mapping != NULL) munmap(snapshot->mapping, snapshot->size);
    free(snapshot->path);
    free(snapshot->domain_names);
    free(snapshot->facts);
    free(snapshot);
}
