/* test: rooms=data label=fast */
#define _GNU_SOURCE /* strcasestr */
/* Fetching, against a small HTTP server in a thread of this test, on the loopback interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/rng.h"
#include "data/data_command.h"
#include "data/fetch.h"
#include "tar_fixture.h"

enum behaviour {
    SERVE,       /* all or the range asked for */
    CUT,         /* promises everything, closes in the middle */
    NO_LENGTH,   /* promises nothing, closes in the middle */
    SILENT,      /* stops in the middle and keeps the connection open */
    NO_RANGES,   /* always everything */
    OTHER_RANGE, /* another range than was asked for */
    WRONG,       /* other bytes of the same number */
    LONGER,      /* more bytes than there should be */
    REDIRECT,    /* to another address, which serves */
    NOT_FOUND,
    BROKEN /* 503 */
};

enum { BODY = 300000, LOG = 16 };

struct server {
    int listener, port;
    pthread_t thread;
    unsigned char body[2 * BODY];
    atomic_int behaviour, requests;
    long long starts[LOG]; /* first byte asked for by each request, -1 = no range */
    char paths[LOG][128];
};

static void send_all(int fd, const void *data, size_t size) {
    const char *bytes = data;
    while (size > 0) {
        const ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes += n;
        size -= (size_t)n;
    }
}

static void send_head(int fd, const char *status, long long length, const char *more) {
    char head[512];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nConnection: close\r\n%s", status, more);
    if (length >= 0) n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %lld\r\n", length);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_all(fd, head, (size_t)n);
}

static void send_range(const struct server *s, int fd, long long start, long long end, bool misplaced) {
    char line[128];
    if (start >= BODY) {
        send_head(fd, "416 Range Not Satisfiable", 0, "");
        return;
    }
    if (end >= BODY || end < 0) end = BODY - 1;
    if (misplaced) start += 10;
    snprintf(line, sizeof line, "Content-Range: bytes %lld-%lld/%d\r\n", start, end, BODY);
    send_head(fd, "206 Partial Content", end - start + 1, line);
    send_all(fd, s->body + start, (size_t)(end - start + 1));
}

static void answer(struct server *s, int fd, const char *path, long long start, long long end) {
    const enum behaviour behaviour = (enum behaviour)atomic_load(&s->behaviour);
    const char *const error = "<html>this is no data</html>";
    unsigned char *wrong = NULL;
    if (behaviour == NOT_FOUND || behaviour == BROKEN) {
        send_head(fd, behaviour == BROKEN ? "503 Service Unavailable" : "404 Not Found",
                  (long long)strlen(error), "");
        send_all(fd, error, strlen(error));
    } else if (behaviour == REDIRECT && strstr(path, "/moved/") == NULL) {
        char line[256];
        snprintf(line, sizeof line, "Location: /moved%s\r\n", path);
        send_head(fd, "302 Found", 0, line);
    } else if (behaviour == CUT || behaviour == NO_LENGTH || behaviour == SILENT) {
        char wait[1];
        send_head(fd, "200 OK", behaviour == NO_LENGTH ? -1 : BODY, "");
        send_all(fd, s->body, BODY / 2);
        if (behaviour == SILENT) (void)recv(fd, wait, 1, 0);
    } else if (behaviour == WRONG && (wrong = calloc(1, BODY)) != NULL) {
        send_head(fd, "200 OK", BODY, "");
        send_all(fd, wrong, BODY);
        free(wrong);
    } else if (behaviour == LONGER) {
        send_head(fd, "200 OK", BODY + 1, "");
        send_all(fd, s->body, BODY + 1);
    } else if (start >= 0 && behaviour != NO_RANGES) {
        send_range(s, fd, start, end, behaviour == OTHER_RANGE);
    } else {
        send_head(fd, "200 OK", BODY, "");
        send_all(fd, s->body, BODY);
    }
}

