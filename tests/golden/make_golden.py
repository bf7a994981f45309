#!/usr/bin/env python3
"""Writes tests/golden/data: what PyTorch computes, for the C code to be compared with.

    python -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_golden.py

Inputs and parameters are float32 numbers; everything is computed in float64; results are stored rounded to float32,
losses as float64. Running it again gives the same files, up to the last bit of a result where PyTorch's kernels differ.

A model file holds, under the names of src/model: param.*, grad.* (of the first batch, before clipping), step1.* and
step3.* (parameters after that many AdamW steps, one batch each), input.N and target.N (batch N), logits, losses and
grad_norm of each batch, and per router router_prob.N and router_index.N of the first batch (N is the layer, + 1000 for
a layer's second router).

With names of models as arguments, only those files are written.
"""
import dataclasses
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import decoder_torch
from decoder_torch import Config

LARGEST_FLOAT32_ERROR = 2e-6  # of a gradient, in PyTorch
DATA = pathlib.Path(__file__).parent / "data"
BATCH, STEPS = 3, 3
LEARNING_RATE, BETAS, EPS, WEIGHT_DECAY, CLIP = 3e-4, (0.9, 0.999), 1e-8, 0.01, 1.0
LOSSES = ("loss_nll", "loss_ce", "loss_aux", "loss_head_z", "loss_router_z", "loss")
SMALLEST_MARGIN = 1e-3  # relative, of two neighbours in an order that decides: float32 must choose alike

SOURCE_C = {"norm": "rmsnorm", "norm_eps": 1e-6, "norm_placement": "sublayer_output", "positions": "rope",
            "rope_theta": 5e5, "ffn": "swiglu", "bias": False, "qk_norm": True, "vocab_size": 19, "hidden_size": 8,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4,
            "intermediate_size": 6, "moe_layers": (0, 1), "num_active_experts": 2, "lb_coeff": 0.1,
            "router_z_coeff": 1e-2, "z_coeff": 1e-3}
MODELS = {
    "dense": Config(),
    "top1": Config(moe_layers=(0, 2)),
    "top2_renormalized": Config(moe_layers=(1,), num_experts=5, num_active_experts=2, renormalize=True,
                                temperature=0.7, lb_coeff=0.1),
    "top2_smoothed": Config(moe_layers=(1, 2), num_active_experts=2, lb_coeff=1.0, label_smoothing=0.1),
    "soft": Config(moe_layers=(1,), num_active_experts=4, lb_coeff=0.1),
    "llama": Config(norm="rmsnorm", norm_eps=1e-6, positions="rope", ffn="swiglu", bias=False,
                    intermediate_size=20, num_attention_heads=4, num_key_value_heads=2, moe_layers=(0, 2),
                    num_experts=5, num_active_experts=2, num_shared_experts=1, router="sigmoid",
                    renormalize=True, renormalize_eps=1e-6, lb_coeff=0.1, lb_scope="pooled"),
    "sublayer_output": Config(norm="rmsnorm", norm_eps=1e-6, norm_placement="sublayer_output", positions="rope",
                              rope_theta=5e5, ffn="swiglu", bias=False, intermediate_size=20, moe_layers=(0, 1, 2),
                              num_active_experts=2, lb_coeff=0.1, router_z_coeff=1e-2, z_coeff=1e-3),
    "two_groups": Config(**SOURCE_C, num_experts_2=6, num_active_experts_2=3, intermediate_size_2=4,
                         aux_mean_over_layers=True),
    "generalist": Config(**SOURCE_C, generalist_size=5),
    "generalist_beside": Config(**SOURCE_C, generalist_size=5, num_experts_2=3, num_active_experts_2=1,
                                intermediate_size_2=4, published_generalist_input=True, aux_mean_over_layers=True),
    "generalist_beside_pre": Config(vocab_size=19, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                                    num_key_value_heads=1, head_dim=4, intermediate_size=6, positions="rope",
                                    qk_norm=True, moe_layers=(1,), generalist_size=5,
                                    published_generalist_input=True),
}


