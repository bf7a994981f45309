#!/usr/bin/env python3
"""Training steps of the suites' models in PyTorch and Hugging Face transformers on a GPU: tokens per second.

    python tests/peers/gpu_bench.py [--rounds N] [--ours BENCH.json] [--json OUT.json]     (tests/gpu/run.sh calls it)

A step is what `moe bench gpu` times: micro-batches of random tokens forward and backward in bf16, cross-entropy, clipping to
norm 1, fused AdamW. The peers get their faster choice: weights and moments in bf16 too, without the fp32 master weights that
are kept here, as transformers' grouped products take the type of the weights. Source D's dense model is transformers' Llama, its mixtures are
Mixtral (softmax over the chosen, as transformers has it) with the same sizes; source A's are the plain decoder of
pytorch_bench.py. Each runs eager and compiled (torch.compile), mixtures of transformers with experts one after the
other and as grouped matrix products. --ours adds, for the same models, the rate that `moe bench gpu` reached in
the same session. Exit code 77 without PyTorch, transformers or a GPU.
"""
import argparse
import gc
import json
import statistics
import sys
import time

try:
    import torch
    import transformers
    from torch import nn
except ImportError as missing:
    print(f"gpu_bench.py: {missing}: install tests/golden/requirements.txt", file=sys.stderr)
    sys.exit(77)

# source D at its full size: runs/suites/moedl/suite.toml
D_MODEL = {"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8,
           "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 128, "max_position_embeddings": 512,
           "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_dropout": 0.0}
D_BATCH = {"batch": 128, "micro": 16, "sequence": 512}
D_MIXTURES = {"moedl/c1_moedl_e8_k1": (8, 1, 2048), "moedl/c2_moedl_e16_k2": (16, 2, 1024),
              "moedl/c3_moedl_e32_k4": (32, 4, 512), "moedl/c4_moedl_e64_k8": (64, 8, 256)}
# source A at its full size: runs/suites/moe-vs-dense/suite.toml
A_BATCH = {"batch": 16, "micro": 16, "sequence": 256}
A_MODELS = {"moe-vs-dense/dense": "dense", "moe-vs-dense/baseline": "top1", "moe-vs-dense/top2": "top2"}


class TransformersModel(nn.Module):
    def __init__(self, name, experts):
        super().__init__()
        if name == "moedl/01_moedl_dense":
            config = transformers.LlamaConfig(**D_MODEL)
        else:
            number, active, width = D_MIXTURES[name]
            config = transformers.MixtralConfig(**{**D_MODEL, "intermediate_size": width}, num_local_experts=number,
                                                num_experts_per_tok=active, sliding_window=None)
        options = {"attn_implementation": "sdpa"}
        if experts is not None:
            options["experts_implementation"] = experts
        self.model = transformers.AutoModelForCausalLM.from_config(config, **options)

    def forward(self, ids, targets):
        logits = self.model(input_ids=ids, use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def make_model(name, experts):
    torch.manual_seed(1)
    if name in A_MODELS:
        import pytorch_bench
        return pytorch_bench.Decoder({"dense": 0, "top1": 1, "top2": 2}[A_MODELS[name]]), A_BATCH, pytorch_bench.VOCAB
    return TransformersModel(name, experts), D_BATCH, D_MODEL["vocab_size"]


def median_step(name, compiled, experts, rounds, budget):
    """Seconds of the median step; stops early when the budget of seconds is spent."""
    model, shape, vocab = make_model(name, experts)
    model.cuda().to(torch.bfloat16).train()
    parameters = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.0, fused=True)
    step_model = torch.compile(model) if compiled else model
    micros = shape["batch"] // shape["micro"]
    ids = torch.randint(vocab, (shape["micro"], shape["sequence"] + 1), device="cuda")
    seconds, begin = [], time.perf_counter()
    for step in range(2 + rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(micros):
            loss = step_model(ids[:, :-1], ids[:, 1:])
            (loss / micros).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        if step >= 2 or time.perf_counter() - begin > budget:
            seconds.append(time.perf_counter() - start)
        if time.perf_counter() - begin > budget:
            break
    return statistics.median(seconds), shape["batch"] * shape["sequence"], parameters, len(seconds)


def variants(name):
    """How a model is run: a label, compiled or not, transformers' implementation of the experts."""
    if name in D_MIXTURES:
        yield "eager", False, "eager"  # a loop over experts
        yield "grouped_mm", False, "grouped_mm"
        yield "grouped_mm compiled", True, "grouped_mm"
    else:
        yield "eager", False, None
        yield "compiled", True, None


def matrix_tflops(n=8192, products=8):
    a, b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16), torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    for _ in range(2):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(products):
        a @ b
    torch.cuda.synchronize()
    return 2 * n ** 3 * products / (time.perf_counter() - start) / 1e12


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=8.0, help="most seconds of one way to run one model")
    parser.add_argument("--seconds", type=float, default=80.0, help="most seconds of all; what is left is not begun")
    parser.add_argument("--models", nargs="+", default=["moedl/01_moedl_dense", *D_MIXTURES, *A_MODELS])
    parser.add_argument("--ours")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_bench.py: PyTorch sees no GPU", file=sys.stderr)
        sys.exit(77)
    ours = {}
    if arguments.ours:
        with open(arguments.ours, encoding="utf-8") as file:
            ours = {m["name"]: m["tokens_per_second"] for m in json.load(file)["models"]}
    begin = time.perf_counter()
    report = {"torch": torch.__version__, "transformers": transformers.__version__, "gpu": torch.cuda.get_device_name(),
              "matrix_tflops": matrix_tflops(), "models": []}
    print(f"PyTorch {report['torch']}, transformers {report['transformers']}, {report['gpu']}; "
          f"square products of 8192: {report['matrix_tflops']:.0f} TFLOP/s")
    print(f"{'model':26s} {'how':20s} {'parameters':>11s} {'steps':>5s} {'tokens/s':>10s} {'ours':>10s} {'ours/theirs':>11s}")
    # all models eager first: what is short of time is the compiled ones
    runs = sorted(((name, *how) for name in arguments.models for how in variants(name)), key=lambda run: (run[2], run[3] or ""))
    for name, label, compiled, experts in runs:
        if time.perf_counter() - begin > arguments.seconds:
            print(f"{name:26s} {label:20s} not begun: no time left")
            continue
        try:
            seconds, tokens, parameters, steps = median_step(name, compiled, experts, arguments.rounds, arguments.budget)
        except Exception as error:  # a version without this implementation, memory, a compiler that gives up
            print(f"{name:26s} {label:20s} not run: {type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}")
            continue
        finally:
            gc.collect()
            torch.cuda.empty_cache()
            torch.compiler.reset()
        rate = tokens / seconds
        mine = ours.get(name)
        report["models"].append({"name": name, "how": label, "parameters": parameters, "tokens_per_second": rate,
                                 "steps": steps, "ours": mine})
        print(f"{name:26s} {label:20s} {parameters:11d} {steps:5d} {rate:10.0f} {mine or float('nan'):10.0f} "
              f"{(mine or float('nan')) / rate:11.2f}", flush=True)
    done = [m for m in report["models"] if m["ours"]]
    print(f"summary: {len(report['models'])} runs; ours over the best of theirs: " + ", ".join(
        f"{name.split('/')[1]} {ours[name] / max(m['tokens_per_second'] for m in done if m['name'] == name):.2f}"
        for name in arguments.models if any(m["name"] == name for m in done)))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file)


if __name__ == "__main__":
    main()
