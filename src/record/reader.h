/* reader.h - reading a sealed or a live run. */
#ifndef RECORD_READER_H
#define RECORD_READER_H

#include "record/schema.h"

struct run_reader;

struct run_info {
    char suite[64], source[8], experiment[128], protocol[32], tier[16];
    uint64_t seed;
    char status[16];  /* "complete" or "live" */
    char outcome[32]; /* "" while live */
    char digest[65];  /* "" while live */
    struct run_axes axes;
    int64_t rows[RUN_SERIES_COUNT];
};

/* Opens X.h5, or X.h5.live when the run is not sealed; a path that ends in ".live" is read as a live file. A
 * reader is a copy of the run as it was when opened: to follow a live run, open it again. The file is read by
 * a forked child with limits on time and memory, so a damaged one is an error, never a crash. A process
 * cannot read the live file that it writes itself. MOE_ENOTFOUND, MOE_EIO, MOE_EFORMAT (names the dataset).
 */
moe_status run_reader_open(const char *path, struct run_reader **out_reader, moe_err *err);
void run_reader_close(struct run_reader *r); /* NULL is allowed */

/* Opens count runs one after the other, and lets the next ones be read meanwhile on all cores. The paths stay
 * the caller's, and those that are still to come stay as they are. */
struct run_queue;
moe_status run_queue_open(const char *const *paths, int32_t count, struct run_queue **out_queue,
                          moe_err *err);

/* The next run, to be asked for count times; fails as run_reader_open does, and the one behind it comes next
 * all the same. */
moe_status run_queue_next(struct run_queue *queue, struct run_reader **out_reader, moe_err *err);
void run_queue_close(struct run_queue *queue); /* NULL is allowed */

const struct run_info *run_reader_info(const struct run_reader *r);
const char *run_reader_path(const struct run_reader *r);
const char *run_reader_domain(const struct run_reader *r, int32_t domain);      /* NULL if out of range */
int32_t run_reader_layer_number(const struct run_reader *r, int32_t moe_layer); /* -1 if out of range */
const char *run_reader_config_json(const struct run_reader *r);
const char *run_reader_counts_json(const struct run_reader *r);
const char *run_reader_config_toml(const struct run_reader *r);
/* A /provenance attribute, or NULL. */
const char *run_reader_fact(const struct run_reader *r, const char *name);
/* All /provenance attributes, by name; returns their number. */
int32_t run_reader_facts(const struct run_reader *r, const struct run_fact **out_facts);

/* Path of the index-th dataset that run_reader_array() can read, NULL behind the last. */
#define RUN_DATASET_PATH_MAX 96
const char *run_reader_dataset(const struct run_reader *r, int32_t index, char path[RUN_DATASET_PATH_MAX]);

/* One dataset as double, row-major, malloc'ed; dims [<= 4]. name is the path, "/train/loss_ce". MOE_ENOTFOUND
 * names the datasets that exist. */
moe_status run_reader_array(struct run_reader *r, const char *name, double **out_values, int64_t dims[4],
                            int32_t *out_rank, moe_err *err);

/* The last step there is, of the record or of an evaluation: with train.record_steps not every step has a row
 * in /train, and the last evaluation may come after the last of them. 0 before the first. */
moe_status run_reader_last_step(struct run_reader *reader, int64_t *out_step, moe_err *err);

/* Recomputes the content digest (config, metrics, routing; not /timing, /provenance) from the data: 64 hex
 * digits. */
moe_status run_reader_digest(struct run_reader *r, char digest_hex[65], moe_err *err);

#endif
