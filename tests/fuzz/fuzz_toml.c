/* fuzz_toml.c - any bytes as a suite's file, or (if they begin with '{') as a stored configuration: an error
 * or experiments, never a crash; and what loads is stored and read back as the same.
 *
 * fuzz: rooms=core,train */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/experiment_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what, const moe_err *err) {
    if (condition) return;
    fprintf(stderr, "fuzz_toml: %s: %s\n", what, err->message);
    abort();
}

static void read_back(const struct experiment *e) {
    moe_err err = {0};
    struct experiment *back = NULL;
    require(experiment_from_json(e->json, &back, &err) == MOE_OK, "a stored configuration does not read back",
            &err);
    require(strcmp(e->json, back->json) == 0, "a stored configuration changes", &err);
    experiment_free(back);
}

static void try_stored(const uint8_t *data, size_t size) {
    moe_err err = {0};
    struct experiment *e = NULL;
    char *text = strndup((const char *)data, size);
    if (text != NULL && experiment_from_json(text, &e, &err) == MOE_OK) read_back(e);
    experiment_free(e);
    free(text);
}

static void try_suite(const uint8_t *data, size_t size) {
    enum { RUNS = 4 };
    moe_err err = {0};
    struct suite_file *suite = NULL;
    struct suite_file_run *runs = NULL;
    const char *protocol, *tier;
    int32_t count = 0;
    if (suite_file_parse((const char *)data, size, "fuzz", &suite, &err) != MOE_OK) {
        require(err.message[0] != 0, "a failure without a message", &err);
        return;
    }
    require(suite_file_pick(suite, "protocol", NULL, &protocol, &err) == MOE_OK, "no protocol", &err);
    require(suite_file_pick(suite, "tier", NULL, &tier, &err) == MOE_OK, "no tier", &err);
    if (suite_file_runs(suite, protocol, tier, &runs, &count, &err) != MOE_OK) count = 0;
    for (int32_t i = 0; i < count && i < RUNS; i++) {
        struct experiment *e = NULL;
        const struct experiment_choice choice = {
            .experiment = runs[i].name, .protocol = protocol, .tier = tier};
        if (experiment_from_suite(suite, &choice, &e, &err) == MOE_OK) read_back(e);
        experiment_free(e);
    }
    suite_file_runs_free(runs, count);
    suite_file_free(suite);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == '{')
        try_stored(data, size);
    else
        try_suite(data, size);
    return 0;
}
