/* hdf.h - HDF5 spoken in the tree's error idiom: quiet, with messages, and with the creation properties of
 * run files. */
#ifndef RECORD_HDF_H
#define RECORD_HDF_H

#include <hdf5.h>

#include "record/columns.h"

/* Keeps HDF5 from printing its error stack and from working at exit. Called before other HDF5 calls of a
 * thread. */
void hdf_quiet(void);

/* Records the innermost reason of the HDF5 call that just failed: "FILE: cannot WHAT: REASON". A full disk is
 * MOE_EIO and said as such; anything else is `code`. */
moe_status hdf_fail(moe_err *err, moe_status code, const char *file, const char *what);

/* Raises a failure of an HDF5 call unless it returned >= 0. Needs `status` and `out:` in scope. */
#define hdf_check(call, err, code, file, what)                                                               \
    do {                                                                                                     \
        if ((call) < 0) {                                                                                    \
            status = hdf_fail((err), (code), (file), (what));                                                \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

/* Types of a column: little-endian in the file, native in memory. */
hid_t hdf_file_type(enum run_type type);
hid_t hdf_memory_type(enum run_type type);

/* Access properties: formats of HDF5 1.10 whatever the library's version, strong close, no file locks of
 * HDF5's own (X.h5.lock keeps writers apart, SWMR lets readers in, and some file systems refuse flock). < 0
 * on failure. */
hid_t hdf_access(void);

/* Names a file in memory. HDF5 reads what a new one is about to replace, and refuses to open one whose name
 * is taken: nothing can have this name. */
#define HDF_NO_FILE "/dev/null/run"

/* Creation properties of a file (userblock bytes in front), a group and a dataset: no times, compact
 * attributes. */
hid_t hdf_file_creation(hsize_t userblock);
hid_t hdf_group_creation(void);
hid_t hdf_dataset_creation(void);

/* Attributes of an open object. Strings are fixed-length UTF-8. */
moe_status hdf_put_string(hid_t object, const char *name, const char *value, const char *file, moe_err *err);
moe_status hdf_put_int(hid_t object, const char *name, hid_t file_type, const void *value, hid_t memory_type,
                       const char *file, moe_err *err);

/* units and description, which every dataset has. */
moe_status hdf_put_meaning(hid_t dataset, const char *units, const char *description, const char *file,
                           moe_err *err);

/* What is written the same way to live and sealed files: root attributes, /config, /axes and the empty groups
 * of the series. Provenance goes last in a sealed file, because its size differs between equal runs. */
moe_status hdf_put_head(hid_t h5, const struct run_table *table, const char *file, moe_err *err);
moe_status hdf_put_facts(hid_t h5, const struct run_table *table, const char *file, moe_err *err);

/* Closes any kind of identifier; negative is allowed. */
void hdf_close(hid_t id);

#endif
