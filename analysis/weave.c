#include "analysis/weave.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/weave_chapter.h"
#include "analysis/weave_html.h"
#include "core/file.h"

#define MAX_REPORT ((size_t)64 << 20)

static const char head[] = "<!-- Woven by `moe-report weave` from paper/chapters and run files. Edit the "
                           "chapters, not this file. -->\n\n";

/* A folder as seen from another: "../figures" of "figures" from "paper". Both must exist. malloc'ed. */
static moe_status relative_path(const char *to, const char *from, char **out_path, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    char *target = realpath(to, NULL);
    char *base = realpath(from, NULL);
    moe_check(target != NULL, err, MOE_ENOTFOUND, "%s: no such folder: %s", to, strerror(errno));
    moe_check(base != NULL, err, MOE_ENOTFOUND, "%s: no such folder: %s", from, strerror(errno));
    size_t common = 0; /* length of the leading parts that both share */
    for (size_t i = 0;; i++) {
        const bool end_a = target[i] == '\0' || target[i] == '/';
        const bool end_b = base[i] == '\0' || base[i] == '/';
        if (end_a && end_b) common = i;
        if (target[i] != base[i] || target[i] == '\0') break;
    }
    for (const char *c = base + common; *c != '\0'; c++)
        if (*c == '/' && c[1] != '\0') text_append(&t, "%s..", t.length > 0 ? "/" : "");
    const char *rest = target + common + (target[common] == '/');
    if (*rest != '\0') text_append(&t, "%s%s", t.length > 0 ? "/" : "", rest);
    if (t.length == 0) text_append(&t, ".");
    status = text_take(&t, out_path, err);
out:
    text_free(&t);
    free(target);
    free(base);
    return status;
}

static int chapters_only(const struct dirent *entry) {
    return entry->d_name[0] != '.' && path_ends_with(entry->d_name, ".md");
}

static moe_status weave_chapters(struct weaver *weaver, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct dirent **entries = NULL;
    char *path = NULL;
    int count = 0;
    char *folder = path_join(weaver->report->paper_dir, "chapters");
    moe_check(folder != NULL, err, MOE_ENOMEM, "no memory for a path");
    count = scandir(folder, &entries, chapters_only, alphasort);
    moe_check(count > 0, err, MOE_ENOTFOUND, "%s: no chapters (*.md) there", folder);
    for (int i = 0; i < count; i++) {
        path = path_join(folder, entries[i]->d_name);
        moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
        if (i > 0) text_append(out, "\n");
        moe_try(chapter_weave(weaver, path, out, err));
        free(path);
        path = NULL;
    }
out:
    free(path);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(folder);
    return status;
}

moe_status weave_markdown(const struct weave_request *request, bool undrawn, struct woven *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct text markdown = {0};
    char *link = NULL;
    struct weaver weaver = {.report = request->report, .figures_dir = undrawn ? NULL : request->figures_dir};
    *out = (struct woven){0};
    moe_try(file_make_folders(request->out_dir, err));
    if (undrawn) moe_try(file_make_folders(request->figures_dir, err));
    moe_try(relative_path(request->figures_dir, request->out_dir, &link, err));
    weaver.figures_link = link;
    text_append(&markdown, "%s", head);
    moe_try(weave_chapters(&weaver, &markdown, err));
    moe_try(text_take(&markdown, &out->markdown, err));
out:
    text_free(&markdown);
    free(link);
    weaver_close(&weaver);
    if (status != MOE_OK) woven_free(out);
    return status;
}

moe_status weave_html(const struct weave_request *request, struct woven *woven, moe_err *err) {
    return weave_page(woven->markdown + strlen(head), request->out_dir, &woven->html, err);
}

moe_status weave_build(const struct weave_request *request, struct woven *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(weave_markdown(request, false, out, err));
    moe_try(weave_html(request, out, err));
out:
    if (status != MOE_OK) woven_free(out);
    return status;
}

void woven_free(struct woven *woven) {
    free(woven->markdown);
    free(woven->html);
    *woven = (struct woven){0};
}

static moe_status write_file(const char *folder, const char *name, const char *text, moe_err *err) {
    moe_status status = MOE_OK;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_write_atomic(path, text, strlen(text), err));
out:
    free(path);
    return status;
}

moe_status weave_save(const struct weave_request *request, const struct woven *woven, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(write_file(request->out_dir, "report.md", woven->markdown, err));
    moe_try(write_file(request->out_dir, "report.html", woven->html, err));
out:
    return status;
}

moe_status weave_write(const struct weave_request *request, moe_err *err) {
    moe_status status = MOE_OK;
    struct woven woven = {0};
    moe_try(weave_build(request, &woven, err));
    moe_try(weave_save(request, &woven, err));
out:
    woven_free(&woven);
    return status;
}

/* Where two texts begin to differ, as a line number and what each has there. */
static moe_status compare(const char *path, const char *there, const char *woven, moe_err *err) {
    int line = 1;
    size_t start = 0;
    size_t i = 0;
    while (there[i] == woven[i] && there[i] != '\0') {
        if (there[i++] != '\n') continue;
        line++;
        start = i;
    }
    if (there[i] == woven[i]) return MOE_OK;
    const char *a = there + start;
    const char *b = woven + start;
    /* of a long line the part where they differ */
    const size_t skip = i - start > 60 ? i - start - 60 : 0;
    return moe_fail(err, MOE_EMISMATCH,
                    "%s:%d: stale: it has \"%.*s\", the runs give \"%.*s\"; weave it again", path, line,
                    (int)strcspn(a + skip, "\n") < 200 ? (int)strcspn(a + skip, "\n") : 200, a + skip,
                    (int)strcspn(b + skip, "\n") < 200 ? (int)strcspn(b + skip, "\n") : 200, b + skip);
}

static moe_status check_file(const char *folder, const char *name, const char *woven, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *there = NULL;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_read_all(path, MAX_REPORT, &there, NULL, err));
    moe_try(compare(path, (const char *)there, woven, err));
out:
    free(there);
    free(path);
    return status;
}

moe_status weave_check(const struct weave_request *request, moe_err *err) {
    moe_status status = MOE_OK;
    struct woven woven = {0};
    moe_try(weave_build(request, &woven, err));
    moe_try(check_file(request->out_dir, "report.md", woven.markdown, err));
    moe_try(check_file(request->out_dir, "report.html", woven.html, err));
out:
    woven_free(&woven);
    return status;
}
