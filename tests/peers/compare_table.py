"""The table of compare.sh, from the JSON files of its rounds: compare_table.py FOLDER ROUNDS."""
import json
import pathlib
import statistics
import sys

MODELS = ("dense", "top1", "top2")


def load(folder, who, rounds):
    return [json.loads((folder / f"{who}.{n}").read_text()) for n in range(1, rounds + 1)]


def speeds(results, model):
    return [result[model]["tokens_per_second"] for result in results]


def spread(values, form):
    return f"{format(statistics.median(values), form)} ({format(min(values), form)} to {format(max(values), form)})"


def main():
    folder, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    ours, peer = load(folder, "ours", rounds), load(folder, "peer", rounds)
    gflops = [value for result in peer for value in result["sgemm_gflops"]]
    print(f"{ours[0]['threads']} threads, {rounds} rounds; PyTorch {peer[0]['torch']}; "
          f"its sgemm at 1024: {spread(gflops, '.0f')} GFLOP/s. Median (least to most):\n")
    print(f"{'model':<6} {'tokens/s here':>26} {'tokens/s in PyTorch':>26} {'here / PyTorch':>24}"
          f" {'of dense, here':>15} {'PyTorch':>8}")
    for model in MODELS:
        a, b = speeds(ours, model), speeds(peer, model)
        ratio = [x / y for x, y in zip(a, b)]
        share = [statistics.median(x / y for x, y in zip(speeds(who, model), speeds(who, "dense")))
                 for who in (ours, peer)]
        print(f"{model:<6} {spread(a, '.0f'):>26} {spread(b, '.0f'):>26} {spread(ratio, '.2f'):>24}"
              f" {share[0]:>15.2f} {share[1]:>8.2f}")


if __name__ == "__main__":
    main()
