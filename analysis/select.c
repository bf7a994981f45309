#include "analysis/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/run_paths.h"
#include "core/text.h"
#include "record/lr_sweep.h"

#define DAMAGE_BYTES  640                 /* of paths in a message */
#define READER_BUDGET ((size_t)512 << 20) /* bytes of runs held in memory */

/* Beside a run_file: what only the list knows. */
struct run_slot {
    char *path, *domains;      /* names of the domains, each with its terminating 0 */
    struct run_reader *reader; /* NULL = not in memory */
    uint64_t last_use;
    size_t bytes;
    json_t *config, *counts; /* parsed when first asked for */
    bool used;
};

struct run_list {
    struct run_file *files;
    struct run_slot *slots; /* slots[files[i].index] until the list is sorted, then slots[i] */
    int32_t count;
    uint64_t clock;
    char tier[sizeof((struct run_info *)0)->tier];
    char *roots;
};

static int tier_rank(const char *tier) {
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    for (int i = 0; i < 4; i++)
        if (strcmp(tier, tiers[i]) == 0) return i;
    return -1;
}

/* What a run takes in memory, about: the tensors of its routing rows, and a little for each other row. */
static size_t run_bytes(const struct run_info *info) {
    const size_t cells = (size_t)info->axes.moe_layers * (size_t)info->axes.experts;
    const size_t row = cells * (28 + 2 * (size_t)info->axes.hist_bins) + 256;
    size_t rows = 0;
    for (int i = 0; i < RUN_SERIES_COUNT; i++) {
        const bool routing = i == RUN_ROUTING || i == RUN_ROUTING_EVAL;
        rows += (size_t)info->rows[i] * (routing ? row : 128);
    }
    return rows + 65536;
}

/* Suite, experiment, protocol, seed, then path. */
static int by_identity(const void *a, const void *b) {
    const struct run_file *x = a;
    const struct run_file *y = b;
    int order = strcmp(x->info.suite, y->info.suite);
    if (order == 0) order = strcmp(x->info.experiment, y->info.experiment);
    if (order == 0) order = strcmp(x->info.protocol, y->info.protocol);
    if (order == 0) order = (x->info.seed > y->info.seed) - (x->info.seed < y->info.seed);
    return order != 0 ? order : strcmp(x->path, y->path);
}

static void drop_run(struct run_list *list, int32_t slot) {
    run_reader_close(list->slots[slot].reader);
    free(list->slots[slot].path);
    free(list->slots[slot].domains);
    json_decref(list->slots[slot].config);
    json_decref(list->slots[slot].counts);
    list->slots[slot] = (struct run_slot){0};
}

/* Keeps the runs of one tier and puts them, and their slots, in order. */
static moe_status keep_tier(struct run_list *list, const char *tier, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_slot *ordered = NULL;
    int32_t kept = 0;
    for (int32_t i = 0; tier == NULL && i < list->count; i++) {
        const char *candidate = list->files[i].info.tier;
        if (list->tier[0] == '\0' || tier_rank(candidate) > tier_rank(list->tier))
            snprintf(list->tier, sizeof list->tier, "%s", candidate);
    }
    if (tier != NULL) snprintf(list->tier, sizeof list->tier, "%s", tier);
    ordered = calloc((size_t)list->count + 1, sizeof *ordered);
    moe_check(ordered != NULL, err, MOE_ENOMEM, "cannot allocate a list of %d runs", list->count);
    for (int32_t i = 0; i < list->count; i++) {
        if (strcmp(list->files[i].info.tier, list->tier) == 0) {
            list->files[kept++] = list->files[i];
        } else {
            drop_run(list, list->files[i].index);
        }
    }
    if (kept > 1) qsort(list->files, (size_t)kept, sizeof *list->files, by_identity);
    for (int32_t i = 0; i < kept; i++) {
        ordered[i] = list->slots[list->files[i].index];
        list->files[i].index = i;
    }
    if (list->count > 0) memcpy(list->slots, ordered, (size_t)list->count * sizeof *ordered);
    list->count = kept;
out:
    free(ordered);
    return status;
}

static moe_status refuse_duplicates(const struct run_list *list, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 1; i < list->count; i++) {
        const struct run_info *a = &list->files[i - 1].info;
        const struct run_info *b = &list->files[i].info;
        const bool same = strcmp(a->suite, b->suite) == 0 && strcmp(a->experiment, b->experiment) == 0 &&
                          strcmp(a->protocol, b->protocol) == 0 && a->seed == b->seed;
        moe_check(!same, err, MOE_EEXIST,
                  "%s and %s are both %s/%s %s, tier %s, seed %llu: remove one, or name folders that hold "
                  "one of them",
                  list->files[i - 1].path, list->files[i].path, b->suite, b->experiment, b->protocol, b->tier,
                  (unsigned long long)b->seed);
    }
