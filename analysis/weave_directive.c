#include "analysis/weave_directive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figure.h"
#include "analysis/tables.h"
#include "analysis/weave_format.h"
#include "analysis/weave_verdicts.h"
#include "core/file.h"

void weaver_close(struct weaver *weaver) {
    for (int i = 0; i < 4; i++)
        claims_free(weaver->judged[i]);
    *weaver = (struct weaver){0};
}

/* ---------------------------------------------------------------- reading */

static char *trim(char *text) {
    static const char space[] = " \t\r\n";
    text += strspn(text, space);
    size_t length = strlen(text);
    while (length > 0 && strchr(space, text[length - 1]) != NULL)
        text[--length] = '\0';
    return text;
}

moe_status directive_parse(const char *text, size_t length, const char *place, struct directive *out,
                           moe_err *err) {
    moe_status status = MOE_OK;
    *out = (struct directive){.place = place};
    out->storage = strndup(text, length);
    moe_check(out->storage != NULL, err, MOE_ENOMEM, "%s: no memory for a directive", place);
    for (char *c = out->storage; *c != '\0'; c++)
        if (*c == '\n') *c = ' ';
    char *rest = trim(out->storage);
    const size_t name = strcspn(rest, " ");
    moe_check(name > 0 && name < sizeof out->name, err, MOE_ECONFIG, "%s: {{%.*s}}: no name of a directive",
              place, (int)(length < 40 ? length : 40), text);
    memcpy(out->name, rest, name);
    rest = trim(rest + name);
    while (*rest != '\0') {
        moe_check(out->count < WEAVE_MAX_ARGUMENTS, err, MOE_ECONFIG, "%s: {{%s}}: more than %d arguments",
                  place, out->name, WEAVE_MAX_ARGUMENTS);
        char *end = strchr(rest, ';');
        char *next = end != NULL ? end + 1 : rest + strlen(rest);
        if (end != NULL) *end = '\0';
        out->arguments[out->count++] = trim(rest);
        rest = next;
    }
out:
    if (status != MOE_OK) directive_free(out);
    return status;
}

void directive_free(struct directive *directive) {
    free(directive->storage);
    *directive = (struct directive){0};
}

/* ---------------------------------------------------------------- what directives need */

static moe_status judged(struct weaver *w, int source, const char *place, struct claim_results **out,
                         moe_err *err) {
    moe_status status = MOE_OK;
    const char name[2] = {(char)('A' + source), '\0'};
    moe_check(source >= 0 && source < 4, err, MOE_ECONFIG,
              "%s: of which source? The chapter must say {{source A}} first", place);
    if (w->judged[source] == NULL) moe_try(claims_judge(w->report, name, &w->judged[source], err));
    *out = w->judged[source];
out:
    return status;
}

static moe_status source_argument(struct weaver *w, const struct directive *d, struct claim_results **out,
                                  moe_err *err) {
    const char *name = d->arguments[0];
    if (strlen(name) != 1 || name[0] < 'A' || name[0] > 'D')
        return moe_fail(err, MOE_ECONFIG, "%s: {{%s %s}}: expected a source, A to D", d->place, d->name,
                        name);
    return judged(w, name[0] - 'A', d->place, out, err);
}

/* The result that {{... ID; SETTING}} names: ID starts with the letter of its source. */
static moe_status find_result(struct weaver *w, const struct directive *d, const struct claim_result **out,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    const struct claim *claim = NULL;
    moe_err cause = {0};
    const int source = d->arguments[0][0] - 'A';
    moe_check(source >= 0 && source < 4, err, MOE_ENOTFOUND, "%s: no claim %s: ids begin with A, B, C or D",
              d->place, d->arguments[0]);
    moe_try(judged(w, source, d->place, &all, err));
    status = ledger_find(all->ledger, d->arguments[0], &claim, &cause);
    moe_check(status == MOE_OK, err, status, "%s: %s", d->place, cause.message);
    *out = claims_result(all, claim, d->arguments[1]);
    moe_check(*out != NULL, err, MOE_ENOTFOUND,
              "%s: claim %s is not judged under \"%s\"; settings are printed, as-published, corrected",
              d->place, claim->id, d->arguments[1]);
out:
    return status;
}

static const char *argument(const struct directive *d, int32_t index) {
    return index < d->count ? d->arguments[index] : "";
}

/* The sample of {{number EXPR; PROTOCOL; ...}} as an estimate. */
static moe_status estimate(struct weaver *w, const struct directive *d, struct stats_estimate *out,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    struct claim_sample sample = {0};
    moe_try(judged(w, w->source, d->place, &all, err));
    moe_try(claim_sample(&all->names, d->arguments[0], d->place, d->arguments[1], &sample, err));
    *out = stats_mean_interval(sample.values, sample.n, VERDICT_LEVEL);
out:
    claim_sample_free(&sample);
    return status;
}

