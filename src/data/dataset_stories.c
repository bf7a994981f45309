/* Datasets from the story generator. */
#include "data/dataset_build.h"

moe_status dataset_fill_stories(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    (void)request;
    (void)d;
    return moe_fail(err, MOE_ENOTSUP, "this build has no story generator");
}
