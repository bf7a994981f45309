#!/usr/bin/env python3
"""Training steps of source A's models in PyTorch, eager mode on the CPU: tokens per second.

    pip install -r tests/golden/requirements.txt
    python tests/peers/pytorch_bench.py --threads 2 --steps 5

A step is what training does: forward, cross-entropy plus balance loss, backward, clipping to norm 1, AdamW, on 16
sequences of 256 random tokens, dropout 0.1. The MoE layer is the usual loop over experts: pick the rows of an expert, run
it, add the weighted result back. PyTorch gets its faster choices: fused attention, fused AdamW (--plain-adamw: the
default one). Prints JSON: {"dense": {"tokens_per_second": ..., "seconds": [every step]}, "top1": ..., "top2": ...,
"sgemm_gflops": [before, after], ...}; tokens_per_second is that of the median step.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

VOCAB, HIDDEN, INTERMEDIATE, LAYERS, HEADS, SEQUENCE = 10000, 256, 1024, 6, 8, 256
EXPERTS, MOE_LAYERS, BALANCE, DROPOUT = 8, (2, 4), 0.01, 0.1
PARAMETERS = {"dense": 9924608, "top1": 17286656, "top2": 17286656}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (part.view(b, t, HEADS, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=DROPOUT if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).reshape(b, t, HIDDEN))


def feed_forward():
    return nn.Sequential(nn.Linear(HIDDEN, INTERMEDIATE), nn.GELU(), nn.Dropout(DROPOUT),
                         nn.Linear(INTERMEDIATE, HIDDEN))


class MixtureOfExperts(nn.Module):
    def __init__(self, top_k):
        super().__init__()
        self.top_k = top_k
        self.router = nn.Linear(HIDDEN, EXPERTS, bias=False)
        self.experts = nn.ModuleList(feed_forward() for _ in range(EXPERTS))
        self.aux = None

    def forward(self, x):
        rows = x.reshape(-1, HIDDEN)
        probability = F.softmax(self.router(rows), dim=-1)
        weight, index = probability.topk(self.top_k, dim=-1)
        if self.top_k > 1:
            weight = weight / weight.sum(dim=-1, keepdim=True)
        out = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            row, slot = (index == number).nonzero(as_tuple=True)
            if row.numel() > 0:
                out.index_add_(0, row, expert(rows[row]) * weight[row, slot, None])
        share = torch.bincount(index.flatten(), minlength=EXPERTS) / index.numel()
        self.aux = BALANCE * EXPERTS * (share * probability.mean(dim=0)).sum()
        return out.view_as(x)


class Block(nn.Module):
    def __init__(self, top_k):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.attention = Attention()
        self.ffn = MixtureOfExperts(top_k) if top_k > 0 else feed_forward()
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.ffn(self.norm2(x)))


class Decoder(nn.Module):
    def __init__(self, top_k):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCAB, HIDDEN), nn.Embedding(SEQUENCE, HIDDEN)
        self.blocks = nn.ModuleList(Block(top_k if n in MOE_LAYERS else 0) for n in range(LAYERS))
        self.norm = nn.LayerNorm(HIDDEN)
        self.head = nn.Linear(HIDDEN, VOCAB, bias=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens, targets):
        x = self.dropout(self.tokens(tokens) + self.positions.weight[:tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        loss = F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())
        return loss + sum(b.ffn.aux for b in self.blocks if isinstance(b.ffn, MixtureOfExperts))


def sgemm_gflops(n=1024, seconds=0.3):
    """What the machine gives right now, to be read beside every figure."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    torch.mm(a, b)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(a, b)
        count += 1
    return 2 * n ** 3 * count / (time.perf_counter() - start) / 1e9


def measure(name, batch, steps, warmup, fused):
    torch.manual_seed(1)
    model = Decoder({"dense": 0, "top1": 1, "top2": 2}[name])
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=fused)
    seconds = []
    for step in range(warmup + steps):
        ids = torch.randint(VOCAB, (batch, SEQUENCE + 1))
        start = time.perf_counter()
        optimizer.zero_grad()
        model(ids[:, :-1], ids[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step >= warmup:
            seconds.append(time.perf_counter() - start)
    return {"tokens_per_second": batch * SEQUENCE / statistics.median(seconds), "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(PARAMETERS), choices=list(PARAMETERS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--plain-adamw", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    before = sgemm_gflops()
    report = {name: measure(name, arguments.batch, arguments.steps, arguments.warmup, not arguments.plain_adamw)
              for name in arguments.models}
    report |= {"sgemm_gflops": [before, sgemm_gflops()], "threads": arguments.threads, "batch": arguments.batch,
               "torch": torch.__version__}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
