/* writer.h - writing a run: begin or recover, append, commit, seal. */
#ifndef RECORD_WRITER_H
#define RECORD_WRITER_H

#include "record/schema.h"

struct run_writer;

struct run_begin {
    const char *path; /* X.h5 */
    struct run_identity identity;
    struct run_axes axes;
    const char *const *domain_names; /* [axes.domains] */
    /* [axes.moe_layers] number of each row of the layer axis: decoder layer (0-based), + 1000 where the row
     * is of the layer's second router */
    const int32_t *moe_layer_numbers;
    const char *config_json; /* the resolved configuration, sorted keys */
    const char *config_toml; /* the same as TOML, for people */
    const char
        *counts_json; /* {"total": n, "active": n, "parts": {...}, "data": [{name, sha256, tokens}...]} */
    const struct run_fact *facts; /* provenance known at the start (host, device, libraries, build, ...) */
    int32_t fact_count;
    int64_t record_steps; /* steps between rows of /train; 0 = 1 */
};

enum run_state { RUN_ABSENT = 0, RUN_RESUMABLE = 1, RUN_COMPLETE = 2 };

/* What stands at path: COMPLETE if X.h5 is there and its bytes are those that were sealed, RESUMABLE if a
 * live file is, else ABSENT. MOE_EFORMAT if X.h5 is damaged. */
moe_status run_state_of(const char *path, enum run_state *out_state, moe_err *err);

/* Takes the run's lock (MOE_EBUSY names the process that writes it) and starts a new live file. MOE_EEXIST if
 * the run is complete. Folders are made, a left-over live file is replaced. */
moe_status run_writer_begin(const struct run_begin *begin, struct run_writer **out_writer, moe_err *err);

/* Takes the lock and continues a live file after `step`: rows of later steps are cut (they will be computed
 * again, to the same values). So a checkpoint of step s is taken when all rows of step s are appended and
 * committed, evaluation and epoch included. step 0 keeps nothing. MOE_EMISMATCH if identity, axes, config or
 * counts differ from the live file's; MOE_EFORMAT if it is damaged or does not reach `step`, and neither does
 * what run_writer_save() kept: the message says to begin again; MOE_EEXIST if the run is complete. Facts that
 * differ from those of the start are added to /provenance as resumeN.NAME, N = 1, 2, ... */
moe_status run_writer_resume(const struct run_begin *begin, int64_t step, struct run_writer **out_writer,
                             moe_err *err);

/* Rows are kept in memory until run_writer_commit(). Steps count from 1 and rise by row (in /eval they may
 * repeat): MOE_EARG otherwise. */
moe_status run_writer_train(struct run_writer *w, const struct run_train_row *row, moe_err *err);
/* Kept to a multiple of 2^-20 s and of 2^-4 tokens a second. */
moe_status run_writer_timing(struct run_writer *w, const struct run_timing_row *row, moe_err *err);
moe_status run_writer_epoch(struct run_writer *w, const struct run_epoch_row *row, moe_err *err);
moe_status run_writer_eval(struct run_writer *w, const struct run_eval_row *row, moe_err *err);
/* series: RUN_ROUTING or RUN_ROUTING_EVAL */
moe_status run_writer_routing(struct run_writer *w, enum run_series series, const struct run_routing_row *row,
                              moe_err *err);

/* After commit returns, every row appended so far survives SIGKILL (H5Fflush). Called once per step. MOE_EIO
 * (a full disk is named as such): the writer can then only be closed, and the run is resumable. */
moe_status run_writer_commit(struct run_writer *w, moe_err *err);

/* Commits, and makes the rows so far survive a power cut: an fsynced copy of the live file, X.h5.saved.
 * Called just before a checkpoint is written. MOE_EIO. */
moe_status run_writer_save(struct run_writer *w, moe_err *err);

/* Ends the run: seals X.h5.live into X.h5 (temporary file, fsync, rename, fsync of the folder), with
 * end_facts added to /provenance and `outcome` ("max_epochs", "max_steps", "early_stopped", ...) as
 * attribute; removes the live file and the lock. The writer is freed, also on failure (then the live file is
 * untouched and resumable). digest_hex, if not NULL, receives 64 hex digits and a zero. */
moe_status run_writer_seal(struct run_writer *w, const char *outcome, const struct run_fact *end_facts,
                           int32_t end_fact_count, char digest_hex[65], moe_err *err);

/* Leaves the run resumable and frees the writer (NULL is allowed). */
void run_writer_close(struct run_writer *w);

#endif
