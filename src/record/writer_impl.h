/* writer_impl.h - the writer's inside, shared by writer.c (rows, commit, seal) and recover.c (begin, resume).
 */
#ifndef RECORD_WRITER_IMPL_H
#define RECORD_WRITER_IMPL_H

#include "record/columns.h"
#include "record/live.h"
#include "record/lock.h"
#include "record/routing_stats.h"

struct pending {
    unsigned char *values; /* rows appended and not yet committed */
    size_t capacity;       /* bytes */
};

struct run_writer {
    char *path, *live_path, *saved_path;
    struct run_lock lock;
    struct live *live;
    struct run_axes axes;
    struct pending pending[RUN_COLUMN_COUNT];
    int64_t pending_rows[RUN_SERIES_COUNT];
    int64_t last_step[RUN_SERIES_COUNT];
    struct routing_stats *stats; /* [moe_layers] of the row being appended */
    moe_err broken;              /* the first failed commit; nothing is written after it */
};

#endif
