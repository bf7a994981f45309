/* test: rooms=model label=fast */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"
#include "model/safetensors.h"

static char folder[] = "/tmp/test_safetensors.XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/t.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static const float weight[6] = {1.0f, -2.5f, 3.0f, 1e-30f, -0.0f, 65504.0f};
static const double moment[2] = {1.0 / 3.0, -7.0};
static const int64_t step[1] = {123456789012345};
static const int32_t ids[3] = {1, -2, 3};

/* A checkpoint in small: several types, one scalar, one empty tensor, metadata. */
static moe_status write_sample(const char *to, unsigned flags, moe_err *err) {
    const struct safetensors_source tensors[] = {
        {"weight", SAFETENSORS_F32, 2, {2, 3}, weight}, {"step", SAFETENSORS_I64, 0, {0}, step},
        {"moment", SAFETENSORS_F64, 1, {2}, moment},    {"ids", SAFETENSORS_I32, 1, {3}, ids},
        {"empty", SAFETENSORS_F32, 2, {0, 7}, NULL},
    };
    const struct safetensors_entry metadata[] = {{"run", "a \"quoted\"\nname"}, {"code", "1.0"}};
    return safetensors_write(to, tensors, 5, metadata, 2, flags, err);
}

static unsigned char *sample_bytes(unsigned flags, size_t *out_size) {
    unsigned char *bytes = NULL;
    moe_err err = {0};
    if (write_sample(path, flags, &err) != MOE_OK ||
        file_read_all(path, 1 << 20, &bytes, out_size, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return bytes;
}

static void what_was_written_is_read(void **state) {
    (void)state;
    struct safetensors *file = NULL;
    const struct safetensors_tensor *tensor = NULL;
    moe_err err = {0};
    float f[6];
    int64_t i64 = 0;
    assert_int_equal(write_sample(path, SAFETENSORS_CHECKSUM, &err), MOE_OK);
    assert_int_equal(safetensors_open(path, SAFETENSORS_CHECKSUM, &file, &err), MOE_OK);
    assert_int_equal(safetensors_count(file), 5);
    assert_string_equal(safetensors_at(file, 0)->name, "empty");
    assert_string_equal(safetensors_at(file, 4)->name, "weight");
    assert_null(safetensors_at(file, 5));
    assert_null(safetensors_find(file, "weigh"));
    assert_string_equal(safetensors_metadata(file, "run"), "a \"quoted\"\nname");
    assert_null(safetensors_metadata(file, "absent"));

    assert_int_equal(safetensors_require(file, "weight", 2, (int64_t[]){2, 3}, &tensor, &err), MOE_OK);
    assert_int_equal(tensor->offset % 4, 0);
    assert_int_equal(safetensors_read_float(file, tensor, f, &err), MOE_OK);
    assert_memory_equal(f, weight, sizeof weight);
    tensor = safetensors_find(file, "step");
    assert_int_equal(tensor->count, 1);
    assert_int_equal(safetensors_read(file, tensor, SAFETENSORS_I64, &i64, &err), MOE_OK);
    assert_int_equal(i64, step[0]);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "moment"), f, &err), MOE_OK);
    assert_true(f[0] == (float)moment[0] && f[1] == -7.0f);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "ids"), f, &err), MOE_OK);
    assert_true(f[0] == 1.0f && f[1] == -2.0f && f[2] == 3.0f);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "empty"), NULL, &err), MOE_OK);
    safetensors_close(file);
}

static void wrong_requests_name_file_tensor_and_shapes(void **state) {
    (void)state;
    struct safetensors *file = NULL;
    const struct safetensors_tensor *tensor = NULL;
    moe_err err = {0};
    double d[6];
    assert_int_equal(write_sample(path, 0, &err), MOE_OK);
    assert_int_equal(safetensors_open(path, 0, &file, &err), MOE_OK);
    assert_int_equal(safetensors_require(file, "bias", 1, (int64_t[]){3}, &tensor, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "bias"));
    assert_int_equal(safetensors_require(file, "weight", 2, (int64_t[]){3, 2}, &tensor, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "weight has shape [2, 3], expected [3, 2]"));
    assert_int_equal(safetensors_require(file, "weight", 1, (int64_t[]){2}, &tensor, &err), MOE_EMISMATCH);
    assert_int_equal(safetensors_read(file, safetensors_find(file, "weight"), SAFETENSORS_F64, d, &err),
                     MOE_EMISMATCH);
    safetensors_close(file);
    file = NULL;
    assert_int_equal(safetensors_open("/nonexistent/x", 0, &file, &err), MOE_ENOTFOUND);
    assert_int_equal(safetensors_open(folder, 0, &file, &err), MOE_EIO);
    assert_int_equal(safetensors_open(path, SAFETENSORS_CHECKSUM, &file, &err), MOE_EFORMAT);
    assert_non_null(strstr(err.message, "no checksum"));
    assert_null(file);
}

