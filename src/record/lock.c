#include "record/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool still_named(int fd, const char *path) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

static moe_status busy(int fd, const char *path, moe_err *err) {
    char text[32] = "";
    const ssize_t got = pread(fd, text, sizeof text - 1, 0);
    const long pid = got > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        return moe_fail(err, MOE_EBUSY, "%s: process %ld is writing this run; wait for it or stop it", path,
                        pid);
    return moe_fail(err, MOE_EBUSY, "%s: another process is writing this run; wait for it or stop it", path);
}

moe_status run_lock_take(const char *path, struct run_lock *lock, moe_err *err) {
    moe_status status = MOE_OK;
    int fd = -1;
    lock->fd = -1;
    lock->path = strdup(path);
    moe_check(lock->path != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
    for (;
         ;) { /* until the file that is locked is the file that has the name: a holder removes it when done */
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        moe_check(fd >= 0, err, MOE_EIO, "%s: cannot open the lock: %s", path, strerror(errno));
        while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK) {
                status = busy(fd, path, err);
                goto out;
            }
            moe_check(errno == EINTR, err, MOE_EIO, "%s: cannot lock: %s", path, strerror(errno));
        }
        if (still_named(fd, path)) break;
        close(fd);
    }
    /* The number is only for messages: a full disk must not keep the run from resuming. */
    if (ftruncate(fd, 0) == 0) dprintf(fd, "%ld\n", (long)getpid());
    lock->fd = fd;
    fd = -1;
out:
    if (fd >= 0) close(fd);
    if (status != MOE_OK) {
        free(lock->path);
        lock->path = NULL;
    }
    return status;
}

void run_lock_release(struct run_lock *lock) {
    if (lock->path == NULL) return;
    if (lock->fd >= 0) {
        unlink(lock->path);
        close(lock->fd);
    }
    free(lock->path);
    lock->path = NULL;
    lock->fd = -1;
}
