#!/usr/bin/env python3
"""Models here and in Hugging Face transformers: the same weights, the same logits, in both directions.

    cmake --build build --target moe model_logits
    venv/bin/python tests/peers/transformers_roundtrip.py [BUILD]        (venv: tests/golden/requirements.txt)

Out: experiments of suite moedl are trained for some steps, exported, loaded in transformers, and both compute the logits
of the same random tokens. In: models of transformers with random weights are saved, imported, compared the same way, and
exported again: every tensor must be the one that was saved. Prints a table; fails above 1e-4.
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"transformers_roundtrip.py: {missing}: install tests/golden/requirements.txt", file=sys.stderr)
    sys.exit(77)

LARGEST_DIFFERENCE = 1e-4
SMOKE = ["--tier", "smoke", "--keep-model", "--threads", "1"]
SMALL = ["model.num_hidden_layers=3", "model.expected_parameters=0", "data.validation_tokens=641", "train.max_steps=30",
         "train.eval_steps=30"]
OLMO, SUBLAYER_OUTPUT = ["model.qk_norm=true"], "model.norm_placement=sublayer_output"
TRAINED = [  # experiment, protocol, further settings
    ("00_llama2_ref", "as-published", []),
    ("a1_moedl_lb_penalty", "as-published", []),  # one expert, weight always 1
    ("a1_moedl_lb_penalty", "corrected", []),  # one expert, raw probability
    ("a1_moedl_lb_penalty", "corrected", ["moe.num_active_experts=2"]),
    ("a1_moedl_lb_penalty", "corrected", ["moe.num_active_experts=2", "moe.num_shared_experts=1"]),
    ("a1_moedl_lb_penalty", "corrected", ["moe.temperature_start=0.7", "moe.temperature_end=0.7", "moe.layers=[1]"]),
    ("a2_moedl_lb_biasing", "as-published", []),
    ("a2_moedl_lb_biasing", "corrected", []),
    ("a2_moedl_lb_biasing", "corrected", ["moe.routed_scaling_factor=2.0"]),
    ("c3_moedl_e32_k4", "corrected", []),
    ("d2_moedl_s1_k3_e31", "as-published", []),
    ("d3_moedl_s2_k2_e30", "corrected", ["model.num_key_value_heads=2", "moe.layers=[1, 2]"]),
    ("e1_moedl_cf_1_0", "corrected", []),
    ("00_llama2_ref", "as-published", [*OLMO, SUBLAYER_OUTPUT]),
    ("a1_moedl_lb_penalty", "corrected", [*OLMO, SUBLAYER_OUTPUT]),
    ("a1_moedl_lb_penalty", "corrected", [*OLMO, "model.head_dim=0"]),
]
COMMON = {"vocab_size": 200, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
          "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10, "initializer_range": 0.2,
          "tie_word_embeddings": False}
SAVED = [  # class of the configuration, options
    (transformers.LlamaConfig, {"attention_bias": True, "mlp_bias": True, "max_position_embeddings": 128}),
    (transformers.MixtralConfig, {"num_local_experts": 8, "num_experts_per_tok": 3}),
    (transformers.Qwen2MoeConfig, {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16,
                                   "shared_expert_intermediate_size": 32, "mlp_only_layers": [1]}),
    (transformers.Glm4MoeConfig, {"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 16,
                                  "n_shared_experts": 2, "partial_rotary_factor": 1.0, "attention_bias": True,
                                  "num_nextn_predict_layers": 0}),
    (transformers.Olmo2Config, {"attention_bias": True}),
    (transformers.FlexOlmoConfig, {"num_experts": 8, "num_experts_per_tok": 3, "pad_token_id": None}),
    (transformers.OlmoeConfig, {"num_experts": 8, "num_experts_per_tok": 3, "head_dim": 8, "norm_topk_prob": True}),
]


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()


def our_logits(program, model, tokens, work):
    save_file({"tokens": tokens.to(torch.int32)}, work / "tokens.safetensors")
    run(program, model, work / "tokens.safetensors", work / "logits.safetensors")
    return load_file(work / "logits.safetensors")["logits"]


def compare(title, model, ours, tokens):
    theirs = model(tokens).logits
    worst = (ours - theirs).abs().max().item()
    print(f"{title:66} {type(model).__name__:20} {theirs.std():6.2f} {worst:9.1e}", flush=True)
    return worst <= LARGEST_DIFFERENCE


def outwards(moe, program, work):
    good = True
    for number, (experiment, protocol, sets) in enumerate(TRAINED):
        run_file, folder = work / f"{number}.h5", work / f"out{number}"
        options = [word for value in SMALL + sets for word in ("--set", value)]
        run(moe, "train", f"moedl/{experiment}", "--protocol", protocol, *SMOKE, *options, "--out", run_file)
        model_file = run_file.with_suffix(".safetensors")
        run(moe, "export", model_file, "--out", folder)
        model = load(folder)
        tokens = torch.randint(0, model.config.vocab_size, (4, 64))
        title = " ".join([experiment, protocol, *sets]).replace("moe.", "").replace("model.", "")
        good &= compare(title, model, our_logits(program, model_file, tokens, work), tokens)
    return good


def same_tensors(first, second, ignored):
    a, b = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    if a.keys() != b.keys():
        sys.exit(f"other tensors: {sorted(a.keys() ^ b.keys())}")
    return all(torch.equal(a[name], b[name]) for name in a if not name.endswith(ignored))


def inwards(moe, program, work):
    good = True
    for config_class, options in SAVED:
        name = config_class.model_type
        model = transformers.AutoModelForCausalLM.from_config(config_class(**{**COMMON, **options}))
        for tensor_name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor_name.endswith(("bias", "norm.weight", "gate.weight")):
                torch.nn.init.normal_(tensor, 1.0 if "norm" in tensor_name else 0.0, 0.3)
            if tensor_name.endswith("shared_expert_gate.weight"):
                torch.nn.init.zeros_(tensor)
        model.save_pretrained(work / name)
        run(moe, "import", work / name, "--out", work / f"{name}.safetensors")
        run(moe, "export", work / f"{name}.safetensors", "--out", work / f"{name}.again")
        tokens = torch.randint(0, COMMON["vocab_size"], (4, 64))
        ours = our_logits(program, work / f"{name}.safetensors", tokens, work)
        good &= compare(f"{name}, random weights", load(work / name), ours, tokens)
        if not same_tensors(work / name, work / f"{name}.again", ()):
            print(f"{name}: exported again, its tensors differ")
            good = False
    return good


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
    moe, program = build / "bin/moe", next(build.rglob("model_logits"), None)
    if program is None:
        sys.exit(f"{build} has no model_logits: cmake --build {build} --target model_logits")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    print(f"{'model':66} {'class':20} {'std':>6} {'largest difference of a logit'}")
    with tempfile.TemporaryDirectory() as work:
        good = outwards(moe, program, pathlib.Path(work))
        good &= inwards(moe, program, pathlib.Path(work))
    print("equal within 1e-4" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
