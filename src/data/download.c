#include "data/download.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "core/clock.h"
#include "core/file.h"

/* A transfer under way. */
struct transfer {
    const struct download *download;
    CURL *curl;
    int fd;
    int64_t start, at;   /* offset that was asked for; offset of the next byte */
    int64_t range_start; /* what the answer's Content-Range says, -1 = no such line */
    bool begun;          /* the first bytes have come, and where they belong is settled */
    bool complete;       /* all wanted bytes are there, the rest is refused on purpose */
    bool too_large, misplaced, stopped, stalled;
    int write_errno;
    double last_report, last_byte; /* clock */
};

static int64_t wanted_bytes(const struct transfer *t) {
    return t->download->bytes > 0 ? t->download->bytes : INT64_MAX;
}

static size_t read_header(char *line, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    static const char name[] = "content-range: bytes ";
    const size_t length = size * count;
    if (length > 5 && memcmp(line, "HTTP/", 5) == 0)
        t->range_start = -1; /* a new answer, after a redirection */
    if (length >= sizeof name && strncasecmp(line, name, sizeof name - 1) == 0) {
        int64_t start = 0;
        bool digits = false;
        for (size_t i = sizeof name - 1;
             i < length && line[i] >= '0' && line[i] <= '9' && start < INT64_MAX / 20; i++) {
            start = 10 * start + (line[i] - '0');
            digits = true;
        }
        if (digits) t->range_start = start;
    }
    return length;
}

/* Puts the file's position where the answer's bytes belong: behind what is there (206) or at the beginning
 * (200). */
static bool settle(struct transfer *t) {
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    t->begun = true;
    t->at = code == 206 ? t->start : 0;
    if (code == 206 && t->range_start != t->start) {
        t->misplaced = true;
        return false;
    }
    if (ftruncate(t->fd, (off_t)t->at) != 0 || lseek(t->fd, (off_t)t->at, SEEK_SET) < 0) {
        t->write_errno = errno;
        return false;
    }
    return true;
}

static bool write_all(struct transfer *t, const char *bytes, size_t size) {
    while (size > 0) {
        const ssize_t n = write(t->fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            t->write_errno = errno;
            return false;
        }
        bytes += n;
        size -= (size_t)n;
        t->at += n;
    }
    return true;
}

/* Returning less than was given ends the transfer. */
static size_t write_body(char *bytes, size_t size, size_t count, void *user) {
    struct transfer *t = user;
    const size_t length = size * count;
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    t->last_byte = clock_seconds();
    if (code != 200 && code != 206) return length; /* the text of an error page */
    if (!t->begun && !settle(t)) return 0;
    const int64_t room = wanted_bytes(t) - t->at;
    const bool over = (int64_t)length > room;
    if (over && !t->download->prefix) {
        t->too_large = true;
        return 0;
    }
    if (!write_all(t, bytes, over ? (size_t)room : length)) return 0;
    t->complete = over;
    return over ? 0 : length;
}

static int report(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    struct transfer *t = user;
    const struct download *d = t->download;
    (void)up_total, (void)up_now, (void)now;
    const double clock = clock_seconds();
    t->stalled = clock - t->last_byte > (double)d->stall_seconds;
    if (t->stalled) return 1;
    if (d->progress == NULL || clock - t->last_report < 0.2) return 0;
    t->last_report = clock;
    const int64_t all = d->bytes > 0 ? d->bytes : total > 0 ? t->start + (int64_t)total : 0;
    t->stopped = !d->progress(d->user, d->name, t->begun ? t->at : t->start, all);
    return t->stopped;
}

static void set_options(struct transfer *t, const char *range, char message[CURL_ERROR_SIZE]) {
    CURL *c = t->curl;
    curl_easy_setopt(c, CURLOPT_URL, t->download->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "moe-repro/0.1");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, read_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, write_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, report);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (range[0] != '\0') curl_easy_setopt(c, CURLOPT_RANGE, range);
}

/* An answer without a length that ended before the expected size: the connection was closed too soon. */
static bool ended_early(const struct transfer *t) {
    curl_off_t length = -1;
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return t->begun && length < 0 && t->at < t->download->bytes;
}

