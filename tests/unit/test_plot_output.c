/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>
#include <png.h>

#include "analysis/gif_out.h"
#include "analysis/palette.h"
#include "analysis/png_out.h"
#include "core/hash.h"
#include "core/rng.h"

/* Flat areas with a few odd pixels; `shift` moves the block. */
static struct plot_image picture(int32_t width, int32_t height, int32_t shift) {
    struct plot_image image = {
        .width = width, .height = height, .rgb = malloc(3 * (size_t)width * (size_t)height)};
    const struct rng_key key = {9, RNG_TEST, 0};
    assert_non_null(image.rgb);
    memset(image.rgb, 0xff, 3 * (size_t)width * (size_t)height);
    for (int32_t y = 5; y < 20; y++) {
        for (int32_t x = 10 + shift; x < 30 + shift; x++) {
            uint8_t *p = image.rgb + 3 * (y * width + x);
            p[0] = 0xd5;
            p[1] = 0x5e;
            p[2] = (uint8_t)(rng_u32(key, (uint64_t)(y * 64 + x)) % 4);
        }
    }
    return image;
}

/* ---- PNG */

struct source {
    const unsigned char *data;
    size_t size, at;
};

static void read_bytes(png_structp png, png_bytep out, png_size_t size) {
    struct source *s = png_get_io_ptr(png);
    if (size > s->size - s->at) png_error(png, "short");
    memcpy(out, s->data + s->at, size);
    s->at += size;
}

/* What libpng reads back: the pixels, and the texts. */
static void test_png_reads_back(void **state) {
    (void)state;
    struct plot_image image = picture(50, 30, 0);
    const struct png_text texts[] = {
        {"Title", "A title"}, {"Runs", "one\ntwo"}, {"Command", "moe-report figure x"}};
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(png_encode(&image, texts, 3, &data, &size, NULL), MOE_OK);

    struct source source = {data, size, 0};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_read_fn(png, &source, read_bytes);
    png_read_png(png, info, PNG_TRANSFORM_EXPAND, NULL);
    assert_int_equal(png_get_image_width(png, info), 50);
    assert_int_equal(png_get_image_height(png, info), 30);
    png_bytepp rows = png_get_rows(png, info);
    for (int32_t y = 0; y < 30; y++)
        assert_memory_equal(rows[y], image.rgb + 150 * y, 150);
    png_textp read = NULL;
    assert_int_equal(png_get_text(png, info, &read, NULL), 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(read[i].key, texts[i].keyword);
        assert_string_equal(read[i].text, texts[i].text);
    }
    png_destroy_read_struct(&png, &info, NULL);
    assert_int_equal(source.at, size);
    plot_image_free(&image);
    free(data);
}

/* A flat area, a ramp of shades [128, 8 * 128] in one channel or, `wild`, colours all over the cube. */
static struct plot_image shades(bool wild) {
    struct plot_image image = {.width = 64, .height = 128, .rgb = malloc((size_t)3 * 64 * 128)};
    const struct rng_key key = {10, RNG_TEST, 0};
    assert_non_null(image.rgb);
    for (int32_t i = 0; i < 64 * 128; i++) {
        uint8_t *p = image.rgb + 3 * i;
        const uint32_t random = rng_u32(key, (uint64_t)i);
        const bool flat = i % 64 < 32;
        p[0] = flat ? 0x12 : wild ? (uint8_t)random : (uint8_t)(i / 64);
        p[1] = flat ? 0x34 : wild ? (uint8_t)(random >> 8) : (uint8_t)(8 * (i % 32));
        p[2] = flat ? 0x56 : wild ? (uint8_t)(random >> 16) : 200;
    }
    return image;
}

/* Encodes and reads back: the largest difference of a channel, on the flat area and elsewhere, and the size.
 */
