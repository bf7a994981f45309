#include "analysis/weave_lint.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/weave_markdown.h"

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* Length of the number at `text`: digits with points and commas inside. */
static size_t number_length(const char *text) {
    size_t n = 0;
    while (digit(text[n]) || ((text[n] == '.' || text[n] == ',') && digit(text[n + 1])))
        n++;
    return n;
}

/* 2605.13769 */
static bool arxiv(const char *text, size_t length) {
    return (length == 9 || length == 10) && text[4] == '.' && number_length(text) == length &&
           memchr(text + 5, '.', length - 5) == NULL && memchr(text, ',', length) == NULL;
}

static bool year(const char *text, size_t length) {
    return length == 4 && (memcmp(text, "19", 2) == 0 || memcmp(text, "20", 2) == 0);
}

static bool measured(const char *text, size_t length) {
    size_t digits = 0;
    bool point = false;
    for (size_t i = 0; i < length; i++) {
        digits += digit(text[i]);
        point = point || text[i] == '.';
    }
    const char *behind = text + length;
    if (*behind == ' ') behind++;
    if (*behind == '%') return true;
    return !year(text, length) && !arxiv(text, length) && (point || digits >= 3);
}

static moe_status check_text(const char *text, const char *path, int line, moe_err *err) {
    for (const char *at = text; *at != '\0';) {
        if (!digit(*at)) {
            at++;
            continue;
        }
        const size_t length = number_length(at);
        if (measured(at, length))
            return moe_fail(
                err, MOE_ECONFIG,
                "%s:%d: the number %.*s is typed by hand: take it from runs or published numbers by a "
                "directive, or write {{literal %.*s; what it is}}",
                path, line, (int)length, at, (int)length, at);
        at += length;
    }
    return MOE_OK;
}

moe_status weave_lint(const char *markdown, const char *path, moe_err *err) {
    moe_status status = MOE_OK;
    cmark_node *document = NULL;
    cmark_iter *iter = NULL;
    moe_try(markdown_parse(markdown, strlen(markdown), &document, err));
    iter = cmark_iter_new(document);
    for (cmark_event_type event; (event = cmark_iter_next(iter)) != CMARK_EVENT_DONE;) {
        cmark_node *node = cmark_iter_get_node(iter);
        const cmark_node_type type = cmark_node_get_type(node);
        if (event != CMARK_EVENT_ENTER) continue;
        if (type == CMARK_NODE_TEXT)
            moe_try(check_text(cmark_node_get_literal(node), path, markdown_line(node), err));
        moe_check(type != CMARK_NODE_HTML_BLOCK && type != CMARK_NODE_HTML_INLINE, err, MOE_ECONFIG,
                  "%s:%d: raw HTML has no place in a chapter", path, markdown_line(node));
    }
out:
    if (iter != NULL) cmark_iter_free(iter);
    if (document != NULL) cmark_node_free(document);
    return status;
}
