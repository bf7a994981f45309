"""The decoder in PyTorch, written from the description of its options and not from any code: the peer that the C
model is compared with. The defaults are those of source A.

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
    num_key_value_heads: int = 3
    head_dim: int = 8
    max_position_embeddings: int = 10
    norm: str = "layernorm"  # or "rmsnorm"
    norm_placement: str = "pre"  # or "sublayer_output"
    norm_eps: float = 1e-5
    positions: str = "learned"  # or "rope"
    rope_theta: float = 10000.0
    ffn: str = "gelu"  # or "swiglu"
    bias: bool = True
    qk_norm: bool = False
    moe_layers: tuple = ()
    num_experts: int = 4
    num_active_experts: int = 1
    num_shared_experts: int = 0
    router: str = "softmax"  # or "sigmoid"
    renormalize: bool = False
    renormalize_eps: float = 0.0
    temperature: float = 1.0
    lb_coeff: float = 0.01
    lb_scope: str = "per_layer"  # or "pooled": over the tokens of all layers together
    router_z_coeff: float = 0.0
    z_coeff: float = 0.0
    label_smoothing: float = 0.0
    # a second group of experts, an expert that every token uses, and source C's own way of adding that one
    num_experts_2: int = 0
    num_active_experts_2: int = 0
    intermediate_size_2: int = 0
    generalist_size: int = 0
    published_generalist_input: bool = False
    aux_mean_over_layers: bool = False

    def groups(self):
        """(name within the block, experts, active experts, width) of each router."""
        out = [("moe", self.num_experts, self.num_active_experts, self.intermediate_size)]
        if self.num_experts_2 > 0:
            out.append(("moe2", self.num_experts_2, self.num_active_experts_2, self.intermediate_size_2))
        return out

    def router_numbers(self):
        return [n + 1000 * group for n in self.moe_layers for group in range(len(self.groups()))]

    def beside(self):
        """The experts are a branch of their own beside attention and the generalist."""
        return self.generalist_size > 0 and self.published_generalist_input


def norm_shapes(c, name, width=0):
    shape = (width or c.hidden_size,)
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape} if c.norm == "layernorm" else {})


def linear_shapes(c, name, out, inner, lead=()):
    return {f"{name}.weight": (*lead, out, inner)} | ({f"{name}.bias": (*lead, out)} if c.bias else {})


def ffn_shapes(c, name, intermediate, lead=()):
    """fc1 of a gated FFN has the gate's rows first, then the others."""
    rows = 2 * intermediate if c.ffn == "swiglu" else intermediate
    return (linear_shapes(c, f"{name}.fc1", rows, c.hidden_size, lead)
            | linear_shapes(c, f"{name}.fc2", c.hidden_size, intermediate, lead))


def shapes(c):
    """Name -> shape of every parameter, in the order of the model."""
    d = c.hidden_size
    out = {"token_embedding.weight": (c.vocab_size, d)}
    if c.positions == "learned":
        out |= {"position_embedding.weight": (c.max_position_embeddings, d)}
    for n in range(c.num_hidden_layers):
        b = f"blocks.{n}."
        packed = (c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim
        out |= norm_shapes(c, b + "norm1")
        out |= linear_shapes(c, b + "attention.qkv", packed, d)
        out |= linear_shapes(c, b + "attention.out", d, c.num_attention_heads * c.head_dim)
        if c.qk_norm:
            out |= norm_shapes(c, b + "attention.q_norm", c.num_attention_heads * c.head_dim)
            out |= norm_shapes(c, b + "attention.k_norm", c.num_key_value_heads * c.head_dim)
        out |= norm_shapes(c, b + "norm2")
        if n in c.moe_layers:
            for group, experts, _, width in c.groups():
                out |= {b + group + ".router.weight": (experts, d)}
                out |= ffn_shapes(c, b + group + ".experts", width, (experts,))
            if c.num_shared_experts > 0:
                out |= ffn_shapes(c, b + "moe.shared", c.num_shared_experts * c.intermediate_size)
            if c.generalist_size > 0:
                out |= ffn_shapes(c, b + "moe.generalist", c.generalist_size)
            if c.beside():
                out |= norm_shapes(c, b + "norm3")
        else:
            out |= ffn_shapes(c, b + "ffn", c.intermediate_size)
    return out | norm_shapes(c, "norm") | {"head.weight": (c.vocab_size, d)}


def random_parameters(c, generator):
    """float32 values that make every term count: gains around 1, biases and router weights far from 0."""
    parameters = {}
    for name, shape in shapes(c).items():
        x = torch.randn(shape, generator=generator, dtype=torch.float32)
        if "norm" in name and name.endswith("weight"):
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


def norm(c, p, name, x):
    if c.norm == "rmsnorm":
        return F.rms_norm(x, x.shape[-1:], p[name + ".weight"], c.norm_eps)
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], c.norm_eps)


