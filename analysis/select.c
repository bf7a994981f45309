#include "analysis/select.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/text.h"
#include "record/lr_sweep.h"

#define MAX_DEPTH         16
#define MAX_MISSING_NAMES 12                  /* in a message */
#define READER_BUDGET     ((size_t)512 << 20) /* bytes of runs held in memory */

/* Beside a run_file: what only the list knows. */
struct run_slot {
    char *path;
    struct run_reader *reader; /* NULL = not in memory */
    uint64_t last_use;
    size_t bytes;
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

static bool ends_with(const char *text, const char *tail) {
    const size_t length = strlen(text);
    const size_t tail_length = strlen(tail);
    return length >= tail_length && strcmp(text + length - tail_length, tail) == 0;
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

/* What a path leads to, whichever path it is. */
struct file_id {
    dev_t device;
    ino_t inode;
};

/* Paths being gathered. */
struct path_list {
    char **paths;
    struct file_id *files;
    int32_t count, capacity;
    struct file_id *folders; /* that have been looked into */
    int32_t folder_count, folder_capacity;
    bool live;
};

static bool is_among(const struct file_id *ids, int32_t count, const struct stat *st) {
    for (int32_t i = 0; i < count; i++)
        if (ids[i].device == st->st_dev && ids[i].inode == st->st_ino) return true;
    return false;
}

/* Notes a folder; *out_new is false where symbolic links lead to one for the second time. */
static moe_status enter_folder(struct path_list *list, const struct stat *st, bool *out_new, moe_err *err) {
    moe_status status = MOE_OK;
    *out_new = !is_among(list->folders, list->folder_count, st);
    if (!*out_new) goto out;
    if (list->folder_count == list->folder_capacity) {
        const int32_t capacity = list->folder_capacity == 0 ? 16 : 2 * list->folder_capacity;
        struct file_id *folders = realloc(list->folders, (size_t)capacity * sizeof *folders);
        moe_check(folders != NULL, err, MOE_ENOMEM, "cannot allocate a list of %d folders", capacity);
        list->folders = folders;
        list->folder_capacity = capacity;
    }
    list->folders[list->folder_count++] = (struct file_id){st->st_dev, st->st_ino};
out:
    return status;
}

/* Adds a path unless the same file is in the list already. */
static moe_status add_path(struct path_list *list, const char *path, const struct stat *st, moe_err *err) {
    moe_status status = MOE_OK;
    if (is_among(list->files, list->count, st)) return MOE_OK;
    if (list->count == list->capacity) {
        const int32_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        void *paths = realloc(list->paths, (size_t)capacity * sizeof *list->paths);
        if (paths != NULL) list->paths = paths;
        void *files = realloc(list->files, (size_t)capacity * sizeof *list->files);
        if (files != NULL) list->files = files;
        moe_check(paths != NULL && files != NULL, err, MOE_ENOMEM, "cannot allocate a list of %d runs",
                  capacity);
        list->capacity = capacity;
    }
    list->paths[list->count] = strdup(path);
    moe_check(list->paths[list->count] != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
    list->files[list->count++] = (struct file_id){st->st_dev, st->st_ino};
out:
    return status;
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static bool is_run(const struct path_list *list, const char *path) {
    return ends_with(path, ".h5") || (list->live && ends_with(path, ".h5.live"));
}

/* X.h5 -> X.h5.live; malloc'ed. */
static char *live_path(const char *path) {
    const size_t length = strlen(path);
    char *live = malloc(length + sizeof ".live");
    if (live != NULL) {
        memcpy(live, path, length);
        memcpy(live + length, ".live", sizeof ".live");
    }
    return live;
}

static moe_status search(struct path_list *list, const char *path, int depth, moe_err *err) {
    moe_status status = MOE_OK;
    struct dirent **entries = NULL;
    int count = 0;
    char *below = NULL;
    struct stat st;
    bool is_new = false;
    if (depth == 0 && list->live && stat(path, &st) != 0 && errno == ENOENT && ends_with(path, ".h5")) {
        below = live_path(path);
        moe_check(below != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
        if (stat(below, &st) == 0) {
            status = add_path(list, below, &st, err);
            goto out;
        }
    }
    moe_check(
        stat(path, &st) == 0, err, errno == ENOENT ? MOE_ENOTFOUND : MOE_EIO,
        "%s: cannot look for runs: %s; train some with `moe suite`, or name their folder with --runs-dir",
        path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        status = add_path(list, path, &st, err);
        goto out;
    }
    moe_try(enter_folder(list, &st, &is_new, err));
    if (!is_new) goto out;
    moe_check(depth < MAX_DEPTH, err, MOE_EIO, "%s: folders nested deeper than %d", path, MAX_DEPTH);
    count = scandir(path, &entries, visible, alphasort);
    moe_check(count >= 0, err, MOE_EIO, "%s: cannot list the folder: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        below = path_join(path, entries[i]->d_name);
        moe_check(below != NULL, err, MOE_ENOMEM, "%s: no memory for a path", path);
        struct stat entry;
        const bool there = stat(below, &entry) == 0; /* a file may go while the folder is read */
        if (there && (S_ISDIR(entry.st_mode) || is_run(list, below)))
            moe_try(search(list, below, depth + 1, err));
        free(below);
        below = NULL;
    }
out:
    free(below);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return status;
}

moe_status run_paths_find(const char *const *roots, int32_t num_roots, bool live, char ***out_paths,
                          int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct path_list list = {.live = live};
    for (int32_t i = 0; i < num_roots; i++)
        moe_try(search(&list, roots[i], 0, err));
    *out_paths = list.paths;
    *out_count = list.count;
    list.paths = NULL;
    list.count = 0;
out:
    run_paths_free(list.paths, list.count);
    free(list.files);
    free(list.folders);
    return status;
}

void run_paths_free(char **paths, int32_t count) {
    for (int32_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
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

/* Opens every path once for its identity. The list takes the paths over, and leaves NULL in their place. */
static moe_status read_identities(struct run_list *list, char **paths, int32_t count, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    list->files = calloc((size_t)count + 1, sizeof *list->files);
    list->slots = calloc((size_t)count + 1, sizeof *list->slots);
    moe_check(list->files != NULL && list->slots != NULL, err, MOE_ENOMEM,
              "cannot allocate a list of %d runs", count);
    for (int32_t i = 0; i < count; i++) {
        moe_try(run_reader_open(paths[i], &reader, err));
        const struct run_info *info = run_reader_info(reader);
        list->files[i] = (struct run_file){.path = paths[i], .info = *info, .index = i};
        list->slots[i] = (struct run_slot){.path = paths[i], .bytes = run_bytes(info)};
        list->count = i + 1;
        paths[i] = NULL;
        run_reader_close(reader);
        reader = NULL;
    }
out:
    run_reader_close(reader);
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

bool run_is_of_sweep(const char *experiment) {
    return strncmp(experiment, LR_SWEEP_PREFIX, strlen(LR_SWEEP_PREFIX)) == 0;
}

bool run_list_concerns(const struct run_list *list, const struct run_need *need) {
    const bool of_sweep = run_is_of_sweep(need->experiments[0]);
    for (int32_t i = 0; i < list->count; i++) {
        const struct run_info *info = &list->files[i].info;
        if (strcmp(info->suite, need->suite) == 0 && run_is_of_sweep(info->experiment) == of_sweep)
            return true;
    }
    return false;
}

/* Closes the readers used longest ago until `bytes` more fit into the budget. */
static void evict(struct run_list *list, size_t bytes) {
    for (;;) {
        size_t held = 0;
        int32_t oldest = -1;
        for (int32_t i = 0; i < list->count; i++) {
            if (list->slots[i].reader == NULL) continue;
            held += list->slots[i].bytes;
            if (oldest < 0 || list->slots[i].last_use < list->slots[oldest].last_use) oldest = i;
        }
        if (oldest < 0 || held + bytes <= READER_BUDGET) return;
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

/* Whether a run's name fits a pattern, under any protocol of the need. */
static bool has_match(const struct run_list *list, const struct run_need *need, const char *pattern) {
    for (int32_t i = 0; i < list->count; i++) {
        const struct run_info *info = &list->files[i].info;
        bool protocol = false;
        for (int32_t p = 0; p < need->num_protocols; p++)
            protocol = protocol || strcmp(info->protocol, need->protocols[p]) == 0;
        if (protocol && strcmp(info->suite, need->suite) == 0 && fnmatch(pattern, info->experiment, 0) == 0)
            return true;
    }
    return false;
}

/* What has no run: the first of it by name. */
struct missing_runs {
    struct text names; /* "top2 corrected, ..." */
    int32_t count;
};

static void add_missing(struct missing_runs *missing, const char *experiment, const char *protocol) {
    if (missing->count++ >= MAX_MISSING_NAMES) return;
    text_append(&missing->names, "%s%s%s%s", missing->count > 1 ? ", " : "", experiment,
                protocol[0] != '\0' ? " " : "", protocol);
}

static void list_missing(const struct run_list *list, const struct run_need *need,
                         struct missing_runs *missing) {
    for (int32_t e = 0; e < need->num_experiments; e++) {
        if (strchr(need->experiments[e], '*') != NULL) {
            if (!has_match(list, need, need->experiments[e])) add_missing(missing, need->experiments[e], "");
            continue;
        }
        for (int32_t p = 0; p < need->num_protocols; p++) {
            if (run_list_group(list, need->suite, need->experiments[e], need->protocols[p]).n > 0) continue;
            add_missing(missing, need->experiments[e], need->protocols[p]);
        }
    }
}

moe_status run_list_require(const struct run_list *list, const struct run_need *need, const char *what,
                            moe_err *err) {
    struct missing_runs missing = {0};
    moe_status status = MOE_OK;
    for (const struct run_need *n = need; n != NULL; n = n->also)
        list_missing(list, n, &missing);
    if (missing.count > MAX_MISSING_NAMES)
        text_append(&missing.names, " and %d more", missing.count - MAX_MISSING_NAMES);
    if (missing.names.failed) {
        status = moe_fail(err, MOE_ENOMEM, "%s: no memory", what);
    } else if (missing.count > 0) {
        const char *tier = list->tier[0] != '\0' ? list->tier : "desk";
        const bool sweep = run_is_of_sweep(need->experiments[0]);
        status =
            moe_fail(err, MOE_ENOTFOUND,
                     "%s: no runs of %s, tier %s, below %s for: %s; train them with `moe %s %s%s --tier %s`",
                     what, need->suite, tier, list->roots, missing.names.data, sweep ? "lr-sweep" : "suite",
                     need->suite, sweep ? "/EXPERIMENT" : "", tier);
    }
    text_free(&missing.names);
    return status;
}
