/* fixture_suite.h - experiments of a committed suite; SUITE names it. */
#ifndef FIXTURE_SUITE_H
#define FIXTURE_SUITE_H

#include "train/experiment.h"

static inline struct experiment_choice choose(const char *name, const char *protocol, const char *tier) {
    return (struct experiment_choice){.suites_dir = MOE_SOURCE_DIR "/runs/suites",
                                      .suite = SUITE,
                                      .experiment = name,
                                      .protocol = protocol,
                                      .tier = tier,
                                      .seed = 1};
}

/* With keys set as --set does: "KEY=VALUE". */
static inline struct experiment *load_with(const char *name, const char *protocol, const char *tier,
                                           const char *const *sets, int32_t count) {
    moe_err err = {0};
    struct experiment *e = NULL;
    struct experiment_choice choice = choose(name, protocol, tier);
    choice.sets = sets;
    choice.set_count = count;
    if (experiment_load(&choice, &e, &err) != MOE_OK)
        fail_msg("%s %s %s: %s", name, protocol, tier, err.message);
    return e;
}

static inline struct experiment *load(const char *name, const char *protocol, const char *tier) {
    return load_with(name, protocol, tier, NULL, 0);
}

#endif
