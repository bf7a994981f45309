"""The image classifiers of src/model/classifier.h in PyTorch, written from the formulas.

Gates follow Shazeer et al. 2017 (arXiv 1701.06538; equations 3 to 11 and appendix B), or what is known of source B's
code, or GShard (arXiv 2006.16668, algorithm 1). Groups and experts are visited one after another, on their own rows.
Random numbers are those of core/normal.h: Philox4x32-10 (Salmon et al. 2011) and the cosine of Box and Muller.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F

ROUTER_NOISE = 5  # stream, as in core/rng.h
LEVEL_EXPERTS, LEVEL_GROUPS = 0, 1
NORMAL = torch.distributions.Normal(0.0, 1.0)


@dataclasses.dataclass
class Config:
    kind: str = "flat"  # flat, hierarchical, hierarchical_gshard, dense
    gating: str = "printed"  # printed, published_code
    input: int = 23
    hidden: int = 9
    classes: int = 6
    experts: int = 7
    top_k: int = 3
    groups: int = 0
    top_k_groups: int = 0
    w_importance: float = 0.25
    w_load: float = 0.5
    noise: float = 1.0
    double_softmax: bool = False
    batch: int = 19
    seed: int = 41
    step: int = 6


# ---- random numbers

def philox(counter, key):
    """The four 32-bit words of one block."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & 0xFFFFFFFF, (first >> 32) ^ c[3] ^ k[1], first & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def block(config, index):
    return philox((index & 0xFFFFFFFF, index >> 32, ROUTER_NOISE, config.step),
                  (config.seed & 0xFFFFFFFF, config.seed >> 32))


