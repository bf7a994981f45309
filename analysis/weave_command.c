#include "analysis/weave_command.h"

#include "analysis/weave.h"
#include "analysis/weave_options.h"

moe_status weave_command(int argc, char **argv, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = NULL;
    bool check = false;
    struct report_options o;
    const char *folder = NULL, *figures = "figures";
    const struct option_word words[] = {{"--out", &folder}, {"--figures", &figures}, {NULL, NULL}};
    const struct option_flag flags[] = {{"--check", &check}, {NULL, NULL}};
    moe_try(report_options_parse(argc, argv, words, flags, &o, err));
    if (folder == NULL) folder = o.paper;
    moe_try(report_open(&o.selection, o.paper, &report, err));
    const struct weave_request request = {report, figures, folder};
    if (check) {
        moe_try(weave_check(&request, err));
    } else {
        moe_try(weave_write(&request, err));
        fprintf(out, "%s/report.md\n%s/report.html\n", folder, folder);
    }
out:
    report_close(report);
    return status;
}
