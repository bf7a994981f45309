/* fetch.h - gets a registered file: download or unpack, check, put into its place.
 *
 * The bytes go to NAME.part, which a later call continues. Only when its checksums are those of the registry
 * does it become NAME (fsync, then rename). A complete download that is not the registered file is deleted:
 * it is of no use to anybody and must not be continued. If it was continued from an earlier .part, it is
 * fetched once more from the beginning first. A file that is already there is checked and never overwritten.
 * For a file that comes out of an archive, the archive is got in this way first, and stays.
 */
#ifndef DATA_FETCH_H
#define DATA_FETCH_H

#include "data/download.h"
#include "data/registry.h"

struct fetch_options {
    const char *folder;         /* the data folder */
    const char *base_url;       /* NULL: the registry's addresses; else files are taken from base_url/NAME */
    int64_t stall_seconds;      /* 0 = 60 */
    download_progress progress; /* may be NULL */
    void *user;
};

enum fetch_result { FETCH_DOWNLOADED, FETCH_ALREADY_THERE, FETCH_UNPACKED };

/* Errors, beside those of download_to() and archive_extract(): MOE_EMISMATCH (wrong checksum or size,
 * expected and found are named; or another file stands in the way); MOE_EBUSY (another process is fetching
 * it). */
moe_status fetch_file(const struct data_file *file, const struct fetch_options *options,
                      enum fetch_result *out_result, moe_err *err);

/* Compares a file with what the registry says of it. MOE_EMISMATCH names what differs. */
moe_status fetch_check(const struct data_file *file, const char *path, moe_err *err);

#endif
