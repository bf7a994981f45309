#include "train/experiment_suite.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/file.h"
#include "core/text.h"
#include "core/toml_shim.h"
#include "train/experiment_axes.h"
#include "train/experiment_grammar.h"

#define FILES_MAX  64 /* of one suite, inherited ones and repetitions counted */
#define SUITE_FILE "suite.toml"

struct reading {
    const char *suites_dir; /* NULL: from memory, nothing can be inherited */
    int files;
};

/* The files that are being read, innermost first, to find circles. */
struct open_file {
    const char *real_path;
    const struct open_file *outer;
};

static moe_status read_file(struct reading *reading, const char *path, const char *place,
                            const struct open_file *outer, json_t **out_tree, json_t **out_own, moe_err *err);

/* The file that `inherit = "NAME"` means: another suite, or a path beside this file if it ends in .toml. */
static moe_status inherited_path(const struct reading *reading, const char *path, const char *name,
                                 const char *place, char **out_path, moe_err *err) {
    moe_status status = MOE_OK;
    char *folder = NULL, *inner = NULL;
    moe_check(reading->suites_dir != NULL, err, MOE_ECONFIG, "%s: nothing can be inherited here", place);
    if (path_ends_with(name, ".toml")) {
        folder = path_folder(path);
        *out_path = folder != NULL ? path_join(folder, name) : NULL;
    } else {
        moe_check(grammar_is_name(name), err, MOE_ECONFIG,
                  "%s: inherit: '%.100s' is neither the name of a suite nor a path that ends in .toml", place,
                  name);
        inner = path_join(name, SUITE_FILE);
        *out_path = inner != NULL ? path_join(reading->suites_dir, inner) : NULL;
    }
    moe_check(*out_path != NULL, err, MOE_ENOMEM, "no memory for a path");
out:
    free(folder);
    free(inner);
    return status;
}

/* Lays the files that `leaf` names under `tree`, in their order. */
static moe_status read_inherited(struct reading *reading, const char *path, const json_t *leaf,
                                 const struct open_file *self, json_t *tree, moe_err *err) {
    moe_status status = MOE_OK;
    char *other = NULL;
    json_t *other_tree = NULL;
    const json_t *names = leaf_value(leaf);
    const size_t count = json_is_string(names) ? 1 : json_array_size(names);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_is_string(names) ? names : json_array_get(names, i));
        moe_try(inherited_path(reading, path, name, leaf_place(leaf), &other, err));
        moe_try(read_file(reading, other, leaf_place(leaf), self, &other_tree, NULL, err));
        moe_check(json_object_update_recursive(tree, other_tree) == 0, err, MOE_ENOMEM, "no memory for %s",
                  other);
        json_decref(other_tree);
        other_tree = NULL;
        free(other);
        other = NULL;
    }
out:
    json_decref(other_tree);
    free(other);
    return status;
}

/* One file's tree over those that it inherits. *out_own (may be NULL): its own tree alone. Keys that concern
 * the file itself do not pass from one file to another. */
static moe_status combine(struct reading *reading, const char *path, json_t *own,
                          const struct open_file *self, json_t **out_tree, json_t **out_own, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *tree = json_object();
    moe_check(tree != NULL, err, MOE_ENOMEM, "no memory for %s", path);
    const json_t *inherit = json_object_get(own, "inherit");
    if (inherit != NULL) moe_try(read_inherited(reading, path, inherit, self, tree, err));
    moe_check(json_object_update_recursive(tree, own) == 0, err, MOE_ENOMEM, "no memory for %s", path);
    json_object_del(tree, "inherit");
    json_object_del(tree, "include");
    json_object_del(tree, "title");
    *out_tree = json_incref(tree);
    if (out_own != NULL) *out_own = json_incref(own);
out:
    json_decref(tree);
    return status;
}

