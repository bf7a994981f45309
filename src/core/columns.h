/* columns.h - texts that grow at the same time, side by side, wrapped by words. */
#ifndef CORE_COLUMNS_H
#define CORE_COLUMNS_H

#include "core/status.h"

struct columns;

/* `count` columns of `width` terminal columns each, `gap` spaces between them. */
moe_status columns_create(int32_t count, int32_t width, int32_t gap, struct columns **out_columns,
                          moe_err *err);
void columns_destroy(struct columns *c); /* NULL is allowed */

/* Adds UTF-8 text [size], in whole characters, to a column; \n ends a line, other control characters are left
 * out. */
moe_status columns_add(struct columns *c, int32_t column, const char *text, size_t size, moe_err *err);

/* Nothing more comes to this column. */
void columns_end(struct columns *c, int32_t column);

/* The next row, as soon as no further text can change it, without a newline or spaces at its end; NULL: none
 * yet, or no more. Valid until the next call. */
moe_status columns_next(struct columns *c, const char **out_row, moe_err *err);

#endif
