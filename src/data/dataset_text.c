/* Datasets from text files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/dataset_build.h"
#include "data/tokenizer.h"

struct text_set {
    struct text_file files[DATASET_MAX_FILES];
    int32_t count;
};

static void text_set_free(struct text_set *set) {
    for (int32_t i = 0; i < set->count; i++) {
        text_file_free(&set->files[i]);
    }
    set->count = 0;
}

static moe_status read_texts(const struct dataset_request *request, enum split_number number,
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

static moe_status check_disjoint(const struct text_set *train, const struct text_set *validation,
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
    moe_check(*train > 0 && *train <= total - *validation, err, MOE_ECONFIG,
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
    path = path_join(r->data_dir, r->tokenizer_file);
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", r->tokenizer_file);
    moe_try(tokenizer_sentencepiece(path, out, err));
out:
    free(path);
    return status;
}

static moe_status open_tokenizer(const struct dataset_request *r, const struct text_set *train,
                                 struct tokenizer **out, moe_err *err) {
    moe_status status = MOE_OK;
    switch (r->tokenizer) {
    case TOKENIZE_WORD:
        moe_try(open_words(r, train, out, err));
        break;
    case TOKENIZE_BYTE:
        moe_try(tokenizer_bytes(out, err));
        break;
    case TOKENIZE_SENTENCEPIECE:
        moe_try(open_pieces(r, out, err));
        break;
    default:
        moe_check(false, err, MOE_EARG, "%d is no kind of tokenizer", (int)r->tokenizer);
    }
    moe_check(tokenizer_size(*out) <= r->vocab_size, err, MOE_ECONFIG,
              "the tokenizer has %d ids, but vocab_size is %d; set model.vocab_size to at least %d",
              tokenizer_size(*out), r->vocab_size, tokenizer_size(*out));
out:
    return status;
}

/* Ids of a set's files in order, `limit` at most (0: all); each file that gave some is an origin. */
static moe_status encode_texts(const struct text_set *set, int64_t limit, struct dataset *d,
                               struct token_buffer *ids, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < set->count && (limit == 0 || ids->count < limit); i++) {
        const struct text_file *text = &set->files[i];
        const int64_t before = ids->count;
        moe_try(tokenizer_encode(d->tokenizer, text->bytes, text->size, limit == 0 ? 0 : limit - before, ids,
                                 err));
        struct dataset_origin *origin = &d->origins[d->num_origins++];
        snprintf(origin->name, sizeof origin->name, "%s", text->name);
        memcpy(origin->sha256, text->sha256, sizeof origin->sha256);
        origin->tokens = ids->count - before;
    }
out:
    return status;
}

/* Copies ids [count] into a split of whole sequences. */
static moe_status fill_split(const int32_t *ids, int64_t count, enum split_number number,
                             const struct dataset *d, struct dataset_split *split, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(dataset_sequences(split_name(number), count, d->sequence_length, &split->sequences, err));
    const int64_t used = split->sequences * d->sequence_length + 1;
    split->tokens = malloc((size_t)used * sizeof *split->tokens);
    moe_check(split->tokens != NULL, err, MOE_ENOMEM, "no memory for %lld tokens", (long long)used);
    memcpy(split->tokens, ids, (size_t)used * sizeof *ids);
    const int32_t unk = tokenizer_unk(d->tokenizer);
    int64_t unknown = 0;
    for (int64_t i = 0; i < used; i++) {
        unknown += split->tokens[i] == unk;
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
    moe_try(encode_texts(texts, limit, d, &ids, err));
    moe_try(plan_held_out(r, ids.count, &train, &validation, err));
    moe_try(fill_split(ids.ids, train, SPLIT_TRAIN, d, &d->train, err));
    moe_try(fill_split(ids.ids + train, validation, SPLIT_VALIDATION, d, &d->validation, err));
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status fill_from(const struct text_set *texts, enum split_number number, int64_t wanted,
                            struct dataset *d, struct dataset_split *split, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    moe_try(encode_texts(texts, wanted, d, &ids, err));
    moe_try(check_enough(number, wanted, ids.count, err));
    moe_try(fill_split(ids.ids, ids.count, number, d, split, err));
out:
    token_buffer_free(&ids);
    return status;
}

moe_status dataset_fill_text(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct text_set train = {0}, validation = {0};
    moe_check(request->num_train_files > 0, err, MOE_ECONFIG, "source \"text\" needs data.train_files");
    moe_try(read_texts(request, SPLIT_TRAIN, &train, err));
    moe_try(read_texts(request, SPLIT_VALIDATION, &validation, err));
    moe_try(check_disjoint(&train, &validation, err));
    moe_try(open_tokenizer(request, &train, &d->tokenizer, err));
    if (validation.count == 0) {
        moe_try(fill_held_out(request, &train, d, err));
    } else {
        moe_try(fill_from(&train, SPLIT_TRAIN, request->train_tokens, d, &d->train, err));
        moe_try(fill_from(&validation, SPLIT_VALIDATION, request->validation_tokens, d, &d->validation, err));
    }
out:
    text_set_free(&train);
    text_set_free(&validation);
    return status;
}
