/* test: rooms=device,core label=fast */
#include "cpu_fixture.h"
#include "device/blas_kernel.h"

/* Memory, reductions and the opening of the "cpu" backend. */

#define THREADS 3 /* bits are compared on 1 .. THREADS threads */

/* Under AddressSanitizer an allocation that cannot be had fails as it does elsewhere. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void memory_is_zeroed_aligned_and_copied(void **state) {
    (void)state;
    const size_t bytes = ((size_t)5 << 19) + 12; /* more than two pieces of a copy */
    struct device *dev = open_cpu(3);
    void *a = NULL, *b = NULL;
    assert_int_equal(dev->ops->alloc(dev, bytes, &a, NULL), MOE_OK);
    assert_int_equal(dev->ops->alloc(dev, bytes, &b, NULL), MOE_OK);
    assert_int_equal((uintptr_t)a % 64, 0);
    float *host = random_floats((int64_t)(bytes / 4), 31), *back = calloc(bytes, 1);
    assert_memory_equal(a, back, bytes);
    dev->ops->upload(dev, a, host, bytes);
    dev->ops->copy(dev, b, a, bytes);
    dev->ops->download(dev, back, b, bytes);
    assert_memory_equal(back, host, bytes);
    dev->ops->zero(dev, b, bytes - 4);
    assert_true(((float *)b)[0] == 0 && ((float *)b)[bytes / 4 - 2] == 0);
    assert_true(((float *)b)[bytes / 4 - 1] == host[bytes / 4 - 1]);
    assert_int_equal(dev->ops->synchronize(dev, NULL), MOE_OK);
    dev->ops->release(dev, a);
    dev->ops->release(dev, b);
    dev->ops->release(dev, NULL);
    moe_err err = {0};
    assert_int_equal(dev->ops->alloc(dev, SIZE_MAX / 4, &a, &err), MOE_ENOMEM);
    free(host);
    free(back);
    device_close(dev);
}

static void sum_and_search_cover_every_element(void **state) {
    (void)state;
    const int64_t sizes[] = {0, 1, 7, 4099, 70001, 300007};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        float *x = random_floats(n, 41);
        double want = 0, first = 0;
        for (int64_t i = 0; i < n; i++) {
            want += (double)x[i];
        }
        for (int threads = 1; threads <= THREADS; threads++) {
            struct device *dev = open_cpu(threads);
            double got = NAN;
            dev->ops->sum(dev, &got, x, n);
            assert_true(fabs(got - want) <= 1e-9 * (1 + fabs(want)));
            if (threads == 1) first = got;
            assert_true(got == first);
            assert_int_equal(dev->ops->find_nonfinite(dev, x, n), -1);
            const int64_t at = n - 1;
            if (n > 0) {
                const float kept = x[at];
                x[at] = -INFINITY;
                assert_int_equal(dev->ops->find_nonfinite(dev, x, n), at);
                x[at / 3] = NAN;
                assert_int_equal(dev->ops->find_nonfinite(dev, x, n), at / 3);
                x[at / 3] = x[at] = kept;
            }
            device_close(dev);
            free(x);
            x = random_floats(n, 41);
        }
        free(x);
    }
}

static void devices_are_found_by_name(void **state) {
    (void)state;
    const struct device_options options = {.threads = 0};
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    assert_true(dev->options.threads >= 1);
    assert_string_equal(dev->ops->name, "cpu");
    device_close(dev);
    device_close(NULL);
    assert_int_equal(device_open("abacus", &options, &dev, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "abacus"));
    const struct device_options negative = {.threads = 1, .max_rows = -1};
    assert_int_equal(device_open("cpu", &negative, &dev, &err), MOE_EARG);
}

static void the_blas_names_itself(void **state) {
    (void)state;
    assert_true(strncmp(device_cpu_blas(), "OpenBLAS ", 9) == 0);
    assert_true(strlen(device_cpu_blas()) > strlen("OpenBLAS 0.3"));
    /* A user's choice is never overridden. */
    assert_int_equal(setenv("OPENBLAS_CORETYPE", "Haswell", 1), 0);
    assert_null(blas_preferred_kernel());
    assert_int_equal(unsetenv("OPENBLAS_CORETYPE"), 0);
    const char *kernel = blas_preferred_kernel();
    assert_true(kernel == NULL || strstr(device_cpu_blas(), kernel) == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_copied),
        cmocka_unit_test(sum_and_search_cover_every_element),
        cmocka_unit_test(devices_are_found_by_name),
        cmocka_unit_test(the_blas_names_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
