/* config_schema.c - what one value may be, and how it goes into a struct and comes back. */
#include "core/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/text.h"

static const char *const type_names[] = {
    [CONFIG_INT32] = "an integer",
    [CONFIG_INT64] = "an integer",
    [CONFIG_UINT64] = "an integer",
    [CONFIG_FLOAT] = "a number",
    [CONFIG_BOOL] = "true or false",
    [CONFIG_ENUM] = "one of",
    [CONFIG_STRING] = "a string",
    [CONFIG_INT32_LIST] = "a list of integers",
    [CONFIG_STRING_LIST] = "a list of strings",
};
_Static_assert(sizeof type_names / sizeof *type_names == CONFIG_TYPE_COUNT, "every type has a name");

static const char *json_type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a table";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "nothing";
    }
}

const struct config_key *config_find(const struct config_schema *schema, const char *name) {
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->keys[i].name, name) == 0) return &schema->keys[i];
    return NULL;
}

static int word_index(const struct config_key *key, const char *word) {
    for (int i = 0; key->words != NULL && key->words[i] != NULL; i++)
        if (strcmp(key->words[i], word) == 0) return i;
    return -1;
}

void config_expected(const struct config_key *key, struct text *t) {
    char low[TEXT_NUMBER_MAX], high[TEXT_NUMBER_MAX];
    text_append(t, "%s", type_names[key->type]);
    for (int i = 0; key->words != NULL && key->words[i] != NULL; i++)
        text_append(t, "%s\"%s\"", i > 0 ? ", " : key->type == CONFIG_ENUM ? " " : " or ", key->words[i]);
    if (key->type == CONFIG_STRING || key->type == CONFIG_STRING_LIST || key->type == CONFIG_ENUM ||
        key->type == CONFIG_BOOL)
        return;
    text_number(key->min, low);
    text_number(key->max, high);
    if (key->max >= CONFIG_UNBOUNDED)
        text_append(t, " %s %s", key->open & CONFIG_ABOVE_MIN ? "above" : "of at least", low);
    else
        text_append(t, " in %c%s, %s%c", key->open & CONFIG_ABOVE_MIN ? '(' : '[', low, high,
                    key->open & CONFIG_BELOW_MAX ? ')' : ']');
}

/* MOE_ECONFIG: `PLACE: KEY: <what is wrong>; expected <type and range>`. */
static moe_status refuse(const struct config_key *key, const char *place, moe_err *err, const char *found) {
    struct text expected = {0};
    config_expected(key, &expected);
    const moe_status status =
        moe_fail(err, MOE_ECONFIG, "%s: %s: %s; expected %s%s%s", place, key->name, found,
                 expected.failed || expected.data == NULL ? "another value" : expected.data,
                 key->unit[0] != 0 ? " " : "", key->unit);
    text_free(&expected);
    return status;
}

static moe_status refuse_type(const struct config_key *key, const json_t *value, const char *place,
                              moe_err *err) {
    char found[64];
    snprintf(found, sizeof found, "this is %s", json_type_name(value));
    return refuse(key, place, err, found);
}

static bool in_range(const struct config_key *key, double value) {
    return isfinite(value) && (key->open & CONFIG_ABOVE_MIN ? value > key->min : value >= key->min) &&
           (key->open & CONFIG_BELOW_MAX ? value < key->max : value <= key->max);
}

static moe_status check_number(const struct config_key *key, const json_t *value, const char *place,
                               moe_err *err) {
    if (in_range(key, json_number_value(value))) return MOE_OK;
    char number[TEXT_NUMBER_MAX], found[64];
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    else
        text_number(json_real_value(value), number);
    snprintf(found, sizeof found, "%s is out of range", number);
    return refuse(key, place, err, found);
}

static moe_status check_string(const struct config_key *key, const char *string, size_t size,
                               const char *place, moe_err *err) {
    char found[96];
    if (strlen(string) < size) return MOE_OK;
    snprintf(found, sizeof found, "%zu bytes are more than the %zu that fit", strlen(string), size - 1);
    return refuse(key, place, err, found);
}

