/* test: rooms=core,data,model,train label=fast */
/* Which runs a plan has, and how shards share them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/plan.h"

static struct plan_request request_of(const char *suite, const char *tier) {
    return (struct plan_request){.suites_dir = MOE_SOURCE_DIR "/runs/suites",
                                 .suite = suite,
                                 .tier = tier,
                                 .runs_dir = "/nonexistent",
                                 .first_seed = 1,
                                 .shard = 1,
                                 .shards = 1};
}

static struct plan make(const struct plan_request *request) {
    moe_err err = {0};
    struct plan plan = {0};
    if (plan_make(request, &plan, &err) != MOE_OK) fail_msg("%s", err.message);
    return plan;
}

static void globs_may_hold_commas_between_axes(void **state) {
    (void)state;
    static const char run[] = "grid@g=1_8,s=16,moe.lb_gamma=0.001";
    assert_true(plan_selects("grid@g=1_8,s=16,moe.lb_gamma=0.001", run));
    assert_true(plan_selects("dense,grid@g=1_8,s=*", run));
    assert_true(plan_selects("grid@g=1_8,s=*,dense", run));
    assert_true(plan_selects("*s=16*", run));
    assert_true(plan_selects("grid@g=1_8,*,moe.lb_gamma=*", run));
    assert_true(plan_selects("dense@*,*,grid@*", run));
    assert_false(plan_selects("grid@g=1_8,*,moe.lb_gamma=1", run));
    assert_false(plan_selects("grid@g=1_8,s=1,*s=17*", run));
    assert_true(plan_selects("*s=16*,grid@g=1_8,s=1", run));
    assert_false(plan_selects("grid", run));
    assert_false(plan_selects("", run));
    assert_true(plan_selects("a,dense", "dense"));
}

/* Every run belongs to exactly one shard, and no shard has much more to do than another. */
static void deals_are_fair(void **state) {
    (void)state;
    enum { RUNS = 500, SHARDS = 7 };
    double costs[RUNS], sums[SHARDS] = {0}, largest = 0, total = 0;
    int32_t shards[RUNS], sizes[SHARDS] = {0};
    for (int i = 0; i < RUNS; i++) {
        costs[i] = 1 + (i * 7919 % 101) * (i % 13 == 0 ? 10.0 : 1.0);
        total += costs[i];
        if (costs[i] > largest) largest = costs[i];
    }
    assert_int_equal(plan_deal(costs, RUNS, SHARDS, shards, NULL), MOE_OK);
    for (int i = 0; i < RUNS; i++) {
        assert_in_range(shards[i], 1, SHARDS);
        sums[shards[i] - 1] += costs[i];
        sizes[shards[i] - 1]++;
    }
    for (int s = 0; s < SHARDS; s++) {
        assert_true(sums[s] <= total / SHARDS + largest);
        assert_true(sums[s] >= total / SHARDS - largest);
    }
    memset(costs, 0, sizeof costs); /* of equal runs each shard has as many */
    memset(sizes, 0, sizeof sizes);
    assert_int_equal(plan_deal(costs, RUNS, SHARDS, shards, NULL), MOE_OK);
    for (int i = 0; i < RUNS; i++)
        sizes[shards[i] - 1]++;
    for (int s = 0; s < SHARDS; s++)
        assert_in_range(sizes[s], RUNS / SHARDS, RUNS / SHARDS + 1);
    assert_int_equal(plan_deal(costs, 3, SHARDS, shards, NULL), MOE_OK); /* some have nothing to do */
}

/* Shards of a real suite: disjoint, complete, in the order of the whole, and the same each time. */
static void shards_partition_a_suite(void **state) {
    (void)state;
    enum { SHARDS = 5 };
    struct plan_request request = request_of("moedl", "desk");
    struct plan whole = make(&request);
    int32_t seen = 0;
    char *taken = calloc((size_t)whole.count, 1);
    assert_true(whole.count > SHARDS && whole.whole == whole.count);
    for (int32_t s = 1; s <= SHARDS; s++) {
        request.shard = s;
        request.shards = SHARDS;
        struct plan part = make(&request), again = make(&request);
        int32_t at = 0;
        assert_int_equal(part.whole, whole.count);
        assert_int_equal(part.count, again.count);
        for (int32_t i = 0; i < part.count; i++) {
            while (at < whole.count && strcmp(whole.runs[at].path, part.runs[i].path) != 0)
                at++;
            assert_true(at < whole.count);
            assert_int_equal(taken[at], 0);
            taken[at] = 1;
            assert_string_equal(part.runs[i].path, again.runs[i].path);
        }
        seen += part.count;
        plan_free(&part);
        plan_free(&again);
    }
    assert_int_equal(seen, whole.count);
    free(taken);
    plan_free(&whole);
}

static void seeds_come_from_the_request_or_the_suite(void **state) {
    (void)state;
    struct plan_request request = request_of("moe-vs-dense", "smoke");
    request.only = "dense";
    request.protocol = "corrected";
    struct plan plan = make(&request);
    assert_int_equal(plan.count, PLAN_SEEDS);
    assert_true(plan.speed.gflops == PLAN_GFLOPS);
    plan_free(&plan);
    request.seeds = 2;
    request.first_seed = 11;
    plan = make(&request);
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.runs[1].experiment->train.seed, 12);
    assert_int_equal(plan.runs[1].counts.total, plan.runs[0].counts.total);
    assert_true(strstr(plan.runs[1].path, "dense.corrected.s12.h5") != NULL);
    plan_free(&plan);
    request.only = "nothing";
    assert_int_equal(plan_make(&request, &plan, NULL), MOE_ENOTFOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_may_hold_commas_between_axes),
        cmocka_unit_test(deals_are_fair),
        cmocka_unit_test(shards_partition_a_suite),
        cmocka_unit_test(seeds_come_from_the_request_or_the_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
