/* config.h - typed configuration: a table of keys, layers of values that remember where they were written,
 * errors that say where and what to do.
 *
 * Keys are flat: "SECTION.KEY". A program describes them once in a table (struct config_key) that says type,
 * default, range, unit and meaning, and at which offset of a plain C struct the value goes. Values come in
 * layers (defaults, files, command line); a later layer wins. A TOML integer is accepted where a float is
 * expected.
 *
 * Errors are MOE_ECONFIG and start with the place: `FILE:LINE: KEY: ...` or `--set: KEY: ...`.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <jansson.h>

#include "core/status.h"

enum config_type {
    CONFIG_INT32 = 0,
    CONFIG_INT64,
    CONFIG_UINT64, /* 0 .. 2^63 - 1, what TOML and JSON can carry */
    CONFIG_FLOAT,  /* double */
    CONFIG_BOOL,
    CONFIG_ENUM,        /* a C enum; `words` in the order of its values 0, 1, ... */
    CONFIG_STRING,      /* char [capacity] */
    CONFIG_INT32_LIST,  /* int32_t [capacity] and an int32_t count; a word of `words` gives count -1, -2, ...
                         */
    CONFIG_STRING_LIST, /* char [capacity][item_size] and an int32_t count */
    CONFIG_TYPE_COUNT
};

/* Which ends of the range are excluded. */
enum { CONFIG_ABOVE_MIN = 1, CONFIG_BELOW_MAX = 2 };

struct config_key {
    const char *name; /* "model.hidden_size" */
    enum config_type type;
    size_t offset;       /* of the value in the struct */
    size_t count_offset; /* lists: of the int32_t count */
    size_t capacity,
        item_size;   /* strings: bytes with the final 0; lists: elements, and bytes of a string element */
    double min, max; /* numbers and elements of integer lists, both allowed unless `open` excludes them */
    int open;
    const char *value; /* default, as TOML */
    bool silent; /* left out of JSON and TOML while it has its default: keys that came later do not change the
                    identity of configurations that existed before */
    const char *const *words; /* NULL-terminated; enums, and words that stand for a list */
    const char *unit;         /* "" if none */
    const char *doc;          /* one sentence */
};

struct config_schema {
    const struct config_key *keys;
    size_t count;
};

/* The key of that name, or NULL. */
const struct config_key *config_find(const struct config_schema *schema, const char *name);

/* Checks one value: known key (else the nearest is named), type, range, words. `place` starts the message. */
moe_status config_check(const struct config_schema *schema, const char *name, const json_t *value,
                        const char *place, moe_err *err);

/* Reads one TOML value ("0.1", "[1, 2]", "\"text\""). A bare word (letters, digits and _ - + . / @) that is
 * no TOML value is a string. */
moe_status config_parse_value(const char *text, const char *place, json_t **out_value, moe_err *err);

/* Values by key, each with the place where it was written. */
struct config;
moe_status config_new(struct config **out_config, moe_err *err);
void config_free(struct config *config); /* NULL is allowed */

/* Sets a key over what was there. Does not take the reference. The value is checked against the schema. */
moe_status config_put(struct config *config, const struct config_schema *schema, const char *name,
                      json_t *value, const char *place, moe_err *err);

/* Sets from the command line: "SECTION.KEY=VALUE". */
moe_status config_set(struct config *config, const struct config_schema *schema, const char *assignment,
                      moe_err *err);

/* The value of a key, NULL if no layer set it; and its place, "default" then. */
const json_t *config_value(const struct config *config, const char *name);
const char *config_place(const struct config *config, const char *name);

/* Fills the struct at `out` (zeroed first by the caller) with every key of the schema: the layers' value,
 * else the default. */
moe_status config_fill(const struct config *config, const struct config_schema *schema, void *out,
                       moe_err *err);

/* Values of a struct as nested JSON {"SECTION": {"KEY": value}}: new reference, or NULL when memory is out.
 * Floats stay reals even when whole. Lists given by a word are written as the word. Silent keys are left out
 * where they have their default. */
json_t *config_to_json(const struct config_schema *schema, const void *from);

/* Value of one key of a struct as text for messages: `model.hidden_size = 256 (FILE:LINE)`; config may be
 * NULL. */
void config_describe(const struct config *config, const struct config_schema *schema, const void *from,
                     const char *name, char *out, size_t size);

/* Canonical text of a value: keys sorted by bytes, no white space, shortest numbers that read back exactly,
 * whole reals with ".0". Equal values give equal bytes. */
moe_status config_canonical_json(const json_t *value, char **out_text, moe_err *err);

/* A two-level object as TOML: plain keys first, then one [table] per section, all sorted; the same numbers.
 */
moe_status config_canonical_toml(const json_t *object, char **out_text, moe_err *err);

/* A scalar as it stands in the name of a run: canonical number, true or false, or the string itself. */
moe_status config_scalar_text(const json_t *value, char *out, size_t size, moe_err *err);

/* The table of keys for people: one line per key with type, default, range, unit, and its sentence. */
moe_status config_document(const struct config_schema *schema, char **out_text, moe_err *err);

#endif
