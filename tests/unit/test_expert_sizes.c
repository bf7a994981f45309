/* test: rooms=core,model,train label=fast */
/* Experts by size: what granularity, sparsity and generalist resolve to, which layers do not exist, and the
 * parameters that source C publishes for such models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/decoder.h"
#include "train/experiment.h"

/* dolma2's vocabulary, rounded up to a multiple of 128 */
#define VOCABULARY 100352

/* Source C's active sizes. */
static const struct size {
    const char *name;
    int32_t hidden, layers, heads;
} sizes[] = {
    {"10M", 48, 3, 3},     {"20M", 96, 4, 4},     {"50M", 240, 5, 6},
    {"80M", 336, 8, 7},    {"100M", 384, 9, 8},   {"110M", 432, 9, 9},
    {"200M", 640, 10, 10}, {"300M", 832, 12, 13}, {"500M", 1120, 14, 14},
};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* Configuration of one of these backbones; moe is the text of the members of [moe]. */
static moe_status read(const struct size *size, const char *moe, struct experiment **out, moe_err *err) {
    static const char format[] =
        "{\"suite\": \"s\", \"experiment\": \"e\", \"protocol\": \"p\", \"tier\": \"t\", \"model\": "
        "{\"vocab_size\": %d, \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
        "\"num_attention_heads\": %d, \"norm\": \"rmsnorm\", \"norm_placement\": \"sublayer_output\", "
        "\"norm_eps\": 1e-6, \"positions\": \"rope\", \"rope_theta\": 500000.0, \"ffn\": \"swiglu\", "
        "\"attention_bias\": false, \"mlp_bias\": false, \"qk_norm\": true}, \"moe\": {%s}, "
        "\"train\": {\"micro_batch_size\": 1}}";
    char json[2048];
    snprintf(json, sizeof json, format, VOCABULARY, size->hidden, 4 * size->hidden, size->layers, size->heads,
             moe);
    return experiment_from_json(json, out, err);
}

static struct experiment *must_read(const struct size *size, const char *moe) {
    struct experiment *e = NULL;
    moe_err err = {0};
    if (read(size, moe, &e, &err) != MOE_OK) fail_msg("%s: %s", moe, err.message);
    return e;
}

static struct decoder_counts counts_of(const struct experiment *e) {
    struct decoder_counts counts;
    assert_int_equal(decoder_count(&e->model, &e->moe, 1, 512, &counts, NULL), MOE_OK);
    return counts;
}

static struct decoder_counts count(const struct size *size, const char *moe) {
    struct experiment *e = must_read(size, moe);
    const struct decoder_counts counts = counts_of(e);
    experiment_free(e);
    return counts;
}

/* Totals without routers, whose size depends on the number of experts and which the source leaves out. */
static void published_totals_come_out(void **state) {
    static const struct {
        size_t size;
        int32_t sparsity;
        int64_t parameters;
    } rows[] = {{0, 64, 14970480}, {1, 64, 47728224}, {2, 256, 934062000}, {7, 64, 6579789632}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char moe[128];
        snprintf(moe, sizeof moe, "\"layers\": \"all\", \"granularity\": 0.125, \"sparsity\": %d.0",
                 rows[i].sparsity);
        const struct decoder_counts counts = count(&sizes[rows[i].size], moe);
        if (counts.total - counts.router != rows[i].parameters)
            fail_msg("%s at s = %d: %lld parameters, published %lld", sizes[rows[i].size].name,
                     rows[i].sparsity, (long long)(counts.total - counts.router),
                     (long long)rows[i].parameters);
    }
}

/* The names of the sizes count both embeddings; no name is off by more than a fifth. */
static void names_of_sizes_are_active_parameters(void **state) {
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        const double named = 1e6 * atof(sizes[i].name);
        const struct decoder_counts counts = count(&sizes[i], "\"layers\": []");
        assert_true((double)counts.total > 0.8 * named && (double)counts.total < 1.2 * named);
    }
}

