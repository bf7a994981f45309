/* parallel.h - the rule of threads.
 *
 * Work is cut into pieces by its shape alone, never by the number of threads; a piece is computed whole by
 * one thread, and partial results are added in the order of the pieces. So one thread and many give the same
 * bits. Loops over pieces use OpenMP with schedule(dynamic, 1) or static: which thread takes a piece does not
 * matter.
 */
#ifndef CORE_PARALLEL_H
#define CORE_PARALLEL_H

#include <stdint.h>

/* Number of pieces of at most `grain` that n falls into. */
static inline int64_t piece_count(int64_t n, int64_t grain) {
    return (n + grain - 1) / grain;
}

/* First element of piece i; piece i covers [piece_begin(i), piece_begin(i + 1)). */
static inline int64_t piece_begin(int64_t i, int64_t n, int64_t grain) {
    const int64_t at = i * grain;
    return at < n ? at : n;
}

/* Threads to use when the user names none: the cores this process may run on (affinity and cgroup respected
 * as far as the kernel reports them through sched_getaffinity). At least 1. */
int parallel_default_threads(void);

#endif
