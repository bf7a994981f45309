/* test: rooms=data label=fast */
#define _GNU_SOURCE /* strcasestr */
/* Data sets: files out of archives, the command `data`, and what the registry pins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/data_command.h"
#include "fixture_server.h"
#include "tar_fixture.h"

/* Serves an archive with one file; zeros behind the end of a gzip stream do not belong to it. */
static void serve_archive(struct fixture *f, const char *member, const void *bytes, size_t size) {
    char *path = path_of(f, "");
    unsigned char *packed = NULL;
    size_t packed_size = 0;
    assert_int_equal(file_make_parents(path, NULL), MOE_OK);
    gzFile archive = gzopen(path, "wb");
    assert_non_null(archive);
    tar_add(archive, '0', "", member, bytes, size);
    tar_end(archive);
    assert_int_equal(file_read_all(path, BODY, &packed, &packed_size, NULL), MOE_OK);
    memset(f->server.body, 0, BODY);
    memcpy(f->server.body, packed, packed_size);
    assert_int_equal(hash_sha256(f->server.body, BODY, f->sha256, NULL), MOE_OK);
    assert_int_equal(unlink(path), 0);
    free(packed);
    free(path);
}

/* Serves an archive that has folder/inner, which is where the fixture's file is to come from. */
static struct data_file archive_of(struct fixture *f, const char *content, size_t size) {
    serve_archive(f, "folder/inner", content, size);
    f->file.url = NULL;
    return (struct data_file){.name = "set/a.tar.gz", .url = "http://x/", .sha256 = f->sha256, .bytes = BODY};
}

static void a_file_comes_out_of_an_archive(void **state) {
    struct fixture *f = *state;
    static const char content[] = "what the archive has";
    char sha256[HASH_SHA256_HEX];
    const struct data_file archive = archive_of(f, content, sizeof content);
    assert_int_equal(hash_sha256(content, sizeof content, sha256, NULL), MOE_OK);
    f->file.archive = &archive;
    f->file.sha256 = sha256;
    f->file.bytes = 0;
    f->file.member = "folder/other";
    failed(f, SERVE, MOE_ENOTFOUND, "a.tar.gz: has no file folder/other");
    assert_absent(f, ".part");
    f->file.member = "folder/inner";
    f->file.bytes = 5;
    failed(f, NOT_FOUND, MOE_EMISMATCH, "bytes, but the registered file has 5");
    assert_absent(f, ".part");
    assert_absent(f, "");
    f->file.bytes = sizeof content;
    put(f, ".part", "a call that was cut off left much more than the file has", 56);
    fetched(f, NOT_FOUND, FETCH_UNPACKED);
    assert_int_equal(atomic_load(&f->server.requests), 1); /* the archive stays */
    memcpy(f->server.body, content, sizeof content);
    assert_content(f, "", sizeof content);
    fetched(f, NOT_FOUND, FETCH_ALREADY_THERE);
}

static void the_beginning_of_a_file_comes_out_of_an_archive(void **state) {
    struct fixture *f = *state;
    static const char content[] = "what the archive has";
    char sha256[HASH_SHA256_HEX];
    const struct data_file archive = archive_of(f, content, sizeof content);
    assert_int_equal(hash_sha256(content, 8, sha256, NULL), MOE_OK);
    f->file.archive = &archive;
    f->file.sha256 = sha256;
    f->file.bytes = 8;
    f->file.prefix = true;
    f->file.member = "folder/inner";
    fetched(f, SERVE, FETCH_UNPACKED);
    memcpy(f->server.body, content, 8);
    assert_content(f, "", 8);
    assert_absent(f, ".part");
    f->file.bytes = sizeof content + 1; /* more than there is */
    char *path = path_of(f, "");
    assert_int_equal(unlink(path), 0);
    free(path);
    failed(f, NOT_FOUND, MOE_EMISMATCH, "bytes, but the registered file has");
}

