/* test: rooms=device label=fast */
/* Every operation of device/backend.h on the backend named by MOE_TEST_BACKEND (default "cpu") against
 * "reference". MOE_TEST_SEED draws other inputs, MOE_TEST_FILTER (a pattern of test names) and MOE_TEST_CASES
 * (cases of each operation) run less. Exit code 77 where this machine cannot open the backend. */
#include "parity_attention.h"
#include "parity_elementwise.h"
#include "parity_faults.h"
#include "parity_gating.h"
#include "parity_harness.h"
#include "parity_linear.h"
#include "parity_loss.h"
#include "parity_marks.h"
#include "parity_routing.h"

/* ---- memory
 * ------------------------------------------------------------------------------------------------------- */

static void memory_is_zeroed_aligned_and_moves(void **state) {
    const struct parity *t = *state;
    struct device *dev = t->one;
    const struct backend *ops = dev->ops;
    enum { BYTES = 100003 };
    unsigned char *host = parity_need(BYTES), *back = parity_need(BYTES);
    void *a = NULL, *b = NULL, *empty = NULL;
    for (int i = 0; i < BYTES; i++)
        host[i] = (unsigned char)(i * 7 + 3);
    assert_int_equal(ops->alloc(dev, BYTES, &a, NULL), MOE_OK);
    assert_int_equal(ops->alloc(dev, BYTES, &b, NULL), MOE_OK);
    assert_int_equal(ops->alloc(dev, 0, &empty, NULL), MOE_OK);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal((uintptr_t)b % 64, 0);
    ops->download(dev, back, a, BYTES);
    for (int i = 0; i < BYTES; i++)
        assert_int_equal(back[i], 0);
    ops->upload(dev, a, host, BYTES);
    ops->copy(dev, b, a, BYTES);
    ops->zero(dev, (unsigned char *)a + 5, 10);
    ops->download(dev, back, b, BYTES);
    assert_memory_equal(back, host, BYTES);
    ops->download(dev, back, a, BYTES);
    memset(host + 5, 0, 10);
    assert_memory_equal(back, host, BYTES);
    assert_int_equal(ops->synchronize(dev, NULL), MOE_OK);
    ops->release(dev, a);
    ops->release(dev, b);
    ops->release(dev, empty);
    ops->release(dev, NULL);
    free(host);
    free(back);
}

static void the_backend_says_its_name_and_type(void **state) {
    const struct parity *t = *state;
    assert_string_equal(t->reference->ops->name, "reference");
    assert_int_equal(t->reference->ops->act_size, sizeof(float));
    assert_true(t->one->ops->act_size == 4 || t->one->ops->act_size == 2);
    assert_string_equal(t->one->ops->name, t->backend);
}

/* Work of a pass is done once it has ended, in its order, each time anew; what is fetched is there after the
 * wait, as it was when it was asked for. */
static void a_pass_is_done_when_it_has_ended(void **state) {
    const struct parity *t = *state;
    struct device *dev = t->one;
    const struct backend *ops = dev->ops;
    enum { COUNT = 1000, PASSES = 3 };
    float host[COUNT], *a = NULL, *b = NULL, *fetched = NULL;
    assert_int_equal(ops->alloc(dev, sizeof host, (void **)&a, NULL), MOE_OK);
    assert_int_equal(ops->alloc(dev, sizeof host, (void **)&b, NULL), MOE_OK);
    assert_int_equal(ops->alloc_host(dev, sizeof host, (void **)&fetched, NULL), MOE_OK);
    for (int pass = 0; pass < PASSES; pass++) {
        for (int i = 0; i < COUNT; i++)
            host[i] = (float)(i + pass);
        ops->upload(dev, a, host, sizeof host);
        ops->pass_begin(dev);
        ops->copy(dev, b, a, sizeof host);
        ops->zero(dev, b + pass, sizeof *b);
        ops->pass_end(dev);
        ops->fetch(dev, fetched, b, sizeof host);
        ops->zero(dev, b, sizeof host);
        assert_int_equal(ops->synchronize(dev, NULL), MOE_OK);
        for (int i = 0; i < COUNT; i++)
            assert_true(fetched[i] == (i == pass ? 0.0f : (float)(i + pass)));
    }
    assert_int_equal(ops->synchronize(dev, NULL), MOE_OK);
    ops->release(dev, a);
    ops->release(dev, b);
    ops->release_host(dev, fetched);
}

/* Passes of two kinds by turns need a plan each, whatever they do it to. */
static void passes_of_a_kind_share_a_plan(void **state) {
    const struct parity *t = *state;
    const struct device_options small = {.max_rows = 16, .max_vocab = 16, .max_seq = 16, .max_width = 16};
    struct device *dev = NULL;
    enum { COUNT = 64, PASSES = 12 };
    float *a = NULL, host[2 * COUNT];
    assert_int_equal(device_open(t->backend, &small, &dev, NULL), MOE_OK);
    const struct backend *ops = dev->ops;
    assert_int_equal(ops->alloc(dev, sizeof host, (void **)&a, NULL), MOE_OK);
    for (int i = 0; i < 2 * COUNT; i++)
        host[i] = (float)i;
    for (int pass = 0; pass < PASSES; pass++) {
        ops->upload(dev, a, host, sizeof host);
        ops->pass_begin(dev);
        ops->zero(dev, a + pass, sizeof *a);
        if (pass % 2 == 1) ops->copy(dev, a, a + COUNT + pass, sizeof *a);
        ops->pass_end(dev);
        ops->download(dev, host, a, sizeof host);
        assert_true(host[pass] == 0.0f || pass == 0);
        assert_true(pass % 2 == 0 || host[0] == (float)(COUNT + pass));
    }
    assert_true(dev->counts.plans <= 2 && dev->counts.plans <= dev->counts.passes);
    ops->release(dev, a);
    device_close(dev);
}

