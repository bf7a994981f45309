#include "core/machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup"

/* The number in a file; INT64_MAX for "max", and where there is none. */
static int64_t limit_in(const char *path) {
    long long limit = INT64_MAX;
    FILE *f = fopen(path, "r");
    if (f == NULL) return INT64_MAX;
    if (fscanf(f, "%lld", &limit) != 1 || limit <= 0) limit = INT64_MAX;
    fclose(f);
    return limit;
}

/* The least limit of a group and those that it lies in. */
static int64_t limit_of_group(const char *root, char *group, const char *file) {
    int64_t least = INT64_MAX;
    char path[1400];
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", root, group, file);
        const int64_t limit = limit_in(path);
        if (limit < least) least = limit;
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup: "0::GROUP" (version 2), "N:CONTROLLERS:GROUP" (version 1). */
static int64_t limit_of_groups(void) {
    int64_t least = INT64_MAX;
    char line[1200];
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = strrchr(line, ':');
        if (controllers == NULL || group == controllers) continue;
        *group++ = 0;
        const bool second = controllers[1] == 0, memory = strstr(controllers, ":memory") != NULL;
        if (!second && !memory) continue;
        const int64_t limit = second ? limit_of_group(GROUPS, group, "memory.max")
                                     : limit_of_group(GROUPS "/memory", group, "memory.limit_in_bytes");
        if (limit < least) least = limit;
    }
    if (f != NULL) fclose(f);
    return least;
}

int64_t machine_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    const int64_t installed = pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
    const int64_t allowed = limit_of_groups();
    return allowed < installed ? allowed : installed;
}
