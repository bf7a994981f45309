#include "analysis/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/toml_shim.h"

struct published {
    char *path;
    json_t *root;
};

moe_status published_open(const char *directory, const char *source, struct published **out_published,
                          moe_err *err) {
    moe_status status = MOE_OK;
    char name[64];
    struct published *p = calloc(1, sizeof *p);
    snprintf(name, sizeof name, "%s.toml", source);
    if (p != NULL) p->path = path_join(directory, name);
    moe_check(p != NULL && p->path != NULL, err, MOE_ENOMEM, "no memory for the published numbers of %s",
              source);
    moe_try(toml_parse_file(p->path, &p->root, NULL, err));
    *out_published = p;
    p = NULL;
out:
    published_close(p);
    return status;
}

void published_close(struct published *p) {
    if (p == NULL) return;
    json_decref(p->root);
    free(p->path);
    free(p);
}

const char *published_path(const struct published *p) {
    return p->path;
}

/* The value of a dotted name; on failure NULL, and *missing is the length of the name up to the part that is
 * not there. */
static const json_t *look_up(const struct published *p, const char *name, int *missing) {
    const json_t *at = p->root;
    const char *part = name;
    for (;;) {
        char key[128];
        const size_t length = strcspn(part, ".");
        *missing = (int)(part + length - name);
        if (length == 0 || length >= sizeof key) return NULL;
        memcpy(key, part, length);
        key[length] = '\0';
        at = json_object_get(at, key);
        if (at == NULL || part[length] == '\0') return at;
        part += length + 1;
    }
}

static moe_status require(const struct published *p, const char *name, const json_t **out, moe_err *err) {
    moe_status status = MOE_OK;
    int missing = 0;
    *out = look_up(p, name, &missing);
    moe_check(*out != NULL, err, MOE_ENOTFOUND, "%s: no %.*s", p->path, missing, name);
out:
    return status;
}

moe_status published_number(const struct published *p, const char *name, double *out_value, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = NULL;
    moe_try(require(p, name, &value, err));
    moe_check(json_is_number(value), err, MOE_ECONFIG, "%s: %s is not a number", p->path, name);
    *out_value = json_number_value(value);
out:
    return status;
}

moe_status published_array(const struct published *p, const char *name, double **out_values,
                           int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *array = NULL;
    double *values = NULL;
    moe_try(require(p, name, &array, err));
    moe_check(json_is_array(array), err, MOE_ECONFIG, "%s: %s is not an array", p->path, name);
    const size_t n = json_array_size(array);
    values = malloc((n + 1) * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "%s: no memory for %s", p->path, name);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        moe_check(json_is_number(value), err, MOE_ECONFIG, "%s: %s[%zu] is not a number", p->path, name, i);
        values[i] = json_number_value(value);
    }
    *out_values = values;
    *out_count = (int32_t)n;
    values = NULL;
out:
    free(values);
    return status;
}

bool published_has(const struct published *p, const char *name) {
    int missing = 0;
    return look_up(p, name, &missing) != NULL;
}

moe_status published_string(const struct published *p, const char *name, const char **out_text,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = NULL;
    moe_try(require(p, name, &value, err));
    moe_check(json_is_string(value), err, MOE_ECONFIG, "%s: %s is not a string", p->path, name);
    *out_text = json_string_value(value);
out:
    return status;
}
