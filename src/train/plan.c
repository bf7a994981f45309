#include "train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "train/experiment_grammar.h"
#include "train/experiment_internal.h"
#include "train/experiment_suite.h"
#include "train/trainer.h"

#define TOKENS_UNKNOWN 1e8 /* what a run of unknown length is taken to have where runs are weighed */

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

/* ---- what a run costs */

/* Products at the speed of the tier; of each step what it costs to move the parameters, and of each
 * micro-batch what it costs to start the products of an expert. */
static double guess_seconds(const struct plan_speed *speed, const struct experiment *e,
                            const struct learner_counts *counts, double tokens) {
    const double batch = (double)e->data.sequence_length * e->train.batch_size;
    const double micro = (double)e->data.sequence_length * e->train.micro_batch_size;
    const double experts = (double)e->moe.num_layers * (e->moe.num_experts + e->moe.num_experts_2);
    return tokens * counts->flops_per_token / (speed->gflops * 1e9) +
           tokens / batch * (double)counts->total * speed->ns_per_parameter * 1e-9 +
           tokens / micro * experts * speed->us_per_expert * 1e-6;
}

/* The first seed's counts are those of all seeds. */
static moe_status add_run(struct plan *plan, struct experiment *e, const struct learner_counts *known,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct planned_run *run = &plan->runs[plan->count++];
    *run = (struct planned_run){.experiment = e};
    if (known != NULL) {
        run->counts = *known;
    } else {
        moe_try(learner_count(e, &run->counts, err));
    }
    run->tokens = plan_tokens(e);
    run->flops = run->tokens * run->counts.flops_per_token;
    run->seconds =
        guess_seconds(&plan->speed, e, &run->counts, run->tokens > 0 ? run->tokens : TOKENS_UNKNOWN);
    run->memory = run->counts.state_bytes + run->counts.activation_bytes;
out:
    return status;
}

/* ---- which runs there are */

/* The runs of one protocol that are asked for. */
struct chosen {
    const char *protocol;
    struct suite_file_run *runs; /* as suite_file_runs() gave them */
    int32_t run_count;
    int32_t *which; /* [count] indices into runs */
    int32_t count;
    int32_t *planned; /* [count] place in the plan of the first seed; -1: none yet */
};

/* Whether the globs let a run through: by its own name, or by another name of its experiment. */
static bool selected(const struct suite_file *suite, const char *globs, const struct suite_file_run *run) {
    const char *name;
    json_t *value;
    if (globs == NULL || plan_selects(globs, run->name)) return true;
    json_object_foreach(json_object_get(suite->tree, "experiment"), name, value) {
        const char *trained = suite_file_resolve(suite, name);
        if (trained != name && strcmp(trained, run->experiment) == 0 && plan_selects(globs, name))
            return true;
    }
    return false;
}

static moe_status choose(const struct plan_request *request, const struct suite_file *suite, const char *tier,
                         struct chosen *c, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(suite_file_runs(suite, c->protocol, tier, &c->runs, &c->run_count, err));
    c->which = calloc((size_t)c->run_count + 1, sizeof *c->which);
    c->planned = calloc((size_t)c->run_count + 1, sizeof *c->planned);
    moe_check(c->which != NULL && c->planned != NULL, err, MOE_ENOMEM, "no memory for a list of runs");
    for (int32_t i = 0; i < c->run_count; i++) {
        if (!selected(suite, request->only, &c->runs[i])) continue;
        c->planned[c->count] = -1;
        c->which[c->count++] = i;
    }
out:
    return status;
}

static void chosen_free(struct chosen *chosen, int32_t count) {
    for (int32_t p = 0; chosen != NULL && p < count; p++) {
        suite_file_runs_free(chosen[p].runs, chosen[p].run_count);
        free(chosen[p].which);
        free(chosen[p].planned);
    }
    free(chosen);
}

static int32_t seeds_of(const struct plan_request *request, const struct suite_file_run *run) {
    if (request->seeds > 0) return request->seeds;
    return run->seeds != SUITE_SEEDS_UNSAID ? run->seeds : PLAN_SEEDS;
}

static moe_status make_room(struct plan *plan, int64_t total, const struct plan_request *request,
                            moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(total > 0, err, MOE_ENOTFOUND, "no experiment of suite %s matches '%s'", request->suite,
              request->only != NULL ? request->only : "*");
    moe_check(total <= INT32_MAX, err, MOE_ECONFIG, "suite %s: %lld runs are too many", request->suite,
              (long long)total);
    plan->runs = calloc((size_t)total, sizeof *plan->runs);
    moe_check(plan->runs != NULL, err, MOE_ENOMEM, "no memory for a plan of %lld runs", (long long)total);
out:
    return status;
}

