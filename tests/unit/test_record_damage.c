/* test: rooms=core,record label=fast */
/* Damaged run files: a clear error that names the file, never a crash, never wrong data from a sealed file.
 */
#include "test_record_fixture.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "core/rng.h"
#include "record/envelope.h"

enum { STEPS = 40 };

static const struct rng_key key = {4, RNG_TEST, 0};

/* What is still read must be what was written, whatever befell the rest. */
static void check_values(struct run_reader *r) {
    double *values;
    int64_t dims[4];
    int32_t rank;
    assert_ok(run_reader_array(r, "/train/loss_ce", &values, dims, &rank, err));
    assert_true(dims[0] <= STEPS);
    for (int64_t i = 0; i < dims[0]; i++)
        assert_true(values[i] == fix_value(i + 1, 2));
    free(values);
    assert_ok(run_reader_array(r, "/routing/prob_mass", &values, dims, &rank, err));
    for (int64_t i = 0; i < dims[0]; i++)
        for (int j = 0; j < FIX_LAYERS * FIX_EXPERTS; j++)
            assert_true(values[i * FIX_LAYERS * FIX_EXPERTS + j] == (float)fix_value(i + 1, 100 + j));
    free(values);
    assert_string_equal(run_reader_config_json(r), fix_begin("", true).config_json);
    assert_string_equal(run_reader_domain(r, 1), fix_domains[1]);
}

/* Opens and reads everything; true if it opened. A refusal must be one of those that readers promise. */
static bool open_and_read(const char *path, moe_err *why) {
    struct run_reader *r = NULL;
    char dataset[RUN_DATASET_PATH_MAX], hex[65];
    const moe_status status = run_reader_open(path, &r, why);
    if (status != MOE_OK) {
        assert_true(status == MOE_EFORMAT || status == MOE_ENOMEM);
        assert_non_null(strstr(why->message, path));
        return false;
    }
    for (int32_t i = 0; run_reader_dataset(r, i, dataset) != NULL; i++) {
        double *values, sum = 0;
        int64_t dims[4];
        int32_t rank;
        assert_ok(run_reader_array(r, dataset, &values, dims, &rank, err));
        for (int64_t j = 0; j < dims[0] * dims[1] * dims[2] * dims[3]; j++)
            sum += values[j];
        assert_true(sum == sum || sum != sum);
        free(values);
    }
    assert_ok(run_reader_digest(r, hex, err));
    run_reader_close(r);
    return true;
}

static void make_sealed(char path[256], unsigned char **bytes, size_t *size) {
    char hex[65];
    fix_path(path, "sealed.h5");
    unlink(path);
    fix_run(path, STEPS, true, 0.5, hex);
    *bytes = fix_read(path, size);
}

/* The live file of an interrupted run. */
static void make_live(char path[256], unsigned char **bytes, size_t *size) {
    struct run_writer *w = NULL;
    char run[256];
    fix_path(run, "cut.h5");
    fix_path(path, "cut.h5.live");
    const struct run_begin begin = fix_begin(run, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, STEPS, true, 0.5);
    run_writer_close(w);
    *bytes = fix_read(path, size);
}

static void test_every_flip_in_a_sealed_file_is_found(void **state) {
    char path[256];
    unsigned char *bytes;
    size_t size;
    moe_err why;
    (void)state;
    make_sealed(path, &bytes, &size);
    for (int i = 0; i < 1500; i++) {
        const size_t at = i < 700 ? (size_t)i : rng_below(key, (uint64_t)i, size);
        const unsigned char bit = (unsigned char)(1u << (i % 8));
        bytes[at] ^= bit;
        fix_write(path, bytes, size);
        assert_false(open_and_read(path, &why));
        bytes[at] ^= bit;
    }
    fix_write(path, bytes, size);
    assert_true(open_and_read(path, &why));
    free(bytes);
}

static void test_every_truncation_of_a_sealed_file_is_found(void **state) {
    char path[256];
    unsigned char *bytes;
    size_t size;
    moe_err why;
    enum run_state what;
    (void)state;
    make_sealed(path, &bytes, &size);
    for (int i = 0; i < 300; i++) {
        const size_t length = i < 20    ? (size_t)i * 64
                              : i == 20 ? size - 1
                                        : rng_below(key, (uint64_t)i, size);
        fix_write(path, bytes, length);
        assert_false(open_and_read(path, &why));
        assert_int_equal(run_state_of(path, &what, &why), MOE_EFORMAT);
    }
    fix_write(path, bytes, size);
    bytes[size] = 0;
    fix_write(path, bytes, size + 1);
    assert_false(open_and_read(path, &why));
    assert_non_null(strstr(why.message, "was sealed with"));
    free(bytes);
}

