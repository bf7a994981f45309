#include "train/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "core/hash.h"
#include "train/experiment_internal.h"
#include "train/lr_sweep.h"

/* Who an experiment is: keys of its JSON outside the sections, which no file and no --set may write. */
#define IDENTITY(key, field)                                                                                 \
    {                                                                                                        \
        .name = key, .type = CONFIG_STRING, .offset = offsetof(struct experiment, field),                    \
        .capacity = sizeof(((struct experiment *)0)->field), .value = "\"\"", .unit = "", .doc = ""          \
    }
static const struct config_key identity_keys[] = {IDENTITY("suite", suite), IDENTITY("source", source),
                                                  IDENTITY("experiment", name),
                                                  IDENTITY("protocol", protocol), IDENTITY("tier", tier)};
static const struct config_schema identity = {identity_keys, sizeof identity_keys / sizeof *identity_keys};

void experiment_free(struct experiment *e) {
    if (e == NULL) return;
    free(e->json);
    free(e->toml);
    free(e);
}

uint64_t experiment_random_seed(const struct experiment *e) {
    return e->train.seed ^ (uint64_t)e->train.replica << 32; /* people's seeds are small */
}

moe_status experiment_validate(const struct experiment *e, moe_err *err) {
    return experiment_check(e, NULL, err);
}

/* Takes out what this kind of model does not read. */
static void drop_unread(const struct experiment *e, json_t *values) {
    static const char *const of_text[] = {"train_tokens", "validation_tokens", "sequence_length", "tokenizer",
                                          "tokenizer_file"};
    if (!experiment_is_classifier(e)) {
        json_object_del(values, "classifier");
        return;
    }
    json_object_del(values, "model");
    json_object_del(values, "moe");
    for (size_t i = 0; i < sizeof of_text / sizeof *of_text; i++)
        json_object_del(json_object_get(values, "data"), of_text[i]);
}

/* Fills all sections, resolves and checks them. */
static moe_status fill(struct experiment *e, const struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(config_fill(config, &EXPERIMENT_KEYS, e, err));
    moe_try(experiment_resolve(e, config, err));
    moe_try(experiment_check(e, config, err));
out:
    return status;
}

/* fill(), and writes the canonical texts; the identity is there already. */
static moe_status finish(struct experiment *e, const struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *values = NULL, *who = NULL;
    moe_try(fill(e, config, err));
    values = config_to_json(&EXPERIMENT_KEYS, e);
    who = config_to_json(&identity, e);
    moe_check(values != NULL && who != NULL && json_object_update(values, who) == 0, err, MOE_ENOMEM,
              "no memory for a configuration");
    drop_unread(e, values);
    moe_try(config_canonical_json(values, &e->json, err));
    moe_try(config_canonical_toml(values, &e->toml, err));
    moe_try(hash_sha256(e->json, strlen(e->json), e->sha256, err));
out:
    json_decref(values);
    json_decref(who);
    return status;
}

static moe_status set_seed(struct config *config, uint64_t seed, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *value = NULL;
    moe_check(seed <= INT64_MAX, err, MOE_ECONFIG, "seed %llu is too large: at most 2^63 - 1",
              (unsigned long long)seed);
    value = json_integer((json_int_t)seed);
    moe_check(value != NULL, err, MOE_ENOMEM, "no memory for a value");
    moe_try(config_put(config, &EXPERIMENT_KEYS, "train.seed", value, "--seed", err));
out:
    json_decref(value);
    return status;
}

/* Makes a run of an experiment one of its learning-rate sweep. */
static moe_status make_sweep_run(const struct suite_file *suite, const char *tier, double rate,
                                 struct suite_file_run *run, struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweep_settings settings;
    char name[LR_SWEEP_NAME_MAX];
    moe_try(lr_sweep_settings_of(suite, tier, &settings, err));
    moe_try(lr_sweep_apply(&settings, rate, config, err));
    moe_try(lr_sweep_format_name(run->name, rate, name, err));
    snprintf(run->name, sizeof run->name, "%s", name);
out:
    return status;
}

