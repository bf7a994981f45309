#include "analysis/weave_chapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/weave_lint.h"
#include "core/file.h"

#define MAX_CHAPTER (1 << 20)

static void append_newlines(struct text *out, const char *from, const char *to) {
    for (; from < to; from++)
        if (*from == '\n') text_append(out, "\n");
}

/* The chapter with a word in place of each directive, and as many lines as before. */
static moe_status blank(const char *source, const char *path, char **out_text, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    int line = 1;
    for (const char *at = source; *at != '\0';) {
        const char *open = strstr(at, "{{");
        if (open == NULL) {
            text_append(&t, "%s", at);
            break;
        }
        text_append_bytes(&t, at, (size_t)(open - at));
        for (; at < open; at++)
            line += *at == '\n';
        const char *close = strstr(open, "}}");
        const char *inner = strstr(open + 2, "{{");
        moe_check(close != NULL && (inner == NULL || inner > close), err, MOE_ECONFIG,
                  "%s:%d: \"{{\" without \"}}\"", path, line);
        text_append(&t, "x");
        append_newlines(&t, open, close);
        for (at = close + 2; open < at; open++)
            line += *open == '\n';
    }
    status = text_take(&t, out_text, err);
out:
    text_free(&t);
    return status;
}

static moe_status replace(struct weaver *weaver, const char *source, const char *path, struct text *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct directive directive = {0};
    char place[512];
    int line = 1;
    bool ends = false;
    for (const char *at = source; *at != '\0';) {
        const char *open = strstr(at, "{{");
        if (open == NULL) {
            text_append(out, "%s", at);
            break;
        }
        text_append_bytes(out, at, (size_t)(open - at));
        for (; at < open; at++)
            line += *at == '\n';
        const char *close = strstr(open, "}}");
        snprintf(place, sizeof place, "%s:%d", path, line);
        moe_try(directive_parse(open + 2, (size_t)(close - open) - 2, place, &directive, err));
        moe_try(directive_ends_chapter(weaver, &directive, out, &ends, err));
        if (ends) break;
        moe_try(directive_expand(weaver, &directive, out, err));
        directive_free(&directive);
        for (at = close + 2; open < at; open++)
            line += *open == '\n';
    }
out:
    directive_free(&directive);
    return status;
}

moe_status chapter_weave(struct weaver *weaver, const char *path, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *source = NULL;
    char *prose = NULL;
    size_t size = 0;
    moe_try(file_read_all(path, MAX_CHAPTER, &source, &size, err));
    moe_check(strlen((const char *)source) == size, err, MOE_EFORMAT, "%s: a NUL character is no text", path);
    weaver->source = -1;
    moe_try(blank((const char *)source, path, &prose, err));
    moe_try(weave_lint(prose, path, err));
    moe_try(replace(weaver, (const char *)source, path, out, err));
out:
    free(prose);
    free(source);
    return status;
}
