/* test: rooms=core,record label=fast */
/* Sealed bytes: equal for equal content; after a kill and resume equal everywhere but /timing and
 * /provenance. */
#include "test_record_fixture.h"

#include <malloc.h>

#include <hdf5.h>

#include "record/envelope.h"

enum { STEPS = 60, SUPERBLOCK_END = ENVELOPE_SIZE + 48, RANGES = 64 };

static void test_equal_runs_have_equal_bytes(void **state) {
    char first[256], second[256], hex[65];
    unsigned char *a, *b;
    size_t a_size, b_size;
    (void)state;
    for (int moe = 0; moe < 2; moe++) {
        fix_path(first, moe ? "first-moe.h5" : "first.h5");
        fix_path(second, moe ? "second-moe.h5" : "second.h5");
        mallopt(M_PERTURB, 0x5a); /* memory that nobody wrote would show */
        fix_run(first, STEPS, moe, 0.5, hex);
        mallopt(M_PERTURB, 0xa5);
        fix_run(second, STEPS, moe, 0.5, hex);
        a = fix_read(first, &a_size);
        b = fix_read(second, &b_size);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        free(a);
        free(b);
    }
    mallopt(M_PERTURB, 0);
}

/* Where in a file equal runs may differ. */
struct freedom {
    size_t begin[RANGES], end[RANGES];
    int count;
    size_t data; /* everything from here on */
};

static void free_header(hid_t file, const char *path, struct freedom *f) {
    H5O_info_t info;
    assert_true(f->count < RANGES);
    assert_true(H5Oget_info_by_name2(file, path, &info, H5O_INFO_BASIC | H5O_INFO_HDR, H5P_DEFAULT) >= 0);
    f->begin[f->count] = ENVELOPE_SIZE + (size_t)info.addr;
    f->end[f->count++] = ENVELOPE_SIZE + (size_t)(info.addr + info.hdr.space.total);
}

static size_t chunk_at(hid_t file, const char *path) {
    hsize_t offset[4], size;
    unsigned mask;
    haddr_t at = 0;
    const hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(dataset);
    assert_true(H5Dget_chunk_info(dataset, space, 0, offset, &mask, &at, &size) >= 0);
    H5Sclose(space);
    H5Dclose(dataset);
    return ENVELOPE_SIZE + (size_t)at;
}

/* Envelope and superblock (length and checksums), the headers of /provenance and of timings (sizes of
 * compressed data), and their data, which must lie behind all other data. */
static struct freedom find_freedom(const char *path) {
    struct freedom f = {.begin = {0}, .end = {SUPERBLOCK_END}, .count = 1, .data = SIZE_MAX};
    struct run_reader *r = NULL;
    char dataset[RUN_DATASET_PATH_MAX];
    size_t last_other = 0;
    hid_t file;
    assert_ok(run_reader_open(path, &r, err));
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    free_header(file, "/provenance", &f);
    for (int32_t i = 0; run_reader_dataset(r, i, dataset) != NULL; i++) {
        const bool timing = strncmp(dataset, "/timing/", 8) == 0;
        const size_t at = chunk_at(file, dataset);
        if (timing) free_header(file, dataset, &f);
        if (timing && at < f.data) f.data = at;
        if (!timing && at > last_other) last_other = at;
    }
    assert_true(last_other < f.data);
    run_reader_close(r);
    H5Fclose(file);
    return f;
}

static bool is_free(const struct freedom *f, size_t at) {
    if (at >= f->data) return true;
    for (int i = 0; i < f->count; i++)
        if (at >= f->begin[i] && at < f->end[i]) return true;
    return false;
}

