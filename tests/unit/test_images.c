/* test: rooms=data label=fast */
#include "scratch_folder.h"

#include <math.h>

#include "core/file.h"
#include "core/hash.h"
#include "data/data_command.h"
#include "data/dataset.h"
#include "data/image_generator.h"
#include "data/images.h"

/* Record i of a test file: closed forms, so that each place of the result can be told from any other. */
static uint8_t label_of(int64_t i) {
    return (uint8_t)((3 * i + 1) % IMAGE_CLASSES);
}

static uint8_t value_of(int64_t i, int64_t j) {
    return (uint8_t)((i * 41 + j * 7 + j / 256) % 256);
}

static void fill_records(unsigned char *bytes, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        bytes[i * IMAGE_RECORD] = label_of(first + i);
        for (int64_t j = 0; j < IMAGE_VALUES; j++) {
            bytes[i * IMAGE_RECORD + 1 + j] = value_of(first + i, j);
        }
    }
}

static void write_records(const struct scratch *s, const char *name, int64_t first, int64_t count) {
    char path[128];
    unsigned char *bytes = malloc((size_t)count * IMAGE_RECORD);
    assert_non_null(bytes);
    fill_records(bytes, first, count);
    scratch_write(scratch_path(s, name, path), bytes, (size_t)count * IMAGE_RECORD);
    free(bytes);
}

static void assert_records(const struct image_set *set, int64_t first, int64_t count) {
    assert_int_equal(set->count, count);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(set->labels[i], label_of(first + i));
        for (int64_t j = 0; j < IMAGE_VALUES; j++) {
            assert_int_equal(set->images[i * IMAGE_VALUES + j], value_of(first + i, j));
        }
    }
}

/* Records 0-3 and 4-6 for training, 7-9 for tests. */
static struct image_request write_sample(struct scratch *s) {
    scratch_open(s);
    write_records(s, "one.bin", 0, 4);
    write_records(s, "two.bin", 4, 3);
    write_records(s, "test.bin", 7, 3);
    return (struct image_request){.kind = IMAGES_CIFAR,
                                  .data_dir = s->folder,
                                  .train_files = {"one.bin", "two.bin"},
                                  .num_train_files = 2,
                                  .test_files = {"test.bin"},
                                  .num_test_files = 1};
}

static struct image_data *opened(const struct image_request *request) {
    struct image_data *d = NULL;
    moe_err err = {0};
    if (image_data_open(request, &d, &err) != MOE_OK) fail_msg("%s", err.message);
    return d;
}

static void refused(const struct image_request *request, moe_status want, const char *part) {
    struct image_data *d = NULL;
    moe_err err = {0};
    const moe_status status = image_data_open(request, &d, &err);
    if (status != want || strstr(err.message, part) == NULL) {
        fail_msg("%s \"%s\", not %s \"%s\"", moe_status_name(status), err.message, moe_status_name(want),
                 part);
    }
    assert_null(d);
}

static void files_are_read_in_order(void **state) {
    (void)state;
    struct scratch s;
    char path[128], sha256[HASH_SHA256_HEX];
    const struct image_request request = write_sample(&s);
    struct image_data *d = opened(&request);
    assert_records(&d->train, 0, 7);
    assert_records(&d->test, 7, 3);
    assert_int_equal(d->num_origins, 3);
    assert_string_equal(d->origins[1].name, "two.bin");
    assert_int_equal(d->origins[1].images, 3);
    assert_int_equal(hash_sha256_file(scratch_path(&s, "two.bin", path), sha256, NULL, NULL), MOE_OK);
    assert_string_equal(d->origins[1].sha256, sha256);
    assert_string_equal(d->class_names[9], "class 9");
    image_data_close(d);
    scratch_close(&s);
}

static void limits_take_the_first_images(void **state) {
    (void)state;
    struct scratch s;
    struct image_request request = write_sample(&s);
    request.train_images = 5;
    request.test_images = 2;
    struct image_data *d = opened(&request);
    assert_records(&d->train, 0, 5);
    assert_records(&d->test, 7, 2);
    assert_int_equal(d->origins[1].images, 1);
    image_data_close(d);

    request.train_images = 4;
    request.train_files[1] = "not there"; /* and not needed */
    d = opened(&request);
    assert_records(&d->train, 0, 4);
    assert_int_equal(d->num_origins, 2);
    image_data_close(d);

    request.train_files[1] = "two.bin";
    request.train_images = 8;
    refused(&request, MOE_ECONFIG, "train split: 7 images in its files, but data.train_images is 8");
    scratch_close(&s);
}

