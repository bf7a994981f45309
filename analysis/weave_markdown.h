/* weave_markdown.h - Markdown with tables, as a tree (cmark-gfm). */
#ifndef ANALYSIS_WEAVE_MARKDOWN_H
#define ANALYSIS_WEAVE_MARKDOWN_H

#include <cmark-gfm-extension_api.h>
#include <cmark-gfm.h>

#include "core/text.h"

/* Parses a document; free with cmark_node_free(). MOE_ENOMEM. */
moe_status markdown_parse(const char *text, size_t size, cmark_node **out_document, moe_err *err);

/* The document as HTML, without what surrounds a page. Raw HTML and links to scripts are left out. malloc'ed.
 */
moe_status markdown_html(cmark_node *document, char **out_html, moe_err *err);

/* Line of a node, or of the nearest node around it that has one. */
int markdown_line(cmark_node *node);

/* Text inside a node without its markup; malloc'ed. */
moe_status markdown_plain(cmark_node *node, char **out_text, moe_err *err);

/* The anchor that forges give a heading of this text: lower case, blanks as '-', nothing but letters, digits,
 * '-', '_'. */
void markdown_slug(const char *text, struct text *out);

#endif