out:
    return status;
}

/* Files that are no whole runs: all of them, so that who mends one does not meet the next by trying again. */
struct damage {
    struct text names; /* a line for each, as many as a message holds */
    int32_t count, unnamed;
    moe_err first;
};

static void note_damage(struct damage *damage, const char *path, const moe_err *why) {
    if (damage->count++ == 0) damage->first = *why;
    if (damage->unnamed == 0 && damage->names.length + strlen(path) < DAMAGE_BYTES) {
        text_append(&damage->names, "\n  %s", path);
    } else {
        damage->unnamed++;
    }
}

/* No report goes on without them: its numbers would be others, and nobody would see why. */
static moe_status refuse_damage(struct damage *damage, int32_t files, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(damage->count != 1, err, MOE_EFORMAT, "%s", damage->first.message);
    if (damage->unnamed > 0)
        text_append(&damage->names, "\n  and %d more, which `moe-report runs ls` names", damage->unnamed);
    moe_check(!damage->names.failed, err, MOE_ENOMEM, "no memory for a message");
    moe_check(damage->count == 0, err, MOE_EFORMAT,
              "%d of %d run files are damaged; restore them, or delete them and train them again with the "
              "same `moe suite`:%s",
              damage->count, files, damage->names.data);
out:
    return status;
}

static size_t held_bytes(const struct run_list *list) {
    size_t held = 0;
    for (int32_t i = 0; i < list->count; i++)
        if (list->slots[i].reader != NULL) held += list->slots[i].bytes;
    return held;
}

static moe_status copy_domains(const struct run_reader *reader, char **out, moe_err *err) {
    struct text names = {0};
    for (int32_t d = 0; d < run_reader_info(reader)->axes.domains; d++) {
        const char *name = run_reader_domain(reader, d);
        text_append_bytes(&names, name, strlen(name) + 1);
    }
    return text_take(&names, out, err);
}

/* Opens every path for its identity, and keeps open what the budget has room for: most runs are read again.
 * The list takes the paths over, and leaves NULL in their place. */
static moe_status read_identities(struct run_list *list, char **paths, int32_t count, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct run_queue *queue = NULL;
    struct damage damage = {0};
    char *domains = NULL;
    list->files = calloc((size_t)count + 1, sizeof *list->files);
    list->slots = calloc((size_t)count + 1, sizeof *list->slots);
    moe_check(list->files != NULL && list->slots != NULL, err, MOE_ENOMEM,
              "cannot allocate a list of %d runs", count);
    moe_try(run_queue_open((const char *const *)paths, count, &queue, err));
    for (int32_t i = 0; i < count; i++) {
        moe_err why = {0};
        status = run_queue_next(queue, &reader, &why);
        if (status == MOE_EFORMAT) {
            note_damage(&damage, paths[i], &why);
            continue;
        }
        moe_check(status == MOE_OK, err, status, "%s", why.message);
        moe_try(copy_domains(reader, &domains, err));
        const struct run_info *info = run_reader_info(reader);
        const bool fits = held_bytes(list) + run_bytes(info) <= READER_BUDGET;
        const int32_t slot = list->count++;
        list->files[slot] = (struct run_file){.path = paths[i], .info = *info, .index = slot};
        list->slots[slot] = (struct run_slot){.path = paths[i], .domains = domains, .bytes = run_bytes(info)};
        paths[i] = NULL;
        domains = NULL;
        if (fits)
            list->slots[slot].reader = reader;
        else
            run_reader_close(reader);
        reader = NULL;
    }
    status = refuse_damage(&damage, count, err);
out:
    text_free(&damage.names);
    run_reader_close(reader);
    run_queue_close(queue);
    return status;
}

moe_status run_list_open(const struct run_selection *selection, struct run_list **out_list, moe_err *err) {
    moe_status status = MOE_OK;
    struct text roots = {0};
    char **paths = NULL;
    int32_t count = 0;
    struct run_list *list = calloc(1, sizeof *list);
    moe_check(list != NULL, err, MOE_ENOMEM, "cannot allocate a list of runs");
    moe_check(selection->tier == NULL || tier_rank(selection->tier) >= 0, err, MOE_EUSAGE,
              "tier \"%s\": expected smoke, desk, gpu or full", selection->tier);
    for (int32_t i = 0; i < selection->num_roots; i++)
        text_append(&roots, "%s%s", i > 0 ? ", " : "", selection->roots[i]);
    moe_try(text_take(&roots, &list->roots, err));
    moe_try(run_paths_find(selection->roots, selection->num_roots, false, &paths, &count, err));
    moe_try(read_identities(list, paths, count, err));
    moe_try(keep_tier(list, selection->tier, err));
    moe_try(refuse_duplicates(list, err));
    *out_list = list;
    list = NULL;
out:
    text_free(&roots);
    run_paths_free(paths, count);
    run_list_close(list);
    return status;
}

