#include "data/llama2c_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/text.h"

enum { FILE_BYTES_MAX = 64 << 20, PIECE_BYTES_MAX = 1 << 12, RESERVED = 3 /* <unk>, <s>, </s> */ };

/* Fields and values of sentencepiece_model.proto (SentencePiece 0.1.97). */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };
enum {
    TRAINER_MODEL_TYPE = 3,
    TRAINER_VOCAB_SIZE = 4,
    TRAINER_BYTE_FALLBACK = 35,
    TRAINER_UNK_ID = 40,
    TRAINER_BOS_ID = 41,
    TRAINER_EOS_ID = 42,
    BPE = 2
};
enum {
    NORMALIZER_NAME = 1,
    NORMALIZER_DUMMY_PREFIX = 3,
    NORMALIZER_REMOVE_SPACES = 4,
    NORMALIZER_ESCAPE = 5
};
enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- protocol buffers -------------------------------------------------------------------------------- */

static void put_varint(struct text *out, uint64_t value) {
    do {
        const char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        text_append_bytes(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_number(struct text *out, int field, uint64_t value) {
    put_varint(out, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(out, value);
}

static void put_bytes(struct text *out, int field, const char *bytes, size_t size) {
    put_varint(out, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(out, size);
    text_append_bytes(out, bytes, size);
}

static void put_float(struct text *out, int field, float value) {
    char bytes[sizeof value];
    memcpy(bytes, &value, sizeof value);
    put_varint(out, (uint64_t)field << 3 | WIRE_FIXED32);
    text_append_bytes(out, bytes, sizeof bytes);
}

/* Appends a message that was built by itself, and empties it. */
static void put_message(struct text *out, int field, struct text *message) {
    put_bytes(out, field, message->length > 0 ? message->data : "", message->length);
    out->failed = out->failed || message->failed;
    text_free(message);
    *message = (struct text){0};
}

/* ---- pieces ------------------------------------------------------------------------------------------ */

/* The file while it is read. */
struct cursor {
    const char *path;
    const unsigned char *at, *end;
    int32_t id, bytes; /* id of the coming piece; "<0x..>" pieces so far */
};

static bool is_byte(const char *piece, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    return size == 6 && memcmp(piece, "<0x", 3) == 0 && strchr(digits, piece[3]) != NULL &&
           strchr(digits, piece[4]) != NULL && piece[5] == '>';
}

/* Text and type of the piece with this id: reserved ids by their usual names, spaces as U+2581. */
static void put_piece(struct cursor *c, struct text *message, const char *piece, size_t size, float score) {
    static const char *const reserved[RESERVED] = {"<unk>", "<s>", "</s>"};
    struct text text = {0};
    int type = TYPE_NORMAL;
    if (c->id < RESERVED) {
        text_append(&text, "%s", reserved[c->id]);
        type = c->id == 0 ? TYPE_UNKNOWN : TYPE_CONTROL;
    } else if (is_byte(piece, size)) {
        text_append_bytes(&text, piece, size);
        type = TYPE_BYTE;
        c->bytes++;
    } else {
        for (size_t i = 0; i < size; i++) {
            if (piece[i] == ' ') {
                text_append_bytes(&text, "\xe2\x96\x81", 3);
            } else {
                text_append_bytes(&text, piece + i, 1);
            }
        }
    }
    put_message(message, PIECE_TEXT, &text);
    put_float(message, PIECE_SCORE, score);
    put_number(message, PIECE_TYPE, (uint64_t)type);
}

static moe_status next_piece(struct cursor *c, struct text *model, moe_err *err) {
    moe_status status = MOE_OK;
    float score = 0;
    int32_t size = 0;
    struct text message = {0};
    const bool whole = c->end - c->at >= 8;
    if (whole) {
        memcpy(&score, c->at, sizeof score);
        memcpy(&size, c->at + 4, sizeof size);
        c->at += 8;
    }
    moe_check(whole && size >= 1 && size <= PIECE_BYTES_MAX && size <= c->end - c->at, err, MOE_EFORMAT,
              "%s: not a tokenizer of llama2.c: piece %d is cut short or has an impossible length", c->path,
              c->id);
    put_piece(c, &message, (const char *)c->at, (size_t)size, score);
    put_message(model, MODEL_PIECES, &message);
    c->at += size;
    c->id++;
out:
    return status;
}

static void put_specs(const struct cursor *c, struct text *model) {
    static const char name[] = "identity";
    struct text trainer = {0}, normalizer = {0};
    put_number(&trainer, TRAINER_MODEL_TYPE, BPE);
    put_number(&trainer, TRAINER_VOCAB_SIZE, (uint64_t)c->id);
    put_number(&trainer, TRAINER_BYTE_FALLBACK, c->bytes == 256);
    put_number(&trainer, TRAINER_UNK_ID, 0);
    put_number(&trainer, TRAINER_BOS_ID, 1);
    put_number(&trainer, TRAINER_EOS_ID, 2);
    put_message(model, MODEL_TRAINER, &trainer);
    put_bytes(&normalizer, NORMALIZER_NAME, name, sizeof name - 1);
    put_number(&normalizer, NORMALIZER_DUMMY_PREFIX, 1);
    put_number(&normalizer, NORMALIZER_REMOVE_SPACES, 0);
    put_number(&normalizer, NORMALIZER_ESCAPE, 1);
    put_message(model, MODEL_NORMALIZER, &normalizer);
}

moe_status llama2c_tokenizer_read(const char *path, unsigned char **out_model, size_t *out_size,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *data = NULL;
    size_t size = 0;
    struct text model = {0};
    char *bytes = NULL;
    moe_try(file_read_all(path, FILE_BYTES_MAX, &data, &size, err));
    moe_check(size > 4, err, MOE_EFORMAT, "%s: not a tokenizer of llama2.c: %zu bytes", path, size);
    struct cursor c = {.path = path, .at = data + 4, .end = data + size};
    while (c.at < c.end)
        moe_try(next_piece(&c, &model, err));
    moe_check(c.id > RESERVED, err, MOE_EFORMAT, "%s: not a tokenizer of llama2.c: %d pieces", path, c.id);
    put_specs(&c, &model);
    size = model.length;
    moe_try(text_take(&model, &bytes, err));
    *out_model = (unsigned char *)bytes;
    *out_size = size;
out:
    text_free(&model);
    free(data);
    return status;
}
