/* schedule.h - what changes with time: learning rate, router temperature, noise of gates. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include "train/experiment.h"

/* Steps of linear warm-up in a run of total_steps: warmup_steps, or else warmup_ratio * total_steps rounded.
 */
int64_t schedule_warmup_steps(const struct train_config *train, int64_t total_steps);

/* Learning rate of step 1 .. total_steps. Warm-up: lr * step / warmup. After it: constant; linear to lr *
 * min_lr_ratio at total_steps; or half a cosine to the same (Loshchilov and Hutter 2017). */
double schedule_lr(const struct train_config *train, int64_t step, int64_t total_steps);

/* Router temperature of an epoch (0-based): start + (end - start) * epoch / temperature_epochs, then end. */
double schedule_temperature(const struct moe_config *moe, int64_t epoch);

/* Multiplier of the gates' noise in an epoch, in the same way from classifier.noise to noise_end. */
double schedule_noise(const struct classifier_section *classifier, int64_t epoch);

#endif
