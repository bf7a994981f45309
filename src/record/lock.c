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

/* The process that the lock file names, 0 if none. */
static long holder(int fd) {
    char text[32] = "";
    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

static moe_status busy(long pid, const char *path, moe_err *err) {
    if (pid > 0)
        return moe_fail(err, MOE_EBUSY, "%s: process %ld is writing this run; wait for it or stop it", path,
                        pid);
    return moe_fail(err, MOE_EBUSY, "%s: another process is writing this run; wait for it or stop it", path);
}

/* flock. When the holder was just killed, a child that read a file for it may hold on for a moment more. */
static moe_status lock_soon(int fd, const char *path, moe_err *err) {
    enum { TRIES = 50, WAIT_US = 10000 };
    moe_status status = MOE_OK;
    for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno == EINTR) continue;
        moe_check(errno == EWOULDBLOCK, err, MOE_EIO, "%s: cannot lock: %s", path, strerror(errno));
        if (tries == TRIES) {
            status = busy(holder(fd), path, err);
            goto out;
        }
        usleep(WAIT_US);
    }
out:
    return status;
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
        moe_try(lock_soon(fd, path, err));
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
