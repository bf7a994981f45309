/* plan_shards.c - which runs are meant, and which of them are whose. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/plan.h"

/* Whether the piece up to the next comma goes on with the axes of a name: s=16, s=*, or stars alone. */
static bool is_axis(const char *piece) {
    const size_t length = strcspn(piece, ",");
    const bool stars = length > 0 && strspn(piece, "*?") == length;
    return memchr(piece, '@', length) == NULL && (stars || memchr(piece, '=', length) != NULL);
}

/* Length of the first glob: to the end, or to a comma that no axis follows. */
static size_t glob_length(const char *globs) {
    size_t length = strcspn(globs, ",");
    const bool has_axes = memchr(globs, '@', length) != NULL;
    while (has_axes && globs[length] == ',' && is_axis(globs + length + 1))
        length += 1 + strcspn(globs + length + 1, ",");
    return length;
}

bool plan_selects(const char *globs, const char *name) {
    char glob[2 * EXPERIMENT_NAME_MAX];
    for (const char *at = globs; *at != '\0';) {
        const size_t length = glob_length(at);
        snprintf(glob, sizeof glob, "%.*s", (int)length, at);
        if (length < sizeof glob && fnmatch(glob, name, 0) == 0) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

struct share {
    double cost;
    int32_t run;
};

static int costlier_first(const void *a, const void *b) {
    const struct share *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return x->run < y->run ? -1 : 1;
}

moe_status plan_deal(const double *costs, int32_t count, int32_t shards, int32_t *out_shards, moe_err *err) {
    moe_status status = MOE_OK;
    struct share *order = calloc((size_t)count + 1, sizeof *order);
    double *sums = calloc((size_t)shards, sizeof *sums);
    int32_t *sizes = calloc((size_t)shards, sizeof *sizes);
    moe_check(order != NULL && sums != NULL && sizes != NULL, err, MOE_ENOMEM,
              "no memory to split %d runs among %d shards", count, shards);
    for (int32_t i = 0; i < count; i++)
        order[i] = (struct share){costs[i], i};
    qsort(order, (size_t)count, sizeof *order, costlier_first);
    for (int32_t i = 0; i < count; i++) {
        int32_t least = 0;
        for (int32_t s = 1; s < shards; s++) {
            if (sums[s] < sums[least] || (sums[s] == sums[least] && sizes[s] < sizes[least])) least = s;
        }
        sums[least] += order[i].cost;
        sizes[least]++;
        out_shards[order[i].run] = least + 1;
    }
out:
    free(order);
    free(sums);
    free(sizes);
    return status;
}