moe_status directive_ends_chapter(struct weaver *w, const struct directive *d, struct text *out,
                                  bool *out_ends, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    const struct run_list *runs = w->report->runs;
    *out_ends = false;
    if (strcmp(d->name, "chapter") != 0 || d->count != 1) goto out;
    moe_try(source_argument(w, d, &all, err));
    for (int32_t i = 0; i < run_list_count(runs); i++)
        if (strcmp(run_list_at(runs, i)->info.suite, all->ledger->suite) == 0) goto out;
    text_append(out, "*This report is made without runs of the suite `%s`; `moe suite %s` trains them.*\n",
                all->ledger->suite, all->ledger->suite);
    *out_ends = true;
out:
    return status;
}

/* ---------------------------------------------------------------- the directives */

static moe_status expand_source(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    struct claim_results *all = NULL;
    (void)out;
    w->source = d->arguments[0][0] - 'A';
    return source_argument(w, d, &all, err);
}

static moe_status expand_number(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct number_format format;
    struct stats_estimate e;
    moe_try(number_format_parse(argument(d, 2), d->place, &format, err));
    moe_try(estimate(w, d, &e, err));
    number_append_estimate(out, &format, &e);
out:
    return status;
}

static moe_status expand_published(struct weaver *w, const struct directive *d, struct text *out,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    struct number_format format;
    double value = 0.0;
    moe_try(number_format_parse(argument(d, 1), d->place, &format, err));
    moe_try(judged(w, w->source, d->place, &all, err));
    moe_try(claim_number(&all->names, d->arguments[0], d->place, &value, err));
    moe_check(isfinite(value), err, MOE_ENUMERIC, "%s: \"%s\" is not a finite number", d->place,
              d->arguments[0]);
    number_append(out, &format, value);
out:
    return status;
}

static moe_status expand_audit(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    struct number_format format;
    moe_err cause = {0};
    double value = 0.0;
    moe_try(number_format_parse(argument(d, 1), d->place, &format, err));
    moe_try(judged(w, w->source, d->place, &all, err));
    status = audit_number(all->names.audit, d->arguments[0], &value, &cause);
    moe_check(status == MOE_OK, err, status, "%s: %s", d->place, cause.message);
    number_append(out, &format, value);
out:
    return status;
}

/* Words for a number's sign: below zero; above zero; neither. */
static moe_status expand_sign(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct stats_estimate e;
    moe_try(estimate(w, d, &e, err));
    const bool sure = e.n >= VERDICT_MIN_SEEDS;
    text_append(out, "%s", d->arguments[sure && e.high < 0.0 ? 2 : sure && e.low > 0.0 ? 3 : 4]);
out:
    return status;
}

static moe_status expand_verdict(struct weaver *w, const struct directive *d, struct text *out,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim_result *result = NULL;
    moe_try(find_result(w, d, &result, err));
    text_append(out, "**%s**", verdict_in_setting(result));
out:
    return status;
}

static moe_status expand_reason(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim_result *result = NULL;
    moe_try(find_result(w, d, &result, err));
    text_append(out, "%s", result->reason);
out:
    return status;
}

static moe_status expand_effect(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim_result *result = NULL;
    moe_try(find_result(w, d, &result, err));
    moe_check(result->effect[0] != '\0', err, MOE_ENOTFOUND, "%s: claim %s was not tested: %s", d->place,
              result->claim->id, result->reason);
    text_append(out, "%s", result->effect);
out:
    return status;
}

/* Words for a verdict: reproduced; contradicted or impossible; inconclusive; not tested. */
static moe_status expand_when(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim_result *result = NULL;
    static const int words[VERDICT_COUNT] = {[VERDICT_REPRODUCED] = 2,
                                             [VERDICT_CONTRADICTED] = 3,
                                             [VERDICT_IMPOSSIBLE] = 3,
                                             [VERDICT_INCONCLUSIVE] = 4,
                                             [VERDICT_NOT_TESTED] = 5};
    moe_try(find_result(w, d, &result, err));
    text_append(out, "%s", argument(d, words[result->verdict]));
out:
    return status;
}

/* In place of a figure or table that these runs have nothing for, and that a report of them leaves out. */
static void leave_out(const char *title, struct text *out) {
    text_append(out, "*%s: left out, these runs hold nothing for it.*", title);
}

static moe_status expand_table(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct table *table = NULL;
    char *text = NULL;
    moe_err cause = {0};
    status = table_find(d->arguments[0], &table, &cause);
    if (status == MOE_OK && !run_list_concerns(w->report->runs, table->need)) {
        leave_out(table->title, out);
        goto out;
    }
    if (status == MOE_OK) status = table_print(w->report, table, TABLE_MARKDOWN, &text, &cause);
    moe_check(status == MOE_OK, err, status, "%s: %s", d->place, cause.message);
    text_append(out, "%s\n*%s. %s*", text, table->title, table->caption);
out:
    free(text);
    return status;
}

