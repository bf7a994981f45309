/* dropout_mask.h - the factors of inverted dropout, many at a time. */
#ifndef DEVICE_CPU_DROPOUT_MASK_H
#define DEVICE_CPU_DROPOUT_MASK_H

#include "device/backend.h"

/* factor[i] = dropout_scale(drop) if element first_index + i is kept, else 0, for i in [0, n); all 1 if
 * drop.threshold is 0. The values are those that struct dropout (device/backend.h) defines, for any alignment
 * of first_index and any way of cutting a range into calls. */
void cpu_dropout_factors(float *factor, uint64_t first_index, int64_t n, struct dropout drop);

#endif
