#include "record/image.h"

#include <stdlib.h>
#include <string.h>

/* HDF5's core driver keeps the file in memory that these callbacks own; what it gives back on closing is the
 * file. */
struct image {
    unsigned char *bytes;
    size_t capacity;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *data) {
    (void)op;
    (void)data;
    return malloc(size);
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *data) {
    (void)op;
    (void)data;
    return memcpy(to, from, size);
}

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *data) {
    struct image *image = data;
    unsigned char *larger = realloc(bytes, size);
    (void)op;
    if (larger == NULL) return NULL;
    if (size > image->capacity) memset(larger + image->capacity, 0, size - image->capacity);
    image->capacity = size;
    return larger;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *data) {
    struct image *image = data;
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        image->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *same_data(void *data) {
    return data;
}

static herr_t keep_data(void *data) {
    (void)data;
    return 0;
}

static hid_t memory_access(struct image *image) {
    enum { INCREMENT = 1 << 20 };
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             same_data,    keep_data,    image};
    const hid_t access = hdf_access();
    if (H5Pset_fapl_core(access, INCREMENT, false) < 0 ||
        H5Pset_file_image_callbacks(access, &callbacks) < 0) {
        hdf_close(access);
        return H5I_INVALID_HID;
    }
    return access;
}

/* The end of the file as its superblock (version 3, behind the user block) tells it. */
static uint64_t end_of_file(const struct image *image, size_t userblock) {
    enum { END_OFFSET = 28 };
    uint64_t end = 0;
    if (image->bytes != NULL && image->capacity >= userblock + END_OFFSET + sizeof end)
        memcpy(&end, image->bytes + userblock + END_OFFSET, sizeof end);
    return end;
}

moe_status image_build(const struct run_table *table, size_t userblock, image_writer *write, const char *file,
                       unsigned char **out_bytes, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    struct image image = {0};
    hid_t access, creation, h5;
    uint64_t size = 0;
    hdf_quiet();
    access = memory_access(&image);
    creation = hdf_file_creation(userblock);
    h5 = H5Fcreate(HDF_NO_FILE, H5F_ACC_TRUNC, creation, access);
    hdf_check(h5, err, MOE_ENOMEM, file, "make the file in memory");
    moe_try(write(h5, table, file, err));
out:
    if (h5 >= 0 && H5Fclose(h5) < 0 && status == MOE_OK)
        status = hdf_fail(err, MOE_ENOMEM, file, "make the file in memory");
    hdf_close(creation);
    hdf_close(access);
    if (status == MOE_OK) size = end_of_file(&image, userblock);
    if (status == MOE_OK && (size <= userblock || size > image.capacity))
        status = moe_fail(err, MOE_EFORMAT, "%s: HDF5 made a file of %llu bytes in memory of %zu", file,
                          (unsigned long long)size, image.capacity);
    if (status != MOE_OK) {
        free(image.bytes);
        return status;
    }
    *out_bytes = image.bytes;
    *out_size = size;
    return status;
}
