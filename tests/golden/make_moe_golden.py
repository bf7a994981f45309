#!/usr/bin/env python3
"""Writes tests/golden/data/moe_*.safetensors: what the models of Hugging Face transformers compute.

    python -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_moe_golden.py

The models are called, with random parameters; nothing is downloaded. Inputs and parameters are float32 numbers; the
modules run in float64, and round to float32 where their code asks for it (norms, softmax, rotations, the loss). A case
is drawn again until float32 cannot change a choice of experts and costs the gradients at most LARGEST_FLOAT32_ERROR;
for models that also compares the plain implementations of attention and experts (float64) with those the library
prefers (float32).

Whole models (moe_MODEL): param.*, grad.* under the names of src/model, input, target, logits, loss.total, and loss.aux
(before its coefficient) where the model has one; per MoE layer index.N and weight.N, the experts chosen, best first,
and their combine weights, and select_bias.N if the router has one. The metadata is the model's configuration under
transformers' own names. Blocks (moe_block_NAME): x, dy, param.*, select_bias once; per case CASE.y, .dx, .grad.*,
.index, .weight, .load. Balance loss (moe_balance): x.N and w.N of each layer once; per K CASE.pooled over all layers
with its gradients .dx.N and .dw.N, and CASE.per_layer, the sum of each layer's own.
"""
import importlib.metadata
import math
import os
import pathlib

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = pathlib.Path(__file__).parent


def check_versions():
    """The packages of requirements.txt, exactly: another release may compute something else."""
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        name, wanted = line.split("==")
        found = importlib.metadata.version(name).split("+")[0]
        if found != wanted:
            raise SystemExit(f"{name} {found} is installed, requirements.txt pins {wanted}")


check_versions()

import torch
import transformers
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock, load_balancing_loss_func

from make_golden import save

LARGEST_FLOAT32_ERROR = 1e-6  # of a gradient, in transformers
SMALLEST_GAP = 1e-3  # between two selection scores whose order decides, as a share of the larger
BATCH, SEQ = 3, 9
COMMON = {"vocab_size": 29, "hidden_size": 12, "num_hidden_layers": 2, "max_position_embeddings": 32,
          "tie_word_embeddings": False, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}

MODELS = {  # name: class of the configuration, class of the model, options
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {
        "intermediate_size": 20, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
        "rms_norm_eps": 1e-6, "rope_parameters": ROPE}),
    "mixtral": (transformers.MixtralConfig, transformers.MixtralForCausalLM, {
        "intermediate_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
        "rms_norm_eps": 1e-5, "rope_parameters": ROPE | {"rope_theta": 5e5}, "num_local_experts": 8,
        "num_experts_per_tok": 2, "router_aux_loss_coef": 0.05, "output_router_logits": True}),
    "olmoe_top1": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM, {
        "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_parameters": ROPE, "num_experts": 8, "num_experts_per_tok": 1, "norm_topk_prob": False,
        "router_aux_loss_coef": 0.01, "output_router_logits": True}),
    "olmoe_top1_sum1": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM, {
        "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_parameters": ROPE, "num_experts": 8, "num_experts_per_tok": 1, "norm_topk_prob": True,
        "router_aux_loss_coef": 1.0, "output_router_logits": True}),
    "olmoe_top4": (transformers.OlmoeConfig, transformers.OlmoeForCausalLM, {
        "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
        "rope_parameters": ROPE, "num_experts": 8, "num_experts_per_tok": 4, "norm_topk_prob": False,
        "router_aux_loss_coef": 0.1, "output_router_logits": True}),
    "glm4": (transformers.Glm4MoeConfig, transformers.Glm4MoeForCausalLM, {
        "intermediate_size": 20, "moe_intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 8, "rms_norm_eps": 1e-6, "rope_parameters": ROPE | {"partial_rotary_factor": 1.0},
        "use_qk_norm": False, "attention_bias": False, "n_routed_experts": 8, "n_shared_experts": 2,
        "num_experts_per_tok": 3, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
        "routed_scaling_factor": 1.0, "first_k_dense_replace": 1}),
}

