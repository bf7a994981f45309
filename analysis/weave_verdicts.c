#include "analysis/weave_verdicts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot_axis.h"
#include "analysis/weave_markdown.h"

#define DASH "\xe2\x80\x93"

static const char *const settings[] = {"printed", "as-published", "corrected"};
static const char *const setting_titles[] = {"As printed", "Run as published", "Run corrected"};

const char *verdict_in_setting(const struct claim_result *result) {
    if (result->verdict == VERDICT_REPRODUCED && strcmp(result->setting, "printed") == 0)
        return "holds as printed";
    if (result->verdict == VERDICT_IMPOSSIBLE) return "impossible as printed";
    return verdict_word(result->verdict);
}

/* Text inside a cell of a table. */
static void append_part(struct text *out, const char *text, size_t length) {
    for (const char *c = text; c < text + length; c++)
        text_append(out, "%s%c", *c == '|' || *c == '_' || *c == '*' || *c == '[' || *c == '<' ? "\\" : "",
                    *c);
}

static void append_cell(struct text *out, const char *text) {
    append_part(out, text, strlen(text));
}

static void append_result(struct text *out, const struct claim_result *r) {
    if (r == NULL) {
        text_append(out, DASH " | ");
        return;
    }
    if (r->verdict == VERDICT_NOT_TESTED) {
        text_append(out, "not tested | ");
        return;
    }
    text_append(out, "**%s**: ", verdict_in_setting(r));
    append_cell(out, r->effect);
    text_append(out, " | ");
}

static moe_status find(const struct claim_results *all, const char *id, const char *place, int32_t fallback,
                       int32_t *out, moe_err *err) {
    const struct claim *claim = NULL;
    moe_err cause = {0};
    *out = fallback;
    if (id[0] == '\0') return MOE_OK;
    const moe_status status = ledger_find(all->ledger, id, &claim, &cause);
    if (status != MOE_OK) return moe_fail(err, status, "%s: %s", place, cause.message);
    *out = (int32_t)(claim - all->ledger->claims);
    return MOE_OK;
}

moe_status verdicts_table(const struct claim_results *all, const char *first, const char *last,
                          const char *place, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t from = 0, to = 0;
    moe_try(find(all, first, place, 0, &from, err));
    moe_try(find(all, last, place, all->ledger->count - 1, &to, err));
    text_append(out, "| Claim | |");
    for (size_t s = 0; s < 3; s++)
        text_append(out, " %s |", setting_titles[s]);
    text_append(out, "\n|---|---|---|---|---|\n");
    for (int32_t i = from; i <= to; i++) {
        const struct claim *claim = &all->ledger->claims[i];
        /* "A-20.dense" of "A-20-parameters.dense" */
        const int number = (int)strcspn(claim->id + 2, "-") + 2;
        const char *part = strchr(claim->id, '.');
        text_append(out, "| [");
        append_part(out, claim->id, (size_t)number);
        if (part != NULL) append_cell(out, part);
        text_append(out, "](#");
        markdown_slug(claim->id, out);
        text_append(out, ") | ");
        append_cell(out, claim->statement);
        text_append(out, " | ");
        for (size_t s = 0; s < 3; s++)
            append_result(out, claims_result(all, claim, settings[s]));
        out->data[out->length - 1] = '\n';
    }
out:
    return status;
}

/* " Presumes A-01, A-02 (printed)." */
static void append_presumptions(struct text *out, const struct claim *claim) {
    const size_t count = json_array_size(claim->presumes);
    for (size_t i = 0; i < count; i++) {
        const char *entry = json_string_value(json_array_get(claim->presumes, i));
        const int length = (int)strcspn(entry, ":");
        text_append(out, "%s%.*s", i == 0 ? " Presumes " : ", ", length, entry);
        if (entry[length] == ':') text_append(out, " (%s)", entry + length + 1);
    }
    if (count > 0) text_append(out, ".");
}

void verdicts_evidence(const struct claim_results *all, struct text *out) {
    const struct claim *claim = NULL;
    for (int32_t i = 0; i < all->count; i++) {
        const struct claim_result *r = &all->results[i];
        if (r->claim != claim) {
            claim = r->claim;
            text_append(out, "%s#### %s\n\n", i > 0 ? "\n" : "", claim->id);
            append_cell(out, claim->statement);
            text_append(out, " (%s; ", claim_kind_word(claim->kind));
            append_cell(out, claim->place);
            text_append(out, ".)");
            if (claim->note[0] != '\0') text_append(out, " ");
            append_cell(out, claim->note);
            append_presumptions(out, claim);
            text_append(out, "\n\n");
        }
        text_append(out, "- %s: **%s**. ", r->setting, verdict_in_setting(r));
        append_cell(out, r->reason);
        text_append(out, "\n");
    }
}

