/* weave_chapter.h - one chapter: its directives found, checked and replaced. */
#ifndef ANALYSIS_WEAVE_CHAPTER_H
#define ANALYSIS_WEAVE_CHAPTER_H

#include "analysis/weave_directive.h"

/* Appends the chapter at path with its directives replaced. MOE_ECONFIG: a number typed by hand, a directive
 * that does not end; errors of directive_expand(). All begin with "FILE:LINE". */
moe_status chapter_weave(struct weaver *weaver, const char *path, struct text *out, moe_err *err);

#endif
