/* test: rooms=core label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/config.h"
#include "core/text.h"
#include "core/toml_shim.h"

enum shape { ROUND, SQUARE };

struct thing {
    int32_t width;
    int64_t count;
    uint64_t seed;
    double rate;
    bool on;
    enum shape shape;
    char label[8];
    int32_t layers[4];
    int32_t num_layers;
    char files[2][8];
    int32_t num_files;
};

static const char *const shapes[] = {"round", "square", NULL};
static const char *const everything[] = {"all", NULL};
#define AT(key, field) .name = key, .offset = offsetof(struct thing, field), .unit = "", .doc = "A key."
static const struct config_key keys[] = {
    {AT("a.width", width), .type = CONFIG_INT32, .min = 1, .max = 100, .value = "10"},
    {AT("a.count", count), .type = CONFIG_INT64, .min = 0, .max = 1e15, .value = "0"},
    {AT("a.seed", seed), .type = CONFIG_UINT64, .min = 0, .max = 9.3e18, .value = "1"},
    {AT("b.rate", rate), .type = CONFIG_FLOAT, .min = 0, .max = 1, .open = CONFIG_BELOW_MAX, .value = "0.25"},
    {AT("b.on", on), .type = CONFIG_BOOL, .value = "true"},
    {AT("b.shape", shape), .type = CONFIG_ENUM, .words = shapes, .value = "square"},
    {AT("b.label", label), .type = CONFIG_STRING, .capacity = 8, .value = "\"\""},
    {AT("b.layers", layers), .type = CONFIG_INT32_LIST, .count_offset = offsetof(struct thing, num_layers),
     .capacity = 4, .min = 0, .max = 9, .words = everything, .value = "[]"},
    {AT("b.files", files), .type = CONFIG_STRING_LIST, .count_offset = offsetof(struct thing, num_files),
     .capacity = 2, .item_size = 8, .value = "[]"},
};
static const struct config_schema schema = {keys, sizeof keys / sizeof *keys};

/* Sets each of the assignments (NULL-terminated), fills, and returns the first failure. */
static moe_status set_and_fill(const char *const *assignments, struct thing *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct config *config = NULL;
    moe_try(config_new(&config, err));
    for (int i = 0; assignments[i] != NULL; i++)
        moe_try(config_set(config, &schema, assignments[i], err));
    *out = (struct thing){0};
    moe_try(config_fill(config, &schema, out, err));
out:
    config_free(config);
    return status;
}

static void defaults_fill_what_nobody_sets(void **state) {
    (void)state;
    moe_err err = {0};
    struct thing t;
    assert_int_equal(set_and_fill((const char *const[]){NULL}, &t, &err), MOE_OK);
    assert_int_equal(t.width, 10);
    assert_true(t.rate == 0.25 && t.on && t.shape == SQUARE);
    assert_int_equal(t.seed, 1);
    assert_int_equal(t.num_layers, 0);
}

