/* corpus.h - the data of a run as the trainer sees them: token sequences, or labelled images. */
#ifndef TRAIN_CORPUS_H
#define TRAIN_CORPUS_H

#include "data/dataset.h"
#include "data/images.h"
#include "train/experiment.h"

/* The last domain of images: not test images, but the training batches since the evaluation before. */
#define CORPUS_TRAINING_DOMAIN (1 + IMAGE_CLASSES)

/* Images are sequences of one token: `data` then has their numbers, origins, and a domain for each class and
 * for the training batches, but no tokens. */
struct corpus {
    struct dataset *data;
    struct image_data *images; /* NULL for text */
};

/* Reads or generates both splits. data_dir, suite_dir and cache_dir as in struct dataset_request. */
moe_status corpus_open(const struct experiment *e, const char *data_dir, const char *suite_dir,
                       const char *cache_dir, struct corpus *out_corpus, moe_err *err);
void corpus_close(struct corpus *c); /* also of one that is all zeros */

/* Host memory of one batch. */
struct corpus_batch {
    int32_t *tokens, *targets; /* [batch, T]; labels are targets */
    float *images;             /* [batch, IMAGE_VALUES]; NULL for text */
};

/* Room for batches of `batch` sequences of T. */
moe_status corpus_batch_create(struct corpus_batch *b, const struct corpus *c, int64_t batch, moe_err *err);
void corpus_batch_free(struct corpus_batch *b); /* also of one that is all zeros */

/* Sequences (images) numbers[0 .. count-1] of the training split, or of the validation (test) split. */
void corpus_batch_read(const struct corpus *c, bool training, const int64_t *numbers, int64_t count,
                       struct corpus_batch *b);

#endif