static void equal_content_gives_equal_bytes(void **state) {
    (void)state;
    const struct safetensors_source one[] = {{"b", SAFETENSORS_I32, 1, {3}, ids},
                                             {"a", SAFETENSORS_F32, 1, {6}, weight}};
    const struct safetensors_source two[] = {one[1], one[0]};
    const struct safetensors_entry meta_one[] = {{"x", "1"}, {"w", "2"}},
                                   meta_two[] = {meta_one[1], meta_one[0]};
    unsigned char *first = NULL, *second = NULL;
    size_t first_size = 0, second_size = 0;
    assert_int_equal(safetensors_write(path, one, 2, meta_one, 2, SAFETENSORS_CHECKSUM, NULL), MOE_OK);
    assert_int_equal(file_read_all(path, 4096, &first, &first_size, NULL), MOE_OK);
    assert_int_equal(safetensors_write(path, two, 2, meta_two, 2, SAFETENSORS_CHECKSUM, NULL), MOE_OK);
    assert_int_equal(file_read_all(path, 4096, &second, &second_size, NULL), MOE_OK);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
}

/* The bytes that the reference implementation (safetensors 0.8.0) writes for the same content. */
static void layout_is_the_reference_layout(void **state) {
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},"
                                 "\"m\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
                                 "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
                                 "\"i\":{\"dtype\":\"I32\",\"shape\":[3],\"data_offsets\":[40,52]}}";
    const struct safetensors_source tensors[] = {{"i", SAFETENSORS_I32, 1, {3}, ids},
                                                 {"w", SAFETENSORS_F32, 2, {2, 3}, weight},
                                                 {"m", SAFETENSORS_F64, 1, {2}, moment}};
    const struct safetensors_entry metadata = {"k", "v"};
    const uint64_t length = (sizeof header - 1 + 7) / 8 * 8;
    unsigned char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(safetensors_write(path, tensors, 3, &metadata, 1, 0, NULL), MOE_OK);
    assert_int_equal(file_read_all(path, 4096, &bytes, &size, NULL), MOE_OK);
    assert_int_equal(size, 8 + length + 52);
    assert_memory_equal(bytes, &length, 8);
    assert_memory_equal(bytes + 8, header, sizeof header - 1);
    for (size_t i = 8 + sizeof header - 1; i < 8 + length; i++)
        assert_int_equal(bytes[i], ' ');
    assert_memory_equal(bytes + 8 + length, moment, 16);
    assert_memory_equal(bytes + 8 + length + 16, weight, 24);
    free(bytes);
}

/* Opens a copy of exactly `size` bytes, so that a sanitizer sees any read past the end, and reads every
 * tensor. */
