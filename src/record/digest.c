#include "record/columns.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

/* Values are hashed as they lie in memory, and the digest is defined over little-endian ones. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the digest is over little-endian values");

static moe_status hash_sized(struct hash_stream *stream, const void *data, uint64_t size, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(hash_sha256_update(stream, &size, sizeof size, err));
    moe_try(hash_sha256_update(stream, data, size, err));
out:
    return status;
}

static moe_status hash_text(struct hash_stream *stream, const char *text, moe_err *err) {
    return hash_sized(stream, text, strlen(text), err);
}

/* One NaN for all NaNs: sign and payload depend on how it came about, not on the content. */
static void one_nan(enum run_type type, void *values, int64_t count) {
    if (type == RUN_F64) {
        const uint64_t nan = UINT64_C(0x7ff8000000000000);
        double *v = values;
        for (int64_t i = 0; i < count; i++)
            if (v[i] != v[i]) memcpy(&v[i], &nan, sizeof nan);
    } else if (type == RUN_F32) {
        const uint32_t nan = UINT32_C(0x7fc00000);
        float *v = values;
        for (int64_t i = 0; i < count; i++)
            if (v[i] != v[i]) memcpy(&v[i], &nan, sizeof nan);
    }
}

static moe_status hash_values(struct hash_stream *stream, enum run_type type, const void *values,
                              int64_t count, moe_err *err) {
    enum { PIECE = 4096 };
    moe_status status = MOE_OK;
    unsigned char piece[PIECE * 8];
    const size_t size = run_type_size(type);
    for (int64_t i = 0; i < count; i += PIECE) {
        const int64_t n = count - i < PIECE ? count - i : PIECE;
        memcpy(piece, (const unsigned char *)values + (size_t)i * size, (size_t)n * size);
        one_nan(type, piece, n);
        moe_try(hash_sha256_update(stream, piece, (size_t)n * size, err));
    }
out:
    return status;
}

/* Path, type, rank, dimensions, values. */
static moe_status hash_column(struct hash_stream *stream, const struct run_table *table, int32_t index,
                              moe_err *err) {
    static const char *const type_names[RUN_TYPE_COUNT] = {
        [RUN_I64] = "i64", [RUN_I32] = "i32", [RUN_U16] = "u16", [RUN_F64] = "f64", [RUN_F32] = "f32"};
    moe_status status = MOE_OK;
    const struct run_column *column = &run_columns[index];
    const struct run_axes *axes = &table->begin.axes;
    char path[RUN_MAX_PATH];
    int64_t dims[4] = {table->rows[column->series]};
    const int64_t rank = 1 + run_row_dims(column, axes, dims + 1);
    run_column_path(column, path);
    moe_try(hash_text(stream, path, err));
    moe_try(hash_text(stream, type_names[column->type], err));
    moe_try(hash_sized(stream, dims, (uint64_t)rank * sizeof dims[0], err));
    moe_try(hash_values(stream, column->type, table->columns[index], dims[0] * run_row_values(column, axes),
                        err));
out:
    return status;
}

static moe_status hash_head(struct hash_stream *stream, const struct run_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_begin *begin = &table->begin;
    const struct run_identity *id = &begin->identity;
    const char *const texts[] = {
        "moe-repro run content 1", id->suite,          id->source,    id->experiment, id->protocol, id->tier,
        begin->config_json,        begin->counts_json, table->outcome};
    const int32_t axes[] = {begin->axes.moe_layers, begin->axes.experts, begin->axes.domains,
                            begin->axes.hist_bins};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        moe_try(hash_text(stream, texts[i], err));
    moe_try(hash_sized(stream, &id->seed, sizeof id->seed, err));
    moe_try(hash_sized(stream, axes, sizeof axes, err));
    for (int32_t i = 0; i < begin->axes.domains; i++)
        moe_try(hash_text(stream, begin->domain_names[i], err));
    moe_try(hash_sized(stream, begin->moe_layer_numbers, (uint64_t)begin->axes.moe_layers * sizeof(int32_t),
                       err));
out:
    return status;
}

moe_status run_table_digest(const struct run_table *table, char digest_hex[65], moe_err *err) {
    moe_status status = MOE_OK;
    struct hash_stream *stream = NULL;
    moe_try(hash_sha256_new(&stream, err));
    moe_try(hash_head(stream, table, err));
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++) {
        const enum run_series series = run_columns[i].series;
        if (run_series_infos[series].content && run_has_series(&table->begin.axes, series))
            moe_try(hash_column(stream, table, i, err));
    }
    status = hash_sha256_final(stream, digest_hex, err);
    stream = NULL;
out:
    hash_sha256_free(stream);
    return status;
}
