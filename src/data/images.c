#include "data/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/image_generator.h"

static const char *const split_names[] = {"train", "test"};
static const char *const file_keys[] = {"train_files", "validation_files"};

static moe_status check_records(const unsigned char *bytes, size_t size, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t records = size / IMAGE_RECORD;
    moe_check(size > 0, err, MOE_EFORMAT, "%s: the file is empty; fetch it again or name another", name);
    moe_check(
        size % IMAGE_RECORD == 0, err, MOE_EFORMAT,
        "%s: %zu bytes: record %zu has %zu of %d bytes; the file is cut off or not in CIFAR-10's binary "
        "format",
        name, size, records, size % IMAGE_RECORD, IMAGE_RECORD);
    for (size_t i = 0; i < records; i++) {
        const unsigned label = bytes[i * IMAGE_RECORD];
        moe_check(label < IMAGE_CLASSES, err, MOE_EFORMAT,
                  "%s: record %zu (offset %zu) has label %u, not 0 to %d; the file is damaged or not in "
                  "CIFAR-10's binary format",
                  name, i, i * IMAGE_RECORD, label, IMAGE_CLASSES - 1);
    }
out:
    return status;
}

static moe_status grow(struct image_set *set, int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    uint8_t *images = realloc(set->images, (size_t)count * IMAGE_VALUES);
    if (images != NULL) set->images = images;
    uint8_t *labels = realloc(set->labels, (size_t)count);
    if (labels != NULL) set->labels = labels;
    moe_check(images != NULL && labels != NULL, err, MOE_ENOMEM, "no memory for %lld images",
              (long long)count);
out:
    return status;
}

moe_status image_set_append(struct image_set *set, const unsigned char *bytes, size_t size, int64_t most,
                            const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(check_records(bytes, size, name, err));
    const int64_t records = (int64_t)(size / IMAGE_RECORD), taken = records < most ? records : most;
    if (taken <= 0) goto out;
    moe_try(grow(set, set->count + taken, err));
    for (int64_t i = 0; i < taken; i++) {
        const unsigned char *record = bytes + i * IMAGE_RECORD;
        set->labels[set->count] = record[0];
        memcpy(set->images + set->count * IMAGE_VALUES, record + 1, IMAGE_VALUES);
        set->count++;
    }
out:
    return status;
}

void image_set_free(struct image_set *set) {
    free(set->images);
    free(set->labels);
    *set = (struct image_set){0};
}

/* Appends at most `most` images of a file and notes where they come from. */
static moe_status read_file(const char *folder, const char *name, int64_t most, struct image_set *set,
                            struct image_data *d, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *bytes = NULL;
    size_t size = 0;
    struct image_origin *origin = &d->origins[d->num_origins];
    const int64_t before = set->count;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", name);
    moe_check(file_exists(path), err, MOE_ENOTFOUND,
              "%s: no such file; get it with `moe data fetch cifar10`, make one with `moe data images` or "
              "point --data-dir at the folder that has it",
              path);
    moe_try(file_read_all(path, SIZE_MAX / 2, &bytes, &size, err));
    moe_try(image_set_append(set, bytes, size, most, path, err));
    moe_try(hash_sha256(bytes, size, origin->sha256, err));
    for (int32_t i = 0; i < d->num_origins; i++) {
        moe_check(strcmp(origin->sha256, d->origins[i].sha256) != 0, err, MOE_ECONFIG,
                  "%s has the same content as %s; a file may stand in one split only, and once", name,
                  d->origins[i].name);
    }
    snprintf(origin->name, sizeof origin->name, "%s", name);
    origin->images = set->count - before;
    d->num_origins++;
out:
    free(bytes);
    free(path);
    return status;
}

static moe_status read_split(const struct image_request *r, enum image_split split, struct image_set *set,
                             struct image_data *d, moe_err *err) {
    moe_status status = MOE_OK;
    const bool train = split == IMAGE_TRAIN;
    const char *const *files = train ? r->train_files : r->test_files;
    const int32_t num_files = train ? r->num_train_files : r->num_test_files;
    const int64_t wanted = train ? r->train_images : r->test_images;
    moe_check(num_files > 0, err, MOE_ECONFIG, "the %s split has no files; name some in data.%s",
              split_names[split], file_keys[split]);
    for (int32_t i = 0; i < num_files && (wanted == 0 || set->count < wanted); i++) {
        moe_try(read_file(r->data_dir, files[i], wanted == 0 ? INT64_MAX : wanted - set->count, set, d, err));
    }
    moe_check(wanted == 0 || set->count == wanted, err, MOE_ECONFIG,
              "%s split: %lld images in its files, but data.%s_images is %lld; name more files or ask for "
              "fewer images",
              split_names[split], (long long)set->count, split_names[split], (long long)wanted);
out:
    return status;
}

/* One class name a line; what follows the last is blank. */
static moe_status parse_class_names(const char *text, const char *path, struct image_data *d, moe_err *err) {
    moe_status status = MOE_OK;
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        const size_t length = strcspn(text, "\r\n");
        moe_check(length > 0 && length < sizeof d->class_names[i], err, MOE_EFORMAT,
                  "%s: line %d has %zu bytes; %d names of classes are expected, one a line, each of 1 to %zu "
                  "bytes",
                  path, i + 1, length, IMAGE_CLASSES, sizeof d->class_names[i] - 1);
        memcpy(d->class_names[i], text, length);
        d->class_names[i][length] = '\0';
        text += length;
        text += *text == '\r';
        text += *text == '\n';
    }
    moe_check(text[strspn(text, " \t\r\n")] == '\0', err, MOE_EFORMAT, "%s: more than %d lines", path,
              IMAGE_CLASSES);
