/* chance_balance.h - the balance that a batch shows whose images choose by pure chance. */
#ifndef ANALYSIS_CHANCE_BALANCE_H
#define ANALYSIS_CHANCE_BALANCE_H

#include <stdint.h>

/* Means over chance of the measures of record/routing_stats.h. */
struct chance_balance {
    double cv2, gini;
};

/* Each of `images` images chooses `chosen` different ones of `experts`, every set with the same chance.
 * images > 0, 0 < chosen <= experts.
 *
 * The numbers n_e of images that chose expert e have a fixed sum, so that the mean of their population
 * variance is the variance of one of them, N k/E (1 - k/E); and the Gini coefficient, which is
 * sum_ij |n_i - n_j| / (2 E^2 mean), has the mean (E - 1) / (2 E mean) E|n_1 - n_2|. The difference is a walk
 * of N steps, each to either side with the chance k (E - k) / (E (E - 1)). */
struct chance_balance chance_balance_of(int32_t images, int32_t chosen, int32_t experts);

#endif
