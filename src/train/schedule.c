#include "train/schedule.h"

#include <math.h>

int64_t schedule_warmup_steps(const struct train_config *train, int64_t total_steps) {
    if (train->warmup_steps > 0) return train->warmup_steps;
    return (int64_t)(train->warmup_ratio * (double)total_steps + 0.5);
}

double schedule_lr(const struct train_config *train, int64_t step, int64_t total_steps) {
    const int64_t warmup = schedule_warmup_steps(train, total_steps);
    if (step <= warmup) return train->lr * (double)step / (double)warmup;
    const int64_t decay_steps = total_steps - warmup;
    const double progress = decay_steps > 0 ? (double)(step - warmup) / (double)decay_steps : 1.0;
    const double floor_lr = train->lr * train->min_lr_ratio;
    switch (train->schedule) {
    case SCHEDULE_LINEAR:
        return floor_lr + (train->lr - floor_lr) * (1.0 - progress);
    case SCHEDULE_COSINE:
        return floor_lr + (train->lr - floor_lr) * 0.5 * (1.0 + cos(3.14159265358979323846 * progress));
    case SCHEDULE_CONSTANT:
        break;
    }
    return train->lr;
}

/* From start to end over `epochs` epochs, constant after. */
static double moved(double start, double end, int64_t epochs, int64_t epoch) {
    if (epochs <= 0) return start;
    if (epoch >= epochs) return end;
    return start + (end - start) * (double)epoch / (double)epochs;
}

double schedule_temperature(const struct moe_config *moe, int64_t epoch) {
    return moved(moe->temperature_start, moe->temperature_end, moe->temperature_epochs, epoch);
}

double schedule_noise(const struct classifier_section *classifier, int64_t epoch) {
    return moved(classifier->net.noise, classifier->noise_end, classifier->noise_epochs, epoch);
}
