#include "analysis/plot_text.h"

#include <stdlib.h>
#include <string.h>

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H

struct plot_fonts {
    FT_Library library;
    FT_Face faces[FONT_FACE_COUNT];
};

moe_status plot_fonts_open(struct plot_fonts **out_fonts, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_fonts *fonts = calloc(1, sizeof *fonts);
    moe_check(fonts != NULL, err, MOE_ENOMEM, "cannot allocate the fonts");
    moe_check(FT_Init_FreeType(&fonts->library) == 0, err, MOE_ENOMEM, "FreeType does not start");
    for (int i = 0; i < FONT_FACE_COUNT; i++) {
        const struct font_bytes file = font_file((enum font_face)i);
        moe_check(FT_New_Memory_Face(fonts->library, file.data, (FT_Long)file.size, 0, &fonts->faces[i]) == 0,
                  err, MOE_EFORMAT, "FreeType cannot read built-in font %d", i);
    }
    *out_fonts = fonts;
    fonts = NULL;
out:
    plot_fonts_close(fonts);
    return status;
}

void plot_fonts_close(struct plot_fonts *fonts) {
    if (fonts == NULL) return;
    for (int i = 0; i < FONT_FACE_COUNT; i++)
        if (fonts->faces[i] != NULL) FT_Done_Face(fonts->faces[i]);
    if (fonts->library != NULL) FT_Done_FreeType(fonts->library);
    free(fonts);
}

/* Next code point of UTF-8 text; broken sequences give U+FFFD. *text moves on by at least one byte. */
static uint32_t next_code_point(const char **text) {
    const unsigned char *s = (const unsigned char *)*text;
    const int length = s[0] < 0x80   ? 1
                       : s[0] < 0xc0 ? 0
                       : s[0] < 0xe0 ? 2
                       : s[0] < 0xf0 ? 3
                       : s[0] < 0xf8 ? 4
                                     : 0;
    if (length == 1) {
        *text += 1;
        return s[0];
    }
    uint32_t code = length == 0 ? 0xfffd : s[0] & (0x7fu >> length);
    int used = 1;
    for (; used < length; used++) {
        if ((s[used] & 0xc0) != 0x80) {
            code = 0xfffd;
            break;
        }
        code = (code << 6) | (s[used] & 0x3fu);
    }
    *text += used;
    return code;
}

/* A position in a text being set, in font units. */
struct setting {
    FT_Face face;
    FT_UInt previous;
    double x;
};

/* Moves to the next glyph of text (kerning applied) and loads it; false at the end. The caller adds its
 * advance. */
static bool next_glyph(struct setting *at, const char **text) {
    if (**text == '\0') return false;
    const FT_UInt glyph = FT_Get_Char_Index(at->face, next_code_point(text));
    FT_Vector kerning = {0, 0};
    if (at->previous != 0 && FT_HAS_KERNING(at->face))
        FT_Get_Kerning(at->face, at->previous, glyph, FT_KERNING_UNSCALED, &kerning);
    at->previous = glyph;
    at->x += (double)kerning.x;
    return FT_Load_Glyph(at->face, glyph, FT_LOAD_NO_SCALE | FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) == 0;
}

double plot_text_width(const struct plot_fonts *fonts, enum font_face face, double size, const char *text) {
    struct setting at = {.face = fonts->faces[face]};
    while (next_glyph(&at, &text))
        at.x += (double)at.face->glyph->metrics.horiAdvance;
    return at.x * size / at.face->units_per_EM;
}

double plot_text_cap_height(const struct plot_fonts *fonts, enum font_face face, double size) {
    const FT_Face f = fonts->faces[face];
    if (FT_Load_Char(f, 'H', FT_LOAD_NO_SCALE | FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) != 0)
        return 0.7 * size;
    return (double)f->glyph->metrics.horiBearingY * size / f->units_per_EM;
}

/* Where outline points of one glyph go. */
struct pen_map {
    cairo_t *cr;
    double x, y;          /* anchor of the text */
    double along, across; /* of the glyph's origin from the anchor, in user units */
    double scale;         /* font unit -> user unit */
    bool upwards;
    double last_x, last_y; /* current point, user units */
};

