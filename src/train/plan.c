#include "train/plan.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/experiment_suite.h"
#include "train/trainer.h"

double plan_tokens(const struct experiment *e) {
    const int64_t seq = e->data.sequence_length;
    const int64_t sequences = experiment_sequences(e);
    if (sequences <= 0) {
        return (double)e->train.max_steps * e->train.batch_size * (double)seq;
    }
    const int64_t steps_per_epoch = (sequences + e->train.batch_size - 1) / e->train.batch_size;
    double epochs = e->train.max_epochs;
    if (e->train.max_steps > 0 && (double)e->train.max_steps < epochs * (double)steps_per_epoch) {
        epochs = (double)e->train.max_steps / (double)steps_per_epoch;
    }
    return epochs * (double)(sequences * seq);
}

static moe_status add_run(struct plan *plan, const struct plan_request *request,
                          const struct experiment_choice *choice, moe_err *err) {
    moe_status status = MOE_OK;
    struct planned_run *run = &plan->runs[plan->count];
    memset(run, 0, sizeof *run);
    moe_try(experiment_load(choice, &run->experiment, err));
    plan->count++;
    const struct experiment *e = run->experiment;
    run->path = trainer_default_path(request->runs_dir, e);
    moe_check(run->path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(run_state_of(run->path, &run->state, err));
    moe_try(learner_count(e, &run->counts, err));
    run->tokens = plan_tokens(e);
    run->flops = run->tokens * run->counts.flops_per_token;
    run->memory = run->counts.state_bytes + run->counts.activation_bytes;
out:
    return status;
}

/* Whether one of the comma-separated globs fits. */
static bool fits(const char *globs, const char *name) {
    char glob[EXPERIMENT_NAME_MAX];
    for (const char *at = globs; *at != '\0';) {
        const size_t length = strcspn(at, ",");
        snprintf(glob, sizeof glob, "%.*s", (int)length, at);
        if (fnmatch(glob, name, 0) == 0) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

/* Whether the globs let a run through: by its own name, or by another name of its experiment. */
static bool selected(const struct suite_file *suite, const char *globs, const char *run) {
    const size_t length = strcspn(run, "@");
    const char *name;
    json_t *value;
    if (fits(globs, run)) return true;
    json_object_foreach(json_object_get(suite->tree, "experiment"), name, value) {
        const char *trained = suite_file_resolve(suite, name);
        if (trained == name || strlen(trained) != length || memcmp(trained, run, length) != 0) continue;
        if (fits(globs, name)) return true;
    }
    return false;
}

/* Copies of the names that the request lists. */
static moe_status copy_names(const struct plan_request *request, char ***names, int32_t *count,
                             moe_err *err) {
    moe_status status = MOE_OK;
    *names = calloc((size_t)request->name_count + 1, sizeof **names);
    moe_check(*names != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
    for (int32_t i = 0; i < request->name_count; i++) {
        (*names)[i] = strdup(request->names[i]);
        moe_check((*names)[i] != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
        *count = i + 1;
    }
out:
    return status;
}

/* Names of one protocol that the glob lets through; the array is shortened in place. */
static moe_status list_names(const struct plan_request *request, const struct experiment_choice *choice,
                             char ***names, int32_t *count, moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = NULL;
    int32_t kept = 0;
    if (request->names != NULL) return copy_names(request, names, count, err);
    moe_try(experiment_list(choice, names, count, err));
    if (request->only == NULL) goto out;
    moe_try(suite_file_read(request->suites_dir, request->suite, &suite, err));
    for (int32_t i = 0; i < *count; i++) {
        char *name = (*names)[i];
        if (selected(suite, request->only, name)) {
            (*names)[kept++] = name;
        } else {
            free(name);
        }
    }
    *count = kept;
out:
    suite_file_free(suite);
    return status;
}

/* The experiments of one protocol. */
struct protocol_names {
    const char *protocol;
    char **names;
    int32_t count;
};

/* The protocols asked for: one, or all that the suite declares. *list and *declared are freed by the caller.
 */
static moe_status list_protocols(const struct plan_request *request, struct experiment_choice *choice,
                                 struct protocol_names **list, int32_t *count, char ***declared,
                                 int32_t *declared_count, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(experiment_protocols(choice, declared, declared_count, err));
    *list = calloc((size_t)*declared_count + 1, sizeof **list);
    moe_check(*list != NULL, err, MOE_ENOMEM, "no memory for a list of protocols");
    *count = request->protocol != NULL ? 1 : *declared_count;
    for (int32_t p = 0; p < *count; p++) {
        struct protocol_names *one = &(*list)[p];
        one->protocol = request->protocol != NULL ? request->protocol : (*declared)[p];
        choice->protocol = one->protocol;
        moe_try(list_names(request, choice, &one->names, &one->count, err));
    }
out:
    return status;
}

/* Every run by seed, then protocol, then as in the file; of them those of this shard. */
static moe_status add_runs(struct plan *plan, const struct plan_request *request,
                           struct experiment_choice *choice, const struct protocol_names *list,
                           int32_t protocols, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t number = 0;
    for (int32_t s = 0; s < request->seeds; s++) {
        for (int32_t p = 0; p < protocols; p++) {
            for (int32_t i = 0; i < list[p].count; i++, number++) {
                if (number % request->shards != request->shard - 1) continue;
                choice->protocol = list[p].protocol;
                choice->experiment = list[p].names[i];
                choice->seed = request->first_seed + (uint64_t)s;
                moe_try(add_run(plan, request, choice, err));
            }
        }
    }
out:
    return status;
}

moe_status plan_make(const struct plan_request *request, struct plan *out_plan, moe_err *err) {
    moe_status status = MOE_OK;
    struct plan plan = {0};
    struct protocol_names *list = NULL;
    char **declared = NULL;
    int32_t protocols = 0, declared_count = 0;
    int64_t total = 0;
    struct experiment_choice choice = {
        .suites_dir = request->suites_dir,
        .suite = request->suite,
        .tier = request->tier,
        .sets = request->sets,
        .set_count = request->set_count,
    };
    moe_try(list_protocols(request, &choice, &list, &protocols, &declared, &declared_count, err));
    for (int32_t p = 0; p < protocols; p++)
        total += (int64_t)list[p].count * request->seeds;
    moe_check(total > 0, err, MOE_ENOTFOUND, "no experiment of suite %s matches '%s'", request->suite,
              request->only != NULL ? request->only : "*");
    plan.runs = calloc((size_t)total, sizeof *plan.runs);
    moe_check(plan.runs != NULL, err, MOE_ENOMEM, "no memory for a plan of %lld runs", (long long)total);
    moe_try(add_runs(&plan, request, &choice, list, protocols, err));
    *out_plan = plan;
    plan = (struct plan){0};
out:
    for (int32_t p = 0; list != NULL && p < protocols; p++)
        experiment_list_free(list[p].names, list[p].count);
    free(list);
    experiment_list_free(declared, declared_count);
    plan_free(&plan);
    return status;
}

void plan_free(struct plan *plan) {
    for (int32_t i = 0; i < plan->count; i++) {
        experiment_free(plan->runs[i].experiment);
        free(plan->runs[i].path);
    }
    free(plan->runs);
    *plan = (struct plan){0};
}
