#include "nn/report.h"

#include <string.h>

moe_status report_create(struct report *r, struct device *dev, size_t bytes, int32_t slots, moe_err *err) {
    moe_status status = MOE_OK;
    *r = (struct report){.dev = dev, .bytes = bytes, .slots = slots};
    moe_try(dev->ops->alloc_host(dev, bytes * (size_t)slots, &r->host, err));
out:
    return status;
}

void report_free(struct report *r) {
    if (r->dev != NULL) r->dev->ops->release_host(r->dev, r->host);
    memset(r, 0, sizeof *r);
}

void report_fetch(const struct report *r, int32_t slot, const void *device) {
    r->dev->ops->fetch(r->dev, (unsigned char *)r->host + (size_t)slot * r->bytes, device, r->bytes);
}

struct arena report_slot(const struct report *r, int32_t slot) {
    return arena_over((unsigned char *)r->host + (size_t)slot * r->bytes, r->bytes);
}
