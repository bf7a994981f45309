#include "train/experiment_grammar.h"

#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/text.h"
#include "core/toml_shim.h"
#include "train/experiment.h"
#include "train/experiment_where.h"

#define MEMBERS_MAX    16
#define NAME_MAX_BYTES 64

enum shape {
    SHAPE_STRING,
    SHAPE_STRINGS, /* a string or a list of strings */
    SHAPE_BOOL,
    SHAPE_TABLE,  /* one table */
    SHAPE_TABLES, /* a table per name that the user chooses */
    SHAPE_AXES,
    SHAPE_LR_SWEEP,
    SHAPE_KEY,   /* the name of a key of EXPERIMENT_KEYS */
    SHAPE_SEEDS, /* a number of seeds, or an expression for one */
    SHAPE_SPEED  /* a number above 0 */
};

struct table_grammar {
    const char *what;
    bool sections; /* holds the sections of EXPERIMENT_KEYS */
    struct member {
        const char *name;
        enum shape shape;
        const struct table_grammar *inner;
    } members[MEMBERS_MAX]; /* ends with a NULL name */
};

static const struct table_grammar layer = {"layer", true, {{NULL, SHAPE_STRING, NULL}}};
static const struct table_grammar protocol = {"protocol", true, {{"doc", SHAPE_STRING, NULL}}};
static const struct table_grammar tier = {"tier",
                                          true,
                                          {{"doc", SHAPE_STRING, NULL},
                                           {"seeds", SHAPE_SEEDS, NULL},
                                           {"gflops", SHAPE_SPEED, NULL},
                                           {"us_per_expert", SHAPE_SPEED, NULL},
                                           {"ns_per_parameter", SHAPE_SPEED, NULL},
                                           {"protocol", SHAPE_TABLES, &layer},
                                           {"lr_sweep", SHAPE_LR_SWEEP, NULL}}};
static const struct table_grammar axis_tier = {"tier", true, {{"protocol", SHAPE_TABLES, &layer}}};
static const struct table_grammar axis_value = {
    "value of an axis",
    true,
    {{"doc", SHAPE_STRING, NULL}, {"protocol", SHAPE_TABLES, &layer}, {"tier", SHAPE_TABLES, &axis_tier}}};
static const struct table_grammar axis = {
    "axis",
    false,
    {{"doc", SHAPE_STRING, NULL}, {"key", SHAPE_KEY, NULL}, {"value", SHAPE_TABLES, &axis_value}}};

/* What chooses runs stands in the same four places of an experiment as values do. */
#define GRID                                                                                                 \
    {"axes", SHAPE_AXES, NULL}, {"where", SHAPE_STRINGS, NULL}, {                                            \
        "seeds", SHAPE_SEEDS, NULL                                                                           \
    }

static const struct table_grammar experiment_layer = {"layer", true, {GRID}};
static const struct table_grammar experiment_tier = {
    "tier", true, {{"protocol", SHAPE_TABLES, &experiment_layer}, GRID}};
static const struct table_grammar experiment = {"experiment",
                                                true,
                                                {{"inherit", SHAPE_STRING, NULL},
                                                 {"doc", SHAPE_STRING, NULL},
                                                 {"abstract", SHAPE_BOOL, NULL},
                                                 {"alias", SHAPE_STRING, NULL},
                                                 {"protocols", SHAPE_STRINGS, NULL},
                                                 {"tiers", SHAPE_STRINGS, NULL},
                                                 GRID,
                                                 {"protocol", SHAPE_TABLES, &experiment_layer},
                                                 {"tier", SHAPE_TABLES, &experiment_tier}}};
static const struct table_grammar whole_file = {"file",
                                                false,
                                                {{"title", SHAPE_STRING, NULL},
                                                 {"source", SHAPE_STRING, NULL},
                                                 {"inherit", SHAPE_STRINGS, NULL},
                                                 {"include", SHAPE_STRINGS, NULL},
                                                 {"base", SHAPE_TABLE, &layer},
                                                 {"protocol", SHAPE_TABLES, &protocol},
                                                 {"tier", SHAPE_TABLES, &tier},
                                                 {"lr_sweep", SHAPE_LR_SWEEP, NULL},
                                                 {"axis", SHAPE_TABLES, &axis},
                                                 {"experiment", SHAPE_TABLES, &experiment}}};

struct source_file {
    const char *path;
    const json_t *lines;
};

const char *leaf_place(const json_t *leaf) {
    return json_string_value(json_array_get(leaf, 0));
}

json_t *leaf_value(const json_t *leaf) {
    return json_array_get(leaf, 1);
}

moe_status grammar_value_text(const json_t *value, char *out, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    double fraction;
    moe_try(config_scalar_text(value, out, size, err));
    if (json_is_string(value) && where_value_number(value, &fraction)) *strchr(out, '/') = '_';
out:
    return status;
}