static void test_resumed_run_differs_in_timing_and_provenance_alone(void **state) {
    char straight[256], resumed[256], hex[65], hex2[65];
    struct run_writer *w = NULL;
    unsigned char *a, *b;
    size_t a_size, b_size, differences = 0;
    (void)state;
    fix_path(straight, "straight.h5");
    fix_path(resumed, "resumed.h5");
    fix_run(straight, STEPS, true, 0.5, hex);
    struct run_begin begin = fix_begin(resumed, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, 33, true, 0.7);
    run_writer_close(w);
    const struct run_fact elsewhere[] = {{"host", "elsewhere"}, {"kernel", "another"}};
    const struct run_fact end[] = {{"end", "much later"}};
    begin.facts = elsewhere;
    assert_ok(run_writer_resume(&begin, 30, &w, err));
    fix_steps(w, 31, STEPS, true, 1.9);
    assert_ok(run_writer_seal(w, "max_steps", end, 1, hex2, err));
    assert_string_equal(hex, hex2);

    const struct freedom f = find_freedom(straight), g = find_freedom(resumed);
    assert_int_equal(f.count, g.count);
    assert_int_equal(f.data, g.data);
    a = fix_read(straight, &a_size);
    b = fix_read(resumed, &b_size);
    for (size_t i = 0; i < a_size && i < b_size; i++) {
        if (a[i] == b[i]) continue;
        differences++;
        if (!is_free(&f, i)) fail_msg("byte %zu differs", i);
    }
    assert_true(differences > 0);
    assert_true(f.data < a_size && f.data < b_size);
    free(a);
    free(b);
}

static void count_datasets(hid_t file, const char *path, int *without) {
    const hid_t object = H5Oopen(file, path, H5P_DEFAULT);
    static const char *const wanted[] = {"units", "description", "DIMENSION_LIST"};
    const bool is_scale = H5Aexists(object, "CLASS") > 0;
    for (int i = 0; i < 3; i++)
        if (H5Aexists(object, wanted[i]) <= 0 && !(i == 2 && is_scale)) {
            print_message("%s has no %s\n", path, wanted[i]);
            ++*without;
        }
    if (is_scale && strcmp(path, "/axes/domain") != 0 && H5Aexists(object, "REFERENCE_LIST") <= 0) ++*without;
    H5Oclose(object);
}

static void test_every_dataset_says_what_it_is(void **state) {
    static const char *const axes[] = {"/axes/domain", "/axes/layer", "/axes/expert", "/axes/share"};
    char path[256], hex[65], dataset[RUN_DATASET_PATH_MAX];
    struct run_reader *r = NULL;
    int without = 0;
    hid_t file;
    (void)state;
    fix_path(path, "meaning.h5");
    fix_run(path, 10, true, 0.5, hex);
    assert_ok(run_reader_open(path, &r, err));
    file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    for (int32_t i = 0; run_reader_dataset(r, i, dataset) != NULL; i++)
        count_datasets(file, dataset, &without);
    for (int i = 0; i < 4; i++)
        count_datasets(file, axes[i], &without);
    assert_int_equal(without, 0);
    H5Fclose(file);
    run_reader_close(r);
}

/* The digest covers what it should and nothing else. */
static void test_digest_sees_content_alone(void **state) {
    char path[256], base[65], hex[65];
    struct run_writer *w = NULL;
    (void)state;
    fix_path(path, "digest.h5");
    fix_run(path, 12, true, 0.5, base);
    for (int variant = 0; variant < 6; variant++) {
        struct run_begin begin = fix_begin(path, true);
        unlink(path);
        if (variant == 0) begin.config_json = "{\"train.lr\":0.0004,\"train.seed\":7}";
        if (variant == 1) begin.identity.seed = 8;
        if (variant == 2) begin.counts_json = "{}";
        if (variant == 3) begin.fact_count = 0;
        assert_ok(run_writer_begin(&begin, &w, err));
        fix_steps(w, 1, variant == 4 ? 11 : 12, true, variant == 5 ? 7.5 : 0.5);
        assert_ok(run_writer_seal(w, "max_steps", NULL, 0, hex, err));
        if (variant == 3 || variant == 5)
            assert_string_equal(hex, base);
        else
            assert_string_not_equal(hex, base);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_runs_have_equal_bytes),
        cmocka_unit_test(test_resumed_run_differs_in_timing_and_provenance_alone),
        cmocka_unit_test(test_every_dataset_says_what_it_is),
        cmocka_unit_test(test_digest_sees_content_alone),
    };
    return cmocka_run_group_tests(tests, NULL, fix_remove_folder);
}