/* A run's configuration with another seed. A seed that --set fixes stays. */
static moe_status copy_experiment(const struct experiment *e, uint64_t first_seed, uint64_t seed,
                                  struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *copy = malloc(sizeof *copy);
    moe_check(copy != NULL, err, MOE_ENOMEM, "no memory for an experiment");
    *copy = *e;
    if (copy->train.seed == first_seed) copy->train.seed = seed;
    *out_experiment = copy;
out:
    return status;
}

/* The run of one seed, if it has as many. */
static moe_status add_seed(struct plan *plan, const struct plan_request *request,
                           const struct suite_file *suite, struct experiment_choice *choice, struct chosen *c,
                           int32_t i, int32_t seed, moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *e = NULL;
    const struct suite_file_run *run = &c->runs[c->which[i]];
    if (seed >= seeds_of(request, run)) return MOE_OK;
    choice->protocol = c->protocol;
    choice->seed = request->first_seed + (uint64_t)seed;
    if (c->planned[i] < 0) {
        moe_try(experiment_from_run(suite, run, choice, &e, err));
        c->planned[i] = plan->count;
        moe_try(add_run(plan, e, NULL, err));
    } else {
        const struct planned_run *first = &plan->runs[c->planned[i]];
        moe_try(copy_experiment(first->experiment, request->first_seed, choice->seed, &e, err));
        moe_try(add_run(plan, e, &first->counts, err));
    }
out:
    return status;
}

/* Every run by seed, then protocol, then as in the file. */
static moe_status add_chosen(struct plan *plan, const struct plan_request *request,
                             const struct suite_file *suite, struct experiment_choice *choice,
                             struct chosen *chosen, int32_t protocols, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t total = 0;
    int32_t seeds = 0;
    for (int32_t p = 0; p < protocols; p++) {
        for (int32_t i = 0; i < chosen[p].count; i++) {
            const int32_t own = seeds_of(request, &chosen[p].runs[chosen[p].which[i]]);
            total += own;
            if (own > seeds) seeds = own;
        }
    }
    moe_try(make_room(plan, total, request, err));
    for (int32_t s = 0; s < seeds; s++) {
        for (int32_t p = 0; p < protocols; p++) {
            for (int32_t i = 0; i < chosen[p].count; i++)
                moe_try(add_seed(plan, request, suite, choice, &chosen[p], i, s, err));
        }
    }
out:
    return status;
}

/* Runs by exact name, among them those of a learning-rate sweep, which no list has. */
static moe_status add_named(struct plan *plan, const struct plan_request *request,
                            const struct suite_file *suite, struct experiment_choice *choice,
                            const struct chosen *chosen, int32_t protocols, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t seeds = request->seeds > 0 ? request->seeds : PLAN_SEEDS;
    struct experiment *e = NULL;
    moe_try(make_room(plan, (int64_t)request->name_count * seeds * protocols, request, err));
    for (int32_t s = 0; s < seeds; s++) {
        for (int32_t p = 0; p < protocols; p++) {
            for (int32_t i = 0; i < request->name_count; i++) {
                choice->protocol = chosen[p].protocol;
                choice->experiment = request->names[i];
                choice->seed = request->first_seed + (uint64_t)s;
                moe_try(experiment_from_suite(suite, choice, &e, err));
                moe_try(add_run(plan, e, NULL, err));
            }
        }
    }
out:
    return status;
}

/* ---- the plan */

/* The protocols asked for: one, or all that the suite declares. */
static moe_status choose_protocols(const struct plan_request *request, const struct suite_file *suite,
                                   const char *tier, struct chosen **out_chosen, int32_t *out_count,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *declared = json_object_get(suite->tree, "protocol");
    const char *name;
    json_t *value;
    *out_chosen = calloc(json_object_size(declared) + 1, sizeof **out_chosen);
    moe_check(*out_chosen != NULL, err, MOE_ENOMEM, "no memory for a list of protocols");
    if (request->protocol != NULL) {
        moe_try(suite_file_pick(suite, "protocol", request->protocol, &(*out_chosen)[0].protocol, err));
        *out_count = 1;
    } else {
        json_object_foreach((json_t *)declared, name, value)(*out_chosen)[(*out_count)++].protocol = name;
    }
    for (int32_t p = 0; p < *out_count && request->names == NULL; p++)
        moe_try(choose(request, suite, tier, &(*out_chosen)[p], err));
out:
    return status;
}

