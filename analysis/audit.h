/* audit.h - the documents' own arithmetic: numbers computed from what a document prints, and from nothing
 * else.
 *
 * paper/audit/SOURCE.toml holds one table per number, named in two steps (GROUP.NAME):
 *
 *     [ce_only.best_moe]
 *     value = "min(curves.validation_ce.baseline)"    an expression (claims_expr.h) over published numbers
 * (published.h) unit = "nats/token"                             and over numbers of the audit:
 * audit.GROUP.NAME says = "what the number is"
 */
#ifndef ANALYSIS_AUDIT_H
#define ANALYSIS_AUDIT_H

#include "analysis/published.h"

struct audit;

struct audit_entry {
    const char *name; /* "ce_only.best_moe" */
    const char *value, *unit, *says;
    char *place; /* "paper/audit/A.toml:12: ce_only.best_moe" */
};

/* Reads PAPER/audit/SOURCE.toml and checks its grammar. published must outlive the audit. MOE_ENOTFOUND,
 * MOE_ECONFIG (file, line, key). */
moe_status audit_open(const char *paper_dir, const char *source, const struct published *published,
                      struct audit **out_audit, moe_err *err);
void audit_close(struct audit *audit); /* NULL is allowed */

/* The index-th entry in the order of the file, NULL behind the last. */
const struct audit_entry *audit_at(const struct audit *audit, int32_t index);

/* Computes one number. MOE_ENOTFOUND names the nearest; MOE_ECONFIG: unknown names in its expression, a
 * circle. */
moe_status audit_number(const struct audit *audit, const char *name, double *out_value, moe_err *err);

#endif
