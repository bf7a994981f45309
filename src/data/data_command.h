/* data_command.h - `moe data`: lists, describes and fetches data sets, shows the embedded stories and writes
 * the embedded images. */
#ifndef DATA_DATA_COMMAND_H
#define DATA_DATA_COMMAND_H

#include <stdio.h>

#include "data/fetch.h"
#include "data/images.h"

/* argv[0] is "data"; the rest is one of
 *     list                                          every data set: files, sizes, which of them are there
 *     info NAME                                     one data set: addresses, checksums, licence, citation
 *     fetch NAME... [--dir DIR] [--base-url URL]    downloads what is missing; "all" is every data set
 *     stories [--seed N] [--count N] [--domain D]   the first training stories of a seed, exact entropies
 *     images --out FILE [--split train|test] [--seed N] [--count N] [--force]
 *                                                   generated images as a file in CIFAR-10's format
 *     tokenizer train FILE... --vocab N --out MODEL [--type bpe|unigram] [--lower] [--force]
 *                                                   learns a SentencePiece model (tokenizer_train.h)
 *     --help
 * DIR is by default $MOE_DATA_DIR, else "data". Everything is written to `out`; on a terminal `fetch` shows
 * its progress there. MOE_EUSAGE names the argument that is wrong. */
moe_status data_command(int argc, char **argv, FILE *out, moe_err *err);

/* The same as functions. */
void data_list(const char *folder, FILE *out);
moe_status data_info(const char *name, const char *folder, FILE *out, moe_err *err);

/* Fetches the files of one set; progress of `options` is used as given. */
moe_status data_fetch(const struct data_set *set, const struct fetch_options *options, FILE *out,
                      moe_err *err);

struct data_stories {
    uint64_t seed;
    int32_t count;      /* stories of each domain */
    const char *domain; /* NULL = all */
};

moe_status data_stories(const struct data_stories *what, FILE *out, moe_err *err);

struct data_images {
    const char *path;
    enum image_split split;
    uint64_t seed;
    int64_t count;
    bool force; /* replace a file that is there */
};

moe_status data_images(const struct data_images *what, FILE *out, moe_err *err);

#endif
