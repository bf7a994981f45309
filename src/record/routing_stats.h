/* routing_stats.h - the measures of balance, defined here and nowhere else.
 *
 * All take loads x_e >= 0 of n experts and use shares p_e = x_e / sum x. A total of 0 gives 0 for every
 * measure.
 */
#ifndef RECORD_ROUTING_STATS_H
#define RECORD_ROUTING_STATS_H

#include <stdint.h>

struct routing_stats {
    double entropy; /* -sum p ln p, nats; ln n when balanced */
    double gini;    /* sum_i (2i - n - 1) x_(i) / (n sum x), x_(i) ascending, i from 1; 0 when balanced */
    double cv2;     /* population variance / mean^2 (Shazeer et al. 2017); 0 when balanced */
    double max_over_mean; /* load imbalance; 1 when balanced; max_vio (arXiv 2408.15664) is this minus 1 */
};

/* n <= ROUTING_STATS_MAX_EXPERTS. */
#define ROUTING_STATS_MAX_EXPERTS 4096
struct routing_stats routing_stats_of_load(const int32_t *load, int32_t n);
struct routing_stats routing_stats_of_shares(const double *x, int32_t n);

/* The same with unbiased variance (n - 1), as torch.var computes it. n >= 2, else 0. */
double routing_cv2_unbiased(const double *x, int32_t n);
/* Gini in its n / (n - 1) form. n >= 2, else 0. */
double routing_gini_unbiased(const double *x, int32_t n);

#endif
