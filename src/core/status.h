/* status.h - the one error idiom of the tree.
 *
 * Every function that can fail returns a moe_status and takes a moe_err * as its last argument. It has a
 * local `moe_status status = MOE_OK;` and one label `out:` behind which everything it owns is released:
 *
 *     moe_status thing_open(const char *path, struct thing **out_thing, moe_err *err) {
 *         moe_status status = MOE_OK;
 *         FILE *f = fopen(path, "rb");
 *         moe_check(f != NULL, err, MOE_EIO, "%s: cannot open: %s", path, strerror(errno));
 *         moe_try(read_header(f, err));
 *     out:
 *         if (f != NULL) fclose(f);
 *         return status;
 *     }
 *
 * Libraries never print and never exit; the two programs do, with moe_exit_code().
 * A message names the file and the key, line, dataset or offset, says what was expected and what to do.
 */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fixed values: they stand in logs and scripts. */
typedef enum moe_status {
    MOE_OK = 0,
    MOE_EARG = 1,      /* a caller broke a function's contract */
    MOE_ENOMEM = 2,    /* memory (host or device) could not be had */
    MOE_EIO = 3,       /* the operating system refused a read, write, open, lock or rename */
    MOE_EFORMAT = 4,   /* a file is not what it claims to be: truncated, damaged, wrong version */
    MOE_ECONFIG = 5,   /* a configuration names an unknown key, a wrong type or an impossible combination */
    MOE_ENOTFOUND = 6, /* a named thing does not exist */
    MOE_EEXIST = 7,    /* a thing is already there and will not be repeated or overwritten */
    MOE_EBUSY = 8,     /* another process holds it */
    MOE_ENUMERIC = 9,  /* NaN or Inf where a number was needed */
    MOE_EINTERRUPTED = 10, /* a signal stopped the work; it can be resumed */
    MOE_ENOTSUP = 11,      /* this build, backend or file cannot do it */
    MOE_EMISMATCH = 12,    /* two things that must agree do not (digest, hash, shape) */
    MOE_EUSAGE = 13,       /* the command line is wrong */
    MOE_STATUS_COUNT
} moe_status;

/* The first failure's message is kept: callers that pass a failure up never overwrite it. */
typedef struct moe_err {
    moe_status status;
    char message[1024];
    const char *file; /* where in the source it was raised */
    int line;
} moe_err;

/* Records a failure in err (NULL is allowed) and returns code. Use through moe_fail(). */
moe_status moe_fail_at(moe_err *err, moe_status code, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Short name of a status ("EIO"); never NULL. */
const char *moe_status_name(moe_status status);

/* Exit code of a program that ends with this status: 0 done, 1 failed, 2 usage, 3 interrupted and resumable.
 */
int moe_exit_code(moe_status status);

#define moe_fail(err, code, ...) moe_fail_at((err), (code), __FILE__, __LINE__, __VA_ARGS__)

/* Passes a failure up. Needs `status` and `out:` in scope. */
#define moe_try(expr)                                                                                        \
    do {                                                                                                     \
        status = (expr);                                                                                     \
        if (status != MOE_OK) goto out;                                                                      \
    } while (0)

/* Raises a failure unless cond holds. Needs `status` and `out:` in scope. */
#define moe_check(cond, err, code, ...)                                                                      \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            status = moe_fail((err), (code), __VA_ARGS__);                                                   \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#endif
