#include "train/generate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/text.h"
#include "data/detokenizer.h"
#include "data/text_file.h"
#include "data/tokenizer.h"
#include "data/words.h"
#include "model/decoder_cache.h"
#include "train/data_request.h"
#include "train/device_fit.h"
#include "train/model_file.h"

/* Active parameters from which a token is shared among all cores unless the user says otherwise. One row
 * leaves little to share between two waits, and threads that wait for each other suffer from whatever else
 * runs. */
#define LEAST_SHARED ((int64_t)100000000)

struct generator {
    const char *path;
    const struct generate_options *options;
    struct experiment *e;
    int64_t step;
    struct decoder_counts counts;
    struct tokenizer *tokenizer;
    struct token_buffer prompt;
    struct device *dev;
    struct decoder *decoder;
    struct decoder_cache *cache;
    struct sampler *sampler;
    struct detokenizer *detokenizer;
    float *logits; /* [V] */
    bool echoed;   /* the prompt was given out */
    int32_t last;  /* the latest token */
    struct text out;
    struct generate_state state;
};

/* ---- opening ---------------------------------------------------------------------------------------- */

/* A damaged or foreign configuration must not make the program ask for more memory than the file's weights
 * are worth. */
static moe_status check_size(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    struct stat info;
    moe_try(decoder_count(&g->e->model, &g->e->moe, 1, 1, &g->counts, err));
    moe_check(stat(g->path, &info) == 0 && info.st_size >= g->counts.total, err, MOE_EFORMAT,
              "%s: its configuration describes a model of %lld parameters, which the file does not hold",
              g->path, (long long)g->counts.total);
out:
    return status;
}

static moe_status open_tokenizer(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    char *pieces = NULL;
    moe_err inner = {0};
    const struct generate_options *o = g->options;
    moe_try(model_file_tokenizer(g->path, g->e, o->data_dir, o->suites_dir, &pieces, err));
    moe_check(pieces != NULL || g->e->data.source != DATA_UNIFORM, err, MOE_ENOTFOUND,
              "%s: the model has no tokenizer: it knows token numbers but no text", g->path);
    if (pieces != NULL) {
        moe_try(tokenizer_sentencepiece(pieces, &g->tokenizer, err));
    } else {
        const struct dataset_request request = data_request_of(g->e, o->data_dir);
        status = dataset_open_tokenizer(&request, &g->tokenizer, &inner);
        moe_check(status == MOE_OK, err, status, "%s: no tokenizer: %s", g->path, inner.message);
    }
    moe_check(tokenizer_size(g->tokenizer) <= g->e->model.vocab_size, err, MOE_EMISMATCH,
              "%s: its tokenizer has %d tokens, the model knows %d: they do not belong together",
              pieces != NULL ? pieces : g->path, tokenizer_size(g->tokenizer), g->e->model.vocab_size);
out:
    free(pieces);
    return status;
}

static bool has_text(const struct experiment *e) {
    return e->data.source == DATA_TEXT || e->data.source == DATA_MIXTURE;
}

static bool has_word_ids(const struct experiment *e) {
    return e->data.source == DATA_STORIES || (has_text(e) && e->data.tokenizer == TOKENIZER_WORD);
}

static bool has_byte_ids(const struct experiment *e) {
    return has_text(e) && e->data.tokenizer == TOKENIZER_BYTE;
}

static bool holds(const struct token_buffer *ids, int32_t id) {
    for (int64_t i = 0; i < ids->count; i++)
        if (ids->ids[i] == id) return true;
    return false;
}

/* Fails with the first word of the prompt that the tokenizer has no token for. */
static moe_status check_known(const struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    const int32_t unknown = tokenizer_unk(g->tokenizer);
    const char *at = g->options->prompt, *word = at;
    if (unknown < 0 || !holds(&g->prompt, unknown)) goto out;
    while (*at != '\0') {
        word = at + strspn(at, " \t\n\v\f\r");
        const size_t length = strcspn(word, " \t\n\v\f\r");
        at = word + length;
        ids.count = 0;
        moe_try(tokenizer_encode(g->tokenizer, word, (int64_t)length, 0, &ids, err));
        moe_check(!holds(&ids, unknown) || word_is(word, (int64_t)length, "<unk>"), err, MOE_ENOTFOUND,
                  "the prompt's '%.*s' is unknown to %s: its tokenizer has no token for it%s", (int)length,
                  word, g->path, has_word_ids(g->e) ? "; use words of the text it was trained on" : "");
    }
out:
    token_buffer_free(&ids);
    return status;
}

