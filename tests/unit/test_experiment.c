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

static struct experiment *load(const char *name, const char *protocol, const char *tier, const char *set) {
    moe_err err = {0};
    struct experiment *e = NULL;
    const char *sets[] = {set};
    const struct experiment_choice choice = {.suites_dir = suites,
                                             .suite = "moe-vs-dense",
                                             .experiment = name,
                                             .protocol = protocol,
                                             .tier = tier,
                                             .seed = 3,
                                             .sets = sets,
                                             .set_count = set != NULL};
    if (experiment_load(&choice, &e, &err) != MOE_OK) fail_msg("%s %s %s: %s", name, protocol, tier, err.message);
    return e;
}

static void every_run_of_the_suite_loads(void **state) {
    (void)state;
    static const char *const protocols[] = {"as-published", "corrected"};
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    static const int32_t expected[2][4] = {{5, 5, 5, 5}, {5, 26, 26, 26}};
    moe_err err = {0};
    for (int p = 0; p < 2; p++) {
        for (int t = 0; t < 4; t++) {
            char **names = NULL;
            int32_t count = 0;
            const struct experiment_choice choice = {
                .suites_dir = suites, .suite = "moe-vs-dense", .protocol = protocols[p], .tier = tiers[t]};
            assert_int_equal(experiment_list(&choice, &names, &count, &err), MOE_OK);
            for (int32_t i = 0; i < count; i++)
                experiment_free(load(names[i], protocols[p], tiers[t], NULL));
            for (int32_t i = 0; i < count; i++)
                print_message("%s ", names[i]);
            print_message("\n");
            assert_int_equal(count, expected[p][t]);
            experiment_list_free(names, count);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_run_of_the_suite_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