static moe_status check_word(const struct config_key *key, const char *word, const char *place,
                             moe_err *err) {
    char found[192];
    size_t words = 0;
    if (word_index(key, word) >= 0) return MOE_OK;
    while (key->words[words] != NULL)
        words++;
    const char *nearest = text_nearest(word, key->words, words);
    snprintf(found, sizeof found, "\"%.48s\" is not known%s%.64s%s", word,
             nearest != NULL ? " (did you mean \"" : "", nearest != NULL ? nearest : "",
             nearest != NULL ? "\"?)" : "");
    return refuse(key, place, err, found);
}

static moe_status check_list(const struct config_key *key, const json_t *value, const char *place,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char found[64];
    if (json_array_size(value) > key->capacity) {
        snprintf(found, sizeof found, "%zu elements are more than %zu", json_array_size(value),
                 key->capacity);
        return refuse(key, place, err, found);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (key->type == CONFIG_STRING_LIST) {
            if (!json_is_string(item)) return refuse_type(key, item, place, err);
            moe_try(check_string(key, json_string_value(item), key->item_size, place, err));
        } else {
            if (!json_is_integer(item)) return refuse_type(key, item, place, err);
            moe_try(check_number(key, item, place, err));
        }
    }
out:
    return status;
}

static moe_status check_value(const struct config_key *key, const json_t *value, const char *place,
                              moe_err *err) {
    switch (key->type) {
    case CONFIG_INT32:
    case CONFIG_INT64:
    case CONFIG_UINT64:
        return json_is_integer(value) ? check_number(key, value, place, err)
                                      : refuse_type(key, value, place, err);
    case CONFIG_FLOAT:
        return json_is_number(value) ? check_number(key, value, place, err)
                                     : refuse_type(key, value, place, err);
    case CONFIG_BOOL:
        return json_is_boolean(value) ? MOE_OK : refuse_type(key, value, place, err);
    case CONFIG_ENUM:
        return json_is_string(value) ? check_word(key, json_string_value(value), place, err)
                                     : refuse_type(key, value, place, err);
    case CONFIG_STRING:
        return json_is_string(value) ? check_string(key, json_string_value(value), key->capacity, place, err)
                                     : refuse_type(key, value, place, err);
    default:
        if (json_is_string(value) && key->words != NULL)
            return check_word(key, json_string_value(value), place, err);
        return json_is_array(value) ? check_list(key, value, place, err)
                                    : refuse_type(key, value, place, err);
    }
}

moe_status config_unknown(moe_status code, const char *what, const char *word, const char *const *known,
                          size_t count, const char *place, moe_err *err) {
    const char *nearest = text_nearest(word, known, count);
    if (nearest != NULL)
        return moe_fail(err, code, "%s: no such %s: %.100s; did you mean %s?", place, what, word, nearest);
    struct text list = {0};
    for (size_t i = 0; i < count && list.length < 600; i++)
        text_append(&list, "%s%s", i > 0 ? ", " : "", known[i]);
    const moe_status status = moe_fail(err, code, "%s: no such %s: %.100s; there are: %s", place, what, word,
                                       list.data != NULL ? list.data : "none");
    text_free(&list);
    return status;
}

/* The key whose part behind the dot is `name`, for those who leave out or mistake the section; else NULL. */
static const char *key_of_other_section(const struct config_schema *schema, const char *name) {
    const char *dot = strchr(name, '.'), *word = dot != NULL ? dot + 1 : name;
    for (size_t i = 0; i < schema->count; i++) {
        const char *known = strchr(schema->keys[i].name, '.');
        if (known != NULL && strcmp(known + 1, word) == 0) return schema->keys[i].name;
    }
    return NULL;
}

