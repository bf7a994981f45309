#include "data/text_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/registry.h"

/* Bytes of the well-formed UTF-8 character at p, 0 if there is none (Unicode standard, table 3-7). */
static int64_t utf8_length(const unsigned char *p, int64_t left) {
    if (p[0] < 0x80) return 1;
    const int64_t need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || need > left) return 0;
    unsigned low = 0x80, high = 0xbf; /* of the second byte */
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    if (p[1] < low || p[1] > high) return 0;
    for (int64_t i = 2; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return need;
}

int64_t utf8_first_bad(const char *bytes, int64_t size) {
    const unsigned char *p = (const unsigned char *)bytes;
    for (int64_t i = 0; i < size;) {
        const int64_t n = utf8_length(p + i, size - i);
        if (n == 0) return i;
        i += n;
    }
    return -1;
}

static moe_status check_text(const struct text_file *text, bool utf8, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(text->size > 0, err, MOE_EFORMAT, "%s: the file is empty; fetch it again or name another",
              text->path);
    const char *nul = memchr(text->bytes, '\0', (size_t)text->size);
    moe_check(nul == NULL, err, MOE_EFORMAT,
              "%s: NUL byte at offset %lld: this is not a text file; name the text it was made from",
              text->path, (long long)(nul - text->bytes));
    const int64_t bad = utf8 ? utf8_first_bad(text->bytes, text->size) : -1;
    moe_check(
        bad < 0, err, MOE_EFORMAT,
        "%s: byte 0x%02x at offset %lld is not UTF-8; convert the file (iconv -t UTF-8) or use tokenizer "
        "\"byte\"",
        text->path, (unsigned char)text->bytes[bad], (long long)bad);
out:
    return status;
}

static moe_status missing_file(const char *folder, const char *name, const char *path, moe_err *err) {
    const struct data_set *set = registry_holding(name);
    if (folder == NULL) return moe_fail(err, MOE_ENOTFOUND, "%s: no such file; name one that is there", path);
    if (set == NULL)
        return moe_fail(err, MOE_ENOTFOUND,
                        "%s: no such file; it is in no data set of `moe data list`: point --data-dir at the "
                        "folder that has it, or name another",
                        path);
    return moe_fail(
        err, MOE_ENOTFOUND,
        "%s: no such file; get it with `moe data fetch %s` or point --data-dir at the folder that "
        "has it",
        path, set->name);
}

moe_status text_file_read(const char *folder, const char *name, bool utf8, struct text_file *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct text_file text = {0};
    unsigned char *bytes = NULL;
    size_t size = 0;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: out of memory", name);
    if (!file_exists(path)) {
        status = missing_file(folder, name, path, err);
        goto out;
    }
    moe_try(file_read_all(path, SIZE_MAX / 2, &bytes, &size, err));
    text.bytes = (char *)bytes;
    text.size = (int64_t)size;
    snprintf(text.name, sizeof text.name, "%s", name);
    snprintf(text.path, sizeof text.path, "%s", path);
    moe_try(check_text(&text, utf8, err));
    moe_try(hash_sha256(text.bytes, size, text.sha256, err));
    *out = text;
    text.bytes = NULL;
out:
    free(text.bytes);
    free(path);
    return status;
}

void text_file_free(struct text_file *text) {
    free(text->bytes);
    *text = (struct text_file){0};
}
