/* test: rooms=core,record label=fast */
/* Several processes at one run: one writes, others are refused or follow. */
#include "test_record_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { STEPS = 400 };

struct told {
    volatile int64_t committed;
    volatile bool sealed, go;
    moe_err err;
};

static struct told *shared_told(void) {
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    return told;
}

/* Writes and seals a run in a process of its own; with `hold` it keeps the lock until told to go on. */
static pid_t start_writer(const char *path, struct told *told, bool hold) {
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct run_writer *w = NULL;
        const struct run_begin begin = fix_begin(path, true);
        if (run_writer_begin(&begin, &w, &told->err) != MOE_OK) _exit(1);
        for (int64_t step = 1; step <= STEPS; step++) {
            if (fix_step(w, step, true, 0.5, &told->err) != MOE_OK) _exit(1);
            told->committed = step;
            while (hold && !told->go)
                usleep(1000);
        }
        if (run_writer_seal(w, "max_steps", NULL, 0, NULL, &told->err) != MOE_OK) _exit(1);
        told->sealed = true;
        _exit(0);
    }
    return pid;
}

static void finish(pid_t pid, const struct told *told) {
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) fail_msg("writer: %s", told->err.message);
}

/* Every view of a live run is a committed state: no row missing, no column ahead of another, never going
 * back. */
static void test_following_a_live_run(void **state) {
    char path[256];
    struct told *told = shared_told();
    int64_t last = 0, views = 0;
    (void)state;
    fix_path(path, "follow.h5");
    const pid_t pid = start_writer(path, told, false);
    while (!told->sealed && told->err.status == MOE_OK) {
        const int64_t committed = told->committed;
        struct run_reader *r = NULL;
        const struct run_info *info;
        double *values;
        int64_t dims[4];
        int32_t rank;
        moe_err why;
        if (committed == 0) continue;
        if (run_reader_open(path, &r, &why) != MOE_OK) fail_msg("%s", why.message);
        info = run_reader_info(r);
        assert_true(info->rows[RUN_TRAIN] >= committed && info->rows[RUN_TRAIN] >= last);
        assert_int_equal(info->rows[RUN_ROUTING], info->rows[RUN_TRAIN]);
        assert_int_equal(info->rows[RUN_TIMING], info->rows[RUN_TRAIN]);
        assert_int_equal(info->rows[RUN_EVAL], info->rows[RUN_TRAIN] / FIX_EPOCH * FIX_DOMAINS);
        assert_ok(run_reader_array(r, "/train/loss", &values, dims, &rank, err));
        for (int64_t i = 0; i < dims[0]; i++)
            assert_true(values[i] == fix_value(i + 1, 1));
        last = dims[0];
        views++;
        free(values);
        run_reader_close(r);
    }
    finish(pid, told);
    print_message("%lld views\n", (long long)views);
    assert_true(views > 0);
    munmap(told, sizeof *told);
}

static void test_second_writer_is_refused_by_name(void **state) {
    char path[256], expected[64];
    struct told *told = shared_told();
    struct run_writer *w = NULL;
    moe_err why = {0};
    (void)state;
    fix_path(path, "busy.h5");
    const struct run_begin begin = fix_begin(path, true);
    const pid_t pid = start_writer(path, told, true);
    while (told->committed == 0 && told->err.status == MOE_OK)
        usleep(1000);
    snprintf(expected, sizeof expected, "process %ld ", (long)pid);
    assert_int_equal(run_writer_begin(&begin, &w, &why), MOE_EBUSY);
    assert_non_null(strstr(why.message, expected));
    assert_int_equal(run_writer_resume(&begin, 1, &w, &why), MOE_EBUSY);
    told->go = true;
    finish(pid, told);
    assert_int_equal(run_writer_begin(&begin, &w, &why), MOE_EEXIST);
    munmap(told, sizeof *told);
}

static void test_lock_of_a_dead_writer_is_free(void **state) {
    char path[256];
    struct told *told = shared_told();
    struct run_writer *w = NULL;
    int how;
    (void)state;
    fix_path(path, "dead.h5");
    const struct run_begin begin = fix_begin(path, true);
    const pid_t pid = start_writer(path, told, true);
    while (told->committed == 0 && told->err.status == MOE_OK)
        usleep(1000);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(fix_exists(path, ".lock"));
    assert_ok(run_writer_resume(&begin, 1, &w, err));
    run_writer_close(w);
    assert_false(fix_exists(path, ".lock"));
    munmap(told, sizeof *told);
}

