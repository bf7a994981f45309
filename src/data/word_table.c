#include "data/word_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

enum { FIRST_SLOTS = 1 << 12, LARGEST_TABLE = 1 << 29 };

/* The slot that holds the word, or the free one where it belongs. */
static int32_t find_slot(const struct word_table *t, const char *word, int64_t length) {
    const uint32_t mask = (uint32_t)t->slot_count - 1;
    uint32_t at = (uint32_t)hash_xxh3_64(word, (size_t)length) & mask;
    for (; t->slots[at] != 0; at = (at + 1) & mask) {
        const struct word *w = &t->words[t->slots[at] - 1];
        if (w->length == length && memcmp(t->bytes + w->offset, word, (size_t)length) == 0) break;
    }
    return (int32_t)at;
}

static moe_status grow_slots(struct word_table *t, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t count = t->slot_count == 0 ? FIRST_SLOTS : t->slot_count * 2;
    int32_t *slots = calloc((size_t)count, sizeof *slots);
    moe_check(slots != NULL, err, MOE_ENOMEM, "no memory for a table of %d words", count / 2);
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    for (int32_t i = 0; i < t->size; i++) {
        t->slots[find_slot(t, t->bytes + t->words[i].offset, t->words[i].length)] = i + 1;
    }
out:
    return status;
}

static moe_status grow_storage(struct word_table *t, int64_t length, moe_err *err) {
    moe_status status = MOE_OK;
    if (t->size == t->words_capacity) {
        const int32_t capacity = t->words_capacity == 0 ? FIRST_SLOTS / 2 : t->words_capacity * 2;
        struct word *words = realloc(t->words, (size_t)capacity * sizeof *words);
        moe_check(words != NULL, err, MOE_ENOMEM, "no memory for a table of %d words", capacity);
        t->words = words;
        t->words_capacity = capacity;
    }
    if (length > t->bytes_capacity - t->bytes_used) {
        const int64_t capacity = 2 * t->bytes_capacity + length + (1 << 16);
        char *bytes = realloc(t->bytes, (size_t)capacity);
        moe_check(bytes != NULL, err, MOE_ENOMEM, "no memory for %lld bytes of words", (long long)capacity);
        t->bytes = bytes;
        t->bytes_capacity = capacity;
    }
out:
    return status;
}

moe_status word_table_add(struct word_table *t, const char *word, int64_t length, int32_t *out_number,
                          moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(length <= INT32_MAX, err, MOE_EFORMAT, "a word of %lld bytes: this is not text with words",
              (long long)length);
    if (t->size >= t->slot_count / 2) {
        moe_check(t->size < LARGEST_TABLE, err, MOE_ENOMEM, "more than %d different words", LARGEST_TABLE);
        moe_try(grow_slots(t, err));
    }
    const int32_t slot = find_slot(t, word, length);
    if (t->slots[slot] == 0) {
        moe_try(grow_storage(t, length, err));
        t->words[t->size] = (struct word){.offset = t->bytes_used, .length = (int32_t)length};
        memcpy(t->bytes + t->bytes_used, word, (size_t)length);
        t->bytes_used += length;
        t->slots[slot] = ++t->size;
    }
    *out_number = t->slots[slot] - 1;
    t->words[*out_number].count++;
out:
    return status;
}

int32_t word_table_find(const struct word_table *t, const char *word, int64_t length) {
    return t->size == 0 ? -1 : t->slots[find_slot(t, word, length)] - 1;
}

struct ranked {
    const char *bytes;
    int64_t count;
    int32_t length, number;
};

static int compare_ranked(const void *left, const void *right) {
    const struct ranked *a = left, *b = right;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    const int order = memcmp(a->bytes, b->bytes, (size_t)(a->length < b->length ? a->length : b->length));
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

moe_status word_table_rank(const struct word_table *t, int32_t **out_order, moe_err *err) {
    moe_status status = MOE_OK;
    struct ranked *ranked = malloc((size_t)t->size * sizeof *ranked + 1);
    int32_t *order = malloc((size_t)t->size * sizeof *order + 1);
    moe_check(ranked != NULL && order != NULL, err, MOE_ENOMEM, "no memory to rank %d words", t->size);
    for (int32_t i = 0; i < t->size; i++) {
        const struct word *w = &t->words[i];
        ranked[i] = (struct ranked){t->bytes + w->offset, w->count, w->length, i};
    }
    if (t->size > 0) qsort(ranked, (size_t)t->size, sizeof *ranked, compare_ranked);
    for (int32_t i = 0; i < t->size; i++) {
        order[i] = ranked[i].number;
    }
    *out_order = order;
    order = NULL;
out:
    free(ranked);
    free(order);
    return status;
}

void word_table_free(struct word_table *t) {
    free(t->bytes);
    free(t->words);
    free(t->slots);
    *t = (struct word_table){0};
}