static moe_status read_file(struct reading *reading, const char *path, const char *place,
                            const struct open_file *outer, json_t **out_tree, json_t **out_own,
                            moe_err *err) {
    moe_status status = MOE_OK;
    json_t *root = NULL, *lines = NULL, *own = NULL;
    char *real_path = realpath(path, NULL);
    moe_check(real_path != NULL, err, outer == NULL ? MOE_ENOTFOUND : MOE_ECONFIG,
              "%s%s%s: there is no such file", place, *place != 0 ? ": inherit: " : "", path);
    for (const struct open_file *f = outer; f != NULL; f = f->outer)
        moe_check(strcmp(f->real_path, real_path) != 0, err, MOE_ECONFIG,
                  "%s: inherit: %s inherits from itself, directly or through other files", place, path);
    moe_check(++reading->files <= FILES_MAX, err, MOE_ECONFIG, "%s: inherit: more than %d files in all",
              place, FILES_MAX);
    const struct open_file self = {real_path, outer};
    moe_try(toml_parse_file(path, &root, &lines, err));
    moe_try(grammar_convert(path, root, lines, &own, err));
    moe_try(combine(reading, path, own, &self, out_tree, out_own, err));
out:
    json_decref(root);
    json_decref(lines);
    json_decref(own);
    free(real_path);
    return status;
}

const json_t *suite_file_experiment(const struct suite_file *suite, const char *name) {
    return json_object_get(json_object_get(suite->tree, "experiment"), name);
}

static bool is_abstract(const json_t *experiment) {
    return json_is_true(leaf_value(json_object_get(experiment, "abstract")));
}

/* What the experiment is another name for, or NULL. */
static const json_t *alias_of(const json_t *experiment) {
    return json_object_get(experiment, "alias");
}

const char *suite_file_resolve(const struct suite_file *suite, const char *name) {
    const json_t *alias = alias_of(suite_file_experiment(suite, name));
    return alias != NULL ? json_string_value(leaf_value(alias)) : name;
}

static bool contains(const json_t *strings, const char *name) {
    for (size_t i = 0; i < json_array_size(strings); i++)
        if (strcmp(json_string_value(json_array_get(strings, i)), name) == 0) return true;
    return false;
}

static moe_status list_one(struct suite_file *suite, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    const char *trained = suite_file_resolve(suite, name);
    if (!contains(suite->listed, trained) && !is_abstract(suite_file_experiment(suite, trained)))
        moe_check(json_array_append_new(suite->listed, json_string(trained)) == 0, err, MOE_ENOMEM,
                  "no memory for a list of experiments");
out:
    return status;
}

/* Which experiments the suite runs: inherited ones that `include` names, then those that its own file
 * describes. */
static moe_status list_experiments(struct suite_file *suite, const json_t *own, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *include = json_object_get(own, "include"), *patterns = leaf_value(include);
    const size_t count = json_is_string(patterns) ? 1 : json_array_size(patterns);
    const char *name;
    json_t *value;
    for (size_t i = 0; i < count; i++) {
        const char *pattern =
            json_string_value(json_is_string(patterns) ? patterns : json_array_get(patterns, i));
        size_t matches = 0;
        json_object_foreach(json_object_get(suite->tree, "experiment"), name, value) {
            if (fnmatch(pattern, name, 0) != 0) continue;
            matches++;
            moe_try(list_one(suite, name, err));
        }
        moe_check(matches > 0, err, MOE_ECONFIG, "%s: include: no inherited experiment is called '%.100s'",
                  leaf_place(include), pattern);
    }
    json_object_foreach(json_object_get(own, "experiment"), name, value) moe_try(list_one(suite, name, err));
out:
    return status;
}

