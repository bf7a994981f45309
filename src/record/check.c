#include <string.h>

#include "core/hash.h"
#include "record/columns.h"

/* The hash of the hashes of what the commit added to each column, its number and counts in front. */
uint64_t run_commit_check(const struct run_axes *axes, int64_t number, const int64_t count[RUN_SERIES_COUNT],
                          const int64_t at[RUN_SERIES_COUNT], const void *const *columns) {
    uint64_t hashes[1 + RUN_SERIES_COUNT + RUN_COLUMN_COUNT] = {(uint64_t)number};
    size_t used = 1;
    for (int32_t i = 0; i < RUN_SERIES_COUNT; i++)
        hashes[used++] = (uint64_t)count[i];
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        const enum run_series series = run_columns[i].series;
        const size_t bytes = run_row_bytes(&run_columns[i], axes);
        if (count[series] > 0)
            hashes[used++] = hash_xxh3_64((const unsigned char *)columns[i] + (size_t)at[series] * bytes,
                                          (size_t)count[series] * bytes);
    }
    return hash_xxh3_64(hashes, used * sizeof hashes[0]);
}

static uint64_t hash_text(uint64_t before, const char *text) {
    const uint64_t both[2] = {before, hash_xxh3_64(text, strlen(text))};
    return hash_xxh3_64(both, sizeof both);
}

uint64_t run_head_check(const struct run_begin *begin) {
    uint64_t check = hash_xxh3_64(begin->moe_layer_numbers,
                                  (size_t)begin->axes.moe_layers * sizeof begin->moe_layer_numbers[0]);
    check = hash_text(check, begin->config_json);
    check = hash_text(check, begin->config_toml);
    check = hash_text(check, begin->counts_json);
    for (int32_t i = 0; i < begin->axes.domains; i++)
        check = hash_text(check, begin->domain_names[i]);
    return check;
}
