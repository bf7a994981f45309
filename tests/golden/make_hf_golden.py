#!/usr/bin/env python3
"""Writes tests/golden/data/hf_*: folders as Hugging Face transformers saves its models, and the logits it computes.

    python -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_hf_golden.py

Models of a few thousand random parameters; nothing is downloaded. hf_NAME/ holds config.json and model.safetensors (for
hf_sharded several files and their index, in bfloat16), hf_NAME.safetensors the tokens [B, T] and the logits [B, T, V] of
the model that is loaded back from the folder. Parameters are wide (N(0, 0.5)), norms and biases random too, so that no
part of a model is lost in rounding; a choice of experts that float32 could change is drawn again.
"""
import os
import pathlib
import shutil

from make_moe_golden import check_versions

check_versions()

import torch
import transformers
from safetensors.torch import save_file

DATA = pathlib.Path(__file__).parent / "data"
BATCH, SEQ = 2, 11
SMALLEST_GAP = 1e-3  # between the scores of the last expert chosen and the first that is not
COMMON = {"vocab_size": 23, "hidden_size": 8, "intermediate_size": 10, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 64,
          "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "initializer_range": 0.5}
MODELS = {  # name: class of the configuration, class of the model, options, type of the elements
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
              {"attention_bias": True, "mlp_bias": True}, torch.float32),
    "tied": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": True}, torch.float16),
    "sharded": (transformers.LlamaConfig, transformers.LlamaForCausalLM,
                {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, torch.bfloat16),
    "mixtral": (transformers.MixtralConfig, transformers.MixtralForCausalLM,
                {"num_local_experts": 3, "num_experts_per_tok": 2}, torch.float32),
    "qwen2_moe": (transformers.Qwen2MoeConfig, transformers.Qwen2MoeForCausalLM,
                  {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 5, "norm_topk_prob": False,
                   "shared_expert_intermediate_size": 10, "mlp_only_layers": [0], "qkv_bias": True}, torch.float32),
    "glm4_moe": (transformers.Glm4MoeConfig, transformers.Glm4MoeForCausalLM,
                 {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 5, "n_shared_experts": 1,
                  "first_k_dense_replace": 1, "partial_rotary_factor": 1.0, "norm_topk_prob": True,
                  "routed_scaling_factor": 1.5,
                  "num_nextn_predict_layers": 0}, torch.float32),
    "olmo2": (transformers.Olmo2Config, transformers.Olmo2ForCausalLM,
              {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, torch.float32),
    "flex_olmo": (transformers.FlexOlmoConfig, transformers.FlexOlmoForCausalLM,
                  {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "num_experts": 4,
                   "num_experts_per_tok": 2, "norm_topk_prob": False, "pad_token_id": None}, torch.float32),
    "olmoe": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM,
              {"num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True, "head_dim": 2}, torch.float32),
}


def randomise(model):
    """Norms, biases and routers too, which start as constants."""
    for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
        if name.endswith("shared_expert_gate.weight"):
            torch.nn.init.zeros_(tensor)  # a gate of 1/2: the one that models here can express
        elif name.endswith("norm.weight"):
            torch.nn.init.normal_(tensor, 1.0, 0.2)
        elif not name.endswith("inv_freq"):
            torch.nn.init.normal_(tensor, 0.0, 0.3 if name.endswith("correction_bias") else 0.5)


def smallest_gap(model, tokens):
    """Of all routers and tokens, as a share of the largest score; a dense model has none."""
    gaps = [1.0]

    def look(router, arguments, _):
        logits = torch.nn.functional.linear(arguments[0].reshape(-1, router.hidden_dim), router.weight)
        bias = getattr(router, "e_score_correction_bias", None)
        scores = logits.softmax(-1) if bias is None else logits.sigmoid() + bias
        best = scores.sort(-1, descending=True).values
        gaps.append(((best[:, router.top_k - 1] - best[:, router.top_k]) / best[:, 0].abs()).min().item())

    hooks = [m.register_forward_hook(look) for m in model.modules() if hasattr(m, "top_k") and hasattr(m, "weight")]
    logits = model(tokens).logits
    for hook in hooks:
        hook.remove()
    return min(gaps), logits


def make(name, config_class, model_class, options, dtype):
    for seed in range(100):
        torch.manual_seed(seed)
        model = model_class(config_class(**{**COMMON, **options})).eval()
        randomise(model)
        tokens = torch.randint(0, COMMON["vocab_size"], (BATCH, SEQ))
        folder = DATA / f"hf_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        limit = {"max_shard_size": 1500} if name == "sharded" else {}
        model.to(dtype).save_pretrained(folder, **limit)
        loaded = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                             experts_implementation="eager").eval()
        gap, logits = smallest_gap(loaded, tokens)
        if gap >= SMALLEST_GAP:
            break
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({"tokens": tokens.to(torch.int32), "logits": logits.float().contiguous()}, DATA / f"hf_{name}.safetensors")
    for path in [*folder.iterdir(), DATA / f"hf_{name}.safetensors"]:
        path.chmod(0o644)
    files = sorted(p.name for p in folder.iterdir())
    size = sum(p.stat().st_size for p in folder.iterdir())
    print(f"{name}: seed {seed}, gap {gap:.1e}, logits up to {logits.abs().max():.1f}, {size} bytes in {len(files)} files")


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    for name, (config_class, model_class, options, dtype) in MODELS.items():
        make(name, config_class, model_class, options, dtype)
