#include "core/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/text.h"
#include "core/toml_shim.h"

struct config {
    json_t *values; /* key -> value */
    json_t *places; /* key -> "FILE:LINE" */
};

moe_status config_new(struct config **out_config, moe_err *err) {
    moe_status status = MOE_OK;
    struct config *config = calloc(1, sizeof *config);
    moe_check(config != NULL, err, MOE_ENOMEM, "no memory for a configuration");
    config->values = json_object();
    config->places = json_object();
    moe_check(config->values != NULL && config->places != NULL, err, MOE_ENOMEM,
              "no memory for a configuration");
    *out_config = config;
    config = NULL;
out:
    config_free(config);
    return status;
}

void config_free(struct config *config) {
    if (config == NULL) return;
    json_decref(config->values);
    json_decref(config->places);
    free(config);
}

moe_status config_put(struct config *config, const struct config_schema *schema, const char *name,
                      json_t *value, const char *place, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(config_check(schema, name, value, place, err));
    moe_check(json_object_set(config->values, name, value) == 0 &&
                  json_object_set_new(config->places, name, json_string(place)) == 0,
              err, MOE_ENOMEM, "no memory for a configuration");
out:
    return status;
}

static bool is_bare_word(const char *text) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./@";
    return *text != 0 && text[strspn(text, allowed)] == 0;
}

moe_status config_parse_value(const char *text, const char *place, json_t **out_value, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *root = NULL, *value = NULL;
    struct text line = {0};
    text_append(&line, "v = %s\n", text);
    moe_check(!line.failed, err, MOE_ENOMEM, "no memory for a value");
    status = toml_parse(line.data, line.length, place, &root, NULL, NULL);
    value = status == MOE_OK && json_object_size(root) == 1 ? json_object_get(root, "v") : NULL;
    status = MOE_OK;
    if (value == NULL && is_bare_word(text)) {
        *out_value = json_string(text);
        moe_check(*out_value != NULL, err, MOE_ENOMEM, "no memory for a value");
    } else {
        moe_check(value != NULL, err, MOE_ECONFIG,
                  "%s: '%.200s' is not a value; write a number, true, false, a \"string\" or a [list]", place,
                  text);
        *out_value = json_incref(value);
    }
out:
    text_free(&line);
    json_decref(root);
    return status;
}

moe_status config_set(struct config *config, const struct config_schema *schema, const char *assignment,
                      moe_err *err) {
    moe_status status = MOE_OK;
    static const char place[] = "--set";
    json_t *value = NULL;
    char *name = NULL;
    const char *equals = strchr(assignment, '=');
    moe_check(equals != NULL && equals != assignment, err, MOE_ECONFIG,
              "%s: '%.200s' is not of the form SECTION.KEY=VALUE", place, assignment);
    name = strndup(assignment, (size_t)(equals - assignment));
    moe_check(name != NULL, err, MOE_ENOMEM, "no memory for a key");
    moe_try(config_parse_value(equals + 1, place, &value, err));
    moe_try(config_put(config, schema, name, value, place, err));
out:
    json_decref(value);
    free(name);
    return status;
}

const json_t *config_value(const struct config *config, const char *name) {
    return json_object_get(config->values, name);
}

const char *config_place(const struct config *config, const char *name) {
    const char *place = json_string_value(json_object_get(config->places, name));
    return place != NULL ? place : "default";
}

moe_status config_fill(const struct config *config, const struct config_schema *schema, void *out,
                       moe_err *err) {
    moe_status status = MOE_OK;
    json_t *fallback = NULL;
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_key *key = &schema->keys[i];
        const json_t *value = config_value(config, key->name);
        if (value == NULL) {
            moe_try(config_parse_value(key->value, "default", &fallback, err));
            moe_try(config_check(schema, key->name, fallback, "default", err));
            value = fallback;
        }
        config_store(key, value, out);
        json_decref(fallback);
        fallback = NULL;
    }
out:
    json_decref(fallback);
    return status;
}

bool config_has_default(const struct config_key *key, const void *from) {
    json_t *standard = NULL, *value = config_load(key, from);
    const bool parsed = config_parse_value(key->value, key->name, &standard, NULL) == MOE_OK;
    const bool same = parsed && (json_is_number(value) && json_is_number(standard)
                                     ? json_number_value(value) == json_number_value(standard)
                                     : json_equal(value, standard));
    json_decref(standard);
    json_decref(value);
    return same;
}

json_t *config_to_json(const struct config_schema *schema, const void *from) {
    json_t *root = json_object();
    for (size_t i = 0; root != NULL && i < schema->count; i++) {
        char section[64];
        const struct config_key *key = &schema->keys[i];
        if (key->silent && config_has_default(key, from)) continue;
        const char *dot = strchr(key->name, '.');
        json_t *table = root;
        if (dot != NULL) {
            snprintf(section, sizeof section, "%.*s", (int)(dot - key->name), key->name);
            table = json_object_get(root, section);
            if (table == NULL && json_object_set_new(root, section, json_object()) == 0)
                table = json_object_get(root, section);
        }
        if (table == NULL ||
            json_object_set_new(table, dot != NULL ? dot + 1 : key->name, config_load(key, from)) != 0) {
            json_decref(root);
            root = NULL;
        }
    }
    return root;
}

