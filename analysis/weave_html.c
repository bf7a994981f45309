#include "analysis/weave_html.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "analysis/weave_markdown.h"
#include "analysis/weave_style.h"
#include "core/file.h"

#define MAX_IMAGE ((size_t)16 << 20)

static void append_escaped(struct text *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            text_append(out, "&amp;");
            break;
        case '<':
            text_append(out, "&lt;");
            break;
        case '>':
            text_append(out, "&gt;");
            break;
        case '"':
            text_append(out, "&quot;");
            break;
        default:
            text_append(out, "%c", *c);
        }
    }
}

/* Puts raw HTML before (or behind) a node. */
static moe_status put_raw(cmark_node *node, bool inside, bool before, const char *html, moe_err *err) {
    cmark_node *raw = cmark_node_new(inside ? CMARK_NODE_CUSTOM_INLINE : CMARK_NODE_CUSTOM_BLOCK);
    if (raw == NULL || cmark_node_set_on_enter(raw, html) != 1)
        return moe_fail(err, MOE_ENOMEM, "cannot add to the page");
    const int done = inside   ? cmark_node_prepend_child(node, raw)
                     : before ? cmark_node_insert_before(node, raw)
                              : cmark_node_insert_after(node, raw);
    if (done == 1) return MOE_OK;
    cmark_node_free(raw);
    return moe_fail(err, MOE_EARG, "cannot add to the page");
}

/* ---------------------------------------------------------------- images */

static moe_status inline_image(cmark_node *image, const char *folder, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *data = NULL;
    char *uri = NULL;
    size_t size = 0;
    const char *url = cmark_node_get_url(image);
    const char *dot = strrchr(url, '.');
    const char *type = dot != NULL && strcmp(dot, ".gif") == 0 ? "gif" : "png";
    char *path = path_join(folder, url);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_read_all(path, MAX_IMAGE, &data, &size, err));
    static const char form[] = "data:image/png;base64,";
    uri = malloc(sizeof form + 4 * ((size + 2) / 3) + 1);
    moe_check(uri != NULL, err, MOE_ENOMEM, "%s: no memory for the image", path);
    strcpy(uri, form);
    memcpy(uri + strlen("data:image/"), type, 3);
    EVP_EncodeBlock((unsigned char *)uri + strlen(form), data, (int)size);
    moe_check(cmark_node_set_url(image, uri) == 1, err, MOE_ENOMEM, "%s: no memory for the image", path);
out:
    free(uri);
    free(data);
    free(path);
    return status;
}

/* ---------------------------------------------------------------- headings */

struct contents {
    struct text nav;
    char *title;
    int level; /* of the entry before; 1 = none yet */
};

/* One line of the table of contents: a list of chapters, each with a list of sections. */
static void add_entry(struct contents *c, int level, const char *slug, const char *title) {
    for (; c->level < level; c->level++)
        text_append(&c->nav, "<ol>");
    for (; c->level > level; c->level--)
        text_append(&c->nav, "</ol>");
    text_append(&c->nav, "<li><a href=\"#%s\">", slug);
    append_escaped(&c->nav, title);
    text_append(&c->nav, "</a></li>\n");
}

static moe_status add_heading(cmark_node *heading, struct contents *contents, moe_err *err) {
    moe_status status = MOE_OK;
    struct text slug = {0}, anchor = {0};
    char *title = NULL;
    const int level = cmark_node_get_heading_level(heading);
    moe_try(markdown_plain(heading, &title, err));
    if (level == 1 && contents->title == NULL) {
        contents->title = title;
        title = NULL;
        goto out;
    }
    if (level < 2 || level > 3) goto out;
    markdown_slug(title, &slug);
    text_append(&anchor, "<a id=\"%s\"></a>", slug.data != NULL ? slug.data : "");
    moe_check(!slug.failed && !anchor.failed, err, MOE_ENOMEM, "no memory for a heading");
    add_entry(contents, level, slug.data != NULL ? slug.data : "", title);
    moe_try(put_raw(heading, true, true, anchor.data, err));
out:
    free(title);
    text_free(&slug);
    text_free(&anchor);
    return status;
}

/* ---------------------------------------------------------------- the page */

/* Dresses the tree: images inside, anchors at headings, boxes that scroll around tables. */
static moe_status dress(cmark_node *document, const char *folder, struct contents *contents, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_iter *iter = cmark_iter_new(document);
    for (cmark_event_type event; (event = cmark_iter_next(iter)) != CMARK_EVENT_DONE;) {
        cmark_node *node = cmark_iter_get_node(iter);
        const bool table = strcmp(cmark_node_get_type_string(node), "table") == 0;
        if (event == CMARK_EVENT_EXIT) {
            if (cmark_node_get_type(node) == CMARK_NODE_HEADING) moe_try(add_heading(node, contents, err));
            if (cmark_node_get_type(node) == CMARK_NODE_IMAGE) moe_try(inline_image(node, folder, err));
            if (table) moe_try(put_raw(node, false, true, "<div class=\"scroll\" tabindex=\"0\">", err));
            if (table) moe_try(put_raw(node, false, false, "</div>", err));
        }
    }
    for (; contents->level > 1; contents->level--)
        text_append(&contents->nav, "</ol>");
out:
    cmark_iter_free(iter);
    return status;
}

moe_status weave_page(const char *markdown, const char *folder, char **out_html, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_node *document = NULL;
    struct contents contents = {.level = 1};
    struct text page = {0};
    char *body = NULL;
    moe_try(markdown_parse(markdown, strlen(markdown), &document, err));
    moe_try(dress(document, folder, &contents, err));
    moe_try(markdown_html(document, &body, err));
    text_append(&page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    append_escaped(&page, contents.title != NULL ? contents.title : "Report");
    text_append(&page, "</title>\n<style>\n");
    text_append_bytes(&page, weave_style, strlen(weave_style));
    text_append(&page, "</style>\n</head>\n<body>\n<nav><details open><summary>Contents</summary>\n");
    text_append(&page, "%s", contents.nav.data != NULL ? contents.nav.data : "");
    text_append(&page, "</details></nav>\n<main>\n");
    text_append_bytes(&page, body, strlen(body));
    text_append(&page, "</main>\n</body>\n</html>\n");
    moe_check(!contents.nav.failed, err, MOE_ENOMEM, "no memory for the contents");
    moe_try(text_take(&page, out_html, err));
out:
    free(body);
    free(contents.title);
    text_free(&contents.nav);
    text_free(&page);
    if (document != NULL) cmark_node_free(document);
    return status;
}
