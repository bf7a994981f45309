#include <string.h>

#include "device/backend.h"

struct backend_entry {
    const char *name;
    moe_status (*open)(const struct device_options *options, struct device **out_device, moe_err *err);
    void (*close)(struct device *dev);
};

static moe_status open_cuda(const struct device_options *options, struct device **out_device, moe_err *err) {
    (void)options;
    (void)out_device;
    return moe_fail(err, MOE_ENOTSUP, "device cuda: this build has no CUDA backend; use --device cpu");
}

static const struct backend_entry backends[] = {
    {"cpu", device_open_cpu, device_close_cpu},
    {"reference", device_open_reference, device_close_reference},
    {"cuda", open_cuda, NULL},
};

static const struct backend_entry *find_backend(const char *name) {
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(backends[i].name, name) == 0) return &backends[i];
    }
    return NULL;
}

moe_status device_open(const char *name, const struct device_options *options, struct device **out_device,
                       moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend_entry *entry = find_backend(name);
    moe_check(entry != NULL, err, MOE_ENOTFOUND,
              "device %s: unknown; the devices are cpu, cuda and reference", name);
    moe_try(entry->open(options, out_device, err));
out:
    return status;
}

void device_close(struct device *dev) {
    if (dev == NULL) return;
    find_backend(dev->ops->name)->close(dev);
}
