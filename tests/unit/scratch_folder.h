/* scratch_folder.h - a folder for a test's files, removed with all that is in it. */
#ifndef TESTS_SCRATCH_FOLDER_H
#define TESTS_SCRATCH_FOLDER_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scratch {
    char folder[64];
};

static inline void scratch_open(struct scratch *s) {
    strcpy(s->folder, "/tmp/moe-test-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
}

static inline void scratch_remove(const char *folder) {
    char path[512];
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path) continue;
        if (remove(path) != 0) scratch_remove(path);
    }
    if (dir != NULL) closedir(dir);
    remove(folder);
}

static inline void scratch_close(const struct scratch *s) {
    scratch_remove(s->folder);
}

/* FOLDER/NAME in out [128]; returns it. */
static inline const char *scratch_path(const struct scratch *s, const char *name, char out[128]) {
    assert_true(snprintf(out, 128, "%s/%s", s->folder, name) < 128);
    return out;
}

/* Writes a file as it is, without waiting for the disk. */
static inline void scratch_write(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

#endif