static moe_status find_run(const struct suite_file *suite, const char *name, const char *protocol,
                           const char *tier, struct suite_file_run **out_runs, int32_t *out_count,
                           int32_t *out_index, moe_err *err) {
    moe_status status = MOE_OK;
    *out_index = -1;
    moe_try(suite_file_runs(suite, protocol, tier, out_runs, out_count, err));
    for (int32_t i = 0; i < *out_count; i++)
        if (strcmp((*out_runs)[i].name, name) == 0) *out_index = i;
    if (*out_index < 0) moe_try(suite_file_missing_run(suite, name, protocol, tier, err));
out:
    return status;
}

/* The configuration of one run, which must be of this protocol and tier; rate > 0: as its learning-rate sweep
 * has it. Without texts if nobody reads them: their writing is most of the work. */
static moe_status make_experiment(const struct suite_file *suite, struct suite_file_run *run,
                                  const char *protocol, const char *tier,
                                  const struct experiment_choice *choice, double rate, bool texts,
                                  struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    struct config *config = NULL;
    struct experiment *e = NULL;
    moe_try(config_new(&config, err));
    moe_try(suite_file_apply(suite, run, protocol, tier, config, err));
    if (rate > 0) moe_try(make_sweep_run(suite, tier, rate, run, config, err));
    moe_try(set_seed(config, choice->seed, err));
    for (int32_t i = 0; i < choice->set_count; i++)
        moe_try(config_set(config, &EXPERIMENT_KEYS, choice->sets[i], err));
    e = calloc(1, sizeof *e);
    moe_check(e != NULL, err, MOE_ENOMEM, "no memory for an experiment");
    snprintf(e->suite, sizeof e->suite, "%s", suite->name);
    snprintf(e->source, sizeof e->source, "%s", suite->source);
    snprintf(e->name, sizeof e->name, "%s", run->name);
    moe_check(strlen(protocol) < sizeof e->protocol && strlen(tier) < sizeof e->tier, err, MOE_ECONFIG,
              "%s: the name of protocol %s or tier %s is too long", suite->path, protocol, tier);
    memcpy(e->protocol, protocol, strlen(protocol) + 1);
    memcpy(e->tier, tier, strlen(tier) + 1);
    moe_try(texts ? finish(e, config, err) : fill(e, config, err));
    *out_experiment = e;
    e = NULL;
out:
    experiment_free(e);
    config_free(config);
    return status;
}

moe_status experiment_from_run(const struct suite_file *suite, const struct suite_file_run *run,
                               const struct experiment_choice *choice, struct experiment **out_experiment,
                               moe_err *err) {
    struct suite_file_run copy = *run; /* a sweep would rename it */
    return make_experiment(suite, &copy, choice->protocol, choice->tier, choice, 0, false, out_experiment,
                           err);
}

moe_status experiment_from_suite(const struct suite_file *suite, const struct experiment_choice *choice,
                                 struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file_run *runs = NULL;
    const char *protocol, *tier;
    char swept[LR_SWEEP_NAME_MAX];
    double rate = 0;
    int32_t count = 0, index = 0;
    moe_check(choice->experiment != NULL, err, MOE_EARG, "no experiment of suite %s is named", suite->name);
    moe_try(suite_file_pick(suite, "protocol", choice->protocol, &protocol, err));
    moe_try(suite_file_pick(suite, "tier", choice->tier, &tier, err));
    const bool sweep = lr_sweep_parse_name(choice->experiment, swept, &rate);
    moe_try(find_run(suite, suite_file_resolve(suite, sweep ? swept : choice->experiment), protocol, tier,
                     &runs, &count, &index, err));
    moe_try(make_experiment(suite, &runs[index], protocol, tier, choice, sweep ? rate : 0, true,
                            out_experiment, err));
out:
    suite_file_runs_free(runs, count);
    return status;
}

moe_status experiment_load(const struct experiment_choice *choice, struct experiment **out_experiment,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = NULL;
    moe_try(suite_file_read(choice->suites_dir, choice->suite, &suite, err));
    moe_try(experiment_from_suite(suite, choice, out_experiment, err));
out:
    suite_file_free(suite);
    return status;
}

