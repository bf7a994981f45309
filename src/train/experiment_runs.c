/* experiment_runs.c - from a suite to its runs: restrictions, layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "train/experiment.h"
#include "train/experiment_axes.h"
#include "train/experiment_grammar.h"
#include "train/experiment_suite.h"

moe_status suite_file_names(const struct suite_file *suite, const char *kind, json_t **out_names,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const char *name;
    json_t *value, *names = json_array();
    moe_check(names != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    json_object_foreach(json_object_get(suite->tree, kind), name, value)
        moe_check(json_array_append_new(names, json_string(name)) == 0, err, MOE_ENOMEM,
                  "no memory for a list of names");
    *out_names = json_incref(names);
out:
    json_decref(names);
    return status;
}

moe_status suite_file_pick(const struct suite_file *suite, const char *kind, const char *name,
                           const char **out_name, moe_err *err) {
    const json_t *declared = json_object_get(suite->tree, kind);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)declared, key, value) {
        if (name != NULL && strcmp(key, name) != 0) continue;
        *out_name = key;
        return MOE_OK;
    }
    return suite_file_unknown(declared, kind, name, suite->path, MOE_ENOTFOUND, err);
}

/* The restriction that applies to an experiment: its own, else that of the nearest one it inherits from, else
 * NULL. */
static const json_t *restriction_of(const struct suite_file *suite, const struct suite_file_chain *chain,
                                    const char *key) {
    for (int i = 0; i < chain->length; i++) {
        const json_t *leaf = json_object_get(suite_file_experiment(suite, chain->names[i]), key);
        if (leaf != NULL) return leaf;
    }
    return NULL;
}

static bool allows(const json_t *restriction, const char *name) {
    const json_t *names = leaf_value(restriction);
    if (restriction == NULL) return true;
    if (json_is_string(names)) return strcmp(json_string_value(names), name) == 0;
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)), name) == 0) return true;
    return false;
}

moe_status suite_file_runs(const struct suite_file *suite, const char *protocol, const char *tier,
                           struct suite_file_run **out_runs, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_run *runs = NULL;
    int32_t count = 0;
    struct suite_file_chain chain;
    for (size_t i = 0; i < json_array_size(suite->listed); i++) {
        const char *name = json_string_value(json_array_get(suite->listed, i));
        moe_try(suite_file_find_chain(suite, name, &chain, err));
        if (!allows(restriction_of(suite, &chain, "protocols"), protocol)) continue;
        if (!allows(restriction_of(suite, &chain, "tiers"), tier)) continue;
        moe_try(axes_expand(suite, &chain, protocol, tier, &runs, &count, err));
    }
    *out_runs = runs;
    *out_count = count;
    runs = NULL;
    count = 0;
out:
    suite_file_runs_free(runs, count);
    return status;
}

void suite_file_runs_free(struct suite_file_run *runs, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        json_decref(runs[i].axes);
    free(runs);
}

/* MOE_ENOTFOUND if the experiment exists but is restricted to others, else MOE_OK. */
static moe_status check_restrictions(const struct suite_file *suite, const char *experiment,
                                     const char *protocol, const char *tier, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_chain chain;
    if (suite_file_experiment(suite, experiment) == NULL) return MOE_OK;
    moe_try(suite_file_find_chain(suite, experiment, &chain, err));
    const json_t *protocols = restriction_of(suite, &chain, "protocols");
    const json_t *tiers = restriction_of(suite, &chain, "tiers");
    moe_check(allows(protocols, protocol), err, MOE_ENOTFOUND,
              "%s: experiment %s does not run under protocol %s", leaf_place(protocols), chain.names[0],
              protocol);
    moe_check(allows(tiers, tier), err, MOE_ENOTFOUND, "%s: experiment %s does not run in tier %s",
              leaf_place(tiers), chain.names[0], tier);
out:
    return status;
}

