/* download.h - one HTTP transfer into a file that may already hold its beginning. */
#ifndef DATA_DOWNLOAD_H
#define DATA_DOWNLOAD_H

#include "core/status.h"

/* Told how far a file is, some times a second: bytes there and bytes in all (0 = the server did not say).
 * Returning false stops the transfer, which can be resumed. */
typedef bool (*download_progress)(void *user, const char *name, int64_t done, int64_t total);

struct download {
    const char *url;
    const char *name;           /* for progress */
    int64_t bytes;              /* size of the whole file, 0 = not known; more is not written */
    bool prefix;                /* only the first `bytes` are wanted */
    int64_t stall_seconds;      /* give up after so long without a byte */
    download_progress progress; /* may be NULL */
    void *user;
};

/* Fetches what is missing behind the bytes that `fd` (open for reading and writing) already has: by a Range
 * request, or from the beginning when the server does not know how. `path` is the file's name for messages.
 * http and https only; redirections are followed. Errors: MOE_ENOTFOUND (404, 410); MOE_EIO (another answer,
 * no connection, cut off: with the offset reached; a full disk); MOE_EMISMATCH (larger than `bytes`);
 * MOE_EINTERRUPTED. What was written stays, and stays a beginning of the file. */
moe_status download_to(const struct download *download, int fd, const char *path, moe_err *err);

#endif