static moe_status run(char *text, size_t size, moe_err *err, const char *a, const char *b, const char *c,
                      const char *d, const char *e, const char *g) {
    const char *words[8] = {"data", a, b, c, d, e, g, NULL};
    char *argv[8];
    int argc = 0;
    while (words[argc] != NULL) {
        argv[argc] = strdup(words[argc]);
        argc++;
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

static void the_command_lists_describes_and_fetches(void **state) {
    struct fixture *f = *state;
    static char text[1 << 16];
    moe_err err = {0};
    assert_int_equal(run(text, sizeof text, &err, "list", "--dir", f->folder, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "wikitext2/wiki.valid.tokens"));
    assert_non_null(strstr(text, "30.7 MB  -      cifar10/test_batch.bin"));
    assert_int_equal(run(text, sizeof text, &err, "info", "cifar10", NULL, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "c32a1d4ab5d03f1284b67883e8d87530"));
    assert_non_null(strstr(text, "cite"));
    assert_int_equal(run(text, sizeof text, &err, "info", "shakespear", NULL, NULL, NULL, NULL),
                     MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "did you mean shakespeare?"));
    assert_int_equal(run(text, sizeof text, &err, "info", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "bake", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "list", "--dri", "x", NULL, NULL, NULL), MOE_EUSAGE);
    assert_non_null(strstr(err.message, "--dri"));
    assert_int_equal(run(text, sizeof text, &err, "list", "--dir", NULL, NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "stories", "--count", "x", NULL, NULL, NULL), MOE_EUSAGE);
    assert_int_equal(run(text, sizeof text, &err, "stories", "--seed=5", "--domain=sea", NULL, NULL, NULL),
                     MOE_OK);
    assert_non_null(strstr(text, "sea: 0.505"));
    assert_null(strstr(text, "kitchen:"));
    assert_int_equal(run(text, sizeof text, &err, "--help", NULL, NULL, NULL, NULL, NULL), MOE_OK);
    assert_non_null(strstr(text, "usage"));
    assert_int_equal(run(text, sizeof text, &err, "fetch", NULL, NULL, NULL, NULL, NULL), MOE_EUSAGE);
    /* The server has other bytes than those of the registry. */
    assert_int_equal(
        run(text, sizeof text, &err, "fetch", "shakespeare", "--dir", f->folder, "--base-url", f->base_url),
        MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    assert_string_equal(f->server.paths[0], "/base/shakespeare/input.txt");
}

static void assert_pinned(const struct data_file *file) {
    assert_true(strncmp(file->url, "https://", 8) == 0);
    assert_true(file->sha256 != NULL || file->md5 != NULL);
    assert_true(!file->prefix || file->bytes > 0);
}

static void assert_checksums_have_their_form(const struct data_file *file) {
    if (file->sha256 != NULL) assert_int_equal(strspn(file->sha256, "0123456789abcdef"), 64);
    if (file->sha256 != NULL) assert_int_equal(strlen(file->sha256), 64);
    if (file->md5 != NULL) assert_int_equal(strspn(file->md5, "0123456789abcdef"), 32);
    assert_null(strstr(file->name, ".."));
}

/* A typing error in a pinned checksum would make a data set unreachable. */
static void every_registered_file_is_pinned(void **state) {
    (void)state;
    for (int32_t i = 0; i < registry_count(); i++) {
        const struct data_set *set = registry_at(i);
        assert_true(set->num_files > 0 && strlen(set->licence) > 0 && strlen(set->citation) > 0);
        for (int32_t j = 0; j < set->num_files; j++) {
            const struct data_file *file = &set->files[j];
            assert_pinned(file->archive != NULL ? file->archive : file);
            assert_checksums_have_their_form(file);
            if (file->archive != NULL) {
                assert_checksums_have_their_form(file->archive);
                assert_true(file->url == NULL && file->member != NULL);
            }
            /* Files that a developer has at hand must be those of the registry. */
            char *path = path_join(getenv("MOE_DATA_DIR"), file->name);
            moe_err err = {0};
            if (getenv("MOE_DATA_DIR") != NULL && file_exists(path) &&
                fetch_check(file, path, &err) != MOE_OK) {
                fail_msg("%s", err.message);
            }
            free(path);
        }
    }
}

int main(void) {
    without_proxy();
    const struct CMUnitTest tests[] = {
        SERVED(a_file_comes_out_of_an_archive),
        SERVED(the_beginning_of_a_file_comes_out_of_an_archive),
        SERVED(the_command_lists_describes_and_fetches),
        cmocka_unit_test(every_registered_file_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
