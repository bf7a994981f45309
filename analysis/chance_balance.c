#include "analysis/chance_balance.h"

#include <math.h>

/* Mean distance from its start of a walk of `steps` steps that stays with the chance 1 - move and goes to
 * either side with move / 2. A walk of m moves is w_m away, with w_1 = w_2 = 1 and w_(2j+1) = w_(2j+2) =
 * w_(2j) (2j + 1) / (2j). */
static double walk_distance(int32_t steps, double move) {
    double sum = 0.0;
    double away = 0.0;
    double chance = steps * log1p(-move); /* logarithm of that of m moves */
    for (int32_t m = 0; m <= steps; m++) {
        if (m % 2 == 1) away = m == 1 ? 1.0 : away * m / (m - 1.0);
        sum += away * exp(chance);
        chance += log((double)(steps - m) / (m + 1.0)) + log(move) - log1p(-move);
    }
    return sum;
}

struct chance_balance chance_balance_of(int32_t images, int32_t chosen, int32_t experts) {
    const double share = (double)chosen / experts;
    const double mean = images * share;
    if (chosen == experts) return (struct chance_balance){0.0, 0.0};
    const double move = 2.0 * share * (experts - chosen) / (experts - 1.0);
    /* one of two: every image moves */
    const double distance = walk_distance(images, fmin(move, 1.0 - 1e-15));
    return (struct chance_balance){
        .cv2 = (1.0 - share) / mean,
        .gini = (experts - 1.0) / (2.0 * experts * mean) * distance,
    };
}
