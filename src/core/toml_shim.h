/* toml_shim.h - TOML 1.0 (toml++) as jansson values, with the line of every key. */
#ifndef CORE_TOML_SHIM_H
#define CORE_TOML_SHIM_H

#include <jansson.h>

#include "core/status.h"

#define TOML_MAX_BYTES (1 << 20) /* largest file that is read as a configuration */
#define TOML_MAX_DEPTH 24        /* tables and arrays inside each other */

/* Parses `size` bytes of TOML. *out_root: an object with its keys in the order of the file. *out_lines (may
 * be NULL): an object from a path ("experiment.top2.moe.lb_coeff", "claim[3].id") to the 1-based line of its
 * key or element. Both belong to the caller (json_decref). MOE_ECONFIG with `NAME:LINE: ...` for text that is
 * not TOML, NUL characters in strings, dates, NaN and Inf, too deep a nesting, and more than TOML_MAX_BYTES.
 */
moe_status toml_parse(const char *text, size_t size, const char *name, json_t **out_root, json_t **out_lines,
                      moe_err *err);

/* Reads and parses a file. MOE_ENOTFOUND if there is none. */
moe_status toml_parse_file(const char *path, json_t **out_root, json_t **out_lines, moe_err *err);

/* Line of a path, or 0. lines may be NULL. */
int toml_line(const json_t *lines, const char *path);

#endif