/* A new operation must be added here too: ten of memory, two of passes, four of times, 42 of compute. */
_Static_assert((sizeof(struct backend) - offsetof(struct backend, alloc)) / sizeof(void (*)(void)) == 58,
               "every operation of the table has a test below");

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_backend_says_its_name_and_type),
    cmocka_unit_test(faults_are_noticed),
    cmocka_unit_test(memory_is_zeroed_aligned_and_moves),
    cmocka_unit_test(a_pass_is_done_when_it_has_ended),
    cmocka_unit_test(passes_of_a_kind_share_a_plan),
    cmocka_unit_test(marks_measure_what_lies_between),
    cmocka_unit_test(linear_forward_agrees),
    cmocka_unit_test(linear_forward_float_agrees),
    cmocka_unit_test(linear_backward_agrees),
    cmocka_unit_test(grouped_linear_forward_agrees),
    cmocka_unit_test(grouped_linear_forward_float_agrees),
    cmocka_unit_test(grouped_linear_backward_agrees),
    cmocka_unit_test(embedding_forward_agrees),
    cmocka_unit_test(embedding_backward_agrees),
    cmocka_unit_test(norm_forward_agrees),
    cmocka_unit_test(norm_backward_agrees),
    cmocka_unit_test(attention_forward_agrees),
    cmocka_unit_test(attention_backward_agrees),
    cmocka_unit_test(attention_backward_stays_finite),
    cmocka_unit_test(attention_decode_agrees),
    cmocka_unit_test(rope_agrees),
    cmocka_unit_test(activation_forward_agrees),
    cmocka_unit_test(activation_backward_agrees),
    cmocka_unit_test(to_act_agrees),
    cmocka_unit_test(dropout_agrees),
    cmocka_unit_test(residual_dropout_agrees),
    cmocka_unit_test(add_scaled_agrees),
    cmocka_unit_test(head_loss_agrees),
    cmocka_unit_test(sum_agrees),
    cmocka_unit_test(find_nonfinite_agrees),
    cmocka_unit_test(router_forward_agrees),
    cmocka_unit_test(router_backward_agrees),
    cmocka_unit_test(balance_gradient_agrees),
    cmocka_unit_test(route_agrees),
    cmocka_unit_test(gather_agrees),
    cmocka_unit_test(gather_backward_agrees),
    cmocka_unit_test(combine_agrees),
    cmocka_unit_test(combine_backward_agrees),
    cmocka_unit_test(sequence_histogram_agrees),
    cmocka_unit_test(gate_forward_agrees),
    cmocka_unit_test(gate_backward_agrees),
    cmocka_unit_test(gate_balance_agrees),
    cmocka_unit_test(gate_balance_joint_agrees),
    cmocka_unit_test(mixture_forward_agrees),
    cmocka_unit_test(mixture_backward_agrees),
    cmocka_unit_test(mixture_loss_agrees),
    cmocka_unit_test(sum_squares_agrees),
    cmocka_unit_test(clip_scale_agrees),
    cmocka_unit_test(adamw_agrees),
};

int main(void) {
    const struct device_options options = {
        .threads = 1, .max_rows = 4096, .max_vocab = 1024, .max_seq = 2048, .max_width = 1024};
    const char *name = getenv("MOE_TEST_BACKEND"), *seed = getenv("MOE_TEST_SEED");
    const char *filter = getenv("MOE_TEST_FILTER"), *cases = getenv("MOE_TEST_CASES");
    static struct parity parity;
    moe_err err = {0};
    parity.backend = name != NULL ? name : "cpu";
    parity.seed = seed != NULL ? strtoull(seed, NULL, 10) : 20240601u;
    parity.most_cases = cases != NULL ? (uint32_t)strtoul(cases, NULL, 10) : 0;
    if (filter != NULL) cmocka_set_test_filter(filter);
    moe_status status = device_open("reference", &options, &parity.reference, &err);
    if (status == MOE_OK) status = device_open(parity.backend, &options, &parity.one, &err);
    int result = status == MOE_ENOTSUP ? 77 : 1;
    if (status == MOE_OK) {
        struct CMUnitTest bound[PARITY_COUNT(tests)];
        for (int i = 0; i < PARITY_COUNT(tests); i++) {
            bound[i] = tests[i];
            bound[i].initial_state = &parity;
        }
        result = cmocka_run_group_tests_name("backend parity", bound, NULL, NULL);
    } else {
        fprintf(stderr, "%s\n", err.message);
    }
    parity_drop_case(&parity);
    device_close(parity.one);
    device_close(parity.reference);
    return result;
}
