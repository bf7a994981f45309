/* test: rooms=core,record label=fast */
/* SIGKILL at random moments: no acknowledged row is lost, and the finished run is the one that was never
 * killed. */
#include "test_record_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "core/rng.h"

enum { STEPS = 150, RUNS = 6, KILLS_MOST = 60 };

struct told {
    volatile int64_t acknowledged; /* last step that commit returned for */
    volatile int64_t checkpoint;   /* last step that was saved: where a resumed trainer goes on */
    bool sealed;
    char digest[65];
    moe_err err;
};

/* Begins or resumes, and works until it is killed or done. A checkpoint is every 7th step. */
static void work(const char *path, bool moe, struct told *told) {
    struct run_writer *w = NULL;
    enum run_state what;
    const struct run_begin begin = fix_begin(path, moe);
    if (run_state_of(path, &what, &told->err) != MOE_OK) return;
    if (what == RUN_COMPLETE) {
        told->sealed = true;
        return;
    }
    told->acknowledged = told->checkpoint; /* later rows are about to be cut */
    if (what == RUN_ABSENT || told->checkpoint == 0) {
        if (run_writer_begin(&begin, &w, &told->err) != MOE_OK) return;
    } else if (run_writer_resume(&begin, told->checkpoint, &w, &told->err) != MOE_OK) {
        return;
    }
    for (int64_t step = told->checkpoint + 1; step <= STEPS; step++) {
        if (fix_step(w, step, moe, 0.5, &told->err) != MOE_OK) return;
        told->acknowledged = step;
        if (step % 7 != 0) continue;
        if (step % 21 == 0 && run_writer_save(w, &told->err) != MOE_OK) return;
        told->checkpoint = step;
    }
    if (run_writer_seal(w, "max_steps", NULL, 0, told->digest, &told->err) == MOE_OK) told->sealed = true;
}

static void check_survivors(const char *path, const struct told *told) {
    struct run_reader *r = NULL;
    double *values;
    int64_t dims[4], rows;
    int32_t rank;
    assert_ok(run_reader_open(path, &r, err));
    rows = run_reader_info(r)->rows[RUN_TRAIN];
    if (strcmp(run_reader_info(r)->status, "live") == 0) {
        assert_true(rows >= told->acknowledged);
    }
    assert_ok(run_reader_array(r, "/train/loss_ce", &values, dims, &rank, err));
    for (int64_t i = 0; i < rows; i++)
        assert_true(values[i] == fix_value(i + 1, 2));
    free(values);
    assert_ok(run_reader_array(r, "/timing/forward", &values, dims, &rank, err));
    for (int64_t i = 0; i < told->acknowledged; i++)
        assert_true(values[i] == 0.5);
    free(values);
    run_reader_close(r);
}

/* Kills the worker: at times while it begins or recovers, else a moment after a step drawn ahead of its
 * checkpoint. */
static void kill_somewhere(pid_t pid, const struct told *told, struct rng_key key) {
    enum { RECOVERY_US = 15000, MOMENT_US = 2000, STEPS_AHEAD = 30 };
    const int64_t target = told->checkpoint + 1 + (int64_t)rng_below(key, 0, STEPS_AHEAD);
    const bool recovering = rng_uniform(key, 4) < 0.3f;
    siginfo_t ended = {0};
    if (recovering)
        usleep((useconds_t)rng_below(key, 2, RECOVERY_US));
    else
        while (told->acknowledged < target && ended.si_pid == 0)
            waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    usleep((useconds_t)rng_below(key, 3, MOMENT_US));
    kill(pid, SIGKILL);
}

/* One run, killed until it is done; returns how often. */
static int run_with_kills(const char *path, bool moe, uint64_t seed, struct told *told) {
    int how, kills = 0;
    memset(told, 0, sizeof *told);
    while (!told->sealed) {
        const struct rng_key key = {seed, RNG_TEST, (uint32_t)kills};
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            work(path, moe, told);
            _exit(told->err.status == MOE_OK ? 0 : 1);
        }
        if (kills < KILLS_MOST) kill_somewhere(pid, told, key);
        assert_int_equal(waitpid(pid, &how, 0), pid);
        if (told->err.status != MOE_OK) fail_msg("after %d kills: %s", kills, told->err.message);
        if (!WIFSIGNALED(how)) break;
        kills++;
        if (told->acknowledged > 0) check_survivors(path, told);
    }
    return kills;
}

static void kill_runs(bool moe) {
    char path[256], reference[256], expected[65];
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int kills = 0;
    assert_true(told != MAP_FAILED);
    fix_path(reference, moe ? "reference-moe.h5" : "reference.h5");
    fix_run(reference, STEPS, moe, 0.5, expected);
    for (int run = 0; run < RUNS; run++) {
        struct run_reader *r = NULL;
        char name[32];
        snprintf(name, sizeof name, "killed-%d-%d.h5", moe, run);
        fix_path(path, name);
        kills += run_with_kills(path, moe, (uint64_t)run, told);
        assert_ok(run_reader_open(path, &r, err));
        assert_string_equal(run_reader_info(r)->digest, expected);
        run_reader_close(r);
        assert_false(fix_exists(path, ".tmp"));
    }
    print_message("%d kills\n", kills);
    assert_true(kills >= 2 * RUNS);
    munmap(told, sizeof *told);
}

static void test_killed_moe_runs(void **state) {
    (void)state;
    kill_runs(true);
}

static void test_killed_dense_runs(void **state) {
    (void)state;
    kill_runs(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_moe_runs),
        cmocka_unit_test(test_killed_dense_runs),
    };
    return cmocka_run_group_tests(tests, NULL, fix_remove_folder);
}
