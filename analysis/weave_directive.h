/* weave_directive.h - what stands between {{ and }} in a chapter, and the Markdown that takes its place.
 *
 * The directives are described in paper/README.md. Nothing here is typed by hand: every number comes from run
 * files, from paper/published, or from the audit.
 */
#ifndef ANALYSIS_WEAVE_DIRECTIVE_H
#define ANALYSIS_WEAVE_DIRECTIVE_H

#include "analysis/claims_judge.h"
#include "core/text.h"

#define WEAVE_MAX_ARGUMENTS 8

/* What chapters are woven from. */
struct weaver {
    struct report *report;
    const char *figures_dir;         /* where figures lie; NULL: they are yet to be drawn */
    const char *figures_link;        /* the same, seen from the report's folder */
    struct claim_results *judged[4]; /* of sources A to D; NULL until asked for */
    int source;                      /* index of the chapter's source, -1 = none */
};

void weaver_close(struct weaver *weaver);

/* One directive: {{NAME ARGUMENT; ARGUMENT}}. */
struct directive {
    char name[32];
    char *arguments[WEAVE_MAX_ARGUMENTS]; /* [count], trimmed */
    int32_t count;
    char *storage;     /* what the arguments point into */
    const char *place; /* "FILE:LINE" */
};

/* Reads the text between the braces. MOE_ECONFIG (place first). Free with directive_free(). */
moe_status directive_parse(const char *text, size_t length, const char *place, struct directive *out,
                           moe_err *err);
void directive_free(struct directive *directive);

/* Appends what the directive stands for. MOE_ENOTFOUND: unknown names, missing runs; MOE_ECONFIG: wrong
 * arguments; the place comes first in every message. */
moe_status directive_expand(struct weaver *weaver, const struct directive *directive, struct text *out,
                            moe_err *err);

/* Whether it is a {{chapter SOURCE}} of whose suite there are no runs: the rest of the chapter has nothing to
 * speak of, and a line that says so is appended. */
moe_status directive_ends_chapter(struct weaver *weaver, const struct directive *directive, struct text *out,
                                  bool *out_ends, moe_err *err);

#endif