bool grammar_is_name(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const size_t length = strlen(name);
    return length > 0 && length <= NAME_MAX_BYTES && name[strspn(name, allowed)] == 0;
}

/* The place of a key: malloc'ed "FILE:LINE". */
static moe_status make_place(const struct source_file *file, const char *path, char **out_place,
                             moe_err *err) {
    struct text t = {0};
    const int line = toml_line(file->lines, path);
    text_append(&t, "%s", file->path);
    if (line > 0) text_append(&t, ":%d", line);
    const moe_status status = text_take(&t, out_place, err);
    text_free(&t);
    return status;
}

static moe_status make_path(const char *outer, const char *name, char **out_path, moe_err *err) {
    struct text t = {0};
    text_append(&t, "%s%s%s", outer, *outer != 0 ? "." : "", name);
    const moe_status status = text_take(&t, out_path, err);
    text_free(&t);
    return status;
}

static moe_status add_leaf(json_t *table, const char *name, const char *place, json_t *value, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *leaf = json_pack("[s,O]", place, value);
    moe_check(leaf != NULL && json_object_set(table, name, leaf) == 0, err, MOE_ENOMEM, "no memory for %s",
              name);
out:
    json_decref(leaf);
    return status;
}

static moe_status add_table(json_t *table, const char *name, json_t **out_inner, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(json_object_set_new(table, name, json_object()) == 0, err, MOE_ENOMEM, "no memory for %s",
              name);
    *out_inner = json_object_get(table, name);
out:
    return status;
}

static bool is_section(const char *name) {
    const size_t length = strlen(name);
    for (size_t i = 0; i < EXPERIMENT_KEYS.count; i++) {
        const char *key = EXPERIMENT_KEYS.keys[i].name;
        if (strncmp(key, name, length) == 0 && key[length] == '.') return true;
    }
    return false;
}

/* One key of a table: its name, path and value, and "FILE:LINE" of where it stands. */
struct entry {
    const char *name, *path, *place;
    json_t *value;
};

/* Converts one entry of a table into `out`; `context` is the rule's own. */
typedef moe_status entry_rule(const struct source_file *file, const struct entry *entry, const void *context,
                              json_t *out, moe_err *err);

/* Every entry of a table by one rule, in the order of the file. */
static moe_status convert_entries(const struct source_file *file, const char *path, json_t *table,
                                  entry_rule *rule, const void *context, json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *inner = NULL, *place = NULL;
    const char *name;
    json_t *value;
    json_object_foreach(table, name, value) {
        moe_try(make_path(path, name, &inner, err));
        moe_try(make_place(file, inner, &place, err));
        moe_try(rule(file, &(struct entry){name, inner, place, value}, context, out, err));
        free(inner);
        free(place);
        inner = place = NULL;
    }
out:
    free(inner);
    free(place);
    return status;
}

/* A key of [SECTION]; context: the section's name. Every key is checked against the table of keys. */
static moe_status convert_key(const struct source_file *file, const struct entry *entry, const void *context,
                              json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *full = NULL;
    (void)file;
    moe_try(make_path(context, entry->name, &full, err));
    moe_try(config_check(&EXPERIMENT_KEYS, full, entry->value, entry->place, err));
    moe_try(add_leaf(out, entry->name, entry->place, entry->value, err));
out:
    free(full);
    return status;
}

/* The values of an axis. A declared axis is checked against its declaration when all files are merged. */
static moe_status check_axis(const char *key, bool declared, json_t *values, const char *place,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char text[NAME_MAX_BYTES], other[NAME_MAX_BYTES];
    const bool is_list = json_is_array(values) && json_array_size(values) > 0;
    moe_check(is_list, err, MOE_ECONFIG, "%s: axis %s: this is no list of values, such as [1, 2, 4]", place,
              key);
    for (size_t i = 0; i < json_array_size(values); i++) {
        json_t *value = json_array_get(values, i);
        if (!declared) moe_try(config_check(&EXPERIMENT_KEYS, key, value, place, err));
        const bool is_scalar =
            !json_is_array(value) && grammar_value_text(value, text, sizeof text, NULL) == MOE_OK;
        moe_check(is_scalar, err, MOE_ECONFIG, "%s: axis %s: each value must be one short scalar", place,
                  key);
        moe_check(strpbrk(text, ",=/@ ") == NULL && text[0] != 0, err, MOE_ECONFIG,
                  "%s: axis %s: \"%s\" cannot stand in the name of a run (no ',', '=', '/', '@' or space)",
                  place, key, text);
        for (size_t j = 0; j < i; j++) {
            moe_try(grammar_value_text(json_array_get(values, j), other, sizeof other, err));
            moe_check(strcmp(text, other) != 0, err, MOE_ECONFIG, "%s: axis %s: %s stands there twice", place,
                      key, text);
        }
    }
out:
    return status;
}

