#include "train/experiment_axes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "train/experiment.h"
#include "train/experiment_grammar.h"
#include "train/experiment_where.h"

#define RUNS_MAX         4096  /* of one experiment */
#define COMBINATIONS_MAX 65536 /* of which conditions let runs through */
#define LAYERS           4

/* The tables of an experiment that say which runs it has, weakest first; NULL where there is none. */
struct layers {
    const json_t *of[LAYERS];
};

static struct layers layers_of(const json_t *experiment, const char *protocol, const char *tier) {
    const json_t *tier_table = json_object_get(json_object_get(experiment, "tier"), tier);
    return (struct layers){{experiment, json_object_get(json_object_get(experiment, "protocol"), protocol),
                            tier_table, json_object_get(json_object_get(tier_table, "protocol"), protocol)}};
}

/* All axes of an experiment: later layers put their lists in the place of earlier ones. New reference. */
static moe_status merge_axes(const struct layers *layers, json_t **out_axes, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *axes = json_object();
    moe_check(axes != NULL, err, MOE_ENOMEM, "no memory for the axes of an experiment");
    for (int i = 0; i < LAYERS; i++) {
        json_t *table = json_object_get(layers->of[i], "axes");
        moe_check(table == NULL || json_object_update(axes, table) == 0, err, MOE_ENOMEM,
                  "no memory for the axes of an experiment");
    }
    *out_axes = json_incref(axes);
out:
    json_decref(axes);
    return status;
}

/* ---- declarations */

static const json_t *declaration(const struct suite_file *suite, const char *axis) {
    return json_object_get(json_object_get(suite->tree, "axis"), axis);
}

moe_status axes_meaning(const struct suite_file *suite, const char *axis, const json_t *value,
                        const char **out_key, json_t **out_value, const json_t **out_table, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *declared = declaration(suite, axis);
    const char *key = json_string_value(leaf_value(json_object_get(declared, "key")));
    char name[128];
    double fraction;
    *out_key = key;
    *out_value = NULL;
    *out_table = NULL;
    if (key == NULL) {
        moe_try(config_scalar_text(value, name, sizeof name, err));
        *out_table = json_object_get(json_object_get(declared, "value"), name);
    } else {
        const bool is_number = config_find(&EXPERIMENT_KEYS, key)->type == CONFIG_FLOAT;
        *out_value = is_number && json_is_string(value) && where_value_number(value, &fraction)
                         ? json_real(fraction)
                         : json_incref((json_t *)value);
        moe_check(*out_value != NULL, err, MOE_ENOMEM, "no memory for a value");
    }
out:
    return status;
}

/* An axis sets one key, or has a table for each of its values. */
static moe_status check_declarations(const struct suite_file *suite, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const taken[] = {"protocol", "tier", "and", "or", "not", "integer"};
    const char *name;
    json_t *axis;
    json_object_foreach(json_object_get(suite->tree, "axis"), name, axis) {
        const json_t *key = json_object_get(axis, "key"), *values = json_object_get(axis, "value");
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
            moe_check(strcmp(name, taken[i]) != 0, err, MOE_ECONFIG,
                      "%s: axis %s: this name means something else in a condition", suite->path, name);
        moe_check(key == NULL || values == NULL, err, MOE_ECONFIG,
                  "%s: axis %s: a key and tables of values exclude each other", leaf_place(key), name);
        moe_check(key != NULL || json_object_size(values) > 0, err, MOE_ECONFIG,
                  "%s: axis %s has no meaning: it wants key = \"SECTION.KEY\", or a table "
                  "[axis.%s.value.NAME] for each value",
                  suite->path, name, name);
    }
out:
    return status;
}

/* The values on one axis of an experiment against what its declaration allows. */
static moe_status check_values(const struct suite_file *suite, const char *axis, const json_t *leaf,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *values = leaf_value(leaf), *table;
    const char *key;
    char name[128];
    json_t *meant = NULL;
    if (declaration(suite, axis) == NULL)
        return suite_file_unknown(json_object_get(suite->tree, "axis"), "axis", axis, leaf_place(leaf),
                                  MOE_ECONFIG, err);
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);
        moe_try(axes_meaning(suite, axis, value, &key, &meant, &table, err));
        moe_try(config_scalar_text(value, name, sizeof name, err));
        if (key != NULL) {
            moe_try(config_check(&EXPERIMENT_KEYS, key, meant, leaf_place(leaf), err));
        } else if (table == NULL) {
            char what[160];
            snprintf(what, sizeof what, "value of axis %.100s", axis);
            moe_try(suite_file_unknown(json_object_get(declaration(suite, axis), "value"), what, name,
                                       leaf_place(leaf), MOE_ECONFIG, err));
        }
        json_decref(meant);
        meant = NULL;
    }
out:
    json_decref(meant);
    return status;
}

/* ---- combinations */

