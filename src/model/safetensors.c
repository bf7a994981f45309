/* safetensors.c - reading; writing stands in safetensors_write.c. */
#include "model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "model/safetensors_layout.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are used as they stand in the file");

struct safetensors {
    char *label;
    int fd;                      /* -1: over memory */
    const unsigned char *memory; /* NULL: over fd */
    int64_t size;                /* bytes of the whole file */
    json_t *root;                /* owns names and metadata */
    json_t *metadata;            /* NULL or an object of strings, inside root */
    struct safetensors_tensor *tensors;
    int64_t count;
};

static const struct {
    const char *name;
    int64_t size;
} dtypes[] = {
    [SAFETENSORS_U8] = {"U8", 1},   [SAFETENSORS_F16] = {"F16", 2}, [SAFETENSORS_BF16] = {"BF16", 2},
    [SAFETENSORS_I32] = {"I32", 4}, [SAFETENSORS_F32] = {"F32", 4}, [SAFETENSORS_F64] = {"F64", 8},
    [SAFETENSORS_I64] = {"I64", 8},
};
_Static_assert(sizeof dtypes / sizeof dtypes[0] == SAFETENSORS_DTYPE_COUNT, "every element type has a row");

const char *safetensors_dtype_name(enum safetensors_dtype dtype) {
    return (unsigned)dtype < SAFETENSORS_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

int64_t safetensors_dtype_size(enum safetensors_dtype dtype) {
    return (unsigned)dtype < SAFETENSORS_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *safetensors_shape_text(char *text, size_t size, int32_t rank, const int64_t *shape) {
    size_t at = (size_t)snprintf(text, size, "[");
    for (int32_t i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    if (at < size) snprintf(text + at, size - at, "]");
    return text;
}

bool safetensors_extent(enum safetensors_dtype dtype, int32_t rank, const int64_t *shape, int64_t *out_count,
                        int64_t *out_bytes) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(count, shape[i], &count)) return false;
    *out_count = count;
    return !__builtin_mul_overflow(count, dtypes[dtype].size, out_bytes);
}

/* ---- bytes
 * ---------------------------------------------------------------------------------------------------- */

static moe_status read_at(const struct safetensors *file, int64_t offset, void *out, int64_t bytes,
                          moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *at = out;
    moe_check(bytes <= file->size && offset <= file->size - bytes, err, MOE_EFORMAT,
              "%s: ends at byte %" PRId64 ", %" PRId64 " bytes were expected at offset %" PRId64, file->label,
              file->size, bytes, offset);
    if (file->memory != NULL) {
        if (bytes > 0) memcpy(at, file->memory + offset, (size_t)bytes);
        goto out;
    }
    while (bytes > 0) {
        const ssize_t n = pread(file->fd, at, (size_t)bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        moe_check(n >= 0, err, MOE_EIO, "%s: cannot read at offset %" PRId64 ": %s", file->label, offset,
                  strerror(errno));
        moe_check(n > 0, err, MOE_EFORMAT, "%s: was cut short at byte %" PRId64 " while it was being read",
                  file->label, offset);
        at += n;
        offset += n;
        bytes -= n;
    }
out:
    return status;
}

/* ---- header
 * --------------------------------------------------------------------------------------------------- */

static moe_status read_header(const struct safetensors *file, char **out_header, int64_t *out_length,
                              moe_err *err) {
    moe_status status = MOE_OK;
    uint64_t length = 0;
    char *header = NULL;
    moe_check(file->size >= 8, err, MOE_EFORMAT, "%s: %" PRId64 " bytes are too few for a safetensors file",
              file->label, file->size);
    moe_try(read_at(file, 0, &length, 8, err));
    moe_check(length >= 2 && length <= (uint64_t)file->size - 8, err, MOE_EFORMAT,
              "%s: offset 0: header length %" PRIu64 " does not fit a file of %" PRId64
              " bytes; it is damaged, cut short or no safetensors file",
              file->label, length, file->size);
    moe_check(length <= SAFETENSORS_MAX_HEADER, err, MOE_EFORMAT,
              "%s: offset 0: header of %" PRIu64 " bytes, at most %d are accepted", file->label, length,
              SAFETENSORS_MAX_HEADER);
    header = malloc((size_t)length);
    moe_check(header != NULL, err, MOE_ENOMEM, "%s: no memory for a header of %" PRIu64 " bytes", file->label,
              length);
    moe_try(read_at(file, 8, header, (int64_t)length, err));
    moe_check(header[0] == '{', err, MOE_EFORMAT, "%s: offset 8: the header does not begin with '{'",
              file->label);
    *out_header = header;
    *out_length = (int64_t)length;
    header = NULL;
out:
    free(header);
    return status;
}

static moe_status parse_dtype(const struct safetensors *file, const char *name, const json_t *value,
                              enum safetensors_dtype *out_dtype, moe_err *err) {
    const char *text = json_string_value(value);
    if (text == NULL)
        return moe_fail(err, MOE_EFORMAT, "%s: tensor %s: dtype is not a string", file->label, name);
    for (int i = 0; i < SAFETENSORS_DTYPE_COUNT; i++) {
        if (strcmp(text, dtypes[i].name) == 0) {
            *out_dtype = (enum safetensors_dtype)i;
            return MOE_OK;
        }
    }
    return moe_fail(
        err, MOE_ENOTSUP,
        "%s: tensor %s: element type \"%s\" is not supported; expected U8, F16, BF16, I32, F32, F64 or "
        "I64",
        file->label, name, text);
}

static moe_status parse_shape(const struct safetensors *file, const json_t *value,
                              struct safetensors_tensor *tensor, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(json_is_array(value), err, MOE_EFORMAT, "%s: tensor %s: shape is not a list", file->label,
              tensor->name);
    moe_check(json_array_size(value) <= SAFETENSORS_MAX_RANK, err, MOE_ENOTSUP,
              "%s: tensor %s: %zu dimensions, at most %d are supported", file->label, tensor->name,
              json_array_size(value), SAFETENSORS_MAX_RANK);
    tensor->rank = (int32_t)json_array_size(value);
    for (int32_t i = 0; i < tensor->rank; i++) {
        const json_t *dim = json_array_get(value, (size_t)i);
        moe_check(json_is_integer(dim) && json_integer_value(dim) >= 0, err, MOE_EFORMAT,
                  "%s: tensor %s: dimension %d of its shape is not a whole number >= 0", file->label,
                  tensor->name, i);
        tensor->shape[i] = json_integer_value(dim);
    }
    moe_check(safetensors_extent(tensor->dtype, tensor->rank, tensor->shape, &tensor->count, &tensor->bytes),
              err, MOE_EFORMAT, "%s: tensor %s: the product of its shape overflows", file->label,
              tensor->name);
out:
    return status;
}

/* offset becomes the place in the file; `data` is where the data section begins. */
static moe_status parse_offsets(const struct safetensors *file, const json_t *value, int64_t data,
                                struct safetensors_tensor *tensor, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
    int64_t begin = 0, end = 0;
    moe_check(json_array_size(value) == 2 && json_is_integer(first) && json_is_integer(last), err,
              MOE_EFORMAT, "%s: tensor %s: data_offsets is not a pair of whole numbers", file->label,
              tensor->name);
    begin = json_integer_value(first);
    end = json_integer_value(last);
    moe_check(begin >= 0 && begin <= end && end <= file->size - data, err, MOE_EFORMAT,
              "%s: tensor %s: data_offsets [%" PRId64 ", %" PRId64 "] lie outside the %" PRId64
              " bytes of data that begin at offset %" PRId64,
              file->label, tensor->name, begin, end, file->size - data, data);
    moe_check(end - begin == tensor->bytes, err, MOE_EFORMAT,
              "%s: tensor %s: data_offsets [%" PRId64 ", %" PRId64 "] give %" PRId64
              " bytes, its shape and type %" PRId64,
              file->label, tensor->name, begin, end, end - begin, tensor->bytes);
    tensor->offset = data + begin;
out:
    return status;
}

static moe_status parse_tensor(const struct safetensors *file, const char *name, json_t *value, int64_t data,
                               struct safetensors_tensor *tensor, moe_err *err) {
    moe_status status = MOE_OK;
    tensor->name = name;
    moe_check(json_is_object(value) && json_object_size(value) == 3, err, MOE_EFORMAT,
              "%s: tensor %s: expected an object with dtype, shape and data_offsets", file->label, name);
    moe_try(parse_dtype(file, name, json_object_get(value, "dtype"), &tensor->dtype, err));
    moe_try(parse_shape(file, json_object_get(value, "shape"), tensor, err));
    moe_try(parse_offsets(file, json_object_get(value, "data_offsets"), data, tensor, err));
out:
    return status;
}

static moe_status parse_metadata(struct safetensors *file, json_t *value, moe_err *err) {
    moe_status status = MOE_OK;
    const char *key;
    json_t *entry;
    moe_check(json_is_object(value), err, MOE_EFORMAT, "%s: %s is not an object", file->label, METADATA_KEY);
    json_object_foreach(value, key, entry) {
        moe_check(json_is_string(entry), err, MOE_EFORMAT, "%s: %s: value of \"%s\" is not a string",
                  file->label, METADATA_KEY, key);
    }
    file->metadata = value;
out:
    return status;
}

static int by_offset(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b) {
    const struct safetensors_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors must tile the data section: a gap could hide damage, an overlap would make two tensors one. */
static moe_status check_tiling(const struct safetensors *file, int64_t data, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t at = data;
    if (file->count > 0) qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, by_offset);
    for (int64_t i = 0; i < file->count; i++) {
        const struct safetensors_tensor *tensor = &file->tensors[i];
        moe_check(tensor->offset == at, err, MOE_EFORMAT,
                  "%s: tensor %s begins at offset %" PRId64 ", the one before it ends at %" PRId64
                  "; tensors must neither overlap nor leave a gap",
                  file->label, tensor->name, tensor->offset, at);
        at += tensor->bytes;
    }
    moe_check(at == file->size, err, MOE_EFORMAT,
              "%s: the last tensor ends at offset %" PRId64 ", the file at %" PRId64, file->label, at,
              file->size);
out:
    return status;
}

static moe_status parse_header(struct safetensors *file, const char *header, int64_t length, moe_err *err) {
    moe_status status = MOE_OK;
    json_error_t where;
    const char *name;
    json_t *value;
    file->root = json_loadb(header, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    moe_check(file->root != NULL, err, MOE_EFORMAT, "%s: offset %d: the header is not sound JSON: %s",
              file->label, where.position + 8, where.text);
    moe_check(json_is_object(file->root), err, MOE_EFORMAT, "%s: offset 8: the header is not a JSON object",
              file->label);
    file->tensors = calloc(json_object_size(file->root) + 1, sizeof *file->tensors);
    moe_check(file->tensors != NULL, err, MOE_ENOMEM, "%s: no memory for %zu tensors", file->label,
              json_object_size(file->root));
    json_object_foreach(file->root, name, value) {
        if (strcmp(name, METADATA_KEY) == 0)
            moe_try(parse_metadata(file, value, err));
        else
            moe_try(parse_tensor(file, name, value, 8 + length, &file->tensors[file->count++], err));
    }
    moe_try(check_tiling(file, 8 + length, err));
    if (file->count > 0) qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, by_name);
out:
    return status;
}

/* ---- checksum
 * ------------------------------------------------------------------------------------------------- */

static moe_status hash_data(const struct safetensors *file, int64_t from, XXH3_state_t *hash, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t piece = 1 << 20;
    unsigned char *buffer = malloc((size_t)piece);
    moe_check(buffer != NULL, err, MOE_ENOMEM, "%s: no memory to check it", file->label);
    for (int64_t at = from; at < file->size; at += piece) {
        const int64_t bytes = file->size - at < piece ? file->size - at : piece;
        moe_try(read_at(file, at, buffer, bytes, err));
        XXH3_128bits_update(hash, buffer, (size_t)bytes);
    }
out:
    free(buffer);
    return status;
}

/* header is blanked where the digits stand. */
static moe_status verify_checksum(const struct safetensors *file, char *header, int64_t length,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    XXH3_state_t *hash = NULL;
    char computed[CHECKSUM_DIGITS + 1];
    const char *stored = safetensors_metadata(file, CHECKSUM_KEY);
    char *digits = NULL;
    moe_check(stored != NULL && strlen(stored) == CHECKSUM_DIGITS, err, MOE_EFORMAT,
              "%s: carries no checksum \"%s\" of %d digits: it is damaged or was not written as a checkpoint",
              file->label, CHECKSUM_KEY, CHECKSUM_DIGITS);
    digits = safetensors_checksum_digits(header, length);
    moe_check(digits != NULL, err, MOE_EFORMAT,
              "%s: the checksum does not stand in the header's canonical form", file->label);
    memset(digits, '0', CHECKSUM_DIGITS);
    hash = safetensors_checksum_begin(header, length);
    moe_check(hash != NULL, err, MOE_ENOMEM, "%s: no memory to check it", file->label);
    moe_try(hash_data(file, 8 + length, hash, err));
    safetensors_checksum_end(hash, computed);
    moe_check(memcmp(computed, stored, CHECKSUM_DIGITS) == 0, err, MOE_EFORMAT,
              "%s: damaged: its checksum says %s, its bytes give %s", file->label, stored, computed);
out:
    XXH3_freeState(hash);
    return status;
}

/* ---- opening
 * -------------------------------------------------------------------------------------------------- */

static moe_status new_file(const char *label, struct safetensors **out_file, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = calloc(1, sizeof *file);
    moe_check(file != NULL, err, MOE_ENOMEM, "%s: no memory to open it", label);
    file->fd = -1;
    file->label = strdup(label);
    moe_check(file->label != NULL, err, MOE_ENOMEM, "%s: no memory to open it", label);
    *out_file = file;
    file = NULL;
out:
    safetensors_close(file);
    return status;
}

static moe_status check_file(struct safetensors *file, unsigned flags, moe_err *err) {
    moe_status status = MOE_OK;
    char *header = NULL;
    int64_t length = 0;
    moe_try(read_header(file, &header, &length, err));
    moe_try(parse_header(file, header, length, err));
    if (flags & SAFETENSORS_CHECKSUM) moe_try(verify_checksum(file, header, length, err));
out:
    free(header);
    return status;
}

moe_status safetensors_open(const char *path, unsigned flags, struct safetensors **out_file, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    struct stat info;
    moe_try(new_file(path, &file, err));
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block: it is refused below */
    moe_check(file->fd >= 0, err, errno == ENOENT ? MOE_ENOTFOUND : MOE_EIO, "%s: cannot open: %s", path,
              strerror(errno));
    moe_check(fstat(file->fd, &info) == 0, err, MOE_EIO, "%s: cannot stat: %s", path, strerror(errno));
    moe_check(S_ISREG(info.st_mode), err, MOE_EIO, "%s: is not a regular file", path);
    file->size = info.st_size;
    moe_try(check_file(file, flags, err));
    *out_file = file;
    file = NULL;
out:
    safetensors_close(file);
    return status;
}

moe_status safetensors_open_memory(const char *label, const void *bytes, size_t size, unsigned flags,
                                   struct safetensors **out_file, moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    moe_check(size <= INT64_MAX, err, MOE_EARG, "%s: too large", label);
    moe_try(new_file(label, &file, err));
    file->memory = bytes;
    file->size = (int64_t)size;
    moe_try(check_file(file, flags, err));
    *out_file = file;
    file = NULL;
out:
    safetensors_close(file);
    return status;
}

void safetensors_close(struct safetensors *file) {
    if (file == NULL) return;
    if (file->fd >= 0) close(file->fd);
    json_decref(file->root);
    free(file->tensors);
    free(file->label);
    free(file);
}

/* ---- looking up and reading
 * ----------------------------------------------------------------------------------- */

int64_t safetensors_count(const struct safetensors *file) {
    return file->count;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *file, int64_t i) {
    return i >= 0 && i < file->count ? &file->tensors[i] : NULL;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name) {
    const struct safetensors_tensor key = {.name = name};
    if (file->count == 0) return NULL;
    return bsearch(&key, file->tensors, (size_t)file->count, sizeof *file->tensors, by_name);
}

moe_status safetensors_require(const struct safetensors *file, const char *name, int32_t rank,
                               const int64_t *shape, const struct safetensors_tensor **out_tensor,
                               moe_err *err) {
    moe_status status = MOE_OK;
    char found[160], wanted[160];
    const struct safetensors_tensor *tensor = safetensors_find(file, name);
    moe_check(tensor != NULL, err, MOE_ENOTFOUND, "%s: has no tensor %s", file->label, name);
    moe_check(tensor->rank == rank && memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0, err,
              MOE_EMISMATCH, "%s: tensor %s has shape %s, expected %s", file->label, name,
              safetensors_shape_text(found, sizeof found, tensor->rank, tensor->shape),
              safetensors_shape_text(wanted, sizeof wanted, rank, shape));
    *out_tensor = tensor;
out:
    return status;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key) {
    return json_string_value(json_object_get(file->metadata, key));
}

moe_status safetensors_read(const struct safetensors *file, const struct safetensors_tensor *tensor,
                            enum safetensors_dtype dtype, void *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(tensor->dtype == dtype, err, MOE_EMISMATCH, "%s: tensor %s is of type %s, expected %s",
              file->label, tensor->name, safetensors_dtype_name(tensor->dtype),
              safetensors_dtype_name(dtype));
    moe_try(read_at(file, tensor->offset, out, tensor->bytes, err));
out:
    return status;
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; every value is a float. */
static float float_of_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31,
                   fraction = half & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) return (sign != 0 ? -0x1p-24f : 0x1p-24f) * (float)fraction;
    return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

#define CONVERT(type, expression)                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                                        \
        type value;                                                                                          \
        memcpy(&value, bytes + (size_t)i * sizeof value, sizeof value);                                      \
        out[i] = expression;                                                                                 \
    }                                                                                                        \
    break

static void convert(float *out, const unsigned char *bytes, enum safetensors_dtype dtype, int64_t n) {
    switch (dtype) {
    case SAFETENSORS_U8:
        CONVERT(uint8_t, (float)value);
    case SAFETENSORS_F16:
        CONVERT(uint16_t, float_of_half(value));
    case SAFETENSORS_BF16:
        CONVERT(uint16_t, float_of_bits((uint32_t)value << 16));
    case SAFETENSORS_I32:
        CONVERT(int32_t, (float)value);
    case SAFETENSORS_F32:
        CONVERT(float, value);
    case SAFETENSORS_F64:
        CONVERT(double, (float)value);
    case SAFETENSORS_I64:
        CONVERT(int64_t, (float)value);
    case SAFETENSORS_DTYPE_COUNT:
        break;
    }
}

moe_status safetensors_read_float(const struct safetensors *file, const struct safetensors_tensor *tensor,
                                  float *out, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char buffer[32768];
    const int64_t width = safetensors_dtype_size(tensor->dtype), piece = (int64_t)sizeof buffer / width;
    if (tensor->dtype == SAFETENSORS_F32) return safetensors_read(file, tensor, SAFETENSORS_F32, out, err);
    for (int64_t done = 0; done < tensor->count; done += piece) {
        const int64_t n = tensor->count - done < piece ? tensor->count - done : piece;
        moe_try(read_at(file, tensor->offset + done * width, buffer, n * width, err));
        convert(out + done, buffer, tensor->dtype, n);
    }
out:
    return status;
}
