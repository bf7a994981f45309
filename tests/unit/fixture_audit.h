/* fixture_audit.h - the audit of one source's printed numbers, opened for a test that recomputes them. The
 * file that includes it defines SOURCE, "A" to "D", and AUDIT_ENTRIES, the least number of entries. */
#ifndef TEST_FIXTURE_AUDIT_H
#define TEST_FIXTURE_AUDIT_H

#include "analysis/audit.h"

static struct published *printed;
static struct audit *audit;

static void near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", a, tolerance, b);
}

static double printed_number(const char *name) {
    double value = NAN;
    moe_err err = {0};
    if (published_number(printed, name, &value, &err) != MOE_OK) fail_msg("%s", err.message);
    return value;
}

static double found(const char *name) {
    double value = NAN;
    moe_err err = {0};
    if (audit_number(audit, name, &value, &err) != MOE_OK) fail_msg("%s", err.message);
    return value;
}

/* Every entry can be computed, and has words. */
static void test_all_entries(void **state) {
    (void)state;
    const struct audit_entry *entry;
    int32_t count = 0;
    for (; (entry = audit_at(audit, count)) != NULL; count++) {
        assert_true(isfinite(found(entry->name)));
        assert_true(strlen(entry->says) > 5);
    }
    assert_true(count > AUDIT_ENTRIES);
}

static int open_all(void **state) {
    moe_err err = {0};
    (void)state;
    moe_status status = published_open(MOE_SOURCE_DIR "/paper/published", SOURCE, &printed, &err);
    if (status == MOE_OK) status = audit_open(MOE_SOURCE_DIR "/paper", SOURCE, printed, &audit, &err);
    if (status != MOE_OK) print_error("%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    audit_close(audit);
    published_close(printed);
    return 0;
}

#endif
