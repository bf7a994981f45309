/* moe_report.h - what the sub-commands of moe-report share. */
#ifndef ANALYSIS_MOE_REPORT_H
#define ANALYSIS_MOE_REPORT_H

#include "analysis/report.h"
#include "analysis/tables.h"

#define MAX_ROOTS 64

/* The command line. */
struct options {
    const char *roots[MAX_ROOTS];
    int32_t num_roots;
    const char *tier;
    const char *paper_dir;
    const char *figures_dir;
    const char *report_dir; /* NULL = paper_dir */
    enum table_format format;
    bool all, list;
    char **args; /* command and its arguments */
    int32_t num_args;
};

/* runs ls|show|diff|digest|verify (moe_report_runs.c). Failures of single files are printed as they come; the
 * status is that of the last failure. */
moe_status command_runs(const struct options *options, moe_err *err);

#endif
