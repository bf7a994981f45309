#include "cli/suite_display.h"

#include <stdlib.h>

struct suite_display {
    const struct plan *plan;
    FILE *out;
};

moe_status suite_display_open(const struct plan *plan, FILE *out, struct suite_display **out_display,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_display *d = calloc(1, sizeof *d);
    moe_check(d != NULL, err, MOE_ENOMEM, "no memory for the display");
    d->plan = plan;
    d->out = out;
    *out_display = d;
out:
    return status;
}

void suite_display_close(struct suite_display *display) {
    free(display);
}

void suite_display_event(void *user, const struct suite_event *event) {
    static const char *const words[] = {"started", "", "done", "failed", "interrupted"};
    struct suite_display *d = user;
    if (event->kind == SUITE_PROGRESS) return;
    fprintf(d->out, "%s: %s%s%s\n", d->plan->runs[event->run].path, words[event->kind],
            event->message != NULL ? ": " : "", event->message != NULL ? event->message : "");
}
