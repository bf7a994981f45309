/* slicing.h - the runs of source C (suite slicing) by what they are instead of by name.
 *
 * A grid has hundreds of runs, of which a report may have any part. Each is placed by its configuration: the
 * size of the model, the granularity of its experts and their number, and the settings. Those of a setting
 * that is not varied must be the usual ones: the values that most runs of the protocol have.
 */
#ifndef ANALYSIS_SLICING_H
#define ANALYSIS_SLICING_H

#include "analysis/report.h"
#include "analysis/stats.h"

#define SLICING_SUITE     "slicing"
#define SLICING_PROTOCOLS 2
extern const char *const slicing_protocols[SLICING_PROTOCOLS];       /* as-published, corrected */
extern const char *const slicing_protocol_titles[SLICING_PROTOCOLS]; /* for headings */

/* Coordinates; all but `routed` are numbers, so that figures can name an axis by them. A dense model has no
 * experts and g = s = 1. */
enum slicing_axis {
    AXIS_WIDTH = 0,   /* of the residual stream: what tells sizes of models apart */
    AXIS_ROUTED,      /* 1: experts, 0: dense */
    AXIS_GRANULARITY, /* width of an expert over that of the dense layer: g, of the first group */
    AXIS_SECOND,      /* g of the second group; 0 = one group */
    AXIS_EXPERTS,     /* n, of both groups */
    AXIS_SPARSITY,    /* sum of n g: s */
    AXIS_GENERALIST,  /* granularity of the generalist; 0 = none */
    AXIS_CAPACITY,    /* factor; 0 = dropless */
    AXIS_BY_WEIGHT,   /* 1: full experts drop slots of low weight, 0: late ones */
    AXIS_ALPHA,       /* weight of the balance loss */
    AXIS_GAMMA,       /* step of the bias */
    AXIS_FAULT,       /* 1: the bias moves in the first group only; 2: experts read the block's input */
    AXIS_RATE,        /* learning rate */
    AXIS_WARMUP,      /* steps, or, below 1, share of all steps */
    AXIS_TOKENS,      /* of training */
    SLICING_AXES
};
extern const char *const slicing_axis_titles[SLICING_AXES];

struct slicing_run {
    const struct run_file *file;
    int32_t protocol;
    double at[SLICING_AXES];
    double parameters, active; /* totals of the run file */
    double steps;
};

#define SLICING_SIZES 16 /* widths times protocols whose usual values are kept */

struct slicing_grid {
    struct report *report;
    struct slicing_run *runs; /* [n] in the order of the list */
    int32_t n;
    struct slicing_size {
        int32_t protocol;
        double width, usual[SLICING_AXES];
    } sizes[SLICING_SIZES];
    int32_t num_sizes;
};

/* Every complete run of the suite. Runs of learning-rate sweeps are left out. Reading configurations counts
 * as no use of a run (select.h). */
moe_status slicing_open(struct report *report, struct slicing_grid *out_grid, moe_err *err);
void slicing_close(struct slicing_grid *grid);

/* Which runs: `free` axes (bits 1 << axis) may have any value, the others the one given; NaN fits none. */
struct slicing_choice {
    int32_t protocol;
    uint32_t free;
    double at[SLICING_AXES];
};

/* Runs with experts of a protocol and width, one group, no generalist, everything else as usual; g, n, s are
 * free. Faults are free as published, and absent corrected. */
struct slicing_choice slicing_usual(const struct slicing_grid *grid, int32_t protocol, double width);
/* The dense models of the same size and settings. */
struct slicing_choice slicing_dense(const struct slicing_grid *grid, int32_t protocol, double width);

bool slicing_fits(const struct slicing_choice *choice, const struct slicing_run *run);

/* The usual value of an axis, NaN if there is no run: that of the most runs with experts, the first of
 * equals.
 */
double slicing_usual_value(const struct slicing_grid *grid, int32_t protocol, double width,
                           enum slicing_axis axis);

/* Different values of an axis among the runs that fit, ascending: malloc'ed. */
moe_status slicing_values(const struct slicing_grid *grid, const struct slicing_choice *choice,
                          enum slicing_axis axis, double **out_values, int32_t *out_count, moe_err *err);

/* Numbers of a run. The last 50 steps are what the source averages over; a shorter run gives all it has. */
enum slicing_number {
    NUMBER_EVAL_CE = 0, /* of a domain, at the last evaluation */
    NUMBER_ACCURACY,    /* the same */
    NUMBER_TRAIN_CE,    /* mean of the last 50 steps */
    NUMBER_BALANCE, /* (E / k) sum_e f_e P_e of a layer, 1 when balanced; mean of layers and last 50 steps */
    NUMBER_IMBALANCE, /* largest over mean load of a batch, the same */
    SLICING_NUMBERS
};
extern const char *const slicing_number_labels[SLICING_NUMBERS]; /* with the unit */

/* MOE_ENOTFOUND: no such domain in this run, or it does not route. domain is read for the first two only;
 * NULL = all. */
moe_status slicing_number_of(const struct slicing_grid *grid, const struct slicing_run *run,
                             enum slicing_number number, const char *domain, double *out, moe_err *err);

/* Over the seeds of the runs that fit; n = 0 if there are none. */
moe_status slicing_estimate(const struct slicing_grid *grid, const struct slicing_choice *choice,
                            enum slicing_number number, const char *domain, struct stats_estimate *out,
                            moe_err *err);

/* "1/8" of 0.125; whole numbers as they are; others with three digits. */
void slicing_fraction(double value, char *out, size_t size);

#endif
