/* fixture_paper.h - a small paper/ folder in a temporary place: files that a test writes, beside those of the
 * project. */
#ifndef TEST_FIXTURE_PAPER_H
#define TEST_FIXTURE_PAPER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "fixture_remove.h"

/* Writes text to ROOT/NAME, making folders. 0 on success. */
static inline int fixture_file(const char *root, const char *name, const char *text) {
    char path[512];
    moe_err err = {0};
    snprintf(path, sizeof path, "%s/%s", root, name);
    moe_status status = file_make_parents(path, &err);
    if (status == MOE_OK) status = file_write_atomic(path, text, strlen(text), &err);
    if (status != MOE_OK) fprintf(stderr, "%s\n", err.message);
    return status == MOE_OK ? 0 : -1;
}

/* Published numbers, margins and an audit of source A, with a document that prints two losses. */
static inline int fixture_paper(const char *root) {
    return fixture_file(
               root, "published/A.toml",
               "[loss]\ndense = 9.37\nbaseline = 9.38\n[rate]\ndense = 100\nseconds = 2.0\ntokens = 400\n") +
           fixture_file(root, "claims/margins.toml",
                        "[loss]\nvalue = 0.01\nsays = \"a difference that counts\"\n") +
           fixture_file(
               root, "audit/A.toml",
               "[tokens.dense]\nvalue = \"rate.dense * rate.seconds\"\nunit = \"tokens\"\nsays = \"tokens an "
               "epoch would have\"\n");
}

#endif