static void class_names_stand_beside_the_files(void **state) {
    (void)state;
    struct scratch s;
    char path[128];
    const struct image_request request = write_sample(&s);
    static const char good[] = "a\r\nb\nc\nd\ne\nf\ng\nh\na class with a longer name\nj\n\n",
                      nine[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\n", eleven[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n",
                      wide[] = "a\nb\nthis name of a class does not fit at all\nd\n";
    scratch_path(&s, "batches.meta.txt", path);
    scratch_write(path, good, sizeof good - 1);
    struct image_data *d = opened(&request);
    assert_string_equal(d->class_names[0], "a");
    assert_string_equal(d->class_names[8], "a class with a longer name");
    assert_string_equal(d->class_names[9], "j");
    image_data_close(d);
    scratch_write(path, nine, sizeof nine - 1);
    refused(&request, MOE_EFORMAT, "batches.meta.txt: line 10 has 0 bytes");
    scratch_write(path, eleven, sizeof eleven - 1);
    refused(&request, MOE_EFORMAT, "more than 10 lines");
    scratch_write(path, wide, sizeof wide - 1);
    refused(&request, MOE_EFORMAT, "line 3 has 40 bytes");
    scratch_close(&s);
}

static void bad_files_are_named_with_the_record(void **state) {
    (void)state;
    struct scratch s;
    struct image_request request = write_sample(&s);
    static unsigned char bytes[4 * IMAGE_RECORD];
    char path[128];
    scratch_path(&s, "two.bin", path);

    fill_records(bytes, 4, 4);
    scratch_write(path, bytes, 2 * IMAGE_RECORD + 17);
    refused(&request, MOE_EFORMAT, "two.bin: 6163 bytes: record 2 has 17 of 3073 bytes");
    bytes[3 * IMAGE_RECORD] = 10;
    scratch_write(path, bytes, sizeof bytes);
    refused(&request, MOE_EFORMAT, "two.bin: record 3 (offset 9219) has label 10, not 0 to 9");
    request.train_images = 5; /* the whole file is checked, not only what is taken */
    refused(&request, MOE_EFORMAT, "record 3");
    request.train_images = 0;
    scratch_write(path, bytes, 0);
    refused(&request, MOE_EFORMAT, "two.bin: the file is empty");
    assert_int_equal(remove(path), 0);
    refused(&request, MOE_ENOTFOUND, "two.bin: no such file");
    refused(&request, MOE_ENOTFOUND, "moe data fetch cifar10");
    request.train_files[1] = "."; /* a folder */
    refused(&request, MOE_EIO, "folder");
    scratch_close(&s);
}

static void impossible_requests_are_refused(void **state) {
    (void)state;
    struct scratch s;
    struct image_request request = write_sample(&s);
    request.test_files[0] = "./one.bin";
    refused(&request, MOE_ECONFIG, "./one.bin has the same content as one.bin");
    request.num_test_files = 0;
    refused(&request, MOE_ECONFIG, "the test split has no files");
    request.num_test_files = IMAGE_MAX_FILES + 1;
    refused(&request, MOE_ECONFIG, "at most 8");
    request.num_test_files = 1;
    request.test_images = -1;
    refused(&request, MOE_ECONFIG, "data.test_images -1");
    const struct image_request endless = {.kind = IMAGES_GENERATED, .train_images = 5};
    refused(&endless, MOE_ECONFIG, "set data.train_images and data.test_images");
    const struct image_request other = {.kind = (enum image_kind)7};
    refused(&other, MOE_EARG, "7 is no kind");
    scratch_close(&s);
}

static void batches_are_normalized_and_ordered(void **state) {
    (void)state;
    struct scratch s;
    const struct image_request request = write_sample(&s);
    struct image_data *d = opened(&request);
    static float images[3 * IMAGE_VALUES];
    int32_t labels[3];
    const int64_t order[] = {6, 0, 5, 2, 2};
    image_batch(&d->train, order, 1, 3, images, labels);
    for (int64_t i = 0; i < 3; i++) {
        assert_int_equal(labels[i], label_of(order[1 + i]));
        for (int64_t j = 0; j < IMAGE_VALUES; j++) {
            const double exact = value_of(order[1 + i], j) / 127.5 - 1;
            assert_true(fabs((double)images[i * IMAGE_VALUES + j] - exact) < 1.5e-7);
        }
    }
    image_batch(&d->train, NULL, 4, 2, images, labels);
    assert_int_equal(labels[1], label_of(5));
    d->train.images[0] = 0;
    d->train.images[1] = 255;
    d->train.images[2] = 51;
    d->train.images[3] = 128;
    image_batch(&d->train, NULL, 0, 1, images, labels);
    /* rounded to float at each step, as tensors of bytes are usually normalized */
    const float expected[] = {-1.0f, 1.0f, -0.6f, 0x1.0102p-8f};
    for (int i = 0; i < 4; i++) {
        if (images[i] != expected[i]) fail_msg("%d: %a", i, (double)images[i]);
    }
    image_data_close(d);
    scratch_close(&s);
}

/* The order of an epoch is dataset_shuffle()'s. */
static void an_epoch_sees_each_image_once(void **state) {
    (void)state;
    const struct image_request request = {
        .kind = IMAGES_GENERATED, .train_images = 50, .test_images = 1, .seed = 5};
    struct image_data *d = opened(&request);
    static float images[8 * IMAGE_VALUES];
    int32_t labels[8], classes[IMAGE_CLASSES] = {0};
    int64_t order[50], other[50];
    dataset_shuffle(order, d->train.count, 5, 0);
    dataset_shuffle(other, d->train.count, 5, 1);
    assert_memory_not_equal(order, other, sizeof order);
    for (int64_t first = 0; first < 50; first += 8) {
        const int64_t count = 50 - first < 8 ? 50 - first : 8;
        image_batch(&d->train, order, first, count, images, labels);
        for (int64_t i = 0; i < count; i++) {
            classes[labels[i]]++;
        }
    }
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        assert_int_equal(classes[i], 5);
    }
    image_data_close(d);
}

