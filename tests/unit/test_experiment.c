/* test: rooms=core,train label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/experiment.h"

static const char suites[] = MOE_SOURCE_DIR "/runs/suites";

static moe_status try_load(const char *name, const char *protocol, const char *tier, const char *set,
                           struct experiment **out_experiment, moe_err *err) {
    const char *sets[] = {set};
    const struct experiment_choice choice = {.suites_dir = suites,
                                             .suite = "moe-vs-dense",
                                             .experiment = name,
                                             .protocol = protocol,
                                             .tier = tier,
                                             .seed = 3,
                                             .sets = sets,
                                             .set_count = set != NULL};
    return experiment_load(&choice, out_experiment, err);
}

static struct experiment *load(const char *name, const char *protocol, const char *tier, const char *set) {
    moe_err err = {0};
    struct experiment *e = NULL;
    if (try_load(name, protocol, tier, set, &e, &err) != MOE_OK)
        fail_msg("%s %s %s: %s", name, protocol, tier, err.message);
    return e;
}

static void every_run_of_the_suite_loads(void **state) {
    (void)state;
    static const char *const protocols[] = {"as-published", "corrected"};
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    static const int32_t expected[2][4] = {{5, 5, 5, 5}, {5, 27, 27, 27}};
    moe_err err = {0};
    for (int p = 0; p < 2; p++) {
        for (int t = 0; t < 4; t++) {
            char **names = NULL;
            int32_t count = 0;
            const struct experiment_choice choice = {
                .suites_dir = suites, .suite = "moe-vs-dense", .protocol = protocols[p], .tier = tiers[t]};
            if (experiment_list(&choice, &names, &count, &err) != MOE_OK) fail_msg("%s", err.message);
            for (int32_t i = 0; i < count; i++) {
                struct experiment *e = load(names[i], protocols[p], tiers[t], NULL);
                assert_string_equal(e->name, names[i]);
                experiment_free(e);
            }
            assert_int_equal(count, expected[p][t]);
            assert_string_equal(names[0], "dense");
            assert_string_equal(names[4], "throughput_opt");
            experiment_list_free(names, count);
        }
    }
}

static void the_published_experiments_are_as_published(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int32_t layers, active, batch;
        bool renormalize;
        double dropout, decay_published, decay_corrected, smoothing;
        int64_t parameters;
    } facts[] = {
        {"dense", 0, 1, 16, false, 0.1, 0.01, 0.01, 0, 9924608},
        {"baseline", 2, 1, 16, false, 0.1, 0, 0.01, 0, 17286656},
        {"top2", 2, 2, 16, true, 0.1, 0, 0.01, 0, 17286656},
        {"strong_reg", 2, 1, 16, false, 0.2, 1e-3, 0.1, 0.1, 17286656},
        {"throughput_opt", 2, 1, 32, false, 0.1, 0, 0.01, 0, 17286656},
    };
    for (size_t i = 0; i < 2 * sizeof facts / sizeof *facts; i++) {
        const bool corrected = i % 2 == 1;
        struct experiment *e =
            load(facts[i / 2].name, corrected ? "corrected" : "as-published", "desk", NULL);
        assert_int_equal(e->moe.num_layers, facts[i / 2].layers);
        if (e->moe.num_layers == 2) assert_true(e->moe.layers[0] == 2 && e->moe.layers[1] == 4);
        assert_int_equal(e->moe.num_active_experts, facts[i / 2].active);
        assert_int_equal(e->moe.renormalize, facts[i / 2].renormalize);
        assert_int_equal(e->train.batch_size, facts[i / 2].batch);
        assert_true(e->model.dropout == facts[i / 2].dropout);
        assert_true(e->train.label_smoothing == facts[i / 2].smoothing);
        assert_true(e->train.weight_decay ==
                    (corrected ? facts[i / 2].decay_corrected : facts[i / 2].decay_published));
        assert_int_equal(e->model.expected_parameters, facts[i / 2].parameters);
        assert_int_equal(e->data.source, corrected ? DATA_TEXT : DATA_UNIFORM);
        assert_int_equal(e->train.criterion, corrected ? CRITERION_CE : CRITERION_LOSS);
        assert_int_equal(e->train.eval_label_smoothing, !corrected);
        assert_int_equal(e->train.eval_batch_mean, !corrected);
        assert_true(e->train.lr == 3e-4 && e->train.beta2 == 0.999 && e->train.clip == 1.0);
        assert_true(e->moe.temperature_start == 1.0 && e->moe.temperature_end == 0.5);
        assert_true(e->moe.temperature_epochs == 5 && e->moe.lb_coeff == 0.01 && e->moe.capacity_factor == 0);
        assert_int_equal(e->train.max_epochs, corrected ? 10 : 20); /* the desk tier's budget on real text */
        assert_int_equal(e->train.patience, 3);
        assert_true(e->data.train_tokens == 100000 && e->data.validation_tokens == 10000);
        assert_string_equal(e->source, "A");
        experiment_free(e);
    }
}