static void handle(struct server *s, int fd) {
    char request[4096];
    size_t used = 0;
    request[0] = '\0';
    while (used < sizeof request - 1 && strstr(request, "\r\n\r\n") == NULL) {
        const ssize_t n = recv(fd, request + used, sizeof request - 1 - used, 0);
        if (n <= 0) return;
        used += (size_t)n;
        request[used] = '\0';
    }
    char path[128] = "";
    long long start = -1, end = -1;
    sscanf(request, "GET %127s", path);
    const char *range = strcasestr(request, "\r\nRange: bytes=");
    if (range != NULL) sscanf(range + 15, "%lld-%lld", &start, &end);
    const int number = atomic_load(&s->requests);
    if (number < LOG) {
        s->starts[number] = start;
        memcpy(s->paths[number], path, sizeof path);
    }
    atomic_store(&s->requests, number + 1);
    answer(s, fd, path, start, end);
    shutdown(fd, SHUT_WR);
    while (recv(fd, request, sizeof request, 0) > 0) { /* so that the close does not cut what is on its way */
    }
}

static void *serve(void *argument) {
    struct server *s = argument;
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0;) {
        handle(s, fd);
        close(fd);
    }
    return NULL;
}

struct fixture {
    struct server server;
    char folder[64], base_url[64], sha256[HASH_SHA256_HEX], prefix_sha256[HASH_SHA256_HEX];
    struct data_file file;
    struct fetch_options options;
};

static bool start_server(struct server *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const struct rng_key key = {.seed = 3, .stream = RNG_TEST, .step = 0};
    for (int i = 0; i < 2 * BODY; i++) {
        s->body[i] = (unsigned char)rng_u32(key, (uint64_t)i);
    }
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s->listener, 8) != 0 || getsockname(s->listener, (struct sockaddr *)&address, &length) != 0)
        return false;
    s->port = ntohs(address.sin_port);
    return pthread_create(&s->thread, NULL, serve, s) == 0;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL || !start_server(&f->server)) return -1;
    snprintf(f->folder, sizeof f->folder, "/tmp/moe-fetch-XXXXXX");
    if (mkdtemp(f->folder) == NULL) return -1;
    snprintf(f->base_url, sizeof f->base_url, "http://127.0.0.1:%d/base", f->server.port);
    assert_int_equal(hash_sha256(f->server.body, BODY, f->sha256, NULL), MOE_OK);
    assert_int_equal(hash_sha256(f->server.body, 1000, f->prefix_sha256, NULL), MOE_OK);
    f->file =
        (struct data_file){.name = "set/file.bin", .url = "http://x/", .sha256 = f->sha256, .bytes = BODY};
    f->options = (struct fetch_options){.folder = f->folder, .base_url = f->base_url, .stall_seconds = 1};
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    shutdown(f->server.listener, SHUT_RDWR);
    pthread_join(f->server.thread, NULL);
    close(f->server.listener);
    snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    const int failed = system(command);
    free(f);
    return failed;
}

static char *path_of(const struct fixture *f, const char *end) {
    char name[64];
    snprintf(name, sizeof name, "set/file.bin%s", end);
    char *path = path_join(f->folder, name);
    assert_non_null(path);
    return path;
}

static void assert_absent(const struct fixture *f, const char *end) {
    char *path = path_of(f, end);
    if (file_exists(path)) fail_msg("%s is there", path);
    free(path);
}

static void assert_content(const struct fixture *f, const char *end, size_t size) {
    char *path = path_of(f, end);
    unsigned char *bytes = NULL;
    size_t got = 0;
    assert_int_equal(file_read_all(path, 1 << 24, &bytes, &got, NULL), MOE_OK);
    assert_int_equal(got, size);
    assert_memory_equal(bytes, f->server.body, size);
    free(bytes);
    free(path);
}

static void put(const struct fixture *f, const char *end, const void *bytes, size_t size) {
    char *path = path_of(f, end);
    assert_int_equal(file_make_parents(path, NULL), MOE_OK);
    assert_int_equal(file_write_atomic(path, bytes, size, NULL), MOE_OK);
    free(path);
}