/* An entry of [experiment.X.axes]; context: the key so far. "SECTION.KEY" = [...] and SECTION.KEY = [...]
 * mean the same; a name without a dot is that of a declared axis. */
static moe_status convert_axis(const struct source_file *file, const struct entry *entry, const void *context,
                               json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *key = NULL;
    moe_try(make_path(context, entry->name, &key, err));
    if (json_is_object(entry->value)) {
        moe_try(convert_entries(file, entry->path, entry->value, convert_axis, key, out, err));
    } else {
        moe_try(check_axis(key, strchr(key, '.') == NULL, entry->value, entry->place, err));
        moe_check(json_object_get(out, key) == NULL, err, MOE_ECONFIG, "%s: axis %s stands there twice",
                  entry->place, key);
        moe_try(add_leaf(out, key, entry->place, entry->value, err));
    }
out:
    free(key);
    return status;
}

/* An entry of [lr_sweep]: its values are of the kind of these keys. */
static moe_status convert_lr_sweep(const struct source_file *file, const struct entry *entry,
                                   const void *context, json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const names[] = {"lr", "steps", "warmup_steps"};
    static const char *const keys[] = {"train.lr", "train.max_steps", "train.warmup_steps"};
    size_t i = 0;
    (void)file;
    (void)context;
    while (i < 3 && strcmp(names[i], entry->name) != 0)
        i++;
    if (i == 3)
        moe_try(config_unknown(MOE_ECONFIG, "key of an lr_sweep", entry->name, names, 3, entry->place, err));
    if (i == 0) {
        moe_try(check_axis(keys[i], false, entry->value, entry->place, err));
    } else {
        moe_try(config_check(&EXPERIMENT_KEYS, keys[i], entry->value, entry->place, err));
    }
    moe_try(add_leaf(out, entry->name, entry->place, entry->value, err));
out:
    return status;
}

static entry_rule convert_table_entry;

/* An entry of a table of tables, such as [protocol]: names are the user's; context: the inner tables'
 * grammar. */
static moe_status convert_named(const struct source_file *file, const struct entry *entry,
                                const void *context, json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *to = NULL;
    moe_check(json_is_object(entry->value), err, MOE_ECONFIG, "%s: %.200s: a table is expected: [%.200s]",
              entry->place, entry->name, entry->path);
    moe_check(grammar_is_name(entry->name), err, MOE_ECONFIG,
              "%s: '%.100s' is no name: 1 to %d letters, digits, '_' and '-'", entry->place, entry->name,
              NAME_MAX_BYTES);
    moe_try(add_table(out, entry->name, &to, err));
    moe_try(convert_entries(file, entry->path, entry->value, convert_table_entry, context, to, err));
out:
    return status;
}

static moe_status check_strings(const char *name, json_t *value, const char *place, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(json_is_string(value) || json_is_array(value), err, MOE_ECONFIG,
              "%s: %s: a string or a list of strings is expected", place, name);
    for (size_t i = 0; i < json_array_size(value); i++)
        moe_check(json_is_string(json_array_get(value, i)), err, MOE_ECONFIG,
                  "%s: %s: a list of strings is expected", place, name);
out:
    return status;
}

/* A member that names a key: known, or the nearest is named. */
static moe_status check_key(const json_t *value, const char *place, moe_err *err) {
    moe_status status = MOE_OK;
    const char *name = json_string_value(value), **known = NULL;
    moe_check(name != NULL, err, MOE_ECONFIG, "%s: key: the name of a key is expected", place);
    if (config_find(&EXPERIMENT_KEYS, name) != NULL) return MOE_OK;
    known = calloc(EXPERIMENT_KEYS.count, sizeof *known);
    moe_check(known != NULL, err, MOE_ENOMEM, "no memory for a list of keys");
    for (size_t i = 0; i < EXPERIMENT_KEYS.count; i++)
        known[i] = EXPERIMENT_KEYS.keys[i].name;
    status = config_unknown(MOE_ECONFIG, "key", name, known, EXPERIMENT_KEYS.count, place, err);
out:
    free(known);
    return status;
}

static moe_status check_seeds(const json_t *value, const char *place, moe_err *err) {
    moe_status status = MOE_OK;
    const bool few = json_is_integer(value) && json_integer_value(value) >= 0 &&
                     json_integer_value(value) <= GRAMMAR_SEEDS_MAX;
    moe_check(few || json_is_string(value), err, MOE_ECONFIG,
              "%s: seeds: a number from 0 to %d is expected, or an expression such as \"1 + 4 * (s == 8)\"",
              place, GRAMMAR_SEEDS_MAX);
out:
    return status;
}

