/* Datasets from text files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/dataset_build.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

void text_set_free(struct text_set *set) {
    for (int32_t i = 0; i < set->count; i++) {
        text_file_free(&set->files[i]);
    }
    set->count = 0;
}

moe_status dataset_read_texts(const struct dataset_request *request, enum split_number number,
                              struct text_set *set, moe_err *err) {
    moe_status status = MOE_OK;
    const bool train = number == SPLIT_TRAIN;
    const char *const *names = train ? request->train_files : request->validation_files;
    const int32_t count = train ? request->num_train_files : request->num_validation_files;
    for (int32_t i = 0; i < count; i++) {
        moe_check(names[i] != NULL && names[i][0] != '\0', err, MOE_ECONFIG,
                  "data.%s_files: entry %d is empty", split_name(number), i + 1);
        moe_try(text_file_read(request->data_dir, names[i], request->tokenizer != TOKENIZE_BYTE,
                               &set->files[i], err));
        set->count = i + 1;
    }
out:
    return status;
}

moe_status dataset_check_disjoint(const struct text_set *train, const struct text_set *validation,
                                  moe_err *err) {
    for (int32_t i = 0; i < train->count; i++) {
        for (int32_t j = 0; j < validation->count; j++) {
            if (strcmp(train->files[i].sha256, validation->files[j].sha256) != 0) continue;
            return moe_fail(err, MOE_ECONFIG,
                            "%s and %s have the same content: validation would repeat training; name another "
                            "validation file, or none to hold out the end of the training text",
                            train->files[i].path, validation->files[j].path);
        }
    }
    return MOE_OK;
}

/* Token counts when validation is cut from the end of a training text of `total` tokens. */
static moe_status plan_held_out(const struct dataset_request *r, int64_t total, int64_t *train,
                                int64_t *validation, moe_err *err) {
    moe_status status = MOE_OK;
    *validation = r->validation_tokens > 0 ? r->validation_tokens : total / 10;
    *train = r->train_tokens > 0 ? r->train_tokens : total - *validation;
    moe_check(*train > 0 && *validation > 0 && *train <= total - *validation, err, MOE_ECONFIG,
              "the training text has %lld tokens; data.train_tokens %lld and %lld held out for validation do "
              "not fit; "
              "lower them, or name validation files",
              (long long)total, (long long)*train, (long long)*validation);
out:
    return status;
}

static int64_t count_words(const struct text_set *set) {
    int64_t tokens = 0;
    for (int32_t i = 0; i < set->count; i++) {
        tokens += tokenizer_count_words(set->files[i].bytes, set->files[i].size);
    }
    return tokens;
}

static moe_status open_words(const struct dataset_request *r, const struct text_set *train,
                             struct tokenizer **out, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t learned = r->train_tokens, validation = 0;
    if (r->num_validation_files == 0)
        moe_try(plan_held_out(r, count_words(train), &learned, &validation, err));
    moe_try(tokenizer_learn_words(train->files, train->count, learned, r->vocab_size, out, err));
out:
    return status;
}

static moe_status open_pieces(const struct dataset_request *r, struct tokenizer **out, moe_err *err) {
    moe_status status = MOE_OK;
    char *path = NULL;
    moe_check(r->tokenizer_file != NULL && r->tokenizer_file[0] != '\0', err, MOE_ECONFIG,
              "tokenizer \"sentencepiece\" needs data.tokenizer_file");
    const char *const folders[] = {r->data_dir, r->suite_dir};
    moe_try(tokenizer_find(r->tokenizer_file, folders, r->suite_dir != NULL ? 2 : 1, &path, err));
    moe_try(tokenizer_sentencepiece(path, out, err));
out:
    free(path);
    return status;
}

moe_status dataset_open_fixed_tokenizer(const struct dataset_request *r, struct tokenizer **out,
                                        moe_err *err) {
    switch (r->tokenizer) {
    case TOKENIZE_BYTE:
        return tokenizer_bytes(out, err);
    case TOKENIZE_SENTENCEPIECE:
        return open_pieces(r, out, err);
    default:
        return moe_fail(err, MOE_EARG, "%d is no kind of tokenizer", (int)r->tokenizer);
    }
}

