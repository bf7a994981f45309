/* safetensors_write.c - writing canonical safetensors files, and their checksum. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/file.h"
#include "model/safetensors_layout.h"

/* ---- checksum
 * ------------------------------------------------------------------------------------------------- */

char *safetensors_checksum_digits(char *header, int64_t length) {
    /* Within a JSON string a quote is escaped, so these bytes can only be the key itself. */
    static const char key[] = "\"" CHECKSUM_KEY "\":\"";
    const int64_t key_length = (int64_t)sizeof key - 1;
    for (int64_t i = 0; i + key_length + CHECKSUM_DIGITS < length; i++)
        if (header[i] == '"' && memcmp(header + i, key, (size_t)key_length) == 0)
            return header + i + key_length;
    return NULL;
}

XXH3_state_t *safetensors_checksum_begin(const char *header, int64_t length) {
    XXH3_state_t *hash = XXH3_createState();
    if (hash == NULL) return NULL;
    XXH3_128bits_reset(hash);
    XXH3_128bits_update(hash, &length, sizeof length);
    XXH3_128bits_update(hash, header, (size_t)length);
    return hash;
}

void safetensors_checksum_end(const XXH3_state_t *hash, char digits[CHECKSUM_DIGITS + 1]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    for (int i = 0; i < CHECKSUM_DIGITS / 2; i++)
        snprintf(digits + 2 * i, 3, "%02x", canonical.digest[i]);
}

/* ---- order and header
 * ----------------------------------------------------------------------------------------- */

static int by_type_and_name(const void *a, const void *b) {
    const struct safetensors_source *x = *(const struct safetensors_source *const *)a;
    const struct safetensors_source *y = *(const struct safetensors_source *const *)b;
    if (x->dtype != y->dtype) return x->dtype > y->dtype ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b) {
    const struct safetensors_entry *x = *(const struct safetensors_entry *const *)a;
    const struct safetensors_entry *y = *(const struct safetensors_entry *const *)b;
    return strcmp(x->key, y->key);
}

static moe_status sort_tensors(const char *path, const struct safetensors_source *tensors, int64_t count,
                               const struct safetensors_source ***out_order, moe_err *err) {
    moe_status status = MOE_OK;
    const struct safetensors_source **order = malloc(((size_t)count + 1) * sizeof *order);
    moe_check(order != NULL, err, MOE_ENOMEM, "%s: no memory for the names of %" PRId64 " tensors", path,
              count);
    for (int64_t i = 0; i < count; i++) {
        int64_t elements, bytes;
        moe_check(strcmp(tensors[i].name, METADATA_KEY) != 0, err, MOE_EARG,
                  "%s: a tensor cannot be named %s", path, METADATA_KEY);
        moe_check(
            (unsigned)tensors[i].dtype < SAFETENSORS_DTYPE_COUNT && tensors[i].rank >= 0 &&
                tensors[i].rank <= SAFETENSORS_MAX_RANK &&
                safetensors_extent(tensors[i].dtype, tensors[i].rank, tensors[i].shape, &elements, &bytes),
            err, MOE_EARG, "%s: tensor %s has an impossible type, rank or shape", path, tensors[i].name);
        order[i] = &tensors[i];
    }
    qsort(order, (size_t)count, sizeof *order, by_type_and_name);
    *out_order = order;
    order = NULL;
out:
    free(order);
    return status;
}

static moe_status add_metadata(const char *path, json_t *root, const struct safetensors_entry *metadata,
                               int64_t count, unsigned flags, moe_err *err) {
    moe_status status = MOE_OK;
    static const struct safetensors_entry checksum = {CHECKSUM_KEY, "00000000000000000000000000000000"};
    const bool summed = (flags & SAFETENSORS_CHECKSUM) != 0;
    const int64_t total = count + (summed ? 1 : 0);
    json_t *object = json_object();
    const struct safetensors_entry **order = malloc(((size_t)total + 1) * sizeof *order);
    moe_check(object != NULL && order != NULL, err, MOE_ENOMEM, "%s: no memory for its metadata", path);
    for (int64_t i = 0; i < count; i++) {
        moe_check(strcmp(metadata[i].key, CHECKSUM_KEY) != 0, err, MOE_EARG,
                  "%s: metadata key %s is reserved", path, CHECKSUM_KEY);
        order[i] = &metadata[i];
    }
    if (summed) order[count] = &checksum;
    qsort(order, (size_t)total, sizeof *order, by_key);
    for (int64_t i = 0; i < total; i++) {
        moe_check(i == 0 || strcmp(order[i - 1]->key, order[i]->key) != 0, err, MOE_EARG,
                  "%s: metadata key %s is given twice", path, order[i]->key);
        moe_check(json_object_set_new(object, order[i]->key, json_string(order[i]->value)) == 0, err,
                  MOE_EARG, "%s: metadata %s is not UTF-8", path, order[i]->key);
    }
    if (total > 0)
        moe_check(json_object_set(root, METADATA_KEY, object) == 0, err, MOE_ENOMEM,
                  "%s: no memory for its metadata", path);
out:
    json_decref(object);
    free(order);
    return status;
}

