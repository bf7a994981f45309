#include "record/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"

static const char magic[] = "moe-repro run file 1; HDF5 begins at byte 512\n";

void envelope_fill(unsigned char *file, size_t size) {
    char hex[HASH_XXH128_HEX];
    hash_xxh3_128(file + ENVELOPE_SIZE, size - ENVELOPE_SIZE, hex);
    memset(file, 0, ENVELOPE_SIZE);
    snprintf((char *)file, ENVELOPE_SIZE, "%slength %zu\nxxh3 %s\n", magic, size, hex);
}

moe_status envelope_read(const char *path, unsigned char **out_file, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *file = NULL, block[ENVELOPE_SIZE];
    size_t size;
    unsigned long long length;
    moe_try(file_read_all(path, SIZE_MAX / 4, &file, &size, err));
    moe_check(size > ENVELOPE_SIZE && memcmp(file, magic, sizeof magic - 1) == 0, err, MOE_EFORMAT,
              "%s: is no sealed run file, or its beginning is damaged; restore it, or delete it and train "
              "the run again",
              path);
    memcpy(block, file, ENVELOPE_SIZE);
    if (sscanf((const char *)file + sizeof magic - 1, "length %20llu\n", &length) == 1)
        moe_check(length == size, err, MOE_EFORMAT,
                  "%s: has %zu bytes, was sealed with %llu; restore it, or delete it and train the run again",
                  path, size, length);
    envelope_fill(file, size);
    moe_check(
        memcmp(block, file, ENVELOPE_SIZE) == 0, err, MOE_EFORMAT,
        "%s: its bytes are not those that were sealed; restore it, or delete it and train the run again",
        path);
    *out_file = file;
    *out_size = size;
    file = NULL;
out:
    free(file);
    return status;
}
