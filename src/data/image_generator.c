#include "data/image_generator.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/normal.h"
#include "core/rng.h"

enum shape { DISC, RING, SQUARE, TRIANGLE, CROSS };
enum { PIXELS = IMAGE_SIDE * IMAGE_SIDE };

/* Hues in turns: 0 red, 1/3 green, 2/3 blue. The two surfaces of a shape prefer opposite ones. */
static const struct look {
    const char *name;
    enum shape shape;
    bool striped;
    float hue;
} looks[IMAGE_CLASSES] = {
    {"disc", DISC, false, 0.0f},         {"striped disc", DISC, true, 0.5f},
    {"ring", RING, false, 0.6f},         {"striped ring", RING, true, 0.1f},
    {"square", SQUARE, false, 0.2f},     {"striped square", SQUARE, true, 0.7f},
    {"triangle", TRIANGLE, false, 0.8f}, {"striped triangle", TRIANGLE, true, 0.3f},
    {"cross", CROSS, false, 0.4f},       {"striped cross", CROSS, true, 0.9f},
};

/* Random numbers of a picture: blocks of four words, first those of its composition, then those of the deck
 * of its decade (used in every tenth), then those of its noise. */
enum { PICTURE_BLOCKS = 1024, DECK_BLOCK = 128, NOISE_BLOCK = 256 };
_Static_assert(NOISE_BLOCK + IMAGE_VALUES / 4 <= PICTURE_BLOCKS, "pictures would share random numbers");

static const float hue_spread = 0.3125f;  /* to either side of the class's hue */
static const float noise_sigma = 16.0f;   /* of 255 */
static const float occluded_share = 0.5f; /* of the pictures have a blot before the figure */

struct draws {
    struct rng_key key;
    uint64_t next;
};

/* Uniform in [low, high). */
static float draw(struct draws *d, float low, float high) {
    return low + (high - low) * rng_uniform(d->key, d->next++);
}

struct colour {
    float channel[IMAGE_CHANNELS]; /* red, green, blue in [0, 1] */
};

/* From hue (turns, any), saturation and value in [0, 1]: the hexcone of A. R. Smith, 1978. */
static struct colour colour_of(float hue, float saturation, float value) {
    static const float offsets[IMAGE_CHANNELS] = {5.0f, 3.0f, 1.0f};
    struct colour result;
    for (int i = 0; i < IMAGE_CHANNELS; i++) {
        float k = offsets[i] + 6.0f * hue;
        while (k >= 6.0f)
            k -= 6.0f;
        while (k < 0.0f)
            k += 6.0f;
        const float nearer = k < 4.0f - k ? k : 4.0f - k;
        const float share = nearer < 0.0f ? 0.0f : nearer > 1.0f ? 1.0f : nearer;
        result.channel[i] = value * (1.0f - saturation * share);
    }
    return result;
}

static float larger(float a, float b) {
    return a > b ? a : b;
}

static float smaller(float a, float b) {
    return a < b ? a : b;
}

static float magnitude(float x) {
    return x < 0.0f ? -x : x;
}

/* Signed distance, negative inside, of a point from a shape of about unit radius; near its edge exact but for
 * corners. */
static float shape_distance(enum shape shape, float u, float v) {
    const float a = magnitude(u), b = magnitude(v);
    switch (shape) {
    case DISC:
        return sqrtf(u * u + v * v) - 0.95f;
    case RING:
        return magnitude(sqrtf(u * u + v * v) - 0.75f) - 0.3f;
    case SQUARE:
        return larger(a, b) - 0.85f;
    case TRIANGLE:
        return larger(v, 0.8660254f * a - 0.5f * v) - 0.62f;
    default:
        return smaller(larger(a - 1.05f, b - 0.32f), larger(a - 0.32f, b - 1.05f));
    }
}

static float within_unit(float x) {
    return smaller(1.0f, larger(0.0f, x));
}

/* How light a stripe is, 0 to 1, so many periods (> -64) from where they begin: a smoothed square wave. */
static float stripe(float periods) {
    const float shifted = periods + 64.0f, part = shifted - (float)(int)shifted;
    return within_unit(4.0f * magnitude(part - 0.5f) - 0.5f);
}

struct figure {
    enum shape shape;
    float x, y, radius;        /* pixels */
    float cosine, sine;        /* of its turn */
    float stripe_x, stripe_y;  /* stripes: periods a pixel; 0 and 0 = plain */
    float phase;               /* of the stripes, in periods */
    struct colour light, dark; /* the same when plain */
};

