#include "train/data_request.h"

_Static_assert((int)DATA_MAX_FILES <= (int)DATASET_MAX_FILES && (int)DATA_MAX_FILES <= (int)IMAGE_MAX_FILES,
               "a request has room for all files");
_Static_assert((int)DATA_STORY_DOMAINS == (int)DATASET_STORY_DOMAINS, "a weight for each domain");

struct dataset_request data_request_of(const struct experiment *e, const char *data_dir) {
    const struct data_config *d = &e->data;
    struct dataset_request request = {
        .kind = d->source == DATA_UNIFORM   ? DATASET_UNIFORM
                : d->source == DATA_STORIES ? DATASET_STORIES
                : d->source == DATA_MIXTURE ? DATASET_MIXTURE
                                            : DATASET_TEXT,
        .data_dir = data_dir,
        .num_train_files = d->num_train_files,
        .num_validation_files = d->num_validation_files,
        .tokenizer = d->tokenizer == TOKENIZER_WORD   ? TOKENIZE_WORD
                     : d->tokenizer == TOKENIZER_BYTE ? TOKENIZE_BYTE
                                                      : TOKENIZE_SENTENCEPIECE,
        .tokenizer_file = d->tokenizer_file[0] != '\0' ? d->tokenizer_file : NULL,
        .vocab_size = e->model.vocab_size,
        .train_tokens = d->train_tokens,
        .validation_tokens = d->validation_tokens,
        .sequence_length = d->sequence_length,
        .seed = d->seed,
        .choice_questions = d->choice_questions,
    };
    for (int32_t i = 0; i < d->num_train_files; i++) {
        request.train_files[i] = d->train_files[i];
        request.file_weights[i] = d->num_file_weights > 0 ? d->file_weights[i] : 1;
    }
    for (int32_t i = 0; i < d->num_validation_files; i++)
        request.validation_files[i] = d->validation_files[i];
    for (int32_t i = 0; i < DATA_STORY_DOMAINS; i++)
        request.story_weights[i] = d->num_story_weights > 0 ? d->story_weights[i] : 1;
    return request;
}

struct image_request image_request_of(const struct experiment *e, const char *data_dir) {
    const struct data_config *d = &e->data;
    struct image_request request = {
        .kind = d->source == DATA_CIFAR10 ? IMAGES_CIFAR : IMAGES_GENERATED,
        .data_dir = data_dir,
        .num_train_files = d->num_train_files,
        .num_test_files = d->num_validation_files,
        .train_images = d->train_images,
        .test_images = d->test_images,
        .seed = d->seed,
    };
    for (int32_t i = 0; i < d->num_train_files; i++)
        request.train_files[i] = d->train_files[i];
    for (int32_t i = 0; i < d->num_validation_files; i++)
        request.test_files[i] = d->validation_files[i];
    return request;
}
