#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "device/backend.h"
#include "device/module.h"

struct backend_entry {
    const char *name;
    moe_status (*open)(const char *name, const struct device_options *options, struct device **out_device,
                       moe_err *err);
    void (*close)(struct device *dev);
};

static moe_status open_cpu(const char *name, const struct device_options *options, struct device **out_device,
                           moe_err *err) {
    (void)name;
    return device_open_cpu(options, out_device, err);
}

static moe_status open_reference(const char *name, const struct device_options *options,
                                 struct device **out_device, moe_err *err) {
    (void)name;
    return device_open_reference(options, out_device, err);
}

static moe_status open_module(const char *name, const struct device_options *options,
                              struct device **out_device, moe_err *err) {
    moe_status status = MOE_OK;
    const struct device_module *module = NULL;
    moe_try(device_module_find(&module, err));
    moe_try(module->open(name, options, out_device, err));
out:
    return status;
}

static void close_module(struct device *dev) {
    const struct device_module *module = NULL;
    if (device_module_find(&module, NULL) == MOE_OK) module->close(dev);
}

static const struct backend_entry backends[] = {
    {"cpu", open_cpu, device_close_cpu},
    {"reference", open_reference, device_close_reference},
    {"cuda", open_module, close_module},
    {"cuda:fp32", open_module, close_module},
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
              "device %s: unknown; the devices are cpu, cuda, cuda:fp32 and reference", name);
    moe_try(entry->open(name, options, out_device, err));
out:
    return status;
}

void device_close(struct device *dev) {
    if (dev == NULL) return;
    find_backend(dev->ops->name)->close(dev);
}

void device_host_pass(struct device *dev) {
    (void)dev;
}

/* The host's clock says when work is done that is done when its call returns. */
struct device_marks {
    int32_t count;
    int64_t nanoseconds[];
};

moe_status device_host_alloc_marks(struct device *dev, int32_t count, struct device_marks **out_marks,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    struct device_marks *marks = calloc(1, sizeof *marks + (size_t)count * sizeof marks->nanoseconds[0]);
    (void)dev;
    moe_check(marks != NULL, err, MOE_ENOMEM, "no memory for %d marks", count);
    marks->count = count;
    *out_marks = marks;
out:
    return status;
}

void device_host_release_marks(struct device *dev, struct device_marks *marks) {
    (void)dev;
    free(marks);
}

void device_host_mark(struct device *dev, struct device_marks *marks, int32_t at) {
    (void)dev;
    assert(at >= 0 && at < marks->count);
    marks->nanoseconds[at] = clock_nanoseconds();
}

double device_host_marked_seconds(struct device *dev, const struct device_marks *marks, int32_t from,
                                  int32_t to) {
    (void)dev;
    assert(from >= 0 && from < marks->count && to >= 0 && to < marks->count);
    return 1e-9 * (double)(marks->nanoseconds[to] - marks->nanoseconds[from]);
}

void device_host_clip_scale(struct device *dev, float *scale, const double *squares, int32_t n, double clip) {
    double sum = 0;
    (void)dev;
    for (int32_t i = 0; i < n; i++)
        sum += squares[i];
    const double norm = sqrt(sum);
    *scale = !isfinite(norm) ? NAN : clip > 0 && norm > clip ? (float)(clip / (norm + 1e-6)) : 1.0f;
}
