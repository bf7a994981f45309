/* test: rooms=core,data,model,train label=fast */
/* The suite of source C: which runs there are, their published sizes, and what its tiers and protocols may
 * and may not change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/decoder.h"
#include "train/plan.h"

#define SUITE "slicing"
#include "fixture_suite.h"

static struct plan make_plan(const char *tier, const char *protocol, const char *only) {
    moe_err err = {0};
    struct plan plan = {0};
    const struct plan_request request = {.suites_dir = MOE_SOURCE_DIR "/runs/suites",
                                         .suite = SUITE,
                                         .tier = tier,
                                         .protocol = protocol,
                                         .only = only,
                                         .runs_dir = "/nonexistent",
                                         .first_seed = 1,
                                         .shard = 1,
                                         .shards = 1};
    if (plan_make(&request, &plan, &err) != MOE_OK) fail_msg("%s: %s", tier, err.message);
    return plan;
}

static int32_t count(const char *tier, const char *protocol, const char *only) {
    struct plan plan = make_plan(tier, protocol, only);
    const int32_t runs = plan.count;
    plan_free(&plan);
    return runs;
}

/* Every configuration of every tier is one that can be trained, and there are as many as the axes and
 * conditions say. */
static void every_run_is_possible(void **state) {
    (void)state;
    assert_int_equal(count("full", "as-published", NULL), 2310);
    assert_int_equal(count("full", "corrected", NULL), 2541);
    assert_int_equal(count("gpu", "as-published", NULL), 452);
    assert_int_equal(count("gpu", "corrected", NULL), 683);
    assert_int_equal(count("smoke", NULL, NULL), 34);
    /* 7 g x 8 s x 11 sizes, less s > 64 at the four smallest (4 x 14), s = 256 at 200M (7), s > 64 at 300M
     * (14), s > 16 at 500M (28), and more than 4096 experts: g = 1/64 at s = 128 (5 sizes and 200M) and 256
     * (5), g = 1/32 at 256 (5) */
    assert_int_equal(count("full", "corrected", "grid@*"), 7 * 8 * 11 - 56 - 7 - 14 - 28 - 5 - 4 - 4);
    /* table 3 of the document: sixteen configurations */
    assert_int_equal(count("full", "corrected", "pairs@size=50M,*,gamma=0"), 16);
    assert_int_equal(count("full", "corrected", "pairs@size=50M,pair=1_16-1_32,*,gamma=0"), 4);
}

/* Totals without routers, whose size depends on the number of experts and which the document leaves out. */
static void published_totals_come_out(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters;
    } rows[] = {{"grid@size=10M,g=1_8,s=64", 14970480},
                {"grid@size=20M,g=1_4,s=64", 47728224},
                {"grid@size=50M,g=1_2,s=256", 934062000},
                {"grid@size=300M,g=1_16,s=64", 6579789632}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct experiment *e = load(rows[i].name, "as-published", "full");
        struct decoder_counts counts;
        assert_int_equal(decoder_count(&e->model, &e->moe, 1, 2048, &counts, NULL), MOE_OK);
        assert_int_equal(counts.total - counts.router, rows[i].parameters);
        experiment_free(e);
    }
}

/* The number of steps makes the document's warm-up what it is: the desk has the same. */
static void the_desk_has_the_documents_steps(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t steps;
    } rows[] = {{"dense@size=10M", 191},
                {"dense@size=10M_4B", 3815},
                {"dense@size=20M", 382},
                {"dense@size=20M_2B", 1908}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct experiment *full = load(rows[i].name, "as-published", "full");
        struct experiment *desk = load(rows[i].name, "as-published", "desk");
        struct experiment *corrected = load(rows[i].name, "corrected", "desk");
        assert_int_equal(experiment_planned_steps(full), rows[i].steps);
        assert_in_range(experiment_planned_steps(desk), rows[i].steps - 1, rows[i].steps);
        assert_int_equal(desk->model.hidden_size, full->model.hidden_size);
        assert_int_equal(desk->model.num_hidden_layers, full->model.num_hidden_layers);
        assert_int_equal(desk->train.warmup_steps, 2000);
        assert_true(corrected->train.warmup_steps == 0 && corrected->train.warmup_ratio == 0.02);
        experiment_free(full);
        experiment_free(desk);
        experiment_free(corrected);
    }
}