def save(name, tensors, config):
    stored = {key: (value.detach().float() if value.dtype == torch.float64 and value.ndim > 0 else value.detach())
              .clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    save_file(stored, DATA / f"{name}.safetensors", metadata={"config": json.dumps(config, sort_keys=True)})


def margin(out):
    """Smallest relative gap between probabilities whose order decides which experts are chosen, and in which order."""
    gaps = [1.0]
    for probability, index in zip(out["router_prob"], out["router_index"]):
        ranked = probability.sort(dim=-1, descending=True).values[:, :index.shape[-1] + 1]
        gaps.append((1 - ranked[:, 1:] / ranked[:, :-1]).min().item())
    return min(gaps)


def float32_error(config, p, tokens, targets):
    """What float32 costs PyTorch itself: the largest relative error (L2) of a parameter's gradient, given the right
    ones in p. Some random models are so ill-conditioned that a comparison would say little about the arithmetic."""
    single = {name: value.detach().float().requires_grad_() for name, value in p.items()}
    decoder_torch.forward(config, single, tokens, targets)["loss"].backward()
    return max(((single[name].grad - value.grad).norm() / value.grad.norm().clamp_min(1e-12)).item()
               for name, value in p.items())


def model_golden(config, seed):
    """The tensors of one model file, or None if a choice of experts is too close to call or float32 cannot do."""
    generator = torch.Generator().manual_seed(seed)
    start = decoder_torch.random_parameters(config, generator)
    p = {name: value.double().requires_grad_() for name, value in start.items()}
    tensors = {f"param.{name}": value for name, value in start.items()}
    optimizer = torch.optim.AdamW(p.values(), lr=LEARNING_RATE, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    for step in range(STEPS):
        ids = torch.randint(config.vocab_size, (BATCH, config.max_position_embeddings + 1), generator=generator)
        tokens, targets = ids[:, :-1], ids[:, 1:]
        optimizer.zero_grad()
        out = decoder_torch.forward(config, p, tokens, targets)
        if margin(out) < SMALLEST_MARGIN:
            return None
        out["loss"].backward()
        if step == 0 and float32_error(config, p, tokens, targets) > LARGEST_FLOAT32_ERROR:
            return None
        tensors |= {f"input.{step}": tokens.int(), f"target.{step}": targets.int()}
        tensors |= {f"{key}.{step}": out[key] for key in LOSSES}
        if step == 0:
            tensors["logits"] = out["logits"]
            tensors |= {f"router_prob.{n}": x for n, x in zip(config.router_numbers(), out["router_prob"])}
            tensors |= {f"router_index.{n}": x.int() for n, x in zip(config.router_numbers(), out["router_index"])}
            tensors |= {f"grad.{name}": value.grad.clone() for name, value in p.items()}
        tensors[f"grad_norm.{step}"] = torch.nn.utils.clip_grad_norm_(p.values(), CLIP)
        optimizer.step()
        if step in (0, STEPS - 1):
            tensors |= {f"step{step + 1}.{name}": value.detach().clone() for name, value in p.items()}
    return tensors


def with_grads(prefix, inputs, function):
    """inputs (float32) -> prefix.NAME of inputs and outputs, and of every input's gradient as prefix.dNAME, for the
    gradient prefix.dy of the output y (random)."""
    leaves = {name: value.double().requires_grad_() for name, value in inputs.items()}
    y = function(**leaves)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(len(prefix)), dtype=torch.float32)
    y.backward(dy.double())
    return ({f"{prefix}.{name}": value for name, value in inputs.items()}
            | {f"{prefix}.y": y, f"{prefix}.dy": dy}
            | {f"{prefix}.d{name}": leaf.grad for name, leaf in leaves.items()})


def rope_pairs(x, theta):
    """The pairing (2i, 2i + 1) of Llama's original code; x [..., T, head_dim]."""
    angle = decoder_torch.rope_angles(x.shape[-2], x.shape[-1], theta)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


def attention(q, k, v):
    """q [B, T, heads, head_dim], k and v [B, T, kv_heads, head_dim], as the C code keeps them."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2)


def attention_lse(q, k):
    """[B, heads, T]: log sum exp of the scaled scores of each query."""
    k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q.double(), k.double()) / q.shape[-1] ** 0.5
    mask = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril()
    return scores.masked_fill(~mask, float("-inf")).logsumexp(dim=-1)


def head_loss(prefix, x, w, targets, smoothing, z_coeff):
    """Mean loss over the rows that count (target >= 0), and the per-row parts of it."""
    x, w = x.double().requires_grad_(), w.double().requires_grad_()
    logits = F.linear(x, w)
    counted = targets >= 0
    lse = logits.logsumexp(dim=-1)
    rows = F.cross_entropy(logits, targets.long(), ignore_index=-1, label_smoothing=smoothing, reduction="none")
    loss = (rows + z_coeff * (lse * counted) ** 2).sum() / counted.sum()
    loss.backward()
    return {f"{prefix}.x": x.detach().float(), f"{prefix}.w": w.detach().float(), f"{prefix}.targets": targets,
            f"{prefix}.nll": F.cross_entropy(logits, targets.long(), ignore_index=-1, reduction="none"),
            f"{prefix}.lse": lse * counted, f"{prefix}.mean_logit": logits.mean(dim=-1) * counted,
            f"{prefix}.loss": loss, f"{prefix}.dx": x.grad, f"{prefix}.dw": w.grad}


def router(prefix, x, w, bias, kind, k, temperature, renormalize_eps, z_grad, generator):
    """Combine weights of the chosen experts, and gradients from weights, balance loss and z-loss together."""
    x, w = x.double().requires_grad_(), w.double().requires_grad_()
    logits = F.linear(x, w) / temperature
    probability = F.softmax(logits, dim=-1) if kind == "softmax" else torch.sigmoid(logits)
    index = (probability + bias.double()).topk(k, dim=-1).indices
    weight = probability.gather(1, index)
    if renormalize_eps is not None:
        weight = weight / (weight.sum(dim=-1, keepdim=True) + renormalize_eps)
    share = probability / probability.sum(dim=-1, keepdim=True)
    dweight = torch.randn(weight.shape, generator=generator)
    prob_grad = torch.randn(w.shape[0], generator=generator)
    lse = logits.logsumexp(dim=-1)
    total = (weight * dweight.double()).sum() + (share * prob_grad.double()).sum() + z_grad * (lse ** 2).sum()
    total.backward()
    return {f"{prefix}.x": x.detach().float(), f"{prefix}.w": w.detach().float(), f"{prefix}.bias": bias,
            f"{prefix}.logits": logits, f"{prefix}.prob": probability, f"{prefix}.index": index.int(),
            f"{prefix}.weight": weight, f"{prefix}.load": torch.bincount(index.flatten(), minlength=len(w)).int(),
            f"{prefix}.prob_mass": share.sum(dim=0),
            f"{prefix}.entropy": torch.special.entr(share).sum().reshape(1), f"{prefix}.z": (lse ** 2).sum().reshape(1),
            f"{prefix}.dweight": dweight, f"{prefix}.prob_grad": prob_grad,
            f"{prefix}.dx": x.grad, f"{prefix}.dw": w.grad}


def adamw(prefix, generator):
    """Four steps on one tensor; bias corrections and decay included."""
    start = torch.randn(300, generator=generator)
    p = start.double().requires_grad_()
    optimizer = torch.optim.AdamW([p], lr=1e-2, betas=BETAS, eps=EPS, weight_decay=0.1)
    tensors = {f"{prefix}.start": start}
    for step in range(4):
        grad = torch.randn(300, generator=generator) * 10 ** torch.linspace(-6, 1, 300)
        p.grad = grad.double()
        optimizer.step()
        tensors |= {f"{prefix}.grad.{step}": grad, f"{prefix}.after.{step}": p.detach().clone()}
    return tensors


def ops_golden():
    generator = torch.Generator().manual_seed(7)

    def random(*shape, scale=1.0):
        return scale * torch.randn(shape, generator=generator, dtype=torch.float32)

    tensors = {}
    tensors |= with_grads("linear", {"x": random(21, 19), "w": random(13, 19), "b": random(13)},
                          lambda x, w, b: F.linear(x, w, b))
    tensors |= with_grads("layer_norm", {"x": 3 * random(9, 37) + 1, "gamma": random(37), "beta": random(37)},
                          lambda x, gamma, beta: F.layer_norm(x, (37,), gamma, beta, 1e-5))
    tensors |= with_grads("rms_norm", {"x": 3 * random(9, 37), "gamma": random(37)},
                          lambda x, gamma: F.rms_norm(x, (37,), gamma, 1e-6))
    line = torch.linspace(-6, 6, 7 * 43, dtype=torch.float32).reshape(7, 43)
    tensors |= with_grads("gelu", {"x": line}, lambda x: F.gelu(x))
    tensors |= with_grads("silu", {"x": 3 * line}, lambda x: F.silu(x))
    tensors |= with_grads("relu", {"x": line + 0.013}, lambda x: F.relu(x))
    tensors |= with_grads("swiglu", {"x": random(7, 2 * 43, scale=2.0)},
                          lambda x: F.silu(x.chunk(2, dim=-1)[0]) * x.chunk(2, dim=-1)[1])
    for name, b, t, heads, kv, width in (("attention_gqa", 2, 9, 4, 2, 8), ("attention_long", 1, 75, 2, 2, 32)):
        q, k, v = random(b, t, heads, width), random(b, t, kv, width), random(b, t, kv, width)
        tensors |= with_grads(name, {"q": q, "k": k, "v": v}, attention)
        tensors[f"{name}.lse"] = attention_lse(q, k)
    for name, turn in (("rope_halves", decoder_torch.rope_halves), ("rope_pairs", rope_pairs)):
        tensors |= with_grads(name, {"x": random(2, 9, 3, 8)},
                              lambda x, turn=turn: turn(x.transpose(1, 2), 10000.0).transpose(1, 2))
    targets = torch.randint(53, (31,), generator=generator).int()
    targets[5] = targets[17] = -1
    tensors |= head_loss("head", random(31, 24), random(53, 24, scale=0.5), targets, 0.0, 0.0)
    tensors |= head_loss("head_smoothed", random(31, 24), random(53, 24, scale=0.5), targets, 0.1, 1e-2)
    zero = torch.zeros(6)
    tensors |= router("router_top1", random(29, 24), random(6, 24, scale=0.3), zero, "softmax", 1, 1.0, None, 0.0,
                      generator)
    tensors |= router("router_top2", random(29, 24), random(6, 24, scale=0.3), zero, "softmax", 2, 0.7, 0.0, 1e-2,
                      generator)
    tensors |= router("router_bias", random(29, 24), random(6, 24, scale=0.3), random(6, scale=0.2), "sigmoid", 3, 1.0,
                      1e-6, 0.0, generator)
    tensors |= adamw("adamw", generator)
    return tensors


def main():
    DATA.mkdir(exist_ok=True)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    optimizer = {"learning_rate": LEARNING_RATE, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS,
                 "weight_decay": WEIGHT_DECAY, "clip": CLIP, "batch_size": BATCH, "steps": STEPS}
    for name, config in MODELS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        seed = next(s for s in range(1, 100) if (tensors := model_golden(config, s)) is not None)
        save(name, tensors, dataclasses.asdict(config) | optimizer | {"seed": seed})
    if len(sys.argv) == 1:
        save("ops", ops_golden(), {})


if __name__ == "__main__":
    main()