BLOCK_ROWS, BLOCK_HIDDEN, BLOCK_INTERMEDIATE, EXPERTS = (2, 11), 10, 6, 8
BLOCKS = {  # name: class of the block, class and options of its configuration, case -> options
    "olmoe": (OlmoeSparseMoeBlock, transformers.OlmoeConfig, {
        "intermediate_size": BLOCK_INTERMEDIATE, "num_experts": EXPERTS,
    }, {f"k{k}_{'sum1' if norm else 'raw'}": {"num_experts_per_tok": k, "norm_topk_prob": norm}
        for k in (1, 2, 4) for norm in (False, True)}),
    "deepseek": (DeepseekV3MoE, transformers.DeepseekV3Config, {
        "moe_intermediate_size": BLOCK_INTERMEDIATE, "n_routed_experts": EXPERTS, "n_shared_experts": 2, "n_group": 1,
        "topk_group": 1, "routed_scaling_factor": 1.0,
    }, {f"k{k}_{'sum1' if norm else 'raw'}": {"num_experts_per_tok": k, "norm_topk_prob": norm}
        for k in (1, 2, 4) for norm in (False, True)}),
}
BALANCE_LAYERS, BALANCE_ROWS = 3, 23


def draw(module, generator):
    """float32 values that make every term count, in the order of the module's parameters and buffers."""
    values = {}
    for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
        if tensor.ndim == 1 and name.endswith("inv_freq"):
            continue
        x = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
        if "norm" in name:
            x = 1 + 0.1 * x
        elif "correction_bias" in name:
            x = 0.15 * x
        elif name.endswith("gate.weight") or "embed" in name:
            x = 0.5 * x
        else:
            x = x / math.sqrt(tensor.shape[-1])
        values[name] = x
    return values


def load(module, values, dtype):
    """The module in dtype with these values."""
    module.to(dtype)
    missing = module.load_state_dict(values, strict=False)
    assert not missing.unexpected_keys and not missing.missing_keys, missing
    return module.eval()


OURS = {  # suffix of a name in transformers -> ours, and the place where several are packed into one
    "model.embed_tokens.weight": ("token_embedding.weight", 0), "model.norm.weight": ("norm.weight", 0),
    "lm_head.weight": ("head.weight", 0),
    "input_layernorm.weight": ("norm1.weight", 0), "post_attention_layernorm.weight": ("norm2.weight", 0),
    "self_attn.q_proj.weight": ("attention.qkv.weight", 0), "self_attn.k_proj.weight": ("attention.qkv.weight", 1),
    "self_attn.v_proj.weight": ("attention.qkv.weight", 2), "self_attn.o_proj.weight": ("attention.out.weight", 0),
    "mlp.gate_proj.weight": ("ffn.fc1.weight", 0), "mlp.up_proj.weight": ("ffn.fc1.weight", 1),
    "mlp.down_proj.weight": ("ffn.fc2.weight", 0),
    "mlp.gate.weight": ("moe.router.weight", 0), "mlp.experts.gate_up_proj": ("moe.experts.fc1.weight", 0),
    "mlp.experts.down_proj": ("moe.experts.fc2.weight", 0),
    "mlp.shared_experts.gate_proj.weight": ("moe.shared.fc1.weight", 0),
    "mlp.shared_experts.up_proj.weight": ("moe.shared.fc1.weight", 1),
    "mlp.shared_experts.down_proj.weight": ("moe.shared.fc2.weight", 0),
}


def rename(values):
    """Tensors by transformers' names -> packed tensors by ours (rows of q, k, v and of gate, up, one after another)."""
    parts = {}
    for name, value in values.items():
        layer, suffix = "", name
        if name.startswith("model.layers."):
            number, suffix = name.removeprefix("model.layers.").split(".", 1)
            layer = f"blocks.{number}."
        ours, place = OURS[suffix]
        parts.setdefault(layer + ours, {})[place] = value
    return {name: torch.cat([value[i] for i in sorted(value)]) for name, value in parts.items()}


def parameters_of(module, what=lambda p: p.detach()):
    return {name: what(p) for name, p in module.named_parameters()}


