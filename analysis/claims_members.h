/* claims_members.h - one entry of a ledger that stands for several: the members of `each` and `every`. */
#ifndef ANALYSIS_CLAIMS_MEMBERS_H
#define ANALYSIS_CLAIMS_MEMBERS_H

#include <jansson.h>

/* Every `mark` ("{}", "{each}") of text replaced; malloc'ed, NULL when memory is out. */
char *member_fill(const char *text, const char *mark, const char *with);

/* A member as people write it: the 1_8 of names of runs is 1/8, and "0.01,gamma=0" has spaces; malloc'ed,
 * NULL when memory is out. */
char *member_spelled(const char *member);

/* A copy of a claim with "{each}" replaced by `with`, spelled in what people read. NULL when memory is out.
 */
json_t *member_substitute(const json_t *entry, const char *with);

#endif
