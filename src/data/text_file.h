/* text_file.h - a text file in memory, checked. */
#ifndef DATA_TEXT_FILE_H
#define DATA_TEXT_FILE_H

#include "core/hash.h"
#include "core/status.h"

struct text_file {
    char *bytes; /* [size], then a NUL that does not count */
    int64_t size;
    char sha256[HASH_SHA256_HEX];
    char name[256]; /* as asked for */
    char path[1024];
};

/* Reads the whole of folder/name (name alone when it is absolute or folder is NULL). Errors: MOE_ENOTFOUND
 * with how to get it; MOE_EFORMAT with the offset for an empty file, a NUL byte and, if utf8 is set, bytes
 * that are not UTF-8 (RFC 3629: no overlong forms, no surrogates). */
moe_status text_file_read(const char *folder, const char *name, bool utf8, struct text_file *out,
                          moe_err *err);
void text_file_free(struct text_file *text);

/* Offset of the first byte that does not belong to well-formed UTF-8, or -1 when all of it does. */
int64_t utf8_first_bad(const char *bytes, int64_t size);

#endif