static void differences(const struct plot_image *image, int *out_flat, int *out_other, size_t *out_size) {
    unsigned char *data = NULL;
    uint8_t *read = malloc((size_t)3 * 64 * 128);
    png_image png = {.version = PNG_IMAGE_VERSION};
    *out_flat = *out_other = 0;
    assert_int_equal(png_encode(image, NULL, 0, &data, out_size, NULL), MOE_OK);
    assert_true(read != NULL && png_image_begin_read_from_memory(&png, data, *out_size));
    png.format = PNG_FORMAT_RGB;
    assert_true(png_image_finish_read(&png, NULL, read, 0, NULL));
    for (int32_t i = 0; i < 3 * 64 * 128; i++) {
        int *worst = i / 3 % 64 < 32 ? out_flat : out_other;
        const int d = abs(read[i] - image->rgb[i]);
        if (d > *worst) *worst = d;
    }
    free(read);
    free(data);
}

/* Many shades are brought to a palette: what is flat stays exact, no shade is far off. Colours that no
 * palette comes near to are written in full. */
static void test_png_palette(void **state) {
    (void)state;
    int flat, other;
    size_t size, full_size;
    struct plot_image image = shades(false);
    differences(&image, &flat, &other, &size);
    assert_int_equal(flat, 0);
    assert_true(other > 0 && other <= 24);
    plot_image_free(&image);
    image = shades(true);
    differences(&image, &flat, &other, &full_size);
    assert_int_equal(flat, 0);
    assert_int_equal(other, 0);
    assert_true(full_size > 3 * 32 * 128 && size < 2 * 32 * 128);
    plot_image_free(&image);
}

/* The same bytes from the compressors of Debian 12 (zlib 1.2.13) and Ubuntu 24.04 (1.3). */
static void test_png_same_bytes(void **state) {
    (void)state;
    struct plot_image image = picture(500, 300, 3);
    const struct png_text text = {"Title", "A title"};
    unsigned char *data = NULL;
    size_t size = 0;
    char hex[HASH_SHA256_HEX];
    assert_int_equal(png_encode(&image, &text, 1, &data, &size, NULL), MOE_OK);
    assert_int_equal(hash_sha256(data, size, hex, NULL), MOE_OK);
    assert_string_equal(hex, "92e1b082f4365499a08c18a40279379d4e76f3d13ace707a6c6a8587dc617fa8");
    plot_image_free(&image);
    free(data);
}

