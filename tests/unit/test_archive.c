/* test: rooms=data label=fast */
#include "scratch_folder.h"
#include "tar_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/file.h"
#include "core/rng.h"
#include "data/archive.h"

enum { LARGE = 70001 };

struct fixture {
    struct scratch scratch;
    char archive[128], out[128];
    unsigned char large[LARGE]; /* random: does not compress */
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = 0};
    scratch_open(&f->scratch);
    scratch_path(&f->scratch, "a.tar.gz", f->archive);
    scratch_path(&f->scratch, "out", f->out);
    for (int i = 0; i < LARGE; i++) {
        f->large[i] = (unsigned char)rng_u32(key, (uint64_t)i);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    scratch_close(&f->scratch);
    free(f);
    return 0;
}

static gzFile begin(const struct fixture *f, const char *mode) {
    gzFile archive = gzopen(f->archive, mode);
    assert_non_null(archive);
    return archive;
}

static void write_sample(const struct fixture *f, const char *mode) {
    gzFile archive = begin(f, mode);
    tar_add(archive, '5', "", "batches/", "", 0);
    tar_add(archive, '0', "", "batches/block", f->large, 512);
    tar_add(archive, '0', "", "batches/empty", "", 0);
    tar_add(archive, '2', "", "batches/large", "", 0); /* a link of the same name */
    tar_add(archive, '0', "", "batches/large", f->large, LARGE);
    tar_add(archive, '\0', "some/long/path", "small", "few bytes", 9);
    tar_end(archive);
}

static moe_status extract(const struct fixture *f, const char *member, moe_err *err) {
    const int fd = open(f->out, O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    const moe_status status = archive_extract(f->archive, member, fd, f->out, err);
    close(fd);
    return status;
}

static void extracted(const struct fixture *f, const char *member, const void *bytes, size_t size) {
    unsigned char *got = NULL;
    size_t got_size = 0;
    moe_err err = {0};
    if (extract(f, member, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(file_read_all(f->out, 1 << 24, &got, &got_size, NULL), MOE_OK);
    assert_int_equal(got_size, size);
    assert_memory_equal(got, bytes, size);
    free(got);
}

static void refused(const struct fixture *f, const char *member, moe_status want, const char *part) {
    moe_err err = {0};
    const moe_status status = extract(f, member, &err);
    if (status != want || strstr(err.message, part) == NULL || strstr(err.message, f->archive) == NULL) {
        fail_msg("%s \"%s\", not %s \"%s\"", moe_status_name(status), err.message, moe_status_name(want),
                 part);
    }
}

static void all_of_sample(const struct fixture *f) {
    extracted(f, "batches/block", f->large, 512);
    extracted(f, "batches/empty", "", 0);
    extracted(f, "batches/large", f->large, LARGE);
    extracted(f, "some/long/path/small", "few bytes", 9);
    refused(f, "small", MOE_ENOTFOUND, "has no file small");
    refused(f, "batches/", MOE_ENOTFOUND, "has no file");
}

static void members_come_out_as_they_went_in(void **state) {
    const struct fixture *f = *state;
    write_sample(f, "wb");
    all_of_sample(f);
    write_sample(f, "wbT"); /* a tar that is not compressed */
    all_of_sample(f);
}

static void what_tar_writes_is_read(void **state) {
    const struct fixture *f = *state;
    char path[128], command[512];
    scratch_write(scratch_path(&f->scratch, "large", path), f->large, LARGE);
    snprintf(command, sizeof command, "cd '%s' && tar -czf a.tar.gz ./large", f->scratch.folder);
    assert_int_equal(system(command), 0);
    extracted(f, "./large", f->large, LARGE);
}

static void damage_is_found(void **state) {
    const struct fixture *f = *state;
    unsigned char *bytes = NULL;
    size_t size = 0;
    write_sample(f, "wb");
    assert_int_equal(file_read_all(f->archive, 1 << 24, &bytes, &size, NULL), MOE_OK);

    scratch_write(f->archive, bytes, size / 2);
    refused(f, "batches/large", MOE_EFORMAT, "damaged or cut off at offset");
    bytes[size / 2] ^= 0x55; /* the random bytes are stored, so only the checksum of gzip can tell */
    scratch_write(f->archive, bytes, size);
    refused(f, "some/long/path/small", MOE_EFORMAT, "damaged or cut off at offset");
    scratch_write(f->archive, f->large, LARGE);
    refused(f, "batches/large", MOE_EFORMAT, "no header of a tar member at offset 0");
    scratch_write(f->archive, "", 0);
    refused(f, "batches/large", MOE_EFORMAT, "offset 0 (unpacked): it ends here");
    free(bytes);
    assert_int_equal(unlink(f->archive), 0);
    refused(f, "batches/large", MOE_EIO, "cannot open");
}

static void a_wrong_header_is_named_by_its_offset(void **state) {
    const struct fixture *f = *state;
    unsigned char *bytes = NULL;
    size_t size = 0;
    write_sample(f, "wbT");
    assert_int_equal(file_read_all(f->archive, 1 << 24, &bytes, &size, NULL), MOE_OK);
    bytes[512 + 3] ^= 1; /* a letter of the second member's name */
    scratch_write(f->archive, bytes, size);
    refused(f, "batches/large", MOE_EFORMAT, "offset 512 (unpacked)");
    bytes[512 + 3] ^= 1;
    bytes[512 + 124] = 'x'; /* its size */
    scratch_write(f->archive, bytes, size);
    refused(f, "batches/large", MOE_EFORMAT, "offset 512 (unpacked)");
    free(bytes);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FRESH(members_come_out_as_they_went_in),
        FRESH(what_tar_writes_is_read),
        FRESH(damage_is_found),
        FRESH(a_wrong_header_is_named_by_its_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