/* Names the nearest key; if none is near, those of the same section, else the sections. */
static moe_status unknown_key(const struct config_schema *schema, const char *name, const char *place,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const size_t prefix = strcspn(name, ".");
    const char *nearest = key_of_other_section(schema, name);
    size_t count = 0;
    const char **names = calloc(schema->count + 1, sizeof *names);
    moe_check(names != NULL, err, MOE_ENOMEM, "no memory for a list of keys");
    for (size_t i = 0; i < schema->count; i++)
        names[i] = schema->keys[i].name;
    if (text_nearest(name, names, schema->count) != NULL) {
        count = schema->count;
    } else if (nearest != NULL) {
        status =
            moe_fail(err, MOE_ECONFIG, "%s: no such key: %.100s; did you mean %s?", place, name, nearest);
        goto out;
    } else {
        for (size_t i = 0; i < schema->count; i++)
            if (strncmp(schema->keys[i].name, name, prefix + 1) == 0) names[count++] = schema->keys[i].name;
    }
    moe_check(count > 0, err, MOE_ECONFIG, "%s: no such key: %.100s; keys are SECTION.KEY, such as %s", place,
              name, schema->keys[0].name);
    status = config_unknown(MOE_ECONFIG, "key", name, names, count, place, err);
out:
    free(names);
    return status;
}

moe_status config_check(const struct config_schema *schema, const char *name, const json_t *value,
                        const char *place, moe_err *err) {
    const struct config_key *key = config_find(schema, name);
    return key == NULL ? unknown_key(schema, name, place, err) : check_value(key, value, place, err);
}

static void store_list(const struct config_key *key, const json_t *value, char *to, int32_t *count) {
    *count = (int32_t)json_array_size(value);
    for (int32_t i = 0; i < *count; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        if (key->type == CONFIG_STRING_LIST)
            snprintf(to + (size_t)i * key->item_size, key->item_size, "%s", json_string_value(item));
        else
            ((int32_t *)(void *)to)[i] = (int32_t)json_integer_value(item);
    }
}

void config_store(const struct config_key *key, const json_t *value, void *out) {
    char *to = (char *)out + key->offset;
    switch (key->type) {
    case CONFIG_INT32:
        *(int32_t *)(void *)to = (int32_t)json_integer_value(value);
        break;
    case CONFIG_INT64:
        *(int64_t *)(void *)to = json_integer_value(value);
        break;
    case CONFIG_UINT64:
        *(uint64_t *)(void *)to = (uint64_t)json_integer_value(value);
        break;
    case CONFIG_FLOAT:
        *(double *)(void *)to = json_number_value(value);
        break;
    case CONFIG_BOOL:
        *(bool *)(void *)to = json_is_true(value);
        break;
    case CONFIG_ENUM:
        *(int *)(void *)to = word_index(key, json_string_value(value));
        break;
    case CONFIG_STRING:
        snprintf(to, key->capacity, "%s", json_string_value(value));
        break;
    default: {
        int32_t *count = (int32_t *)(void *)((char *)out + key->count_offset);
        if (json_is_string(value))
            *count = -1 - word_index(key, json_string_value(value));
        else
            store_list(key, value, to, count);
    }
    }
}

static json_t *load_list(const struct config_key *key, const char *at, int32_t count) {
    if (count < 0) return json_string(key->words[-1 - count]);
    json_t *list = json_array();
    for (int32_t i = 0; list != NULL && i < count; i++) {
        json_t *item = key->type == CONFIG_STRING_LIST ? json_string(at + (size_t)i * key->item_size)
                                                       : json_integer(((const int32_t *)(const void *)at)[i]);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *config_load(const struct config_key *key, const void *from) {
    const char *at = (const char *)from + key->offset;
    switch (key->type) {
    case CONFIG_INT32:
        return json_integer(*(const int32_t *)(const void *)at);
    case CONFIG_INT64:
        return json_integer(*(const int64_t *)(const void *)at);
    case CONFIG_UINT64:
        return json_integer((json_int_t) * (const uint64_t *)(const void *)at);
    case CONFIG_FLOAT:
        return json_real(*(const double *)(const void *)at);
    case CONFIG_BOOL:
        return json_boolean(*(const bool *)(const void *)at);
    case CONFIG_ENUM:
        return json_string(key->words[*(const int *)(const void *)at]);
    case CONFIG_STRING:
        return json_string(at);
    default:
        return load_list(key, at, *(const int32_t *)(const void *)((const char *)from + key->count_offset));
    }
}
