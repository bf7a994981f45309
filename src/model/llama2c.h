/* llama2c.h - models of llama2.c in its first format: seven 32-bit integers, then the weights in fp32.
 *
 *     int32   dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
 *             vocab_size > 0: the head is the token embedding; < 0: it stands at the end
 *     float   token_embedding [V, D], rms_att [L, D], wq [L, D, D], wk, wv [L, kv, D], wo [L, D, D],
 *             rms_ffn [L, D], w1 [L, F, D] (gate), w2 [L, D, F], w3 [L, F, D] (up), rms_final [D],
 *             two tables [seq_len, head_dim / 2] that are not used, and the head [V, D] if it is its own
 *
 * Rotation turns neighbours (2i, 2i + 1) of a head there, halves (i, i + head_dim / 2) here: rows of queries
 * and keys are put in that order. Norms add 1e-5, the rotation's base is 10000.
 */
#ifndef MODEL_LLAMA2C_H
#define MODEL_LLAMA2C_H

#include "model/weights.h"

/* What the header says; a dense model. MOE_ENOTFOUND; MOE_EFORMAT: impossible numbers, or the file's size is
 * not what they make it. */
moe_status llama2c_config(const char *path, struct model_config *out_model, struct moe_config *out_moe,
                          moe_err *err);

/* Reads the weights into ones made from llama2c_config(); allocates them. */
moe_status llama2c_import(const char *path, struct weights *w, moe_err *err);

#endif
