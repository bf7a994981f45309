#!/usr/bin/env python3
"""Writes tests/golden/data/classifier_*.safetensors: what PyTorch computes of the image classifiers.

    python -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_classifier_golden.py

Images and parameters are float32 numbers; everything is computed in float64 and stored rounded to float32, losses as
float64. A file holds image, label, param.*, grad.* (of loss.total), probabilities, gates [rows, experts], groups [rows,
groups] (both times the gates above them), noise.LEVEL (the normal numbers that were drawn), loss.importance and
loss.load (before their weights, levels added up), loss.aux, loss.ce, loss.total. A case is drawn again until float32 cannot
change a choice and costs the gradients at most LARGEST_FLOAT32_ERROR.
"""
import dataclasses

import torch

import classifier_torch as model
from classifier_torch import Config
from make_golden import save

LARGEST_FLOAT32_ERROR = 3e-6  # of a gradient, in PyTorch
TWO_LEVELS = {"experts": 10, "groups": 5, "top_k_groups": 2, "top_k": 2}
CODE = {"gating": "published_code", "double_softmax": True}

CASES = {
    "flat": Config(),
    "flat_k1": Config(top_k=1, noise=0.5),
    "flat_quiet": Config(noise=0.0),
    "flat_code": Config(**CODE),
    "flat_code_quiet": Config(noise=0.0, **CODE),
    "hierarchical": Config(kind="hierarchical", batch=26, **TWO_LEVELS),
    "hierarchical_sparse": Config(kind="hierarchical", batch=31, **TWO_LEVELS | {"experts": 15}),
    "hierarchical_code": Config(kind="hierarchical", batch=26, **TWO_LEVELS, **CODE),
    "hierarchical_code_sparse": Config(kind="hierarchical", batch=31, **TWO_LEVELS | {"experts": 15}, **CODE),
    "gshard": Config(kind="hierarchical_gshard", batch=26, **TWO_LEVELS),
    "gshard_quiet": Config(kind="hierarchical_gshard", batch=26, noise=0.0, **TWO_LEVELS),
    "dense": Config(kind="dense"),
    "dense_code": Config(kind="dense", **CODE),
}


def gradients(config, values, images, labels, dtype):
    p = {name: value.to(dtype).requires_grad_() for name, value in values.items()}
    out = model.forward(config, p, images.to(dtype), labels)
    out["loss_total"].backward()
    return out, {name: torch.zeros_like(value) if value.grad is None else value.grad for name, value in p.items()}


def classifier_golden(config, seed):
    """The tensors of one file, or None if a choice is too close to call or float32 cannot do."""
    generator = torch.Generator().manual_seed(seed)
    values = model.random_parameters(config, generator)
    images = torch.randn((config.batch, config.input), generator=generator, dtype=torch.float32)
    labels = torch.randint(config.classes, (config.batch,), generator=generator).int()
    try:
        out, grads = gradients(config, values, images, labels, torch.float64)
        single = gradients(config, values, images, labels, torch.float32)[1]
    except model.Close:
        return None
    # every expert, and every group, has a row: else a case says less than it could
    if "gates" in out and ((out["gates"] > 0).sum(dim=0) == 0).any():
        return None
    for name, value in grads.items():
        if value.norm() > 0 and (single[name] - value).norm() / value.norm() > LARGEST_FLOAT32_ERROR:
            return None
    tensors = {"image": images, "label": labels} | {f"param.{name}": value for name, value in values.items()}
    tensors |= {f"grad.{name}": value for name, value in grads.items()}
    tensors |= {name: out[name] for name in ("probabilities", "gates", "groups") if name in out}
    tensors |= {name.replace("_", "."): out[name].double()
                for name in ("loss_importance", "loss_load", "loss_aux", "loss_ce", "loss_total")}
    if config.kind in ("flat", "hierarchical"):
        tensors["noise.0"] = model.normal_numbers(config, 0, (config.batch * config.experts,))
    return tensors


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name, config in CASES.items():
        seed = next(s for s in range(1, 400) if (tensors := classifier_golden(config, s)) is not None)
        save(f"classifier_{name}", tensors, dataclasses.asdict(config) | {"draw": seed})


if __name__ == "__main__":
    main()
