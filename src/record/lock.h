/* lock.h - one process writes a run: an flock on X.h5.lock, which the kernel gives back when its holder dies.
 */
#ifndef RECORD_LOCK_H
#define RECORD_LOCK_H

#include "core/status.h"

struct run_lock {
    char *path;
    int fd; /* < 0 when not held */
};

/* Takes the lock, or fails within a second: MOE_EBUSY names the holder's process id. */
moe_status run_lock_take(const char *path, struct run_lock *lock, moe_err *err);

/* Gives it back and removes the file. A lock not held is allowed. */
void run_lock_release(struct run_lock *lock);

#endif
