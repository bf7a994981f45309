#include "analysis/weave_markdown.h"

#include <stdlib.h>
#include <string.h>

#include <cmark-gfm-core-extensions.h>

static const char table_extension[] = "table";

moe_status markdown_parse(const char *text, size_t size, cmark_node **out_document, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_parser *parser = NULL;
    cmark_gfm_core_extensions_ensure_registered();
    cmark_syntax_extension *tables = cmark_find_syntax_extension(table_extension);
    parser = cmark_parser_new(CMARK_OPT_DEFAULT);
    moe_check(parser != NULL, err, MOE_ENOMEM, "cannot allocate a Markdown parser");
    moe_check(tables != NULL && cmark_parser_attach_syntax_extension(parser, tables) == 1, err, MOE_ENOTSUP,
              "the Markdown library has no tables");
    cmark_parser_feed(parser, text, size);
    *out_document = cmark_parser_finish(parser);
    moe_check(*out_document != NULL, err, MOE_ENOMEM, "cannot parse Markdown");
out:
    if (parser != NULL) cmark_parser_free(parser);
    return status;
}

moe_status markdown_html(cmark_node *document, char **out_html, moe_err *err) {
    *out_html = cmark_render_html(document, CMARK_OPT_DEFAULT, NULL);
    if (*out_html == NULL) return moe_fail(err, MOE_ENOMEM, "cannot render HTML");
    return MOE_OK;
}

int markdown_line(cmark_node *node) {
    int line = 0;
    for (; node != NULL && line == 0; node = cmark_node_parent(node))
        line = cmark_node_get_start_line(node);
    return line;
}

moe_status markdown_plain(cmark_node *node, char **out_text, moe_err *err) {
    struct text t = {0};
    cmark_iter *iter = cmark_iter_new(node);
    for (cmark_event_type event; (event = cmark_iter_next(iter)) != CMARK_EVENT_DONE;) {
        cmark_node *at = cmark_iter_get_node(iter);
        const cmark_node_type type = cmark_node_get_type(at);
        if (event != CMARK_EVENT_ENTER) continue;
        if (type == CMARK_NODE_TEXT || type == CMARK_NODE_CODE)
            text_append(&t, "%s", cmark_node_get_literal(at));
        if (type == CMARK_NODE_SOFTBREAK || type == CMARK_NODE_LINEBREAK) text_append(&t, " ");
    }
    cmark_iter_free(iter);
    return text_take(&t, out_text, err);
}

void markdown_slug(const char *text, struct text *out) {
    for (const char *c = text; *c != '\0'; c++) {
        const bool letter = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
        if (*c >= 'A' && *c <= 'Z') {
            text_append(out, "%c", *c - 'A' + 'a');
        } else if (letter || (unsigned char)*c >= 0x80) {
            text_append(out, "%c", *c);
        } else if (*c == ' ') {
            text_append(out, "-");
        }
    }
}