static void fetched(struct fixture *f, enum behaviour behaviour, enum fetch_result want) {
    moe_err err = {0};
    enum fetch_result result = FETCH_ALREADY_THERE;
    atomic_store(&f->server.behaviour, (int)behaviour);
    if (fetch_file(&f->file, &f->options, &result, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(result, want);
    assert_absent(f, ".part");
}

static void failed(struct fixture *f, enum behaviour behaviour, moe_status want, const char *part) {
    moe_err err = {0};
    enum fetch_result result = FETCH_ALREADY_THERE;
    atomic_store(&f->server.behaviour, (int)behaviour);
    const moe_status status = fetch_file(&f->file, &f->options, &result, &err);
    if (status != want || strstr(err.message, part) == NULL) {
        fail_msg("%s \"%s\", not %s \"%s\"", moe_status_name(status), err.message, moe_status_name(want),
                 part);
    }
}

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

/* Serves an archive with one file; zeros behind the end of a gzip stream do not belong to it. */
static void serve_archive(struct fixture *f, const char *member, const void *bytes, size_t size) {
    char *path = path_of(f, "");
    unsigned char *packed = NULL;
    size_t packed_size = 0;
    assert_int_equal(file_make_parents(path, NULL), MOE_OK);
    gzFile archive = gzopen(path, "wb");
    assert_non_null(archive);
    tar_add(archive, '0', "", member, bytes, size);
    tar_end(archive);
    assert_int_equal(file_read_all(path, BODY, &packed, &packed_size, NULL), MOE_OK);
    memset(f->server.body, 0, BODY);
    memcpy(f->server.body, packed, packed_size);
    assert_int_equal(hash_sha256(f->server.body, BODY, f->sha256, NULL), MOE_OK);
    assert_int_equal(unlink(path), 0);
    free(packed);
    free(path);
}

static void a_file_comes_out_of_an_archive(void **state) {
    struct fixture *f = *state;
    static const char content[] = "what the archive has";
    char sha256[HASH_SHA256_HEX];
    const struct data_file archive = {
        .name = "set/a.tar.gz", .url = "http://x/", .sha256 = f->sha256, .bytes = BODY};
    serve_archive(f, "folder/inner", content, sizeof content);
    assert_int_equal(hash_sha256(content, sizeof content, sha256, NULL), MOE_OK);
    f->file.archive = &archive;
    f->file.url = NULL;
    f->file.sha256 = sha256;
    f->file.bytes = 0;
    f->file.member = "folder/other";
    failed(f, SERVE, MOE_ENOTFOUND, "a.tar.gz: has no file folder/other");
    assert_absent(f, ".part");
    f->file.member = "folder/inner";
    f->file.bytes = 5;
    failed(f, NOT_FOUND, MOE_EMISMATCH, "bytes, but the registered file has 5");
    assert_absent(f, ".part");
    assert_absent(f, "");
    f->file.bytes = sizeof content;
    put(f, ".part", "a call that was cut off left much more than the file has", 56);
    fetched(f, NOT_FOUND, FETCH_UNPACKED);
    assert_int_equal(atomic_load(&f->server.requests), 1); /* the archive stays */
    memcpy(f->server.body, content, sizeof content);
    assert_content(f, "", sizeof content);
    fetched(f, NOT_FOUND, FETCH_ALREADY_THERE);
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

static moe_status run(char *text, size_t size, moe_err *err, const char *a, const char *b, const char *c,
                      const char *d, const char *e, const char *g) {
    const char *words[8] = {"data", a, b, c, d, e, g, NULL};
    char *argv[8];
    int argc = 0;
    while (words[argc] != NULL) {
        argv[argc] = strdup(words[argc]);
        argc++;
    }
    FILE *out = fmemopen(text, size, "w");
    assert_non_null(out);
    const moe_status status = data_command(argc, argv, out, err);
    fclose(out);
    for (int i = 0; i < argc; i++) {
        free(argv[i]);
    }
    return status;
}

static void the_command_lists_describes_and_fetches(void **state) {
    struct fixture *f = *state;
    static char text[1 << 16];
    moe_err err = {0};
    assert_int_equal(run(text, sizeof text, &err, "list", "--dir", f->folder, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "wikitext2/wiki.valid.tokens"));
    assert_non_null(strstr(text, "30.7 MB  -      cifar10/test_batch.bin"));
    assert_int_equal(run(text, sizeof text, &err, "info", "cifar10", NULL, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "c32a1d4ab5d03f1284b67883e8d87530"));
    assert_non_null(strstr(text, "cite"));
    assert_int_equal(run(text, sizeof text, &err, "info", "shakespear", NULL, NULL, NULL, NULL),
                     MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "did you mean shakespeare?"));
    assert_int_equal(run(text, sizeof text, &err, "info", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "bake", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "list", "--dri", "x", NULL, NULL, NULL), MOE_EUSAGE);
    assert_non_null(strstr(err.message, "--dri"));
    assert_int_equal(run(text, sizeof text, &err, "list", "--dir", NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "stories", "--count", "x", NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "stories", "--seed=5", "--domain=sea", NULL, NULL, NULL),
                     MOE_OK);
    assert_non_null(strstr(text, "sea: 0.505"));
    assert_null(strstr(text, "kitchen:"));
    assert_int_equal(run(text, sizeof text, &err, "--help", NULL, NULL, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "usage"));
    assert_int_equal(run(text, sizeof text, &err, "fetch", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    /* The server has other bytes than those of the registry. */
    assert_int_equal(
        run(text, sizeof text, &err, "fetch", "shakespeare", "--dir", f->folder, "--base-url", f->base_url),
        MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_string_equal(f->server.paths[0], "/base/shakespeare/input.txt");
}

static void assert_pinned(const struct data_file *file) {
    assert_true(strncmp(file->url, "https://", 8) == 0);
    assert_true(file->sha256 != NULL || file->md5 != NULL);
    assert_true(!file->prefix || file->bytes > 0);
}

static void assert_checksums_have_their_form(const struct data_file *file) {
    if (file->sha256 != NULL) assert_int_equal(strspn(file->sha256, "0123456789abcdef"), 64);
    if (file->sha256 != NULL) assert_int_equal(strlen(file->sha256), 64);
    if (file->md5 != NULL) assert_int_equal(strspn(file->md5, "0123456789abcdef"), 32);
    assert_null(strstr(file->name, ".."));
}

/* A typing error in a pinned checksum would make a data set unreachable. */
static void every_registered_file_is_pinned(void **state) {
    (void)state;
    for (int32_t i = 0; i < registry_count(); i++) {
        const struct data_set *set = registry_at(i);
        assert_true(set->num_files > 0 && strlen(set->licence) > 0 && strlen(set->citation) > 0);
        for (int32_t j = 0; j < set->num_files; j++) {
            const struct data_file *file = &set->files[j];
            assert_pinned(file->archive != NULL ? file->archive : file);
            assert_checksums_have_their_form(file);
            if (file->archive != NULL) {
                assert_checksums_have_their_form(file->archive);
                assert_true(file->url == NULL && file->member != NULL);
            }
            /* Files that a developer has at hand must be those of the registry. */
            char *path = path_join(getenv("MOE_DATA_DIR"), file->name);
            moe_err err = {0};
            if (getenv("MOE_DATA_DIR") != NULL && file_exists(path) &&
                fetch_check(file, path, &err) != MOE_OK) {
                fail_msg("%s", err.message);
            }
            free(path);
        }
    }
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    unsetenv("http_proxy");
    setenv("no_proxy", "127.0.0.1", 1);
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
        SERVED(a_file_comes_out_of_an_archive),
        SERVED(progress_can_stop_it),
        SERVED(the_command_lists_describes_and_fetches),
        cmocka_unit_test(every_registered_file_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