class Routes:
    """Records what every router of a module answers, in the order of the layers."""

    def __init__(self, module):
        self.routers = [m for name, m in module.named_modules() if name.split(".")[-1] == "gate"]
        self.answers = [None] * len(self.routers)
        for n, router in enumerate(self.routers):
            router.register_forward_hook(lambda _, __, answer, n=n: self.answers.__setitem__(n, answer))

    def scores(self, n):
        """[rows, E]: what the top K are taken of."""
        logits = self.answers[n][0].detach()
        bias = getattr(self.routers[n], "e_score_correction_bias", None)
        return logits.softmax(dim=-1) if bias is None else logits.sigmoid() + bias

    def chosen(self, n):
        """Experts and weights, best first; a reference that does not sort says so, and the order is free."""
        index, weight = self.answers[n][2], self.answers[n][1].detach()
        order = self.scores(n).gather(1, index).argsort(dim=-1, descending=True)
        return index.gather(1, order).int(), weight.gather(1, order)

    def smallest_gap(self):
        gaps = [1.0]
        for n, router in enumerate(self.routers):
            ranked = self.scores(n).sort(dim=-1, descending=True).values[:, :router.top_k + 1]
            gaps.append((1 - ranked[:, 1:] / ranked[:, :-1]).abs().min().item())
        return min(gaps)


def float32_error(single, double):
    """Largest relative error (L2) of a tensor of `single`, given the right ones. Left out is one that is nothing but
    rounding: the gradient of a router whose only weight is 1 whatever it says."""
    largest = max(value.norm() for value in double.values())
    return max(((single[key] - value).norm() / value.norm()).item()
               for key, value in double.items() if value.norm() > 1e-6 * largest)


def build_model(name, dtype):
    """In float64 the plain implementations of attention and experts, in float32 those that the library prefers."""
    config_class, model_class, options = MODELS[name]
    config = config_class(**COMMON, **options)
    if dtype == torch.float64:
        config._attn_implementation = config._experts_implementation = "eager"
    model = model_class(config)
    if name.startswith("olmoe"):  # this project's attention normalises neither queries nor keys
        for layer in model.model.layers:
            layer.self_attn.q_norm = layer.self_attn.k_norm = torch.nn.Identity()
    return model


def run_model(name, values, dtype, tokens, targets):
    model = load(build_model(name, dtype), values, dtype)
    routes = Routes(model)
    out = model(input_ids=tokens, labels=targets, shift_labels=targets, use_cache=False)
    out.loss.backward()
    return model, routes, out


def model_golden(name, seed):
    """The tensors of one model, or None if a choice is too close to call or float32 cannot do."""
    generator = torch.Generator().manual_seed(seed)
    values = draw(build_model(name, torch.float32), generator)
    ids = torch.randint(COMMON["vocab_size"], (BATCH, SEQ + 1), generator=generator)
    tokens, targets = ids[:, :-1], ids[:, 1:].contiguous()
    model, routes, out = run_model(name, values, torch.float64, tokens, targets)
    if routes.smallest_gap() < SMALLEST_GAP:
        return None
    grads = parameters_of(model, lambda p: p.grad)
    single = parameters_of(run_model(name, values, torch.float32, tokens, targets)[0], lambda p: p.grad)
    if float32_error(single, grads) > LARGEST_FLOAT32_ERROR:
        return None
    tensors = {"input": tokens.int(), "target": targets.int(), "logits": out.logits.flatten(0, 1),
               "loss.total": out.loss.double()}
    if getattr(out, "aux_loss", None) is not None:
        tensors["loss.aux"] = out.aux_loss.double()
    for n, router in enumerate(routes.routers):
        tensors[f"index.{n}"], tensors[f"weight.{n}"] = routes.chosen(n)
        if hasattr(router, "e_score_correction_bias"):
            tensors[f"select_bias.{n}"] = router.e_score_correction_bias
    tensors |= {f"param.{key}": value for key, value in rename(parameters_of(model)).items()}
    tensors |= {f"grad.{key}": value for key, value in rename(grads).items()}
    return tensors


def first(function, *arguments):
    """(seed, result) of the first seed that gives one."""
    for seed in range(1, 200):
        result = function(*arguments, seed)
        if result is not None:
            return seed, result
    raise SystemExit(f"no seed does for {arguments}")


def write_models():
    for name in MODELS:
        seed, tensors = first(model_golden, name)
        save(f"moe_{name}", tensors, COMMON | MODELS[name][2] | {"seed": seed})


