/* scales.h - dimension scales (HDF5 Dimension Scale Specification 1.0), written as attributes directly: the
 * high-level library leaves padding bytes undefined, and equal runs must have equal bytes. */
#ifndef RECORD_SCALES_H
#define RECORD_SCALES_H

#include "record/hdf.h"

/* Makes the step and /axes datasets scales of every dataset's dimensions. All datasets must exist. */
moe_status scales_attach(hid_t h5, const struct run_axes *axes, const char *file, moe_err *err);

#endif