/* Positions that the model can use: learned ones behind the end of the training sequences never were
 * trained. */
static int64_t positions_of(const struct experiment *e) {
    const int64_t positions = e->model.max_position_embeddings, trained = e->data.sequence_length;
    const bool untrained = e->model.positions == POSITIONS_LEARNED && e->data.source != DATA_UNIFORM;
    return untrained && trained < positions ? trained : positions;
}

/* Words and pieces follow what begins a text; bytes do so only where there is no prompt, since not every
 * text of theirs has such a byte. */
static moe_status encode_prompt(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    const char *prompt = g->options->prompt;
    const int64_t size = (int64_t)strlen(prompt), positions = positions_of(g->e);
    const int32_t first = tokenizer_boundary(g->tokenizer);
    const int64_t bad = has_byte_ids(g->e) ? -1 : utf8_first_bad(prompt, size);
    moe_check(bad < 0, err, MOE_EUSAGE, "the prompt is not UTF-8: byte %lld of it is 0x%02x", (long long)bad,
              (unsigned)(unsigned char)prompt[bad < 0 ? 0 : bad]);
    if (has_word_ids(g->e)) moe_try(token_buffer_add(&g->prompt, first, err));
    moe_try(tokenizer_encode(g->tokenizer, prompt, size, 0, &g->prompt, err));
    if (has_word_ids(g->e) && g->prompt.count > 1 && prompt[size - 1] != '\n')
        g->prompt.count--; /* the end of the line, which the text goes on with */
    moe_try(check_known(g, err));
    if (g->prompt.count == 0) {
        moe_check(first >= 0, err, MOE_EUSAGE,
                  "%s: its tokenizer has no token that begins a text: give a --prompt", g->path);
        moe_try(token_buffer_add(&g->prompt, first, err));
    }
    moe_check(g->prompt.count <= positions, err, MOE_EUSAGE,
              "the prompt has %lld tokens, but %s has only %lld positions: shorten it",
              (long long)g->prompt.count, g->path, (long long)positions);
    g->state.prompt_tokens = g->prompt.count;
out:
    return status;
}

/* The last token of a text is drawn, but need not be read. */
static moe_status open_model(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    const struct experiment *e = g->e;
    const int64_t rows = g->prompt.count, positions = positions_of(e);
    const int64_t wanted = g->options->tokens < positions ? rows + g->options->tokens - 1 : positions;
    const int64_t room = wanted < positions ? wanted : positions;
    const struct decoder_limits limits = {.max_batch = 1, .max_seq = rows};
    const bool alone = g->options->threads == 0 && g->counts.active < LEAST_SHARED;
    struct device_options options = device_fit(&e->model, &e->moe, alone ? 1 : g->options->threads, 1, rows);
    options.max_seq = (int32_t)room;
    moe_try(device_open(g->options->device, &options, &g->dev, err));
    moe_try(decoder_create(&e->model, &e->moe, &limits, g->dev, &g->decoder, err));
    moe_try(model_file_load(g->path, e, g->decoder, err));
    moe_try(decoder_cache_create(g->decoder, room, &g->cache, err));
    moe_try(sampler_create(&g->options->sampler, tokenizer_size(g->tokenizer), &g->sampler, err));
    moe_try(detokenizer_create(g->tokenizer, &g->detokenizer, err));
    g->logits = malloc((size_t)e->model.vocab_size * sizeof *g->logits);
    moe_check(g->logits != NULL, err, MOE_ENOMEM, "no memory for %d logits", e->model.vocab_size);
out:
    return status;
}

moe_status generator_open(const char *path, const struct generate_options *options,
                          struct generator **out_generator, moe_err *err) {
    moe_status status = MOE_OK;
    struct generator *g = calloc(1, sizeof *g);
    moe_check(g != NULL, err, MOE_ENOMEM, "no memory for a generator");
    g->path = path;
    g->options = options;
    moe_check(options->tokens >= 1, err, MOE_EARG, "%lld tokens are wanted; it must be 1 or more",
              (long long)options->tokens);
    moe_try(model_file_config(path, &g->e, &g->step, err));
    moe_try(check_size(g, err));
    moe_try(open_tokenizer(g, err));
    moe_try(encode_prompt(g, err));
    moe_try(open_model(g, err));
    *out_generator = g;
    g = NULL;
out:
    generator_close(g);
    return status;
}