/* The value of each axis in combination number `index`, the last axis running fastest. New reference. */
static moe_status pick(json_t *axes, size_t index, json_t **out_picked, moe_err *err) {
    moe_status status = MOE_OK;
    const char *key;
    json_t *leaf, *value = NULL, *picked = json_object();
    size_t stride = 1;
    json_object_foreach(axes, key, leaf) stride *= json_array_size(leaf_value(leaf));
    json_object_foreach(axes, key, leaf) {
        const json_t *values = leaf_value(leaf);
        stride /= json_array_size(values);
        value = json_pack("[s,O]", leaf_place(leaf),
                          json_array_get(values, index / stride % json_array_size(values)));
        moe_check(picked != NULL && value != NULL && json_object_set(picked, key, value) == 0, err,
                  MOE_ENOMEM, "no memory for a list of runs");
        json_decref(value);
        value = NULL;
    }
    moe_check(picked != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
    *out_picked = json_incref(picked);
out:
    json_decref(picked);
    json_decref(value);
    return status;
}

/* Whether every condition holds. */
static moe_status holds(const struct layers *layers, const struct where_scope *scope, bool *out_holds,
                        moe_err *err) {
    moe_status status = MOE_OK;
    *out_holds = true;
    for (int i = 0; i < LAYERS; i++) {
        const json_t *leaf = json_object_get(layers->of[i], "where"), *texts = leaf_value(leaf);
        const size_t count = json_is_string(texts) ? 1 : json_array_size(texts);
        for (size_t k = 0; k < count; k++) {
            const json_t *text = json_is_string(texts) ? texts : json_array_get(texts, k);
            double truth = 0;
            moe_try(where_number(json_string_value(text), leaf_place(leaf), scope, &truth, err));
            if (truth == 0 || isnan(truth)) *out_holds = false;
        }
    }
out:
    return status;
}

/* The strongest word on the number of seeds, or NULL: of an experiment and those that it inherits from the
 * nearest, of each its strongest layer. */
static const json_t *seeds_leaf(const struct suite_file *suite, const struct suite_file_chain *chain,
                                const char *protocol, const char *tier) {
    for (int c = 0; c < chain->length; c++) {
        const struct layers layers = layers_of(suite_file_experiment(suite, chain->names[c]), protocol, tier);
        for (int i = LAYERS - 1; i >= 0; i--) {
            const json_t *leaf = json_object_get(layers.of[i], "seeds");
            if (leaf != NULL) return leaf;
        }
    }
    return json_object_get(json_object_get(json_object_get(suite->tree, "tier"), tier), "seeds");
}

static moe_status seeds_of(const json_t *leaf, const struct where_scope *scope, int32_t *out_seeds,
                           moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = leaf_value(leaf);
    double seeds = json_number_value(value);
    if (json_is_string(value))
        moe_try(where_number(json_string_value(value), leaf_place(leaf), scope, &seeds, err));
    moe_check(leaf == NULL || (seeds >= 0 && seeds <= GRAMMAR_SEEDS_MAX && seeds == floor(seeds)), err,
              MOE_ECONFIG, "%s: seeds: \"%.200s\" gives %g: a whole number from 0 to %d is expected",
              leaf_place(leaf), json_is_string(value) ? json_string_value(value) : "", seeds,
              GRAMMAR_SEEDS_MAX);
    *out_seeds = leaf != NULL ? (int32_t)seeds : SUITE_SEEDS_UNSAID;
out:
    return status;
}

static moe_status name_run(const char *experiment, json_t *picked, struct suite_file_run *run, moe_err *err) {
    moe_status status = MOE_OK;
    struct text name = {0};
    const char *key;
    json_t *leaf;
    char text[128];
    text_append(&name, "%s", experiment);
    json_object_foreach(picked, key, leaf) {
        moe_try(grammar_value_text(leaf_value(leaf), text, sizeof text, err));
        text_append(&name, "%c%s=%s", name.length == strlen(experiment) ? '@' : ',', key, text);
    }
    moe_check(!name.failed, err, MOE_ENOMEM, "no memory for the name of a run");
    moe_check(
        name.length < sizeof run->name, err, MOE_ECONFIG,
        "experiment %s: the name of a run would have %zu letters, more than %zu: use fewer axes or shorter "
        "values: %.200s",
        experiment, name.length, sizeof run->name - 1, name.data);
    snprintf(run->name, sizeof run->name, "%s", name.data);
    snprintf(run->experiment, sizeof run->experiment, "%s", experiment);
out:
    text_free(&name);
    return status;
}

/* Makes room for one run more, all zeros, and counts it, so that the caller frees what a failure leaves. */
static moe_status add_run(struct suite_file_run **runs, int32_t *count, moe_err *err) {
    moe_status status = MOE_OK;
    if ((*count & (*count - 1)) == 0) { /* full at each power of two */
        const size_t room = *count == 0 ? 1 : 2 * (size_t)*count;
        struct suite_file_run *larger = realloc(*runs, room * sizeof *larger);
        moe_check(larger != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
        *runs = larger;
    }
    (*runs)[(*count)++] = (struct suite_file_run){.axes = NULL};
out:
    return status;
}

static moe_status count_combinations(const char *experiment, json_t *axes, size_t *out_total,
                                     const char **out_place, moe_err *err) {
    moe_status status = MOE_OK;
    const char *key;
    json_t *leaf;
    *out_total = 1;
    *out_place = "";
    json_object_foreach(axes, key, leaf) {
        *out_place = leaf_place(leaf);
        *out_total *= json_array_size(leaf_value(leaf));
        moe_check(*out_total <= COMBINATIONS_MAX, err, MOE_ECONFIG,
                  "%s: the axes of %s give more than %d combinations", *out_place, experiment,
                  COMBINATIONS_MAX);
    }
out:
    return status;
}

moe_status axes_expand(const struct suite_file *suite, const struct suite_file_chain *chain,
                       const char *protocol, const char *tier, struct suite_file_run **runs, int32_t *count,
                       moe_err *err) {
    moe_status status = MOE_OK;
    const char *name = chain->names[0], *place;
    const struct layers layers = layers_of(suite_file_experiment(suite, name), protocol, tier);
    const json_t *seeds = seeds_leaf(suite, chain, protocol, tier);
    const int32_t before = *count;
    json_t *axes = NULL, *picked = NULL;
    size_t total;
    bool keep;
    moe_try(merge_axes(&layers, &axes, err));
    moe_try(count_combinations(name, axes, &total, &place, err));
    for (size_t i = 0; i < total; i++) {
        moe_try(pick(axes, i, &picked, err));
        const struct where_scope scope = {picked, protocol, tier};
        moe_try(holds(&layers, &scope, &keep, err));
        if (keep) {
            moe_check(*count - before < RUNS_MAX, err, MOE_ECONFIG,
                      "%s: the axes of %s give more than %d runs", place, name, RUNS_MAX);
            moe_try(add_run(runs, count, err));
            struct suite_file_run *run = &(*runs)[*count - 1];
            run->axes = json_object_size(picked) > 0 ? json_incref(picked) : NULL;
            moe_try(name_run(name, picked, run, err));
            moe_try(seeds_of(seeds, &scope, &run->seeds, err));
        }
        json_decref(picked);
        picked = NULL;
    }
out:
    json_decref(axes);
    json_decref(picked);
    return status;
}

/* ---- checks */

/* Conditions and seeds of an experiment, tried on its first combination. */
static moe_status check_conditions(const struct suite_file *suite, const char *name, const char *protocol,
                                   const char *tier, moe_err *err) {
    moe_status status = MOE_OK;
    const struct layers layers = layers_of(suite_file_experiment(suite, name), protocol, tier);
    struct suite_file_chain chain;
    json_t *axes = NULL, *picked = NULL;
    int32_t seeds;
    bool keep;
    moe_try(suite_file_find_chain(suite, name, &chain, err));
    moe_try(merge_axes(&layers, &axes, err));
    moe_try(pick(axes, 0, &picked, err));
    const struct where_scope scope = {picked, protocol, tier};
    moe_try(holds(&layers, &scope, &keep, err));
    moe_try(seeds_of(seeds_leaf(suite, &chain, protocol, tier), &scope, &seeds, err));
out:
    json_decref(axes);
    json_decref(picked);
    return status;
}

static moe_status check_axes_of(const struct suite_file *suite, const struct layers *layers, moe_err *err) {
    moe_status status = MOE_OK;
    const char *axis;
    json_t *leaf;
    for (int i = 0; i < LAYERS; i++) {
        json_object_foreach(json_object_get(layers->of[i], "axes"), axis, leaf) {
            if (strchr(axis, '.') == NULL) moe_try(check_values(suite, axis, leaf, err));
        }
    }
out:
    return status;
}

moe_status axes_check(const struct suite_file *suite, moe_err *err) {
    moe_status status = MOE_OK;
    const char *name, *protocol, *tier;
    json_t *experiment, *of_protocol, *of_tier;
    moe_try(check_declarations(suite, err));
    json_object_foreach(json_object_get(suite->tree, "experiment"), name, experiment) {
        json_object_foreach(json_object_get(suite->tree, "protocol"), protocol, of_protocol) {
            json_object_foreach(json_object_get(suite->tree, "tier"), tier, of_tier) {
                const struct layers layers = layers_of(experiment, protocol, tier);
                moe_try(check_axes_of(suite, &layers, err));
                if (json_is_true(leaf_value(json_object_get(experiment, "abstract")))) continue;
                moe_try(check_conditions(suite, name, protocol, tier, err));
            }
        }
    }
out:
    return status;
}