static void protocols_differ_in_the_defects_alone(void **state) {
    (void)state;
    static const char *const names[] = {"grid@size=10M,g=1_8,s=16",
                                        "pairs@size=10M,pair=1_4-1_8,s=16,gamma=0.001",
                                        "generalist@size=10M,g=1_8,s=16,gen=1_4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct experiment *a = load(names[i], "as-published", "desk");
        struct experiment *b = load(names[i], "corrected", "desk");
        assert_true(a->moe.published_bias_first_group_only && !b->moe.published_bias_first_group_only);
        assert_true(a->moe.published_generalist_input && !b->moe.published_generalist_input);
        a->moe.published_bias_first_group_only = a->moe.published_generalist_input = false;
        a->train.warmup_steps = 0;
        a->train.warmup_ratio = 0.02;
        a->train.allow_unfinished_warmup = false;
        assert_memory_equal(&a->model, &b->model, sizeof a->model);
        assert_memory_equal(&a->moe, &b->moe, sizeof a->moe);
        assert_memory_equal(&a->train, &b->train, sizeof a->train);
        experiment_free(a);
        experiment_free(b);
    }
}

/* What is compared differs in one thing, and is there with the same seeds. */
static void defects_come_one_at_a_time(void **state) {
    (void)state;
    static const struct {
        const char *with, *without;
    } rows[] = {
        {"pairs_bias_defect@size=10M,pair=1_4-1_8,s=16", "pairs@size=10M,pair=1_4-1_8,s=16,gamma=0.001"},
        {"pairs_warmup_defect@size=10M,pair=1_4-1_8,s=16", "pairs@size=10M,pair=1_4-1_8,s=16,gamma=0.001"},
        {"generalist_input_defect@size=10M,g=1_8,s=16,gen=1_4", "generalist@size=10M,g=1_8,s=16,gen=1_4"},
        {"generalist_warmup_defect@size=10M,g=1_8,s=16,gen=1_4", "generalist@size=10M,g=1_8,s=16,gen=1_4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct experiment *with = load(rows[i].with, "corrected", "desk");
        struct experiment *without = load(rows[i].without, "corrected", "desk");
        int differences = with->moe.published_bias_first_group_only + with->moe.published_generalist_input +
                          (with->train.warmup_steps == 2000);
        assert_int_equal(differences, 1);
        with->moe.published_bias_first_group_only = with->moe.published_generalist_input = false;
        assert_memory_equal(&with->moe, &without->moe, sizeof with->moe);
        assert_memory_equal(&with->model, &without->model, sizeof with->model);
        assert_int_equal(count("desk", "corrected", rows[i].with),
                         count("desk", "corrected", rows[i].without));
        experiment_free(with);
        experiment_free(without);
    }
}

/* By the speeds that the tier states, on one core. */
static void the_desk_fits_into_three_core_hours(void **state) {
    (void)state;
    struct plan plan = make_plan("desk", NULL, NULL);
    double hours = 0;
    for (int32_t i = 0; i < plan.count; i++) {
        hours += plan.runs[i].seconds / 3600;
        if (plan.runs[i].seconds > 240) fail_msg("%s takes %g s", plan.runs[i].path, plan.runs[i].seconds);
    }
    assert_true(hours > 1 && hours < 3);
    plan_free(&plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_is_possible),
        cmocka_unit_test(published_totals_come_out),
        cmocka_unit_test(the_desk_has_the_documents_steps),
        cmocka_unit_test(protocols_differ_in_the_defects_alone),
        cmocka_unit_test(defects_come_one_at_a_time),
        cmocka_unit_test(the_desk_fits_into_three_core_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