def build_block(name, options):
    block_class, config_class, common, _ = BLOCKS[name]
    config = config_class(hidden_size=BLOCK_HIDDEN, **common, **options)
    config._experts_implementation = "eager"
    return block_class(config)


def run_block(name, options, values, dtype, x, dy):
    block = load(build_block(name, options), values, dtype)
    routes, x = Routes(block), x.to(dtype, copy=True).requires_grad_()
    y = block(x)
    y.backward(dy.to(dtype))
    named = {f"model.layers.0.mlp.{key}": value for key, value in parameters_of(block, lambda p: p.grad).items()}
    return routes, {"y": y.detach(), "dx": x.grad} | {f"grad.{k}": g for k, g in rename(named).items()}


def block_golden(name, seed):
    """All cases of one block, with the same parameters and inputs; None if one of them is no good."""
    generator = torch.Generator().manual_seed(seed)
    cases = BLOCKS[name][3]
    values = draw(build_block(name, next(iter(cases.values()))), generator)
    x = torch.randn(*BLOCK_ROWS, BLOCK_HIDDEN, generator=generator)
    dy = torch.randn(*BLOCK_ROWS, BLOCK_HIDDEN, generator=generator)
    bias = values.get("gate.e_score_correction_bias")
    named = {f"model.layers.0.mlp.{key}": v for key, v in values.items() if key != "gate.e_score_correction_bias"}
    tensors = {"x": x, "dy": dy} | {f"param.{key}": value for key, value in rename(named).items()}
    tensors |= {"select_bias": bias} if bias is not None else {}
    for case, options in cases.items():
        routes, results = run_block(name, options, values, torch.float64, x, dy)
        single = run_block(name, options, values, torch.float32, x, dy)[1]
        if routes.smallest_gap() < SMALLEST_GAP:
            return None
        if float32_error(single, results) > LARGEST_FLOAT32_ERROR:
            return None
        index, weight = routes.chosen(0)
        results |= {"index": index, "weight": weight, "load": torch.bincount(index.flatten(), minlength=EXPERTS).int()}
        tensors |= {f"{case}.{key}": value for key, value in results.items()}
    return tensors


def write_blocks():
    for name, (_, _, common, cases) in BLOCKS.items():
        seed, tensors = first(block_golden, name)
        save(f"moe_block_{name}", tensors, {"hidden_size": BLOCK_HIDDEN, "cases": cases, "seed": seed} | common)


def balance_golden(seed):
    """The balance loss on router logits x w^T of several layers, and its gradients in x and w."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(BALANCE_ROWS, BLOCK_HIDDEN, generator=generator) for _ in range(BALANCE_LAYERS)]
    w = [torch.randn(EXPERTS, BLOCK_HIDDEN, generator=generator) / 2 for _ in range(BALANCE_LAYERS)]
    tensors = {f"x.{n}": x[n] for n in range(BALANCE_LAYERS)} | {f"w.{n}": w[n] for n in range(BALANCE_LAYERS)}
    for k in (1, 2, 4):
        leaves = [(a.double().requires_grad_(), b.double().requires_grad_()) for a, b in zip(x, w)]
        logits = tuple(torch.nn.functional.linear(a, b) for a, b in leaves)
        ranked = torch.cat(logits).softmax(dim=-1).sort(dim=-1, descending=True).values[:, :k + 1]
        if (1 - ranked[:, 1:] / ranked[:, :-1]).min() < SMALLEST_GAP:
            return None
        each = [load_balancing_loss_func((layer,), EXPERTS, k) for layer in logits]
        tensors[f"k{k}.per_layer"] = sum(each).detach().double()
        pooled = load_balancing_loss_func(logits, EXPERTS, k)
        pooled.backward()
        tensors[f"k{k}.pooled"] = pooled.detach().double()
        for n, (a, b) in enumerate(leaves):
            tensors |= {f"k{k}.dx.{n}": a.grad, f"k{k}.dw.{n}": b.grad}
    return tensors


def write_balance():
    seed, tensors = first(balance_golden)
    save("moe_balance", tensors, {"seed": seed})


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    write_models()
    write_blocks()
    write_balance()


if __name__ == "__main__":
    main()
