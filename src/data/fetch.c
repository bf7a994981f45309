#include "data/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "core/file.h"
#include "core/hash.h"
#include "data/archive.h"

enum { DIGEST_TEXT = 2 * EVP_MAX_MD_SIZE + 1 };

/* MD5 guards against a damaged or wrong file, not against an attacker; it is all that some publishers give.
 */
static moe_status md5_of_file(const char *path, char text[DIGEST_TEXT], moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char chunk[1 << 14], digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    FILE *f = fopen(path, "rb");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    moe_check(f != NULL, err, MOE_EIO, "%s: cannot open: %s", path, strerror(errno));
    moe_check(context != NULL && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1, err, MOE_ENOTSUP,
              "%s: its checksum is an MD5, which this machine's OpenSSL refuses", path);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        moe_check(EVP_DigestUpdate(context, chunk, n) == 1, err, MOE_ENOTSUP, "%s: OpenSSL fails", path);
    }
    moe_check(!ferror(f), err, MOE_EIO, "%s: cannot read: %s", path, strerror(errno));
    moe_check(EVP_DigestFinal_ex(context, digest, &length) == 1, err, MOE_ENOTSUP, "%s: OpenSSL fails", path);
    for (unsigned i = 0; i < length; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
out:
    EVP_MD_CTX_free(context);
    if (f != NULL) fclose(f);
    return status;
}

moe_status fetch_check(const struct data_file *file, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    char sha256[HASH_SHA256_HEX], md5[DIGEST_TEXT];
    uint64_t bytes = 0;
    moe_try(hash_sha256_file(path, sha256, &bytes, err));
    moe_check(file->bytes == 0 || bytes == (uint64_t)file->bytes, err, MOE_EMISMATCH,
              "%s: %llu bytes, but the registered file has %lld", path, (unsigned long long)bytes,
              (long long)file->bytes);
    moe_check(file->sha256 == NULL || strcmp(sha256, file->sha256) == 0, err, MOE_EMISMATCH,
              "%s: SHA-256 %s, but the registered file has %s", path, sha256, file->sha256);
    if (file->md5 == NULL) goto out;
    moe_try(md5_of_file(path, md5, err));
    moe_check(strcmp(md5, file->md5) == 0, err, MOE_EMISMATCH, "%s: MD5 %s, but the registered file has %s",
              path, md5, file->md5);
out:
    return status;
}

/* base/NAME, or the registered address; malloc'ed. */
static char *address_of(const struct data_file *file, const char *base_url) {
    if (base_url == NULL) return strdup(file->url);
    const size_t length = strlen(base_url), size = length + strlen(file->name) + 2;
    char *url = malloc(size);
    if (url == NULL) return NULL;
    snprintf(url, size, "%s%s%s", base_url, length > 0 && base_url[length - 1] == '/' ? "" : "/", file->name);
    return url;
}

static moe_status open_part(const char *part, int *out_fd, int64_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return file_write_failure(part, errno, err);
    moe_check(flock(fd, LOCK_EX | LOCK_NB) == 0, err, MOE_EBUSY, "%s: another process is fetching this file",
              part);
    moe_check(fstat(fd, &info) == 0 && S_ISREG(info.st_mode), err, MOE_EIO,
              "%s: not a regular file; remove it", part);
    *out_size = (int64_t)info.st_size;
    *out_fd = fd;
    fd = -1;
out:
    if (fd >= 0) close(fd);
    return status;
}

