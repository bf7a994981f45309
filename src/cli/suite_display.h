/* suite_display.h - shows a suite's runs: lines redrawn in place on a terminal, a log elsewhere. */
#ifndef CLI_SUITE_DISPLAY_H
#define CLI_SUITE_DISPLAY_H

#include <stdio.h>

#include "train/suite.h"

struct suite_display;

moe_status suite_display_open(const struct plan *plan, FILE *out, struct suite_display **out_display,
                              moe_err *err);
/* Ends the display and writes to `out` a line for each run that failed or was skipped. NULL is allowed. */
void suite_display_close(struct suite_display *display, FILE *out);

/* A suite_options.on_event; user is the display. */
void suite_display_event(void *user, const struct suite_event *event);

#endif
