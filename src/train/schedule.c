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

double schedule_temperature(const struct moe_config *moe, int64_t epoch) {
    if (moe->temperature_epochs <= 0) return moe->temperature_start;
    if (epoch >= moe->temperature_epochs) return moe->temperature_end;
    return moe->temperature_start +
           (moe->temperature_end - moe->temperature_start) * (double)epoch / (double)moe->temperature_epochs;
}
