#include "analysis/run_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "record/routing_stats.h"

/* ---- verify */

/* Measures of one layer as the file has them, and where they stand. */
struct measured {
    const char *name;
    size_t offset; /* in struct routing_stats */
};

static const struct measured measured[] = {
    {"entropy_usage", offsetof(struct routing_stats, entropy)},
    {"gini", offsetof(struct routing_stats, gini)},
    {"cv2", offsetof(struct routing_stats, cv2)},
    {"max_over_mean", offsetof(struct routing_stats, max_over_mean)},
};

/* Shares of the experts that the layer has: an absent one has load -1 and stands behind them. */
static struct routing_stats stats_of(const double *load, int64_t experts, double *scratch) {
    int32_t n = 0;
    while (n < experts && load[n] >= 0.0) {
        scratch[n] = load[n];
        n++;
    }
    return routing_stats_of_shares(scratch, n);
}

static moe_status verify_measure(struct run_reader *r, const char *group, const struct measured *m,
                                 const double *load, const int64_t dims[3], double *scratch, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int64_t value_dims[4];
    int32_t rank = 0;
    char name[RUN_DATASET_PATH_MAX];
    snprintf(name, sizeof name, "%s/%s", group, m->name);
    moe_try(run_reader_array(r, name, &values, value_dims, &rank, err));
    moe_check(rank == 2 && value_dims[0] == dims[0] && value_dims[1] == dims[1], err, MOE_EFORMAT,
              "%s: %s does not have a row for each row of load", run_reader_path(r), name);
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) {
        const struct routing_stats stats = stats_of(load + i * dims[2], dims[2], scratch);
        double want;
        memcpy(&want, (const char *)&stats + m->offset, sizeof want);
        moe_check(fabs(values[i] - want) <= 1e-12 * fmax(1.0, fabs(want)), err, MOE_EMISMATCH,
                  "%s: %s, row %lld, layer %d: the file says %.17g, the load gives %.17g", run_reader_path(r),
                  name, (long long)(i / dims[1]), (int)run_reader_layer_number(r, (int32_t)(i % dims[1])),
                  values[i], want);
    }
out:
    free(values);
    return status;
}

static moe_status verify_dropped(struct run_reader *r, const char *group, moe_err *err) {
    moe_status status = MOE_OK;
    double *parts = NULL;
    double *totals = NULL;
    int64_t dims[4];
    int64_t total_dims[4];
    int32_t rank = 0;
    char name[RUN_DATASET_PATH_MAX];
    snprintf(name, sizeof name, "%s/dropped_load", group);
    moe_try(run_reader_array(r, name, &parts, dims, &rank, err));
    snprintf(name, sizeof name, "%s/dropped", group);
    moe_try(run_reader_array(r, name, &totals, total_dims, &rank, err));
    moe_check(rank == 2 && total_dims[0] == dims[0] && total_dims[1] == dims[1], err, MOE_EFORMAT,
              "%s: %s does not have a row for each row of dropped_load", run_reader_path(r), name);
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) {
        double sum = 0.0;
        for (int64_t e = 0; e < dims[2]; e++)
            sum += fmax(0.0, parts[i * dims[2] + e]);
        moe_check(sum == totals[i], err, MOE_EMISMATCH,
                  "%s: %s, row %lld: the file says %g, dropped_load gives %g", run_reader_path(r), name,
                  (long long)(i / dims[1]), totals[i], sum);
    }
out:
    free(parts);
    free(totals);
    return status;
}

static moe_status verify_routing(struct run_reader *r, const char *group, moe_err *err) {
    moe_status status = MOE_OK;
    double *load = NULL;
    double *scratch = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    char name[RUN_DATASET_PATH_MAX];
    snprintf(name, sizeof name, "%s/load", group);
    moe_try(run_reader_array(r, name, &load, dims, &rank, err));
    moe_check(rank == 3 && dims[2] <= ROUTING_STATS_MAX_EXPERTS, err, MOE_EFORMAT,
              "%s: %s has %d axes, expected 3", run_reader_path(r), name, rank);
    scratch = malloc((size_t)dims[2] * sizeof *scratch + 1);
    moe_check(scratch != NULL, err, MOE_ENOMEM, "%s: no memory to check %s", run_reader_path(r), name);
    for (size_t i = 0; i < sizeof measured / sizeof measured[0]; i++)
        moe_try(verify_measure(r, group, &measured[i], load, dims, scratch, err));
    moe_try(verify_dropped(r, group, err));
out:
    free(load);
    free(scratch);
    return status;
}

