/* images.h - labelled images of 32 x 32 pixels ready for training: CIFAR-10's binary files, or generated
 * ones.
 *
 * The file format (A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html): records without anything
 * between them, each a label (one byte, 0 to 9), then 1024 red, 1024 green and 1024 blue bytes, row by row.
 */
#ifndef DATA_IMAGES_H
#define DATA_IMAGES_H

#include "core/hash.h"
#include "core/status.h"

enum {
    IMAGE_SIDE = 32,
    IMAGE_CHANNELS = 3,
    IMAGE_VALUES = IMAGE_CHANNELS * IMAGE_SIDE * IMAGE_SIDE,
    IMAGE_CLASSES = 10,
    IMAGE_RECORD = 1 + IMAGE_VALUES, /* bytes */
    IMAGE_MAX_FILES = 8
};

/* What a network sees of byte b is (b / 255 - mean) / deviation, one pair of constants for all three
 * channels, each step rounded to float: -1 to 1, as the code behind source B has it. They are not the mean
 * and deviation of CIFAR-10 itself (about 0.47 and 0.25). */
#define IMAGE_MEAN      0.5f
#define IMAGE_DEVIATION 0.5f

enum image_kind { IMAGES_GENERATED = 0, IMAGES_CIFAR = 1 };
enum image_split { IMAGE_TRAIN = 0, IMAGE_TEST = 1 };

struct image_request {
    enum image_kind kind;
    const char *data_dir; /* for files; may be NULL */
    const char *train_files[IMAGE_MAX_FILES], *test_files[IMAGE_MAX_FILES];
    int32_t num_train_files, num_test_files;
    /* How many are used, the first ones, and must be there; 0 = all (files only). */
    int64_t train_images, test_images;
    uint64_t seed; /* of generated images */
};

/* A file, or a split of the generator, that went into the data, for provenance. */
struct image_origin {
    char name[256];
    char sha256[HASH_SHA256_HEX]; /* of the file's bytes; of a generated split as the bytes of such a file */
    int64_t images;               /* taken from it */
};

/* One split. */
struct image_set {
    uint8_t *images; /* [count, IMAGE_VALUES]: channel, row, column */
    uint8_t *labels; /* [count] in [0, IMAGE_CLASSES) */
    int64_t count;
};

struct image_data {
    struct image_set train, test;
    char class_names[IMAGE_CLASSES][32];
    struct image_origin origins[2 * IMAGE_MAX_FILES];
    int32_t num_origins;
};

/* Reads or generates both splits. Names of classes come from the generator, or from batches.meta.txt beside
 * the first training file (a name a line); without it they are "class 0" and so on. A file behind those that
 * suffice is not read. Errors: MOE_ENOTFOUND says which file is missing and how to get it; MOE_EFORMAT names
 * the file and the record (counted from 0) or line; MOE_ECONFIG a request that cannot be filled, or the same
 * content twice, with what to change. */
moe_status image_data_open(const struct image_request *request, struct image_data **out_data, moe_err *err);
void image_data_close(struct image_data *d); /* NULL is allowed */

/* Checks all records of a file's `size` bytes and appends the first `most` of them (or all, if there are
 * fewer) to a set. `name` stands in messages. */
moe_status image_set_append(struct image_set *set, const unsigned char *bytes, size_t size, int64_t most,
                            const char *name, moe_err *err);
void image_set_free(struct image_set *set);

/* A batch as a network takes it: images order[first], ..., order[first + count - 1] of the set, normalized,
 * into images [count, IMAGE_VALUES], and their labels [count]. `order` comes from dataset_shuffle(), one for
 * each epoch; NULL = as they are. */
void image_batch(const struct image_set *set, const int64_t *order, int64_t first, int64_t count,
                 float *images, int32_t *labels);

#endif
