/* module.h - what the CUDA backend, a file of its own opened at run time, and the program agree on.
 *
 * The program knows no CUDA library. It looks for moe_cuda.so beside itself ($MOE_CUDA_MODULE names another
 * file) and asks it for this table, so that it starts, and says why there is no CUDA, on any machine.
 */
#ifndef DEVICE_MODULE_H
#define DEVICE_MODULE_H

#include "device/backend.h"

#define DEVICE_MODULE_VERSION 1
#define DEVICE_MODULE_SYMBOL  "moe_device_module" /* of type device_module_entry */
#define DEVICE_MODULE_TEXT    640

struct device_module {
    uint32_t version;     /* DEVICE_MODULE_VERSION */
    uint32_t table_bytes; /* sizeof(struct backend): module and program must come from one build */
    /* name: "cuda" computes in bf16, "cuda:fp32" in float. MOE_ENOTSUP where no driver or GPU answers. */
    moe_status (*open)(const char *name, const struct device_options *options, struct device **out_device,
                       moe_err *err);
    void (*close)(struct device *dev);
    /* One line: GPU, memory, driver and library; or MOE_ENOTSUP with the reason why there is none. */
    moe_status (*describe)(char text[DEVICE_MODULE_TEXT], moe_err *err);
};

typedef const struct device_module *(*device_module_entry)(void);

/* The CUDA module of this program, opened at the first call. MOE_ENOTSUP: no file, a library that it needs is
 * missing, or it belongs to another build. */
moe_status device_module_find(const struct device_module **out_module, moe_err *err);

#endif
