#include "train/run_facts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <jansson.h>

static void add(struct run_facts *facts, const char *name, const char *value) {
    if (facts->count == RUN_FACTS_MAX) return;
    char *copy = facts->values[facts->count];
    snprintf(copy, RUN_FACT_CHARS, "%s", value);
    facts->items[facts->count++] = (struct run_fact){name, copy};
}

static void add_time(struct run_facts *facts, const char *name) {
    char text[32] = "";
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    add(facts, name, text);
}

/* First value of a "key : value" line of a /proc file. */
static void proc_value(const char *path, const char *key, char *out, size_t size) {
    char line[512];
    FILE *f = fopen(path, "r");
    snprintf(out, size, "unknown");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || colon == NULL) continue;
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (f != NULL) fclose(f);
}

int64_t run_peak_memory(void) {
    char text[64];
    long long kib = 0;
    proc_value("/proc/self/status", "VmHWM", text, sizeof text);
    return sscanf(text, "%lld", &kib) == 1 ? (int64_t)kib * 1024 : 0;
}

void run_facts_begin(struct run_facts *facts, const struct device *dev, bool portable) {
    char text[RUN_FACT_CHARS];
    struct utsname host;
    facts->count = 0;
    add(facts, "code_version", MOE_VERSION);
    add(facts, "code_revision", MOE_REVISION);
    add(facts, "compiler", MOE_COMPILER);
    add(facts, "build_flags", MOE_BUILD_FLAGS);
    if (uname(&host) == 0) {
        snprintf(text, sizeof text, "%s %s %s", host.sysname, host.release, host.machine);
        add(facts, "system", text);
    }
    proc_value("/proc/cpuinfo", "model name", text, sizeof text);
    add(facts, "processor", text);
    add(facts, "device", dev->ops->name);
    add(facts, "blas", device_cpu_blas());
    add(facts, "portable", portable ? "yes" : "no");
    snprintf(text, sizeof text, "%d", dev->options.threads);
    add(facts, "threads", text);
    add_time(facts, "start");
}

void run_facts_end(struct run_facts *facts, const char *divergence) {
    char text[32];
    facts->count = 0;
    add_time(facts, "end");
    snprintf(text, sizeof text, "%lld", (long long)run_peak_memory());
    add(facts, "peak_memory_bytes", text);
    if (divergence[0] != '\0') add(facts, "divergence", divergence);
}

static json_t *origins_json(const struct dataset *data) {
    json_t *list = json_array();
    for (int32_t i = 0; i < data->num_origins; i++) {
        const struct dataset_origin *o = &data->origins[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "name", o->name, "sha256", o->sha256,
                                              "tokens", (json_int_t)o->tokens));
    }
    return list;
}

static json_t *floors_json(const struct dataset *data) {
    json_t *floors = json_object();
    for (int32_t i = 0; i < data->domains; i++) {
        if (!isfinite(data->entropy_floor[i])) continue;
        json_object_set_new(floors, data->domain_names[i], json_real(data->entropy_floor[i]));
    }
    return floors;
}

static json_t *parts_json(const struct learner_counts *counts) {
    json_t *parts = json_object();
    for (int32_t i = 0; i < counts->part_count; i++)
        json_object_set_new(parts, counts->parts[i].name, json_integer(counts->parts[i].parameters));
    return parts;
}

moe_status run_counts_json(const struct learner_counts *counts, const struct dataset *data, char **out_json,
                           moe_err *err) {
    moe_status status = MOE_OK;
    json_t *root =
        json_pack("{s:I, s:I, s:f, s:o, s:o, s:o}", "total", (json_int_t)counts->total, "active",
                  (json_int_t)counts->active, "flops_per_token", counts->flops_per_token, "parts",
                  parts_json(counts), "data", origins_json(data), "entropy_floor", floors_json(data));
    moe_check(root != NULL, err, MOE_ENOMEM, "no memory for the run's counts");
    if (isfinite(data->train.unk_share)) {
        json_object_set_new(root, "unk_share",
                            json_pack("{s:f, s:f}", "train", data->train.unk_share, "validation",
                                      data->validation.unk_share));
    }
    *out_json = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17));
    moe_check(*out_json != NULL, err, MOE_ENOMEM, "no memory for the run's counts");
out:
    json_decref(root);
    return status;
}