static moe_status probe(const unsigned char *bytes, size_t size, unsigned flags) {
    unsigned char *copy = malloc(size + (size == 0));
    struct safetensors *file = NULL;
    memcpy(copy, bytes, size);
    moe_status status = safetensors_open_memory("probe", copy, size, flags, &file, NULL);
    for (int64_t i = 0; status == MOE_OK && i < safetensors_count(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(file, i);
        float *out = malloc((size_t)tensor->count * sizeof *out + 1);
        assert_int_equal(safetensors_read_float(file, tensor, out, NULL), MOE_OK);
        free(out);
    }
    safetensors_close(file);
    free(copy);
    return status;
}

static void any_flipped_bit_is_found(void **state) {
    (void)state;
    size_t size = 0;
    unsigned char *bytes = sample_bytes(SAFETENSORS_CHECKSUM, &size);
    assert_int_equal(probe(bytes, size, SAFETENSORS_CHECKSUM), MOE_OK);
    for (size_t i = 0; i < size * 8; i++) {
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        const moe_status status = probe(bytes, size, SAFETENSORS_CHECKSUM);
        if (status != MOE_EFORMAT && status != MOE_ENOTSUP)
            fail_msg("bit %zu of byte %zu: %s", i % 8, i / 8, moe_status_name(status));
        probe(bytes, size, 0); /* without the checksum it may pass, and must not crash */
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    free(bytes);
}

static void any_truncation_or_tail_is_found(void **state) {
    (void)state;
    size_t size = 0;
    unsigned char *bytes = sample_bytes(0, &size);
    unsigned char *longer = malloc(size + 1);
    for (size_t n = 0; n < size; n++)
        assert_int_equal(probe(bytes, n, 0), MOE_EFORMAT);
    memcpy(longer, bytes, size);
    longer[size] = 0;
    assert_int_equal(probe(longer, size + 1, 0), MOE_EFORMAT);
    free(longer);
    free(bytes);
}

/* Status of opening a file with this header and `data` zero bytes behind it. */
static moe_status header_status(const char *header, size_t data, moe_err *err) {
    const uint64_t length = strlen(header);
    unsigned char *bytes = calloc(1, 8 + length + data);
    struct safetensors *file = NULL;
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    const moe_status status = safetensors_open_memory("h", bytes, 8 + length + data, 0, &file, err);
    safetensors_close(file);
    free(bytes);
    return status;
}

static void unsound_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        moe_status status;
        const char *says;
    } cases[] = {
        {"{}", 0, MOE_OK, ""},
        {"{}   ", 0, MOE_OK, ""},
        {"{}", 1, MOE_EFORMAT, "the last tensor ends"},
        {" {}", 0, MOE_EFORMAT, "begin with '{'"},
        {"[]", 0, MOE_EFORMAT, "begin with '{'"},
        {"{} x", 0, MOE_EFORMAT, "not sound JSON"},
        {"{\"a\":3}", 0, MOE_EFORMAT, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, MOE_EFORMAT, "expected an object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, MOE_EFORMAT,
         "expected"},
        {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, MOE_EFORMAT, "dtype"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, MOE_ENOTSUP, "F8_E4M3"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, MOE_EFORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, MOE_EFORMAT, "dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, MOE_EFORMAT, "dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, MOE_ENOTSUP,
         "9"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         MOE_EFORMAT, "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, MOE_EFORMAT,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4,
         MOE_EFORMAT, "JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, MOE_EFORMAT, "give 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, MOE_EFORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, MOE_EFORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, MOE_EFORMAT, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, MOE_EFORMAT, "pair"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, MOE_EFORMAT, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, MOE_EFORMAT, "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, MOE_EFORMAT, "duplicate"},
        {"{\"__metadata__\":[]}", 0, MOE_EFORMAT, "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", 0, MOE_EFORMAT, "not a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        moe_err err = {0};
        const moe_status status = header_status(cases[i].header, cases[i].data, &err);
        if (status != cases[i].status || strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s: %s", cases[i].header, moe_status_name(status), err.message);
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    const size_t depth = 1 << 20;
    char *header = malloc(depth + 1);
    memset(header, '[', depth);
    memcpy(header, "{\"a\":", 5);
    header[depth] = 0;
    assert_int_equal(header_status(header, 0, NULL), MOE_EFORMAT);
    free(header);
}

static void impossible_lengths_are_refused(void **state) {
    (void)state;
    static const uint64_t lengths[] = {
        0, 1, 100, SAFETENSORS_MAX_HEADER + 1, UINT64_MAX, UINT64_MAX - 7, 1ull << 63};
    const size_t size = SAFETENSORS_MAX_HEADER + 64;
    unsigned char *bytes = calloc(1, size);
    struct safetensors *file = NULL;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(bytes, &lengths[i], 8);
        assert_int_equal(safetensors_open_memory("l", bytes, lengths[i] == 100 ? 107 : size, 0, &file, NULL),
                         MOE_EFORMAT);
    }
    free(bytes);
}

static void narrow_types_become_floats(void **state) {
    (void)state;
    /* one, -2, largest half, smallest subnormal half, largest subnormal, -0, infinity */
    static const uint16_t half[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000, 0x7c00};
    static const float half_as_float[] = {1.0f,  -2.0f,          65504.0f, 0x1p-24f, 1023 * 0x1p-24f,
                                          -0.0f, (float)INFINITY};
    static const uint16_t bf16[] = {0x3f80, 0xc049};
    static const float bf16_as_float[] = {1.0f, -3.140625f};
    static const uint8_t bytes[] = {0, 255};
    static const int64_t wide[] = {-5, 16777217};
    const struct safetensors_source tensors[] = {{"bf16", SAFETENSORS_BF16, 1, {2}, bf16},
                                                 {"half", SAFETENSORS_F16, 1, {7}, half},
                                                 {"u8", SAFETENSORS_U8, 1, {2}, bytes},
                                                 {"wide", SAFETENSORS_I64, 1, {2}, wide}};
    struct safetensors *file = NULL;
    float out[7];
    assert_int_equal(safetensors_write(path, tensors, 4, NULL, 0, 0, NULL), MOE_OK);
    assert_int_equal(safetensors_open(path, 0, &file, NULL), MOE_OK);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "half"), out, NULL), MOE_OK);
    assert_memory_equal(out, half_as_float, sizeof half_as_float);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "bf16"), out, NULL), MOE_OK);
    assert_memory_equal(out, bf16_as_float, sizeof bf16_as_float);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "u8"), out, NULL), MOE_OK);
    assert_true(out[0] == 0.0f && out[1] == 255.0f);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "wide"), out, NULL), MOE_OK);
    assert_true(out[0] == -5.0f && out[1] == 16777216.0f);
    safetensors_close(file);
}

