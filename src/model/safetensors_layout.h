/* safetensors_layout.h - what the reader and the writer of safetensors files share; private to them. */
#ifndef MODEL_SAFETENSORS_LAYOUT_H
#define MODEL_SAFETENSORS_LAYOUT_H

#include <xxhash.h>

#include "model/safetensors.h"

#define METADATA_KEY    "__metadata__"
#define CHECKSUM_KEY    "xxh3_128"
#define CHECKSUM_DIGITS 32

/* Elements and bytes of a shape; false if a dimension is negative or a product overflows. */
bool safetensors_extent(enum safetensors_dtype dtype, int32_t rank, const int64_t *shape, int64_t *out_count,
                        int64_t *out_bytes);

/* Where the checksum's digits stand in a header written without spaces, or NULL. */
char *safetensors_checksum_digits(char *header, int64_t length);

/* A hash that has seen the length and the header (its digits blanked); NULL when memory is out. The caller
 * adds the data and frees it with XXH3_freeState(). */
XXH3_state_t *safetensors_checksum_begin(const char *header, int64_t length);

/* The digits of a hash that has seen everything, and a terminating 0. */
void safetensors_checksum_end(const XXH3_state_t *hash, char digits[CHECKSUM_DIGITS + 1]);

#endif
