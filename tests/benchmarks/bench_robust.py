"""Robust optimisation over four domains of Fashion-MNIST beside mixture, uniform weights and group DRO.

Run by hand: ``bench_robust.py --data ../shared/data/fashion-mnist``; prints JSON. Protocol: pictures
mean-pooled to 14 x 14; domains of 16,000 normal, 4,000 upside-down, 2,000 turned by a quarter and 4 x
2,000 dim and noisy pictures; tests of 2,500 others each, labels always right. The noisy variant gives
half of the last domain's training pictures random labels. 1,000 steps of 32 pictures of every domain
for all methods, last iterate, two seeds; mixture = weights by size, group DRO = eg at rate 0.01.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import nn

from engine.adapt.domain_weights import DomainWeights
from engine.adapt.robust import Domain, domain_accuracies, domain_risks, train_robust

METHODS: dict[str, dict[str, Any]] = {
    "mixture": {"kind": "proportional"},
    "uniform": {"kind": "uniform"},
    "group DRO (eg 0.01)": {"kind": "eg", "rate": 0.01},
    "eg 0.1": {"kind": "eg", "rate": 0.1},
    "kl 0.1": {"kind": "kl", "strength": 0.1, "rate": 0.1},
    "kl 0.5": {"kind": "kl", "strength": 0.5, "rate": 0.1},
    "kl 0.5, falling rate": {"kind": "kl", "strength": 0.5},
    "l2 0.5": {"kind": "l2", "strength": 0.5, "rate": 0.02},
}
CURVE = (100, 400, 1000)


def read(folder: Path, name: str) -> np.ndarray:
    """Pictures ``(n, 28, 28)`` or labels ``(n,)`` of a gzipped IDX file."""
    data = gzip.decompress((folder / name).read_bytes())
    if "images" in name:
        return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    return np.frombuffer(data, np.uint8, offset=8)


def seen_by(pictures: np.ndarray, domain: int, rng: np.random.Generator) -> torch.Tensor:
    """Pictures ``(n, 28, 28)`` as domain 0 to 3 shows them, ``(n, 196)``."""
    pooled = pictures.reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255.0
    if domain == 1:
        pooled = pooled[:, ::-1, ::-1]
    elif domain == 2:
        pooled = np.rot90(pooled, axes=(1, 2))
    elif domain == 3:
        pooled = np.clip(0.35 * pooled + 0.3 + 0.1 * rng.standard_normal(pooled.shape), 0, 1)
    return torch.from_numpy(((pooled - 0.29) / 0.35).reshape(len(pooled), -1).astype(np.float32))


def domains(folder: Path, seed: int, wrong: float) -> tuple[list[Domain], list[Domain]]:
    """Training and test data of the four domains."""
    pictures = read(folder, "train-images-idx3-ubyte.gz")
    labels = read(folder, "train-labels-idx1-ubyte.gz").astype(np.int64)
    rng = np.random.default_rng(seed)
    cuts = np.split(rng.permutation(60000), np.cumsum([16000, 4000, 2000, 2000]))[:4]
    training = []
    for domain, rows in enumerate(cuts):
        rows = np.tile(rows, 4) if domain == 3 else rows
        told = labels[rows]
        if domain == 3 and wrong:
            lost = rng.random(len(rows)) < wrong
            told = np.where(lost, rng.integers(0, 10, len(rows)), told)
        training.append((seen_by(pictures[rows], domain, rng), torch.from_numpy(told)))
    pictures = read(folder, "t10k-images-idx3-ubyte.gz")
    labels = read(folder, "t10k-labels-idx1-ubyte.gz").astype(np.int64)
    tests = []
    for domain in range(4):
        rows = rng.permutation(10000)[:2500]
        tests.append((seen_by(pictures[rows], domain, rng), torch.from_numpy(labels[rows])))
    return training, tests


def run(
    training: list[Domain], tests: list[Domain], convex: bool, method: dict[str, Any], seed: int
) -> dict[str, Any]:
    torch.manual_seed(seed)
    if convex:
        model: nn.Module = nn.Linear(196, 10)
        optimiser = torch.optim.SGD(model.parameters(), 0.02, weight_decay=5e-4)
    else:
        model = nn.Sequential(nn.Linear(196, 96), nn.ReLU(), nn.Linear(96, 10))
        optimiser = torch.optim.SGD(model.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)
    weights = DomainWeights(4, **method, sizes=[16000, 4000, 2000, 2000])
    first = [(x[:2000], y[:2000]) for x, y in training]
    curve = {}

    def watch(step: int, losses: np.ndarray, p: np.ndarray) -> None:
        if step in CURVE:
            curve[step] = float(domain_risks(model, first).max())

    started = time.process_time()
    result = train_robust(model, training, weights, optimiser, steps=1000, seed=seed, on_step=watch)
    seconds = time.process_time() - started
    return {
        "accuracies": 100 * domain_accuracies(model, tests),
        "max_risk": np.array([curve[step] for step in CURVE]),
        "p": weights.history[1:].mean(0),
        "seconds": seconds,
        "warned": len(result.notes),
    }


def table(folder: Path, convex: bool, wrong: float) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for seed in (0, 1):
        training, tests = domains(folder, seed, wrong)
        for name, method in METHODS.items():
            found[name].append(run(training, tests, convex, method, seed))
    rows = {}
    for name, runs in found.items():
        mean = {key: np.mean([one[key] for one in runs], 0) for key in runs[0]}
        rows[name] = {
            "accuracies": mean["accuracies"].round(2).tolist(),
            "worst": round(float(mean["accuracies"].min()), 2),
            "mean": round(float(mean["accuracies"].mean()), 2),
            "max_risk": dict(zip(map(str, CURVE), mean["max_risk"].round(2).tolist(), strict=True)),
            "mean_p": mean["p"].round(2).tolist(),
            "warned_of": float(mean["warned"]),
            "seconds": round(float(mean["seconds"]), 2),
        }
    return rows


def overhead() -> dict[str, float]:
    """Microseconds of a step of the weights of 16 domains."""
    weights, losses = DomainWeights(16, "kl"), np.random.default_rng(0).exponential(size=16)
    started = time.process_time()
    for _ in range(2000):
        weights.step(losses)
    return {"microseconds_per_step_of_p": round((time.process_time() - started) / 2000 * 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = {
        f"{model}, {labels}": table(options.data, model == "softmax regression", wrong)
        for model in ("network", "softmax regression")
        for labels, wrong in (("right labels", 0.0), ("half of domain 3 wrong", 0.5))
    }
    print(json.dumps(figures | overhead(), indent=1))


if __name__ == "__main__":
    main()