static void values_of_every_type_arrive(void **state) {
    (void)state;
    moe_err err = {0};
    struct thing t;
    static const char *const sets[] = {"a.width=7",
                                       "a.count=1000000000000",
                                       "a.seed=9223372036854775807",
                                       "b.rate=0",
                                       "b.on=false",
                                       "b.shape=round",
                                       "b.label=\"a = b\"",
                                       "b.layers=[3, 1]",
                                       "b.files=[\"x\", 'y']",
                                       "a.width=8",
                                       NULL};
    if (set_and_fill(sets, &t, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_int_equal(t.width, 8); /* the later one wins */
    assert_true(t.count == 1000000000000LL && t.seed == INT64_MAX);
    assert_true(t.rate == 0.0 && !t.on && t.shape == ROUND); /* an integer is fine for a float */
    assert_string_equal(t.label, "a = b");
    assert_int_equal(t.num_layers, 2);
    assert_int_equal(t.layers[0], 3);
    assert_int_equal(t.layers[1], 1);
    assert_int_equal(t.num_files, 2);
    assert_string_equal(t.files[1], "y");
    assert_int_equal(set_and_fill((const char *const[]){"b.layers=all", NULL}, &t, &err), MOE_OK);
    assert_int_equal(t.num_layers, -1);
}

static void mistakes_name_the_place_and_the_way_out(void **state) {
    (void)state;
    static const struct {
        const char *set, *message;
    } cases[] = {
        {"a.widht=1", "--set: no such key: a.widht; did you mean a.width?"},
        {"a.wi=1", "--set: no such key: a.wi; did you mean a.width?"},
        {"width=1", "--set: no such key: width; did you mean a.width?"},
        {"b.width=1", "--set: no such key: b.width; did you mean a.width?"},
        {"b.unheardof=1",
         "--set: no such key: b.unheardof; there are: b.rate, b.on, b.shape, b.label, b.layers, b.files"},
        {"zzz=1", "--set: no such key: zzz; keys are SECTION.KEY, such as a.width"},
        {"a.width=1.5", "--set: a.width: this is a number with a fraction; expected an integer in [1, 100]"},
        {"a.width=true", "--set: a.width: this is true or false; expected an integer in [1, 100]"},
        {"a.width=0", "--set: a.width: 0 is out of range; expected an integer in [1, 100]"},
        {"a.width=99999999999",
         "--set: a.width: 99999999999 is out of range; expected an integer in [1, 100]"},
        {"a.seed=-1", "--set: a.seed: -1 is out of range; expected an integer of at least 0"},
        {"b.rate=1", "--set: b.rate: 1 is out of range; expected a number in [0, 1)"},
        {"b.rate=word", "--set: b.rate: this is a string; expected a number in [0, 1)"},
        {"b.shape=sqare",
         "--set: b.shape: \"sqare\" is not known (did you mean \"square\"?); expected one of "
         "\"round\", \"square\""},
        {"b.shape=1", "--set: b.shape: this is an integer; expected one of \"round\", \"square\""},
        {"b.label=12345678x", "--set: b.label: 9 bytes are more than the 7 that fit; expected a string"},
        {"b.layers=[1, 10]",
         "--set: b.layers: 10 is out of range; expected a list of integers or \"all\" in [0, 9]"},
        {"b.layers=[1, 2, 3, 4, 5]",
         "--set: b.layers: 5 elements are more than 4; expected a list of integers or \"all\" in [0, 9]"},
        {"b.files=[1]", "--set: b.files: this is an integer; expected a list of strings"},
        {"b.files=x", "--set: b.files: this is a string; expected a list of strings"},
        {"b.on=1", "--set: b.on: this is an integer; expected true or false"},
        {"b.rate", "--set: 'b.rate' is not of the form SECTION.KEY=VALUE"},
        {"=1", "--set: '=1' is not of the form SECTION.KEY=VALUE"},
        {"b.rate=", "--set: '' is not a value; write a number, true, false, a \"string\" or a [list]"},
        {"b.rate=0.1\nb = 2",
         "--set: '0.1\nb = 2' is not a value; write a number, true, false, a \"string\" or a [list]"},
        {"b.rate=nan", "--set: b.rate: this is a string; expected a number in [0, 1)"},
        {"b.label={a=1}", "--set: b.label: this is a table; expected a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        struct thing t;
        assert_int_equal(set_and_fill((const char *const[]){cases[i].set, NULL}, &t, &err), MOE_ECONFIG);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void canonical_text_is_unique_and_reads_back(void **state) {
    (void)state;
    moe_err err = {0};
    struct thing t;
    char *text = NULL, *toml = NULL;
    static const char *const sets[] = {"b.label='q\"\\'", "b.rate=1e-5", "b.layers=[1, 2]", NULL};
    assert_int_equal(set_and_fill(sets, &t, &err), MOE_OK);
    json_t *json = config_to_json(&schema, &t);
    assert_int_equal(config_canonical_json(json, &text, &err), MOE_OK);
    assert_string_equal(
        text, "{\"a\":{\"count\":0,\"seed\":1,\"width\":10},\"b\":{\"files\":[],\"label\":\"q\\\"\\\\\","
              "\"layers\":[1,2],\"on\":true,\"rate\":1e-05,\"shape\":\"square\"}}");
    assert_int_equal(config_canonical_toml(json, &toml, &err), MOE_OK);
    assert_string_equal(toml,
                        "[a]\ncount = 0\nseed = 1\nwidth = 10\n\n[b]\nfiles = []\nlabel = \"q\\\"\\\\\"\n"
                        "layers = [1,2]\non = true\nrate = 1e-05\nshape = \"square\"\n");

    json_t *from_toml = NULL;
    assert_int_equal(toml_parse(toml, strlen(toml), "dump", &from_toml, NULL, &err), MOE_OK);
    assert_true(json_equal(json, from_toml));
    json_t *from_json = json_loads(text, 0, NULL);
    assert_true(json_equal(json, from_json));
    json_decref(json);
    json_decref(from_toml);
    json_decref(from_json);
    free(text);
    free(toml);
}

static void whole_floats_stay_floats(void **state) {
    (void)state;
    moe_err err = {0};
    char *text = NULL;
    json_t *json = json_pack("[f,f,i,f]", 1.0, 10000.0, 1, 1e300);
    assert_int_equal(config_canonical_json(json, &text, &err), MOE_OK);
    assert_string_equal(text, "[1.0,10000.0,1,1e+300]");
    json_decref(json);
    free(text);
}

static void messages_show_values_with_their_places(void **state) {
    (void)state;
    moe_err err = {0};
    struct config *config = NULL;
    struct thing t = {0};
    char text[200];
    json_t *value = json_integer(12);
    assert_int_equal(config_new(&config, &err), MOE_OK);
    assert_int_equal(config_put(config, &schema, "a.width", value, "s.toml:4", &err), MOE_OK);
    assert_int_equal(config_put(config, &schema, "a.width", json_false(), "s.toml:5", &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "s.toml:5: a.width:"));
    assert_int_equal(config_fill(config, &schema, &t, &err), MOE_OK);
    config_describe(config, &schema, &t, "a.width", text, sizeof text);
    assert_string_equal(text, "a.width = 12 (s.toml:4)");
    config_describe(config, &schema, &t, "b.shape", text, sizeof text);
    assert_string_equal(text, "b.shape = \"square\" (default)");
    config_describe(NULL, &schema, &t, "b.rate", text, sizeof text);
    assert_string_equal(text, "b.rate = 0.25");
    json_decref(value);
    config_free(config);
}

static void the_documentation_lists_every_key(void **state) {
    (void)state;
    moe_err err = {0};
    char *text = NULL;
    assert_int_equal(config_document(&schema, &text, &err), MOE_OK);
    for (size_t i = 0; i < schema.count; i++)
        assert_non_null(strstr(text, schema.keys[i].name));
    assert_non_null(strstr(text, "b.rate = 0.25\n    a number in [0, 1). A key.\n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_what_nobody_sets),
        cmocka_unit_test(values_of_every_type_arrive),
        cmocka_unit_test(mistakes_name_the_place_and_the_way_out),
        cmocka_unit_test(canonical_text_is_unique_and_reads_back),
        cmocka_unit_test(whole_floats_stay_floats),
        cmocka_unit_test(messages_show_values_with_their_places),
        cmocka_unit_test(the_documentation_lists_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
