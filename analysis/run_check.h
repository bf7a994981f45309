/* run_check.h - whether a run file is what it says: its digest and its derived measures, computed again. */
#ifndef ANALYSIS_RUN_CHECK_H
#define ANALYSIS_RUN_CHECK_H

#include "core/text.h"
#include "record/reader.h"

/* Recomputes the content digest, and usage entropy, Gini, CV^2, max/mean and dropped slots from the load
 * tensors of every recorded row. MOE_EMISMATCH names file, dataset, row and both values. A live run has no
 * digest to compare. */
moe_status run_verify(struct run_reader *reader, moe_err *err);

/* Appends what differs between two runs, one line each: identity, configuration key by key, datasets of the
 * content (with the first row that differs and the largest difference), and provenance, where the facts that
 * a digest is promised within are marked. *out_same: the contents (digests) are equal. MOE_ENOMEM,
 * MOE_EFORMAT. */
moe_status run_diff(struct run_reader *a, struct run_reader *b, struct text *out, bool *out_same,
                    moe_err *err);

#endif
