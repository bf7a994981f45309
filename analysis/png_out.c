#include "analysis/png_out.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

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

/* False if libpng gave up. Holds nothing that a jump could leave behind. */
static bool write_image(png_structp png, png_infop info, const struct plot_image *image, png_text *chunks,
                        int32_t num_chunks) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    /* One filter for all rows, since libpng's choice per row is its own affair; "up" suits lines and flat
     * areas. */
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_set_compression_level(png, 9);
    png_set_compression_mem_level(png, 8);
    png_set_compression_window_bits(png, 15);
    png_set_compression_strategy(png, Z_DEFAULT_STRATEGY);
    png_set_compression_buffer_size(png, 1 << 16);
    if (num_chunks > 0) png_set_text(png, info, chunks, num_chunks);
    png_write_info(png, info);
    for (int32_t y = 0; y < image->height; y++)
        png_write_row(png, image->rgb + 3 * (size_t)y * (size_t)image->width);
    png_write_end(png, NULL);
    return true;
}

moe_status png_encode(const struct plot_image *image, const struct png_text *texts, int32_t num_texts,
                      unsigned char **out_data, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    png_structp png = NULL;
    png_infop info = NULL;
    png_text *chunks = NULL;
    struct buffer buffer = {0};
    moe_check(image->rgb != NULL && image->width > 0 && image->height > 0 && num_texts >= 0, err, MOE_EARG,
              "an image of %d x %d pixels cannot be written", image->width, image->height);
    for (int32_t i = 0; i < num_texts; i++) {
        const size_t length = strlen(texts[i].keyword);
        moe_check(length >= 1 && length <= 79 && is_ascii(texts[i].keyword) && is_ascii(texts[i].text), err,
                  MOE_EARG, "PNG text \"%s\": keyword of 1 to 79 characters and text must be ASCII",
                  texts[i].keyword);
    }
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
    moe_check(write_image(png, info, image, chunks, num_texts), err, MOE_ENOMEM,
              "cannot encode an image of %d x %d pixels", image->width, image->height);
    *out_data = buffer.data;
    *out_size = buffer.size;
    buffer.data = NULL;
out:
    if (png != NULL) png_destroy_write_struct(&png, &info);
    free(chunks);
    free(buffer.data);
    return status;
}