/* Many at once: exactly one gets it at a time, and the run is made once. */
static void test_many_writers_make_one_run(void **state) {
    enum { WRITERS = 8 };
    char path[256];
    pid_t pids[WRITERS];
    int sealed = 0;
    (void)state;
    fix_path(path, "many.h5");
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            struct run_writer *w = NULL;
            const struct run_begin begin = fix_begin(path, false);
            const moe_status status = run_writer_begin(&begin, &w, NULL);
            if (status == MOE_EBUSY || status == MOE_EEXIST) _exit(2);
            if (status != MOE_OK) _exit(3);
            for (int64_t step = 1; step <= 5; step++)
                if (fix_step(w, step, false, 0.5, NULL) != MOE_OK) _exit(4);
            _exit(run_writer_seal(w, "max_steps", NULL, 0, NULL, NULL) == MOE_OK ? 0 : 5);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int how;
        assert_int_equal(waitpid(pids[i], &how, 0), pids[i]);
        assert_true(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == 2));
        sealed += WEXITSTATUS(how) == 0;
    }
    assert_int_equal(sealed, 1);
}

static void test_mismatches_are_refused_by_name(void **state) {
    char path[256];
    struct run_writer *w = NULL;
    moe_err why = {0};
    (void)state;
    fix_path(path, "mismatch.h5");
    struct run_begin begin = fix_begin(path, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, 3, true, 0.5);
    run_writer_close(w);
    begin.config_json = "{\"train.lr\":0.0005,\"train.seed\":7}";
    assert_int_equal(run_writer_resume(&begin, 3, &w, &why), MOE_EMISMATCH);
    assert_non_null(strstr(why.message, "configuration"));
    assert_non_null(strstr(why.message, "0.0005"));
    begin = fix_begin(path, true);
    begin.identity.seed = 9;
    assert_int_equal(run_writer_resume(&begin, 3, &w, &why), MOE_EMISMATCH);
    begin = fix_begin(path, false);
    assert_int_equal(run_writer_resume(&begin, 3, &w, &why), MOE_EMISMATCH);
    begin = fix_begin(path, true);
    assert_int_equal(run_writer_resume(&begin, 4, &w, &why), MOE_EFORMAT);
    assert_non_null(strstr(why.message, "reaches step 3"));
    assert_ok(run_writer_resume(&begin, 0, &w, err));
    fix_steps(w, 1, 2, true, 0.5);
    run_writer_close(w);
    begin.axes.experts = 1 << 20;
    assert_int_equal(run_writer_resume(&begin, 2, &w, &why), MOE_EARG);
}

/* A layer with fewer experts than the axis: measures are over those it has. */
static void test_layers_of_different_size(void **state) {
    enum { LE = FIX_LAYERS * FIX_EXPERTS };
    char path[256];
    struct run_writer *w = NULL;
    struct run_reader *r = NULL;
    int32_t load[LE], dropped[LE] = {0};
    float zeros[LE] = {0};
    int64_t updates[LE] = {0}, dims[4];
    uint16_t hist[LE * FIX_BINS] = {0};
    const struct run_routing_row row = {1, load, dropped, zeros, zeros, zeros, updates, hist, zeros};
    double *values;
    int32_t rank;
    (void)state;
    for (int i = 0; i < LE; i++)
        load[i] = i < FIX_EXPERTS ? 100 : i < FIX_EXPERTS + 4 ? 50 : -1;
    dropped[1] = 7;
    dropped[2] = 3;
    fix_path(path, "sizes.h5");
    const struct run_begin begin = fix_begin(path, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    assert_ok(run_writer_routing(w, RUN_ROUTING, &row, err));
    assert_ok(run_writer_seal(w, "stopped", NULL, 0, NULL, err));
    assert_ok(run_reader_open(path, &r, err));
    assert_ok(run_reader_array(r, "/routing/entropy_usage", &values, dims, &rank, err));
    assert_true(fabs(values[0] - log(8)) < 1e-14 && fabs(values[1] - log(4)) < 1e-14);
    free(values);
    assert_ok(run_reader_array(r, "/routing/dropped", &values, dims, &rank, err));
    assert_true(values[0] == 10 && values[1] == 0);
    free(values);
    run_reader_close(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_following_a_live_run),
        cmocka_unit_test(test_second_writer_is_refused_by_name),
        cmocka_unit_test(test_lock_of_a_dead_writer_is_free),
        cmocka_unit_test(test_many_writers_make_one_run),
        cmocka_unit_test(test_mismatches_are_refused_by_name),
        cmocka_unit_test(test_layers_of_different_size),
    };
    return cmocka_run_group_tests(tests, NULL, fix_remove_folder);
}
