/* Fuzzes the reader of run files. The first byte chooses how the rest is presented: as a sealed file whose
 * envelope is what the bytes say, as one whose envelope is put right (so that HDF5 gets to see it), or as a
 * live file. HDF5 itself runs in the forked child of the reader: a crash there must come out as an error
 * here. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/envelope.h"
#include "record/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum presentation { AS_IT_IS = 0, ENVELOPED = 1, LIVE = 2, PRESENTATIONS };

static void read_all(const char *path) {
    struct run_reader *r = NULL;
    moe_err err = {0};
    char dataset[RUN_DATASET_PATH_MAX], hex[65];
    const moe_status status = run_reader_open(path, &r, &err);
    if (status != MOE_OK) {
        if (err.status != status || err.message[0] == 0) abort(); /* a refusal says why */
        return;
    }
    for (int32_t i = 0; run_reader_dataset(r, i, dataset) != NULL; i++) {
        double *values = NULL;
        int64_t dims[4];
        int32_t rank;
        if (run_reader_array(r, dataset, &values, dims, &rank, &err) == MOE_OK) free(values);
    }
    if (run_reader_digest(r, hex, &err) != MOE_OK) abort();
    run_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    unsigned char *copy;
    int fd;
    if (size < 1) return 0;
    const enum presentation how = data[0] % PRESENTATIONS;
    snprintf(path, sizeof path, "/tmp/fuzz-run-%ld.h5%s", (long)getpid(), how == LIVE ? ".live" : "");
    copy = malloc(size);
    if (copy == NULL) return 0;
    memcpy(copy, data + 1, size - 1);
    if (how == ENVELOPED && size - 1 > ENVELOPE_SIZE) envelope_fill(copy, size - 1);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) {
        const ssize_t written = write(fd, copy, size - 1);
        close(fd);
        if (written == (ssize_t)(size - 1)) read_all(path);
        unlink(path);
    }
    free(copy);
    return 0;
}