/* Leaves the runs of the shard that is asked for. */
static moe_status keep_shard(struct plan *plan, const struct plan_request *request, moe_err *err) {
    moe_status status = MOE_OK;
    double *costs = calloc((size_t)plan->count + 1, sizeof *costs);
    int32_t *shards = calloc((size_t)plan->count + 1, sizeof *shards);
    int32_t kept = 0;
    moe_check(costs != NULL && shards != NULL, err, MOE_ENOMEM, "no memory to split a plan");
    for (int32_t i = 0; i < plan->count; i++)
        costs[i] = plan->runs[i].seconds;
    moe_try(plan_deal(costs, plan->count, request->shards, shards, err));
    for (int32_t i = 0; i < plan->count; i++) {
        if (shards[i] == request->shard) {
            plan->runs[kept++] = plan->runs[i];
        } else {
            experiment_free(plan->runs[i].experiment);
        }
    }
    plan->count = kept;
out:
    free(costs);
    free(shards);
    return status;
}

moe_status plan_look(struct planned_run *run, moe_err *err) {
    moe_status status = MOE_OK;
    moe_err why = {0};
    struct text damage = {0};
    free(run->damage);
    run->damage = NULL;
    const moe_status looked = run_state_of(run->path, &run->state, &why);
    if (looked == MOE_OK) goto out;
    moe_check(looked == MOE_EFORMAT || looked == MOE_EIO, err, looked, "%s", why.message);
    text_append(&damage, "%s; it is left as it is (`moe-report runs verify` checks one that was restored)",
                why.message);
    moe_try(text_take(&damage, &run->damage, err));
out:
    text_free(&damage);
    return status;
}

/* Where each run lies, and how far it is. */
static moe_status find_files(struct plan *plan, const char *runs_dir, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < plan->count; i++) {
        struct planned_run *run = &plan->runs[i];
        run->path = trainer_default_path(runs_dir, run->experiment);
        moe_check(run->path != NULL, err, MOE_ENOMEM, "no memory for a path");
        moe_try(plan_look(run, err));
    }
out:
    return status;
}

/* A number of a tier's table, or what stands in its place. */
static double number_of(const json_t *tier, const char *key, double otherwise) {
    const json_t *leaf = json_object_get(tier, key);
    return leaf != NULL ? json_number_value(leaf_value(leaf)) : otherwise;
}

static struct plan_speed speed_of(const struct suite_file *suite, const char *tier) {
    const json_t *table = json_object_get(json_object_get(suite->tree, "tier"), tier);
    return (struct plan_speed){.gflops = number_of(table, "gflops", PLAN_GFLOPS),
                               .us_per_expert = number_of(table, "us_per_expert", 0),
                               .ns_per_parameter = number_of(table, "ns_per_parameter", 0)};
}

moe_status plan_make(const struct plan_request *request, struct plan *out_plan, moe_err *err) {
    moe_status status = MOE_OK;
    struct plan plan = {0};
    struct suite_file *suite = NULL;
    struct chosen *chosen = NULL;
    int32_t protocols = 0;
    const char *tier;
    moe_try(suite_file_read(request->suites_dir, request->suite, &suite, err));
    moe_try(suite_file_pick(suite, "tier", request->tier, &tier, err));
    struct experiment_choice choice = {.tier = tier, .sets = request->sets, .set_count = request->set_count};
    plan.speed = speed_of(suite, tier);
    moe_try(choose_protocols(request, suite, tier, &chosen, &protocols, err));
    if (request->names != NULL) {
        moe_try(add_named(&plan, request, suite, &choice, chosen, protocols, err));
    } else {
        moe_try(add_chosen(&plan, request, suite, &choice, chosen, protocols, err));
    }
    plan.whole = plan.count;
    if (request->shards > 1) moe_try(keep_shard(&plan, request, err));
    moe_try(find_files(&plan, request->runs_dir, err));
    *out_plan = plan;
    plan = (struct plan){0};
out:
    chosen_free(chosen, protocols);
    suite_file_free(suite);
    plan_free(&plan);
    return status;
}

void plan_free(struct plan *plan) {
    for (int32_t i = 0; i < plan->count; i++) {
        experiment_free(plan->runs[i].experiment);
        free(plan->runs[i].path);
        free(plan->runs[i].damage);
    }
    free(plan->runs);
    *plan = (struct plan){0};
}