static moe_status open_tokenizer(const struct dataset_request *r, const struct text_set *train,
                                 struct tokenizer **out, moe_err *err) {
    moe_status status = MOE_OK;
    if (r->tokenizer == TOKENIZE_WORD)
        moe_try(open_words(r, train, out, err));
    else
        moe_try(dataset_open_fixed_tokenizer(r, out, err));
    moe_check(tokenizer_size(*out) <= r->vocab_size, err, MOE_ECONFIG,
              "the tokenizer has %d ids, but vocab_size is %d; set model.vocab_size to at least %d",
              tokenizer_size(*out), r->vocab_size, tokenizer_size(*out));
out:
    return status;
}

moe_status dataset_text_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct text_set train = {0};
    struct tokenizer *t = NULL;
    /* only words are learned from text */
    if (request->tokenizer == TOKENIZE_WORD) moe_try(dataset_read_texts(request, SPLIT_TRAIN, &train, err));
    moe_try(open_tokenizer(request, &train, &t, err));
    *out_tokenizer = t;
    t = NULL;
out:
    tokenizer_free(t);
    text_set_free(&train);
    return status;
}

static void add_origin(struct dataset *d, const char *name, const char *sha256, int64_t tokens) {
    struct dataset_origin *origin = &d->origins[d->num_origins++];
    snprintf(origin->name, sizeof origin->name, "%s", name);
    snprintf(origin->sha256, sizeof origin->sha256, "%s", sha256);
    origin->tokens = tokens;
}

/* The name of a text's ids in the cache; `limit` ids (0: all) of one text are the first of more. */
static char *cache_path(const char *cache_dir, const struct text_file *text, const struct tokenizer *t,
                        int64_t limit) {
    char name[80];
    int used = snprintf(name, sizeof name, "%.16s-%.16s", text->sha256, tokenizer_sha256(t));
    if (limit > 0) used += snprintf(name + used, sizeof name - (size_t)used, "-%lld", (long long)limit);
    snprintf(name + used, sizeof name - (size_t)used, ".tok");
    return path_join(cache_dir, name);
}

/* Ids of a text, `limit` at most (0: all), from the cache if it has them, else tokenized and put there. A
 * cache that cannot be read or written costs time only, so its failures are not the caller's. */
static moe_status encode_cached(const struct text_file *text, const char *cache_dir, int64_t limit,
                                const struct tokenizer *t, struct token_file *file, moe_err *err) {
    moe_status status = MOE_OK;
    char *path = cache_path(cache_dir, text, t, limit);
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", cache_dir);
    if (token_file_read(path, file, NULL) == MOE_OK) {
        if (file->vocab_size == tokenizer_size(t) && strcmp(file->source_sha256, text->sha256) == 0 &&
            strcmp(file->tokenizer_sha256, tokenizer_sha256(t)) == 0 &&
            (limit == 0 || file->tokens.count <= limit))
            goto out;
        token_file_free(file);
    }
    file->vocab_size = tokenizer_size(t);
    memcpy(file->source_sha256, text->sha256, sizeof file->source_sha256);
    snprintf(file->tokenizer_sha256, sizeof file->tokenizer_sha256, "%s", tokenizer_sha256(t));
    moe_try(tokenizer_encode(t, text->bytes, text->size, limit, &file->tokens, err));
    if (file_make_parents(path, NULL) == MOE_OK) (void)token_file_write(path, file, NULL);
out:
    free(path);
    return status;
}

/* Appends the ids of a text, `limit` at most (0: all). Only pieces take so long that a cache is worth it. */
static moe_status encode_text(const struct dataset_request *r, const struct text_file *text, int64_t limit,
                              const struct tokenizer *t, struct token_buffer *ids, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_file cached = {0};
    if (r->cache_dir == NULL || r->tokenizer != TOKENIZE_SENTENCEPIECE)
        return tokenizer_encode(t, text->bytes, text->size, limit, ids, err);
    moe_try(encode_cached(text, r->cache_dir, limit, t, &cached, err));
    moe_try(token_buffer_reserve(ids, cached.tokens.count, err));
    if (cached.tokens.count > 0)
        memcpy(ids->ids + ids->count, cached.tokens.ids, (size_t)cached.tokens.count * sizeof *ids->ids);
    ids->count += cached.tokens.count;
out:
    token_file_free(&cached);
    return status;
}

moe_status dataset_encode_text(const struct dataset_request *r, const struct text_file *text, int64_t limit,
                               struct dataset *d, struct token_buffer *ids, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t before = ids->count;
    moe_try(encode_text(r, text, limit, d->tokenizer, ids, err));
    add_origin(d, text->name, text->sha256, ids->count - before);
out:
    return status;
}

