#include "analysis/gif_out.h"

#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>

#include "analysis/palette.h"

#define TRANSPARENT (PALETTE_MAX - 1) /* in an animation: the pixel stays as it was */

struct rectangle {
    int32_t left, top, width, height;
};

/* The smallest rectangle that holds all differences; one pixel if there is none. */
static struct rectangle changed(const GifPixelType *before, const GifPixelType *now, int32_t width,
                                int32_t height) {
    int32_t left = width;
    int32_t right = -1;
    int32_t top = height;
    int32_t bottom = -1;
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x++) {
            const size_t i = (size_t)y * (size_t)width + (size_t)x;
            if (before[i] == now[i]) continue;
            if (x < left) left = x;
            if (x > right) right = x;
            if (y < top) top = y;
            bottom = y;
        }
    }
    if (right < 0) return (struct rectangle){0, 0, 1, 1};
    return (struct rectangle){left, top, right - left + 1, bottom - top + 1};
}

struct buffer {
    unsigned char *data;
    size_t size, capacity;
};

static int append(GifFileType *gif, const GifByteType *bytes, int size) {
    struct buffer *b = gif->UserData;
    if (b->capacity - b->size < (size_t)size) {
        const size_t capacity = 2 * b->capacity + (size_t)size + 65536;
        unsigned char *grown = realloc(b->data, capacity);
        if (grown == NULL) return 0; /* giflib reports a failed write */
        b->data = grown;
        b->capacity = capacity;
    }
    memcpy(b->data + b->size, bytes, (size_t)size);
    b->size += (size_t)size;
    return size;
}

/* Raises what giflib says has gone wrong. */
#define gif_check(call, gif, err)                                                                            \
    moe_check((call) != GIF_ERROR, (err), MOE_ENOMEM, "cannot encode the animation: %s",                     \
              GifErrorString((gif)->Error) != NULL ? GifErrorString((gif)->Error) : "giflib failed")

static moe_status put_header(GifFileType *gif, const struct palette *p, const struct gif_animation *a,
                             moe_err *err) {
    moe_status status = MOE_OK;
    GifColorType colours[PALETTE_MAX] = {{0}};
    ColorMapObject *map = NULL;
    for (int32_t i = 0; i < p->size; i++) {
        colours[i].Red = (GifByteType)(p->colours[i] >> 16);
        colours[i].Green = (GifByteType)(p->colours[i] >> 8);
        colours[i].Blue = (GifByteType)p->colours[i];
    }
    map = GifMakeMapObject(PALETTE_MAX, colours);
    moe_check(map != NULL, err, MOE_ENOMEM, "cannot allocate the palette");
    EGifSetGifVersion(gif, true); /* GIF89a */
    gif_check(EGifPutScreenDesc(gif, a->frames[0].width, a->frames[0].height, 8, 0, map), gif, err);
    const unsigned char forever[] = {1, 0, 0};
    gif_check(EGifPutExtensionLeader(gif, APPLICATION_EXT_FUNC_CODE), gif, err);
    gif_check(EGifPutExtensionBlock(gif, 11, "NETSCAPE2.0"), gif, err);
    gif_check(EGifPutExtensionBlock(gif, sizeof forever, forever), gif, err);
    gif_check(EGifPutExtensionTrailer(gif), gif, err);
    if (a->comment != NULL) gif_check(EGifPutComment(gif, a->comment), gif, err);
out:
    GifFreeMapObject(map);
    return status;
}

