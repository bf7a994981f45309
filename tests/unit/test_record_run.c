/* test: rooms=core,record label=fast */
#include "test_record_fixture.h"

#include <sys/wait.h>

#include "record/routing_stats.h"

static void test_sealed_run_reads_back(void **state) {
    char path[256], hex[65], again[65];
    struct run_reader *r = NULL;
    const struct run_info *info;
    double *values;
    int64_t dims[4];
    int32_t rank;
    (void)state;
    fix_path(path, "whole.h5");
    fix_run(path, 25, true, 0.25, hex);
    assert_ok(run_reader_open(path, &r, err));
    info = run_reader_info(r);
    assert_string_equal(info->suite, "suite");
    assert_string_equal(info->experiment, "baseline");
    assert_string_equal(info->status, "complete");
    assert_string_equal(info->outcome, "max_steps");
    assert_string_equal(info->digest, hex);
    assert_int_equal(info->seed, 7);
    assert_int_equal(info->rows[RUN_TRAIN], 25);
    assert_int_equal(info->rows[RUN_EVAL], 4);
    assert_int_equal(info->rows[RUN_EPOCH], 2);
    assert_int_equal(info->rows[RUN_ROUTING], 25);
    assert_int_equal(info->rows[RUN_ROUTING_EVAL], 2);
    assert_string_equal(run_reader_domain(r, 1), "märchen");
    assert_null(run_reader_domain(r, 2));
    assert_int_equal(run_reader_layer_number(r, 1), 4);
    assert_int_equal(run_reader_layer_number(r, -1), -1);
    assert_string_equal(run_reader_fact(r, "host"), "test");
    assert_string_equal(run_reader_fact(r, "end"), "early");
    assert_null(run_reader_fact(r, "nothing"));
    assert_string_equal(run_reader_config_json(r), fix_begin(path, true).config_json);
    assert_ok(run_reader_digest(r, again, err));
    assert_string_equal(again, hex);

    assert_ok(run_reader_array(r, "/train/loss_ce", &values, dims, &rank, err));
    assert_int_equal(rank, 1);
    assert_int_equal(dims[0], 25);
    for (int64_t i = 0; i < 25; i++)
        assert_true(values[i] == fix_value(i + 1, 2));
    free(values);
    assert_ok(run_reader_array(r, "/routing/batch_hist", &values, dims, &rank, err));
    assert_int_equal(rank, 4);
    assert_int_equal(dims[1] * 1000000 + dims[2] * 1000 + dims[3], 2008016);
    assert_true(values[24 * 2 * 8 * 16 + 5] == (int)(16 * fix_value(25, 305)));
    free(values);
    run_reader_close(r);
}

static void test_missing_dataset_names_the_others(void **state) {
    char path[256], hex[65];
    struct run_reader *r = NULL;
    moe_err why = {0};
    double *values;
    int64_t dims[4];
    int32_t rank;
    (void)state;
    fix_path(path, "names.h5");
    fix_run(path, 3, false, 0.25, hex);
    assert_ok(run_reader_open(path, &r, err));
    assert_int_equal(run_reader_array(r, "/train/los", &values, dims, &rank, &why), MOE_ENOTFOUND);
    assert_non_null(strstr(why.message, "/train/loss_ce"));
    assert_null(strstr(why.message, "/eval/"));
    assert_int_equal(run_reader_array(r, "/routing/load", &values, dims, &rank, &why), MOE_ENOTFOUND);
    assert_non_null(strstr(why.message, "/train/loss_ce"));
    run_reader_close(r);
}