/* Runs are compared across versions of the program and across machines, so a seed's pictures must never
 * change unnoticed. */
static void a_seed_always_gives_the_same_pictures(void **state) {
    (void)state;
    struct scratch s;
    char path[128], sha256[HASH_SHA256_HEX];
    scratch_open(&s);
    scratch_path(&s, "sub.bin", path);
    assert_int_equal(image_generator_write(7, IMAGE_TRAIN, 100, path, NULL), MOE_OK);
    assert_int_equal(hash_sha256_file(path, sha256, NULL, NULL), MOE_OK);
    assert_string_equal(sha256, "30e0fcb78f4482fae94e54c337dce626d0a1d40d6712f03cd51a9fc83fd8059a");

    struct image_request request = {
        .kind = IMAGES_GENERATED, .train_images = 100, .test_images = 100, .seed = 7};
    struct image_data *d = opened(&request);
    assert_int_equal(d->num_origins, 2);
    assert_string_equal(d->origins[0].name, "images train, seed 7");
    assert_string_equal(d->origins[0].sha256, sha256); /* that of the file it would be */
    assert_string_not_equal(d->origins[1].sha256, sha256);

    const struct image_request from_file = {.kind = IMAGES_CIFAR,
                                            .train_files = {path},
                                            .num_train_files = 1,
                                            .train_images = 99,
                                            .test_files = {scratch_path(&s, "test.bin", (char[128]){0})},
                                            .num_test_files = 1};
    assert_int_equal(image_generator_write(7, IMAGE_TEST, 10, from_file.test_files[0], NULL), MOE_OK);
    struct image_data *same = opened(&from_file);
    assert_memory_equal(same->train.images, d->train.images, 99 * IMAGE_VALUES);
    assert_memory_equal(same->test.images, d->test.images, 10 * IMAGE_VALUES);
    assert_memory_equal(same->test.labels, d->test.labels, 10);
    image_data_close(same);

    request.seed = 8;
    struct image_data *other = opened(&request);
    assert_memory_not_equal(other->train.images, d->train.images, IMAGE_VALUES);
    image_data_close(other);
    image_data_close(d);
    scratch_close(&s);
}