def rotate_half(x):
    """The pairing (i, i + head_dim / 2) of the Hugging Face implementations."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def rope_angles(positions, head_dim, theta):
    """[positions, head_dim / 2] (Su et al. 2021)."""
    inverse = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    return torch.arange(positions, dtype=torch.float64)[:, None] * inverse


def rope_halves(x, theta):
    """x [..., T, head_dim]."""
    angle = rope_angles(x.shape[-2], x.shape[-1], theta)
    angle = torch.cat((angle, angle), dim=-1)
    return x * angle.cos().to(x.dtype) + rotate_half(x) * angle.sin().to(x.dtype)


def attention(c, p, name, x):
    """x [B, T, D]; rows of the packed projection are q, then k, then v, each head by head."""
    b, t, _ = x.shape
    heads, kv, width = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    qkv = F.linear(x, p[name + ".qkv.weight"], p.get(name + ".qkv.bias"))
    q, k, v = qkv.split((heads * width, kv * width, kv * width), dim=-1)
    if c.qk_norm:
        q, k = norm(c, p, name + ".q_norm", q), norm(c, p, name + ".k_norm", k)
    q, k, v = (part.view(b, t, -1, width).transpose(1, 2) for part in (q, k, v))
    if c.positions == "rope":
        q, k = rope_halves(q, c.rope_theta), rope_halves(k, c.rope_theta)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return F.linear(mixed.transpose(1, 2).reshape(b, t, heads * width), p[name + ".out.weight"],
                    p.get(name + ".out.bias"))


def activation(c, x):
    if c.ffn == "swiglu":
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate) * up
    return F.gelu(x)


def dense_ffn(c, p, name, x):
    hidden = activation(c, F.linear(x, p[name + ".fc1.weight"], p.get(name + ".fc1.bias")))
    return F.linear(hidden, p[name + ".fc2.weight"], p.get(name + ".fc2.bias"))


def every_expert(c, p, name, x):
    """x [rows, D] -> [E, rows, D]."""
    def linear(spec, y, layer):
        y = torch.einsum(spec, y, p[f"{name}.{layer}.weight"])
        return y + p[f"{name}.{layer}.bias"][:, None] if c.bias else y

    return linear("erf,edf->erd", activation(c, linear("rd,efd->erf", x, "fc1")), "fc2")


def route(c, p, name, x, active):
    """x [rows, D]. Probabilities [rows, E], chosen experts and their weights [rows, K], logits."""
    logits = F.linear(x, p[name + ".weight"]) / c.temperature
    probability = F.softmax(logits, dim=-1) if c.router == "softmax" else torch.sigmoid(logits)
    value, index = probability.topk(active, dim=-1)
    weight = value / (value.sum(dim=-1, keepdim=True) + c.renormalize_eps) if c.renormalize else value
    return probability, index, weight, logits


def expert_group(c, p, name, x, active, out):
    """What one router's experts give for x [rows, D]; appends its probabilities, choices and z-loss to out."""
    probability, index, weight, logits = route(c, p, name + ".router", x, active)
    mix = torch.zeros_like(probability).scatter(1, index, weight)
    out["router_prob"].append(probability)
    out["router_index"].append(index)
    out["router_z"].append(c.router_z_coeff * logits.logsumexp(dim=-1).square().mean())
    return torch.einsum("re,erd->rd", mix, every_expert(c, p, name + ".experts", x))


