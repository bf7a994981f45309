/* dataset_build.h - the kinds of dataset that dataset_open() chooses from; private to this folder. */
#ifndef DATA_DATASET_BUILD_H
#define DATA_DATASET_BUILD_H

#include "data/dataset.h"
#include "data/token_buffer.h"

enum split_number { SPLIT_TRAIN = 0, SPLIT_VALIDATION = 1 }; /* also the step of RNG_DATA */

/* Each fills splits, domains, floors, origins and tokenizer of a zeroed dataset. */
moe_status dataset_fill_uniform(const struct dataset_request *request, struct dataset *d, moe_err *err);
moe_status dataset_fill_stories(const struct dataset_request *request, struct dataset *d, moe_err *err);
moe_status dataset_fill_text(const struct dataset_request *request, struct dataset *d, moe_err *err);

/* The tokenizer of a text dataset. */
moe_status dataset_text_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                  moe_err *err);

/* Sequences of T that n tokens give: (n - 1) / T, or an error that names the split when there is none. */
moe_status dataset_sequences(const char *split, int64_t tokens, int32_t sequence_length,
                             int64_t *out_sequences, moe_err *err);

/* Records a generated stream: name is "KIND split, seed S", the hash that of its ids. */
moe_status dataset_add_generated(struct dataset *d, const char *kind, enum split_number number, uint64_t seed,
                                 const int32_t *tokens, int64_t count, moe_err *err);

/* "train" or "validation" */
const char *split_name(enum split_number number);

#endif