/* Picture i can be had alone, far behind any that was painted before. */
static void pictures_depend_on_their_number_alone(void **state) {
    (void)state;
    static uint8_t first[IMAGE_VALUES], again[IMAGE_VALUES];
    const int64_t far = (int64_t)1 << 40;
    const uint8_t label = image_generator_paint(1, IMAGE_TEST, far, first);
    image_generator_paint(1, IMAGE_TEST, 0, again);
    assert_memory_not_equal(first, again, IMAGE_VALUES);
    assert_int_equal(image_generator_paint(1, IMAGE_TEST, far, again), label);
    assert_memory_equal(first, again, IMAGE_VALUES);
}

static void classes_are_balanced_and_shuffled(void **state) {
    (void)state;
    static uint8_t pixels[IMAGE_VALUES];
    int in_order = 0, starts[IMAGE_CLASSES] = {0};
    for (int64_t decade = 0; decade < 200; decade++) {
        unsigned seen = 0;
        uint8_t last = 0;
        for (int64_t i = 0; i < IMAGE_CLASSES; i++) {
            const uint8_t label = image_generator_paint(3, IMAGE_TRAIN, decade * IMAGE_CLASSES + i, pixels);
            assert_in_range(label, 0, IMAGE_CLASSES - 1);
            seen |= 1u << label;
            if (i == 0) starts[label]++;
            if (i > 0) in_order += label == last + 1;
            last = label;
        }
        assert_int_equal(seen, 1023);
    }
    /* 20 expected with a standard deviation of 4.2; successors follow each other in 1 of 10 pairs */
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        assert_in_range(starts[i], 4, 36);
    }
    assert_in_range(in_order, 130, 230);
}

static double brightness(const uint8_t *pixels, int row, int column) {
    double sum = 0;
    for (int c = 0; c < IMAGE_CHANNELS; c++) {
        sum += pixels[(c * IMAGE_SIDE + row) * IMAGE_SIDE + column];
    }
    return sum;
}

/* Half of the figures are lighter than their surroundings, whatever the class: no sum of pixels tells shapes.
 */
static void light_and_dark_figures_are_equally_frequent(void **state) {
    (void)state;
    static uint8_t pixels[IMAGE_VALUES];
    int light = 0, discs = 0;
    for (int64_t i = 0; i < 2000; i++) {
        const uint8_t label = image_generator_paint(4, IMAGE_TRAIN, i, pixels);
        if (strcmp(image_generator_class(label), "disc") != 0) continue;
        const double corners = brightness(pixels, 0, 0) + brightness(pixels, 0, 31) +
                               brightness(pixels, 31, 0) + brightness(pixels, 31, 31);
        light += 4 * brightness(pixels, 16, 16) > corners;
        discs++;
    }
    assert_int_equal(discs, 200);
    assert_in_range(light, 72, 128); /* four standard deviations */
}

static moe_status command(int argc, const char *const *words, char *text, size_t size, moe_err *err) {
    char *argv[10];
    for (int i = 0; i < argc; i++) {
        argv[i] = strdup(words[i]);
    }
    FILE *out = fmemopen(text, size, "w");
    assert_non_null(out);
    const moe_status status = data_command(argc, argv, out, err);
    fclose(out);
    for (int i = 0; i < argc; i++) {
        free(argv[i]);
    }
    return status;
}