static json_t *describe(const struct safetensors_source *tensor, int64_t begin, int64_t end) {
    json_t *shape = json_array();
    for (int32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", safetensors_dtype_name(tensor->dtype), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static moe_status add_tensors(const char *path, json_t *root, const struct safetensors_source *const *order,
                              int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t begin = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t elements = 0, bytes = 0, end = 0;
        safetensors_extent(order[i]->dtype, order[i]->rank, order[i]->shape, &elements, &bytes);
        moe_check(!__builtin_add_overflow(begin, bytes, &end), err, MOE_EARG, "%s: tensor %s: too much data",
                  path, order[i]->name);
        moe_check(json_object_get(root, order[i]->name) == NULL, err, MOE_EARG,
                  "%s: two tensors are named %s", path, order[i]->name);
        moe_check(json_object_set_new(root, order[i]->name, describe(order[i], begin, end)) == 0, err,
                  MOE_EARG, "%s: the name of tensor %s is not UTF-8", path, order[i]->name);
        begin = end;
    }
out:
    return status;
}

/* The header as it stands in the file, padded with spaces so that the data begin at a multiple of 8. */
static moe_status make_header(const char *path, const struct safetensors_source *const *order, int64_t count,
                              const struct safetensors_entry *metadata, int64_t metadata_count,
                              unsigned flags, char **out_header, int64_t *out_length, moe_err *err) {
    moe_status status = MOE_OK;
    char *header = NULL;
    size_t used = 0, length = 0;
    json_t *root = json_object();
    moe_check(root != NULL, err, MOE_ENOMEM, "%s: no memory for its header", path);
    moe_try(add_metadata(path, root, metadata, metadata_count, flags, err));
    moe_try(add_tensors(path, root, order, count, err));
    used = json_dumpb(root, NULL, 0, JSON_COMPACT);
    length = (used + 7) / 8 * 8;
    moe_check(used > 0 && length <= SAFETENSORS_MAX_HEADER, err, MOE_EARG,
              "%s: a header of %zu bytes, at most %d can be read again", path, length,
              SAFETENSORS_MAX_HEADER);
    header = malloc(length);
    moe_check(header != NULL, err, MOE_ENOMEM, "%s: no memory for its header", path);
    json_dumpb(root, header, used, JSON_COMPACT);
    memset(header + used, ' ', length - used);
    *out_header = header;
    *out_length = (int64_t)length;
out:
    json_decref(root);
    return status;
}

/* ---- writing
 * -------------------------------------------------------------------------------------------------- */

static int64_t bytes_of(const struct safetensors_source *tensor) {
    int64_t count = 0, bytes = 0;
    safetensors_extent(tensor->dtype, tensor->rank, tensor->shape, &count, &bytes);
    return bytes;
}

static moe_status fill_checksum(const char *path, char *header, int64_t length,
                                const struct safetensors_source *const *order, int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    char digits[CHECKSUM_DIGITS + 1];
    XXH3_state_t *hash = safetensors_checksum_begin(header, length);
    moe_check(hash != NULL, err, MOE_ENOMEM, "%s: no memory for its checksum", path);
    for (int64_t i = 0; i < count; i++)
        if (bytes_of(order[i]) > 0) XXH3_128bits_update(hash, order[i]->data, (size_t)bytes_of(order[i]));
    safetensors_checksum_end(hash, digits);
    memcpy(safetensors_checksum_digits(header, length), digits, CHECKSUM_DIGITS);
out:
    XXH3_freeState(hash);
    return status;
}

static moe_status write_all(int fd, const char *path, const void *data, int64_t bytes, moe_err *err) {
    const unsigned char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, at, (size_t)bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_write_failure(path, errno, err);
        at += n;
        bytes -= n;
    }
    return MOE_OK;
}

static moe_status write_temp(const char *temp, const char *path, const char *header, int64_t length,
                             const struct safetensors_source *const *order, int64_t count, moe_err *err) {
    moe_status status = MOE_OK;
    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return file_write_failure(temp, errno, err);
    moe_try(write_all(fd, path, &length, sizeof length, err));
    moe_try(write_all(fd, path, header, length, err));
    for (int64_t i = 0; i < count; i++)
        moe_try(write_all(fd, path, order[i]->data, bytes_of(order[i]), err));
out:
    if (close(fd) != 0 && status == MOE_OK) status = file_write_failure(path, errno, err);
    return status;
}

moe_status safetensors_write(const char *path, const struct safetensors_source *tensors, int64_t count,
                             const struct safetensors_entry *metadata, int64_t metadata_count, unsigned flags,
                             moe_err *err) {
    moe_status status = MOE_OK;
    const struct safetensors_source **order = NULL;
    char *header = NULL, *temp = NULL;
    int64_t length = 0;
    moe_try(sort_tensors(path, tensors, count, &order, err));
    moe_try(make_header(path, order, count, metadata, metadata_count, flags, &header, &length, err));
    if (flags & SAFETENSORS_CHECKSUM) moe_try(fill_checksum(path, header, length, order, count, err));
    temp = path_append(path, ".tmp");
    moe_check(temp != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
    status = write_temp(temp, path, header, length, order, count, err);
    if (status == MOE_OK) status = file_publish(temp, path, err);
    if (status != MOE_OK) unlink(temp);
out:
    free(temp);
    free(header);
    free(order);
    return status;
}
