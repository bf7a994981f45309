/* seal.h - a complete run as canonical bytes: every object in the order of the schema, shuffled, compressed,
 * checksummed, without times. Equal content gives equal bytes (with one version of HDF5 and zlib); what
 * differs between equal runs, /timing and /provenance, is written last and moves nothing else. */
#ifndef RECORD_SEAL_H
#define RECORD_SEAL_H

#include "record/columns.h"

/* Writes path whole (temporary file, fsync, rename). */
moe_status seal_write(const char *path, const struct run_table *table, moe_err *err);

#endif