static void the_command_writes_a_file(void **state) {
    (void)state;
    struct scratch s;
    char path[128], text[2048];
    unsigned char *bytes = NULL;
    size_t size = 0;
    moe_err err = {0};
    scratch_open(&s);
    scratch_path(&s, "images.bin", path);
    const char *const words[] = {"data", "images",  "--out", path,       "--count",
                                 "20",   "--split", "test",  "--seed=9", "--force"};
    assert_int_equal(command(9, words, text, sizeof text, &err), MOE_OK);
    assert_non_null(strstr(text, "20 images of 3073 bytes, SHA-256"));
    assert_non_null(strstr(text, "9 striped cross"));
    assert_int_equal(file_read_all(path, 1 << 20, &bytes, &size, NULL), MOE_OK);
    assert_int_equal(size, 20 * IMAGE_RECORD);
    static uint8_t pixels[IMAGE_VALUES];
    assert_int_equal(image_generator_paint(9, IMAGE_TEST, 13, pixels), bytes[13 * IMAGE_RECORD]);
    assert_memory_equal(pixels, bytes + 13 * IMAGE_RECORD + 1, IMAGE_VALUES);
    free(bytes);
    assert_int_equal(command(9, words, text, sizeof text, &err), MOE_EEXIST);
    assert_int_equal(command(10, words, text, sizeof text, &err), MOE_OK);
    assert_int_equal(command(2, words, text, sizeof text, &err), MOE_EUSAGE);
    const char *const split[] = {"data", "images", "--out", path, "--split", "third"};
    assert_int_equal(command(6, split, text, sizeof text, &err), MOE_EUSAGE);
    const char *const nowhere[] = {"data", "images", "--out", "/proc/none/images.bin"};
    err = (moe_err){0};
    assert_int_equal(command(4, nowhere, text, sizeof text, &err), MOE_EIO);
    assert_non_null(strstr(err.message, "/proc/none/images.bin"));
    scratch_close(&s);
}

/* Where $MOE_DATA_DIR has CIFAR-10: its classes are balanced, and the mean of all pixels is the published one
 * (0.4914, 0.4822 and 0.4465 of 255 over the whole training set). */
static void cifar_10_is_read(void **state) {
    (void)state;
    const char *folder = getenv("MOE_DATA_DIR");
    char *path = folder == NULL ? NULL : path_join(folder, "cifar10/data_batch_1.bin");
    const bool there = path != NULL && file_exists(path);
    free(path);
    if (!there) skip();
    const struct image_request request = {.kind = IMAGES_CIFAR,
                                          .data_dir = folder,
                                          .train_files = {"cifar10/data_batch_1.bin"},
                                          .num_train_files = 1,
                                          .test_files = {"cifar10/data_batch_2.bin"},
                                          .num_test_files = 1,
                                          .test_images = 1};
    struct image_data *d = opened(&request);
    assert_int_equal(d->train.count, 10000);
    double mean[IMAGE_CHANNELS] = {0};
    int classes[IMAGE_CLASSES] = {0};
    for (int64_t i = 0; i < d->train.count; i++) {
        classes[d->train.labels[i]]++;
        for (int j = 0; j < IMAGE_VALUES; j++) {
            mean[j / (IMAGE_SIDE * IMAGE_SIDE)] += d->train.images[i * IMAGE_VALUES + j];
        }
    }
    static const double published[IMAGE_CHANNELS] = {0.4914, 0.4822, 0.4465};
    for (int c = 0; c < IMAGE_CHANNELS; c++) {
        assert_true(fabs(mean[c] / (255.0 * IMAGE_SIDE * IMAGE_SIDE * 10000) - published[c]) < 0.005);
    }
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        assert_in_range(classes[i], 900, 1100);
    }
    assert_string_equal(d->class_names[0], "airplane");
    assert_string_equal(d->class_names[9], "truck");
    image_data_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_in_order),
        cmocka_unit_test(limits_take_the_first_images),
        cmocka_unit_test(class_names_stand_beside_the_files),
        cmocka_unit_test(bad_files_are_named_with_the_record),
        cmocka_unit_test(impossible_requests_are_refused),
        cmocka_unit_test(batches_are_normalized_and_ordered),
        cmocka_unit_test(an_epoch_sees_each_image_once),
        cmocka_unit_test(a_seed_always_gives_the_same_pictures),
        cmocka_unit_test(pictures_depend_on_their_number_alone),
        cmocka_unit_test(classes_are_balanced_and_shuffled),
        cmocka_unit_test(light_and_dark_figures_are_equally_frequent),
        cmocka_unit_test(the_command_writes_a_file),
        cmocka_unit_test(cifar_10_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
