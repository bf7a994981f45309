/* file.h - whole files, replaced all at once, and the paths that lead to them. */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include "core/status.h"

/* Reads a whole file of at most max_bytes into a malloc'ed buffer with a 0 byte behind it (not counted in
 * out_size, which may be NULL). MOE_ENOTFOUND: no such file. MOE_EIO: not readable, or a folder. MOE_EFORMAT:
 * larger than max_bytes. */
moe_status file_read_all(const char *path, size_t max_bytes, unsigned char **out_data, size_t *out_size,
                         moe_err *err);

/* Nothing is fsynced while the environment has MOE_NO_FSYNC, which is for tests: a power cut may then take
 * what was written. */

/* Replaces path with these bytes: writes PATH.tmp beside it, fsyncs, renames, fsyncs the folder. A crash at
 * any moment leaves the old file or the new one. PATH.tmp is locked while written, so two writers take turns,
 * and a leftover of a killed process is overwritten. MOE_EIO says if the disk is full. */
moe_status file_write_atomic(const char *path, const void *data, size_t size, moe_err *err);

/* Puts a file that some library has written and closed into its place: fsync of temp_path, rename to path,
 * fsync of the folder. Both must lie on one file system. temp_path stays on failure. */
moe_status file_publish(const char *temp_path, const char *path, moe_err *err);

/* Makes a folder and those above it, mode 0777 less umask; it may exist. */
moe_status file_make_folders(const char *path, moe_err *err);

/* Makes the folders above a file's path. */
moe_status file_make_parents(const char *path, moe_err *err);

/* Removes a file; one that does not exist is fine. */
moe_status file_remove(const char *path, moe_err *err);

/* True if path names something that can be reached (a file or a folder). */
bool file_exists(const char *path);

/* True if path names a folder. */
bool file_is_folder(const char *path);

/* "folder/name", or name alone when it is absolute or folder is NULL or empty. malloc'ed; NULL when memory is
 * out. */
char *path_join(const char *folder, const char *name);

/* The folder part of a path: "a/b" of "a/b/c", "." of "c", "/" of "/c". malloc'ed; NULL when memory is out.
 */
char *path_folder(const char *path);

/* The last part of a path, inside it. */
const char *path_name(const char *path);

/* Whether a path ends in `ending`, e.g. ".h5"; one that is nothing else does too. */
bool path_ends_with(const char *path, const char *ending);

/* The path with `ending` behind it, e.g. "x.h5.live" of "x.h5". malloc'ed; NULL when memory is out. */
char *path_append(const char *path, const char *ending);

/* What errno `code` means for a write to path: a sentence that names a full disk or quota as such and says
 * what to do. */
moe_status file_write_failure(const char *path, int code, moe_err *err);

#endif
