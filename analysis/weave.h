/* weave.h - chapters and runs become the report: report.md for a forge, report.html in one file for a
 * browser. */
#ifndef ANALYSIS_WEAVE_H
#define ANALYSIS_WEAVE_H

#include "analysis/report.h"

struct weave_request {
    struct report *report;   /* its paper_dir holds chapters/ (woven in order of their names), claims/,
                                published/, audit/ */
    const char *figures_dir; /* figures are looked for here */
    const char *out_dir;     /* report.md and report.html go here */
};

struct woven {
    char *markdown, *html; /* malloc'ed */
};

/* Weaves without writing. Errors of chapter_weave(). Free with woven_free(). */
moe_status weave_build(const struct weave_request *request, struct woven *out, moe_err *err);

/* The two halves of it: the Markdown, where everything that the runs lack shows (with `undrawn` the figures'
 * files need not be there yet); and the page from it, which holds the figures. */
moe_status weave_markdown(const struct weave_request *request, bool undrawn, struct woven *out, moe_err *err);
moe_status weave_html(const struct weave_request *request, struct woven *woven, moe_err *err);
void woven_free(struct woven *woven);

/* Weaves and replaces both files; or replaces them by what is woven. */
moe_status weave_write(const struct weave_request *request, moe_err *err);
moe_status weave_save(const struct weave_request *request, const struct woven *woven, moe_err *err);

/* Weaves and compares with both files as they are. MOE_EMISMATCH: "FILE:LINE: stale ..." with both lines. */
moe_status weave_check(const struct weave_request *request, moe_err *err);

#endif