/* What came of a transfer, in words. */
static moe_status judge(const struct transfer *t, CURLcode result, const char *message, const char *path,
                        moe_err *err) {
    moe_status status = MOE_OK;
    const struct download *d = t->download;
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (t->complete) goto out;
    if (t->write_errno != 0) return file_write_failure(path, t->write_errno, err);
    moe_check(!t->stopped, err, MOE_EINTERRUPTED, "%s: stopped; the same command goes on from there", path);
    moe_check(!t->too_large, err, MOE_EMISMATCH, "%s: the file there is larger than the expected %lld bytes",
              d->url, (long long)d->bytes);
    moe_check(!t->misplaced, err, MOE_EIO,
              "%s: the server was asked for the bytes from %lld on and sends others", d->url,
              (long long)t->start);
    moe_check(code < 400 || code == 416, err, code == 404 || code == 410 ? MOE_ENOTFOUND : MOE_EIO,
              "%s: the server answers %ld (%s); try again later, or name a mirror with --base-url", d->url,
              code,
              code == 404 || code == 410 ? "no such file"
              : code >= 500              ? "its own failure"
                                         : "refused");
    moe_check((result == CURLE_OK || !t->begun) && !ended_early(t), err, MOE_EIO,
              "%s: cut off at byte %lld: %s; run the same command again, it goes on from there", d->url,
              (long long)t->at, t->stalled ? "the server has fallen silent" : message);
    moe_check(!t->stalled, err, MOE_EIO, "%s: the server is silent for %lld seconds; try again later", d->url,
              (long long)d->stall_seconds);
    moe_check(result == CURLE_OK, err, MOE_EIO, "%s: %s; check the network, or name a mirror with --base-url",
              d->url, message);
out:
    return status;
}

/* The range to ask for: what is behind `start`, up to the wanted size if only the first bytes of a file are
 * wanted. */
static void write_range(const struct download *d, int64_t start, char *range, size_t size) {
    range[0] = '\0';
    if (d->prefix)
        snprintf(range, size, "%lld-%lld", (long long)start, (long long)d->bytes - 1);
    else if (start > 0)
        snprintf(range, size, "%lld-", (long long)start);
}

static moe_status download_from(const struct download *download, int64_t start, int fd, const char *path,
                                long *out_code, moe_err *err) {
    moe_status status = MOE_OK;
    char message[CURL_ERROR_SIZE] = "", range[64];
    struct transfer t = {
        .download = download, .fd = fd, .start = start, .range_start = -1, .last_byte = clock_seconds()};
    moe_check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, err, MOE_ENOTSUP, "libcurl does not start");
    t.curl = curl_easy_init();
    if (t.curl == NULL) {
        status = moe_fail(err, MOE_ENOMEM, "no memory for a transfer");
    } else {
        write_range(download, start, range, sizeof range);
        set_options(&t, range, message);
        const CURLcode result = curl_easy_perform(t.curl);
        curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, out_code);
        status = judge(&t, result, message[0] != '\0' ? message : curl_easy_strerror(result), path, err);
        curl_easy_cleanup(t.curl);
    }
    curl_global_cleanup();
out:
    return status;
}

moe_status download_to(const struct download *download, int fd, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    long code = 0;
    moe_check(fstat(fd, &info) == 0, err, MOE_EIO, "%s: cannot stat: %s", path, strerror(errno));
    int64_t start = (int64_t)info.st_size;
    if (download->bytes > 0 && start > download->bytes) start = 0;
    if (download->bytes > 0 && start == download->bytes) goto out;
    moe_try(download_from(download, start, fd, path, &code, err));
    /* 416: there is nothing behind `start`. What is here is all of it, or belongs to something else. */
    if (code == 416 && start > 0 && download->bytes > 0) {
        moe_try(download_from(download, 0, fd, path, &code, err));
    }
    moe_check(code != 416 || start > 0, err, MOE_EIO, "%s: the server refuses to send its first bytes",
              download->url);
out:
    return status;
}