/* The envelope is no defence against a file made to harm: here it is right, and what lies behind it is not.
 */
static void test_forged_files_never_crash(void **state) {
    char path[256];
    unsigned char *bytes, *copy;
    size_t size;
    moe_err why;
    int opened = 0;
    (void)state;
    make_sealed(path, &bytes, &size);
    copy = malloc(size);
    for (int i = 0; i < 300; i++) {
        const int flips = 1 + i % 4;
        memcpy(copy, bytes, size);
        for (int j = 0; j < flips; j++)
            copy[ENVELOPE_SIZE + rng_below(key, (uint64_t)(1000 + 4 * i + j), size - ENVELOPE_SIZE)] ^=
                (unsigned char)(1 + rng_below(key, (uint64_t)(9000 + 4 * i + j), 255));
        envelope_fill(copy, size);
        fix_write(path, copy, size);
        opened += open_and_read(path, &why);
    }
    print_message("%d of 300 still open\n", opened);
    free(copy);
    free(bytes);
}

static void test_flips_in_a_live_file_never_crash(void **state) {
    char path[256];
    unsigned char *bytes;
    size_t size;
    moe_err why;
    struct run_reader *r = NULL;
    int opened = 0;
    (void)state;
    make_live(path, &bytes, &size);
    for (int i = 0; i < 200; i++) {
        const size_t at = i < 100 ? (size_t)i * 7 : rng_below(key, (uint64_t)i, size);
        const unsigned char mask = (unsigned char)(1 + rng_below(key, (uint64_t)(5000 + i), 255));
        bytes[at] ^= mask;
        fix_write(path, bytes, size);
        const bool still_opens = open_and_read(path, &why);
        opened += still_opens;
        if (still_opens) {
            assert_ok(run_reader_open(path, &r, err));
            check_values(r);
            run_reader_close(r);
        }
        bytes[at] ^= mask;
    }
    print_message("%d of 200 still open\n", opened);
    assert_true(opened < 200);
    free(bytes);
}

static void test_truncated_live_files_never_crash(void **state) {
    char path[256], run[256];
    unsigned char *bytes;
    size_t size;
    moe_err why;
    struct run_writer *w = NULL;
    struct run_reader *r = NULL;
    (void)state;
    make_live(path, &bytes, &size);
    for (int i = 0; i < 100; i++) {
        fix_write(path, bytes, i < 20 ? (size_t)i * 32 : rng_below(key, (uint64_t)i, size));
        if (!open_and_read(path, &why)) continue;
        assert_ok(run_reader_open(path, &r, err));
        check_values(r);
        run_reader_close(r);
    }
    fix_write(path, bytes, size / 3);
    fix_path(run, "cut.h5");
    const struct run_begin begin = fix_begin(run, true);
    assert_int_equal(run_writer_resume(&begin, 30, &w, &why), MOE_EFORMAT);
    assert_non_null(strstr(why.message, "to begin the run again"));
    free(bytes);
}

/* A power cut may ruin the live file; the copy of the last checkpoint carries the run on. */
static void test_saved_copy_replaces_a_ruined_live_file(void **state) {
    char run[256], live[256], straight[256], hex[65], expected[65];
    unsigned char *bytes;
    size_t size;
    struct run_writer *w = NULL;
    moe_err why;
    (void)state;
    fix_path(straight, "straight.h5");
    fix_run(straight, STEPS, true, 0.5, expected);
    fix_path(run, "power.h5");
    fix_path(live, "power.h5.live");
    const struct run_begin begin = fix_begin(run, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, 20, true, 0.5);
    assert_ok(run_writer_save(w, err));
    fix_steps(w, 21, 30, true, 0.5);
    run_writer_close(w);
    bytes = fix_read(live, &size);
    memset(bytes, 0, 4096);
    fix_write(live, bytes, size);
    assert_int_equal(run_writer_resume(&begin, 30, &w, &why), MOE_EFORMAT);
    assert_ok(run_writer_resume(&begin, 20, &w, err));
    fix_steps(w, 21, STEPS, true, 0.5);
    assert_ok(run_writer_seal(w, "max_steps", NULL, 0, hex, err));
    assert_string_equal(hex, expected);
    assert_false(fix_exists(run, ".saved"));
    free(bytes);
}