static void zero_in_the_file_is_resolved(void **state) {
    (void)state;
    struct experiment *e = load("baseline", "corrected", "smoke", "moe.layers=\"all\"");
    assert_int_equal(e->model.num_key_value_heads, 4);
    assert_int_equal(e->model.head_dim, 16);
    assert_int_equal(e->moe.intermediate_size, 256);
    assert_int_equal(e->train.micro_batch_size, 4);
    assert_int_equal(e->moe.num_layers, 6);
    assert_int_equal(e->moe.layers[5], 5);
    assert_int_equal(e->model.expected_parameters, 0);
    assert_int_equal(experiment_planned_steps(e), 150);
    experiment_free(e);
    e = load("baseline", "corrected", "smoke", "moe.layers=[4, 1]");
    assert_true(e->moe.layers[0] == 1 && e->moe.layers[1] == 4);
    experiment_free(e);
}

static void the_identity_tells_runs_apart(void **state) {
    (void)state;
    struct experiment *a = load("top2", "corrected", "smoke", NULL),
                      *b = load("top2", "corrected", "smoke", NULL);
    struct experiment *seed = load("top2", "corrected", "smoke", "train.seed=4");
    struct experiment *protocol = load("top2", "as-published", "smoke", NULL);
    assert_string_equal(a->sha256, b->sha256);
    assert_int_equal(a->train.seed, 3);
    assert_int_equal(seed->train.seed, 4);
    assert_string_not_equal(a->sha256, seed->sha256);
    assert_string_not_equal(a->sha256, protocol->sha256);
    experiment_free(a);
    experiment_free(b);
    experiment_free(seed);
    experiment_free(protocol);
}

static void a_stored_configuration_comes_back_equal(void **state) {
    (void)state;
    static const char *const names[] = {"dense", "strong_reg", "throughput_opt_lr@train.lr=0.0006"};
    for (size_t i = 0; i < 3; i++) {
        moe_err err = {0};
        struct experiment *e = load(names[i], "corrected", "desk", NULL), *back = NULL;
        if (experiment_from_json(e->json, &back, &err) != MOE_OK) fail_msg("%s", err.message);
        assert_string_equal(e->json, back->json);
        assert_string_equal(e->toml, back->toml);
        assert_string_equal(e->sha256, back->sha256);
        assert_string_equal(e->name, back->name);
        assert_memory_equal(&e->model, &back->model, sizeof e->model);
        assert_memory_equal(&e->moe, &back->moe, sizeof e->moe);
        assert_memory_equal(&e->data, &back->data, sizeof e->data);
        assert_memory_equal(&e->train, &back->train, sizeof e->train);
        experiment_free(e);
        experiment_free(back);
    }
}

/* Cut short or with one byte changed, a stored configuration is an error or another valid one, never a crash.
 */
