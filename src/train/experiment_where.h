/* experiment_where.h - small expressions over the values of a run's axes: which combinations exist, and how
 * many seeds each has.
 *
 *     or      := and { "or" and }
 *     and     := not { "and" not }
 *     not     := "not" not | compare
 *     compare := sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum ]
 *     sum     := product { ("+" | "-") product }
 *     product := sign { ("*" | "/" | "%") sign }
 *     sign    := "-" sign | NUMBER | 'TEXT' | "TEXT" | NAME | "integer" "(" or ")" | "(" or ")"
 *
 * A NAME is an axis, `protocol` or `tier`. Truth is a number: 1 or 0; what is not 0 is true. Numbers are
 * equal, and whole, within a relative 1e-9, so that s / g with g = 1/3 is what it looks like. Both sides of
 * `and` and `or` are always computed: a mistake shows with whatever values come first.
 */
#ifndef TRAIN_EXPERIMENT_WHERE_H
#define TRAIN_EXPERIMENT_WHERE_H

#include <jansson.h>

#include "core/status.h"

/* What names stand for. */
struct where_scope {
    const json_t *axes; /* name -> leaf [PLACE, VALUE]; NULL if there are none */
    const char *protocol, *tier;
};

/* The value of an expression, a number. `place` starts the message of MOE_ECONFIG: a mistake in the grammar,
 * a name that is none (the nearest is named), text where a number is needed. */
moe_status where_number(const char *expression, const char *place, const struct where_scope *scope,
                        double *out_number, moe_err *err);

/* A value of an axis as a number: a number, true or false, or a fraction such as "1/8". False if it is none.
 */
bool where_value_number(const json_t *value, double *out_number);

#endif
