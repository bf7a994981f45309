#include "analysis/run_paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"

#define MAX_DEPTH 16

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
    return path_ends_with(path, ".h5") || (list->live && path_ends_with(path, ".h5.live"));
}

static moe_status search(struct path_list *list, const char *path, int depth, moe_err *err) {
    moe_status status = MOE_OK;
    struct dirent **entries = NULL;
    int count = 0;
    char *below = NULL;
    struct stat st;
    bool is_new = false;
    if (depth == 0 && list->live && stat(path, &st) != 0 && errno == ENOENT && path_ends_with(path, ".h5")) {
        below = path_append(path, ".live");
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
