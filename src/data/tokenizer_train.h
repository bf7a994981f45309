/* tokenizer_train.h - `moe data tokenizer train`: a SentencePiece model learned from text files. */
#ifndef DATA_TOKENIZER_TRAIN_H
#define DATA_TOKENIZER_TRAIN_H

#include <stdio.h>

#include "core/status.h"

#define TOKENIZER_TRAIN_MAX_FILES 16

struct tokenizer_training {
    const char *files[TOKENIZER_TRAIN_MAX_FILES]; /* paths, read in this order */
    int32_t num_files;
    const char *out; /* the model file */
    int32_t vocab_size;
    bool unigram; /* else BPE */
    bool lower;   /* learn from the text with A-Z made a-z */
    bool force;   /* replace a model that is there */
};

/* Learns from each line that has a word (spm_train in spm_shim.h says how), document markers left out, writes
 * the model, and tells `out` how many tokens each file has with it. Same texts and settings, same bytes (of
 * one version of the library). MOE_EEXIST: the model is there already. MOE_ECONFIG: vocab_size does not fit
 * the text. Errors of the files as in text_file.h. */
moe_status tokenizer_train(const struct tokenizer_training *what, FILE *out, moe_err *err);

#endif
