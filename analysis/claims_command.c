#include "analysis/claims_command.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/claims_text.h"
#include "analysis/weave_options.h"

moe_status claims_command(int argc, char **argv, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    struct claim_results *results = NULL;
    struct text text = {0};
    const char *source = "A", *format = "text", *protocol = NULL;
    struct report_options o;
    const struct option_word words[] = {
        {"--source", &source}, {"--format", &format}, {"--protocol", &protocol}, {NULL, NULL}};
    moe_try(report_options_parse(argc, argv, words, NULL, &o, err));
    moe_check(strcmp(format, "text") == 0 || strcmp(format, "json") == 0, err, MOE_EUSAGE,
              "--format %s: expected text or json", format);
    moe_check(protocol == NULL || strcmp(protocol, "as-published") == 0 || strcmp(protocol, "corrected") == 0,
              err, MOE_EUSAGE, "--protocol %s: expected as-published or corrected", protocol);
    moe_try(report_open(&o.selection, o.paper, &report, err));
    moe_try(claims_judge(report, source, &results, err));
    if (strcmp(format, "json") == 0) {
        moe_try(claims_print_json(results, protocol, &text, err));
    } else {
        moe_try(claims_print(results, protocol, &text, err));
    }
    moe_check(!text.failed, err, MOE_ENOMEM, "claims: no memory");
    moe_check(fwrite(text.data, 1, text.length, out) == text.length, err, MOE_EIO,
              "claims: cannot write the listing");
out:
    text_free(&text);
    claims_free(results);
    report_close(report);
    return status;
}