void dataset_add_tokenizer(const struct dataset_request *r, struct dataset *d) {
    if (r->tokenizer == TOKENIZE_SENTENCEPIECE)
        add_origin(d, r->tokenizer_file, tokenizer_sha256(d->tokenizer), 0);
}

/* Ids of a set's files in order, `limit` at most (0: all); each file that was reached is an origin. */
static moe_status encode_texts(const struct dataset_request *r, const struct text_set *set, int64_t limit,
                               struct dataset *d, struct token_buffer *ids, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < set->count && (limit == 0 || ids->count < limit); i++) {
        const struct text_file *text = &set->files[i];
        moe_try(dataset_encode_text(r, text, limit == 0 ? 0 : limit - ids->count, d, ids, err));
    }
out:
    return status;
}

/* Makes a split of ids [count]; it owns them then. */
static moe_status fill_split(int32_t *ids, int64_t count, enum split_number number, const struct dataset *d,
                             struct dataset_split *split, moe_err *err) {
    moe_status status = MOE_OK;
    split->tokens = ids;
    moe_try(dataset_sequences(split_name(number), count, d->sequence_length, &split->sequences, err));
    const int64_t used = split->sequences * d->sequence_length + 1;
    const int32_t unk = tokenizer_unk(d->tokenizer);
    int64_t unknown = 0;
    for (int64_t i = 0; i < used; i++) {
        unknown += ids[i] == unk;
    }
    split->unk_share = unk < 0 ? NAN : (double)unknown / (double)used;
out:
    return status;
}

static moe_status check_enough(enum split_number number, int64_t wanted, int64_t got, moe_err *err) {
    if (got >= wanted) return MOE_OK;
    return moe_fail(
        err, MOE_ECONFIG,
        "data.%s_tokens is %lld, but the files have %lld tokens with this tokenizer; lower it, set it to 0 "
        "(all), or name more files",
        split_name(number), (long long)wanted, (long long)got);
}

static moe_status fill_held_out(const struct dataset_request *r, const struct text_set *texts,
                                struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    int64_t train = 0, validation = 0;
    const int64_t limit =
        r->train_tokens > 0 && r->validation_tokens > 0 ? r->train_tokens + r->validation_tokens : 0;
    moe_try(encode_texts(r, texts, limit, d, &ids, err));
    moe_try(plan_held_out(r, ids.count, &train, &validation, err));
    int32_t *later = malloc((size_t)validation * sizeof *later);
    moe_check(later != NULL, err, MOE_ENOMEM, "no memory for %lld tokens", (long long)validation);
    memcpy(later, ids.ids + train, (size_t)validation * sizeof *later);
    moe_try(fill_split(later, validation, SPLIT_VALIDATION, d, &d->validation, err));
    int32_t *earlier = ids.ids;
    ids = (struct token_buffer){0};
    moe_try(fill_split(earlier, train, SPLIT_TRAIN, d, &d->train, err));
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status fill_from(const struct dataset_request *r, const struct text_set *texts,
                            enum split_number number, struct dataset *d, struct dataset_split *split,
                            moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    const int64_t wanted = number == SPLIT_TRAIN ? r->train_tokens : r->validation_tokens;
    moe_try(encode_texts(r, texts, wanted, d, &ids, err));
    moe_try(check_enough(number, wanted, ids.count, err));
    int32_t *owned = ids.ids;
    const int64_t count = ids.count;
    ids = (struct token_buffer){0};
    moe_try(fill_split(owned, count, number, d, split, err));
out:
    token_buffer_free(&ids);
    return status;
}

moe_status dataset_fill_text(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct text_set train = {0}, validation = {0};
    moe_check(request->num_train_files > 0, err, MOE_ECONFIG, "source \"text\" needs data.train_files");
    moe_try(dataset_read_texts(request, SPLIT_TRAIN, &train, err));
    moe_try(dataset_read_texts(request, SPLIT_VALIDATION, &validation, err));
    moe_try(dataset_check_disjoint(&train, &validation, err));
    moe_try(open_tokenizer(request, &train, &d->tokenizer, err));
    if (validation.count == 0) {
        moe_try(fill_held_out(request, &train, d, err));
    } else {
        moe_try(fill_from(request, &train, SPLIT_TRAIN, d, &d->train, err));
        moe_try(fill_from(request, &validation, SPLIT_VALIDATION, d, &d->validation, err));
    }
    dataset_add_tokenizer(request, d);
out:
    text_set_free(&train);
    text_set_free(&validation);
    return status;
}