static void test_png_refusals(void **state) {
    (void)state;
    struct plot_image image = picture(50, 30, 0);
    unsigned char *data = NULL;
    size_t size = 0;
    moe_err err = {0};
    const struct png_text wrong[] = {
        {"", "no keyword"}, {"Title", "not \xc3\xa4 ASCII"}, {"Ti\ttle", "x\x01"}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(png_encode(&image, &wrong[i], 1, &data, &size, &err), MOE_EARG);
    const struct plot_image none = {0};
    assert_int_equal(png_encode(&none, NULL, 0, &data, &size, &err), MOE_EARG);
    assert_null(data);
    plot_image_free(&image);
}

/* ---- GIF */

static int read_gif(GifFileType *gif, GifByteType *out, int size) {
    struct source *s = gif->UserData;
    const size_t rest = s->size - s->at;
    const size_t n = (size_t)size < rest ? (size_t)size : rest;
    memcpy(out, s->data + s->at, n);
    s->at += n;
    return (int)n;
}

static GifFileType *slurp(struct source *source) {
    int code = 0;
    GifFileType *gif = DGifOpen(source, read_gif, &code);
    assert_non_null(gif);
    assert_int_equal(DGifSlurp(gif), GIF_OK);
    return gif;
}

static void test_gif_reads_back(void **state) {
    (void)state;
    enum { FRAMES = 4 };
    struct plot_image frames[FRAMES];
    for (int32_t f = 0; f < FRAMES; f++)
        frames[f] = picture(64, 40, f == 2 ? 1 : f); /* frame 2 equals frame 1 */
    const struct gif_animation animation = {.frames = frames,
                                            .num_frames = FRAMES,
                                            .delay = 25,
                                            .last_delay = 100,
                                            .comment = "where it comes from"};
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(gif_encode(&animation, &data, &size, NULL), MOE_OK);
    struct source source = {data, size, 0};
    GifFileType *gif = slurp(&source);
    assert_int_equal(gif->ImageCount, FRAMES);
    assert_int_equal(gif->SWidth, 64);
    assert_int_equal(gif->SHeight, 40);

    uint8_t screen[40][64][3];
    int32_t kept = 0;
    for (int f = 0; f < FRAMES; f++) {
        const SavedImage *saved = &gif->SavedImages[f];
        const GifImageDesc *d = &saved->ImageDesc;
        assert_null(d->ColorMap); /* one palette for all */
        GraphicsControlBlock control;
        assert_int_equal(DGifSavedExtensionToGCB(gif, f, &control), GIF_OK);
        assert_int_equal(control.DelayTime, f == FRAMES - 1 ? 100 : 25);
        for (int y = 0; y < d->Height; y++) {
            for (int x = 0; x < d->Width; x++) {
                const int index = saved->RasterBits[y * d->Width + x];
                if (index == control.TransparentColor) { /* stays as it was */
                    assert_memory_equal(screen[d->Top + y][d->Left + x],
                                        frames[f].rgb + 3 * ((d->Top + y) * 64 + d->Left + x), 3);
                    kept++;
                    continue;
                }
                const GifColorType *c = &gif->SColorMap->Colors[index];
                uint8_t *p = screen[d->Top + y][d->Left + x];
                p[0] = c->Red;
                p[1] = c->Green;
                p[2] = c->Blue;
            }
        }
        assert_memory_equal(screen, frames[f].rgb, sizeof screen); /* few colours: exact */
    }
    assert_true(kept > 100);                                  /* the middle of the block as it moves */
    assert_int_equal(gif->SavedImages[2].ImageDesc.Width, 1); /* nothing changed */
    assert_true(gif->SavedImages[1].ImageDesc.Width < 64);    /* only what changed */
    bool comment = false;
    for (int i = 0; i < gif->SavedImages[0].ExtensionBlockCount; i++) {
        const ExtensionBlock *e = &gif->SavedImages[0].ExtensionBlocks[i];
        comment |= e->Function == COMMENT_EXT_FUNC_CODE && e->ByteCount == 19 &&
                   memcmp(e->Bytes, "where it comes from", 19) == 0;
    }
    assert_true(comment);
    DGifCloseFile(gif, NULL);

    unsigned char *again = NULL;
    size_t again_size = 0;
    assert_int_equal(gif_encode(&animation, &again, &again_size, NULL), MOE_OK);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, data, size);
    free(again);
    free(data);
    for (int32_t f = 0; f < FRAMES; f++)
        plot_image_free(&frames[f]);
}

/* With more colours than a palette holds, the frequent ones stay exact and the rest come close. */
static void test_gif_many_colours(void **state) {
    (void)state;
    struct plot_image image = picture(128, 128, 0);
    for (int32_t i = 0; i < 40 * 128; i++) { /* a ramp of 1280 colours, 4 pixels each, below */
        uint8_t *p = image.rgb + 3 * (88 * 128 + i);
        p[0] = (uint8_t)(i / 4 % 64 * 4);
        p[1] = (uint8_t)(i / 256 * 12);
        p[2] = 128;
    }
    const struct gif_animation animation = {.frames = &image, .num_frames = 1, .delay = 10};
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(gif_encode(&animation, &data, &size, NULL), MOE_OK);
    struct source source = {data, size, 0};
    GifFileType *gif = slurp(&source);
    for (int32_t i = 0; i < 128 * 128; i++) {
        const GifColorType *c = &gif->SColorMap->Colors[gif->SavedImages[0].RasterBits[i]];
        const uint8_t *p = image.rgb + 3 * i;
        const int32_t distance = abs(c->Red - p[0]) + abs(c->Green - p[1]) + abs(c->Blue - p[2]);
        if (i < 88 * 128) assert_int_equal(distance, 0);
        assert_in_range(distance, 0, 48);
    }
    DGifCloseFile(gif, NULL);
    free(data);
    plot_image_free(&image);
}

