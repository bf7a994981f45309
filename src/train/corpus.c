#include "train/corpus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/data_request.h"

_Static_assert(CORPUS_TRAINING_DOMAIN < DATASET_MAX_DOMAINS, "room for all domains");
_Static_assert(2 * IMAGE_MAX_FILES <= sizeof((struct dataset *)0)->origins / sizeof(struct dataset_origin),
               "an origin for each file");

static void describe_split(const struct image_set *set, struct dataset_split *split) {
    split->sequences = set->count;
    split->unk_share = NAN;
}

/* Domain 1 + c of an image of class c. */
static moe_status describe_classes(const struct image_data *images, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    d->domains = CORPUS_TRAINING_DOMAIN + 1;
    snprintf(d->domain_names[CORPUS_TRAINING_DOMAIN], sizeof d->domain_names[0], "training batches");
    snprintf(d->domain_names[0], sizeof d->domain_names[0], "all");
    for (int c = 0; c < IMAGE_CLASSES; c++)
        snprintf(d->domain_names[1 + c], sizeof d->domain_names[1 + c], "%s", images->class_names[c]);
    for (int i = 0; i < DATASET_MAX_DOMAINS; i++)
        d->entropy_floor[i] = NAN;
    d->validation.domain = malloc((size_t)images->test.count + 1);
    moe_check(d->validation.domain != NULL, err, MOE_ENOMEM, "no memory for %lld labels",
              (long long)images->test.count);
    for (int64_t i = 0; i < images->test.count; i++)
        d->validation.domain[i] = (uint8_t)(1 + images->test.labels[i]);
out:
    return status;
}

static moe_status describe_images(const struct image_data *images, struct dataset **out_data, moe_err *err) {
    moe_status status = MOE_OK;
    struct dataset *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for a dataset");
    d->sequence_length = 1;
    d->vocab_size = IMAGE_CLASSES;
    describe_split(&images->train, &d->train);
    describe_split(&images->test, &d->validation);
    moe_try(describe_classes(images, d, err));
    d->num_origins = images->num_origins;
    for (int32_t i = 0; i < images->num_origins; i++) {
        const struct image_origin *from = &images->origins[i];
        struct dataset_origin *to = &d->origins[i];
        snprintf(to->name, sizeof to->name, "%s", from->name);
        snprintf(to->sha256, sizeof to->sha256, "%s", from->sha256);
        to->tokens = from->images;
    }
    *out_data = d;
    d = NULL;
out:
    dataset_close(d);
    return status;
}

moe_status corpus_open(const struct experiment *e, const char *data_dir, const char *suite_dir,
                       const char *cache_dir, struct corpus *out_corpus, moe_err *err) {
    moe_status status = MOE_OK;
    struct corpus c = {0};
    if (experiment_has_images(e)) {
        const struct image_request request = image_request_of(e, data_dir);
        moe_try(image_data_open(&request, &c.images, err));
        moe_try(describe_images(c.images, &c.data, err));
    } else {
        struct dataset_request request = data_request_of(e, data_dir);
        request.suite_dir = suite_dir;
        request.cache_dir = cache_dir;
        moe_try(dataset_open(&request, &c.data, err));
    }
    *out_corpus = c;
    c = (struct corpus){0};
out:
    corpus_close(&c);
    return status;
}

void corpus_close(struct corpus *c) {
    dataset_close(c->data);
    image_data_close(c->images);
    memset(c, 0, sizeof *c);
}

moe_status corpus_batch_create(struct corpus_batch *b, const struct corpus *c, int64_t batch, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t rows = (size_t)batch * (size_t)c->data->sequence_length;
    *b = (struct corpus_batch){0};
    b->tokens = calloc(rows + 1, sizeof *b->tokens);
    b->targets = calloc(rows + 1, sizeof *b->targets);
    if (c->images != NULL) b->images = calloc((size_t)batch * IMAGE_VALUES + 1, sizeof *b->images);
    moe_check(b->tokens != NULL && b->targets != NULL && (c->images == NULL || b->images != NULL), err,
              MOE_ENOMEM, "no memory for a batch of %zu %s", rows, c->images != NULL ? "images" : "tokens");
out:
    if (status != MOE_OK) corpus_batch_free(b);
    return status;
}

void corpus_batch_free(struct corpus_batch *b) {
    free(b->tokens);
    free(b->targets);
    free(b->images);
    memset(b, 0, sizeof *b);
}

void corpus_batch_read(const struct corpus *c, bool training, const int64_t *numbers, int64_t count,
                       struct corpus_batch *b) {
    if (c->images != NULL) {
        image_batch(training ? &c->images->train : &c->images->test, numbers, 0, count, b->images,
                    b->targets);
    } else {
        dataset_batch(training ? &c->data->train : &c->data->validation, c->data->sequence_length, numbers,
                      count, b->tokens, b->targets);
    }
}