static moe_status expand_figure(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct figure *figure = NULL;
    char *path = NULL;
    char name[FIGURE_NAME_MAX];
    moe_err cause = {0};
    status = figure_find(d->arguments[0], &figure, &cause);
    if (status == MOE_OK && !run_list_concerns(w->report->runs, figure->need)) {
        leave_out(figure->title, out);
        goto out;
    }
    if (status == MOE_OK) status = run_list_require(w->report->runs, figure->need, figure->id, &cause);
    moe_check(status == MOE_OK, err, status, "%s: %s", d->place, cause.message);
    figure_file_name(figure, name);
    if (w->figures_dir != NULL) {
        path = path_join(w->figures_dir, name);
        moe_check(path != NULL, err, MOE_ENOMEM, "%s: no memory for a path", d->place);
        moe_check(file_exists(path), err, MOE_ENOTFOUND,
                  "%s: there is no %s; draw it with `moe-report figure %s`", d->place, path, figure->id);
    }
    text_append(out, "![%s](%s/%s)\n\n*%s. %s*", figure->title, w->figures_link, name, figure->title,
                figure->caption);
out:
    free(path);
    return status;
}

static moe_status expand_verdicts(struct weaver *w, const struct directive *d, struct text *out,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(source_argument(w, d, &all, err));
    moe_try(verdicts_table(all, argument(d, 1), argument(d, 2), d->place, out, err));
out:
    return status;
}

static moe_status expand_evidence(struct weaver *w, const struct directive *d, struct text *out,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(source_argument(w, d, &all, err));
    verdicts_evidence(all, out);
out:
    return status;
}

static moe_status expand_counts(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(source_argument(w, d, &all, err));
    verdicts_counts(all, out);
out:
    return status;
}

static moe_status expand_audits(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(source_argument(w, d, &all, err));
    moe_try(verdicts_audit(all, out, err));
out:
    return status;
}

static moe_status expand_margins(struct weaver *w, const struct directive *d, struct text *out,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(source_argument(w, d, &all, err));
    moe_try(verdicts_margins(all, out, err));
out:
    return status;
}

static moe_status expand_fact(struct weaver *w, const struct directive *d, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = NULL;
    moe_try(judged(w, w->source, d->place, &all, err));
    moe_try(verdicts_fact(all, d->arguments[0], d->place, out, err));
out:
    return status;
}

/* A number that is no measurement: what it is stands beside it. */
static moe_status expand_literal(struct weaver *w, const struct directive *d, struct text *out,
                                 moe_err *err) {
    (void)w;
    (void)err;
    text_append(out, "%s", d->arguments[0]);
    return MOE_OK;
}

static const struct {
    const char *name;
    int32_t least, most; /* arguments */
    const char *usage;
    moe_status (*expand)(struct weaver *, const struct directive *, struct text *, moe_err *);
} directives[] = {
    {"source", 1, 1, "SOURCE", expand_source},
    {"chapter", 1, 1, "SOURCE", expand_source},
    {"number", 2, 3, "EXPRESSION; PROTOCOL; FORMAT", expand_number},
    {"sign", 5, 5, "EXPRESSION; PROTOCOL; BELOW ZERO; ABOVE ZERO; NEITHER", expand_sign},
    {"published", 1, 2, "EXPRESSION; FORMAT", expand_published},
    {"audit", 1, 2, "GROUP.NAME; FORMAT", expand_audit},
    {"literal", 2, 2, "NUMBER; WHAT IT IS", expand_literal},
    {"verdict", 2, 2, "CLAIM; SETTING", expand_verdict},
    {"reason", 2, 2, "CLAIM; SETTING", expand_reason},
    {"effect", 2, 2, "CLAIM; SETTING", expand_effect},
    {"when", 5, 6, "CLAIM; SETTING; REPRODUCED; CONTRADICTED; INCONCLUSIVE; NOT TESTED", expand_when},
    {"table", 1, 1, "ID", expand_table},
    {"figure", 1, 1, "ID", expand_figure},
    {"verdicts", 1, 3, "SOURCE; FIRST CLAIM; LAST CLAIM", expand_verdicts},
    {"evidence", 1, 1, "SOURCE", expand_evidence},
    {"counts", 1, 1, "SOURCE", expand_counts},
    {"audits", 1, 1, "SOURCE", expand_audits},
    {"margins", 1, 1, "SOURCE", expand_margins},
    {"fact", 1, 1, "NAME", expand_fact},
};

#define DIRECTIVES (sizeof directives / sizeof directives[0])

moe_status directive_expand(struct weaver *weaver, const struct directive *d, struct text *out,
                            moe_err *err) {
    const char *names[DIRECTIVES];
    for (size_t i = 0; i < DIRECTIVES; i++) {
        names[i] = directives[i].name;
        if (strcmp(names[i], d->name) != 0) continue;
        if (d->count < directives[i].least || d->count > directives[i].most)
            return moe_fail(err, MOE_ECONFIG, "%s: expected {{%s %s}}", d->place, d->name,
                            directives[i].usage);
        return directives[i].expand(weaver, d, out, err);
    }
    const char *nearest = text_nearest(d->name, names, DIRECTIVES);
    return moe_fail(err, MOE_ENOTFOUND, "%s: there is no directive {{%s}}%s%s", d->place, d->name,
                    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
}
