"""Figures for the built-in generator's model card: ``python -m engine.images.evaluation``.

Everything is judged by an independent small classifier trained on the same pictograms (never by
the generator's own losses), and the share of recall is measured, not hidden.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from engine.images.checkpoints import load_strictly
from engine.images.generators import LatentGenerator
from engine.images.pictograms import Pictograms, load_pictograms, move_and_scale
from engine.images.sheets import SHEET_PROMPTS, sample, save_sheet
from engine.images.training import peak_signal_to_noise
from engine.weight_files import read_safetensors
from engine.weights import ModelInfo, inspect_model

log = logging.getLogger("triptych.evaluation")

FEATURES = 128


class PictogramClassifier(nn.Module):
    """Four stages of two convolutions on 64 px pictures; ``features`` are its last hidden layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in (32, 64, 128, 192):
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
            ]
            before = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Linear(before, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        """``(B, 128)`` of pictures ``(B, 3, H, W)`` in [-1, 1] (scaled to 64 px here)."""
        small = F.interpolate(images, size=(64, 64), mode="area")
        return F.silu(self.hidden(self.body(small)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(images), 0.3, self.training))


def train_classifier(data: Pictograms, steps: int, seed: int = 0) -> PictogramClassifier:
    """Train on the training part, classes drawn evenly, moved, scaled, mirrored and dimmed."""
    torch.manual_seed(seed)
    draws = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    model = PictogramClassifier(len(data.class_names))
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    planned = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    rows = data.rows(held_out=False)
    chance = np.where(data.tone[rows] > 0, 0.05, 1.0)
    per_class = np.bincount(data.labels[rows], weights=chance)
    chance = chance / per_class[data.labels[rows]]
    chance /= chance.sum()
    labels = torch.from_numpy(data.labels)
    for step in range(steps):
        picked = draws.choice(rows, 64, p=chance)
        images = F.interpolate(data.pixels(picked), size=(64, 64), mode="area")
        images = move_and_scale(images, 6.0, (0.75, 1.15), generator)
        if step % 2:
            images = images.flip(3)
        dim = torch.empty(64, 1, 1, 1).uniform_(0.8, 1.0, generator=generator)
        loss = F.cross_entropy(model((images + 1) * dim - 1), labels[picked], label_smoothing=0.1)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        planned.step()
        if step % 200 == 199:
            log.info("classifier step %d loss %.3f", step + 1, loss.item())
    return model.eval()


def trained_classifier(data: Pictograms, file: Path, steps: int = 900) -> PictogramClassifier:
    """The classifier kept in ``file``, or a new one, trained and then kept there."""
    if not file.exists():
        trained = train_classifier(data, steps)
        save_file({k: v.contiguous() for k, v in trained.state_dict().items()}, file)
    model = PictogramClassifier(len(data.class_names))
    load_strictly(model, read_safetensors(file), "The classifier")
    return model.eval()


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared MMD with the cubic polynomial kernel (KID; Binkowski et al. 2018), times 1000.

    ``a (n, d)`` and ``b (m, d)`` are features. Unbiased, so small sets compare with large ones;
    values around zero may be negative.
    """
    a, b = a.double(), b.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal(matrix: Tensor) -> float:
        n = len(matrix)
        return (matrix.sum() - matrix.trace()).item() / (n * (n - 1))

    return 1000 * (
        off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean().item()
    )


def nearest_distance(images: Tensor, others: Tensor, skip_self: bool = False) -> Tensor:
    """Mean squared pixel distance ``(n,)`` to the nearest of ``others``, mirrored too.

    Both are ``(n, 3, s, s)``; with ``skip_self`` the diagonal is left out (``others is images``).
    """
    flat, best = images.flatten(1), torch.full((len(images),), torch.inf)
    for mirrored in (False, True):
        pool = (others.flip(3) if mirrored else others).flatten(1)
        distance = torch.cdist(flat, pool).square() / flat.shape[1]
        if skip_self:
            distance.fill_diagonal_(torch.inf)
        best = torch.minimum(best, distance.min(dim=1).values)
    return best


def random_captions(data: Pictograms, count: int, seed: int) -> list[tuple[str, str | None]]:
    """Captions of training pictures without skin tone, drawn with the training weights."""
    draws = np.random.default_rng(seed)
    rows = data.rows(held_out=False, toned=False)
    weights = data.weights[rows] / data.weights[rows].sum()
    return [(data.captions[i], None) for i in draws.choice(rows, count, p=weights, replace=False)]


def _small(images: Tensor) -> Tensor:
    return F.interpolate(images, size=(32, 32), mode="area")


@torch.no_grad()
def evaluate(
    info: ModelInfo, data: Pictograms, folder: Path, steps: int, guidance: float, count: int
) -> dict[str, Any]:
    """Compute all figures and write the sample sheets into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    model = LatentGenerator(info, "cpu")
    with torch.enable_grad():
        judge = trained_classifier(data, folder / "classifier.safetensors")
    train_rows = data.rows(held_out=False, toned=False)
    held_rows = data.rows(held_out=True, toned=False)
    train, held_out = data.pixels(train_rows), data.pixels(held_rows)

    started = time.perf_counter()
    typical = sample(model, random_captions(data, count, 1), list(range(count)), steps, guidance)
    seconds = (time.perf_counter() - started) / count
    save_sheet(typical[:64], 8, folder / "samples64.png")
    log.info("%d random samples, %.2f s each", count, seconds)

    names = data.class_names
    by_class = _captions_by_class(data, train_rows, per_class=20)
    balanced = sample(model, by_class, list(range(len(by_class))), steps, guidance)
    truth = torch.arange(len(names)).repeat_interleave(20)
    guessed = judge(balanced).argmax(1)
    save_sheet(balanced.unflatten(0, (-1, 20))[:, :8].flatten(0, 1), 8, folder / "classes.png")

    prompts: list[tuple[str, str | None]] = [(text, None) for text in SHEET_PROMPTS for _ in range(6)]
    shown = sample(model, prompts, list(range(6)) * len(SHEET_PROMPTS), steps, guidance)
    save_sheet(shown, 12, folder / "prompts.png")

    rebuilt = torch.cat(
        [model.autoencoder.decode(model.autoencoder.encode(x)[0]) for x in held_out.split(8)]
    )
    between = nearest_distance(_small(train), _small(train), skip_self=True)
    recalled = nearest_distance(_small(typical), _small(train)) < between.quantile(0.01)
    features = {
        name: torch.cat([judge.features(part) for part in pictures.split(64)])
        for name, pictures in (("train", train), ("held_out", held_out), ("generated", typical))
    }
    half = torch.from_numpy(np.random.default_rng(0).permutation(len(train)))
    return {
        "sampler": "ddim",
        "steps": steps,
        "guidance": guidance,
        "samples": count,
        "seconds_per_picture": round(seconds, 3),
        "autoencoder_psnr_held_out_db": round(peak_signal_to_noise(rebuilt, held_out).mean().item(), 2),
        "classifier_accuracy_training": _share(judge(train).argmax(1), data.labels[train_rows]),
        "classifier_accuracy_held_out": _share(judge(held_out).argmax(1), data.labels[held_rows]),
        "classifier_accuracy_generated": round((guessed == truth).float().mean().item(), 3),
        "classifier_accuracy_by_class": {
            name: round((guessed == truth)[truth == index].float().mean().item(), 2)
            for index, name in enumerate(names)
        },
        "kid_train_halves": round(_kid(features["train"], half), 2),
        "kid_held_out": round(kernel_distance(features["train"], features["held_out"]), 2),
        "kid_generated": round(kernel_distance(features["train"], features["generated"]), 2),
        "recalled_share": round(recalled.float().mean().item(), 3),
    }


def _kid(features: Tensor, order: Tensor) -> float:
    middle = len(order) // 2
    return kernel_distance(features[order[:middle]], features[order[middle:]])


def _share(guessed: Tensor, labels: NDArray[np.int64]) -> float:
    return round((guessed == torch.from_numpy(labels)).float().mean().item(), 3)


def _captions_by_class(
    data: Pictograms, rows: NDArray[np.int64], per_class: int
) -> list[tuple[str, str | None]]:
    draws = np.random.default_rng(2)
    chosen: list[tuple[str, str | None]] = []
    for label, name in enumerate(data.class_names):
        members = rows[data.labels[rows] == label]
        picked = draws.choice(members, per_class, replace=len(members) < per_class)
        chosen += [(data.captions[row], name) for row in picked]
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``python -m engine.images.evaluation``."""
    parser = argparse.ArgumentParser(prog="engine.images.evaluation", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with generator.json")
    parser.add_argument("--data", type=Path, required=True, help="folder of the pictogram files")
    parser.add_argument("--out", type=Path, required=True, help="where the sheets and figures go")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--count", type=int, default=256, help="random samples for the distances")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    data = load_pictograms(options.data)
    info = inspect_model(options.model)
    figures = evaluate(info, data, options.out, options.steps, options.guidance, options.count)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    log.info(json.dumps(figures))


if __name__ == "__main__":
    main()
