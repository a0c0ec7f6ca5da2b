"""Metric learning on Fashion-MNIST: accuracy by 5 nearest neighbours, and processor time.

Run by hand: ``bench_metric_learning.py --data ../shared/data/fashion-mnist [--full]``; prints JSON.
Protocol: pixels / 255, 5,000 training pictures (the first, and two random choices), PCA to 60 fitted on
them, all 10,000 test pictures. Settings were chosen on other training pictures (three samples of 5,000
with 4,000 others to measure on), never on the test pictures. LMNN is the straightforward one
(Weinberger and Saul 2009: 3 target neighbours, gradient steps on the factor, impostors found again in
each); SoftTriple (Qian et al. 2019) is linear with the loss's published settings; both are written
here, as neither library is a part of Triptych. ``--full`` adds all 60,000 pictures.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from torch.nn import functional as F

from engine.adapt.metric_learning import MaPML, Normaliser, unit_rows
from engine.adapt.metric_selection import choose_metric
from engine.adapt.neighbours import classify, nearest, review_queue

Array = NDArray[np.float64]


def read(folder: Path, name: str) -> NDArray[np.uint8]:
    """Pictures ``(n, 784)`` or labels ``(n,)`` of a gzipped IDX file."""
    data = gzip.decompress((folder / name).read_bytes())
    if "images" in name:
        return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 784)
    return np.frombuffer(data, np.uint8, offset=8)


def components(pixels: Array, count: int) -> tuple[Array, Array]:
    """Mean and first principal components ``(784, count)``."""
    mean = pixels.mean(0)
    _, vectors = np.linalg.eigh(np.cov(pixels.T))
    return mean, vectors[:, ::-1][:, :count]


def lmnn(features: Array, labels: NDArray[np.intp], targets: int = 3, iterations: int = 30) -> Array:
    """Factor ``(d, d)`` of the large-margin nearest-neighbour metric."""
    normal = Normaliser.fitted(features)
    rows = normal(features)
    near = np.zeros((len(rows), targets), np.intp)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        near[own] = own[nearest(rows[own], None, targets)[0]]
    anchor = np.repeat(np.arange(len(rows)), targets)

    def spread(weights: Array, left: NDArray[np.intp], right: NDArray[np.intp]) -> Array:
        graph = coo_matrix((weights, (left, right)), shape=(len(rows), len(rows))).tocsr()
        graph = graph + graph.T
        degree = np.asarray(graph.sum(1)).ravel()
        return (rows.T * degree) @ rows - rows.T @ (graph @ rows)

    pull = spread(np.ones(len(anchor)), anchor, near.ravel())

    def value(factor: Array) -> tuple[float, Array]:
        moved = (rows @ factor).astype(np.float32)
        squares = np.einsum("nd,nd->n", moved, moved)
        to_targets = np.square(moved[:, None] - moved[near]).sum(2) + 1.0
        loss = 0.5 * float((to_targets - 1.0).sum())
        push = np.zeros_like(pull)
        for start in range(0, len(rows), 1000):
            part = slice(start, start + 1000)
            table = squares[part, None] + squares - 2.0 * (moved[part] @ moved.T)
            table[labels[part, None] == labels] = np.inf
            i, j = np.nonzero(table < to_targets[part].max(1)[:, None])
            for place in range(targets):
                gap = to_targets[part][i, place] - table[i, j]
                bad = gap > 0
                loss += 0.5 * float(gap[bad].sum())
                left, right = i[bad] + start, j[bad]
                push += spread(np.ones(len(left)), left, near[left, place])
                push -= spread(np.ones(len(left)), left, right)
        return loss, 0.5 * (pull + push)

    factor = np.eye(rows.shape[1]) * np.sqrt(10.0)
    loss, gradient = value(factor)
    step = 0.1 * np.linalg.norm(factor) / np.linalg.norm(gradient @ factor)
    for _ in range(iterations):
        trial = factor - step * gradient @ factor
        trial_loss, trial_gradient = value(trial)
        if trial_loss < loss:
            factor, loss, gradient, step = trial, trial_loss, trial_gradient, step * 1.1
        else:
            step /= 2
    return factor / normal.scale


def soft_triple(
    features: Array, labels: NDArray[np.intp], batch: int = 128, centres: int = 10, epochs: int = 20
) -> Array:
    """Factor ``(d, d)`` of a linear embedding under the SoftTriple loss."""
    torch.manual_seed(0)
    normal = Normaliser.fitted(features)
    rows = torch.from_numpy(normal(features)).float()
    wanted = torch.from_numpy(labels.astype(np.int64))
    classes, width = int(labels.max()) + 1, rows.shape[1]
    linear = torch.nn.Linear(width, width, bias=False)
    points = torch.nn.Parameter(torch.empty(width, classes * centres))
    torch.nn.init.kaiming_uniform_(points, a=5**0.5)
    groups = [{"params": linear.parameters(), "lr": 1e-3}, {"params": [points], "lr": 1e-2}]
    optimiser = torch.optim.Adam(groups)
    upper = torch.triu_indices(centres, centres, 1)
    for _ in range(epochs):
        for index in torch.randperm(len(rows)).split(batch):
            embedded, unit = F.normalize(linear(rows[index])), F.normalize(points, dim=0)
            likeness = (embedded @ unit).unflatten(1, (classes, centres))
            scores = (F.softmax(likeness / 0.1, 2) * likeness).sum(2)
            scores = 20 * (scores - 0.01 * F.one_hot(wanted[index], classes))
            grouped = unit.T.unflatten(0, (classes, centres))
            inner = (grouped @ grouped.transpose(1, 2))[:, upper[0], upper[1]]
            merged = (2 + 1e-5 - 2 * inner).sqrt().sum() / (classes * centres * (centres - 1))
            (F.cross_entropy(scores, wanted[index]) + 0.2 * merged).backward()
            optimiser.step()
            optimiser.zero_grad()
    return linear.weight.detach().double().numpy().T / normal.scale


class Sample:
    """Training and test features of one choice of pictures."""

    def __init__(
        self, pixels: Array, labels: NDArray[np.intp], rows: Any, test: tuple[Any, Any], fit_on: Any
    ) -> None:
        mean, vectors = components(pixels[fit_on], 60)
        self.features, self.labels = (pixels[rows] - mean) @ vectors, labels[rows]
        self.queries, self.truth = (test[0] - mean) @ vectors, test[1]
        self.centre = self.features.mean(0)

    def accuracy(self, embed: Callable[[Array], Array]) -> float:
        found = classify(embed(self.features), self.labels, embed(self.queries))
        return round(100 * float((found == self.truth).mean()), 2)

    def of_factor(self, factor: Array, seconds: float) -> dict[str, Any]:
        return {
            "euclidean": self.accuracy(lambda x: (x - self.centre) @ factor),
            "cosine": self.accuracy(lambda x: unit_rows((x - self.centre) @ factor)),
            "seconds": round(seconds, 2),
        }

    def of_model(self, model: MaPML, seconds: float) -> dict[str, Any]:
        return {
            **self.of_factor(model.factor_, seconds),
            "triplets": model.report_.triplets,
            "data_triplets_per_triplet": round(
                model.report_.data_triplets / max(model.report_.triplets, 1)
            ),
        }


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = function()
    return result, time.process_time() - started


def measure(sample: Sample, quick: bool) -> dict[str, Any]:
    """All methods on one sample."""
    x, y = sample.features, sample.labels
    figures: dict[str, Any] = {"euclid": sample.of_factor(np.eye(x.shape[1]), 0.0)}
    settings: dict[str, dict[str, Any]] = {
        "mapml": {},
        "mapml as published": {"positives": 3, "impostors": 30, "unit_embedding": False},
        "mapml 10 latents": {"latents_per_class": 10},
    }
    for name, given in settings.items():
        model, seconds = timed(lambda given=given: MaPML(**given).fit(x, y))
        figures[name] = sample.of_model(model, seconds)
    if quick:
        return figures
    choice, seconds = timed(lambda: choose_metric(x, y))
    figures["mapml automatic"] = {
        "chosen": choice.settings,
        "accuracy": sample.accuracy(choice.model.transform),
        "seconds": round(seconds, 2),
    }
    for name, learn in (
        ("lmnn", lambda: lmnn(x, y)),
        ("soft_triple", lambda: soft_triple(x, y)),
        ("soft_triple batch 32", lambda: soft_triple(x, y, 32)),
    ):
        factor, seconds = timed(learn)
        figures[name] = sample.of_factor(factor, seconds)
    return figures


def planted(pixels: Array, labels: NDArray[np.intp]) -> dict[str, float]:
    """Share of 5 % wrong labels among 2,000 pictures found in the first tenth of the review queue."""
    rows = np.concatenate([np.flatnonzero(labels == label)[:200] for label in range(10)])
    mean, vectors = components(pixels[rows], 60)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(rows), 100, replace=False)
    told = labels[rows].copy()
    told[wrong] = (told[wrong] + rng.integers(1, 10, 100)) % 10
    features = (pixels[rows] - mean) @ vectors
    model = MaPML(latents_per_class=20, prior=3.0, penalty=1e-3).fit(features, told)
    far = model.distortion(features, told)
    queue = review_queue(model.transform(features), told, far)
    return {
        "disagreement": len(set(queue[:200]) & set(wrong)) / 100,
        "distance_alone": len(set((-far).argsort()[:200]) & set(wrong)) / 100,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pixels = read(options.data, "train-images-idx3-ubyte.gz") / 255.0
    labels = read(options.data, "train-labels-idx1-ubyte.gz").astype(np.intp)
    test = (
        read(options.data, "t10k-images-idx3-ubyte.gz") / 255.0,
        read(options.data, "t10k-labels-idx1-ubyte.gz").astype(np.intp),
    )
    figures: dict[str, Any] = {}
    for seed in range(3):
        rows = np.arange(5000) if seed == 0 else np.random.default_rng(seed).permutation(60000)[:5000]
        figures[f"sample {seed}"] = measure(Sample(pixels, labels, rows, test, rows), False)
    figures["planted label errors in the first tenth"] = planted(pixels, labels)
    if options.full:
        everything = Sample(pixels, labels, slice(None), test, slice(0, 20000))
        figures["60,000"] = measure(everything, True)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
