/* select.h - the run files that a report is made from: found, checked, ordered, and read on demand.
 *
 * A report is made from the complete runs of one tier. Their order is suite, experiment, protocol, seed: the
 * same files give the same list, whatever the file system's order. Two runs of the same identity are an
 * error.
 */
#ifndef ANALYSIS_SELECT_H
#define ANALYSIS_SELECT_H

#include <jansson.h>

#include "record/reader.h"

struct run_list;

struct run_file {
    const char *path;
    struct run_info info;
    int32_t index; /* in its list */
};

struct run_selection {
    const char *const *roots; /* [num_roots] folders searched with all folders below; or single files */
    int32_t num_roots;
    const char *tier; /* NULL = the largest that is there: smoke < desk < gpu < full */
};

/* Finds *.h5 (never live runs) below the roots. MOE_ENOTFOUND: a root does not exist. MOE_EFORMAT: files are
 * damaged; all are named. MOE_EEXIST: two files hold the same run; both are named. A list may be empty. */
moe_status run_list_open(const struct run_selection *selection, struct run_list **out_list, moe_err *err);
void run_list_close(struct run_list *list); /* NULL is allowed */

/* The tier that was selected; "" if there are no runs. */
const char *run_list_tier(const struct run_list *list);

/* Where the list was looked for, for messages: "runs/reference, other". */
const char *run_list_roots(const struct run_list *list);

int32_t run_list_count(const struct run_list *list);
const struct run_file *run_list_at(const struct run_list *list, int32_t index);

/* The runs of one experiment under one protocol, by ascending seed. */
struct run_group {
    const char *suite, *experiment, *protocol; /* as asked for */
    const struct run_file *files;              /* [n], in the list */
    int32_t n;                                 /* 0 if there are none */
};

struct run_group run_list_group(const struct run_list *list, const char *suite, const char *experiment,
                                const char *protocol);

/* Reader of a run, owned by the list: good until the next call for another run (readers are kept within a
 * budget of memory). The run counts as used. */
moe_status run_list_reader(struct run_list *list, const struct run_file *file, struct run_reader **out_reader,
                           moe_err *err);

/* One dataset of a run, as run_reader_array() gives it; malloc'ed. */
moe_status run_list_array(struct run_list *list, const struct run_file *file, const char *name,
                          double **out_values, int64_t dims[4], int32_t *out_rank, moe_err *err);

/* Configuration and counts of a run as JSON, the list's; NULL where the text is none. The run counts as used.
 */
moe_status run_list_json(struct run_list *list, const struct run_file *file, const json_t **out_config,
                         const json_t **out_counts, moe_err *err);

/* Forgets which runs were used; afterwards run_list_used() tells of the runs read since. */
void run_list_forget_used(struct run_list *list);

/* One line per used run, in the order of the list: "SUITE/EXPERIMENT PROTOCOL TIER sSEED DIGEST". malloc'ed.
 */
moe_status run_list_used(const struct run_list *list, char **out_text, moe_err *err);

/* The domain of multiple-choice questions. */
#define DOMAIN_QUESTIONS "endings"

/* Number of a domain of a run's evaluation; -1: it has none of this name. No use of the run, and no reading.
 */
int32_t run_list_domain(const struct run_list *list, const struct run_file *file, const char *name);

/* Whether an experiment's name is that of a run of a learning-rate sweep: it is trained by a command of its
 * own and stands for no experiment. */
bool run_is_of_sweep(const char *experiment);

#endif
