/* text_output.h - text to standard output as it comes: a terminal gets lines broken between words and no
 * control characters, anything else gets the bytes as they are. */
#ifndef CLI_TEXT_OUTPUT_H
#define CLI_TEXT_OUTPUT_H

#include "core/text.h"

struct text_output {
    int32_t width;    /* of the terminal; 0: none */
    int32_t used;     /* of its line */
    struct text word; /* not shown yet: its end is not there */
    bool line_open;   /* the latest byte was no newline */
};

/* Width of standard output: the terminal's, or what $COLUMNS says; 0 = not known. */
int32_t text_output_width(void);

void text_output_begin(struct text_output *o);
/* Writes text [size] of whole characters and flushes. MOE_EIO if that fails. */
moe_status text_output_put(struct text_output *o, const char *text, size_t size, moe_err *err);
/* Writes what is held back, ends the last line and frees. */
moe_status text_output_end(struct text_output *o, moe_err *err);

/* Flushes standard output. MOE_EIO if something could not be written. */
moe_status text_output_flush(moe_err *err);

#endif