/* The rule and its context for the entries of a member that is a table. */
static entry_rule *rule_of(const struct member *member, const void **out_context) {
    *out_context = member->inner;
    switch (member->shape) {
    case SHAPE_AXES:
        *out_context = "";
        return convert_axis;
    case SHAPE_LR_SWEEP:
        return convert_lr_sweep;
    case SHAPE_TABLES:
        return convert_named;
    default:
        return convert_table_entry;
    }
}

static moe_status convert_member(const struct source_file *file, const struct entry *entry,
                                 const struct member *member, json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *inner = NULL;
    const void *context = NULL;
    switch (member->shape) {
    case SHAPE_STRING:
        moe_check(json_is_string(entry->value), err, MOE_ECONFIG, "%s: %s: a string is expected",
                  entry->place, member->name);
        return add_leaf(out, member->name, entry->place, entry->value, err);
    case SHAPE_BOOL:
        moe_check(json_is_boolean(entry->value), err, MOE_ECONFIG, "%s: %s: true or false is expected",
                  entry->place, member->name);
        return add_leaf(out, member->name, entry->place, entry->value, err);
    case SHAPE_KEY:
        moe_try(check_key(entry->value, entry->place, err));
        return add_leaf(out, member->name, entry->place, entry->value, err);
    case SHAPE_SEEDS:
        moe_try(check_seeds(entry->value, entry->place, err));
        return add_leaf(out, member->name, entry->place, entry->value, err);
    case SHAPE_SPEED:
        moe_check(json_number_value(entry->value) > 0, err, MOE_ECONFIG,
                  "%s: %s: a number above 0 is expected", entry->place, member->name);
        return add_leaf(out, member->name, entry->place, entry->value, err);
    case SHAPE_STRINGS:
        moe_try(check_strings(member->name, entry->value, entry->place, err));
        return add_leaf(out, member->name, entry->place, entry->value, err);
    default:
        moe_check(json_is_object(entry->value), err, MOE_ECONFIG, "%s: %s: a table is expected", entry->place,
                  member->name);
        moe_try(add_table(out, member->name, &inner, err));
        entry_rule *rule = rule_of(member, &context);
        return convert_entries(file, entry->path, entry->value, rule, context, inner, err);
    }
out:
    return status;
}

static moe_status unknown_member(const struct table_grammar *grammar, const char *name, const char *place,
                                 moe_err *err) {
    static const char *const sections[] = {"model", "moe", "data", "train"};
    const char *known[MEMBERS_MAX + 4];
    size_t count = 0;
    for (size_t i = 0; i < MEMBERS_MAX && grammar->members[i].name != NULL; i++)
        known[count++] = grammar->members[i].name;
    for (size_t i = 0; grammar->sections && i < 4; i++)
        known[count++] = sections[i];
    struct text what = {0};
    text_append(&what, "key or table of %s %s", strchr("aeiou", grammar->what[0]) != NULL ? "an" : "a",
                grammar->what);
    const moe_status status =
        config_unknown(MOE_ECONFIG, what.data != NULL ? what.data : "key", name, known, count, place, err);
    text_free(&what);
    return status;
}

/* An entry of a table with a grammar, which is the context. */
static moe_status convert_table_entry(const struct source_file *file, const struct entry *entry,
                                      const void *context, json_t *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct table_grammar *grammar = context;
    const struct member *member = NULL;
    json_t *to = NULL;
    for (size_t i = 0; i < MEMBERS_MAX && grammar->members[i].name != NULL; i++)
        if (strcmp(grammar->members[i].name, entry->name) == 0) member = &grammar->members[i];
    if (member != NULL) {
        moe_try(convert_member(file, entry, member, out, err));
    } else if (grammar->sections && is_section(entry->name)) {
        moe_check(json_is_object(entry->value), err, MOE_ECONFIG, "%s: %s: a table is expected: [%.200s]",
                  entry->place, entry->name, entry->path);
        moe_try(add_table(out, entry->name, &to, err));
        moe_try(convert_entries(file, entry->path, entry->value, convert_key, entry->name, to, err));
    } else {
        moe_try(unknown_member(grammar, entry->name, entry->place, err));
    }
out:
    return status;
}

moe_status grammar_convert(const char *path, const json_t *root, const json_t *lines, json_t **out_tree,
                           moe_err *err) {
    moe_status status = MOE_OK;
    const struct source_file file = {path, lines};
    json_t *tree = json_object();
    moe_check(tree != NULL, err, MOE_ENOMEM, "no memory for %s", path);
    moe_try(convert_entries(&file, "", (json_t *)root, convert_table_entry, &whole_file, tree, err));
    *out_tree = json_incref(tree);
out:
    json_decref(tree);
    return status;
}
