/* token_file.h - token ids of a text, kept so that it is tokenized once (.tok).
 *
 * Little-endian: a header of 184 bytes, then count ids of `width` bytes (2 if vocab_size <= 65536, else 4).
 *
 *     offset  size
 *          0     8  "MOETOKEN"
 *          8     4  version, 1
 *         12     4  width
 *         16     4  vocab_size
 *         20     4  0
 *         24     8  count
 *         32    64  SHA-256 of the source text, hexadecimal
 *         96    64  SHA-256 of the tokenizer's model, hexadecimal
 *        160     8  0
 *        168     8  XXH3 of the ids' bytes
 *        176     8  XXH3 of the header up to here
 */
#ifndef DATA_TOKEN_FILE_H
#define DATA_TOKEN_FILE_H

#include "core/hash.h"
#include "core/status.h"
#include "data/token_buffer.h"

struct token_file {
    int32_t vocab_size; /* every id is below */
    char source_sha256[HASH_SHA256_HEX];
    char tokenizer_sha256[HASH_SHA256_HEX];
    struct token_buffer tokens;
};

/* Replaces `path` all at once. MOE_EARG when an id is out of range or a hash has not 64 hexadecimal digits.
 */
moe_status token_file_write(const char *path, const struct token_file *file, moe_err *err);

/* Reads a token file and checks all of it. MOE_ENOTFOUND when missing; MOE_EFORMAT, with the offset, when it
 * is something else, of another version, truncated, longer than it says, damaged, or has an id out of range.
 */
moe_status token_file_read(const char *path, struct token_file *out, moe_err *err);

/* The same from memory; `name` stands in messages. */
moe_status token_file_parse(const void *bytes, size_t size, const char *name, struct token_file *out,
                            moe_err *err);
void token_file_free(struct token_file *file);

#endif
