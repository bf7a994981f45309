/* test: rooms=core label=fast */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/moe_file_XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void a_file_comes_back_as_written(void **state) {
    (void)state;
    moe_err err = {0};
    char *path = path_join(folder, "data.bin"), *temp = path_join(folder, "data.bin.tmp");
    static const char bytes[] = "one\0two\n";
    unsigned char *back = NULL;
    size_t size = 0;
    assert_int_equal(file_write_atomic(path, bytes, sizeof bytes, &err), MOE_OK);
    assert_int_equal(file_read_all(path, 1000, &back, &size, &err), MOE_OK);
    assert_int_equal(size, sizeof bytes);
    assert_memory_equal(back, bytes, size);
    assert_int_equal(back[size], 0);
    free(back);
    assert_int_equal(file_write_atomic(path, "x", 1, &err), MOE_OK); /* a shorter file leaves no tail */
    assert_int_equal(file_read_all(path, 1, &back, &size, &err), MOE_OK);
    assert_int_equal(size, 1);
    free(back);
    assert_false(file_exists(temp));
    assert_int_equal(file_write_atomic(path, NULL, 0, &err), MOE_OK);
    assert_int_equal(file_read_all(path, 0, &back, &size, &err), MOE_OK);
    assert_int_equal(size, 0);
    free(back);
    free(path);
    free(temp);
}

static void reading_refuses_what_it_should(void **state) {
    (void)state;
    moe_err err = {0};
    unsigned char *data = NULL;
    char *path = path_join(folder, "ten");
    assert_int_equal(file_write_atomic(path, "0123456789", 10, &err), MOE_OK);
    assert_int_equal(file_read_all(path, 9, &data, NULL, &err), MOE_EFORMAT);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(file_read_all(folder, 100, &data, NULL, &err), MOE_EIO);
    assert_int_equal(file_read_all("/tmp/moe no such file", 100, &data, NULL, &err), MOE_ENOTFOUND);
    assert_null(data);
    /* The size of a device is not known beforehand: the cap holds while reading. */
    assert_int_equal(file_read_all("/dev/zero", 100000, &data, NULL, &err), MOE_EFORMAT);
    assert_null(data);
    free(path);
}

static void a_leftover_of_a_killed_writer_does_no_harm(void **state) {
    (void)state;
    moe_err err = {0};
    char *path = path_join(folder, "leftover"), *temp = path_join(folder, "leftover.tmp");
    unsigned char *data = NULL;
    FILE *f = fopen(temp, "wb");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputc('z', f);
    fclose(f);
    assert_int_equal(file_write_atomic(path, "new", 3, &err), MOE_OK);
    assert_int_equal(file_read_all(path, 3, &data, NULL, &err), MOE_OK);
    assert_string_equal((char *)data, "new");
    assert_false(file_exists(temp));
    free(data);
    free(path);
    free(temp);
}

static void a_failed_write_keeps_the_old_file(void **state) {
    (void)state;
    moe_err err = {0};
    char *path = path_join(folder, "kept"), *temp = path_join(folder, "kept.tmp");
    unsigned char *data = NULL;
    assert_int_equal(file_write_atomic(path, "old", 3, &err), MOE_OK);
    /* A limit on the size of files makes write() fail in its middle, as a full disk does. */
    struct rlimit old_limit, limit;
    getrlimit(RLIMIT_FSIZE, &old_limit);
    limit = old_limit;
    limit.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    char *large = calloc(1, 100000);
    const moe_status status = file_write_atomic(path, large, 100000, &err);
    setrlimit(RLIMIT_FSIZE, &old_limit);
    assert_int_equal(status, MOE_EIO);
    assert_non_null(strstr(err.message, path));
    assert_false(file_exists(temp));
    assert_int_equal(file_read_all(path, 100, &data, NULL, &err), MOE_OK);
    assert_string_equal((char *)data, "old");
    free(data);
    free(large);
    free(path);
    free(temp);
}

