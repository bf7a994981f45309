/* config_internal.h - what the files of core/config share with each other and with the suites' grammar. */
#ifndef CORE_CONFIG_INTERNAL_H
#define CORE_CONFIG_INTERNAL_H

#include "core/config.h"
#include "core/text.h"

#define CONFIG_UNBOUNDED 1e15 /* a maximum from here on is not shown */

/* Fails with `code`: `PLACE: no such WHAT: WORD; did you mean NEAREST?`, or the list of what there is. */
moe_status config_unknown(moe_status code, const char *what, const char *word, const char *const *known,
                          size_t count, const char *place, moe_err *err);

/* Appends what a key expects: type, range or words. */
void config_expected(const struct config_key *key, struct text *t);

/* Puts a checked value into the struct, and reads it back (new reference; NULL when memory is out). */
void config_store(const struct config_key *key, const json_t *value, void *out);
json_t *config_load(const struct config_key *key, const void *from);

/* Whether a key of the struct has the value of its default. */
bool config_has_default(const struct config_key *key, const void *from);

#endif
