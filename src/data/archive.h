/* archive.h - takes a file out of a .tar.gz. */
#ifndef DATA_ARCHIVE_H
#define DATA_ARCHIVE_H

#include "core/status.h"

/* Writes the regular file `member` (its whole name in the archive) of a gzipped POSIX tar archive to fd, an
 * empty file open for writing; `path` is its name for messages. Errors: MOE_ENOTFOUND (no such member);
 * MOE_EFORMAT (not such an archive, damaged or cut off; with the offset in the unpacked archive); MOE_EIO. */
moe_status archive_extract(const char *archive, const char *member, int fd, const char *path, moe_err *err);

#endif
