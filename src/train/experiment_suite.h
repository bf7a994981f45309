/* experiment_suite.h - a suite's file: grammar, inheritance, axes. What it says about values goes into struct
 * config.
 *
 * Inside, a file is a tree of jansson objects in which everything that is not a table is a leaf [PLACE,
 * VALUE], so that laying one file over another keeps for each value where it was written.
 */
#ifndef TRAIN_EXPERIMENT_SUITE_H
#define TRAIN_EXPERIMENT_SUITE_H

#include "core/config.h"

struct suite_file {
    char name[128], source[8];
    char path[512]; /* of its own file, for messages */
    json_t *tree;   /* merged: base, protocol, tier, axis, experiment */
    json_t *listed; /* names of the experiments that it runs, in order: array of strings */
};

/* The merged table of an experiment, borrowed; NULL if there is none of that name. */
const json_t *suite_file_experiment(const struct suite_file *suite, const char *name);

/* The experiment that is trained under this name: what `alias` says, else the name itself. */
const char *suite_file_resolve(const struct suite_file *suite, const char *name);

#define SUITE_CHAIN_MAX 32

/* An experiment and what it inherits from, itself first; names belong to the suite. */
struct suite_file_chain {
    const char *names[SUITE_CHAIN_MAX];
    int length;
};

/* MOE_ECONFIG for circles and for names that do not exist. `name` exists. */
moe_status suite_file_find_chain(const struct suite_file *suite, const char *name,
                                 struct suite_file_chain *chain, moe_err *err);

/* Fails with `code`: no such WHAT, and the nearest of the table's names or their list. */
moe_status suite_file_unknown(const json_t *table, const char *what, const char *name, const char *place,
                              moe_status code, moe_err *err);

#define SUITE_SEEDS_UNSAID (-1)

/* One run of a suite: an experiment and a value on each of its axes. */
struct suite_file_run {
    char name[128]; /* EXPERIMENT or EXPERIMENT@AXIS=VALUE,AXIS=VALUE */
    char experiment[128];
    json_t *axes;  /* axis -> leaf [PLACE, VALUE]; NULL if there are none */
    int32_t seeds; /* that `moe suite` trains unless told otherwise; or SUITE_SEEDS_UNSAID */
};

/* Reads SUITES_DIR/NAME/suite.toml and what it inherits from. MOE_ENOTFOUND lists the suites there are. */
moe_status suite_file_read(const char *suites_dir, const char *name, struct suite_file **out_suite,
                           moe_err *err);

/* The same from memory; a file that inherits is an error then. */
moe_status suite_file_parse(const char *text, size_t size, const char *name, struct suite_file **out_suite,
                            moe_err *err);
void suite_file_free(struct suite_file *suite); /* NULL is allowed */

/* Names in [protocol.*] or [tier.*] (`kind`), in order: new reference, array of strings. */
moe_status suite_file_names(const struct suite_file *suite, const char *kind, json_t **out_names,
                            moe_err *err);

/* Checks that the suite declares this protocol or tier; NULL gives the first one. *out_name lives as long as
 * the suite. */
moe_status suite_file_pick(const struct suite_file *suite, const char *kind, const char *name,
                           const char **out_name, moe_err *err);

/* All runs of a protocol and tier, axes expanded, in order. */
moe_status suite_file_runs(const struct suite_file *suite, const char *protocol, const char *tier,
                           struct suite_file_run **out_runs, int32_t *out_count, moe_err *err);
void suite_file_runs_free(struct suite_file_run *runs, int32_t count);

/* Why a name is none of a protocol's and tier's runs: MOE_ENOTFOUND with the restriction, the nearest, or the
 * list. */
moe_status suite_file_missing_run(const struct suite_file *suite, const char *run, const char *protocol,
                                  const char *tier, moe_err *err);

/* Puts the layers of one run into a configuration, lowest first. */
moe_status suite_file_apply(const struct suite_file *suite, const struct suite_file_run *run,
                            const char *protocol, const char *tier, struct config *config, moe_err *err);

#endif