void generator_close(struct generator *g) {
    if (g == NULL) return;
    decoder_cache_destroy(g->cache);
    decoder_destroy(g->decoder);
    device_close(g->dev);
    sampler_destroy(g->sampler);
    detokenizer_destroy(g->detokenizer);
    tokenizer_free(g->tokenizer);
    token_buffer_free(&g->prompt);
    experiment_free(g->e);
    text_free(&g->out);
    free(g->logits);
    free(g);
}

const struct experiment *generator_experiment(const struct generator *g) {
    return g->e;
}

const struct decoder_counts *generator_counts(const struct generator *g) {
    return &g->counts;
}

int64_t generator_step(const struct generator *g) {
    return g->step;
}

const struct generate_state *generator_state(const struct generator *g) {
    return &g->state;
}

/* ---- text ------------------------------------------------------------------------------------------- */

static moe_status say(struct generator *g, int32_t token, moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = NULL;
    size_t size = 0;
    moe_try(detokenizer_push(g->detokenizer, token, &text, &size, err));
    text_append_bytes(&g->out, text, size);
out:
    return status;
}

static moe_status say_rest(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    const char *text = NULL;
    size_t size = 0;
    moe_try(detokenizer_end(g->detokenizer, &text, &size, err));
    text_append_bytes(&g->out, text, size);
out:
    return status;
}

/* The prompt as its tokens say it; what only begins a text is not shown. */
static moe_status echo_prompt(struct generator *g, moe_err *err) {
    moe_status status = MOE_OK;
    const bool begun = g->prompt.ids[0] == tokenizer_boundary(g->tokenizer);
    for (int64_t i = begun ? 1 : 0; i < g->prompt.count; i++)
        moe_try(say(g, g->prompt.ids[i], err));
    g->last = g->prompt.ids[g->prompt.count - 1];
    g->echoed = true;
out:
    return status;
}

/* Does this token, behind the latest one, end the text? In texts of words <eos> ends a line, and an empty
 * line the text; a generated story is one line. */
static bool ends_text(const struct generator *g, int32_t token) {
    const int32_t boundary = tokenizer_boundary(g->tokenizer), eos = tokenizer_eos(g->tokenizer);
    if (token < 0 || (token != boundary && token != eos)) return false;
    return !has_word_ids(g->e) || g->e->data.source == DATA_STORIES || g->last == token;
}

/* Reads what was not read yet and draws the next token. */
static moe_status draw(struct generator *g, int32_t *out_token, moe_err *err) {
    moe_status status = MOE_OK;
    struct generate_state *s = &g->state;
    const double start = clock_seconds();
    if (s->tokens == 0) {
        moe_try(decoder_cache_read(g->cache, g->prompt.ids, g->prompt.count, g->logits, err));
    } else {
        moe_try(decoder_cache_read(g->cache, &g->last, 1, g->logits, err));
    }
    moe_try(sampler_draw(g->sampler, g->logits, (uint32_t)s->tokens, out_token, err));
    *(s->tokens == 0 ? &s->prompt_seconds : &s->seconds) += clock_seconds() - start;
    s->tokens++;
out:
    return status;
}

static moe_status add_token(struct generator *g, int32_t token, moe_err *err) {
    moe_status status = MOE_OK;
    struct generate_state *s = &g->state;
    const bool ends = ends_text(g, token);
    const bool silent = ends && !has_word_ids(g->e) && !has_byte_ids(g->e); /* pieces that have no text */
    if (ends && !g->options->no_stop) {
        s->end = GENERATE_STOPPED;
    } else if (silent) {
        moe_try(say_rest(g, err));
        text_append_bytes(&g->out, "\n\n", 2);
    } else {
        moe_try(say(g, token, err));
    }
    g->last = token;
    if (s->end == GENERATE_RUNNING && s->tokens == g->options->tokens) s->end = GENERATE_TOKENS;
    if (s->end == GENERATE_RUNNING && decoder_cache_length(g->cache) == positions_of(g->e))
        s->end = GENERATE_FULL;
    if (s->end != GENERATE_RUNNING) moe_try(say_rest(g, err));
out:
    return status;
}

moe_status generator_next(struct generator *g, const char **out_text, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t token = 0;
    g->out.length = 0;
    moe_check(g->state.end == GENERATE_RUNNING, err, MOE_EARG, "the text is over");
    if (!g->echoed) {
        moe_try(echo_prompt(g, err));
    } else {
        moe_try(draw(g, &token, err));
        moe_try(add_token(g, token, err));
    }
    moe_check(!g->out.failed, err, MOE_ENOMEM, "no memory for text");
    *out_text = g->out.length > 0 ? g->out.data : "";
    *out_size = g->out.length;
out:
    return status;
}