/* malloc'ed copies of `count` strings that lie `stride` bytes apart. */
static moe_status copy_names(const char *first, size_t stride, int32_t count, char ***out_names,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char **names = calloc((size_t)count + 1, sizeof *names);
    moe_check(names != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    for (int32_t i = 0; i < count; i++) {
        names[i] = strdup(first + (size_t)i * stride);
        moe_check(names[i] != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    }
    *out_names = names;
    names = NULL;
out:
    experiment_list_free(names, count);
    return status;
}

moe_status experiment_list(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = NULL;
    struct suite_file_run *runs = NULL;
    const char *protocol, *tier;
    int32_t count = 0;
    moe_try(suite_file_read(choice->suites_dir, choice->suite, &suite, err));
    moe_try(suite_file_pick(suite, "protocol", choice->protocol, &protocol, err));
    moe_try(suite_file_pick(suite, "tier", choice->tier, &tier, err));
    moe_try(suite_file_runs(suite, protocol, tier, &runs, &count, err));
    moe_try(copy_names(count > 0 ? runs[0].name : "", sizeof *runs, count, out_names, err));
    *out_count = count;
out:
    suite_file_runs_free(runs, count);
    suite_file_free(suite);
    return status;
}

/* Names in a top-level table of the suite. */
static moe_status list_tables(const struct experiment_choice *choice, const char *kind, char ***out_names,
                              int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = NULL;
    json_t *names = NULL;
    char(*copies)[EXPERIMENT_NAME_MAX] = NULL;
    moe_try(suite_file_read(choice->suites_dir, choice->suite, &suite, err));
    moe_try(suite_file_names(suite, kind, &names, err));
    const size_t count = json_array_size(names);
    copies = calloc(count + 1, sizeof *copies);
    moe_check(copies != NULL, err, MOE_ENOMEM, "no memory for a list of names");
    for (size_t i = 0; i < count; i++)
        snprintf(copies[i], sizeof copies[i], "%s", json_string_value(json_array_get(names, i)));
    moe_try(copy_names(copies[0], sizeof copies[0], (int32_t)count, out_names, err));
    *out_count = (int32_t)count;
out:
    free(copies);
    json_decref(names);
    suite_file_free(suite);
    return status;
}

moe_status experiment_protocols(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                                moe_err *err) {
    return list_tables(choice, "protocol", out_names, out_count, err);
}

moe_status experiment_tiers(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                            moe_err *err) {
    return list_tables(choice, "tier", out_names, out_count, err);
}

void experiment_list_free(char **names, int32_t count) {
    for (int32_t i = 0; names != NULL && i < count; i++)
        free(names[i]);
    free(names);
}

/* Sorts the members of a stored configuration into the sections' values and the identity's. */
static moe_status take_stored(json_t *root, const char *place, struct config *sections, struct config *who,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const char *name, *key;
    json_t *member, *value;
    char full[128];
    json_object_foreach(root, name, member) {
        if (!json_is_object(member)) {
            moe_try(config_put(who, &identity, name, member, place, err));
            continue;
        }
        json_object_foreach(member, key, value) {
            moe_check(snprintf(full, sizeof full, "%s.%s", name, key) < (int)sizeof full, err, MOE_ECONFIG,
                      "%s: no such key: %.100s", place, full);
            moe_try(config_put(sections, &EXPERIMENT_KEYS, full, value, place, err));
        }
    }
out:
    return status;
}

moe_status experiment_from_json(const char *json, struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    static const char place[] = "stored configuration";
    struct config *sections = NULL, *who = NULL;
    struct experiment *e = NULL;
    json_error_t problem;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &problem);
    moe_check(root != NULL, err, MOE_EFORMAT, "%s: not JSON at byte %d: %s", place, problem.position,
              problem.text);
    moe_check(json_is_object(root), err, MOE_EFORMAT, "%s: not a JSON object", place);
    moe_try(config_new(&sections, err));
    moe_try(config_new(&who, err));
    moe_try(take_stored(root, place, sections, who, err));
    e = calloc(1, sizeof *e);
    moe_check(e != NULL, err, MOE_ENOMEM, "no memory for an experiment");
    moe_try(config_fill(who, &identity, e, err));
    moe_try(finish(e, sections, err));
    *out_experiment = e;
    e = NULL;
out:
    experiment_free(e);
    config_free(sections);
    config_free(who);
    json_decref(root);
    return status;
}
