#include "nn/report.h"

#include <string.h>

moe_status report_create(struct report *r, struct device *dev, size_t bytes, int32_t slots, int32_t marks,
                         moe_err *err) {
    moe_status status = MOE_OK;
    *r = (struct report){.dev = dev, .bytes = bytes, .slots = slots, .marks_per_slot = marks};
    moe_try(dev->ops->alloc_host(dev, bytes * (size_t)slots, &r->host, err));
    moe_try(dev->ops->alloc_marks(dev, slots * marks, &r->marks, err));
out:
    return status;
}

void report_free(struct report *r) {
    if (r->dev != NULL) {
        r->dev->ops->release_marks(r->dev, r->marks);
        r->dev->ops->release_host(r->dev, r->host);
    }
    memset(r, 0, sizeof *r);
}

void report_fetch(const struct report *r, int32_t slot, const void *device) {
    r->dev->ops->fetch(r->dev, (unsigned char *)r->host + (size_t)slot * r->bytes, device, r->bytes);
}

void report_mark(const struct report *r, int32_t slot, int32_t mark) {
    r->dev->ops->mark(r->dev, r->marks, slot * r->marks_per_slot + mark);
}

double report_seconds(const struct report *r, int32_t slot, int32_t from, int32_t to) {
    const int32_t first = slot * r->marks_per_slot;
    return r->dev->ops->marked_seconds(r->dev, r->marks, first + from, first + to);
}

struct arena report_slot(const struct report *r, int32_t slot) {
    return arena_over((unsigned char *)r->host + (size_t)slot * r->bytes, r->bytes);
}
