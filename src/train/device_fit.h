/* device_fit.h - how large a device must be opened for a model. */
#ifndef TRAIN_DEVICE_FIT_H
#define TRAIN_DEVICE_FIT_H

#include "device/backend.h"
#include "model/config.h"

/* Options of a device that can pass `batch` sequences of `seq` tokens through the model, forward and
 * backward. threads 0 = all cores. */
struct device_options device_fit(const struct model_config *model, const struct moe_config *moe, int threads,
                                 int64_t batch, int64_t seq);

#endif
