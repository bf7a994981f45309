#include "analysis/claims_command.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_text.h"
#include "analysis/weave_options.h"
#include "core/file.h"

#define MARGINS "margins.toml"

static int ledgers_only(const struct dirent *entry) {
    return entry->d_name[0] != '.' && path_ends_with(entry->d_name, ".toml") &&
           strcmp(entry->d_name, MARGINS) != 0;
}

static moe_status append_source(struct report *report, const char *source, const char *protocol, bool json,
                                struct text *text, moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *results = NULL;
    moe_try(claims_judge(report, source, &results, err));
    moe_try((json ? claims_print_json : claims_print)(results, protocol, text, err));
out:
    claims_free(results);
    return status;
}

/* The ledgers of a paper in the order of their names: of one source, or with source NULL of all; these are
 * one array in JSON. */
static moe_status append_ledgers(struct report *report, const char *paper, const char *source,
                                 const char *protocol, bool json, struct text *text, moe_err *err) {
    moe_status status = MOE_OK;
    struct dirent **entries = NULL;
    struct text folder = {0}, known = {0};
    int count = -1;
    bool found = false;
    const bool array = json && source == NULL;
    text_append(&folder, "%s/claims", paper);
    moe_check(!folder.failed, err, MOE_ENOMEM, "claims: no memory");
    count = scandir(folder.data, &entries, ledgers_only, alphasort);
    moe_check(count > 0, err, MOE_ENOTFOUND, "%s: no ledgers of claims there", folder.data);
    for (int i = 0; i < count; i++) {
        char *name = entries[i]->d_name;
        name[strlen(name) - 5] = '\0';
        text_append(&known, "%s%s", i > 0 ? ", " : "", name);
        if (source != NULL && strcmp(source, name) != 0) continue;
        if (array) text_append(text, found ? "," : "[");
        if (found && !json) text_append(text, "\n");
        found = true;
        moe_try(append_source(report, name, protocol, json, text, err));
    }
    moe_check(found, err, MOE_EUSAGE, "--source %s: expected one of %s", source,
              known.data != NULL ? known.data : "none");
    if (array) text_append(text, "]\n");
out:
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    text_free(&folder);
    text_free(&known);
    return status;
}

moe_status claims_command(int argc, char **argv, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    struct text text = {0};
    const char *source = NULL, *format = "text", *protocol = NULL;
    struct report_options o;
    const struct option_word words[] = {
        {"--source", &source}, {"--format", &format}, {"--protocol", &protocol}, {NULL, NULL}};
    moe_try(report_options_parse(argc, argv, words, NULL, &o, err));
    moe_check(strcmp(format, "text") == 0 || strcmp(format, "json") == 0, err, MOE_EUSAGE,
              "--format %s: expected text or json", format);
    moe_check(protocol == NULL || strcmp(protocol, "as-published") == 0 || strcmp(protocol, "corrected") == 0,
              err, MOE_EUSAGE, "--protocol %s: expected as-published or corrected", protocol);
    moe_try(report_open(&o.selection, o.paper, &report, err));
    moe_try(append_ledgers(report, o.paper, source, protocol, strcmp(format, "json") == 0, &text, err));
    moe_check(!text.failed, err, MOE_ENOMEM, "claims: no memory");
    moe_check(fwrite(text.data, 1, text.length, out) == text.length, err, MOE_EIO,
              "claims: cannot write the listing");
out:
    text_free(&text);
    report_close(report);
    return status;
}
