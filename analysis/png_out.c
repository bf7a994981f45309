#include "analysis/png_out.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

#include "analysis/palette.h"

/* A channel of a pixel may be off by so many of 255 levels where a palette stands for the colours: shades of
 * edges, by less than an eye tells apart. Other pictures are written in full. */
#define MAX_ERROR 24

/* What is written: the picture, or indices into the palette. */
struct pixels {
    const struct plot_image *image;
    const struct palette *palette;
    uint8_t *indices; /* [height, width]; NULL: in full */
};

/* What libpng writes into. */
struct buffer {
    unsigned char *data;
    size_t size, capacity;
};

static void append(png_structp png, png_bytep bytes, png_size_t size) {
    struct buffer *b = png_get_io_ptr(png);
    if (b->capacity - b->size < size) {
        const size_t capacity = 2 * b->capacity + size + 65536;
        unsigned char *grown = realloc(b->data, capacity);
        if (grown == NULL) png_error(png, "no memory for the image");
        b->data = grown;
        b->capacity = capacity;
    }
    memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

static void flush(png_structp png) {
    (void)png;
}

static void on_error(png_structp png, png_const_charp message) {
    (void)message; /* only memory can fail: the input has been checked */
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static bool is_ascii(const char *text) {
    for (const char *c = text; *c != '\0'; c++)
        if ((*c < ' ' || *c > '~') && *c != '\n') return false;
    return true;
}

/* How every picture is compressed. The filter is one for all rows, since libpng's choice per row is its own
 * affair, and none, which suits lines and flat areas best. The level is zlib's own choice: the highest takes
 * six times as long for a tenth less. */
static void set_compression(png_structp png) {
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_compression_level(png, 6);
    png_set_compression_mem_level(png, 8);
    png_set_compression_window_bits(png, 15);
    png_set_compression_strategy(png, Z_DEFAULT_STRATEGY);
    png_set_compression_buffer_size(png, 1 << 16);
}

static void set_palette(png_structp png, png_infop info, const struct palette *palette) {
    png_color colours[PALETTE_MAX];
    for (int32_t i = 0; i < palette->size; i++)
        colours[i] = (png_color){(png_byte)(palette->colours[i] >> 16), (png_byte)(palette->colours[i] >> 8),
                                 (png_byte)palette->colours[i]};
    png_set_PLTE(png, info, colours, palette->size);
}

/* False if libpng gave up. Holds nothing that a jump could leave behind. */
static bool write_image(png_structp png, png_infop info, const struct pixels *pixels, png_text *chunks,
                        int32_t num_chunks) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    const bool indexed = pixels->indices != NULL;
    const size_t width = (size_t)pixels->image->width;
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)pixels->image->height, 8,
                 indexed ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    set_compression(png);
    if (indexed) set_palette(png, info, pixels->palette);
    if (num_chunks > 0) png_set_text(png, info, chunks, num_chunks);
    png_write_info(png, info);
    for (int32_t y = 0; y < pixels->image->height; y++)
        png_write_row(png, indexed ? pixels->indices + (size_t)y * width
                                   : pixels->image->rgb + 3 * (size_t)y * width);
    png_write_end(png, NULL);
    return true;
}

/* Indices of the picture, or NULL where a palette would be too far from it; malloc'ed. */
static moe_status index_pixels(const struct plot_image *image, struct palette *palette, uint8_t **out_indices,
                               moe_err *err) {
    moe_status status = MOE_OK;
    *out_indices = NULL;
    moe_try(palette_make(image, 1, PALETTE_MAX, palette, err));
    if (palette->error > MAX_ERROR) goto out;
    *out_indices = malloc((size_t)image->width * (size_t)image->height);
    moe_check(*out_indices != NULL, err, MOE_ENOMEM, "no memory for an image of %d x %d pixels", image->width,
              image->height);
    palette_index(palette, image, *out_indices);
out:
    return status;
}

moe_status png_encode(const struct plot_image *image, const struct png_text *texts, int32_t num_texts,
                      unsigned char **out_data, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    png_structp png = NULL;
    png_infop info = NULL;
    png_text *chunks = NULL;
    struct buffer buffer = {0};
    struct palette palette = {0};
    struct pixels pixels = {image, &palette, NULL};
    moe_check(image->rgb != NULL && image->width > 0 && image->height > 0 && num_texts >= 0, err, MOE_EARG,
              "an image of %d x %d pixels cannot be written", image->width, image->height);
    for (int32_t i = 0; i < num_texts; i++) {
        const size_t length = strlen(texts[i].keyword);
        moe_check(length >= 1 && length <= 79 && is_ascii(texts[i].keyword) && is_ascii(texts[i].text), err,
                  MOE_EARG, "PNG text \"%s\": keyword of 1 to 79 characters and text must be ASCII",
                  texts[i].keyword);
    }
    moe_try(index_pixels(image, &palette, &pixels.indices, err));
    chunks = calloc((size_t)num_texts + 1, sizeof *chunks);
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    if (png != NULL) info = png_create_info_struct(png);
    moe_check(chunks != NULL && info != NULL, err, MOE_ENOMEM, "libpng does not start");
    for (int32_t i = 0; i < num_texts; i++) {
        chunks[i].compression = PNG_TEXT_COMPRESSION_NONE;
        chunks[i].key = (png_charp)(uintptr_t)texts[i].keyword;
        chunks[i].text = (png_charp)(uintptr_t)texts[i].text;
        chunks[i].text_length = strlen(texts[i].text);
    }
    png_set_write_fn(png, &buffer, append, flush);
    moe_check(write_image(png, info, &pixels, chunks, num_texts), err, MOE_ENOMEM,
              "cannot encode an image of %d x %d pixels", image->width, image->height);
    *out_data = buffer.data;
    *out_size = buffer.size;
    buffer.data = NULL;
out:
    if (png != NULL) png_destroy_write_struct(&png, &info);
    palette_free(&palette);
    free(pixels.indices);
    free(chunks);
    free(buffer.data);
    return status;
}