static void a_full_disk_is_named(void **state) {
    (void)state;
    moe_err err = {0};
    assert_int_equal(file_write_failure("a/b.h5", ENOSPC, &err), MOE_EIO);
    assert_non_null(strstr(err.message, "a/b.h5"));
    assert_non_null(strstr(err.message, "the disk is full"));
    assert_int_equal(file_write_atomic("/tmp/moe no such folder/x", "x", 1, &err), MOE_EIO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void concurrent_writers_never_mix(void **state) {
    (void)state;
    enum { WRITERS = 4, ROUNDS = 20, SIZE = 50000 };
    moe_err err = {0};
    char *path = path_join(folder, "shared");
    pid_t pids[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        pids[w] = fork();
        if (pids[w] != 0) continue;
        char *text = malloc(SIZE);
        memset(text, 'a' + w, SIZE);
        for (int i = 0; i < ROUNDS; i++)
            if (file_write_atomic(path, text, SIZE, NULL) != MOE_OK) _exit(1);
        _exit(0);
    }
    for (int w = 0; w < WRITERS; w++) {
        int result = 1;
        assert_int_equal(waitpid(pids[w], &result, 0), pids[w]);
        assert_int_equal(result, 0);
    }
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(file_read_all(path, SIZE, &data, &size, &err), MOE_OK);
    assert_int_equal(size, SIZE);
    for (size_t i = 1; i < size; i++)
        assert_int_equal(data[i], data[0]);
    free(data);
    free(path);
}

static void published_files_move_into_place(void **state) {
    (void)state;
    moe_err err = {0};
    char *from = path_join(folder, "pub.partial"), *to = path_join(folder, "pub");
    assert_int_equal(file_write_atomic(from, "p", 1, &err), MOE_OK);
    assert_int_equal(file_publish(from, to, &err), MOE_OK);
    assert_true(file_exists(to) && !file_exists(from));
    assert_int_equal(file_publish(from, to, &err), MOE_EIO);
    assert_int_equal(file_remove(to, &err), MOE_OK);
    assert_int_equal(file_remove(to, &err), MOE_OK);
    assert_false(file_exists(to));
    free(from);
    free(to);
}

static void folders_are_made_with_their_parents(void **state) {
    (void)state;
    moe_err err = {0};
    char *deep = path_join(folder, "a//b/c/"), *file = path_join(folder, "x/y/file");
    assert_int_equal(file_make_folders(deep, &err), MOE_OK);
    assert_int_equal(file_make_folders(deep, &err), MOE_OK);
    assert_true(file_is_folder(deep));
    assert_int_equal(file_make_parents(file, &err), MOE_OK);
    assert_false(file_exists(file));
    assert_int_equal(file_write_atomic(file, "f", 1, &err), MOE_OK);
    char *below = path_join(file, "z");
    assert_int_equal(file_make_folders(file, &err), MOE_EIO);
    assert_int_equal(file_make_folders(below, &err), MOE_EIO);
    free(below);
    free(deep);
    free(file);
}

static void paths_are_taken_apart_and_joined(void **state) {
    (void)state;
    static const struct {
        const char *folder, *name, *joined;
    } joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {NULL, "b", "b"}, {"a", "/b", "/b"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *got = path_join(joins[i].folder, joins[i].name);
        assert_string_equal(got, joins[i].joined);
        free(got);
    }
    static const struct {
        const char *path, *folder, *name;
    } parts[] = {{"a/b/c", "a/b", "c"}, {"c", ".", "c"}, {"/c", "/", "c"}, {"a//c", "a", "c"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *got = path_folder(parts[i].path);
        assert_string_equal(got, parts[i].folder);
        assert_string_equal(path_name(parts[i].path), parts[i].name);
        free(got);
    }
}

static void paths_have_endings(void **state) {
    (void)state;
    char *longer = path_append("a/x.h5", ".live");
    assert_string_equal(longer, "a/x.h5.live");
    assert_true(path_ends_with(longer, ".live"));
    assert_true(path_ends_with(longer, ".h5.live"));
    assert_false(path_ends_with(longer, ".h5"));
    assert_true(path_ends_with(".h5", ".h5"));
    assert_false(path_ends_with("h5", ".h5"));
    free(longer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_comes_back_as_written),
        cmocka_unit_test(reading_refuses_what_it_should),
        cmocka_unit_test(a_leftover_of_a_killed_writer_does_no_harm),
        cmocka_unit_test(a_failed_write_keeps_the_old_file),
        cmocka_unit_test(a_full_disk_is_named),
        cmocka_unit_test(concurrent_writers_never_mix),
        cmocka_unit_test(published_files_move_into_place),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_are_taken_apart_and_joined),
        cmocka_unit_test(paths_have_endings),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
