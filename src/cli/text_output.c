#include "cli/text_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int32_t text_output_width(void) {
    struct winsize size = {0};
    const char *columns = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const long width = columns != NULL ? strtol(columns, NULL, 10) : 0;
    return width > 0 && width < 10000 ? (int32_t)width : 0;
}

moe_status text_output_flush(moe_err *err) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return MOE_OK;
    return moe_fail(err, MOE_EIO, "the text cannot be written: %s", strerror(errno));
}

void text_output_begin(struct text_output *o) {
    *o = (struct text_output){.width = isatty(STDOUT_FILENO) ? text_output_width() : 0};
}

static void put_word(struct text_output *o) {
    if (o->word.length == 0) return;
    const int32_t columns = (int32_t)text_columns(o->word.data);
    if (o->used > 0 && o->used + columns > o->width) {
        putchar('\n');
        o->used = 0;
    }
    fputs(o->word.data, stdout);
    o->used = (o->used + columns) % o->width;
    o->word.length = 0;
}

static void put_wrapped(struct text_output *o, const char *text) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != ' ' && *at != '\n') {
            text_append_bytes(&o->word, at, 1);
            continue;
        }
        put_word(o);
        if (*at == '\n') {
            putchar('\n');
            o->used = 0;
        } else if (o->used > 0 &&
                   o->used < o->width) { /* a line does not begin with the space that broke it */
            putchar(' ');
            o->used++;
        }
    }
}

moe_status text_output_put(struct text_output *o, const char *text, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    struct text printable = {0};
    char *owned = NULL;
    if (size == 0) goto out;
    o->line_open = text[size - 1] != '\n';
    if (o->width > 0) {
        text_append_printable(&printable, text, size);
        moe_try(text_take(&printable, &owned, err));
        put_wrapped(o, owned);
        moe_check(!o->word.failed, err, MOE_ENOMEM, "no memory for a word");
    } else {
        fwrite(text, 1, size, stdout);
    }
    moe_try(text_output_flush(err));
out:
    free(owned);
    text_free(&printable);
    return status;
}

moe_status text_output_end(struct text_output *o, moe_err *err) {
    if (o->width > 0) put_word(o);
    if (o->line_open) putchar('\n');
    text_free(&o->word);
    *o = (struct text_output){.width = o->width};
    return text_output_flush(err);
}