def moe_ffn(c, p, block, x, out):
    """Output for x [B, T, D]: the mean of the groups weighted by their active experts. The generalist is a group of
    one active expert where it is no branch of its own; shared experts just add up."""
    rows = x.flatten(0, 1)
    parts = [(active, expert_group(c, p, block + group, rows, active, out)) for group, _, active, _ in c.groups()]
    if c.generalist_size > 0 and not c.beside():
        parts.append((1, dense_ffn(c, p, block + "moe.generalist", rows)))
    y = sum(active * part for active, part in parts) / sum(active for active, _ in parts)
    if c.num_shared_experts > 0:
        y = y + dense_ffn(c, p, block + "moe.shared", rows)
    return y.view_as(x)


def balance_loss(c, probability, index):
    """alpha E sum_e f_e P_e (Switch Transformer, eq. 4) over the rows given; P of a row sums to 1."""
    experts = probability.shape[-1]
    share = torch.bincount(index.flatten(), minlength=experts).to(probability.dtype) / index.numel()
    mean = (probability / probability.sum(dim=-1, keepdim=True)).mean(dim=0)
    return c.lb_coeff * experts * (share * mean).sum()


def aux_loss(c, out):
    if not c.moe_layers:
        return torch.zeros((), dtype=torch.float64)
    if c.lb_scope == "pooled":
        return balance_loss(c, torch.cat(out["router_prob"]), torch.cat(out["router_index"]))
    return sum(balance_loss(c, *layer) for layer in zip(out["router_prob"], out["router_index"]))


def sublayer(c, p, norm_name, x, function):
    if c.norm_placement == "pre":
        return x + function(norm(c, p, norm_name, x))
    return x + norm(c, p, norm_name, function(x))


def forward(c, p, tokens, targets):
    """tokens, targets [B, T]. A dict of what the C model is compared on; lists have an item per router."""
    out = {"router_prob": [], "router_index": [], "router_z": []}
    x = F.embedding(tokens, p["token_embedding.weight"])
    if c.positions == "learned":
        x = x + p["position_embedding.weight"][:tokens.shape[1]]
    for n in range(c.num_hidden_layers):
        b = f"blocks.{n}."
        entry = x
        x = sublayer(c, p, b + "norm1", x, lambda y: attention(c, p, b + "attention", y))
        if n in c.moe_layers and c.beside():
            x = sublayer(c, p, b + "norm2", x, lambda y: dense_ffn(c, p, b + "moe.generalist", y))
            x = x + sublayer(c, p, b + "norm3", entry, lambda y: moe_ffn(c, p, b, y, out)) - entry
        elif n in c.moe_layers:
            x = sublayer(c, p, b + "norm2", x, lambda y: moe_ffn(c, p, b, y, out))
        else:
            x = sublayer(c, p, b + "norm2", x, lambda y: dense_ffn(c, p, b + "ffn", y))
    logits = F.linear(norm(c, p, "norm", x), p["head.weight"]).flatten(0, 1)
    out["logits"] = logits
    out["loss_nll"] = F.cross_entropy(logits, targets.flatten())
    out["loss_ce"] = F.cross_entropy(logits, targets.flatten(), label_smoothing=c.label_smoothing)
    out["loss_head_z"] = c.z_coeff * logits.logsumexp(dim=-1).square().mean()
    layers = len(c.moe_layers) if c.aux_mean_over_layers else 1
    out["loss_router_z"] = torch.zeros((), dtype=logits.dtype) + sum(out["router_z"]) / layers
    out["loss_aux"] = aux_loss(c, out) / layers
    out["loss"] = out["loss_ce"] + out["loss_aux"] + out["loss_head_z"] + out["loss_router_z"]
    return out
