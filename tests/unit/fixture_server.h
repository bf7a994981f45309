/* fixture_server.h - a small HTTP server in a thread of the test, on the loopback interface, and a file that
 * it serves: well, badly, or not at all. */
#ifndef TEST_FIXTURE_SERVER_H
#define TEST_FIXTURE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/rng.h"
#include "data/fetch.h"

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

static inline void send_all(int fd, const void *data, size_t size) {
    const char *bytes = data;
    while (size > 0) {
        const ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes += n;
        size -= (size_t)n;
    }
}

static inline void send_head(int fd, const char *status, long long length, const char *more) {
    char head[512];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nConnection: close\r\n%s", status, more);
    if (length >= 0) n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %lld\r\n", length);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    send_all(fd, head, (size_t)n);
}

static inline void send_range(const struct server *s, int fd, long long start, long long end,
                              bool misplaced) {
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

static inline void answer(struct server *s, int fd, const char *path, long long start, long long end) {
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

static inline void handle(struct server *s, int fd) {
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

static inline void *serve(void *argument) {
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

static inline bool start_server(struct server *s) {
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

static inline int set_up(void **state) {
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

static inline int tear_down(void **state) {
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

static inline char *path_of(const struct fixture *f, const char *end) {
    char name[64];
    snprintf(name, sizeof name, "set/file.bin%s", end);
    char *path = path_join(f->folder, name);
    assert_non_null(path);
    return path;
}

static inline void assert_absent(const struct fixture *f, const char *end) {
    char *path = path_of(f, end);
    if (file_exists(path)) fail_msg("%s is there", path);
    free(path);
}

static inline void assert_content(const struct fixture *f, const char *end, size_t size) {
    char *path = path_of(f, end);
    unsigned char *bytes = NULL;
    size_t got = 0;
    assert_int_equal(file_read_all(path, 1 << 24, &bytes, &got, NULL), MOE_OK);
    assert_int_equal(got, size);
    assert_memory_equal(bytes, f->server.body, size);
    free(bytes);
    free(path);
}

static inline void put(const struct fixture *f, const char *end, const void *bytes, size_t size) {
    char *path = path_of(f, end);
    assert_int_equal(file_make_parents(path, NULL), MOE_OK);
    assert_int_equal(file_write_atomic(path, bytes, size, NULL), MOE_OK);
    free(path);
}

static inline void fetched(struct fixture *f, enum behaviour behaviour, enum fetch_result want) {
    moe_err err = {0};
    enum fetch_result result = FETCH_ALREADY_THERE;
    atomic_store(&f->server.behaviour, (int)behaviour);
    if (fetch_file(&f->file, &f->options, &result, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(result, want);
    assert_absent(f, ".part");
}

static inline void failed(struct fixture *f, enum behaviour behaviour, moe_status want, const char *part) {
    moe_err err = {0};
    enum fetch_result result = FETCH_ALREADY_THERE;
    atomic_store(&f->server.behaviour, (int)behaviour);
    const moe_status status = fetch_file(&f->file, &f->options, &result, &err);
    if (status != want || strstr(err.message, part) == NULL) {
        fail_msg("%s \"%s\", not %s \"%s\"", moe_status_name(status), err.message, moe_status_name(want),
                 part);
    }
}

/* A test with the server and its file. */
#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* No proxy stands before the server. */
static inline void without_proxy(void) {
    unsetenv("http_proxy");
    setenv("no_proxy", "127.0.0.1", 1);
}

#endif