/* Writes the rectangle r of a frame; giflib masks its pixels in place. */
static moe_status put_frame(GifFileType *gif, GifPixelType *pixels, int32_t width, struct rectangle r,
                            int32_t delay, int32_t transparent, moe_err *err) {
    moe_status status = MOE_OK;
    const GraphicsControlBlock control = {
        .DisposalMode = DISPOSE_DO_NOT, .DelayTime = delay, .TransparentColor = transparent};
    GifByteType extension[4];
    const size_t length = EGifGCBToExtension(&control, extension);
    gif_check(EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, (int)length, extension), gif, err);
    gif_check(EGifPutImageDesc(gif, r.left, r.top, r.width, r.height, false, NULL), gif, err);
    for (int32_t y = 0; y < r.height; y++) {
        GifPixelType *row = pixels + (size_t)(r.top + y) * (size_t)width + (size_t)r.left;
        gif_check(EGifPutLine(gif, row, r.width), gif, err);
    }
out:
    return status;
}

static moe_status put_frames(GifFileType *gif, const struct palette *p, const struct gif_animation *a,
                             moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t width = a->frames[0].width;
    const int32_t height = a->frames[0].height;
    const size_t pixels = (size_t)width * (size_t)height;
    GifPixelType *memory = malloc(3 * pixels);
    moe_check(memory != NULL, err, MOE_ENOMEM, "cannot allocate a frame of %d x %d pixels", width, height);
    GifPixelType *before = memory;
    GifPixelType *now = memory + pixels;
    GifPixelType *stored = memory + 2 * pixels;
    for (int32_t f = 0; f < a->num_frames; f++) {
        palette_index(p, &a->frames[f], now);
        const struct rectangle r =
            f == 0 ? (struct rectangle){0, 0, width, height} : changed(before, now, width, height);
        memcpy(stored, now, pixels);
        for (size_t i = 0; f > 0 && i < pixels; i++)
            if (now[i] == before[i]) stored[i] = TRANSPARENT;
        const bool last = f == a->num_frames - 1;
        moe_try(put_frame(gif, stored, width, r, last && a->last_delay > 0 ? a->last_delay : a->delay,
                          a->num_frames > 1 ? TRANSPARENT : NO_TRANSPARENT_COLOR, err));
        GifPixelType *const swap = before;
        before = now;
        now = swap;
    }
out:
    free(memory);
    return status;
}

moe_status gif_encode(const struct gif_animation *animation, unsigned char **out_data, size_t *out_size,
                      moe_err *err) {
    moe_status status = MOE_OK;
    struct palette palette = {0};
    struct buffer buffer = {0};
    GifFileType *gif = NULL;
    int code = 0;
    moe_check(animation->num_frames >= 1 && animation->delay >= 0 && animation->delay <= 65535 &&
                  animation->last_delay >= 0 && animation->last_delay <= 65535,
              err, MOE_EARG, "an animation of %d frames of %d/100 s cannot be written", animation->num_frames,
              animation->delay);
    for (int32_t f = 0; f < animation->num_frames; f++) {
        const struct plot_image *frame = &animation->frames[f];
        moe_check(frame->rgb != NULL && frame->width == animation->frames[0].width &&
                      frame->height == animation->frames[0].height && frame->width <= 65535 &&
                      frame->height <= 65535,
                  err, MOE_EARG, "frame %d of the animation is %d x %d pixels, the first %d x %d", f,
                  frame->width, frame->height, animation->frames[0].width, animation->frames[0].height);
    }
    moe_try(palette_make(animation->frames, animation->num_frames,
                         animation->num_frames > 1 ? TRANSPARENT : PALETTE_MAX, &palette, err));
    gif = EGifOpen(&buffer, append, &code);
    moe_check(gif != NULL, err, MOE_ENOMEM, "giflib does not start (error %d)", code);
    moe_try(put_header(gif, &palette, animation, err));
    moe_try(put_frames(gif, &palette, animation, err));
    const int closed = EGifCloseFile(gif, &code);
    gif = NULL;
    moe_check(closed != GIF_ERROR, err, MOE_ENOMEM, "cannot finish the animation (error %d)", code);
    *out_data = buffer.data;
    *out_size = buffer.size;
    buffer.data = NULL;
out:
    if (gif != NULL) EGifCloseFile(gif, NULL);
    free(buffer.data);
    palette_free(&palette);
    return status;
}
