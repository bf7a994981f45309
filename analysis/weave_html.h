/* weave_html.h - the woven Markdown as one page that needs nothing else: own style sheet, images inside, no
 * script. */
#ifndef ANALYSIS_WEAVE_HTML_H
#define ANALYSIS_WEAVE_HTML_H

#include "core/status.h"

/* Renders a page: title from the first heading, a table of contents from the headings of levels 2 and 3,
 * tables that scroll sideways, light and dark. Images are read relative to `folder` and put inside (PNG and
 * GIF). MOE_ENOTFOUND, MOE_EIO name an image. malloc'ed. */
moe_status weave_page(const char *markdown, const char *folder, char **out_html, moe_err *err);

#endif