/* Total = dense + (s - 1) 12 L d^2 and active = dense, whatever the granularity and with two groups too. */
static void size_does_not_depend_on_the_slicing(void **state) {
    static const char *const slicings[] = {
        "\"granularity\": 1.0",
        "\"granularity\": 0.25",
        "\"granularity\": 0.015625",
        "\"granularity\": 0.5, \"granularity_2\": 0.0625",
        "\"granularity\": 0.125, \"granularity_2\": 0.03125",
    };
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        const int64_t width = sizes[i].hidden, ffns = 12 * sizes[i].layers * width * width;
        const struct decoder_counts dense = count(&sizes[i], "\"layers\": []");
        for (size_t k = 0; k < sizeof slicings / sizeof slicings[0]; k++) {
            for (int32_t sparsity = 1; sparsity <= 64; sparsity *= 8) {
                char moe[256];
                snprintf(moe, sizeof moe, "\"layers\": \"all\", \"sparsity\": %d.0, %s", sparsity,
                         slicings[k]);
                const struct decoder_counts counts = count(&sizes[i], moe);
                assert_int_equal(counts.total - counts.router, dense.total + (sparsity - 1) * ffns);
                assert_int_equal(counts.active - counts.router, dense.total);
                assert_int_equal(counts.experts, sparsity * ffns);
            }
        }
    }
}

static void counts_and_widths_follow_from_sizes(void **state) {
    (void)state;
    struct experiment *e =
        must_read(&sizes[2], "\"layers\": \"all\", \"granularity\": 0.0625, \"sparsity\": 32.0");
    assert_int_equal(e->moe.num_experts, 512);
    assert_int_equal(e->moe.num_active_experts, 16);
    assert_int_equal(e->moe.intermediate_size, 60);
    assert_int_equal(e->moe.num_experts_2, 0);
    experiment_free(e);
    /* a pair of the source's table: k = (1, 2), n = (4, 8) at s = 4 */
    e = must_read(&sizes[2], "\"layers\": \"all\", \"granularity\": 0.5, \"granularity_2\": 0.25, "
                             "\"sparsity\": 4.0");
    assert_int_equal(e->moe.num_experts, 4);
    assert_int_equal(e->moe.num_active_experts, 1);
    assert_int_equal(e->moe.intermediate_size, 480);
    assert_int_equal(e->moe.num_experts_2, 8);
    assert_int_equal(e->moe.num_active_experts_2, 2);
    assert_int_equal(e->moe.intermediate_size_2, 240);
    experiment_free(e);
    /* a generalist takes its share of the active budget, and is no part of the sparsity */
    e = must_read(&sizes[0], "\"layers\": \"all\", \"granularity\": 0.125, \"sparsity\": 8.0, "
                             "\"generalist_granularity\": 0.25");
    assert_int_equal(e->moe.num_experts, 64);
    assert_int_equal(e->moe.num_active_experts, 6);
    assert_int_equal(e->moe.intermediate_size, 24);
    assert_int_equal(e->moe.generalist_size, 48);
    const struct decoder_counts counts = counts_of(e), dense = count(&sizes[0], "\"layers\": []");
    assert_int_equal(counts.active - counts.router, dense.total);
    assert_int_equal(counts.shared_experts, dense.ffn / 4);
    experiment_free(e);
    /* source C as published: the generalist's form has one norm more in each layer */
    e = must_read(&sizes[0], "\"layers\": \"all\", \"granularity\": 0.125, \"sparsity\": 8.0, "
                             "\"generalist_granularity\": 0.25, \"published_generalist_input\": true");
    assert_int_equal(counts_of(e).total, counts.total + 3 * 48);
    experiment_free(e);
}

/* s = 1 is the dense layer's work done by slices that a router weighs. */
static void reweighted_slices_have_no_inactive_expert(void **state) {
    (void)state;
    struct experiment *e = must_read(&sizes[1], "\"layers\": \"all\", \"granularity\": 0.0625");
    assert_int_equal(e->moe.num_experts, 16);
    assert_int_equal(e->moe.num_active_experts, 16);
    experiment_free(e);
}

