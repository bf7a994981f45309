/* run_paths.h - where run files lie: the paths below folders. */
#ifndef ANALYSIS_RUN_PATHS_H
#define ANALYSIS_RUN_PATHS_H

#include "core/status.h"

/* Paths of *.h5 files (and with `live` of *.h5.live, also where X.h5 is named and only X.h5.live exists)
 * below the roots, which are folders or single files; in order of the roots, then by name. A file reached
 * twice counts once. malloc'ed array of malloc'ed strings. MOE_ENOTFOUND, MOE_EIO. */
moe_status run_paths_find(const char *const *roots, int32_t num_roots, bool live, char ***out_paths,
                          int32_t *out_count, moe_err *err);
void run_paths_free(char **paths, int32_t count);

#endif
