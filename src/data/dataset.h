/* dataset.h - token sequences ready for training, whatever they come from. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "core/status.h"

struct tokenizer;
struct choice_set;

enum dataset_kind { DATASET_UNIFORM = 0, DATASET_STORIES = 1, DATASET_TEXT = 2, DATASET_MIXTURE = 3 };
enum tokenizer_kind { TOKENIZE_WORD = 0, TOKENIZE_BYTE = 1, TOKENIZE_SENTENCEPIECE = 2 };

#define DATASET_MAX_FILES     8
#define DATASET_MAX_DOMAINS   16
#define DATASET_STORY_DOMAINS 6 /* stories.h */

struct dataset_request {
    enum dataset_kind kind;
    const char *data_dir;  /* for text and tokenizer files; may be NULL for generated corpora */
    const char *suite_dir; /* for a tokenizer file that data_dir has not; may be NULL */
    const char *train_files[DATASET_MAX_FILES];
    const char *validation_files[DATASET_MAX_FILES]; /* none: a later part of the training text */
    int32_t num_train_files, num_validation_files;
    enum tokenizer_kind tokenizer;
    const char *tokenizer_file;
    int32_t vocab_size;
    /* How many are used, and must be there; 0 = all (text only). A split of n tokens has (n - 1) / T
     * sequences. */
    int64_t train_tokens, validation_tokens;
    int32_t sequence_length; /* T */
    uint64_t seed;
    /* Mixture: training tokens of each domain of stories and of each training file, in proportion. */
    int32_t story_weights[DATASET_STORY_DOMAINS], file_weights[DATASET_MAX_FILES];
    int32_t choice_questions; /* stories and mixture: choice_set.h; 0 = none */
    const char *cache_dir; /* keep the SentencePiece ids of texts here (token_file.h); NULL = do not keep */
};

/* A file or generator that went into a dataset, for provenance; a SentencePiece model is one, with 0 tokens.
 */
struct dataset_origin {
    char name[256];
    char sha256[65]; /* of the file's bytes, or of the generated ids as little-endian int32 */
    int64_t tokens;  /* taken from it */
};

/* One split: sequence i has inputs tokens[i T .. i T + T) and targets shifted by one. */
struct dataset_split {
    int32_t *tokens; /* [sequences * T + 1, at least] ids in [0, vocab_size) */
    uint8_t *
        domain; /* [sequences] index into dataset.domain_names, >= 1, or NULL when there is one domain only */
    int64_t sequences;
    double unk_share; /* share of <unk> among the tokens; NaN where the tokenizer has none */
};

struct dataset {
    struct dataset_split train, validation;
    int32_t sequence_length, vocab_size;
    int32_t domains; /* >= 1; domain 0 is "all" */
    char domain_names[DATASET_MAX_DOMAINS][32];
    /* Exact entropy of the generator in nats per token, per domain (index 0: mixed as in the validation
     * split), or NaN where it is not known (text). A model's cross-entropy cannot stay below it on fresh
     * data. */
    double entropy_floor[DATASET_MAX_DOMAINS];
    struct dataset_origin origins[2 * DATASET_MAX_FILES + 4];
    int32_t num_origins;
    struct tokenizer *tokenizer; /* turns ids back into text (tokenizer.h); NULL for uniform tokens */
    struct choice_set *choice;   /* questions (choice_set.h), which are the last domain; NULL without */
};

/* Name of the domain of questions. */
#define DATASET_CHOICE_DOMAIN "endings"

/* Reads or generates both splits. Validation never shares a sequence with training: generated splits have
 * independent random numbers, a text file may stand in one split only, and without validation files the
 * validation_tokens (0: a tenth of the text) that follow the training tokens are held out. Errors:
 * MOE_ENOTFOUND says which file is missing and what gets it; MOE_EFORMAT
 * names file and offset; MOE_ECONFIG a request that the data cannot fill, with what to change. */
moe_status dataset_open(const struct dataset_request *request, struct dataset **out_dataset, moe_err *err);
void dataset_close(struct dataset *d); /* NULL is allowed */

/* The tokenizer of the dataset that dataset_open() would open, without the dataset: a vocabulary of words is
 * learned from the training text again, a SentencePiece model is read. The caller frees it. Errors as there;
 * uniform tokens are no text: MOE_ENOTFOUND. */
moe_status dataset_open_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                  moe_err *err);

/* order [sequences] = a permutation of 0 .. sequences-1 that depends only on (seed, epoch) (Fisher-Yates over
 * counter-based numbers, stream RNG_SHUFFLE). */
void dataset_shuffle(int64_t *order, int64_t sequences, uint64_t seed, uint32_t epoch);

/* Copies `count` sequences (by their numbers) into inputs and targets, each [count, T]. */
void dataset_batch(const struct dataset_split *split, int32_t sequence_length,
                   const int64_t *sequence_numbers, int64_t count, int32_t *inputs, int32_t *targets);

#endif
