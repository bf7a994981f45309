/* fonts.h - the font files that every figure is drawn with: DejaVu Sans 2.37, part of the program. */
#ifndef ANALYSIS_ASSETS_FONTS_H
#define ANALYSIS_ASSETS_FONTS_H

#include <stddef.h>

enum font_face { FONT_REGULAR = 0, FONT_BOLD = 1, FONT_FACE_COUNT };

struct font_bytes {
    const unsigned char *data;
    size_t size; /* bytes */
};

/* The TrueType file of a face. */
struct font_bytes font_file(enum font_face face);

#endif