out:
    return status;
}

static moe_status read_class_names(const struct image_request *r, struct image_data *d, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *text = NULL;
    char *first = path_join(r->data_dir, r->train_files[0]), *folder = NULL, *path = NULL;
    moe_check(first != NULL && (folder = path_folder(first)) != NULL &&
                  (path = path_join(folder, "batches.meta.txt")) != NULL,
              err, MOE_ENOMEM, "no memory for a path");
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        snprintf(d->class_names[i], sizeof d->class_names[i], "class %d", i);
    }
    if (!file_exists(path)) goto out;
    moe_try(file_read_all(path, 1 << 16, &text, NULL, err));
    moe_try(parse_class_names((const char *)text, path, d, err));
out:
    free(text);
    free(path);
    free(folder);
    free(first);
    return status;
}

static moe_status generate_split(const struct image_request *r, enum image_split split, struct image_set *set,
                                 struct image_data *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct hash_stream *hash = NULL;
    struct image_origin *origin = &d->origins[d->num_origins++];
    const int64_t count = split == IMAGE_TRAIN ? r->train_images : r->test_images;
    moe_try(grow(set, count, err));
    moe_try(hash_sha256_new(&hash, err));
    for (set->count = 0; set->count < count; set->count++) {
        uint8_t *values = set->images + set->count * IMAGE_VALUES, *label = set->labels + set->count;
        *label = image_generator_paint(r->seed, split, set->count, values);
        moe_try(hash_sha256_update(hash, label, 1, err));
        moe_try(hash_sha256_update(hash, values, IMAGE_VALUES, err));
    }
    snprintf(origin->name, sizeof origin->name, "images %s, seed %llu", split_names[split],
             (unsigned long long)r->seed);
    origin->images = count;
    status = hash_sha256_final(hash, origin->sha256, err);
    hash = NULL;
out:
    hash_sha256_free(hash);
    return status;
}

static moe_status check_request(const struct image_request *r, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(r->kind == IMAGES_GENERATED || r->kind == IMAGES_CIFAR, err, MOE_EARG,
              "%d is no kind of images", (int)r->kind);
    moe_check(r->train_images >= 0 && r->test_images >= 0, err, MOE_ECONFIG,
              "data.train_images is %lld and data.test_images %lld; neither may be negative",
              (long long)r->train_images, (long long)r->test_images);
    moe_check(r->kind == IMAGES_CIFAR || (r->train_images > 0 && r->test_images > 0), err, MOE_ECONFIG,
              "generated images have no end: set data.train_images and data.test_images");
    moe_check(r->train_images <= INT32_MAX && r->test_images <= INT32_MAX, err, MOE_ECONFIG,
              "data.train_images is %lld and data.test_images %lld; at most %d are possible",
              (long long)r->train_images, (long long)r->test_images, INT32_MAX);
    moe_check(r->num_train_files >= 0 && r->num_train_files <= IMAGE_MAX_FILES && r->num_test_files >= 0 &&
                  r->num_test_files <= IMAGE_MAX_FILES,
              err, MOE_ECONFIG, "%d training and %d test files; at most %d each are possible",
              r->num_train_files, r->num_test_files, IMAGE_MAX_FILES);
out:
    return status;
}

moe_status image_data_open(const struct image_request *request, struct image_data **out_data, moe_err *err) {
    moe_status status = MOE_OK;
    struct image_data *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for images");
    moe_try(check_request(request, err));
    if (request->kind == IMAGES_GENERATED) {
        for (int i = 0; i < IMAGE_CLASSES; i++) {
            snprintf(d->class_names[i], sizeof d->class_names[i], "%s", image_generator_class(i));
        }
        moe_try(generate_split(request, IMAGE_TRAIN, &d->train, d, err));
        moe_try(generate_split(request, IMAGE_TEST, &d->test, d, err));
    } else {
        moe_try(read_split(request, IMAGE_TRAIN, &d->train, d, err));
        moe_try(read_split(request, IMAGE_TEST, &d->test, d, err));
        moe_try(read_class_names(request, d, err));
    }
    *out_data = d;
    d = NULL;
out:
    image_data_close(d);
    return status;
}

void image_data_close(struct image_data *d) {
    if (d == NULL) return;
    image_set_free(&d->train);
    image_set_free(&d->test);
    free(d);
}

void image_batch(const struct image_set *set, const int64_t *order, int64_t first, int64_t count,
                 float *images, int32_t *labels) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t number = order == NULL ? first + i : order[first + i];
        const uint8_t *from = set->images + number * IMAGE_VALUES;
        float *to = images + i * IMAGE_VALUES;
        for (int j = 0; j < IMAGE_VALUES; j++) {
            to[j] = ((float)from[j] / 255.0f - IMAGE_MEAN) / IMAGE_DEVIATION;
        }
        labels[i] = set->labels[number];
    }
}
