/* generate.h - text from a trained model, token by token. */
#ifndef TRAIN_GENERATE_H
#define TRAIN_GENERATE_H

#include "model/decoder.h"
#include "train/experiment.h"
#include "train/sampler.h"

struct generate_options {
    const char *device; /* "cpu" */
    int threads;        /* 0 = as many as are worth it; any number gives the same text */
    const char *data_dir,
        *suites_dir;    /* where a tokenizer may lie, or the text that words are learned from */
    const char *prompt; /* what the text begins with; "" = whatever begins a text */
    int64_t tokens;     /* most new ones, >= 1 */
    struct sampler_settings sampler;
    bool no_stop; /* go on behind the end of a text */
};

/* Why there is no more text. */
enum generate_end {
    GENERATE_RUNNING = 0,
    GENERATE_STOPPED, /* the model ended the text */
    GENERATE_TOKENS,  /* options.tokens are there */
    GENERATE_FULL     /* the model has no position for another token */
};

struct generate_state {
    enum generate_end end;
    int64_t prompt_tokens, tokens;  /* of the prompt, with what begins a text; new ones */
    double prompt_seconds, seconds; /* for reading the prompt; for the new tokens but the first */
};

struct generator;

/* Opens a model file or checkpoint (model_file.h), finds its tokenizer and encodes the prompt; nothing is
 * computed yet. Errors name the file and say what to do: no tokenizer, a prompt with more tokens than the
 * model has positions or with a word that the model does not know, no prompt for a model whose tokenizer has
 * nothing that begins a text. options and its strings must outlive the generator. */
moe_status generator_open(const char *path, const struct generate_options *options,
                          struct generator **out_generator, moe_err *err);
void generator_close(struct generator *g); /* NULL is allowed */

/* What the model is. */
const struct experiment *generator_experiment(const struct generator *g);
const struct decoder_counts *generator_counts(const struct generator *g);
int64_t generator_step(const struct generator *g); /* optimizer steps it was trained for */

/* The next piece of text [*out_size], valid until the next call: first the prompt, then what one token more
 * makes certain, often nothing; whole UTF-8 characters. The state's end says when it was the last one. */
moe_status generator_next(struct generator *g, const char **out_text, size_t *out_size, moe_err *err);
const struct generate_state *generator_state(const struct generator *g);

#endif
