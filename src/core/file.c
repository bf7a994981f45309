#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

moe_status file_read_all(const char *path, size_t max_bytes, unsigned char **out_data, size_t *out_size,
                         moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *data = NULL;
    size_t capacity = 0, size = 0;
    struct stat info;
    FILE *file = fopen(path, "rb");
    moe_check(file != NULL, err, errno == ENOENT ? MOE_ENOTFOUND : MOE_EIO, "%s: cannot open: %s", path,
              strerror(errno));
    moe_check(fstat(fileno(file), &info) == 0, err, MOE_EIO, "%s: cannot stat: %s", path, strerror(errno));
    moe_check(!S_ISDIR(info.st_mode), err, MOE_EIO, "%s: is a folder, not a file", path);
    moe_check(info.st_size < 0 || (uint64_t)info.st_size <= max_bytes, err, MOE_EFORMAT,
              "%s: %lld bytes, but at most %zu are expected", path, (long long)info.st_size, max_bytes);
    capacity = info.st_size > 0 ? (size_t)info.st_size + 1 : 4096;
    for (;;) { /* a pipe tells no size, and a file may grow meanwhile: read until the end */
        unsigned char *larger = realloc(data, capacity);
        moe_check(larger != NULL, err, MOE_ENOMEM, "%s: no memory for %zu bytes", path, capacity);
        data = larger;
        size += fread(data + size, 1, capacity - size, file);
        moe_check(!ferror(file), err, MOE_EIO, "%s: cannot read at offset %zu: %s", path, size,
                  strerror(errno));
        moe_check(size <= max_bytes, err, MOE_EFORMAT, "%s: more than the %zu bytes that are expected", path,
                  max_bytes);
        if (size < capacity) break;
        capacity *= 2;
    }
    data[size] = 0;
    *out_data = data;
    data = NULL;
    if (out_size != NULL) *out_size = size;
out:
    free(data);
    if (file != NULL) fclose(file);
    return status;
}

moe_status file_write_failure(const char *path, int code, moe_err *err) {
    if (code == ENOSPC || code == EDQUOT)
        return moe_fail(err, MOE_EIO,
                        "%s: cannot write: %s; what was written before is unchanged: free some space and run "
                        "the same command again",
                        path, code == ENOSPC ? "the disk is full" : "the disk quota is used up");
    return moe_fail(err, MOE_EIO, "%s: cannot write: %s", path, strerror(code));
}

static int write_fully(int fd, const unsigned char *data, size_t size) {
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Tests that write hundreds of files, and keep none, set MOE_NO_FSYNC: most of their time would be the
 * disk's. */
static int sync_file(int fd) {
    return getenv("MOE_NO_FSYNC") != NULL ? 0 : fsync(fd);
}

/* Makes a rename in this folder survive a power cut. File systems that cannot sync a folder say EINVAL. */
static moe_status sync_folder_of(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    int fd = -1;
    char *folder = path_folder(path);
    moe_check(folder != NULL, err, MOE_ENOMEM, "no memory for a path");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    moe_check(fd >= 0, err, MOE_EIO, "%s: cannot open folder: %s", folder, strerror(errno));
    moe_check(sync_file(fd) == 0 || errno == EINVAL, err, MOE_EIO, "%s: cannot sync folder: %s", folder,
              strerror(errno));
out:
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

/* Opens and locks temp for writing. The one who held the lock before may have renamed the file away in the
 * meantime: then the descriptor is no longer what the name says, and it is opened anew. */
static moe_status open_locked(const char *temp, int *out_fd, moe_err *err) {
    moe_status status = MOE_OK;
    int fd = -1;
    for (;;) {
        struct stat held, named;
        fd = open(temp, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            status = file_write_failure(temp, errno, err);
            goto out;
        }
        while (flock(fd, LOCK_EX) != 0)
            moe_check(errno == EINTR, err, MOE_EIO, "%s: cannot lock: %s", temp, strerror(errno));
        moe_check(fstat(fd, &held) == 0, err, MOE_EIO, "%s: cannot stat: %s", temp, strerror(errno));
        if (stat(temp, &named) == 0 && named.st_ino == held.st_ino && named.st_dev == held.st_dev) break;
        close(fd);
        fd = -1;
    }
    *out_fd = fd;
    fd = -1;
out:
    if (fd >= 0) close(fd);
    return status;
}

moe_status file_write_atomic(const char *path, const void *data, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    int fd = -1, code;
    char *temp = path_append(path, ".tmp");
    moe_check(temp != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(open_locked(temp, &fd, err));
    code = ftruncate(fd, 0) != 0 ? errno : write_fully(fd, data, size);
    if (code == 0 && sync_file(fd) != 0) code = errno;
    if (code == 0 && rename(temp, path) != 0) code = errno;
    if (code != 0) {
        unlink(temp); /* half a file is of no use, and on a full disk its space is needed */
        status = file_write_failure(path, code, err);
        goto out;
    }
    moe_try(sync_folder_of(path, err));
out:
    if (fd >= 0) close(fd);
    free(temp);
    return status;
}

moe_status file_publish(const char *temp_path, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    const int fd = open(temp_path, O_RDONLY | O_CLOEXEC);
    moe_check(fd >= 0, err, MOE_EIO, "%s: cannot open: %s", temp_path, strerror(errno));
    if (sync_file(fd) != 0 || rename(temp_path, path) != 0) {
        status = file_write_failure(path, errno, err);
        goto out;
    }
    moe_try(sync_folder_of(path, err));
out:
    if (fd >= 0) close(fd);
    return status;
}

static moe_status make_folder(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    if (mkdir(path, 0777) != 0) {
        const int code = errno;
        moe_check(code == EEXIST || file_is_folder(path), err, MOE_EIO, "%s: cannot make folder: %s", path,
                  code == ENOSPC ? "the disk is full" : strerror(code));
        moe_check(file_is_folder(path), err, MOE_EIO, "%s: cannot make folder: a file of that name is there",
                  path);
    }
out:
    return status;
}

moe_status file_make_folders(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    char *partial = strdup(path);
    moe_check(partial != NULL, err, MOE_ENOMEM, "no memory for a path");
    for (char *p = partial; *p != 0; p++) {
        if (*p != '/' || p == partial || p[-1] == '/') continue;
        *p = 0;
        moe_try(make_folder(partial, err));
        *p = '/';
    }
    if (*partial != 0) moe_try(make_folder(partial, err));
out:
    free(partial);
    return status;
}

moe_status file_make_parents(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    char *folder = path_folder(path);
    moe_check(folder != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_make_folders(folder, err));
out:
    free(folder);
    return status;
}

moe_status file_remove(const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(unlink(path) == 0 || errno == ENOENT, err, MOE_EIO, "%s: cannot remove: %s", path,
              strerror(errno));
out:
    return status;
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool file_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *path_join(const char *folder, const char *name) {
    if (folder == NULL || *folder == 0 || *name == '/') return strdup(name);
    const size_t length = strlen(folder), size = length + strlen(name) + 2;
    char *joined = malloc(size);
    if (joined != NULL) snprintf(joined, size, "%s%s%s", folder, folder[length - 1] == '/' ? "" : "/", name);
    return joined;
}

char *path_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

const char *path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

bool path_ends_with(const char *path, const char *ending) {
    const size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcmp(path + length - tail, ending) == 0;
}

char *path_append(const char *path, const char *ending) {
    const size_t size = strlen(path) + strlen(ending) + 1;
    char *longer = malloc(size);
    if (longer != NULL) snprintf(longer, size, "%s%s", path, ending);
    return longer;
}
