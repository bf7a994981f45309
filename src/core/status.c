#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
    [MOE_OK] = "OK",
    [MOE_EARG] = "EARG",
    [MOE_ENOMEM] = "ENOMEM",
    [MOE_EIO] = "EIO",
    [MOE_EFORMAT] = "EFORMAT",
    [MOE_ECONFIG] = "ECONFIG",
    [MOE_ENOTFOUND] = "ENOTFOUND",
    [MOE_EEXIST] = "EEXIST",
    [MOE_EBUSY] = "EBUSY",
    [MOE_ENUMERIC] = "ENUMERIC",
    [MOE_EINTERRUPTED] = "EINTERRUPTED",
    [MOE_ENOTSUP] = "ENOTSUP",
    [MOE_EMISMATCH] = "EMISMATCH",
    [MOE_EUSAGE] = "EUSAGE",
};
_Static_assert(sizeof names / sizeof names[0] == MOE_STATUS_COUNT, "every status has a name");

moe_status moe_fail_at(moe_err *err, moe_status code, const char *file, int line, const char *fmt, ...) {
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof err->message, fmt, ap);
        va_end(ap);
        err->status = code;
        err->file = file;
        err->line = line;
    }
    return code;
}

const char *moe_status_name(moe_status status) {
    return (unsigned)status < MOE_STATUS_COUNT ? names[status] : "UNKNOWN";
}

int moe_exit_code(moe_status status) {
    switch (status) {
    case MOE_OK:
        return 0;
    case MOE_EUSAGE:
        return 2;
    case MOE_EINTERRUPTED:
        return 3;
    default:
        return 1;
    }
}
