/* word_table.h - words numbered in the order they were first added, with their counts. */
#ifndef DATA_WORD_TABLE_H
#define DATA_WORD_TABLE_H

#include "core/status.h"

struct word {
    int64_t offset; /* of its bytes in word_table.bytes */
    int32_t length; /* bytes */
    int64_t count;  /* times it was added */
};

struct word_table {
    char *bytes; /* all words, one after the other, no separators */
    int64_t bytes_used, bytes_capacity;
    struct word *words; /* [size] */
    int32_t size, words_capacity;
    int32_t *slots; /* [slot_count] number of the word + 1, 0 = free; open addressing by XXH3 */
    int32_t slot_count;
};

/* Number of the word, added with count 0 if it is new; then counts it once more. */
moe_status word_table_add(struct word_table *t, const char *word, int64_t length, int32_t *out_number,
                          moe_err *err);

/* Number of the word, or -1. */
int32_t word_table_find(const struct word_table *t, const char *word, int64_t length);

/* order [size] = word numbers by count descending, then bytes ascending (unsigned; a prefix comes first). */
moe_status word_table_rank(const struct word_table *t, int32_t **out_order, moe_err *err);
void word_table_free(struct word_table *t);

#endif
