/* registry.h - the data sets that `moe data fetch` knows: where their publishers keep them, and what they
 * must be.
 *
 * Every file is pinned by at least one checksum, its own or that of its archive; an address may change or
 * lie, the content may not.
 */
#ifndef DATA_REGISTRY_H
#define DATA_REGISTRY_H

#include "core/status.h"

struct data_file {
    const char *name;         /* relative to the data folder */
    const char *url;          /* NULL = it comes out of an archive */
    const char *sha256, *md5; /* lower-case hexadecimal; NULL = not known */
    int64_t bytes;            /* 0 = not stated */
    bool prefix; /* only the first `bytes` bytes of what stands at the address or in the archive */
    const struct data_file *archive; /* a .tar.gz that has it; NULL = it stands at its own address */
    const char *member;              /* its name in there */
};

struct data_set {
    const char *name, *title;
    const struct data_file *files;
    int32_t num_files;
    const char *homepage, *licence, *citation;
    const char *note; /* what to know or do after fetching; NULL = nothing */
};

int32_t registry_count(void);
const struct data_set *registry_at(int32_t i); /* 0 <= i < registry_count() */

/* The set that has a file of this name; NULL if none has. */
const struct data_set *registry_holding(const char *file);

/* MOE_ENOTFOUND lists the names there are. */
moe_status registry_find(const char *name, const struct data_set **out_set, moe_err *err);

#endif
