/* test: rooms=data label=fast */
#define _GNU_SOURCE /* strcasestr */
/* Downloading one file: where it goes, what is continued, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "fixture_server.h"

static void a_right_file_is_put_into_its_place_once(void **state) {
    struct fixture *f = *state;
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_content(f, "", BODY);
    assert_string_equal(f->server.paths[0], "/base/set/file.bin");
    assert_int_equal(f->server.starts[0], -1);
    fetched(f, NOT_FOUND, FETCH_ALREADY_THERE);
    assert_int_equal(atomic_load(&f->server.requests), 1);
}

static void md5_alone_is_enough_and_both_must_be_right(void **state) {
    struct fixture *f = *state;
    char command[256], md5[64] = "", *path = path_of(f, "");
    fetched(f, SERVE, FETCH_DOWNLOADED);
    snprintf(command, sizeof command, "md5sum < '%s'", path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%32s", md5), 1);
    assert_int_equal(pclose(p), 0);
    f->file.md5 = md5;
    f->file.sha256 = NULL;
    assert_int_equal(fetch_check(&f->file, path, NULL), MOE_OK);
    f->file.sha256 = f->sha256;
    assert_int_equal(fetch_check(&f->file, path, NULL), MOE_OK);
    md5[5] ^= 1;
    moe_err err = {0};
    assert_int_equal(fetch_check(&f->file, path, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "MD5"));
    free(path);
}

static void a_cut_off_download_is_continued(void **state) {
    struct fixture *f = *state;
    failed(f, CUT, MOE_EIO, "cut off at byte 150000");
    assert_content(f, ".part", BODY / 2);
    assert_absent(f, "");
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[1], BODY / 2);
    assert_content(f, "", BODY);
}

static void a_close_without_a_length_is_a_cut(void **state) {
    struct fixture *f = *state;
    failed(f, NO_LENGTH, MOE_EIO, "cut off at byte 150000");
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[1], BODY / 2);
}

static void a_silent_server_is_given_up(void **state) {
    struct fixture *f = *state;
    failed(f, SILENT, MOE_EIO, "cut off at byte 150000: the server has fallen silent");
    assert_content(f, ".part", BODY / 2);
}

static void a_server_without_ranges_starts_again(void **state) {
    struct fixture *f = *state;
    failed(f, CUT, MOE_EIO, "cut off");
    fetched(f, NO_RANGES, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[1], BODY / 2);
    assert_content(f, "", BODY);
}

static void another_range_than_asked_for_is_not_written(void **state) {
    struct fixture *f = *state;
    failed(f, CUT, MOE_EIO, "cut off");
    failed(f, OTHER_RANGE, MOE_EIO, "sends others");
    assert_content(f, ".part", BODY / 2);
    fetched(f, SERVE, FETCH_DOWNLOADED);
}

static void a_wrong_file_is_deleted(void **state) {
    struct fixture *f = *state;
    failed(f, WRONG, MOE_EMISMATCH, f->sha256);
    assert_absent(f, "");
    assert_absent(f, ".part");
    failed(f, LONGER, MOE_EMISMATCH, "larger than the expected 300000");
    assert_absent(f, ".part");
    f->file.bytes = 0; /* the publisher states no size: the checksum tells */
    failed(f, LONGER, MOE_EMISMATCH, "SHA-256");
    assert_absent(f, ".part");
    fetched(f, SERVE, FETCH_DOWNLOADED);
}

static void a_beginning_of_something_else_is_fetched_anew(void **state) {
    struct fixture *f = *state;
    put(f, ".part", "not the beginning of it", 23);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[0], 23);
    assert_int_equal(f->server.starts[1], -1);
    assert_content(f, "", BODY);
}

static void a_part_that_is_too_long_is_fetched_anew(void **state) {
    struct fixture *f = *state;
    put(f, ".part", f->server.body, BODY + 5);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[0], -1);
}

static void a_complete_part_needs_no_download(void **state) {
    struct fixture *f = *state;
    put(f, ".part", f->server.body, BODY);
    fetched(f, NOT_FOUND, FETCH_DOWNLOADED);
    assert_int_equal(atomic_load(&f->server.requests), 0);
    assert_content(f, "", BODY);
}

/* Without a stated size only the server's 416 says that nothing is missing. */
static void a_complete_part_of_unknown_size(void **state) {
    struct fixture *f = *state;
    f->file.bytes = 0;
    put(f, ".part", f->server.body, BODY);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[0], BODY);
    assert_content(f, "", BODY);
}

