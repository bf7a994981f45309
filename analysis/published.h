/* published.h - the numbers that the source documents report: paper/published/SOURCE.toml, by dotted name.
 *
 * "key_numbers.dense.best_validation_loss" is a number; "curves.validation_ce.dense" an array of numbers. The
 * files say where in its document each number stands. No published number is written anywhere else.
 */
#ifndef ANALYSIS_PUBLISHED_H
#define ANALYSIS_PUBLISHED_H

#include "core/status.h"

struct published;

/* Reads DIRECTORY/SOURCE.toml. MOE_ENOTFOUND, MOE_ECONFIG (file and line). */
moe_status published_open(const char *directory, const char *source, struct published **out_published,
                          moe_err *err);
void published_close(struct published *p); /* NULL is allowed */

/* The file, for messages. */
const char *published_path(const struct published *p);

/* MOE_ENOTFOUND names the file and the first part of the name that is missing; MOE_ECONFIG: it is not a
 * number. */
moe_status published_number(const struct published *p, const char *name, double *out_value, moe_err *err);

/* An array of numbers, malloc'ed. Errors as above. */
moe_status published_array(const struct published *p, const char *name, double **out_values,
                           int32_t *out_count, moe_err *err);

/* True if there is something of that name. */
bool published_has(const struct published *p, const char *name);

/* A string (where a number stands), owned by p. Errors as above. */
moe_status published_string(const struct published *p, const char *name, const char **out_text, moe_err *err);

#endif