moe_status suite_file_unknown(const json_t *table, const char *what, const char *name, const char *place,
                              moe_status code, moe_err *err) {
    moe_status status = MOE_OK;
    const char **names = calloc(json_object_size(table) + 1, sizeof *names);
    size_t count = 0;
    const char *key;
    json_t *value;
    moe_check(names != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    json_object_foreach((json_t *)table, key, value) names[count++] = key;
    status = config_unknown(code, what, name, names, count, place, err);
out:
    free(names);
    return status;
}

moe_status suite_file_find_chain(const struct suite_file *suite, const char *name,
                                 struct suite_file_chain *chain, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *all = json_object_get(suite->tree, "experiment");
    chain->length = 0;
    chain->names[chain->length++] = name;
    for (;;) {
        const json_t *leaf =
            json_object_get(json_object_get(all, chain->names[chain->length - 1]), "inherit");
        if (leaf == NULL) break;
        const char *next = json_string_value(leaf_value(leaf));
        if (json_object_get(all, next) == NULL)
            return suite_file_unknown(all, "experiment to inherit from", next, leaf_place(leaf), MOE_ECONFIG,
                                      err);
        next = suite_file_resolve(suite, next);
        for (int i = 0; i < chain->length; i++)
            moe_check(strcmp(chain->names[i], next) != 0, err, MOE_ECONFIG,
                      "%s: inherit: experiment %s inherits from itself through %s", leaf_place(leaf), next,
                      chain->names[chain->length - 1]);
        moe_check(chain->length < SUITE_CHAIN_MAX, err, MOE_ECONFIG,
                  "%s: inherit: more than %d experiments inherit from each other", leaf_place(leaf),
                  SUITE_CHAIN_MAX);
        chain->names[chain->length++] = next;
    }
out:
    return status;
}

/* An alias is nothing but another name of an experiment that runs. */
static moe_status check_alias(const struct suite_file *suite, const char *name, const json_t *experiment,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *all = json_object_get(suite->tree, "experiment"), *alias = alias_of(experiment);
    const char *key;
    json_t *value;
    if (alias == NULL) return MOE_OK;
    const char *target = json_string_value(leaf_value(alias));
    const json_t *other = json_object_get(all, target);
    if (other == NULL)
        return suite_file_unknown(all, "experiment to be another name of", target, leaf_place(alias),
                                  MOE_ECONFIG, err);
    moe_check(alias_of(other) == NULL && !is_abstract(other), err, MOE_ECONFIG,
              "%s: alias: %s is not trained itself; name an experiment that is", leaf_place(alias), target);
    json_object_foreach((json_t *)experiment, key, value) moe_check(
        strcmp(key, "alias") == 0 || strcmp(key, "doc") == 0, err, MOE_ECONFIG,
        "%s: alias: %s is the same run as %s and cannot have '%s' of its own; use inherit for another run",
        leaf_place(alias), name, target, key);
out:
    return status;
}

/* Every name in a table such as [experiment.X.tier] must be declared at the top of the suite. */
static moe_status check_declared(const struct suite_file *suite, const char *kind, const json_t *used,
                                 const char *where, moe_err *err) {
    const json_t *declared = json_object_get(suite->tree, kind);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)used, name, value) {
        if (json_object_get(declared, name) != NULL) continue;
        struct text place = {0};
        text_append(&place, "%s: %s", suite->path, where);
        const moe_status status = suite_file_unknown(
            declared, kind, name, place.data != NULL ? place.data : suite->path, MOE_ECONFIG, err);
        text_free(&place);
        return status;
    }
    return MOE_OK;
}

/* The same for everything that varies with protocols and tiers in one table. */
static moe_status check_variants(const struct suite_file *suite, const json_t *table, const char *where,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    const char *name;
    json_t *tier;
    moe_try(check_declared(suite, "protocol", json_object_get(table, "protocol"), where, err));
    moe_try(check_declared(suite, "tier", json_object_get(table, "tier"), where, err));
    json_object_foreach(json_object_get(table, "tier"), name, tier)
        moe_try(check_declared(suite, "protocol", json_object_get(tier, "protocol"), where, err));
out:
    return status;
}

static moe_status check_restriction(const struct suite_file *suite, const char *kind, const json_t *leaf,
                                    moe_err *err) {
    const json_t *declared = json_object_get(suite->tree, kind), *names = leaf_value(leaf);
    const size_t count = json_is_string(names) ? 1 : json_array_size(names);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_is_string(names) ? names : json_array_get(names, i));
        if (json_object_get(declared, name) == NULL)
            return suite_file_unknown(declared, kind, name, leaf_place(leaf), MOE_ECONFIG, err);
    }
    return MOE_OK;
}

/* Names that refer to other tables, once all files are merged. */
static moe_status check_references(const struct suite_file *suite, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_chain chain;
    const char *name, *tier_name, *value_name;
    json_t *value, *tier, *inner;
    moe_check(json_object_size(json_object_get(suite->tree, "protocol")) > 0, err, MOE_ECONFIG,
              "%s: no protocol is declared; add a table such as [protocol.corrected]", suite->path);
    moe_check(json_object_size(json_object_get(suite->tree, "tier")) > 0, err, MOE_ECONFIG,
              "%s: no tier is declared; add a table such as [tier.desk]", suite->path);
    json_object_foreach(json_object_get(suite->tree, "tier"), tier_name, tier)
        moe_try(check_declared(suite, "protocol", json_object_get(tier, "protocol"), tier_name, err));
    json_object_foreach(json_object_get(suite->tree, "experiment"), name, value) {
        moe_try(check_alias(suite, name, value, err));
        moe_try(suite_file_find_chain(suite, name, &chain, err));
        moe_try(check_restriction(suite, "protocol", json_object_get(value, "protocols"), err));
        moe_try(check_restriction(suite, "tier", json_object_get(value, "tiers"), err));
        moe_try(check_variants(suite, value, name, err));
    }
    json_object_foreach(json_object_get(suite->tree, "axis"), name, value) {
        json_object_foreach(json_object_get(value, "value"), value_name, inner)
            moe_try(check_variants(suite, inner, value_name, err));
    }
    moe_try(axes_check(suite, err));
out:
    return status;
}