/* Lays a figure over the picture [IMAGE_CHANNELS][IMAGE_SIDE][IMAGE_SIDE]; edges are smoothed over a pixel.
 */
static void lay(const struct figure *f, float *picture) {
    const float reach = 1.3f * f->radius + 1.0f; /* no shape goes farther */
    const int top = (int)larger(0.0f, f->y - reach), left = (int)larger(0.0f, f->x - reach);
    const int bottom = (int)smaller(IMAGE_SIDE, f->y + reach + 1.0f);
    const int right = (int)smaller(IMAGE_SIDE, f->x + reach + 1.0f);
    for (int y = top; y < bottom; y++) {
        for (int x = left; x < right; x++) {
            const float dx = (float)x - f->x, dy = (float)y - f->y;
            const float u = (f->cosine * dx + f->sine * dy) / f->radius;
            const float v = (f->cosine * dy - f->sine * dx) / f->radius;
            const float cover = within_unit(0.5f - shape_distance(f->shape, u, v) * f->radius);
            const float band = stripe(f->stripe_x * dx + f->stripe_y * dy + f->phase);
            for (int c = 0; c < IMAGE_CHANNELS; c++) {
                const float dark = f->dark.channel[c], light = f->light.channel[c];
                float *pixel = &picture[c * PIXELS + y * IMAGE_SIDE + x];
                *pixel += (dark + (light - dark) * band - *pixel) * cover;
            }
        }
    }
}

static void direction(float turn, float *cosine, float *sine) {
    const double whole = turn - floor(turn), quarter = whole + 0.75;
    *cosine = (float)normal_cosine_of_turn(whole);
    *sine = (float)normal_cosine_of_turn(quarter - floor(quarter));
}

/* A gradient across the picture. */
static void lay_background(struct draws *d, float value, float *picture) {
    float cosine, sine;
    const float hue = draw(d, 0.0f, 1.0f), hue_to = hue + draw(d, -0.2f, 0.2f);
    const float saturation = draw(d, 0.2f, 0.8f);
    const float slope = draw(d, -0.12f, 0.12f);
    direction(draw(d, 0.0f, 1.0f), &cosine, &sine);
    const struct colour from = colour_of(hue, saturation, value - slope);
    const struct colour to = colour_of(hue_to, saturation, value + slope);
    for (int i = 0; i < PIXELS; i++) {
        const float x = (float)(i % IMAGE_SIDE) - 15.5f, y = (float)(i / IMAGE_SIDE) - 15.5f;
        const float share = 0.5f + (cosine * x + sine * y) * (1.0f / 44.0f);
        for (int c = 0; c < IMAGE_CHANNELS; c++) {
            picture[c * PIXELS + i] = from.channel[c] + (to.channel[c] - from.channel[c]) * share;
        }
    }
}

static void lay_blot(struct draws *d, float least, float most, float *picture) {
    struct figure blot = {.cosine = 1.0f};
    blot.shape = draw(d, 0.0f, 1.0f) < 0.5f ? DISC : SQUARE;
    blot.radius = draw(d, least, most);
    blot.x = draw(d, 0.0f, 31.0f);
    blot.y = draw(d, 0.0f, 31.0f);
    direction(draw(d, 0.0f, 1.0f), &blot.cosine, &blot.sine);
    const float hue = draw(d, 0.0f, 1.0f), saturation = draw(d, 0.2f, 1.0f);
    blot.light = colour_of(hue, saturation, draw(d, 0.2f, 1.0f));
    blot.dark = blot.light;
    lay(&blot, picture);
}

static struct figure draw_figure(struct draws *d, const struct look *look, float value) {
    struct figure f = {.shape = look->shape};
    f.radius = draw(d, 7.0f, 11.5f);
    f.x = draw(d, 12.0f, 19.0f);
    f.y = draw(d, 12.0f, 19.0f);
    direction(draw(d, -0.05f, 0.05f), &f.cosine, &f.sine);
    const float hue = look->hue + draw(d, -hue_spread, hue_spread);
    const float saturation = draw(d, 0.5f, 1.0f);
    const float relief = draw(d, 0.15f, 0.25f);
    float cosine, sine;
    direction(draw(d, 0.0f, 1.0f), &cosine, &sine);
    const float period = draw(d, 4.0f, 6.0f);
    f.phase = draw(d, 0.0f, 1.0f);
    f.light = colour_of(hue, saturation, value);
    f.dark = f.light;
    if (look->striped) { /* as light on the whole as a plain one */
        f.stripe_x = cosine / period;
        f.stripe_y = sine / period;
        f.light = colour_of(hue, saturation, value + relief);
        f.dark = colour_of(hue, saturation, value - relief);
    }
    return f;
}

