#include "core/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <xxhash.h>

struct hash_stream {
    EVP_MD_CTX *context;
};

static void to_hex(const unsigned char *bytes, size_t count, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * count] = 0;
}

moe_status hash_sha256_new(struct hash_stream **out_stream, moe_err *err) {
    moe_status status = MOE_OK;
    struct hash_stream *stream = calloc(1, sizeof *stream);
    moe_check(stream != NULL, err, MOE_ENOMEM, "no memory for a SHA-256 stream");
    stream->context = EVP_MD_CTX_new();
    moe_check(stream->context != NULL, err, MOE_ENOMEM, "no memory for a SHA-256 stream");
    moe_check(EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL) == 1, err, MOE_ENOTSUP,
              "the crypto library offers no SHA-256");
    *out_stream = stream;
    stream = NULL;
out:
    hash_sha256_free(stream);
    return status;
}

moe_status hash_sha256_update(struct hash_stream *stream, const void *data, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(size == 0 || EVP_DigestUpdate(stream->context, data, size) == 1, err, MOE_ENOTSUP,
              "the crypto library failed in SHA-256");
out:
    return status;
}

moe_status hash_sha256_final(struct hash_stream *stream, char hex[HASH_SHA256_HEX], moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char digest[32];
    unsigned size = 0;
    moe_check(EVP_DigestFinal_ex(stream->context, digest, &size) == 1 && size == sizeof digest, err,
              MOE_ENOTSUP, "the crypto library failed in SHA-256");
    to_hex(digest, sizeof digest, hex);
out:
    hash_sha256_free(stream);
    return status;
}

void hash_sha256_free(struct hash_stream *stream) {
    if (stream == NULL) return;
    EVP_MD_CTX_free(stream->context);
    free(stream);
}

moe_status hash_sha256(const void *data, size_t size, char hex[HASH_SHA256_HEX], moe_err *err) {
    moe_status status = MOE_OK;
    struct hash_stream *stream = NULL;
    moe_try(hash_sha256_new(&stream, err));
    moe_try(hash_sha256_update(stream, data, size, err));
    status = hash_sha256_final(stream, hex, err);
    stream = NULL;
out:
    hash_sha256_free(stream);
    return status;
}

moe_status hash_sha256_file(const char *path, char hex[HASH_SHA256_HEX], uint64_t *out_size, moe_err *err) {
    enum { PIECE = 1 << 16 };
    moe_status status = MOE_OK;
    struct hash_stream *stream = NULL;
    unsigned char *piece = NULL;
    uint64_t total = 0;
    size_t got;
    FILE *file = fopen(path, "rb");
    moe_check(file != NULL, err, errno == ENOENT ? MOE_ENOTFOUND : MOE_EIO, "%s: cannot open: %s", path,
              strerror(errno));
    piece = malloc(PIECE);
    moe_check(piece != NULL, err, MOE_ENOMEM, "no memory for a read buffer");
    moe_try(hash_sha256_new(&stream, err));
    while ((got = fread(piece, 1, PIECE, file)) > 0) {
        moe_try(hash_sha256_update(stream, piece, got, err));
        total += got;
    }
    moe_check(!ferror(file), err, MOE_EIO, "%s: cannot read at offset %llu: %s", path,
              (unsigned long long)total, strerror(errno));
    status = hash_sha256_final(stream, hex, err);
    stream = NULL;
    if (out_size != NULL) *out_size = total;
out:
    hash_sha256_free(stream);
    free(piece);
    if (file != NULL) fclose(file);
    return status;
}

uint64_t hash_xxh3_64(const void *data, size_t size) {
    return XXH3_64bits(data, size);
}

void hash_xxh3_128(const void *data, size_t size, char hex[HASH_XXH128_HEX]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, size));
    to_hex(canonical.digest, sizeof canonical.digest, hex);
}
