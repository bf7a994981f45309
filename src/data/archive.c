#include "data/archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "core/file.h"

/* Header of a member: POSIX.1-1988 "ustar", offsets and lengths of its fields. */
enum {
    BLOCK = 512,
    NAME_BYTES = 100,
    AT_SIZE = 124,
    SIZE_BYTES = 12,
    AT_CHECKSUM = 148,
    CHECKSUM_BYTES = 8,
    AT_TYPE = 156,
    AT_PREFIX = 345,
    PREFIX_BYTES = 155
};

struct reader {
    gzFile file;
    const char *path;
    int64_t at; /* bytes read, unpacked */
};

static moe_status read_block(struct reader *r, unsigned char block[BLOCK], moe_err *err) {
    moe_status status = MOE_OK;
    int code = Z_OK;
    const int got = gzread(r->file, block, BLOCK);
    const char *why = gzerror(r->file, &code);
    moe_check(code != Z_ERRNO, err, MOE_EIO, "%s: cannot read: %s", r->path, strerror(errno));
    moe_check(got == BLOCK, err, MOE_EFORMAT, "%s: damaged or cut off at offset %lld (unpacked): %s", r->path,
              (long long)r->at, code < 0 ? why : "it ends here");
    r->at += BLOCK;
out:
    return status;
}

/* Octal digits, blanks around them; -1 for anything else. */
static int64_t parse_octal(const unsigned char *field, int length) {
    int64_t value = 0;
    int i = 0;
    while (i < length && field[i] == ' ')
        i++;
    const int first = i;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++) {
        value = value * 8 + (field[i] - '0');
    }
    return i == first || (i < length && field[i] != ' ' && field[i] != '\0') ? -1 : value;
}

static bool checksum_is_right(const unsigned char header[BLOCK]) {
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        const bool own = i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_BYTES;
        sum += own ? ' ' : header[i];
    }
    return sum == parse_octal(header + AT_CHECKSUM, CHECKSUM_BYTES);
}

static bool names_member(const unsigned char header[BLOCK], const char *member) {
    char name[PREFIX_BYTES + NAME_BYTES + 2];
    const bool regular = header[AT_TYPE] == '0' || header[AT_TYPE] == '\0';
    snprintf(name, sizeof name, "%.*s%s%.*s", PREFIX_BYTES, (const char *)header + AT_PREFIX,
             header[AT_PREFIX] != '\0' ? "/" : "", NAME_BYTES, (const char *)header);
    return regular && strcmp(name, member) == 0;
}

static moe_status write_fully(int fd, const unsigned char *data, size_t size, const char *path,
                              moe_err *err) {
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_write_failure(path, errno, err);
        data += n;
        size -= (size_t)n;
    }
    return MOE_OK;
}

moe_status archive_extract(const char *archive, const char *member, int fd, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char block[BLOCK];
    struct reader r = {.file = gzopen(archive, "rb"), .path = archive};
    moe_check(r.file != NULL, err, MOE_EIO, "%s: cannot open: %s", archive, strerror(errno));
    for (bool found = false; !found;) {
        moe_try(read_block(&r, block, err));
        moe_check(block[0] != '\0', err, MOE_ENOTFOUND, "%s: has no file %s", archive, member);
        const int64_t size = parse_octal(block + AT_SIZE, SIZE_BYTES);
        moe_check(size >= 0 && checksum_is_right(block), err, MOE_EFORMAT,
                  "%s: no header of a tar member at offset %lld (unpacked)", archive,
                  (long long)(r.at - BLOCK));
        found = names_member(block, member);
        for (int64_t left = size; left > 0; left -= BLOCK) {
            moe_try(read_block(&r, block, err));
            if (found) moe_try(write_fully(fd, block, left < BLOCK ? (size_t)left : BLOCK, path, err));
        }
    }
out:
    if (r.file != NULL) gzclose(r.file);
    return status;
}
