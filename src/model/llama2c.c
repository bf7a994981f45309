#include "model/llama2c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADER_INTEGERS = 7, WIDTH_MAX = 1 << 20, VOCAB_MAX = 1 << 24 };

struct header {
    int32_t dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
};
_Static_assert(sizeof(struct header) == HEADER_INTEGERS * sizeof(int32_t), "the header is seven integers");

/* The open file and what its header makes of it. */
struct source {
    const char *path;
    FILE *file;
    struct header h;
    int32_t vocab, head_dim;
    bool tied;
};

static moe_status check_header(struct source *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct header *h = &s->h;
    moe_check(h->dim >= 1 && h->dim <= WIDTH_MAX && h->hidden_dim >= 1 && h->hidden_dim <= WIDTH_MAX &&
                  h->n_layers >= 1 && h->n_layers <= MODEL_MAX_LAYERS && h->n_heads >= 1 &&
                  h->n_kv_heads >= 1 && h->n_kv_heads <= h->n_heads && h->seq_len >= 1 &&
                  h->seq_len <= WIDTH_MAX && h->vocab_size >= -VOCAB_MAX && h->vocab_size <= VOCAB_MAX,
              err, MOE_EFORMAT, "%s: not a model of llama2.c: its header has a number out of range", s->path);
    s->tied = h->vocab_size > 0;
    s->vocab = s->tied ? h->vocab_size : -h->vocab_size;
    moe_check(s->vocab >= 2 && h->dim % h->n_heads == 0 && h->dim / h->n_heads % 2 == 0 &&
                  h->n_heads % h->n_kv_heads == 0,
              err, MOE_EFORMAT,
              "%s: not a model of llama2.c: %d heads (%d of keys) do not divide a width of %d", s->path,
              h->n_heads, h->n_kv_heads, h->dim);
    s->head_dim = h->dim / h->n_heads;
out:
    return status;
}

/* Floats behind the header. */
static int64_t expected_floats(const struct source *s) {
    const struct header *h = &s->h;
    const int64_t d = h->dim, f = h->hidden_dim, kv = (int64_t)h->n_kv_heads * s->head_dim;
    const int64_t layer = 2 * d + 2 * d * d + 2 * kv * d + 3 * f * d;
    return s->vocab * d * (s->tied ? 1 : 2) + h->n_layers * layer + d + (int64_t)h->seq_len * s->head_dim;
}

static void source_close(struct source *s) {
    if (s->file != NULL) fclose(s->file);
}

static moe_status source_open(struct source *s, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    *s = (struct source){.path = path, .file = fopen(path, "rb")};
    moe_check(s->file != NULL, err, errno == ENOENT ? MOE_ENOTFOUND : MOE_EIO, "%s: cannot be opened: %s",
              path, strerror(errno));
    moe_check(fstat(fileno(s->file), &info) == 0, err, MOE_EIO, "%s: %s", path, strerror(errno));
    moe_check(fread(&s->h, sizeof s->h, 1, s->file) == 1, err, MOE_EFORMAT,
              "%s: not a model of llama2.c: shorter than a header", path);
    moe_try(check_header(s, err));
    const int64_t bytes = (int64_t)sizeof s->h + 4 * expected_floats(s);
    moe_check(info.st_size == bytes, err, MOE_EFORMAT,
              "%s: %lld bytes, but its header says %lld: cut short, or of a later format of llama2.c", path,
              (long long)info.st_size, (long long)bytes);
out:
    return status;
}

moe_status llama2c_config(const char *path, struct model_config *out_model, struct moe_config *out_moe,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct source s = {0};
    moe_try(source_open(&s, path, err));
    *out_model = (struct model_config){
        .vocab_size = s.vocab,
        .hidden_size = s.h.dim,
        .intermediate_size = s.h.hidden_dim,
        .num_hidden_layers = s.h.n_layers,
        .num_attention_heads = s.h.n_heads,
        .num_key_value_heads = s.h.n_kv_heads,
        .head_dim = s.head_dim,
        .max_position_embeddings = s.h.seq_len,
        .norm = CONFIG_NORM_RMSNORM,
        .norm_placement = NORM_PRE,
        .norm_eps = 1e-5,
        .positions = POSITIONS_ROPE,
        .rope_theta = 10000.0,
        .ffn = FFN_SWIGLU,
        .init = INIT_NORMAL,
        .init_std = 0.02,
    };
    *out_moe = (struct moe_config){.num_experts = 1,
                                   .num_active_experts = 1,
                                   .intermediate_size = s.h.hidden_dim,
                                   .routed_scaling_factor = 1,
                                   .temperature_start = 1,
                                   .temperature_end = 1,
                                   .expert_lr_scale = 1};
out:
    source_close(&s);
    return status;
}

