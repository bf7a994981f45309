/* image.h - an HDF5 file made in memory, to be written by the tree's own means: HDF5 never meets a full disk,
 * which it survives badly (a failed H5Fclose leaves the library unusable), and no byte is left to chance. */
#ifndef RECORD_IMAGE_H
#define RECORD_IMAGE_H

#include "record/hdf.h"

/* Creates the objects of a file in h5; `file` is its path, for messages. */
typedef moe_status image_writer(hid_t h5, const struct run_table *table, const char *file, moe_err *err);

/* Lets `write` make a file with `userblock` zero bytes in front; the bytes as they would stand on disk,
 * malloc'ed. */
moe_status image_build(const struct run_table *table, size_t userblock, image_writer *write, const char *file,
                       unsigned char **out_bytes, size_t *out_size, moe_err *err);

#endif
