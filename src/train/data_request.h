/* data_request.h - what an experiment's [data] asks of the data room. */
#ifndef TRAIN_DATA_REQUEST_H
#define TRAIN_DATA_REQUEST_H

#include "data/dataset.h"
#include "data/images.h"
#include "train/experiment.h"

/* The request of e's data, with strings that live as long as e; suite_dir and cache_dir are left NULL. */
struct dataset_request data_request_of(const struct experiment *e, const char *data_dir);

/* The same of images. */
struct image_request image_request_of(const struct experiment *e, const char *data_dir);

#endif