moe_status run_verify(struct run_reader *reader, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_info *info = run_reader_info(reader);
    char digest[65];
    moe_try(run_reader_digest(reader, digest, err));
    moe_check(info->digest[0] == '\0' || strcmp(digest, info->digest) == 0, err, MOE_EMISMATCH,
              "%s: the content's digest is %s, the file says %s", run_reader_path(reader), digest,
              info->digest);
    if (info->axes.moe_layers > 0) {
        moe_try(verify_routing(reader, "/routing", err));
        moe_try(verify_routing(reader, "/routing_eval", err));
    }
out:
    return status;
}

/* ---- diff */

static void diff_text(struct text *out, const char *what, const char *a, const char *b) {
    if (strcmp(a, b) != 0)
        text_append(out, "%s: %s | %s\n", what, a[0] != '\0' ? a : "-", b[0] != '\0' ? b : "-");
}

static void diff_identity(const struct run_info *a, const struct run_info *b, struct text *out) {
    char seed_a[32];
    char seed_b[32];
    snprintf(seed_a, sizeof seed_a, "%llu", (unsigned long long)a->seed);
    snprintf(seed_b, sizeof seed_b, "%llu", (unsigned long long)b->seed);
    diff_text(out, "suite", a->suite, b->suite);
    diff_text(out, "experiment", a->experiment, b->experiment);
    diff_text(out, "protocol", a->protocol, b->protocol);
    diff_text(out, "tier", a->tier, b->tier);
    diff_text(out, "seed", seed_a, seed_b);
    diff_text(out, "status", a->status, b->status);
    diff_text(out, "outcome", a->outcome, b->outcome);
}

static void append_json(struct text *out, const json_t *value) {
    char *dump = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    text_append(out, "%s", dump != NULL ? dump : "-");
    free(dump);
}

/* Keys of a and b in their union; lines "PREFIX KEY: a | b" where the values differ, tables entered. */
static void diff_json(const char *prefix, const json_t *a, const json_t *b, struct text *out, int depth) {
    json_t *keys = json_object();
    const char *key;
    json_t *unused;
    json_object_update(keys, (json_t *)(uintptr_t)a);
    json_object_update(keys, (json_t *)(uintptr_t)b);
    json_object_foreach(keys, key, unused) {
        const json_t *in_a = json_object_get(a, key);
        const json_t *in_b = json_object_get(b, key);
        struct text name = {0};
        if (json_equal(in_a, in_b)) continue;
        text_append(&name, "%s%s%s", prefix, depth > 0 ? "." : " ", key);
        if (depth < 8 && json_is_object(in_a) && json_is_object(in_b)) {
            diff_json(name.data != NULL ? name.data : key, in_a, in_b, out, depth + 1);
        } else {
            text_append(out, "%s: ", name.data != NULL ? name.data : key);
            append_json(out, in_a);
            text_append(out, " | ");
            append_json(out, in_b);
            text_append(out, "\n");
        }
        text_free(&name);
    }
    json_decref(keys);
}

static void diff_json_text(const char *prefix, const char *a, const char *b, struct text *out) {
    json_t *in_a = json_loads(a, 0, NULL);
    json_t *in_b = json_loads(b, 0, NULL);
    diff_json(prefix, in_a, in_b, out, 0);
    json_decref(in_a);
    json_decref(in_b);
}

static bool has_dataset(struct run_reader *r, const char *name) {
    char path[RUN_DATASET_PATH_MAX];
    for (int32_t i = 0; run_reader_dataset(r, i, path) != NULL; i++)
        if (strcmp(path, name) == 0) return true;
    return false;
}

