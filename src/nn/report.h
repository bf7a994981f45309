/* report.h - the numbers that a pass leaves for the host: losses, counts, times.
 *
 * A model takes their arrays one after the other from its memory on the device, and in the same order from a
 * slot of host memory, so that a slot is filled by one copy, which nobody waits for: the passes of a step
 * fill a slot each, and are read when the step has been waited for. A slot has marks of its own, which the
 * device keeps. */
#ifndef NN_REPORT_H
#define NN_REPORT_H

#include "core/arena.h"
#include "device/backend.h"

/* Marks of a slot that is a pass: before forward, before backward, after it. */
enum { REPORT_START, REPORT_MIDDLE, REPORT_END, REPORT_PASS_MARKS };

struct report {
    struct device *dev;
    size_t bytes; /* of a slot */
    int32_t slots;
    int32_t marks_per_slot;
    void *host;                 /* [slots] */
    struct device_marks *marks; /* [slots, marks_per_slot] */
};

/* slots >= 1, each with `marks` marks. */
moe_status report_create(struct report *r, struct device *dev, size_t bytes, int32_t slots, int32_t marks,
                         moe_err *err);
void report_free(struct report *r); /* also of one that is all zeros */

/* Sends a slot's bytes on their way, from where the report begins on the device. */
void report_fetch(const struct report *r, int32_t slot, const void *device);

/* Places a mark of a slot: mark() of the backend. */
void report_mark(const struct report *r, int32_t slot, int32_t mark);

/* Seconds between two marks of a slot, after synchronize(): marked_seconds() of the backend. */
double report_seconds(const struct report *r, int32_t slot, int32_t from, int32_t to);

/* The host's memory of a slot; after synchronize() it holds what was fetched. */
struct arena report_slot(const struct report *r, int32_t slot);

#endif