def normal_numbers(config, level, shape):
    """Numbers (level << 40) + 0, 1, ... in row-major order."""
    numbers = []
    for i in range(math.prod(shape)):
        words = block(config, ((level << 40) + i) // 2)
        a, b = words[i % 2 * 2], words[i % 2 * 2 + 1]
        numbers.append(math.sqrt(-2 * math.log((a + 0.5) / 2 ** 32)) * math.cos(2 * math.pi * b / 2 ** 32))
    return torch.tensor(numbers, dtype=torch.float64).reshape(shape)


def uniform_numbers(config, level, shape):
    words = [block(config, ((level << 40) + i) // 4)[i % 4] for i in range(math.prod(shape))]
    return torch.tensor([(w >> 8) / 2 ** 24 for w in words], dtype=torch.float64).reshape(shape)


# ---- gates

class Close(Exception):
    """A choice that float32 might make differently."""


def check_gap(a, b, least=1e-3):
    if ((a - b).abs() < least).any():
        raise Close


def noisy_gate(config, x, gate, noise, numbers, k):
    """Gates [rows, E] and the differentiable load [E] of one gate."""
    clean, experts = x @ gate.T, len(gate)
    published = config.gating == "published_code"
    noisy = config.noise > 0
    h = clean
    if noisy:
        deviation = config.noise * (F.softplus(x @ noise.T) + (0.01 if published else 0.0))
        h = clean + numbers * deviation
    ranked = h.sort(dim=-1, descending=True).values
    check_gap(ranked[:, 1:], ranked[:, :-1])
    q = h.softmax(dim=-1)
    order = h.argsort(dim=-1, descending=True)
    top = order[:, :k]
    if published:
        kept = q.gather(1, top)
        kept = kept / (kept.sum(dim=-1, keepdim=True) + 1e-6)
    else:
        kept = h.gather(1, top).softmax(dim=-1)
    gates = torch.zeros_like(h).scatter(1, top, kept)
    if not noisy or k == experts:
        return gates, (gates > 0).sum(dim=0).to(x.dtype)
    if published:
        inside_threshold, outside_threshold = q.gather(1, order[:, k:k + 1]), q.gather(1, order[:, k - 1:k])
        check_gap(h, inside_threshold)
        threshold = torch.where(h > inside_threshold, inside_threshold, outside_threshold)
    else:
        columns = []
        for i in range(experts):
            others = torch.cat([h[:, :i], h[:, i + 1:]], dim=1)
            columns.append(others.topk(k, dim=1).values[:, -1])
        threshold = torch.stack(columns, dim=1)
    return gates, NORMAL.cdf((clean - threshold) / deviation).sum(dim=0)


def chance_gate(config, x, gate, numbers):
    """GShard's top-2: gates [rows, E], and the two factors of its loss, first choices [E] and sum of gates [E]."""
    q = (x @ gate.T).softmax(dim=-1)
    ranked = q.sort(dim=-1, descending=True).values
    check_gap(ranked[:, 1:], ranked[:, :-1])
    value, top = q.topk(2, dim=-1)
    value = value / value.sum(dim=-1, keepdim=True)
    if config.noise > 0:
        check_gap(2 * value[:, 1], numbers[:, 1])
        used = (2 * value[:, 1] > numbers[:, 1]).to(x.dtype)
        value = torch.stack([value[:, 0], value[:, 1] * used], dim=1)
    first = torch.bincount(top[:, 0], minlength=len(gate)).to(x.dtype)
    return torch.zeros_like(q).scatter(1, top, value), first, q.sum(dim=0)


def variation(config, x):
    if config.gating == "published_code":
        return x.var(unbiased=True) / (x.mean() ** 2 + 1e-10)
    return x.var(unbiased=False) / x.mean() ** 2


# ---- models

def expert(p, e, x):
    hidden = F.relu(F.linear(x, p["moe.experts.fc1.weight"][e], p["moe.experts.fc1.bias"][e]))
    return F.linear(hidden, p["moe.experts.fc2.weight"][e], p["moe.experts.fc2.bias"][e]).softmax(dim=-1)


def mixture(config, p, x, gates):
    """sum of gate * expert, each expert on the rows that use it."""
    y = torch.zeros(len(x), config.classes, dtype=x.dtype)
    for e in range(config.experts):
        rows = gates[:, e].nonzero()[:, 0]
        if len(rows) > 0:
            y = y.index_add(0, rows, gates[rows, e:e + 1] * expert(p, e, x[rows]))
    return y


def flat(config, p, x, out):
    numbers = normal_numbers(config, LEVEL_EXPERTS, (len(x), config.experts)).to(x.dtype)
    gates, load = noisy_gate(config, x, p["moe.gate.weight"], p["moe.noise.weight"], numbers, config.top_k)
    importance = gates.sum(dim=0)
    out |= {"gates": gates, "load": load, "importance": importance,
            "loss_importance": variation(config, importance), "loss_load": variation(config, load)}
    return mixture(config, p, x, gates)


def hierarchical(config, p, x, out):
    groups, inside = config.groups, config.experts // config.groups
    numbers = normal_numbers(config, LEVEL_GROUPS, (len(x), groups)).to(x.dtype)
    inner_numbers = normal_numbers(config, LEVEL_EXPERTS, (len(x), groups, inside)).to(x.dtype)
    primary, load = noisy_gate(config, x, p["moe.groups.gate.weight"], p["moe.groups.noise.weight"], numbers,
                               config.top_k_groups)
    joint = torch.zeros(len(x), groups, inside, dtype=x.dtype)
    loads, losses = [], {"importance": 0.0, "load": 0.0}
    for i in range(groups):
        rows = (primary[:, i] > 0).nonzero()[:, 0]
        mine = slice(i * inside, (i + 1) * inside)
        gates, inner_load = noisy_gate(config, x[rows], p["moe.inner.gate.weight"][mine],
                                       p["moe.inner.noise.weight"][mine], inner_numbers[rows, i], config.top_k)
        joint = joint.index_put((rows, torch.tensor(i)), primary[rows, i:i + 1] * gates)
        loads.append(load[i] * inner_load / len(rows))
        losses["importance"] += variation(config, gates.sum(dim=0))
        losses["load"] += variation(config, inner_load)
    joint = joint.flatten(1)
    if config.gating == "printed":
        losses = {"importance": variation(config, joint.sum(dim=0)), "load": variation(config, torch.cat(loads))}
    else:
        losses["importance"] = losses["importance"] + variation(config, primary.sum(dim=0))
        losses["load"] = losses["load"] + variation(config, load)
    out |= {"groups": primary, "gates": joint, "group_load": load,
            "loss_importance": losses["importance"], "loss_load": losses["load"]}
    return mixture(config, p, x, joint)


def gshard(config, p, x, out):
    groups, inside = config.groups, config.experts // config.groups
    numbers = uniform_numbers(config, LEVEL_GROUPS, (len(x), 2)).to(x.dtype)
    inner_numbers = uniform_numbers(config, LEVEL_EXPERTS, (len(x), groups, 2)).to(x.dtype)
    primary, first, mass = chance_gate(config, x, p["moe.groups.gate.weight"], numbers)
    loss = groups * ((first / len(x)) * (mass / len(x))).sum()
    joint = torch.zeros(len(x), groups, inside, dtype=x.dtype)
    visits = int((primary > 0).sum())
    for i in range(groups):
        rows = (primary[:, i] > 0).nonzero()[:, 0]
        mine = slice(i * inside, (i + 1) * inside)
        gates, first, mass = chance_gate(config, x[rows], p["moe.inner.gate.weight"][mine], inner_numbers[rows, i])
        joint = joint.index_put((rows, torch.tensor(i)), primary[rows, i:i + 1] * gates)
        loss = loss + len(rows) / visits * inside * ((first / len(rows)) * (mass / len(rows))).sum()
    joint = joint.flatten(1)
    out |= {"groups": primary, "gates": joint, "loss_importance": loss, "loss_load": torch.zeros((), dtype=x.dtype)}
    return mixture(config, p, x, joint)


def dense(config, p, x, out):
    hidden = F.relu(F.linear(x, p["dense.fc1.weight"], p["dense.fc1.bias"]))
    zero = torch.zeros((), dtype=x.dtype)
    out |= {"loss_importance": zero, "loss_load": zero}
    return F.linear(hidden, p["dense.fc2.weight"], p["dense.fc2.bias"]).softmax(dim=-1)


def forward(config, p, x, labels):
    out = {}
    model = {"flat": flat, "hierarchical": hierarchical, "hierarchical_gshard": gshard, "dense": dense}[config.kind]
    y = model(config, p, x, out)
    if config.double_softmax:
        out["loss_ce"] = F.cross_entropy(y, labels.long())
    else:
        out["loss_ce"] = F.nll_loss(y.log(), labels.long())
    out["loss_aux"] = config.w_importance * out["loss_importance"] + config.w_load * out["loss_load"]
    out |= {"probabilities": y, "loss_total": out["loss_ce"] + out["loss_aux"]}
    return out


def random_parameters(config, generator):
    """float32, of a size that makes every term count."""
    def random(*shape, scale):
        return scale * torch.randn(shape, generator=generator, dtype=torch.float32)

    d, f, c, e = config.input, config.hidden, config.classes, config.experts
    if config.kind == "dense":
        return {"dense.fc1.weight": random(f, d, scale=d ** -0.5), "dense.fc1.bias": random(f, scale=0.3),
                "dense.fc2.weight": random(c, f, scale=f ** -0.5), "dense.fc2.bias": random(c, scale=0.3)}
    p = {}
    gates = {"": e} if config.kind == "flat" else {"groups.": config.groups, "inner.": e}
    for name, rows in gates.items():
        p[f"moe.{name}gate.weight"] = random(rows, d, scale=0.8 * d ** -0.5)
        if config.kind != "hierarchical_gshard":
            p[f"moe.{name}noise.weight"] = random(rows, d, scale=d ** -0.5)
    return p | {"moe.experts.fc1.weight": random(e, f, d, scale=d ** -0.5),
                "moe.experts.fc1.bias": random(e, f, scale=0.3),
                "moe.experts.fc2.weight": random(e, c, f, scale=1.5 * f ** -0.5),
                "moe.experts.fc2.bias": random(e, c, scale=0.3)}
