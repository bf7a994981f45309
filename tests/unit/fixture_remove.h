/* fixture_remove.h - removes what a fixture has written. */
#ifndef TEST_FIXTURE_REMOVE_H
#define TEST_FIXTURE_REMOVE_H

#include <stdio.h>
#include <stdlib.h>

/* Removes a folder, and those whose names begin with its. */
static inline int fixture_remove(const char *root) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'*", root);
    return system(command);
}

#endif