moe_status suite_file_missing_run(const struct suite_file *suite, const char *run, const char *protocol,
                                  const char *tier, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_run *runs = NULL;
    int32_t count = 0;
    const char *name;
    json_t *value, *names = json_object();
    char *experiment = strndup(run, strcspn(run, "@"));
    moe_check(experiment != NULL && names != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    moe_try(check_restrictions(suite, experiment, protocol, tier, err));
    moe_try(suite_file_runs(suite, protocol, tier, &runs, &count, err));
    for (int32_t i = 0; i < count; i++)
        moe_check(json_object_set_new(names, runs[i].name, json_true()) == 0, err, MOE_ENOMEM,
                  "no memory for a list of names");
    json_object_foreach(json_object_get(suite->tree, "experiment"), name, value) {
        if (json_object_get(names, suite_file_resolve(suite, name)) == NULL) continue;
        moe_check(json_object_set_new(names, name, json_true()) == 0, err, MOE_ENOMEM,
                  "no memory for a list of names");
    }
    status = suite_file_unknown(names, "experiment", run, suite->path, MOE_ENOTFOUND, err);
out:
    suite_file_runs_free(runs, count);
    json_decref(names);
    free(experiment);
    return status;
}

/* Puts the sections of one table into the configuration. */
static moe_status apply_table(const json_t *table, struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    const char *section, *name;
    json_t *keys, *leaf;
    char full[128];
    json_object_foreach((json_t *)table, section, keys) {
        static const char *const others[] = {"protocol", "tier", "axes", "lr_sweep"};
        bool is_section = json_is_object(keys);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            if (strcmp(section, others[i]) == 0) is_section = false;
        if (!is_section) continue;
        json_object_foreach(keys, name, leaf) {
            snprintf(full, sizeof full, "%s.%s", section, name);
            moe_try(config_put(config, &EXPERIMENT_KEYS, full, leaf_value(leaf), leaf_place(leaf), err));
        }
    }
out:
    return status;
}

/* [protocol.P], [tier.T] and [tier.T.protocol.P] inside `owner`, in this order. */
static moe_status apply_variants(const json_t *owner, const char *protocol, const char *tier,
                                 struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *tier_table = json_object_get(json_object_get(owner, "tier"), tier);
    moe_try(apply_table(json_object_get(json_object_get(owner, "protocol"), protocol), config, err));
    moe_try(apply_table(tier_table, config, err));
    moe_try(apply_table(json_object_get(json_object_get(tier_table, "protocol"), protocol), config, err));
out:
    return status;
}

/* The value on one axis of a run. */
static moe_status apply_axis(const struct suite_file *suite, const char *axis, const json_t *leaf,
                             const char *protocol, const char *tier, struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    const char *key = axis;
    const json_t *table = NULL;
    json_t *value = NULL;
    if (strchr(axis, '.') != NULL)
        return config_put(config, &EXPERIMENT_KEYS, axis, leaf_value(leaf), leaf_place(leaf), err);
    moe_try(axes_meaning(suite, axis, leaf_value(leaf), &key, &value, &table, err));
    if (key != NULL) {
        moe_try(config_put(config, &EXPERIMENT_KEYS, key, value, leaf_place(leaf), err));
    } else {
        moe_try(apply_table(table, config, err));
        moe_try(apply_variants(table, protocol, tier, config, err));
    }
out:
    json_decref(value);
    return status;
}

moe_status suite_file_apply(const struct suite_file *suite, const struct suite_file_run *run,
                            const char *protocol, const char *tier, struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_chain chain;
    const char *key;
    json_t *leaf;
    moe_try(apply_table(json_object_get(suite->tree, "base"), config, err));
    moe_try(apply_variants(suite->tree, protocol, tier, config, err));
    moe_try(suite_file_find_chain(suite, run->experiment, &chain, err));
    for (int i = chain.length - 1; i >= 0; i--) {
        const json_t *experiment = suite_file_experiment(suite, chain.names[i]);
        moe_try(apply_table(experiment, config, err));
        moe_try(apply_variants(experiment, protocol, tier, config, err));
    }
    json_object_foreach(run->axes, key, leaf)
        moe_try(apply_axis(suite, key, leaf, protocol, tier, config, err));
out:
    return status;
}
