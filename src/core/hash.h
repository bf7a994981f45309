/* hash.h - SHA-256 for identities that people compare, XXH3 for quick checks of integrity. */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include "core/status.h"

#define HASH_SHA256_HEX 65 /* 64 lower-case hexadecimal digits and the terminating 0 */
#define HASH_XXH128_HEX 33

/* SHA-256 (FIPS 180-4) of a buffer. MOE_ENOTSUP when the crypto library has no SHA-256. */
moe_status hash_sha256(const void *data, size_t size, char hex[HASH_SHA256_HEX], moe_err *err);

/* SHA-256 of a file's bytes, read in pieces; out_size may be NULL. MOE_EIO names the file. */
moe_status hash_sha256_file(const char *path, char hex[HASH_SHA256_HEX], uint64_t *out_size, moe_err *err);

/* SHA-256 of bytes that come piece by piece: new, update any number of times, final once. final frees the
 * stream whether or not it fails; hash_sha256_free() is for streams that are given up. */
struct hash_stream;
moe_status hash_sha256_new(struct hash_stream **out_stream, moe_err *err);
moe_status hash_sha256_update(struct hash_stream *stream, const void *data, size_t size, moe_err *err);
moe_status hash_sha256_final(struct hash_stream *stream, char hex[HASH_SHA256_HEX], moe_err *err);
void hash_sha256_free(struct hash_stream *stream); /* NULL is allowed */

/* XXH3 of a buffer, 64 bits, seed 0. */
uint64_t hash_xxh3_64(const void *data, size_t size);

/* XXH3 of a buffer, 128 bits, seed 0, as 32 hexadecimal digits, high half first (the canonical form). */
void hash_xxh3_128(const void *data, size_t size, char hex[HASH_XXH128_HEX]);

#endif