static void a_damaged_stored_configuration_is_refused(void **state) {
    (void)state;
    moe_err err = {0};
    struct experiment *e = load("top2", "corrected", "smoke", NULL), *back = NULL;
    const size_t length = strlen(e->json);
    char *text = strdup(e->json);
    for (size_t i = 0; i < length; i++) {
        text[i] = 0;
        assert_int_not_equal(experiment_from_json(text, &back, &err), MOE_OK);
        assert_null(back);
        text[i] = (char)(e->json[i] ^ (1 << (i % 7)));
        if (experiment_from_json(text, &back, &err) == MOE_OK) {
            assert_string_not_equal(back->sha256, e->sha256);
            experiment_free(back);
            back = NULL;
        }
        text[i] = e->json[i];
    }
    static const char *const bad[] = {"",
                                      "[]",
                                      "null",
                                      "{\"model\":{\"vocab_size\":null}}",
                                      "{\"model\":[]}",
                                      "{\"what\":\"x\"}",
                                      "{\"suite\":3}",
                                      "{\"model\":{\"vocab_size\":{}}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(experiment_from_json(bad[i], &back, &err), MOE_OK);
    free(text);
    experiment_free(e);
}

static void impossible_combinations_are_refused_with_advice(void **state) {
    (void)state;
    static const struct {
        const char *set, *first, *second;
    } cases[] = {
        {"moe.num_experts=1", "moe.num_active_experts = 2 (", "more than moe.num_experts = 1 (--set)"},
        {"model.num_attention_heads=5", "model.hidden_size = 64 (",
         "no multiple of model.num_attention_heads = 5"},
        {"model.num_key_value_heads=3", "model.num_attention_heads = 4 (",
         "model.num_key_value_heads = 3 (--set)"},
        {"moe.layers=[2, 6]", "moe.layers = [2,6] (--set)", "model.num_hidden_layers = 6"},
        {"moe.layers=[4, 2, 4]", "moe.layers = [2,4,4]", "twice"},
        {"model.num_hidden_layers=3", "moe.layers = [2,4]", "model.num_hidden_layers = 3"},
        {"data.sequence_length=65", "data.sequence_length = 65", "model.max_position_embeddings = 64"},
        {"train.micro_batch_size=3", "train.batch_size = 4", "train.micro_batch_size = 3"},
        {"train.micro_batch_size=8", "train.batch_size = 4", "train.micro_batch_size = 8"},
        {"train.eval_steps=151", "train.patience = 3", "train.eval_steps = 151"},
        {"train.warmup_steps=151", "train.warmup_steps = 151", "train.max_epochs = 6"},
        {"moe.dense_epochs=6", "moe.dense_epochs = 6", "train.max_epochs = 6"},
        {"moe.temperature_epochs=0", "moe.temperature_end = 0.5", "moe.temperature_epochs = 0"},
        {"moe.capacity_factor=0.01", "moe.capacity_factor = 0.01", "less than one slot"},
        {"data.train_tokens=64", "data.train_tokens = 64", "data.sequence_length = 64"},
        {"data.train_tokens=0", "data.train_tokens = 0", "data.source = \"stories\""},
        {"data.validation_tokens=0", "data.validation_tokens = 0", "data.source = \"stories\""},
        {"data.validation_tokens=10", "data.validation_tokens = 10", "data.sequence_length = 64"},
        {"data.source=text", "data.train_files = []", "data.source = \"text\" (--set)"},
        {"model.num_attention_heads=65536", "model.hidden_size = 64", "no multiple"},
        {"model.head_dim=65536", NULL, NULL}, /* large, but possible */
        {"train.batch_size=1048576", NULL, NULL},
        {"moe.num_experts=4096", NULL, NULL},
        {"moe.capacity_factor=-1", "--set: moe.capacity_factor: -1 is out of range", NULL},
        {"model.dropout=1.0", "--set: model.dropout: 1 is out of range; expected a number in [0, 1)", NULL},
        {"train.lr=0", "--set: train.lr: 0 is out of range; expected a number in (0, 1000]", NULL},
        {"model.norm_eps=0", "--set: model.norm_eps: 0 is out of range", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        struct experiment *e = NULL;
        const moe_status status = try_load("top2", "corrected", "smoke", cases[i].set, &e, &err);
        experiment_free(e);
        if (cases[i].first == NULL) {
            if (status != MOE_OK) fail_msg("%s: %s", cases[i].set, err.message);
            continue;
        }
        assert_int_equal(status, MOE_ECONFIG);
        if (strncmp(err.message, cases[i].first, strlen(cases[i].first)) != 0 ||
            (cases[i].second != NULL && strstr(err.message, cases[i].second) == NULL))
            fail_msg("%s: %s", cases[i].set, err.message);
    }
}

static void checks_between_sections_that_need_several_keys(void **state) {
    (void)state;
    moe_err err = {0};
    struct experiment *e = load("top2", "corrected", "desk", NULL);
    assert_int_equal(experiment_validate(e, &err), MOE_OK);
    e->model.positions = POSITIONS_ROPE;
    e->data.sequence_length = 4096; /* no learned positions, no limit */
    assert_int_equal(experiment_validate(e, &err), MOE_OK);
    e->model.head_dim = 31;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "model.head_dim = 31 is odd"));
    e->model.head_dim = 32;
    e->data.tokenizer = TOKENIZER_BYTE;
    e->model.vocab_size = 255;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "bytes need at least 256"));
    e->data.tokenizer = TOKENIZER_SENTENCEPIECE;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "data.tokenizer_file"));
    e->data.tokenizer = TOKENIZER_WORD;
    e->data.num_validation_files = 0; /* held out from the training text */
    assert_int_equal(experiment_validate(e, &err), MOE_OK);
    e->data.num_train_files = 0;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "data.train_files"));
    e->data.num_train_files = 1;
    e->train.warmup_steps = 1000000;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    e->train.allow_unfinished_warmup = true;
    assert_int_equal(experiment_validate(e, &err), MOE_OK);
    e->moe.num_active_experts = 9;
    assert_int_equal(experiment_validate(e, &err), MOE_ECONFIG);
    e->moe.num_layers = 0; /* a dense model does not care */
    assert_int_equal(experiment_validate(e, &err), MOE_OK);
    experiment_free(e);
}