static void impossible_tensors_are_not_written(void **state) {
    (void)state;
    const struct safetensors_source twice[] = {{"a", SAFETENSORS_I32, 1, {3}, ids},
                                               {"a", SAFETENSORS_F32, 1, {6}, weight}};
    const struct safetensors_source reserved = {"__metadata__", SAFETENSORS_I32, 1, {3}, ids};
    const struct safetensors_source negative = {"n", SAFETENSORS_I32, 1, {-3}, ids};
    const struct safetensors_source latin1 = {"\xe9", SAFETENSORS_I32, 1, {3}, ids};
    const struct safetensors_entry keys[] = {{"k", "1"}, {"k", "2"}};
    const struct safetensors_entry checksum = {"xxh3_128", "0"};
    unlink(path);
    assert_int_equal(safetensors_write(path, twice, 2, NULL, 0, 0, NULL), MOE_EARG);
    assert_int_equal(safetensors_write(path, &reserved, 1, NULL, 0, 0, NULL), MOE_EARG);
    assert_int_equal(safetensors_write(path, &negative, 1, NULL, 0, 0, NULL), MOE_EARG);
    assert_int_equal(safetensors_write(path, &latin1, 1, NULL, 0, 0, NULL), MOE_EARG);
    assert_int_equal(safetensors_write(path, twice, 1, keys, 2, 0, NULL), MOE_EARG);
    assert_int_equal(safetensors_write(path, twice, 1, &checksum, 1, 0, NULL), MOE_EARG);
    assert_false(file_exists(path));
    assert_int_equal(safetensors_write(path, NULL, 0, NULL, 0, SAFETENSORS_CHECKSUM, NULL), MOE_OK);
}

/* A limit on the size of files stands for a full disk: the write fails half-way. */
static void a_failed_write_leaves_the_old_file(void **state) {
    (void)state;
    const int64_t count = 100000;
    float *large = calloc((size_t)count, sizeof *large);
    const struct safetensors_source tensor = {"large", SAFETENSORS_F32, 1, {count}, large};
    struct rlimit before, limit;
    unsigned char *old = NULL, *now = NULL;
    size_t old_size = 0, now_size = 0;
    char temp[80];
    moe_err err = {0};
    old = sample_bytes(SAFETENSORS_CHECKSUM, &old_size);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 65536;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    const moe_status status = safetensors_write(path, &tensor, 1, NULL, 0, SAFETENSORS_CHECKSUM, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, MOE_EIO);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(file_read_all(path, 1 << 20, &now, &now_size, NULL), MOE_OK);
    assert_int_equal(now_size, old_size);
    assert_memory_equal(now, old, old_size);
    snprintf(temp, sizeof temp, "%s.tmp", path);
    assert_false(file_exists(temp));
    free(large);
    free(old);
    free(now);
}

static void a_file_cut_short_while_open_is_an_error(void **state) {
    (void)state;
    struct safetensors *file = NULL;
    float out[6];
    moe_err err = {0};
    assert_int_equal(write_sample(path, 0, NULL), MOE_OK);
    assert_int_equal(safetensors_open(path, 0, &file, NULL), MOE_OK);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(safetensors_read_float(file, safetensors_find(file, "weight"), out, &err), MOE_EFORMAT);
    assert_non_null(strstr(err.message, "cut short"));
    safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(wrong_requests_name_file_tensor_and_shapes),
        cmocka_unit_test(equal_content_gives_equal_bytes),
        cmocka_unit_test(layout_is_the_reference_layout),
        cmocka_unit_test(any_flipped_bit_is_found),
        cmocka_unit_test(any_truncation_or_tail_is_found),
        cmocka_unit_test(unsound_headers_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(narrow_types_become_floats),
        cmocka_unit_test(impossible_tensors_are_not_written),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(a_file_cut_short_while_open_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
