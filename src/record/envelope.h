/* envelope.h - the first 512 bytes of a sealed file: an HDF5 user block (HDF5 tools skip it) that holds
 * length and hash of all bytes behind it, so that damage is found before HDF5 reads a byte. */
#ifndef RECORD_ENVELOPE_H
#define RECORD_ENVELOPE_H

#include "core/status.h"

enum { ENVELOPE_SIZE = 512 };

/* Fills the first ENVELOPE_SIZE bytes of a whole file from the others. */
void envelope_fill(unsigned char *file, size_t size);

/* Reads a file whole, malloc'ed, and compares. MOE_ENOTFOUND, MOE_EIO, MOE_EFORMAT (truncated, damaged, or no
 * sealed run file). */
moe_status envelope_read(const char *path, unsigned char **out_file, size_t *out_size, moe_err *err);

#endif