static void every_key_has_a_sound_row(void **state) {
    (void)state;
    moe_err err = {0};
    for (size_t i = 0; i < EXPERIMENT_KEYS.count; i++) {
        const struct config_key *key = &EXPERIMENT_KEYS.keys[i];
        json_t *value = NULL;
        assert_int_equal(config_parse_value(key->value, "default", &value, &err), MOE_OK);
        if (config_check(&EXPERIMENT_KEYS, key->name, value, "default", &err) != MOE_OK)
            fail_msg("%s", err.message);
        json_decref(value);
        assert_true(strlen(key->doc) > 10 && key->doc[strlen(key->doc) - 1] == '.');
        if (key->type == CONFIG_INT32 || key->type == CONFIG_INT32_LIST)
            assert_true(key->max > 0 && key->max <= INT32_MAX && key->min >= INT32_MIN);
        if (key->type == CONFIG_INT64) assert_true(key->max > 0 && key->max <= 1e18);
        if (key->type == CONFIG_STRING || key->type == CONFIG_STRING_LIST) assert_true(key->capacity > 0);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(key->name, EXPERIMENT_KEYS.keys[j].name);
            assert_int_not_equal(key->offset, EXPERIMENT_KEYS.keys[j].offset);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_of_the_suite_loads),
        cmocka_unit_test(the_published_experiments_are_as_published),
        cmocka_unit_test(zero_in_the_file_is_resolved),
        cmocka_unit_test(the_identity_tells_runs_apart),
        cmocka_unit_test(a_stored_configuration_comes_back_equal),
        cmocka_unit_test(a_damaged_stored_configuration_is_refused),
        cmocka_unit_test(impossible_combinations_are_refused_with_advice),
        cmocka_unit_test(checks_between_sections_that_need_several_keys),
        cmocka_unit_test(every_key_has_a_sound_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
