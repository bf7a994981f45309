#include "analysis/palette.h"

#include <stdlib.h>
#include <string.h>

#define EXACT_COLOURS 48 /* the most frequent; more of them leave less for the shades */

/* An open hash table from colour to how often it occurs, and later to its index. */
struct palette_entry {
    uint32_t colour; /* 0xrrggbb + 1; 0 = empty */
    uint32_t index;
    uint64_t count;
};

/* A colour that looks for its place. */
struct shade {
    uint32_t colour, index;
    uint64_t count;
    int32_t distance; /* to colours[index] */
};

static uint32_t colour_at(const uint8_t *rgb) {
    return ((uint32_t)rgb[0] << 16) | ((uint32_t)rgb[1] << 8) | rgb[2];
}

static struct palette_entry *find_entry(const struct palette *p, uint32_t colour) {
    size_t at = (colour * 2654435761u) & (p->capacity - 1);
    while (p->table[at].colour != 0 && p->table[at].colour != colour + 1)
        at = (at + 1) & (p->capacity - 1);
    return &p->table[at];
}

static moe_status grow(struct palette *p, moe_err *err) {
    moe_status status = MOE_OK;
    struct palette bigger = {.capacity = p->capacity == 0 ? 4096 : 2 * p->capacity};
    bigger.table = calloc(bigger.capacity, sizeof *bigger.table);
    moe_check(bigger.table != NULL, err, MOE_ENOMEM, "cannot allocate the palette");
    for (size_t i = 0; i < p->capacity; i++)
        if (p->table[i].colour != 0) *find_entry(&bigger, p->table[i].colour - 1) = p->table[i];
    free(p->table);
    p->table = bigger.table;
    p->capacity = bigger.capacity;
out:
    return status;
}

/* Pixels from i on, up to `end`, that all have the colour of pixel i. */
static size_t run_length(const struct plot_image *image, size_t i, size_t end) {
    enum { MANY = 16 };
    const uint8_t *rgb = image->rgb + 3 * i;
    size_t run = 1;
    while (i + run + MANY <= end && memcmp(rgb + 3 * (run - 1), rgb + 3 * run, 3 * MANY) == 0)
        run += MANY; /* each is as the one before it */
    while (i + run < end && memcmp(rgb, rgb + 3 * run, 3) == 0)
        run++;
    return run;
}

static moe_status count_colours(struct palette *p, const struct plot_image *image, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    size_t run; /* pixels of one colour in a row */
    for (size_t i = 0; i < pixels; i += run) {
        if (2 * p->used >= p->capacity) moe_try(grow(p, err));
        run = run_length(image, i, pixels);
        const uint32_t colour = colour_at(image->rgb + 3 * i);
        struct palette_entry *entry = find_entry(p, colour);
        if (entry->colour == 0) {
            entry->colour = colour + 1;
            p->used++;
        }
        entry->count += run;
    }
out:
    return status;
}

/* Most frequent first; equals by colour, so that the order never depends on the table. */
static int by_count(const void *a, const void *b) {
    const struct shade *x = a;
    const struct shade *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->colour > y->colour) - (x->colour < y->colour);
}

/* The largest difference of a channel. */
static int32_t distance(uint32_t a, uint32_t b) {
    int32_t most = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const int32_t d = abs((int32_t)((a >> shift) & 0xff) - (int32_t)((b >> shift) & 0xff));
        if (d > most) most = d;
    }
    return most;
}

/* Gives the palette a colour, and it to the shades that are nearer to it than to all before. Returns the
 * shade that is farthest from its own now. */
static size_t add_colour(struct palette *p, struct shade *shades, size_t count, uint32_t colour) {
    size_t farthest = 0;
    const uint32_t index = (uint32_t)p->size++;
    p->colours[index] = colour;
    for (size_t i = 0; i < count; i++) {
        const int32_t d = distance(shades[i].colour, colour);
        if (d < shades[i].distance) {
            shades[i].distance = d;
            shades[i].index = index;
        }
        if (shades[i].distance > shades[farthest].distance) farthest = i;
    }
    p->error = shades[farthest].distance;
    return farthest;
}

static void choose(struct palette *p, struct shade *shades, size_t count, int32_t room) {
    const int32_t exact = count <= (size_t)room  ? (int32_t)count
                          : EXACT_COLOURS < room ? EXACT_COLOURS
                                                 : room;
    size_t farthest = 0;
    while (p->size < exact)
        farthest = add_colour(p, shades, count, shades[p->size].colour);
    while (p->size < room && p->error > 0)
        farthest = add_colour(p, shades, count, shades[farthest].colour);
}

moe_status palette_make(const struct plot_image *images, int32_t count, int32_t room, struct palette *out,
                        moe_err *err) {
    moe_status status = MOE_OK;
    struct palette p = {0};
    struct shade *shades = NULL;
    size_t n = 0;
    for (int32_t i = 0; i < count; i++)
        moe_try(count_colours(&p, &images[i], err));
    shades = malloc((p.used + 1) * sizeof *shades);
    moe_check(shades != NULL, err, MOE_ENOMEM, "cannot allocate the palette");
    for (size_t i = 0; i < p.capacity; i++)
        if (p.table[i].colour != 0)
            shades[n++] =
                (struct shade){.colour = p.table[i].colour - 1, .count = p.table[i].count, .distance = 256};
    qsort(shades, n, sizeof *shades, by_count);
    choose(&p, shades, n, room);
    for (size_t i = 0; i < n; i++)
        find_entry(&p, shades[i].colour)->index = shades[i].index;
    *out = p;
    p = (struct palette){0};
out:
    free(shades);
    palette_free(&p);
    return status;
}

void palette_free(struct palette *palette) {
    free(palette->table);
    *palette = (struct palette){0};
}

void palette_index(const struct palette *palette, const struct plot_image *image, uint8_t *out) {
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    size_t run;
    for (size_t i = 0; i < pixels; i += run) {
        run = run_length(image, i, pixels);
        memset(out + i, (int)find_entry(palette, colour_at(image->rgb + 3 * i))->index, run);
    }
}
