/* Fuzz target of the token file reader: any bytes give a checked file or an error with a message. Each input
 * is read as it is and with its hashes made right, else little behind them would be reached. */
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "data/token_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_and_check(const uint8_t *data, size_t size) {
    struct token_file file = {0};
    moe_err err = {0};
    if (token_file_parse(data, size, "input", &file, &err) == MOE_OK) {
        for (int64_t i = 0; i < file.tokens.count; i++) {
            if (file.tokens.ids[i] < 0 || file.tokens.ids[i] >= file.vocab_size) abort();
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    token_file_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { AT_IDS_HASH = 168, AT_HEADER_HASH = 176, HEADER_BYTES = 184 };
    read_and_check(data, size);
    if (size < HEADER_BYTES) return 0;
    uint8_t *copy = malloc(size);
    if (copy == NULL) return 0;
    memcpy(copy, data, size);
    const uint64_t ids = hash_xxh3_64(copy + HEADER_BYTES, size - HEADER_BYTES);
    memcpy(copy + AT_IDS_HASH, &ids, sizeof ids);
    const uint64_t header = hash_xxh3_64(copy, AT_HEADER_HASH);
    memcpy(copy + AT_HEADER_HASH, &header, sizeof header);
    read_and_check(copy, size);
    free(copy);
    return 0;
}