/* A stored configuration comes back as it was, and states nothing that it does not use. */
static void configurations_keep_their_identity(void **state) {
    static const char *const later[] = {"granularity",         "sparsity",       "experts_2",
                                        "intermediate_size_2", "generalist",     "aux_mean_over_layers",
                                        "drop_in_evaluation",  "published_bias", "published_generalist"};
    (void)state;
    struct experiment *e = must_read(&sizes[0], "\"layers\": \"all\", \"num_experts\": 4");
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        assert_null(strstr(e->json, later[i]));
    experiment_free(e);
    e = must_read(&sizes[0], "\"layers\": \"all\", \"granularity\": 0.5, \"granularity_2\": 0.25, "
                             "\"sparsity\": 2.0");
    struct experiment *again = NULL;
    moe_err err = {0};
    if (experiment_from_json(e->json, &again, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_string_equal(again->json, e->json);
    experiment_free(again);
    experiment_free(e);
}

static void layers_that_do_not_exist_are_refused(void **state) {
    static const struct {
        const char *moe, *words[2];
    } cases[] = {
        {"\"granularity\": 0.3", {"moe.granularity", "whole number of active experts"}},
        {"\"granularity\": 0.5, \"sparsity\": 1.25", {"moe.sparsity", "whole number of experts"}},
        {"\"granularity\": 0.5, \"generalist_granularity\": 0.25",
         {"moe.generalist_granularity", "whole number of active experts"}},
        {"\"granularity\": 0.015625, \"sparsity\": 256.0", {"moe.sparsity", "4096"}},
        {"\"granularity\": 1.0, \"granularity_2\": 0.5", {"moe.granularity", "whole number"}},
        {"\"granularity_2\": 0.5", {"moe.granularity_2", "moe.granularity"}},
        {"\"sparsity\": 2.0", {"moe.sparsity", "moe.granularity"}},
        {"\"granularity\": 0.5, \"num_experts\": 3", {"moe.num_experts", "follows from moe.granularity"}},
        {"\"granularity\": 0.5, \"intermediate_size\": 95", {"moe.intermediate_size", "moe.granularity"}},
        {"\"num_active_experts_2\": 1", {"moe.num_active_experts_2", "moe.num_experts_2"}},
        {"\"num_experts_2\": 4", {"moe.num_active_experts_2", "at least 1"}},
        {"\"num_experts_2\": 4, \"num_active_experts_2\": 5", {"moe.num_active_experts_2", "more"}},
        {"\"num_experts_2\": 4, \"num_active_experts_2\": 2, \"num_shared_experts\": 1",
         {"moe.num_shared_experts", "moe.generalist_size"}},
        {"\"generalist_size\": 4, \"num_shared_experts\": 1",
         {"moe.num_shared_experts", "moe.generalist_size"}},
        {"\"aux_mean_over_layers\": true, \"lb_scope\": \"pooled\"",
         {"moe.aux_mean_over_layers", "moe.lb_scope"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *e = NULL;
        moe_err err = {0};
        char moe[256];
        snprintf(moe, sizeof moe, "\"layers\": \"all\", %s", cases[i].moe);
        assert_int_equal(read(&sizes[0], moe, &e, &err), MOE_ECONFIG);
        for (int k = 0; k < 2; k++)
            if (strstr(err.message, cases[i].words[k]) == NULL)
                fail_msg("%s: the message does not say \"%s\": %s", cases[i].moe, cases[i].words[k],
                         err.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_totals_come_out),
        cmocka_unit_test(names_of_sizes_are_active_parameters),
        cmocka_unit_test(size_does_not_depend_on_the_slicing),
        cmocka_unit_test(counts_and_widths_follow_from_sizes),
        cmocka_unit_test(reweighted_slices_have_no_inactive_expert),
        cmocka_unit_test(configurations_keep_their_identity),
        cmocka_unit_test(layers_that_do_not_exist_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