/* Downloads and checks; a continued download that turns out wrong gets a second try from the beginning. */
static moe_status fill_part(const struct data_file *file, const struct download *download, int fd,
                            int64_t had, const char *part, moe_err *err) {
    moe_status status = MOE_OK;
    moe_err why = {0};
    for (;; had = 0) {
        status = download_to(download, fd, part, &why);
        if (status == MOE_OK) status = fetch_check(file, part, &why);
        if (status != MOE_EMISMATCH) break;
        if (had == 0) break;
        moe_check(ftruncate(fd, 0) == 0, err, MOE_EIO, "%s: cannot truncate: %s", part, strerror(errno));
    }
    if (status == MOE_EMISMATCH) {
        unlink(part);
        return moe_fail(err, status, "%s is not the registered file and was deleted: %s", download->url,
                        why.message);
    }
    if (status != MOE_OK) {
        struct stat info;
        if (fstat(fd, &info) == 0 && info.st_size == 0) unlink(part); /* nothing to continue */
        return moe_fail(err, status, "%s", why.message);
    }
out:
    return status;
}

static moe_status download_part(const struct data_file *file, const struct fetch_options *options, int fd,
                                int64_t had, const char *part, moe_err *err) {
    moe_status status = MOE_OK;
    char *url = address_of(file, options->base_url);
    moe_check(url != NULL, err, MOE_ENOMEM, "%s: out of memory", file->name);
    const struct download download = {.url = url,
                                      .name = file->name,
                                      .bytes = file->bytes,
                                      .prefix = file->prefix,
                                      .stall_seconds =
                                          options->stall_seconds > 0 ? options->stall_seconds : 60,
                                      .progress = options->progress,
                                      .user = options->user};
    moe_try(fill_part(file, &download, fd, had, part, err));
out:
    free(url);
    return status;
}

/* Gets the archive, if need be, and the file out of it. What an earlier call left in the .part is no help. */
static moe_status unpack_part(const struct data_file *file, const struct fetch_options *options, int fd,
                              const char *part, moe_err *err) {
    moe_status status = MOE_OK;
    enum fetch_result result;
    char *archive = path_join(options->folder, file->archive->name);
    moe_check(archive != NULL, err, MOE_ENOMEM, "%s: out of memory", file->name);
    moe_try(fetch_file(file->archive, options, &result, err));
    moe_check(ftruncate(fd, 0) == 0, err, MOE_EIO, "%s: cannot truncate: %s", part, strerror(errno));
    moe_try(archive_extract(archive, file->member, fd, part, err));
    moe_check(!file->prefix || lseek(fd, 0, SEEK_END) <= file->bytes || ftruncate(fd, file->bytes) == 0, err,
              MOE_EIO, "%s: cannot truncate: %s", part, strerror(errno));
    moe_try(fetch_check(file, part, err));
out:
    if (status != MOE_OK) unlink(part);
    free(archive);
    return status;
}

/* What is there must be the registered file. */
static moe_status check_in_place(const struct data_file *file, const char *path, moe_err *err) {
    moe_err why = {0};
    const moe_status status = fetch_check(file, path, &why);
    if (status == MOE_EMISMATCH)
        return moe_fail(err, status, "%s; move it away to fetch the registered one", why.message);
    if (status != MOE_OK) return moe_fail(err, status, "%s", why.message);
    return MOE_OK;
}

moe_status fetch_file(const struct data_file *file, const struct fetch_options *options,
                      enum fetch_result *out_result, moe_err *err) {
    moe_status status = MOE_OK;
    int fd = -1;
    int64_t had = 0;
    char *path = path_join(options->folder, file->name), *part = NULL;
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", file->name);
    part = path_append(path, ".part");
    moe_check(part != NULL, err, MOE_ENOMEM, "%s: out of memory", file->name);
    if (file_exists(path)) {
        *out_result = FETCH_ALREADY_THERE;
        moe_try(check_in_place(file, path, err));
        goto out;
    }
    moe_try(file_make_parents(path, err));
    moe_try(open_part(part, &fd, &had, err));
    if (file->archive == NULL)
        moe_try(download_part(file, options, fd, had, part, err));
    else
        moe_try(unpack_part(file, options, fd, part, err));
    moe_try(file_publish(part, path, err));
    *out_result = file->archive == NULL ? FETCH_DOWNLOADED : FETCH_UNPACKED;
out:
    if (fd >= 0) close(fd);
    free(path);
    free(part);
    return status;
}
