/* test: rooms=core label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/status.h"

static moe_status fails(moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(1 + 1 == 3, err, MOE_EFORMAT, "%s: bad at %d", "file.toml", 7);
out:
    return status;
}

static void failures_carry_a_message_and_a_place(void **state) {
    (void)state;
    moe_err err = {0};
    assert_int_equal(fails(&err), MOE_EFORMAT);
    assert_string_equal(err.message, "file.toml: bad at 7");
    assert_true(err.line > 0 && strstr(err.file, "test_core_basics.c") != NULL);
    assert_int_equal(fails(NULL), MOE_EFORMAT);
    assert_int_equal(moe_exit_code(MOE_EUSAGE), 2);
    assert_int_equal(moe_exit_code(MOE_EINTERRUPTED), 3);
    assert_int_equal(moe_exit_code(MOE_EIO), 1);
    assert_string_equal(moe_status_name(MOE_EBUSY), "EBUSY");
}

static void arena_measures_what_it_later_hands_out(void **state) {
    (void)state;
    struct arena plan = arena_measure();
    assert_null(arena_array(&plan, float, 3));
    const size_t mark = arena_mark(&plan);
    arena_array(&plan, double, 100);
    arena_rewind(&plan, mark);
    arena_array(&plan, char, 1);
    void *block = NULL;
    assert_int_equal(arena_block(plan.peak, &block, NULL), MOE_OK);
    struct arena arena = arena_over(block, plan.peak);
    float *a = arena_array(&arena, float, 3);
    double *b = arena_array(&arena, double, 100);
    assert_int_equal((uintptr_t)a % ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)b % ARENA_ALIGN, 0);
    assert_true((char *)b >= (char *)(a + 3));
    free(block);
}

/* Known answers of Philox4x32-10 published with Random123 (kat_vectors): counter and key all zero, all ones.
 */
static void philox_known_answers(void **state) {
    (void)state;
    struct rng_block zero = rng_block_at((struct rng_key){0, 0, 0}, 0);
    const uint32_t want_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(zero.v, want_zero, sizeof want_zero);
    struct rng_block ones = rng_block_at((struct rng_key){UINT64_MAX, UINT32_MAX, UINT32_MAX}, UINT64_MAX);
    const uint32_t want_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(ones.v, want_ones, sizeof want_ones);
}

static void uniforms_stay_in_range_and_fill_it(void **state) {
    (void)state;
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = 0};
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        const float u = rng_uniform(key, (uint64_t)i);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += u;
        assert_true(rng_below(key, (uint64_t)i, 7) < 7);
    }
    /* sd of the mean is 1/sqrt(12 * 1e5) = 9e-4 */
    assert_true(sum / 1e5 > 0.4955 && sum / 1e5 < 0.5045);
}

static void pieces_cover_everything_once(void **state) {
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        int64_t covered = 0;
        for (int64_t i = 0; i < piece_count(n, 16); i++) {
            covered += piece_begin(i + 1, n, 16) - piece_begin(i, n, 16);
        }
        assert_int_equal(covered, n);
    }
    assert_true(parallel_default_threads() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_carry_a_message_and_a_place),
        cmocka_unit_test(arena_measures_what_it_later_hands_out),
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(uniforms_stay_in_range_and_fill_it),
        cmocka_unit_test(pieces_cover_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