/* One dataset: shape, first row that differs, largest difference. */
static moe_status diff_dataset(struct run_reader *a, struct run_reader *b, const char *name, struct text *out,
                               moe_err *err) {
    moe_status status = MOE_OK;
    double *in_a = NULL;
    double *in_b = NULL;
    int64_t dims_a[4];
    int64_t dims_b[4];
    int32_t rank_a = 0;
    int32_t rank_b = 0;
    moe_try(run_reader_array(a, name, &in_a, dims_a, &rank_a, err));
    moe_try(run_reader_array(b, name, &in_b, dims_b, &rank_b, err));
    int64_t row = 1;
    bool shapes_equal = rank_a == rank_b;
    for (int32_t i = 1; shapes_equal && i < rank_a; i++) {
        shapes_equal = dims_a[i] == dims_b[i];
        row *= dims_a[i];
    }
    if (!shapes_equal) {
        text_append(out, "%s: shapes differ\n", name);
        goto out;
    }
    const size_t length = strlen(name);
    const bool scale = length > 5 && strcmp(name + length - 5, "/step") == 0; /* speaks for its whole group */
    if (dims_a[0] != dims_b[0] && scale)
        text_append(out, "%s: %lld rows | %lld rows\n", name, (long long)dims_a[0], (long long)dims_b[0]);
    const int64_t rows = dims_a[0] < dims_b[0] ? dims_a[0] : dims_b[0];
    int64_t first = -1;
    int64_t count = 0;
    double largest = 0.0;
    for (int64_t i = 0; i < rows * row; i++) {
        if (in_a[i] == in_b[i] || (isnan(in_a[i]) && isnan(in_b[i]))) continue;
        if (first < 0) first = i / row;
        largest = fmax(largest, fabs(in_a[i] - in_b[i]));
        count++;
    }
    if (count > 0)
        text_append(out, "%s: %lld of %lld values differ, first in row %lld, by at most %.6g\n", name,
                    (long long)count, (long long)(rows * row), (long long)first, largest);
out:
    free(in_a);
    free(in_b);
    return status;
}

static moe_status diff_datasets(struct run_reader *a, struct run_reader *b, struct text *out, moe_err *err) {
    moe_status status = MOE_OK;
    char name[RUN_DATASET_PATH_MAX];
    for (int32_t i = 0; run_reader_dataset(a, i, name) != NULL; i++) {
        if (strncmp(name, "/timing", 7) == 0) continue; /* never the same twice */
        if (has_dataset(b, name)) {
            moe_try(diff_dataset(a, b, name, out, err));
        } else {
            text_append(out, "%s: only in the first\n", name);
        }
    }
    for (int32_t i = 0; run_reader_dataset(b, i, name) != NULL; i++)
        if (strncmp(name, "/timing", 7) != 0 && !has_dataset(a, name))
            text_append(out, "%s: only in the second\n", name);
out:
    return status;
}

/* Facts that a digest is promised within: another value may give other bits. */
static bool in_tuple(const char *name) {
    static const char *const tuple[] = {"code_version", "code_revision", "compiler", "build_flags",
                                        "device",       "blas",          "portable"};
    for (size_t i = 0; i < sizeof tuple / sizeof tuple[0]; i++)
        if (strcmp(name, tuple[i]) == 0) return true;
    return false;
}

static void diff_facts(struct run_reader *a, struct run_reader *b, struct text *out) {
    const struct run_fact *facts = NULL;
    const int32_t in_a = run_reader_facts(a, &facts);
    for (int32_t i = 0; i < in_a; i++) {
        const char *other = run_reader_fact(b, facts[i].name);
        if (other != NULL && strcmp(other, facts[i].value) == 0) continue;
        text_append(out, "provenance %s: %s | %s%s\n", facts[i].name, facts[i].value,
                    other != NULL ? other : "-",
                    in_tuple(facts[i].name) ? "  (equal digests are not promised across this)" : "");
    }
    const int32_t in_b = run_reader_facts(b, &facts);
    for (int32_t i = 0; i < in_b; i++)
        if (run_reader_fact(a, facts[i].name) == NULL)
            text_append(out, "provenance %s: - | %s\n", facts[i].name, facts[i].value);
}

moe_status run_diff(struct run_reader *a, struct run_reader *b, struct text *out, bool *out_same,
                    moe_err *err) {
    moe_status status = MOE_OK;
    char digest_a[65];
    char digest_b[65];
    moe_try(run_reader_digest(a, digest_a, err));
    moe_try(run_reader_digest(b, digest_b, err));
    *out_same = strcmp(digest_a, digest_b) == 0;
    diff_identity(run_reader_info(a), run_reader_info(b), out);
    diff_json_text("config", run_reader_config_json(a), run_reader_config_json(b), out);
    diff_json_text("counts", run_reader_counts_json(a), run_reader_counts_json(b), out);
    moe_try(diff_datasets(a, b, out, err));
    diff_facts(a, b, out);
    if (*out_same) {
        text_append(out, "contents are equal: digest %s\n", digest_a);
    } else {
        text_append(out, "contents differ: digest %s | %s\n", digest_a, digest_b);
    }
out:
    return status;
}