static moe_status read_floats(struct source *s, float *out, int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(fread(out, sizeof *out, (size_t)count, s->file) == (size_t)count, err, MOE_EIO,
              "%s: ends before its weights do", s->path);
out:
    return status;
}

/* Where a parameter's elements lie; `layer` below 0: a parameter of the whole model. */
static float *place_of(struct weights *w, int32_t layer, const char *name) {
    char full[PARAM_NAME_MAX];
    if (layer < 0) return w->values + w->params.items[params_find(&w->params, name)].offset;
    snprintf(full, sizeof full, "blocks.%d.%s", layer, name);
    return w->values + w->params.items[params_find(&w->params, full)].offset;
}

/* One tensor per layer: rows [first, ...) of width `columns` of our parameter. */
static moe_status read_layers(struct source *s, struct weights *w, const char *name, int64_t first,
                              int64_t rows, int64_t columns, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t l = 0; l < s->h.n_layers; l++)
        moe_try(read_floats(s, place_of(w, l, name) + first * columns, rows * columns, err));
out:
    return status;
}

/* Rows of `heads` heads from neighbours to halves: row 2i of a head becomes i, row 2i + 1 becomes
 * i + head_dim / 2. */
static moe_status part_halves(const struct source *s, float *rows, int32_t heads, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t half = s->head_dim / 2;
    const size_t width = (size_t)s->h.dim, head_size = (size_t)s->head_dim * width;
    float *copy = malloc(head_size * sizeof *copy);
    moe_check(copy != NULL, err, MOE_ENOMEM, "no memory for a head of %d rows", s->head_dim);
    for (int32_t h = 0; h < heads; h++) {
        float *head = rows + (size_t)h * head_size;
        memcpy(copy, head, head_size * sizeof *copy);
        for (int32_t i = 0; i < half; i++) {
            memcpy(head + (size_t)i * width, copy + (size_t)(2 * i) * width, width * sizeof *copy);
            memcpy(head + (size_t)(half + i) * width, copy + (size_t)(2 * i + 1) * width,
                   width * sizeof *copy);
        }
    }
out:
    free(copy);
    return status;
}

static moe_status read_weights(struct source *s, struct weights *w, moe_err *err) {
    moe_status status = MOE_OK;
    const struct header *h = &s->h;
    const int64_t d = h->dim, f = h->hidden_dim, kv = (int64_t)h->n_kv_heads * s->head_dim;
    static const char qkv[] = "attention.qkv.weight", fc1[] = "ffn.fc1.weight", fc2[] = "ffn.fc2.weight";
    float *embedding = place_of(w, -1, "token_embedding.weight"), *head = place_of(w, -1, "head.weight");
    moe_try(read_floats(s, embedding, s->vocab * d, err));
    moe_try(read_layers(s, w, "norm1.weight", 0, 1, d, err));
    moe_try(read_layers(s, w, qkv, 0, d, d, err));
    moe_try(read_layers(s, w, qkv, d, kv, d, err));
    moe_try(read_layers(s, w, qkv, d + kv, kv, d, err));
    moe_try(read_layers(s, w, "attention.out.weight", 0, d, d, err));
    moe_try(read_layers(s, w, "norm2.weight", 0, 1, d, err));
    moe_try(read_layers(s, w, fc1, 0, f, d, err));
    moe_try(read_layers(s, w, fc2, 0, d, f, err));
    moe_try(read_layers(s, w, fc1, f, f, d, err));
    moe_try(read_floats(s, place_of(w, -1, "norm.weight"), d, err));
    for (int32_t l = 0; l < h->n_layers; l++)
        moe_try(part_halves(s, place_of(w, l, qkv), h->n_heads + h->n_kv_heads, err));
    if (s->tied) {
        memcpy(head, embedding, (size_t)(s->vocab * d) * sizeof *head);
        goto out;
    }
    moe_check(fseek(s->file, (long)h->seq_len * s->head_dim * (long)sizeof(float), SEEK_CUR) == 0, err,
              MOE_EIO, "%s: %s", s->path, strerror(errno));
    moe_try(read_floats(s, head, s->vocab * d, err));
out:
    return status;
}

moe_status llama2c_import(const char *path, struct weights *w, moe_err *err) {
    moe_status status = MOE_OK;
    struct source s = {0};
    moe_try(source_open(&s, path, err));
    moe_try(weights_allocate(w, err));
    moe_try(read_weights(&s, w, err));
out:
    source_close(&s);
    return status;
}