/* An animation of more colours than fit: no pixel is taken for transparent that has a colour. */
static void test_gif_many_colours_move(void **state) {
    (void)state;
    struct plot_image frames[2] = {picture(128, 128, 0), picture(128, 128, 0)};
    for (int32_t f = 0; f < 2; f++) {
        for (int32_t i = 0; i < 128 * 128; i++) {
            uint8_t *p = frames[f].rgb + 3 * i;
            p[0] = (uint8_t)(i % 128 * 2);
            p[1] = (uint8_t)(i / 128 * 2);
            p[2] = (uint8_t)(f == 0 ? 0 : 64);
        }
    }
    const struct gif_animation animation = {.frames = frames, .num_frames = 2, .delay = 10};
    unsigned char *data = NULL;
    size_t size = 0;
    assert_int_equal(gif_encode(&animation, &data, &size, NULL), MOE_OK);
    struct source source = {data, size, 0};
    GifFileType *gif = slurp(&source);
    GraphicsControlBlock control;
    assert_int_equal(DGifSavedExtensionToGCB(gif, 0, &control), GIF_OK);
    for (int32_t i = 0; i < 128 * 128; i++)
        assert_int_not_equal(gif->SavedImages[0].RasterBits[i], control.TransparentColor);
    DGifCloseFile(gif, NULL);
    free(data);
    plot_image_free(&frames[0]);
    plot_image_free(&frames[1]);
}

static void test_gif_refusals(void **state) {
    (void)state;
    struct plot_image frames[2] = {picture(64, 40, 0), picture(64, 41, 0)};
    unsigned char *data = NULL;
    size_t size = 0;
    moe_err err = {0};
    const struct gif_animation sizes = {.frames = frames, .num_frames = 2, .delay = 10};
    assert_int_equal(gif_encode(&sizes, &data, &size, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "frame 1"));
    const struct gif_animation none = {.frames = frames, .num_frames = 0, .delay = 10};
    assert_int_equal(gif_encode(&none, &data, &size, &err), MOE_EARG);
    const struct gif_animation slow = {.frames = frames, .num_frames = 1, .delay = 70000};
    assert_int_equal(gif_encode(&slow, &data, &size, &err), MOE_EARG);
    assert_null(data);
    plot_image_free(&frames[0]);
    plot_image_free(&frames[1]);
}

/* Stretches of one colour of every length up to 40, wherever they begin and whichever channel ends them. */
static void test_palette_runs(void **state) {
    enum { LONGEST = 40, PIXELS = LONGEST * (LONGEST + 1) / 2 };
    static const uint32_t colours[] = {0x808080, 0x808081, 0x808181, 0x818181};
    static uint8_t rgb[3 * PIXELS], indices[PIXELS];
    const struct plot_image image = {.width = PIXELS, .height = 1, .rgb = rgb};
    struct palette palette = {0};
    (void)state;
    for (size_t length = 1, at = 0; length <= LONGEST; length++)
        for (size_t i = 0; i < length; i++, at++)
            for (size_t c = 0; c < 3; c++)
                rgb[3 * at + c] = (uint8_t)(colours[length % 4] >> (16 - 8 * c));
    assert_int_equal(palette_make(&image, 1, PALETTE_MAX, &palette, NULL), MOE_OK);
    assert_int_equal(palette.size, 4);
    palette_index(&palette, &image, indices);
    for (size_t length = 1, at = 0; length <= LONGEST; length++)
        for (size_t i = 0; i < length; i++, at++)
            assert_int_equal(palette.colours[indices[at]], colours[length % 4]);
    palette_free(&palette);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_reads_back),   cmocka_unit_test(test_png_palette),
        cmocka_unit_test(test_palette_runs),     cmocka_unit_test(test_png_same_bytes),
        cmocka_unit_test(test_png_refusals),     cmocka_unit_test(test_gif_reads_back),
        cmocka_unit_test(test_gif_many_colours), cmocka_unit_test(test_gif_many_colours_move),
        cmocka_unit_test(test_gif_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
