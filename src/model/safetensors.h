/* safetensors.h - named tensors in one file, in the safetensors format (Hugging Face, format as of 2023).
 *
 *     8 bytes   N, length of the header, unsigned little-endian
 *     N bytes   JSON: {"__metadata__": {KEY: STRING, ...}, NAME: {"dtype", "shape", "data_offsets"}, ...}
 *     rest      the elements, row-major, little-endian, back to back: no hole, no overlap, nothing after them
 *
 * The reader checks all of that before it hands anything out, so a damaged or hostile file ends in an error
 * that names the file, the tensor and the offset. It reads with pread(), never through a mapping: a file cut
 * short while it is open is an error too, not a signal.
 *
 * The writer's bytes are a function of the content alone: tensors stand in the order of the reference
 * implementation (wider element types first, then by name), metadata by key. With SAFETENSORS_CHECKSUM the
 * metadata carries "xxh3_128": the XXH3-128 of the whole file, taken with the 32 digits of the value set to
 * '0'. It covers the length and the header as well as the data, so that any flipped bit is found.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "core/status.h"

#define SAFETENSORS_MAX_RANK   8
#define SAFETENSORS_MAX_HEADER (16 << 20) /* bytes of JSON: about 150,000 tensors */

/* Element types, in the format's own order (the writer sorts by it, widest first). */
enum safetensors_dtype {
    SAFETENSORS_U8 = 0,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_I32,
    SAFETENSORS_F32,
    SAFETENSORS_F64,
    SAFETENSORS_I64,
    SAFETENSORS_DTYPE_COUNT
};

enum {
    SAFETENSORS_CHECKSUM = 1 /* writing: store a checksum. reading: it must be there and be right */
};

/* One tensor of an opened file. Rank 0 is one element. */
struct safetensors_tensor {
    const char *name; /* owned by the file */
    enum safetensors_dtype dtype;
    int32_t rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    int64_t count;  /* elements: product of shape */
    int64_t offset; /* bytes from the start of the file */
    int64_t bytes;
};

/* One tensor to be written; data is the caller's memory, `product of shape` elements, read during the call.
 */
struct safetensors_source {
    const char *name;
    enum safetensors_dtype dtype;
    int32_t rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    const void *data;
};

struct safetensors_entry {
    const char *key, *value;
};

struct safetensors;

/* Opens a file and checks its header; with SAFETENSORS_CHECKSUM reads it all once and checks that too.
 * MOE_ENOTFOUND: no such file; MOE_EIO: cannot be read; MOE_EFORMAT: not a sound safetensors file, or
 * damaged; MOE_ENOTSUP: an element type or rank this reader does not know. */
moe_status safetensors_open(const char *path, unsigned flags, struct safetensors **out_file, moe_err *err);

/* The same over `size` bytes of memory, which must outlive the handle; `label` stands for the path in
 * messages. */
moe_status safetensors_open_memory(const char *label, const void *bytes, size_t size, unsigned flags,
                                   struct safetensors **out_file, moe_err *err);

/* NULL is allowed. Tensors and strings of the file die with it. */
void safetensors_close(struct safetensors *file);

/* Number of tensors, and tensor i in the order of names (bytewise), 0 <= i < count. */
int64_t safetensors_count(const struct safetensors *file);
const struct safetensors_tensor *safetensors_at(const struct safetensors *file, int64_t i);

/* The tensor of that name, or NULL. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name);

/* The tensor of that name with exactly that shape. MOE_ENOTFOUND if the file has no such name, MOE_EMISMATCH
 * if its shape is another; the message gives both shapes. */
moe_status safetensors_require(const struct safetensors *file, const char *name, int32_t rank,
                               const int64_t *shape, const struct safetensors_tensor **out_tensor,
                               moe_err *err);

/* Value of a metadata key, or NULL. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Copies a tensor's `count` elements to out, each rounded to the nearest float. */
moe_status safetensors_read_float(const struct safetensors *file, const struct safetensors_tensor *tensor,
                                  float *out, moe_err *err);

/* Copies a tensor's `bytes` as they are stored; MOE_EMISMATCH unless it is of type dtype. */
moe_status safetensors_read(const struct safetensors *file, const struct safetensors_tensor *tensor,
                            enum safetensors_dtype dtype, void *out, moe_err *err);

/* Writes a file: to PATH.tmp, synced, renamed over PATH, its folder synced. At every moment PATH is absent,
 * the old file or the whole new one; after a failure (MOE_EIO, a full disk say) the old one, and PATH.tmp is
 * gone. MOE_EARG: two tensors or keys of one name, a reserved or not UTF-8 name, an impossible shape. */
moe_status safetensors_write(const char *path, const struct safetensors_source *tensors, int64_t count,
                             const struct safetensors_entry *metadata, int64_t metadata_count, unsigned flags,
                             moe_err *err);

/* Name in the format ("F32") and bytes per element. */
const char *safetensors_dtype_name(enum safetensors_dtype dtype);
int64_t safetensors_dtype_size(enum safetensors_dtype dtype);

/* "[2, 3]" into text (cut to size); returns text. */
const char *safetensors_shape_text(char *text, size_t size, int32_t rank, const int64_t *shape);

#endif
