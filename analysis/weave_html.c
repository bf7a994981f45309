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

/* A switch around an image, which the page's style makes large while it is on. The image stays one: browsers
 * open no link to data. */
static moe_status add_switch(cmark_node *image, moe_err *err) {
    moe_status status = MOE_OK;
    static const char open[] = "<label class=\"zoom\"><input type=\"checkbox\" aria-label=\"full size\">";
    static const char close[] = "<span class=\"hint\">Tap the figure for its full size, and again to shrink "
                                "it.</span></label>";
    cmark_node *label = cmark_node_new(CMARK_NODE_CUSTOM_INLINE);
    moe_check(label != NULL && cmark_node_set_on_enter(label, open) == 1 &&
                  cmark_node_set_on_exit(label, close) == 1 && cmark_node_insert_before(image, label) == 1,
              err, MOE_ENOMEM, "cannot add to the page");
    moe_check(cmark_node_append_child(label, image) == 1, err, MOE_ENOMEM, "cannot add to the page");
    label = NULL;
out:
    if (status != MOE_OK && label != NULL) cmark_node_free(label);
    return status;
}

static moe_status enlargeable_image(cmark_node *image, const char *folder, moe_err *err) {
    const moe_status status = inline_image(image, folder, err);
    return status != MOE_OK ? status : add_switch(image, err);
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
    if (level < 2) goto out;
    markdown_slug(title, &slug);
    text_append(&anchor, "<a id=\"%s\"></a>", slug.data != NULL ? slug.data : "");
    moe_check(!slug.failed && !anchor.failed, err, MOE_ENOMEM, "no memory for a heading");
    if (level <= 3) add_entry(contents, level, slug.data != NULL ? slug.data : "", title);
    moe_try(put_raw(heading, true, true, anchor.data, err));
out:
    free(title);
    text_free(&slug);
    text_free(&anchor);
    return status;
}

/* ---------------------------------------------------------------- captions and verdicts */

static const struct {
    const char *word, *open;
} verdict_tags[] = {
    {"reproduced", "<span class=\"yes\">"},    {"holds as printed", "<span class=\"yes\">"},
    {"contradicted", "<span class=\"no\">"},   {"impossible as printed", "<span class=\"no\">"},
    {"inconclusive", "<span class=\"open\">"}, {"not tested", "<span class=\"none\">"},
};

/* Gives a bold verdict its colour. */
static moe_status colour_verdict(cmark_node *strong, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_node *text = cmark_node_first_child(strong);
    cmark_node *span = NULL;
    if (text == NULL || cmark_node_next(text) != NULL || cmark_node_get_type(text) != CMARK_NODE_TEXT)
        return MOE_OK;
    for (size_t i = 0; i < sizeof verdict_tags / sizeof verdict_tags[0]; i++) {
        if (strcmp(cmark_node_get_literal(text), verdict_tags[i].word) != 0) continue;
        span = cmark_node_new(CMARK_NODE_CUSTOM_INLINE);
        moe_check(span != NULL && cmark_node_set_on_enter(span, verdict_tags[i].open) == 1 &&
                      cmark_node_set_on_exit(span, "</span>") == 1 &&
                      cmark_node_append_child(span, text) == 1 && cmark_node_append_child(strong, span) == 1,
                  err, MOE_ENOMEM, "cannot colour a verdict");
        span = NULL;
        break;
    }
out:
    if (span != NULL) cmark_node_free(span);
    return status;
}

/* A paragraph that is one node of this type: all emphasis is a caption, an image a figure. */
static bool is_only(cmark_node *paragraph, cmark_node_type type) {
    cmark_node *only = cmark_node_first_child(paragraph);
    return only != NULL && cmark_node_next(only) == NULL && cmark_node_get_type(only) == type;
}

static moe_status wrap(cmark_node *node, const char *open, moe_err *err) {
    const moe_status status = put_raw(node, false, true, open, err);
    return status != MOE_OK ? status : put_raw(node, false, false, "</div>", err);
}

/* ---------------------------------------------------------------- the page */

/* Dresses one node. Nodes may be added around and inside it; it stays itself. */
static moe_status dress_node(cmark_node *node, const char *folder, struct contents *contents, moe_err *err) {
    switch (cmark_node_get_type(node)) {
    case CMARK_NODE_HEADING:
        return add_heading(node, contents, err);
    case CMARK_NODE_IMAGE:
        return enlargeable_image(node, folder, err);
    case CMARK_NODE_PARAGRAPH:
        if (is_only(node, CMARK_NODE_IMAGE)) return wrap(node, "<div class=\"figure\" tabindex=\"0\">", err);
        return is_only(node, CMARK_NODE_EMPH) ? wrap(node, "<div class=\"caption\">", err) : MOE_OK;
    case CMARK_NODE_STRONG:
        return colour_verdict(node, err);
    default:
        if (strcmp(cmark_node_get_type_string(node), "table") != 0) return MOE_OK;
        return wrap(node, "<div class=\"scroll\" tabindex=\"0\">", err);
    }
}

/* Dresses the tree: images inside, anchors at headings, boxes that scroll around tables. The nodes are listed
 * first, since the tree changes on the way. */
static moe_status dress(cmark_node *document, const char *folder, struct contents *contents, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_node **nodes = NULL;
    size_t count = 0, capacity = 0;
    cmark_iter *iter = cmark_iter_new(document);
    for (cmark_event_type event; (event = cmark_iter_next(iter)) != CMARK_EVENT_DONE;) {
        if (event != CMARK_EVENT_ENTER) continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 1024 : 2 * capacity;
            cmark_node **grown = realloc(nodes, capacity * sizeof(cmark_node *));
            moe_check(grown != NULL, err, MOE_ENOMEM, "no memory for a page");
            nodes = grown;
        }
        nodes[count++] = cmark_iter_get_node(iter);
    }
    for (size_t i = 0; i < count; i++)
        moe_try(dress_node(nodes[i], folder, contents, err));
    for (; contents->level > 1; contents->level--)
        text_append(&contents->nav, "</ol>");
out:
    cmark_iter_free(iter);
    free(nodes);
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
    const char *nav = contents.nav.data != NULL ? contents.nav.data : "";
    text_append(&page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    append_escaped(&page, contents.title != NULL ? contents.title : "Report");
    text_append(&page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", weave_style);
    text_append(&page, "<nav class=\"top\"><details><summary>Contents</summary>\n%s</details></nav>\n", nav);
    text_append(&page, "<nav class=\"side\">\n%s</nav>\n<main>\n%s</main>\n</body>\n</html>\n", nav, body);
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