void verdicts_counts(const struct claim_results *all, struct text *out) {
    text_append(out, "| Verdict | As printed | Run as published | Run corrected |\n|---|---:|---:|---:|\n");
    for (int v = 0; v < VERDICT_COUNT; v++) {
        text_append(out, "| %s |", verdict_word((enum verdict)v));
        for (size_t s = 0; s < 3; s++)
            text_append(out, " %d |", claims_count(all, settings[s], (enum verdict)v));
        text_append(out, "\n");
    }
}

/* Four significant digits, or a whole number as it is. */
static void append_value(struct text *out, double value) {
    char number[64];
    const double size = fabs(value);
    int32_t digits = 0;
    if (value != floor(value)) digits = size >= 1000.0 ? 0 : size >= 1.0 ? 4 - (int32_t)ceil(log10(size)) : 4;
    axis_format(number, sizeof number, value, digits < 0 ? 0 : digits);
    text_append(out, "%s", number);
}

moe_status verdicts_audit(const struct claim_results *all, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct audit_entry *entry;
    text_append(out, "| Number | | Value | Unit |\n|---|---|---:|---|\n");
    for (int32_t i = 0; (entry = audit_at(all->names.audit, i)) != NULL; i++) {
        double value = 0.0;
        moe_try(audit_number(all->names.audit, entry->name, &value, err));
        text_append(out, "| `%s` | ", entry->name);
        append_cell(out, entry->says);
        text_append(out, " | ");
        append_value(out, value);
        text_append(out, " | %s |\n", entry->unit);
    }
out:
    return status;
}

moe_status verdicts_margins(const struct claim_results *all, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *name;
    json_t *margin;
    text_append(out, "| Margin | Value | |\n|---|---:|---|\n");
    json_object_foreach(all->names.margins, name, margin) {
        const json_t *value = json_object_get(margin, "value");
        const char *says = json_string_value(json_object_get(margin, "says"));
        char number[TEXT_NUMBER_MAX];
        moe_check(json_is_number(value) && says != NULL, err, MOE_ECONFIG, "%s: %s: expected value and says",
                  all->names.margins_path, name);
        text_number(json_number_value(value), number);
        text_append(out, "| `%s` | %s | ", name, number);
        append_cell(out, says);
        text_append(out, " |\n");
    }
out:
    return status;
}

/* The runs of the ledger's suite, sweeps apart: how many, and seeds per experiment and protocol: "3", or "3
 * to 5". */
static int32_t count_runs(const struct claim_results *all, struct text *seeds) {
    const struct run_list *runs = all->names.report->runs;
    int32_t count = 0, least = 0, most = 0;
    for (int32_t i = 0; i < run_list_count(runs);) {
        const struct run_info *info = &run_list_at(runs, i)->info;
        const int32_t n = run_list_group(runs, info->suite, info->experiment, info->protocol).n;
        i += n;
        if (strcmp(info->suite, all->ledger->suite) != 0 || run_is_of_sweep(info->experiment)) continue;
        if (count == 0 || n < least) least = n;
        if (n > most) most = n;
        count += n;
    }
    text_append(seeds, "%d", least);
    if (least != most) text_append(seeds, " to %d", most);
    return count;
}

moe_status verdicts_fact(const struct claim_results *all, const char *name, const char *place,
                         struct text *out, moe_err *err) {
    const struct run_list *runs = all->names.report->runs;
    const double tail = (1.0 - VERDICT_LEVEL) / 2.0;
    if (strcmp(name, "tier") == 0) {
        text_append(out, "%s", run_list_tier(runs));
    } else if (strcmp(name, "runs") == 0) {
        struct text seeds = {0};
        text_append(out, "%d", count_runs(all, &seeds));
        text_free(&seeds);
    } else if (strcmp(name, "seeds") == 0) {
        count_runs(all, out);
    } else if (strcmp(name, "level") == 0) {
        text_append(out, "%.0f\xc2\xa0%%", 100.0 * VERDICT_LEVEL);
    } else if (strcmp(name, "min_seeds") == 0) {
        text_append(out, "%d", VERDICT_MIN_SEEDS);
    } else if (strcmp(name, "claims") == 0) {
        text_append(out, "%d", all->ledger->count);
    } else if (strcmp(name, "interval_tests") == 0) {
        text_append(out, "%d", all->interval_tests);
    } else if (strcmp(name, "expected_by_chance") == 0) {
        text_append(out, "%.1f", tail * all->interval_tests);
    } else {
        return moe_fail(
            err, MOE_ENOTFOUND,
            "%s: {{fact %s}}: expected tier, runs, seeds, level, min_seeds, claims, interval_tests or "
            "expected_by_chance",
            place, name);
    }
    return MOE_OK;
}