/* The label of picture `number`: the ten pictures of its decade are a shuffled deck of the ten classes. */
static uint8_t draw_label(struct rng_key key, uint64_t number) {
    uint8_t deck[IMAGE_CLASSES];
    const uint64_t first_block = number / IMAGE_CLASSES * IMAGE_CLASSES * PICTURE_BLOCKS + DECK_BLOCK;
    for (uint8_t i = 0; i < IMAGE_CLASSES; i++) {
        deck[i] = i;
    }
    for (uint64_t i = IMAGE_CLASSES - 1; i > 0; i--) {
        const uint64_t j = rng_below(key, first_block + i, i + 1);
        const uint8_t kept = deck[i];
        deck[i] = deck[j];
        deck[j] = kept;
    }
    return deck[number % IMAGE_CLASSES];
}

/* Rounds to bytes after adding noise, the sum of four uniform bytes: nearly normal, mean 510, standard
 * deviation sqrt(4 (2^16 - 1) / 12). */
static void expose(struct rng_key key, uint64_t first_block, const float *picture, uint8_t *pixels) {
    const float scale = noise_sigma / 147.80054f;
    for (int i = 0; i < IMAGE_VALUES; i += 4) {
        const struct rng_block block = rng_block_at(key, first_block + (uint64_t)i / 4);
        for (int j = 0; j < 4; j++) {
            const uint32_t w = block.v[j];
            const int sum = (int)((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24));
            const float value = picture[i + j] * 255.0f + (float)(sum - 510) * scale;
            pixels[i + j] = (uint8_t)(smaller(255.0f, larger(0.0f, value)) + 0.5f);
        }
    }
}

const char *image_generator_class(int label) {
    return looks[label].name;
}

uint8_t image_generator_paint(uint64_t seed, enum image_split split, int64_t number, uint8_t *pixels) {
    float picture[IMAGE_VALUES];
    const struct rng_key key = {.seed = seed, .stream = RNG_DATA, .step = (uint32_t)split};
    const uint64_t first_block = (uint64_t)number * PICTURE_BLOCKS;
    struct draws d = {.key = key, .next = first_block * 4};
    const uint8_t label = draw_label(key, (uint64_t)number);
    const bool light_figure = draw(&d, 0.0f, 1.0f) < 0.5f;
    const float light = draw(&d, 0.65f, 0.85f), dark = draw(&d, 0.25f, 0.45f);
    lay_background(&d, light_figure ? dark : light, picture);
    lay_blot(&d, 2.0f, 6.0f, picture);
    lay_blot(&d, 2.0f, 6.0f, picture);
    const struct figure figure = draw_figure(&d, &looks[label], light_figure ? light : dark);
    lay(&figure, picture);
    if (draw(&d, 0.0f, 1.0f) < occluded_share) lay_blot(&d, 2.0f, 4.0f, picture);
    expose(key, first_block + NOISE_BLOCK, picture, pixels);
    return label;
}

moe_status image_generator_write(uint64_t seed, enum image_split split, int64_t count, const char *path,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    uint8_t record[IMAGE_RECORD];
    FILE *file = NULL;
    char *part = path_append(path, ".part");
    moe_check(part != NULL, err, MOE_ENOMEM, "%s: out of memory", path);
    file = fopen(part, "wb");
    moe_check(file != NULL, err, MOE_EIO, "%s: cannot open: %s", part, strerror(errno));
    for (int64_t i = 0; i < count; i++) {
        record[0] = image_generator_paint(seed, split, i, record + 1);
        if (fwrite(record, sizeof record, 1, file) != 1) moe_try(file_write_failure(part, errno, err));
    }
    const int closed = fclose(file);
    file = NULL;
    if (closed != 0) moe_try(file_write_failure(part, errno, err));
    moe_try(file_publish(part, path, err));
out:
    if (file != NULL) fclose(file);
    if (status != MOE_OK && part != NULL) unlink(part);
    free(part);
    return status;
}
