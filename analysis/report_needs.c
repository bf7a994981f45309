#include "analysis/report_needs.h"

#include <string.h>

#include "analysis/figure.h"
#include "analysis/tables.h"

#define MAX_MISSING 512

/* A group of runs that is not there; the strings are those of the needs. */
struct group {
    const char *suite, *protocol, *experiment;
};

struct missing {
    struct group groups[MAX_MISSING];
    int32_t count;
    bool overflow;
};

static void add(void *user, const char *suite, const char *experiment, const char *protocol) {
    struct missing *missing = user;
    const struct group group = {suite, protocol != NULL ? protocol : "", experiment};
    for (int32_t i = 0; i < missing->count; i++) {
        const struct group *known = &missing->groups[i];
        if (strcmp(known->suite, suite) == 0 && strcmp(known->protocol, group.protocol) == 0 &&
            strcmp(known->experiment, experiment) == 0)
            return;
    }
    missing->overflow = missing->overflow || missing->count == MAX_MISSING;
    if (!missing->overflow) missing->groups[missing->count++] = group;
}

static void add_need(const struct run_list *runs, const struct run_need *need, struct missing *missing) {
    if (run_list_concerns(runs, need)) run_need_missing(runs, need, add, missing);
}

/* The command that trains the i-th group and all others of its suite and protocol. */
static void append_command(const struct run_list *runs, const struct missing *missing, int32_t i,
                           struct text *out) {
    const struct group *first = &missing->groups[i];
    text_append(out, "  moe suite %s --tier %s%s%s --only '", first->suite, run_list_tier(runs),
                first->protocol[0] != '\0' ? " --protocol " : "", first->protocol);
    for (int32_t j = i; j < missing->count; j++) {
        const struct group *group = &missing->groups[j];
        if (strcmp(group->suite, first->suite) != 0 || strcmp(group->protocol, first->protocol) != 0)
            continue;
        text_append(out, "%s%s", j > i ? "," : "", group->experiment);
    }
    text_append(out, "'\n");
}

/* Whether the i-th group is the first of its suite and protocol. */
static bool is_first(const struct missing *missing, int32_t i) {
    for (int32_t j = 0; j < i; j++)
        if (strcmp(missing->groups[j].suite, missing->groups[i].suite) == 0 &&
            strcmp(missing->groups[j].protocol, missing->groups[i].protocol) == 0)
            return false;
    return true;
}

moe_status report_missing_runs(struct report *report, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct missing missing = {.count = 0};
    const struct figure *figure;
    const struct table *table;
    for (int32_t i = 0; (figure = figure_at(i)) != NULL; i++)
        add_need(report->runs, figure->need, &missing);
    for (int32_t i = 0; (table = table_at(i)) != NULL; i++)
        add_need(report->runs, table->need, &missing);
    moe_check(!missing.overflow, err, MOE_ENOMEM, "more than %d groups of runs are missing", MAX_MISSING);
    for (int32_t i = 0; i < missing.count; i++)
        if (is_first(&missing, i)) append_command(report->runs, &missing, i, out);
    moe_check(!out->failed, err, MOE_ENOMEM, "no memory for the list of missing runs");
out:
    return status;
}
