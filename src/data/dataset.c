#include "data/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/rng.h"
#include "data/choice_set.h"
#include "data/dataset_build.h"
#include "data/stories.h"
#include "data/tokenizer.h"

const char *split_name(enum split_number number) {
    return number == SPLIT_TRAIN ? "train" : "validation";
}

moe_status dataset_sequences(const char *split, int64_t tokens, int32_t sequence_length,
                             int64_t *out_sequences, moe_err *err) {
    *out_sequences = tokens > 0 ? (tokens - 1) / sequence_length : 0;
    if (*out_sequences > 0) return MOE_OK;
    return moe_fail(
        err, MOE_ECONFIG,
        "%s split: %lld tokens are too few for one sequence of %d (it takes %lld); use more text, a larger "
        "data.%s_tokens or a smaller data.sequence_length",
        split, (long long)tokens, sequence_length, (long long)sequence_length + 1, split);
}

moe_status dataset_add_generated(struct dataset *d, const char *kind, enum split_number number, uint64_t seed,
                                 const int32_t *tokens, int64_t count, moe_err *err) {
    struct dataset_origin *origin = &d->origins[d->num_origins++];
    snprintf(origin->name, sizeof origin->name, "%s %s, seed %llu", kind, split_name(number),
             (unsigned long long)seed);
    origin->tokens = count;
    return hash_sha256(tokens, (size_t)count * sizeof *tokens, origin->sha256, err);
}

static moe_status fill_uniform_split(const struct dataset_request *request, enum split_number number,
                                     struct dataset_split *split, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t wanted = number == SPLIT_TRAIN ? request->train_tokens : request->validation_tokens;
    const int32_t T = request->sequence_length;
    moe_try(dataset_sequences(split_name(number), wanted, T, &split->sequences, err));
    const int64_t count = split->sequences * T + 1;
    split->tokens = malloc((size_t)count * sizeof *split->tokens);
    moe_check(split->tokens != NULL, err, MOE_ENOMEM, "no memory for %lld tokens", (long long)count);
    const struct rng_key key = {.seed = request->seed, .stream = RNG_DATA, .step = number};
    for (int64_t i = 0; i < count; i++) {
        split->tokens[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)request->vocab_size);
    }
    split->unk_share = NAN;
    moe_try(dataset_add_generated(d, "uniform", number, request->seed, split->tokens, count, err));
out:
    return status;
}

moe_status dataset_fill_uniform(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(fill_uniform_split(request, SPLIT_TRAIN, &d->train, d, err));
    moe_try(fill_uniform_split(request, SPLIT_VALIDATION, &d->validation, d, err));
    d->entropy_floor[0] = log(request->vocab_size);
out:
    return status;
}

static moe_status check_request(const struct dataset_request *r, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(r->sequence_length > 0, err, MOE_ECONFIG, "data.sequence_length is %d; it must be at least 1",
              r->sequence_length);
    moe_check(r->vocab_size > 0, err, MOE_ECONFIG, "vocab_size is %d; it must be at least 1", r->vocab_size);
    moe_check(r->train_tokens >= 0 && r->validation_tokens >= 0, err, MOE_ECONFIG,
              "data.train_tokens is %lld and data.validation_tokens %lld; neither may be negative",
              (long long)r->train_tokens, (long long)r->validation_tokens);
    moe_check(r->kind == DATASET_TEXT || (r->train_tokens > 0 && r->validation_tokens > 0), err, MOE_ECONFIG,
              "generated data have no end: set data.train_tokens and data.validation_tokens");
    moe_check(r->num_train_files >= 0 && r->num_train_files <= DATASET_MAX_FILES &&
                  r->num_validation_files >= 0 && r->num_validation_files <= DATASET_MAX_FILES,
              err, MOE_ECONFIG, "%d training and %d validation files; at most %d each are possible",
              r->num_train_files, r->num_validation_files, DATASET_MAX_FILES);
    moe_check(r->choice_questions == 0 || r->kind == DATASET_STORIES || r->kind == DATASET_MIXTURE, err,
              MOE_ECONFIG, "data.choice_questions is %d, but only generated stories have endings to ask for",
              r->choice_questions);
out:
    return status;
}

moe_status dataset_open(const struct dataset_request *request, struct dataset **out_dataset, moe_err *err) {
    moe_status status = MOE_OK;
    struct dataset *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for a dataset");
    moe_try(check_request(request, err));
    d->sequence_length = request->sequence_length;
    d->vocab_size = request->vocab_size;
    d->domains = 1;
    snprintf(d->domain_names[0], sizeof d->domain_names[0], "all");
    for (int i = 0; i < DATASET_MAX_DOMAINS; i++) {
        d->entropy_floor[i] = NAN;
    }
    switch (request->kind) {
    case DATASET_UNIFORM:
        moe_try(dataset_fill_uniform(request, d, err));
        break;
    case DATASET_STORIES:
        moe_try(dataset_fill_stories(request, d, err));
        break;
    case DATASET_TEXT:
        moe_try(dataset_fill_text(request, d, err));
        break;
    case DATASET_MIXTURE:
        moe_try(dataset_fill_mixture(request, d, err));
        break;
    default:
        moe_check(false, err, MOE_EARG, "%d is no kind of dataset", (int)request->kind);
    }
    *out_dataset = d;
    d = NULL;
out:
    dataset_close(d);
    return status;
}

static moe_status open_story_words(struct tokenizer **out_tokenizer, moe_err *err) {
    moe_status status = MOE_OK;
    struct stories *s = NULL;
    moe_try(stories_open(&s, err));
    moe_try(stories_tokenizer(s, out_tokenizer, err));
out:
    stories_close(s);
    return status;
}

moe_status dataset_open_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                  moe_err *err) {
    switch (request->kind) {
    case DATASET_STORIES:
        return open_story_words(out_tokenizer, err);
    case DATASET_TEXT:
        return dataset_text_tokenizer(request, out_tokenizer, err);
    case DATASET_MIXTURE:
        return dataset_mixture_tokenizer(request, out_tokenizer, err);
    default:
        return moe_fail(err, MOE_ENOTFOUND, "uniform random tokens have no tokenizer: they are no text");
    }
}

void dataset_close(struct dataset *d) {
    if (d == NULL) return;
    free(d->train.tokens);
    free(d->train.domain);
    free(d->validation.tokens);
    free(d->validation.domain);
    tokenizer_free(d->tokenizer);
    choice_set_free(d->choice);
    free(d);
}

void dataset_shuffle(int64_t *order, int64_t sequences, uint64_t seed, uint32_t epoch) {
    const struct rng_key key = {.seed = seed, .stream = RNG_SHUFFLE, .step = epoch};
    for (int64_t i = 0; i < sequences; i++) {
        order[i] = i;
    }
    for (int64_t i = sequences - 1; i > 0; i--) {
        const int64_t j = (int64_t)rng_below(key, (uint64_t)i, (uint64_t)i + 1);
        const int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

void dataset_batch(const struct dataset_split *split, int32_t sequence_length,
                   const int64_t *sequence_numbers, int64_t count, int32_t *inputs, int32_t *targets) {
    const size_t bytes = (size_t)sequence_length * sizeof *inputs;
    for (int64_t i = 0; i < count; i++) {
        const int32_t *sequence = split->tokens + sequence_numbers[i] * sequence_length;
        memcpy(inputs + i * sequence_length, sequence, bytes);
        memcpy(targets + i * sequence_length, sequence + 1, bytes);
    }
}
