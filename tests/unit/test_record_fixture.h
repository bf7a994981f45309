/* A made-up run whose rows are functions of the step alone, so that any part of it can be checked or made
 * again. */
#ifndef TEST_RECORD_FIXTURE_H
#define TEST_RECORD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/reader.h"
#include "record/writer.h"

enum { FIX_LAYERS = 2, FIX_EXPERTS = 8, FIX_DOMAINS = 2, FIX_BINS = 16, FIX_EPOCH = 10 };

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        moe_err ok_err = {0};                                                                                \
        moe_err *const err = &ok_err;                                                                        \
        if ((expr) != MOE_OK) fail_msg("%s: %s", #expr, ok_err.message);                                     \
    } while (0)

static const char *const fix_domains[FIX_DOMAINS] = {"all", "märchen"};
static const int32_t fix_layers[FIX_LAYERS] = {2, 4};
static const struct run_fact fix_facts[] = {{"host", "test"}, {"threads", "1"}};

static inline struct run_begin fix_begin(const char *path, bool moe) {
    struct run_begin begin = {
        .path = path,
        .identity = {"suite", "A", "baseline", "corrected", "smoke", 7},
        .axes = {moe ? FIX_LAYERS : 0, moe ? FIX_EXPERTS : 0, FIX_DOMAINS, moe ? FIX_BINS : 0},
        .domain_names = fix_domains,
        .moe_layer_numbers = fix_layers,
        .config_json = "{\"train.lr\":0.0003,\"train.seed\":7}",
        .config_toml = "[train]\nlr = 0.0003\nseed = 7\n",
        .counts_json = "{\"active\":1,\"total\":2}",
        .facts = fix_facts,
        .fact_count = 2,
    };
    return begin;
}

/* A value between 0 and 1 that depends on the step and a column. */
static inline double fix_value(int64_t step, int column) {
    const uint64_t x = ((uint64_t)step * 0x9e3779b97f4a7c15u) ^ ((uint64_t)column * 0xc2b2ae3d27d4eb4fu);
    return (double)((x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u >> 11) * 0x1p-53;
}

static inline moe_status fix_routing(struct run_writer *w, enum run_series series, int64_t step,
                                     moe_err *err) {
    enum { LE = FIX_LAYERS * FIX_EXPERTS };
    int32_t load[LE], dropped[LE];
    float mass[LE], bias[LE], norm[LE], entropy[FIX_LAYERS];
    int64_t updates[LE];
    uint16_t hist[LE * FIX_BINS];
    for (int i = 0; i < LE; i++) {
        load[i] = (int32_t)(4096 * fix_value(step, i));
        dropped[i] = load[i] / 100;
        mass[i] = (float)fix_value(step, 100 + i);
        bias[i] = 0;
        norm[i] = (float)fix_value(step, 200 + i);
        updates[i] = step;
    }
    for (int i = 0; i < LE * FIX_BINS; i++)
        hist[i] = (uint16_t)(16 * fix_value(step, 300 + i));
    for (int i = 0; i < FIX_LAYERS; i++)
        entropy[i] = (float)fix_value(step, 400 + i);
    const struct run_routing_row row = {step, load, dropped, mass, bias, norm, updates, hist, entropy};
    return run_writer_routing(w, series, &row, err);
}

/* All rows of one step, committed. Timings are not a function of the step: `clock` stands for the time of
 * day. */
static inline moe_status fix_step(struct run_writer *w, int64_t step, bool moe, double clock, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t epoch = (step - 1) / FIX_EPOCH;
    const struct run_train_row train = {step,
                                        epoch,
                                        step * 4096,
                                        fix_value(step, 1),
                                        fix_value(step, 2),
                                        fix_value(step, 3),
                                        0,
                                        3e-4,
                                        fix_value(step, 4),
                                        1,
                                        fix_value(step, 5),
                                        step % 3};
    const struct run_timing_row timing = {step, clock, 2 * clock, 0.1, 0.01, 0.001, 4 * clock, 4096 / clock};
    moe_try(run_writer_train(w, &train, err));
    moe_try(run_writer_timing(w, &timing, err));
    if (moe) moe_try(fix_routing(w, RUN_ROUTING, step, err));
    if (step % FIX_EPOCH == 0) {
        const struct run_epoch_row end = {epoch, step, 40960, 10 * clock, clock, clock, 1 << 20};
        for (int64_t d = 0; d < FIX_DOMAINS; d++) {
            const double ce = fix_value(step, 6 + (int)d);
            const struct run_eval_row eval = {step, epoch, d, ce, ce, 0.02, 0.5, exp(ce), 10000};
            moe_try(run_writer_eval(w, &eval, err));
        }
        if (moe) moe_try(fix_routing(w, RUN_ROUTING_EVAL, step, err));
        moe_try(run_writer_epoch(w, &end, err));
    }
    moe_try(run_writer_commit(w, err));
out:
    return status;
}

/* Steps first..last. */
static inline void fix_steps(struct run_writer *w, int64_t first, int64_t last, bool moe, double clock) {
    for (int64_t step = first; step <= last; step++)
        assert_ok(fix_step(w, step, moe, clock, err));
}

/* A folder of the test's own, removed at its end; or MOE_TEST_FOLDER, which stays for others to look at. */
static inline const char *fix_folder(void) {
    static char folder[128];
    const char *given = getenv("MOE_TEST_FOLDER");
    if (folder[0] != 0) return folder;
    snprintf(folder, sizeof folder, "%s", given != NULL ? given : "/tmp/moe-record-XXXXXX");
    if (given == NULL && mkdtemp(folder) == NULL) abort();
    return folder;
}

static inline void fix_path(char path[256], const char *name) {
    snprintf(path, 256, "%s/%s", fix_folder(), name);
}

static inline int fix_remove_folder(void **state) {
    char command[160];
    (void)state;
    if (getenv("MOE_TEST_FOLDER") != NULL) return 0;
    snprintf(command, sizeof command, "rm -rf '%s'", fix_folder());
    return system(command);
}

static inline bool fix_exists(const char *path, const char *suffix) {
    char full[300];
    struct stat info;
    snprintf(full, sizeof full, "%s%s", path, suffix);
    return stat(full, &info) == 0;
}

static inline unsigned char *fix_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    struct stat info;
    unsigned char *bytes;
    if (file == NULL || fstat(fileno(file), &info) != 0) fail_msg("%s: cannot open", path);
    *size = (size_t)info.st_size;
    bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, file) != *size) fail_msg("%s: cannot read", path);
    fclose(file);
    return bytes;
}

static inline void fix_write(const char *path, const unsigned char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        fail_msg("%s: cannot write", path);
}

/* A whole run at path; its digest into hex. */
static inline void fix_run(const char *path, int64_t steps, bool moe, double clock, char hex[65]) {
    struct run_writer *w = NULL;
    const struct run_begin begin = fix_begin(path, moe);
    const struct run_fact end[] = {{"end", clock > 1 ? "late" : "early"}};
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, steps, moe, clock);
    assert_ok(run_writer_seal(w, "max_steps", end, 1, hex, err));
}

#endif