static void append_json(struct text *t, const json_t *value);

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of an object's members in the order of their bytes: malloc'ed, NULL when memory is out. */
static const char **sorted_names(const json_t *object) {
    const size_t count = json_object_size(object);
    const char **names = calloc(count + 1, sizeof *names);
    const char *name;
    json_t *value;
    size_t i = 0;
    if (names == NULL) return NULL;
    json_object_foreach((json_t *)object, name, value) names[i++] = name;
    qsort(names, count, sizeof *names, compare_names);
    return names;
}

static void append_real(struct text *t, double value) {
    char number[TEXT_NUMBER_MAX];
    text_number(value, number);
    text_append(t, "%s%s", number, strpbrk(number, ".e") == NULL ? ".0" : "");
}

static void append_object(struct text *t, const json_t *object) {
    const char **names = sorted_names(object);
    if (names == NULL) {
        t->failed = true;
        return;
    }
    text_append_bytes(t, "{", 1);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (i > 0) text_append_bytes(t, ",", 1);
        text_append_quoted(t, names[i]);
        text_append_bytes(t, ":", 1);
        append_json(t, json_object_get(object, names[i]));
    }
    text_append_bytes(t, "}", 1);
    free(names);
}

static void append_json(struct text *t, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(t, value);
        break;
    case JSON_ARRAY:
        text_append_bytes(t, "[", 1);
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i > 0) text_append_bytes(t, ",", 1);
            append_json(t, json_array_get(value, i));
        }
        text_append_bytes(t, "]", 1);
        break;
    case JSON_STRING:
        text_append_quoted(t, json_string_value(value));
        break;
    case JSON_INTEGER:
        text_append(t, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        append_real(t, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        text_append(t, "%s", json_is_true(value) ? "true" : "false");
        break;
    default:
        text_append(t, "null");
    }
}

moe_status config_canonical_json(const json_t *value, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    append_json(&t, value);
    moe_try(text_take(&t, out_text, err));
out:
    text_free(&t);
    return status;
}

/* The members of one table that are tables themselves, or those that are not. */
static void append_toml_members(struct text *t, const json_t *object, const char *const *names, bool tables) {
    for (size_t i = 0; names[i] != NULL; i++) {
        const json_t *value = json_object_get(object, names[i]);
        if (json_is_object(value) != tables) continue;
        if (!tables) {
            text_append(t, "%s = ", names[i]);
            append_json(t, value);
            text_append_bytes(t, "\n", 1);
            continue;
        }
        const char **inner = sorted_names(value);
        if (inner == NULL) {
            t->failed = true;
            return;
        }
        text_append(t, "%s[%s]\n", t->length > 0 ? "\n" : "", names[i]);
        append_toml_members(t, value, inner, false);
        free(inner);
    }
}

moe_status config_canonical_toml(const json_t *object, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    const char **names = sorted_names(object);
    moe_check(names != NULL, err, MOE_ENOMEM, "no memory for a list of keys");
    append_toml_members(&t, object, names, false);
    append_toml_members(&t, object, names, true);
    moe_try(text_take(&t, out_text, err));
out:
    text_free(&t);
    free(names);
    return status;
}

moe_status config_scalar_text(const json_t *value, char *out, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    char number[TEXT_NUMBER_MAX];
    int length = -1;
    if (json_is_string(value)) {
        length = snprintf(out, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        length = snprintf(out, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        text_number(json_real_value(value), number);
        length = snprintf(out, size, "%s", number);
    } else if (json_is_boolean(value)) {
        length = snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    }
    moe_check(length >= 0 && (size_t)length < size, err, MOE_ECONFIG,
              "a value of an axis must be a short scalar");
out:
    return status;
}

void config_describe(const struct config *config, const struct config_schema *schema, const void *from,
                     const char *name, char *out, size_t size) {
    struct text t = {0};
    const struct config_key *key = config_find(schema, name);
    json_t *value = key != NULL ? config_load(key, from) : NULL;
    if (value != NULL) append_json(&t, value);
    snprintf(out, size, "%s = %.60s%s%s%s", name, t.data != NULL ? t.data : "?", config != NULL ? " (" : "",
             config != NULL ? config_place(config, name) : "", config != NULL ? ")" : "");
    json_decref(value);
    text_free(&t);
}

moe_status config_document(const struct config_schema *schema, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    for (size_t i = 0; i < schema->count; i++) {
        const struct config_key *key = &schema->keys[i];
        text_append(&t, "%s = %s\n    ", key->name, key->value);
        config_expected(key, &t);
        text_append(&t, "%s%s. %s\n", key->unit[0] != 0 ? " " : "", key->unit, key->doc);
    }
    moe_try(text_take(&t, out_text, err));
out:
    text_free(&t);
    return status;
}