void run_list_close(struct run_list *list) {
    if (list == NULL) return;
    for (int32_t i = 0; i < list->count; i++)
        drop_run(list, i);
    free(list->files);
    free(list->slots);
    free(list->roots);
    free(list);
}

const char *run_list_tier(const struct run_list *list) {
    return list->tier;
}

const char *run_list_roots(const struct run_list *list) {
    return list->roots;
}

int32_t run_list_count(const struct run_list *list) {
    return list->count;
}

const struct run_file *run_list_at(const struct run_list *list, int32_t index) {
    return index >= 0 && index < list->count ? &list->files[index] : NULL;
}

struct run_group run_list_group(const struct run_list *list, const char *suite, const char *experiment,
                                const char *protocol) {
    struct run_group group = {.suite = suite, .experiment = experiment, .protocol = protocol};
    for (int32_t i = 0; i < list->count; i++) {
        const struct run_info *info = &list->files[i].info;
        if (strcmp(info->suite, suite) != 0 || strcmp(info->experiment, experiment) != 0 ||
            strcmp(info->protocol, protocol) != 0)
            continue;
        if (group.n == 0) group.files = &list->files[i];
        group.n++;
    }
    return group;
}

int32_t run_list_domain(const struct run_list *list, const struct run_file *file, const char *name) {
    const char *known = list->slots[file->index].domains;
    for (int32_t d = 0; d < file->info.axes.domains; d++, known += strlen(known) + 1)
        if (strcmp(known, name) == 0) return d;
    return -1;
}

bool run_is_of_sweep(const char *experiment) {
    return strncmp(experiment, LR_SWEEP_PREFIX, strlen(LR_SWEEP_PREFIX)) == 0;
}

/* Closes the readers used longest ago until `bytes` more fit into the budget. */
static void evict(struct run_list *list, size_t bytes) {
    for (;;) {
        int32_t oldest = -1;
        for (int32_t i = 0; i < list->count; i++) {
            if (list->slots[i].reader == NULL) continue;
            if (oldest < 0 || list->slots[i].last_use < list->slots[oldest].last_use) oldest = i;
        }
        if (oldest < 0 || held_bytes(list) + bytes <= READER_BUDGET) return;
        run_reader_close(list->slots[oldest].reader);
        list->slots[oldest].reader = NULL;
    }
}

moe_status run_list_reader(struct run_list *list, const struct run_file *file, struct run_reader **out_reader,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct run_slot *slot = &list->slots[file->index];
    if (slot->reader == NULL) {
        evict(list, slot->bytes);
        moe_try(run_reader_open(slot->path, &slot->reader, err));
    }
    slot->last_use = ++list->clock;
    slot->used = true;
    *out_reader = slot->reader;
out:
    return status;
}

moe_status run_list_array(struct run_list *list, const struct run_file *file, const char *name,
                          double **out_values, int64_t dims[4], int32_t *out_rank, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    moe_try(run_list_reader(list, file, &reader, err));
    moe_try(run_reader_array(reader, name, out_values, dims, out_rank, err));
out:
    return status;
}

moe_status run_list_json(struct run_list *list, const struct run_file *file, const json_t **out_config,
                         const json_t **out_counts, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct run_slot *slot = &list->slots[file->index];
    moe_try(run_list_reader(list, file, &reader, err));
    if (slot->config == NULL) slot->config = json_loads(run_reader_config_json(reader), 0, NULL);
    if (slot->counts == NULL) slot->counts = json_loads(run_reader_counts_json(reader), 0, NULL);
    *out_config = slot->config;
    *out_counts = slot->counts;
out:
    return status;
}

void run_list_forget_used(struct run_list *list) {
    for (int32_t i = 0; i < list->count; i++)
        list->slots[i].used = false;
}

moe_status run_list_used(const struct run_list *list, char **out_text, moe_err *err) {
    struct text t = {0};
    for (int32_t i = 0; i < list->count; i++) {
        const struct run_info *info = &list->files[i].info;
        if (!list->slots[i].used) continue;
        text_append(&t, "%s%s/%s %s %s s%llu %s", t.length > 0 ? "\n" : "", info->suite, info->experiment,
                    info->protocol, info->tier, (unsigned long long)info->seed, info->digest);
    }
    return text_take(&t, out_text, err);
}
