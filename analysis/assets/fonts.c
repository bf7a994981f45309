#include "analysis/assets/fonts.h"

/* The two font files, byte for byte, between labels. */
#define EMBED(name, file)                                                                                    \
    __asm__(".pushsection .rodata\n"                                                                         \
            ".balign 16\n" #name "_begin:\n"                                                                 \
            ".incbin \"" MOE_FONT_DIR "/" file "\"\n" #name "_end:\n"                                        \
            ".byte 0\n"                                                                                      \
            ".popsection\n");                                                                                \
    extern const unsigned char name##_begin[] __attribute__((visibility("hidden")));                         \
    extern const unsigned char name##_end[] __attribute__((visibility("hidden")))

EMBED(moe_font_regular, "DejaVuSans.ttf");
EMBED(moe_font_bold, "DejaVuSans-Bold.ttf");

struct font_bytes font_file(enum font_face face) {
    if (face == FONT_BOLD) {
        return (struct font_bytes){moe_font_bold_begin, (size_t)(moe_font_bold_end - moe_font_bold_begin)};
    }
    return (struct font_bytes){moe_font_regular_begin,
                               (size_t)(moe_font_regular_end - moe_font_regular_begin)};
}
