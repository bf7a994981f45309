"""The decoder of source A in PyTorch, written from its description and not from any code: the peer that the C model is
compared with.

Parameters are a dict of tensors under the names of src/model, linear weights [out, in]. Every expert is evaluated on
every token and weighted by a matrix that is zero where an expert was not chosen: slow, and nothing like the sorted,
grouped way of the C code.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F


@dataclasses.dataclass
class Config:
    vocab_size: int = 37
    hidden_size: int = 24
    intermediate_size: int = 40
    num_hidden_layers: int = 3
    num_attention_heads: int = 3
    max_position_embeddings: int = 10
    norm_eps: float = 1e-5
    moe_layers: tuple = ()
    num_experts: int = 4
    num_active_experts: int = 1
    renormalize: bool = False
    temperature: float = 1.0
    lb_coeff: float = 0.01
    label_smoothing: float = 0.0


def shapes(c):
    """Name -> shape of every parameter, in the order of the model."""
    d, f, e = c.hidden_size, c.intermediate_size, c.num_experts
    out = {"token_embedding.weight": (c.vocab_size, d), "position_embedding.weight": (c.max_position_embeddings, d)}
    for n in range(c.num_hidden_layers):
        block = {"norm1.weight": (d,), "norm1.bias": (d,),
                 "attention.qkv.weight": (3 * d, d), "attention.qkv.bias": (3 * d,),
                 "attention.out.weight": (d, d), "attention.out.bias": (d,),
                 "norm2.weight": (d,), "norm2.bias": (d,)}
        if n in c.moe_layers:
            block |= {"moe.router.weight": (e, d),
                      "moe.experts.fc1.weight": (e, f, d), "moe.experts.fc1.bias": (e, f),
                      "moe.experts.fc2.weight": (e, d, f), "moe.experts.fc2.bias": (e, d)}
        else:
            block |= {"ffn.fc1.weight": (f, d), "ffn.fc1.bias": (f,),
                      "ffn.fc2.weight": (d, f), "ffn.fc2.bias": (d,)}
        out |= {f"blocks.{n}.{name}": shape for name, shape in block.items()}
    return out | {"norm.weight": (d,), "norm.bias": (d,), "head.weight": (c.vocab_size, d)}


def random_parameters(c, generator):
    """float32 values that make every term count: gains around 1, biases and router weights far from 0."""
    parameters = {}
    for name, shape in shapes(c).items():
        x = torch.randn(shape, generator=generator, dtype=torch.float32)
        if ".norm" in f".{name}" and name.endswith("weight"):
            x = 1 + 0.1 * x
        elif name.endswith("bias"):
            x = 0.1 * x
        elif name.endswith("embedding.weight"):
            x = 0.5 * x
        elif "router" in name:
            x = 0.5 * x
        else:
            x = x / math.sqrt(shape[-1])
        parameters[name] = x
    return parameters


def attention(c, p, prefix, x):
    """x [B, T, D]; rows of the packed projection are q, then k, then v, each head by head."""
    b, t, d = x.shape
    qkv = F.linear(x, p[prefix + "qkv.weight"], p[prefix + "qkv.bias"])
    q, k, v = (part.view(b, t, c.num_attention_heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return F.linear(mixed.transpose(1, 2).reshape(b, t, d), p[prefix + "out.weight"], p[prefix + "out.bias"])


def dense_ffn(p, prefix, x):
    hidden = F.gelu(F.linear(x, p[prefix + "fc1.weight"], p[prefix + "fc1.bias"]))
    return F.linear(hidden, p[prefix + "fc2.weight"], p[prefix + "fc2.bias"])


def moe_ffn(c, p, prefix, x):
    """Returns output, auxiliary loss (alpha E sum_e f_e P_e, Switch Transformer eq. 4), probabilities and choice."""
    b, t, d = x.shape
    rows, e, k = b * t, c.num_experts, c.num_active_experts
    flat = x.reshape(rows, d)
    probability = F.softmax(F.linear(flat, p[prefix + "router.weight"]) / c.temperature, dim=-1)
    value, index = probability.topk(k, dim=-1)
    weight = value / value.sum(dim=-1, keepdim=True) if c.renormalize else value
    mix = torch.zeros_like(probability).scatter(1, index, weight)
    hidden = F.gelu(torch.einsum("rd,efd->erf", flat, p[prefix + "experts.fc1.weight"])
                    + p[prefix + "experts.fc1.bias"][:, None])
    each = torch.einsum("erf,edf->erd", hidden, p[prefix + "experts.fc2.weight"]) \
        + p[prefix + "experts.fc2.bias"][:, None]
    out = torch.einsum("re,erd->rd", mix, each).view(b, t, d)
    share = torch.zeros(e, dtype=x.dtype).index_add(0, index.flatten(), torch.ones(rows * k, dtype=x.dtype))
    aux = c.lb_coeff * e * (share / (rows * k) * probability.mean(dim=0)).sum()
    return out, aux, probability, index


def forward(c, p, tokens, targets):
    """tokens, targets [B, T]. A dict of everything that the C model is compared on."""
    out = {"router_prob": {}, "router_index": {}}
    width = (c.hidden_size,)
    aux = torch.zeros((), dtype=p["head.weight"].dtype)
    x = F.embedding(tokens, p["token_embedding.weight"]) + p["position_embedding.weight"][:tokens.shape[1]]
    for n in range(c.num_hidden_layers):
        b = f"blocks.{n}."
        x = x + attention(c, p, b + "attention.",
                          F.layer_norm(x, width, p[b + "norm1.weight"], p[b + "norm1.bias"], c.norm_eps))
        normed = F.layer_norm(x, width, p[b + "norm2.weight"], p[b + "norm2.bias"], c.norm_eps)
        if n in c.moe_layers:
            y, layer_aux, out["router_prob"][n], out["router_index"][n] = moe_ffn(c, p, b + "moe.", normed)
            aux = aux + layer_aux
        else:
            y = dense_ffn(p, b + "ffn.", normed)
        x = x + y
    x = F.layer_norm(x, width, p["norm.weight"], p["norm.bias"], c.norm_eps)
    logits = F.linear(x, p["head.weight"]).flatten(0, 1)
    out["logits"] = logits
    out["loss_nll"] = F.cross_entropy(logits, targets.flatten())
    out["loss_ce"] = F.cross_entropy(logits, targets.flatten(), label_smoothing=c.label_smoothing)
    out["loss_aux"] = aux
    out["loss"] = out["loss_ce"] + aux
    return out
