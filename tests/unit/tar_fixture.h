/* tar_fixture.h - writes small .tar.gz archives for tests. */
#ifndef TESTS_TAR_FIXTURE_H
#define TESTS_TAR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

/* Appends a member: a ustar header, its bytes, zeros up to a multiple of 512. `prefix` may be "". */
static inline void tar_add(gzFile archive, char type, const char *prefix, const char *name, const void *bytes,
                           size_t size) {
    static const unsigned char zeros[512];
    char header[512] = {0};
    unsigned sum = 0;
    assert_true(strlen(name) <= 100 && strlen(prefix) <= 155);
    memcpy(header, name, strlen(name));
    memcpy(header + 100, "0000644", 8);
    memcpy(header + 108, "0000000", 8);
    memcpy(header + 116, "0000000", 8);
    snprintf(header + 124, 12, "%011zo", size);
    memcpy(header + 136, "00000000000", 12);
    memset(header + 148, ' ', 8);
    header[156] = type;
    memcpy(header + 257, "ustar\00000", 8);
    memcpy(header + 345, prefix, strlen(prefix));
    for (int i = 0; i < 512; i++) {
        sum += (unsigned char)header[i];
    }
    snprintf(header + 148, 8, "%06o", sum & 0777777);
    assert_int_equal(gzwrite(archive, header, 512), 512);
    if (size > 0) assert_int_equal(gzwrite(archive, bytes, (unsigned)size), size);
    const unsigned rest = (unsigned)(size % 512);
    if (rest > 0) assert_int_equal(gzwrite(archive, zeros, 512 - rest), 512 - rest);
}

/* The two empty blocks at the end. */
static inline void tar_end(gzFile archive) {
    static const unsigned char zeros[1024];
    assert_int_equal(gzwrite(archive, zeros, sizeof zeros), sizeof zeros);
    assert_int_equal(gzclose(archive), Z_OK);
}

#endif
