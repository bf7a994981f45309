/* run_facts.h - what a run file says about where it comes from: counts, data, host, libraries. */
#ifndef TRAIN_RUN_FACTS_H
#define TRAIN_RUN_FACTS_H

#include "record/schema.h"
#include "train/learner.h"

#define RUN_FACTS_MAX  24
#define RUN_FACT_CHARS 256

struct run_facts {
    struct run_fact items[RUN_FACTS_MAX];
    char values[RUN_FACTS_MAX][RUN_FACT_CHARS];
    int32_t count;
};

/* Host, processor, kernel, libraries, build, device, threads, start time. The parts that a digest is promised
 * within (build, flags, blas) are among them. */
void run_facts_begin(struct run_facts *facts, const struct device *dev, bool portable);

/* End time, peak memory, and what was not finite ("": nothing). The text is copied. */
void run_facts_end(struct run_facts *facts, const char *divergence);

/* {"total", "active", "flops_per_token", "parts": {...}, "data": [{"name", "sha256", "tokens"}],
 * "entropy_floor": {...}}; malloc'ed, sorted keys. */
moe_status run_counts_json(const struct learner_counts *counts, const struct dataset *data, char **out_json,
                           moe_err *err);

/* VmHWM of this process in bytes; 0 where the system does not say. */
int64_t run_peak_memory(void);

#endif
