#include "analysis/weave_options.h"

#include <string.h>

static const char **word_of(const struct option_word *words, const char *name) {
    for (int i = 0; words != NULL && words[i].name != NULL; i++)
        if (strcmp(words[i].name, name) == 0) return words[i].value;
    return NULL;
}

static bool *flag_of(const struct option_flag *flags, const char *name) {
    for (int i = 0; flags != NULL && flags[i].name != NULL; i++)
        if (strcmp(flags[i].name, name) == 0) return flags[i].value;
    return NULL;
}

moe_status report_options_parse(int argc, char **argv, const struct option_word *words,
                                const struct option_flag *flags, struct report_options *o, moe_err *err) {
    moe_status status = MOE_OK;
    const char *root = NULL;
    *o = (struct report_options){.paper = "paper"};
    const struct option_word shared[] = {
        {"--runs-dir", &root}, {"--tier", &o->selection.tier}, {"--paper", &o->paper}, {NULL, NULL}};
    for (int i = 1; i < argc; i++) {
        bool *flag = flag_of(flags, argv[i]);
        if (flag != NULL) {
            *flag = true;
            continue;
        }
        const char **value = word_of(shared, argv[i]);
        if (value == NULL) value = word_of(words, argv[i]);
        moe_check(value != NULL, err, MOE_EUSAGE, "%s: there is no option \"%s\"", argv[0], argv[i]);
        moe_check(i + 1 < argc, err, MOE_EUSAGE, "%s: %s wants a value", argv[0], argv[i]);
        *value = argv[++i];
        if (value != &root) continue;
        moe_check(o->selection.num_roots < OPTIONS_MAX_ROOTS, err, MOE_EUSAGE,
                  "%s: more than %d times --runs-dir", argv[0], OPTIONS_MAX_ROOTS);
        o->roots[o->selection.num_roots++] = root;
    }
    if (o->selection.num_roots == 0) o->roots[o->selection.num_roots++] = "runs/reference";
    o->selection.roots = o->roots;
out:
    return status;
}