static void test_states_and_refusals(void **state) {
    char path[256], hex[65];
    enum run_state what;
    struct run_writer *w = NULL, *other = NULL;
    moe_err why = {0};
    const struct run_train_row early = {.step = 1};
    (void)state;
    fix_path(path, "new/folder/states.h5");
    const struct run_begin begin = fix_begin(path, true);
    assert_ok(run_state_of(path, &what, err));
    assert_int_equal(what, RUN_ABSENT);
    assert_ok(run_writer_begin(&begin, &w, err));
    assert_ok(run_state_of(path, &what, err));
    assert_int_equal(what, RUN_RESUMABLE);
    assert_int_equal(run_writer_begin(&begin, &other, &why), MOE_EBUSY);
    assert_non_null(strstr(why.message, "process "));
    fix_steps(w, 1, 2, true, 0.5);
    assert_int_equal(run_writer_train(w, &early, &why), MOE_EARG);
    assert_ok(run_writer_seal(w, "stopped", NULL, 0, hex, err));
    assert_ok(run_state_of(path, &what, err));
    assert_int_equal(what, RUN_COMPLETE);
    assert_int_equal(run_writer_begin(&begin, &other, &why), MOE_EEXIST);
    assert_int_equal(run_writer_resume(&begin, 1, &other, &why), MOE_EEXIST);
    assert_false(fix_exists(path, ".live"));
    assert_false(fix_exists(path, ".lock"));
    assert_false(fix_exists(path, ".tmp"));
}

static void test_resumed_run_has_the_same_digest(void **state) {
    char straight[256], resumed[256], hex[65], hex2[65];
    struct run_writer *w = NULL;
    struct run_reader *r = NULL;
    (void)state;
    fix_path(straight, "straight.h5");
    fix_path(resumed, "resumed.h5");
    fix_run(straight, 25, true, 0.25, hex);
    struct run_begin begin = fix_begin(resumed, true);
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, 23, true, 3);
    run_writer_close(w);
    const struct run_fact elsewhere[] = {{"host", "elsewhere"}, {"threads", "1"}};
    begin.facts = elsewhere;
    assert_ok(run_writer_resume(&begin, 10, &w, err));
    fix_steps(w, 11, 25, true, 5);
    assert_ok(run_writer_seal(w, "max_steps", NULL, 0, hex2, err));
    assert_string_equal(hex, hex2);
    assert_ok(run_reader_open(resumed, &r, err));
    assert_string_equal(run_reader_fact(r, "host"), "test");
    assert_string_equal(run_reader_fact(r, "resume1.host"), "elsewhere");
    assert_string_equal(run_reader_fact(r, "resume1.step"), "10");
    assert_null(run_reader_fact(r, "resume1.threads"));
    assert_int_equal(run_reader_info(r)->rows[RUN_EPOCH], 2);
    run_reader_close(r);
}

/* More facts than an object's header holds in line. */
static void test_many_facts(void **state) {
    enum { FACTS = 200 };
    char path[256], names[FACTS][16], *value = malloc(30001);
    struct run_fact facts[FACTS];
    const struct run_fact *read;
    struct run_writer *w = NULL;
    struct run_reader *r = NULL;
    moe_err why = {0};
    (void)state;
    memset(value, 'x', 30000);
    value[30000] = 0;
    for (int i = 0; i < FACTS; i++) {
        snprintf(names[i], sizeof names[i], "fact%d", i);
        facts[i] = (struct run_fact){names[i], i == 7 ? value : i == 8 ? "" : names[i]};
    }
    fix_path(path, "facts.h5");
    struct run_begin begin = fix_begin(path, false);
    begin.facts = facts;
    begin.fact_count = FACTS;
    assert_ok(run_writer_begin(&begin, &w, err));
    fix_steps(w, 1, 2, false, 0.5);
    assert_ok(run_writer_seal(w, "stopped", facts, FACTS, NULL, err));
    assert_ok(run_reader_open(path, &r, err));
    assert_int_equal(run_reader_facts(r, &read), FACTS);
    for (int i = 0; i < FACTS; i++)
        assert_string_equal(run_reader_fact(r, names[i]), facts[i].value);
    run_reader_close(r);
    fix_path(path, "unnamed.h5");
    begin.facts = (const struct run_fact[]){{"", "value"}};
    begin.fact_count = 1;
    assert_int_equal(run_writer_begin(&begin, &w, &why), MOE_EARG);
    free(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_run_reads_back),
        cmocka_unit_test(test_missing_dataset_names_the_others),
        cmocka_unit_test(test_states_and_refusals),
        cmocka_unit_test(test_resumed_run_has_the_same_digest),
        cmocka_unit_test(test_many_facts),
    };
    return cmocka_run_group_tests(tests, NULL, fix_remove_folder);
}
