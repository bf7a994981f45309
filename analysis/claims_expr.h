/* claims_expr.h - arithmetic as it stands in the ledger, the audit and the chapters.
 *
 *     best_loss@baseline - best_loss@dense
 *     usage_entropy.2@top2 / ln(config.moe.num_experts@top2)
 *     min(curves.validation_ce.dense) > key_numbers.dense.best_validation_loss
 *
 * A value is a vector; a number is a vector of one. Operators, from weak to strong: < > <= >= (1 or 0), + -,
 * * /, sign. They work element by element, and a number goes with each element of a vector. Names are
 * letters, digits, '_' and '.', may end in [] and may go on with @EXPERIMENT or @"EXPERIMENT"; what they mean
 * is the caller's (claims_names.h). Functions:
 *     ln exp sqrt abs round ceil           each element
 *     min max sum mean sd                  all elements of all arguments
 *     corr(a, b), slope(...)               Pearson's correlation; least squares over the index
 *     valley(...)                          place of the minimum of a parabola over the index
 *     count(v), first(v), last(v); argmin(v), counted from 1
 *     entropy(v), gini(v), cv2(v)          of loads v, as record/routing_stats.h has them
 *     sort(v), rank(v)                     largest first; 1 for the smallest, ties share their mean
 *     steps(v)                             change from each element to the next
 *     from(v, k), part(v, a, b)            elements from the k-th on; from a share a of the length to b
 *     reach(v, x)                          share of the elements that pass before one is at most x, 1 if none
 * is inside(v, low, high)                 share of the elements between the two A number that does not exist
 * (mean of nothing, slope of one element) is NaN.
 */
#ifndef ANALYSIS_CLAIMS_EXPR_H
#define ANALYSIS_CLAIMS_EXPR_H

#include "core/status.h"

#define EXPR_NAME_MAX 192

/* Where names get their values. */
struct expr_scope {
    void *context;
    /* *out_values is malloc'ed [*out_count]; a message need not name the place. */
    moe_status (*resolve)(void *context, const char *name, double **out_values, int32_t *out_count,
                          moe_err *err);
};

/* A vector, malloc'ed. `place` ("FILE:LINE: KEY") starts the message of a mistake in the text: MOE_ECONFIG.
 */
moe_status expr_evaluate(const char *text, const char *place, const struct expr_scope *scope,
                         double **out_values, int32_t *out_count, moe_err *err);

/* A single number, which may be NaN. MOE_ECONFIG if the text gives a vector. */
moe_status expr_number(const char *text, const char *place, const struct expr_scope *scope, double *out_value,
                       moe_err *err);

/* Checks the grammar and calls visit (may be NULL) for each name in order of appearance; nothing is computed.
 */
typedef moe_status (*expr_visit)(void *context, const char *name, moe_err *err);
moe_status expr_scan(const char *text, const char *place, expr_visit visit, void *context, moe_err *err);

#endif
