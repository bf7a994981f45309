/* reference.h - the oracle: every operation of device/backend.h as the plainest loop that computes it.
 *
 * One thread, sums in double, results rounded once when they are stored. The kernels are written over a
 * storage type: an includer defines REAL and then includes device/ref/kernels.inc. The backend is the float
 * instance (act_t = float); a double instance serves gradient checks against finite differences, where `float
 * *` arguments become `double *`.
 */
#ifndef DEVICE_REF_REFERENCE_H
#define DEVICE_REF_REFERENCE_H

#include "device/backend.h"

struct reference_device {
    struct device base;
    double *scratch; /* grows to the longest row asked for */
    size_t scratch_count;
    bool
        out_of_memory; /* an operation was skipped for want of scratch; synchronize() reports and clears it */
};

/* At least n doubles that stay valid until the next call; NULL if memory is short, remembered for
 * synchronize(). */
double *reference_scratch(struct device *dev, int64_t n);

#endif
