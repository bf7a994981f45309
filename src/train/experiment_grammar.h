/* experiment_grammar.h - which tables and keys a suite's file may have, and its form inside: values with
 * their places. */
#ifndef TRAIN_EXPERIMENT_GRAMMAR_H
#define TRAIN_EXPERIMENT_GRAMMAR_H

#include <jansson.h>

#include "core/status.h"

/* A leaf is [PLACE, VALUE]. Both results are borrowed; NULL for what is no leaf. */
const char *leaf_place(const json_t *leaf);
json_t *leaf_value(const json_t *leaf);

/* Checks a parsed file (toml_parse) against the grammar and the table of keys, and gives its tree of leaves:
 * new reference. Nested tables of axes come out flat. MOE_ECONFIG with file, line and the nearest valid name.
 */
moe_status grammar_convert(const char *path, const json_t *root, const json_t *lines, json_t **out_tree,
                           moe_err *err);

#define GRAMMAR_SEEDS_MAX 10000

/* A value of an axis as it stands in the name of a run: a scalar, and 1_8 for the fraction "1/8". */
moe_status grammar_value_text(const json_t *value, char *out, size_t size, moe_err *err);

/* True if `name` is made of letters, digits, '_' and '-' only, and short enough for a file's name. */
bool grammar_is_name(const char *name);

#endif
