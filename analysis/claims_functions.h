/* claims_functions.h - the functions of an expression (claims_expr.h lists them). */
#ifndef ANALYSIS_CLAIMS_FUNCTIONS_H
#define ANALYSIS_CLAIMS_FUNCTIONS_H

#include "core/status.h"

/* A value of an expression; v is malloc'ed [n]. */
struct expr_vector {
    double *v;
    int32_t n;
};

moe_status expr_vector_new(struct expr_vector *x, int32_t n, moe_err *err);
moe_status expr_vector_number(struct expr_vector *x, double value, moe_err *err);
void expr_vector_free(struct expr_vector *x);

/* Calls a function with n >= 1 arguments. scan: the arguments are stand-ins of one element, whose lengths
 * mean nothing. MOE_ECONFIG: no such function, or other arguments than it takes; the message names no place.
 */
moe_status expr_call(const char *name, const struct expr_vector *args, int32_t n, bool scan,
                     struct expr_vector *out, moe_err *err);

#endif