static void map_point(const struct pen_map *m, const FT_Vector *p, double *x, double *y) {
    const double u = m->along + (double)p->x * m->scale;
    const double v = m->across + (double)p->y * m->scale;
    *x = m->upwards ? m->x - v : m->x + u;
    *y = m->upwards ? m->y - u : m->y - v;
}

static int outline_move(const FT_Vector *to, void *user) {
    struct pen_map *m = user;
    map_point(m, to, &m->last_x, &m->last_y);
    cairo_close_path(m->cr);
    cairo_move_to(m->cr, m->last_x, m->last_y);
    return 0;
}

static int outline_line(const FT_Vector *to, void *user) {
    struct pen_map *m = user;
    map_point(m, to, &m->last_x, &m->last_y);
    cairo_line_to(m->cr, m->last_x, m->last_y);
    return 0;
}

static int outline_conic(const FT_Vector *control, const FT_Vector *to, void *user) {
    struct pen_map *m = user;
    double cx;
    double cy;
    double x;
    double y;
    map_point(m, control, &cx, &cy);
    map_point(m, to, &x, &y);
    cairo_curve_to(m->cr, m->last_x + (cx - m->last_x) * (2.0 / 3.0),
                   m->last_y + (cy - m->last_y) * (2.0 / 3.0), x + (cx - x) * (2.0 / 3.0),
                   y + (cy - y) * (2.0 / 3.0), x, y);
    m->last_x = x;
    m->last_y = y;
    return 0;
}

static int outline_cubic(const FT_Vector *control1, const FT_Vector *control2, const FT_Vector *to,
                         void *user) {
    struct pen_map *m = user;
    double x1;
    double y1;
    double x2;
    double y2;
    map_point(m, control1, &x1, &y1);
    map_point(m, control2, &x2, &y2);
    map_point(m, to, &m->last_x, &m->last_y);
    cairo_curve_to(m->cr, x1, y1, x2, y2, m->last_x, m->last_y);
    return 0;
}

void plot_text_path(cairo_t *cr, const struct plot_fonts *fonts, const struct text_style *style, double x,
                    double y, const char *text) {
    static const FT_Outline_Funcs funcs = {outline_move, outline_line, outline_conic, outline_cubic, 0, 0};
    const double width = plot_text_width(fonts, style->face, style->size, text);
    const double cap = plot_text_cap_height(fonts, style->face, style->size);
    const double start = -0.5 * (double)style->align * width;
    struct pen_map map = {.cr = cr,
                          .x = x,
                          .y = y,
                          .across = -0.5 * (double)style->level * cap,
                          .scale = style->size / fonts->faces[style->face]->units_per_EM,
                          .upwards = style->upwards};
    struct setting at = {.face = fonts->faces[style->face]};
    cairo_new_path(cr);
    while (next_glyph(&at, &text)) {
        map.along = start + at.x * map.scale;
        FT_Outline_Decompose(&at.face->glyph->outline, &funcs, &map);
        at.x += (double)at.face->glyph->metrics.horiAdvance;
    }
    cairo_close_path(cr);
}

void plot_text_draw(cairo_t *cr, const struct plot_fonts *fonts, const struct text_style *style, double x,
                    double y, const char *text) {
    plot_text_path(cr, fonts, style, x, y, text);
    cairo_fill(cr);
}

size_t plot_text_fit(const struct plot_fonts *fonts, enum font_face face, double size, const char *text,
                     double width) {
    struct setting at = {.face = fonts->faces[face]};
    const char *rest = text;
    size_t fits = 0;
    while (next_glyph(&at, &rest)) {
        at.x += (double)at.face->glyph->metrics.horiAdvance;
        if (*rest != ' ' && *rest != '\0') continue;
        if (fits > 0 && at.x * size / at.face->units_per_EM > width) break;
        fits = (size_t)(rest - text);
    }
    return fits == 0 ? strlen(text) : fits;
}

const char *plot_text_line(const char *text, char *line, size_t size) {
    const size_t length = strcspn(text, "\n");
    const size_t kept = length < size ? length : size - 1;
    memcpy(line, text, kept);
    line[kept] = '\0';
    return text + length + (text[length] == '\n' ? 1 : 0);
}
