/* weave_lint.h - measured numbers may not be typed by hand. */
#ifndef ANALYSIS_WEAVE_LINT_H
#define ANALYSIS_WEAVE_LINT_H

#include "core/status.h"

/* Looks through the prose of a chapter, in which directives have been blanked out (line by line, so that
 * lines keep their numbers): text of paragraphs, headings, lists and tables, but not code, addresses of links
 * or figures. A number with a decimal point, of three digits or more, or before a percent sign is an error,
 * unless it is a year (1900 to 2099) or the number of an arXiv paper. So is raw HTML, which report.md and
 * report.html would show differently. MOE_ECONFIG: "FILE:LINE: ...". */
moe_status weave_lint(const char *markdown, const char *path, moe_err *err);

#endif
