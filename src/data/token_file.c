#include "data/token_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"

static const char magic[8] = {'M', 'O', 'E', 'T', 'O', 'K', 'E', 'N'};

enum {
    VERSION = 1,
    AT_VERSION = 8,
    AT_WIDTH = 12,
    AT_VOCAB = 16,
    AT_ZERO = 20,
    AT_COUNT = 24,
    AT_SOURCE = 32,
    AT_TOKENIZER = 96,
    AT_ZERO2 = 160,
    AT_IDS_HASH = 168,
    AT_HEADER_HASH = 176,
    HEADER_BYTES = 184,
    HASH_DIGITS = HASH_SHA256_HEX - 1
};

static void store(unsigned char *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t load(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static int width_for(int32_t vocab_size) {
    return vocab_size <= 65536 ? 2 : 4;
}

static bool is_hash(const char *text) {
    return strspn(text, "0123456789abcdef") >= HASH_DIGITS;
}

moe_status token_file_write(const char *path, const struct token_file *file, moe_err *err) {
    moe_status status = MOE_OK;
    const int width = width_for(file->vocab_size);
    const size_t size = HEADER_BYTES + (size_t)file->tokens.count * (size_t)width;
    unsigned char *bytes = calloc(size, 1);
    moe_check(bytes != NULL, err, MOE_ENOMEM, "%s: no memory for its %zu bytes", path, size);
    moe_check(is_hash(file->source_sha256) && is_hash(file->tokenizer_sha256), err, MOE_EARG,
              "%s: a token file needs the SHA-256 of text and tokenizer", path);
    for (int64_t i = 0; i < file->tokens.count; i++) {
        const int32_t id = file->tokens.ids[i];
        moe_check(id >= 0 && id < file->vocab_size, err, MOE_EARG, "%s: token %lld is id %d, not in [0, %d)",
                  path, (long long)i, id, file->vocab_size);
        store(bytes + HEADER_BYTES + i * width, (uint64_t)id, width);
    }
    memcpy(bytes, magic, sizeof magic);
    store(bytes + AT_VERSION, VERSION, 4);
    store(bytes + AT_WIDTH, (uint64_t)width, 4);
    store(bytes + AT_VOCAB, (uint64_t)file->vocab_size, 4);
    store(bytes + AT_COUNT, (uint64_t)file->tokens.count, 8);
    memcpy(bytes + AT_SOURCE, file->source_sha256, HASH_DIGITS);
    memcpy(bytes + AT_TOKENIZER, file->tokenizer_sha256, HASH_DIGITS);
    store(bytes + AT_IDS_HASH, hash_xxh3_64(bytes + HEADER_BYTES, size - HEADER_BYTES), 8);
    store(bytes + AT_HEADER_HASH, hash_xxh3_64(bytes, AT_HEADER_HASH), 8);
    moe_try(file_write_atomic(path, bytes, size, err));
out:
    free(bytes);
    return status;
}

static moe_status check_header(const unsigned char *bytes, size_t size, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0, err, MOE_EFORMAT,
              "%s: not a token file: it does not begin with \"MOETOKEN\"", name);
    moe_check(size >= HEADER_BYTES, err, MOE_EFORMAT, "%s: truncated: %zu bytes, its header alone has %d",
              name, size, HEADER_BYTES);
    const unsigned version = (unsigned)load(bytes + AT_VERSION, 4);
    moe_check(version == VERSION, err, MOE_EFORMAT,
              "%s: version %u at offset %d; this program reads version %d", name, version, AT_VERSION,
              VERSION);
    moe_check(load(bytes + AT_HEADER_HASH, 8) == hash_xxh3_64(bytes, AT_HEADER_HASH), err, MOE_EFORMAT,
              "%s: the header (offsets 0 to %d) is damaged; delete the file, it is made again from its text",
              name, AT_HEADER_HASH);
    const uint64_t vocab_size = load(bytes + AT_VOCAB, 4), width = load(bytes + AT_WIDTH, 4);
    moe_check(
        vocab_size > 0 && vocab_size <= INT32_MAX && width == (uint64_t)width_for((int32_t)vocab_size) &&
            load(bytes + AT_ZERO, 4) == 0 && load(bytes + AT_ZERO2, 8) == 0,
        err, MOE_EFORMAT, "%s: vocab_size %llu at offset %d and width %llu at offset %d do not fit together",
        name, (unsigned long long)vocab_size, AT_VOCAB, (unsigned long long)width, AT_WIDTH);
    const uint64_t count = load(bytes + AT_COUNT, 8), room = (size - HEADER_BYTES) / width;
    moe_check(count <= room, err, MOE_EFORMAT,
              "%s: truncated: %llu ids promised, %llu there; delete the file", name,
              (unsigned long long)count, (unsigned long long)room);
    moe_check(HEADER_BYTES + count * width == size, err, MOE_EFORMAT,
              "%s: %zu bytes, but its %llu ids end at offset %llu", name, size, (unsigned long long)count,
              (unsigned long long)(HEADER_BYTES + count * width));
    moe_check(load(bytes + AT_IDS_HASH, 8) == hash_xxh3_64(bytes + HEADER_BYTES, size - HEADER_BYTES), err,
              MOE_EFORMAT,
              "%s: the ids (from offset %d) are damaged; delete the file, it is made again from its text",
              name, HEADER_BYTES);
out:
    return status;
}

moe_status token_file_parse(const void *data, size_t size, const char *name, struct token_file *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const unsigned char *bytes = data;
    struct token_file file = {0};
    moe_try(check_header(bytes, size, name, err));
    file.vocab_size = (int32_t)load(bytes + AT_VOCAB, 4);
    memcpy(file.source_sha256, bytes + AT_SOURCE, HASH_DIGITS);
    memcpy(file.tokenizer_sha256, bytes + AT_TOKENIZER, HASH_DIGITS);
    moe_check(is_hash(file.source_sha256) && is_hash(file.tokenizer_sha256), err, MOE_EFORMAT,
              "%s: no hexadecimal SHA-256 at offset %d or %d", name, AT_SOURCE, AT_TOKENIZER);
    const int width = width_for(file.vocab_size);
    const int64_t count = (int64_t)load(bytes + AT_COUNT, 8);
    moe_try(token_buffer_reserve(&file.tokens, count, err));
    for (int64_t i = 0; i < count; i++) {
        const uint64_t id = load(bytes + HEADER_BYTES + i * width, width);
        moe_check(id < (uint64_t)file.vocab_size, err, MOE_EFORMAT,
                  "%s: id %llu at offset %lld is not in [0, %d)", name, (unsigned long long)id,
                  (long long)(HEADER_BYTES + i * width), file.vocab_size);
        file.tokens.ids[i] = (int32_t)id;
    }
    file.tokens.count = count;
    *out = file;
    file.tokens = (struct token_buffer){0};
out:
    token_file_free(&file);
    return status;
}

moe_status token_file_read(const char *path, struct token_file *out, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size = 0;
    moe_try(file_read_all(path, SIZE_MAX / 2, &bytes, &size, err));
    moe_try(token_file_parse(bytes, size, path, out, err));
out:
    free(bytes);
    return status;
}

void token_file_free(struct token_file *file) {
    token_buffer_free(&file->tokens);
    *file = (struct token_file){0};
}
