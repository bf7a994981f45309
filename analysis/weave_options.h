/* weave_options.h - the options that claims and weave share. */
#ifndef ANALYSIS_WEAVE_OPTIONS_H
#define ANALYSIS_WEAVE_OPTIONS_H

#include "analysis/report.h"

#define OPTIONS_MAX_ROOTS 16

struct report_options {
    const char *roots[OPTIONS_MAX_ROOTS];
    struct run_selection selection; /* points into this struct */
    const char *paper;
};

/* An option with a value, and where it goes. A table ends with a NULL name. */
struct option_word {
    const char *name;
    const char **value;
};
struct option_flag {
    const char *name;
    bool *value;
};

/* Reads --runs-dir DIR (may be repeated; runs/reference by default), --tier T, --paper DIR (paper by
 * default), and the caller's own words and flags (either may be NULL). MOE_EUSAGE names what is unknown or
 * lacks its value. `o` must stay where it is. */
moe_status report_options_parse(int argc, char **argv, const struct option_word *words,
                                const struct option_flag *flags, struct report_options *o, moe_err *err);

#endif
