#include "model/decoder_cache.h"

#include <stdlib.h>

#include "model/decoder_internal.h"

struct decoder_cache {
    struct decoder *decoder;
    struct kv_cache kv; /* of one sequence */
    act_t *logits;      /* [V], device */
};

static moe_status check_room(const struct decoder *d, int64_t max_seq, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    const int64_t positions = d->model.max_position_embeddings;
    moe_check(be->attention_decode != NULL, err, MOE_ENOTSUP, "device %s cannot generate text", be->name);
    moe_check(max_seq >= 1 && max_seq <= d->dev->options.max_seq, err, MOE_EARG,
              "a cache for %lld tokens, but the device was opened for sequences of at most %d",
              (long long)max_seq, d->dev->options.max_seq);
    moe_check(d->model.positions != POSITIONS_LEARNED || max_seq <= positions, err, MOE_EARG,
              "a cache for %lld tokens, but the model has learned %lld positions", (long long)max_seq,
              (long long)positions);
out:
    return status;
}

moe_status decoder_cache_create(struct decoder *d, int64_t max_seq, struct decoder_cache **out_cache,
                                moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = d->dev->ops;
    struct decoder_cache *c = NULL;
    moe_try(check_room(d, max_seq, err));
    c = calloc(1, sizeof *c);
    moe_check(c != NULL, err, MOE_ENOMEM, "no memory for a cache");
    c->decoder = d;
    c->kv = (struct kv_cache){
        .capacity = max_seq,
        .width = (int64_t)d->model.num_key_value_heads * d->model.head_dim,
    };
    const size_t bytes = (size_t)(d->parts.layers * max_seq * c->kv.width) * be->act_size;
    moe_try(be->alloc(d->dev, bytes, &c->kv.keys, err));
    moe_try(be->alloc(d->dev, bytes, &c->kv.values, err));
    moe_try(be->alloc(d->dev, (size_t)d->model.vocab_size * be->act_size, &c->logits, err));
    *out_cache = c;
    c = NULL;
out:
    decoder_cache_destroy(c);
    return status;
}

void decoder_cache_destroy(struct decoder_cache *c) {
    if (c == NULL) return;
    struct device *dev = c->decoder->dev;
    dev->ops->release(dev, c->kv.keys);
    dev->ops->release(dev, c->kv.values);
    dev->ops->release(dev, c->logits);
    free(c);
}

/* One pass; leaves the rows in the decoder's `normed`. */
static moe_status read_pass(struct decoder_cache *c, const int32_t *tokens, int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder *d = c->decoder;
    const struct decoder_batch batch = {.tokens = tokens, .batch = 1, .seq = count};
    const struct nn_pass pass = {
        .dev = d->dev,
        .params = &d->parts.params,
        .batch = 1,
        .seq = count,
        .rows = count,
        .cache = &c->kv,
    };
    moe_try(decoder_check_batch(d, &batch, err));
    decoder_upload(d, &batch);
    decoder_forward_body(d, &pass);
    c->kv.length += count;
out:
    return status;
}

/* Logits of row `row` of the pass just made. */
static void read_logits(struct decoder_cache *c, int64_t row, float *host_logits) {
    struct decoder *d = c->decoder;
    const struct nn_pass pass = {.dev = d->dev, .params = &d->parts.params, .batch = 1, .seq = 1, .rows = 1};
    linear_forward(&d->parts.head, &pass, c->logits, nn_at(&pass, d->normed, row * d->model.hidden_size));
    nn_download(&pass, host_logits, c->logits, d->model.vocab_size);
}

moe_status decoder_cache_read(struct decoder_cache *c, const int32_t *tokens, int64_t count,
                              float *host_logits, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder *d = c->decoder;
    moe_check(count >= 1 && count <= c->kv.capacity - c->kv.length, err, MOE_EARG,
              "%lld tokens more do not fit: %lld of %lld positions are taken", (long long)count,
              (long long)c->kv.length, (long long)c->kv.capacity);
    int64_t rows = 0;
    for (int64_t at = 0; at < count; at += rows) {
        rows = count - at < d->limits.max_seq ? count - at : d->limits.max_seq;
        moe_try(read_pass(c, tokens + at, rows, err));
    }
    if (host_logits != NULL) read_logits(c, rows - 1, host_logits);
    moe_try(d->dev->ops->synchronize(d->dev, err));
out:
    return status;
}

int64_t decoder_cache_length(const struct decoder_cache *c) {
    return c->kv.length;
}

void decoder_cache_clear(struct decoder_cache *c) {
    c->kv.length = 0;
}