static void test_what_is_no_run_file(void **state) {
    char path[256];
    moe_err why;
    struct run_reader *r = NULL;
    (void)state;
    fix_path(path, "absent.h5");
    assert_int_equal(run_reader_open(path, &r, &why), MOE_ENOTFOUND);
    fix_path(path, "empty.h5.live");
    fix_write(path, (const unsigned char *)"", 0);
    assert_false(open_and_read(path, &why));
    fix_path(path, "text.h5");
    fix_write(path, (const unsigned char *)"hello\n", 6);
    assert_false(open_and_read(path, &why));
    assert_non_null(strstr(why.message, "no sealed run file"));
    fix_path(path, "pipe.h5.live");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(run_reader_open(path, &r, &why), MOE_EFORMAT);
}

enum { QUEUE = 40, TORN = 5, FORGED = 7, GONE = 11, IN_PROGRESS = 13 };

/* More runs than are read at a time; what befell four of them is told by their names. */
static void make_queue(char names[QUEUE][256], const char *paths[QUEUE]) {
    char path[256];
    unsigned char *sealed, *live;
    size_t size, live_size;
    make_live(path, &live, &live_size);
    make_sealed(path, &sealed, &size);
    for (int i = 0; i < QUEUE; i++) {
        char name[32];
        snprintf(name, sizeof name, "queue-%02d.h5%s", i, i == IN_PROGRESS ? ".live" : "");
        fix_path(names[i], name);
        paths[i] = names[i];
        if (i != GONE && i != IN_PROGRESS) fix_write(names[i], sealed, i == TORN ? size / 2 : size);
        if (i == IN_PROGRESS) {
            fix_write(names[i], live, live_size);
            *strrchr(names[i], '.') = '\0';
        }
    }
    memset(sealed + ENVELOPE_SIZE, 0, 64);
    envelope_fill(sealed, size);
    fix_write(names[FORGED], sealed, size);
    free(live);
    free(sealed);
}

static void test_a_damaged_run_in_a_queue_is_the_only_one(void **state) {
    static char names[QUEUE][256];
    const char *paths[QUEUE];
    struct run_queue *queue = NULL;
    (void)state;
    make_queue(names, paths);
    assert_ok(run_queue_open(paths, QUEUE, &queue, err));
    for (int i = 0; i < QUEUE; i++) {
        struct run_reader *r = NULL;
        moe_err why;
        const moe_status status = run_queue_next(queue, &r, &why);
        const moe_status expected = i == GONE                  ? MOE_ENOTFOUND
                                    : i == TORN || i == FORGED ? MOE_EFORMAT
                                                               : MOE_OK;
        assert_int_equal(status, expected);
        if (status == MOE_OK) {
            assert_memory_equal(run_reader_path(r), names[i], strlen(names[i]));
            assert_string_equal(run_reader_info(r)->status, i == IN_PROGRESS ? "live" : "complete");
            check_values(r);
        } else {
            assert_non_null(strstr(why.message, names[i]));
        }
        run_reader_close(r);
    }
    run_queue_close(queue);
}

static void test_a_queue_leaves_no_process_behind(void **state) {
    static char names[QUEUE][256];
    const char *paths[QUEUE];
    struct run_queue *queue = NULL;
    struct run_reader *r = NULL;
    siginfo_t info;
    (void)state;
    make_queue(names, paths);
    assert_ok(run_queue_open(paths, QUEUE, &queue, err));
    assert_ok(run_queue_next(queue, &r, err));
    run_reader_close(r);
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), 0); /* those ahead have begun */
    run_queue_close(queue);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flip_in_a_sealed_file_is_found),
        cmocka_unit_test(test_every_truncation_of_a_sealed_file_is_found),
        cmocka_unit_test(test_forged_files_never_crash),
        cmocka_unit_test(test_flips_in_a_live_file_never_crash),
        cmocka_unit_test(test_truncated_live_files_never_crash),
        cmocka_unit_test(test_saved_copy_replaces_a_ruined_live_file),
        cmocka_unit_test(test_what_is_no_run_file),
        cmocka_unit_test(test_a_damaged_run_in_a_queue_is_the_only_one),
        cmocka_unit_test(test_a_queue_leaves_no_process_behind),
    };
    return cmocka_run_group_tests(tests, NULL, fix_remove_folder);
}
