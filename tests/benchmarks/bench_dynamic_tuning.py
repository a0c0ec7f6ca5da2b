"""Dynamic tuning of the built-in backbone to Fashion-MNIST, which it has never seen.

    python tests/benchmarks/bench_dynamic_tuning.py [--pictures 1000] [--epochs 30] [--out FILE]

In one run: a linear head on frozen features, adapters with every token, dynamic tuning at four rates,
and the same with tokens chosen at random; then the time of the gathered against the complete run, and
against the plain backbone, interleaved, one thread. Numbers D6 to D8 and D10 of the method page.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from engine.adapt.backbone_files import Backbone, load_backbone
from engine.adapt.dynamic_tuning import TunedViT, Tuning
from engine.adapt.tuning_loss import model_macs
from engine.adapt.tuning_training import TuningSettings, features_of, run_all, tune
from engine.adapt.vit import ViT, ViTConfig

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "fashion-mnist"
RATES = (0.3, 0.5, 0.7, 0.9)
TEST = 2000
SIDE = 64


def fashion(split: str, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` pictures as ``(N, 64, 64, 3)`` uint8, and their classes."""
    with gzip.open(DATA / f"{split}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    with gzip.open(DATA / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:count]
    large = np.stack([cv2.resize(image, (SIDE, SIDE)) for image in images])
    return torch.from_numpy(large)[..., None].expand(-1, -1, -1, 3), torch.from_numpy(
        labels.astype(np.int64)
    )


class RandomDispatcher(nn.Module):
    """Opens a share of the tokens, whatever they are."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        # Far from 0, so that the noise on the gates in training changes nothing.
        return 40.0 * ((torch.rand(x.shape[:2]) < self.rate).float() - 0.5)


def softmax_regression(features: Tensor, labels: Tensor, decay: float) -> nn.Linear:
    """The linear head with the least cross-entropy plus ``decay |W|^2``."""
    head = nn.Linear(features.shape[1], 10)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(head(features), labels) + decay * head.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return head


def linear_head(backbone: Backbone, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Accuracy of a linear head on frozen features, its weight decay chosen on a fifth of them."""
    known, asked = (features_of(backbone.model, part[0], backbone.prepared) for part in (train, test))
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    known, asked = (known - mean) / deviation, (asked - mean) / deviation
    labels, cut = train[1], len(known) * 4 // 5

    def accuracy(head: nn.Linear, features: Tensor, true: Tensor) -> float:
        return float((head(features).argmax(1) == true).float().mean())

    scores = {
        decay: accuracy(softmax_regression(known[:cut], labels[:cut], decay), known[cut:], labels[cut:])
        for decay in (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    }
    best = max(scores, key=lambda decay: scores[decay])
    return round(accuracy(softmax_regression(known, labels, best), asked, test[1]), 4)


def tuned(
    backbone: Backbone,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    settings: TuningSettings,
    random_rate: float | None = None,
) -> tuple[dict[str, Any], TunedViT]:
    """Figures of one tuning, and its model."""
    began = time.monotonic()
    before = TunedViT.of

    def with_random_tokens(model: ViT, tuning: Tuning) -> TunedViT:
        made = before(model, tuning)
        for block in made.blocks:
            block.mlp_token_select = RandomDispatcher(random_rate or 0.0)
        return made

    if random_rate is not None:
        TunedViT.of = staticmethod(with_random_tokens)  # type: ignore[assignment,method-assign]
    try:
        model = tune(backbone.model, *train, 10, backbone.prepared, settings)
    finally:
        TunedViT.of = before  # type: ignore[method-assign]
    seconds = time.monotonic() - began
    path = "gathered" if settings.dispatch else "complete"
    run = run_all(model, test[0], backbone.prepared, path)
    config = model.config
    plain = float(model_macs(config, None))
    macs = model_macs(config, settings.tuning, run.gates if settings.dispatch else None)
    figures = {
        "accuracy": round(run.accuracy(test[1]), 4),
        "accuracy_complete": round(
            run_all(model, test[0], backbone.prepared, "complete").accuracy(test[1]), 4
        ),
        "rate": round(float(run.gates.mean()), 4),
        "rate_by_block": [round(v, 3) for v in run.gates.mean((0, 2)).tolist()],
        "macs_of_plain": round(float(macs.mean()) / plain, 4),
        "seconds": round(seconds, 1),
    }
    return figures, model


def medians(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each, interleaved."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            began = time.process_time()
            job()
            if turn:
                taken[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


@torch.no_grad()
def timings(batches: tuple[int, ...] = (1, 8, 32), repeats: int = 15) -> dict[str, dict[str, float]]:
    """D10: ViT-tiny (C 192, L 12, N 196, d 16) with about half of the gates open, random weights."""
    torch.manual_seed(0)
    config = ViTConfig(224, 16, 192, 12, 3, 0, 768)
    plain = ViT(config).eval()
    model = TunedViT.of(plain, Tuning(hidden=16, scale=0.1)).eval()
    result = {}
    for batch in batches:
        x = torch.randn(batch, 3, 224, 224)
        rate = float(model.run(x).rate)
        seconds = medians(
            {
                "plain": lambda x=x: plain(x),
                "complete": lambda x=x: model.run(x, "complete"),
                "gathered": lambda x=x: model.run(x, "gathered"),
            },
            repeats,
        )
        result[str(batch)] = {
            "rate": round(rate, 3),
            "gathered_ms": round(1000 * seconds["gathered"], 1),
            "plain_over_gathered": round(seconds["plain"] / seconds["gathered"], 2),
            "complete_over_gathered": round(seconds["complete"] / seconds["gathered"], 2),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = fashion("train", options.pictures), fashion("t10k", TEST)
    backbone = load_backbone(options.backbone, heads=3)
    report: dict[str, Any] = {
        "pictures": options.pictures,
        "linear": linear_head(backbone, train, test),
    }

    def show() -> None:
        text = json.dumps(report, indent=1)
        if options.out:
            options.out.write_text(text)
        sys.stdout.write(text + "\n")

    settings = TuningSettings(epochs=options.epochs)
    report["adapters"], _ = tuned(backbone, train, test, replace(settings, dispatch=False))
    show()
    for rate in options.rates:
        report[f"dyt {rate}"], model = tuned(backbone, train, test, replace(settings, rate=rate))
        if rate == 0.5:
            x = backbone.prepared(test[0][:32])
            with torch.no_grad():
                seconds = medians(
                    {
                        "plain": lambda x=x: backbone.model(x),
                        "complete": lambda x=x, m=model: m.run(x, "complete"),
                        "gathered": lambda x=x, m=model: m.run(x, "gathered"),
                    },
                    15,
                )
            report["speed of dyt 0.5, 32 pictures"] = {
                name: round(seconds[name] / seconds["gathered"], 3) for name in ("plain", "complete")
            }
        show()
    report["random 0.5"], _ = tuned(backbone, train, test, settings, 0.5)
    report["timings"] = timings()
    show()


if __name__ == "__main__":
    main()
