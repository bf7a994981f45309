#include "analysis/run_need.h"

#include <fnmatch.h>
#include <string.h>

#include "core/text.h"

#define MAX_MISSING_NAMES 12 /* in a message */

bool run_list_concerns(const struct run_list *list, const struct run_need *need) {
    const bool of_sweep = run_is_of_sweep(need->experiments[0]);
    for (int32_t i = 0; i < run_list_count(list); i++) {
        const struct run_file *file = run_list_at(list, i);
        if (strcmp(file->info.suite, need->suite) != 0 || run_is_of_sweep(file->info.experiment) != of_sweep)
            continue;
        if (need->domain == NULL || run_list_domain(list, file, need->domain) >= 0) return true;
    }
    return false;
}

/* Whether a run's name fits a pattern, under any protocol of the need. */
static bool has_match(const struct run_list *list, const struct run_need *need, const char *pattern) {
    for (int32_t i = 0; i < run_list_count(list); i++) {
        const struct run_info *info = &run_list_at(list, i)->info;
        bool protocol = false;
        for (int32_t p = 0; p < need->num_protocols; p++)
            protocol = protocol || strcmp(info->protocol, need->protocols[p]) == 0;
        if (protocol && strcmp(info->suite, need->suite) == 0 && fnmatch(pattern, info->experiment, 0) == 0)
            return true;
    }
    return false;
}

void run_need_missing(const struct run_list *list, const struct run_need *need, run_missing_fn *tell,
                      void *user) {
    for (; need != NULL; need = need->also) {
        for (int32_t e = 0; e < need->num_experiments; e++) {
            const char *experiment = need->experiments[e];
            if (strchr(experiment, '*') != NULL) {
                if (!has_match(list, need, experiment)) tell(user, need->suite, experiment, NULL);
                continue;
            }
            for (int32_t p = 0; p < need->num_protocols; p++)
                if (run_list_group(list, need->suite, experiment, need->protocols[p]).n == 0)
                    tell(user, need->suite, experiment, need->protocols[p]);
        }
    }
}

/* What has no run: the first of it by name. */
struct missing_runs {
    struct text names; /* "top2 corrected, ..." */
    int32_t count;
};

static void add_missing(void *user, const char *suite, const char *experiment, const char *protocol) {
    struct missing_runs *missing = user;
    (void)suite;
    if (missing->count++ >= MAX_MISSING_NAMES) return;
    text_append(&missing->names, "%s%s%s%s", missing->count > 1 ? ", " : "", experiment,
                protocol != NULL ? " " : "", protocol != NULL ? protocol : "");
}

moe_status run_list_require(const struct run_list *list, const struct run_need *need, const char *what,
                            moe_err *err) {
    struct missing_runs missing = {0};
    moe_status status = MOE_OK;
    run_need_missing(list, need, add_missing, &missing);
    if (missing.count > MAX_MISSING_NAMES)
        text_append(&missing.names, " and %d more", missing.count - MAX_MISSING_NAMES);
    if (missing.names.failed) {
        status = moe_fail(err, MOE_ENOMEM, "%s: no memory", what);
    } else if (missing.count > 0) {
        const char *tier = run_list_tier(list)[0] != '\0' ? run_list_tier(list) : "desk";
        const bool sweep = run_is_of_sweep(need->experiments[0]);
        status =
            moe_fail(err, MOE_ENOTFOUND,
                     "%s: no runs of %s, tier %s, below %s for: %s; train them with `moe %s %s%s --tier %s`",
                     what, need->suite, tier, run_list_roots(list), missing.names.data,
                     sweep ? "lr-sweep" : "suite", need->suite, sweep ? "/EXPERIMENT" : "", tier);
    }
    text_free(&missing.names);
    return status;
}
