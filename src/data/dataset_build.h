/* dataset_build.h - the kinds of dataset that dataset_open() chooses from; private to this folder. */
#ifndef DATA_DATASET_BUILD_H
#define DATA_DATASET_BUILD_H

#include "data/dataset.h"
#include "data/stories_spelling.h"
#include "data/text_file.h"
#include "data/token_buffer.h"

enum split_number { SPLIT_TRAIN = 0, SPLIT_VALIDATION = 1 }; /* also the step of RNG_DATA */

/* Each fills splits, domains, floors, origins and tokenizer of a zeroed dataset. */
moe_status dataset_fill_uniform(const struct dataset_request *request, struct dataset *d, moe_err *err);
moe_status dataset_fill_stories(const struct dataset_request *request, struct dataset *d, moe_err *err);
moe_status dataset_fill_text(const struct dataset_request *request, struct dataset *d, moe_err *err);
moe_status dataset_fill_mixture(const struct dataset_request *request, struct dataset *d, moe_err *err);

/* The tokenizer of a text dataset, and of a mixture. */
moe_status dataset_text_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                  moe_err *err);
moe_status dataset_mixture_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                     moe_err *err);

/* Fills tokens [count] with the start of a domain's stream of stories. */
moe_status dataset_story_block(const struct story_spelling *spelling, struct rng_key key, int32_t domain,
                               int64_t count, int32_t *tokens, moe_err *err);

/* Names of the stories' domains and their floors, from domain 1 on. */
moe_status dataset_describe_stories(const struct story_spelling *spelling, struct dataset *d, moe_err *err);

/* Adds request->choice_questions questions and their domain, the last one; nothing if there are none. */
moe_status dataset_add_choice(const struct dataset_request *request, const struct story_spelling *spelling,
                              struct dataset *d, moe_err *err);

/* The text files of a split. */
struct text_set {
    struct text_file files[DATASET_MAX_FILES];
    int32_t count;
};

moe_status dataset_read_texts(const struct dataset_request *request, enum split_number number,
                              struct text_set *set, moe_err *err);
void text_set_free(struct text_set *set);

/* MOE_ECONFIG if a text stands in both splits. */
moe_status dataset_check_disjoint(const struct text_set *train, const struct text_set *validation,
                                  moe_err *err);

/* The request's tokenizer of bytes or pieces. */
moe_status dataset_open_fixed_tokenizer(const struct dataset_request *request,
                                        struct tokenizer **out_tokenizer, moe_err *err);

/* Appends the ids of a text, `limit` at most (0: all), and makes it an origin. */
moe_status dataset_encode_text(const struct dataset_request *request, const struct text_file *text,
                               int64_t limit, struct dataset *d, struct token_buffer *ids, moe_err *err);

/* Makes a model file of pieces an origin. */
void dataset_add_tokenizer(const struct dataset_request *request, struct dataset *d);

/* Sequences of T that n tokens give: (n - 1) / T, or an error that names the split when there is none. */
moe_status dataset_sequences(const char *split, int64_t tokens, int32_t sequence_length,
                             int64_t *out_sequences, moe_err *err);

/* Records a generated stream: name is "KIND split, seed S", the hash that of its ids. */
moe_status dataset_add_generated(struct dataset *d, const char *kind, enum split_number number, uint64_t seed,
                                 const int32_t *tokens, int64_t count, moe_err *err);

/* "train" or "validation" */
const char *split_name(enum split_number number);

#endif