static moe_status make_suite(const char *name, const char *path, json_t *tree, const json_t *own,
                             struct suite_file **out_suite, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = calloc(1, sizeof *suite);
    moe_check(suite != NULL, err, MOE_ENOMEM, "no memory for suite %s", name);
    snprintf(suite->name, sizeof suite->name, "%s", name);
    snprintf(suite->path, sizeof suite->path, "%s", path);
    suite->tree = json_incref(tree);
    suite->listed = json_array();
    moe_check(suite->listed != NULL, err, MOE_ENOMEM, "no memory for suite %s", name);
    const json_t *source = json_object_get(tree, "source");
    const char *source_id = source != NULL ? json_string_value(leaf_value(source)) : "";
    moe_check(strlen(source_id) < sizeof suite->source, err, MOE_ECONFIG, "%s: source: at most %zu letters",
              leaf_place(source), sizeof suite->source - 1);
    snprintf(suite->source, sizeof suite->source, "%s", source_id);
    moe_try(check_references(suite, err));
    moe_try(list_experiments(suite, own, err));
    *out_suite = suite;
    suite = NULL;
out:
    suite_file_free(suite);
    return status;
}

/* MOE_ENOTFOUND with the suites there are. */
static moe_status missing_suite(const char *suites_dir, const char *name, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *found = json_object();
    char *path = NULL;
    DIR *dir = opendir(suites_dir);
    moe_check(dir != NULL, err, MOE_ENOTFOUND, "%s: there is no such folder of suites", suites_dir);
    moe_check(found != NULL, err, MOE_ENOMEM, "no memory for a list of suites");
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char inner[sizeof entry->d_name + sizeof "/" SUITE_FILE];
        snprintf(inner, sizeof inner, "%s/" SUITE_FILE, entry->d_name);
        path = path_join(suites_dir, inner);
        if (path != NULL && file_exists(path)) json_object_set_new(found, entry->d_name, json_true());
        free(path);
    }
    status = suite_file_unknown(found, "suite", name, suites_dir, MOE_ENOTFOUND, err);
out:
    if (dir != NULL) closedir(dir);
    json_decref(found);
    return status;
}

moe_status suite_file_read(const char *suites_dir, const char *name, struct suite_file **out_suite,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct reading reading = {suites_dir, 0};
    json_t *tree = NULL, *own = NULL;
    char *inner = NULL, *path = NULL;
    moe_check(grammar_is_name(name), err, MOE_ENOTFOUND, "'%.100s' is not the name of a suite in %s", name,
              suites_dir);
    inner = path_join(name, SUITE_FILE);
    path = inner != NULL ? path_join(suites_dir, inner) : NULL;
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    if (!file_exists(path)) {
        status = missing_suite(suites_dir, name, err);
        goto out;
    }
    moe_try(read_file(&reading, path, "", NULL, &tree, &own, err));
    moe_try(make_suite(name, path, tree, own, out_suite, err));
out:
    json_decref(tree);
    json_decref(own);
    free(inner);
    free(path);
    return status;
}

moe_status suite_file_parse(const char *text, size_t size, const char *name, struct suite_file **out_suite,
                            moe_err *err) {
    moe_status status = MOE_OK;
    struct reading reading = {NULL, 0};
    json_t *root = NULL, *lines = NULL, *own = NULL, *tree = NULL;
    moe_try(toml_parse(text, size, name, &root, &lines, err));
    moe_try(grammar_convert(name, root, lines, &own, err));
    moe_try(combine(&reading, name, own, NULL, &tree, NULL, err));
    moe_try(make_suite(name, name, tree, own, out_suite, err));
out:
    json_decref(root);
    json_decref(lines);
    json_decref(own);
    json_decref(tree);
    return status;
}

void suite_file_free(struct suite_file *suite) {
    if (suite == NULL) return;
    json_decref(suite->tree);
    json_decref(suite->listed);
    free(suite);
}