static void a_prefix_takes_no_more_than_it_needs(void **state) {
    struct fixture *f = *state;
    f->file.sha256 = f->prefix_sha256;
    f->file.bytes = 1000;
    f->file.prefix = true;
    put(f, ".part", f->server.body, 400);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[0], 400);
    assert_content(f, "", 1000);
    char *path = path_of(f, "");
    assert_int_equal(unlink(path), 0);
    free(path);
    fetched(f, NO_RANGES, FETCH_DOWNLOADED);
    assert_content(f, "", 1000);
}

static void servers_that_refuse_are_named(void **state) {
    struct fixture *f = *state;
    failed(f, NOT_FOUND, MOE_ENOTFOUND, "404");
    assert_absent(f, ".part");
    failed(f, BROKEN, MOE_EIO, "503");
    put(f, ".part", f->server.body, 100);
    failed(f, NOT_FOUND, MOE_ENOTFOUND, "--base-url");
    assert_content(f, ".part", 100);
    f->options.base_url = "http://127.0.0.1:1/";
    failed(f, SERVE, MOE_EIO, "check the network");
    f->options.base_url = "file:///etc/";
    failed(f, SERVE, MOE_EIO, "file:///etc/set/file.bin");
}

static void redirections_are_followed(void **state) {
    struct fixture *f = *state;
    fetched(f, REDIRECT, FETCH_DOWNLOADED);
    assert_string_equal(f->server.paths[1], "/moved/base/set/file.bin");
    assert_content(f, "", BODY);
}

static void a_foreign_file_is_not_overwritten(void **state) {
    struct fixture *f = *state;
    put(f, "", "mine", 4);
    failed(f, SERVE, MOE_EMISMATCH, "move it away");
    char *path = path_of(f, "");
    unsigned char *bytes = NULL;
    assert_int_equal(file_read_all(path, 100, &bytes, NULL, NULL), MOE_OK);
    assert_string_equal((char *)bytes, "mine");
    free(bytes);
    free(path);
}

static void two_processes_do_not_write_one_file(void **state) {
    struct fixture *f = *state;
    put(f, ".part", "", 0);
    char *part = path_of(f, ".part");
    FILE *other = fopen(part, "r+b");
    assert_non_null(other);
    assert_int_equal(flock(fileno(other), LOCK_EX), 0);
    failed(f, SERVE, MOE_EBUSY, "another process");
    fclose(other);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    free(part);
}

/* A limit on the size of files stands for a full disk: write() fails in the middle of the file. */
static void a_failing_write_can_be_continued(void **state) {
    struct fixture *f = *state;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    failed(f, SERVE, MOE_EIO, ".part: cannot write");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_content(f, ".part", 100000);
    fetched(f, SERVE, FETCH_DOWNLOADED);
    assert_int_equal(f->server.starts[1], 100000);
}

static bool stop_at_once(void *user, const char *name, int64_t done, int64_t total) {
    int *calls = user;
    (*calls)++;
    assert_string_equal(name, "set/file.bin");
    assert_in_range(done, 0, BODY);
    assert_int_equal(total, BODY);
    return false;
}

static void progress_can_stop_it(void **state) {
    struct fixture *f = *state;
    int calls = 0;
    f->options.progress = stop_at_once;
    f->options.user = &calls;
    failed(f, SILENT, MOE_EINTERRUPTED, "goes on from there");
    assert_int_equal(calls, 1);
}

int main(void) {
    without_proxy();
    const struct CMUnitTest tests[] = {
        SERVED(a_right_file_is_put_into_its_place_once),
        SERVED(md5_alone_is_enough_and_both_must_be_right),
        SERVED(a_cut_off_download_is_continued),
        SERVED(a_close_without_a_length_is_a_cut),
        SERVED(a_silent_server_is_given_up),
        SERVED(a_server_without_ranges_starts_again),
        SERVED(another_range_than_asked_for_is_not_written),
        SERVED(a_wrong_file_is_deleted),
        SERVED(a_beginning_of_something_else_is_fetched_anew),
        SERVED(a_part_that_is_too_long_is_fetched_anew),
        SERVED(a_complete_part_needs_no_download),
        SERVED(a_complete_part_of_unknown_size),
        SERVED(a_prefix_takes_no_more_than_it_needs),
        SERVED(servers_that_refuse_are_named),
        SERVED(redirections_are_followed),
        SERVED(a_foreign_file_is_not_overwritten),
        SERVED(two_processes_do_not_write_one_file),
        SERVED(a_failing_write_can_be_continued),
        SERVED(progress_can_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
