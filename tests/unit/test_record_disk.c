/* test: rooms=core,record label=fast */
/* A disk that fills up at any byte: a clear error, nothing acknowledged is lost, the run resumes, nothing is
 * printed. */
#define _GNU_SOURCE
#include "test_record_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <hdf5.h>

enum { STEPS = 120 };

/* What the writing process leaves to be checked. */
struct told {
    bool begun;
    int64_t acknowledged;
    moe_status status;   /* of the call that failed */
    moe_status repeated; /* of a commit after it */
    moe_err err;
};

static struct told *shared_told(void) {
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    return told;
}

/* Writes until something fails, saves now and then, seals at the end. */
static void write_until_full(const char *path, struct told *told) {
    struct run_writer *w = NULL;
    moe_err why = {0};
    const struct run_begin begin = fix_begin(path, true);
    told->status = run_writer_begin(&begin, &w, &told->err);
    if (told->status != MOE_OK) return;
    told->begun = true;
    for (int64_t step = 1; step <= STEPS && told->status == MOE_OK; step++) {
        told->status = fix_step(w, step, true, 0.5, &told->err);
        if (told->status == MOE_OK) told->acknowledged = step;
        if (told->status == MOE_OK && step % 32 == 0) told->status = run_writer_save(w, &told->err);
    }
    if (told->status == MOE_OK) {
        told->status = run_writer_seal(w, "max_steps", NULL, 0, NULL, &told->err);
    } else {
        told->repeated = run_writer_commit(w, &why);
        run_writer_close(w);
        w = NULL; /* on a disk that is still full, resuming fails in the same way and harms nothing */
        if (run_writer_resume(&begin, told->acknowledged, &w, &why) == MOE_OK) run_writer_close(w);
    }
}

/* Runs the writer in a process whose files cannot grow beyond `limit` bytes (0: no limit). What it prints
 * fails the test, HDF5's handlers at exit included. */
static void write_in_child(const char *path, uint64_t limit, struct told *told) {
    int output[2], how;
    char printed[512];
    ssize_t got;
    pid_t pid;
    memset(told, 0, sizeof *told);
    assert_int_equal(pipe(output), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit bytes = {limit, limit};
        dup2(output[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        signal(SIGXFSZ, SIG_IGN);
        signal(SIGSEGV, SIG_DFL);
        if (limit > 0 && setrlimit(RLIMIT_FSIZE, &bytes) != 0) _exit(9);
        write_until_full(path, told);
        if (limit == 0) H5close(); /* whatever failed, HDF5 is left fit to be closed */
        _exit(0);
    }
    close(output[1]);
    got = read(output[0], printed, sizeof printed - 1);
    printed[got > 0 ? got : 0] = 0;
    assert_string_equal(printed, "");
    close(output[0]);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void clean(const char *path) {
    static const char *const suffixes[] = {"", ".live", ".saved", ".lock", ".tmp", ".live.tmp", ".saved.tmp"};
    char full[300];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(full, sizeof full, "%s%s", path, suffixes[i]);
        unlink(full);
    }
}

/* After a failed write: all acknowledged rows are there, and the run resumes to the digest of an undisturbed
 * one. */
static void check_and_finish(const char *path, const struct told *told, const char *expected) {
    struct run_reader *r = NULL;
    struct run_writer *w = NULL;
    enum run_state what;
    char hex[65];
    const int64_t from = told->acknowledged;
    const struct run_begin begin = fix_begin(path, true);
    assert_int_equal(told->status, MOE_EIO);
    if (!told->begun) {
        assert_ok(run_state_of(path, &what, err));
        assert_int_equal(what, RUN_ABSENT);
        return;
    }
    assert_ok(run_reader_open(path, &r, err));
    assert_true(run_reader_info(r)->rows[RUN_TRAIN] >= told->acknowledged);
    assert_true(run_reader_info(r)->rows[RUN_ROUTING] >= told->acknowledged);
    run_reader_close(r);
    assert_ok(run_writer_resume(&begin, from, &w, err));
    fix_steps(w, from + 1, STEPS, true, 0.5);
    assert_ok(run_writer_seal(w, "max_steps", NULL, 0, hex, err));
    assert_string_equal(hex, expected);
}

static void test_files_that_cannot_grow(void **state) {
    char path[256], hex[65];
    struct told *told = shared_told();
    struct stat info;
    int stopped = 0;
    (void)state;
    fix_path(path, "reference.h5");
    fix_run(path, STEPS, true, 0.5, hex);
    assert_int_equal(stat(path, &info), 0);
    fix_path(path, "limited.h5");
    for (uint64_t limit = 1000;; limit += 7777) {
        clean(path);
        write_in_child(path, limit, told);
        if (told->status == MOE_OK) break;
        assert_non_null(strstr(told->err.message, "limited.h5"));
        if (told->acknowledged > 0) stopped++;
        if (told->begun && told->repeated != MOE_OK) assert_int_equal(told->repeated, MOE_EIO);
        check_and_finish(path, told, hex);
    }
    assert_true(stopped >= 10);
    munmap(told, sizeof *told);
}

static bool mount_small(const char *folder, unsigned kilobytes) {
    char options[32];
    snprintf(options, sizeof options, "size=%uk", kilobytes);
    return mkdir(folder, 0777) == 0 && mount("none", folder, "tmpfs", 0, options) == 0;
}

static void test_full_disk(void **state) {
    char folder[256], path[300], plain[256], hex[65];
    struct told *told = shared_told();
    bool sealed_failed = false;
    (void)state;
    fix_path(plain, "undisturbed.h5");
    fix_run(plain, STEPS, true, 0.5, hex);
    fix_path(folder, "disk");
    for (unsigned kilobytes = 16; kilobytes < 2048; kilobytes += 32) {
        if (!mount_small(folder, kilobytes)) {
            print_message("mounting a small file system is not permitted here: %s\n", strerror(errno));
            rmdir(folder);
            skip();
        }
        snprintf(path, sizeof path, "%s/full.h5", folder);
        write_in_child(path, 0, told);
        if (told->status != MOE_OK) {
            char options[32] = "size=8m";
            assert_non_null(strstr(told->err.message, "full.h5"));
            assert_true(strstr(told->err.message, "no space left on device") != NULL ||
                        strstr(told->err.message, "the disk is full") != NULL);
            if (told->acknowledged == STEPS) sealed_failed = true;
            assert_false(fix_exists(path, ""));
            assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT, options), 0);
            check_and_finish(path, told, hex);
        }
        assert_int_equal(umount2(folder, MNT_DETACH), 0);
        rmdir(folder);
        if (told->status == MOE_OK) break;
    }
    assert_int_equal(told->status, MOE_OK);
    assert_true(sealed_failed || told->status == MOE_OK);
    munmap(told, sizeof *told);
}

static int unmount_and_remove(void **state) {
    char folder[256];
    fix_path(folder, "disk");
    umount2(folder, MNT_DETACH);
    return fix_remove_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_cannot_grow),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, unmount_and_remove);
}
